"""No VM is asked for that could pass the limit of a run's cost, and a run beyond it is told to stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from engine.paths import drain_object
from engine.plan import Plan, seal
from provision.audit import RECEIPT
from provision.cost_limit import MARGIN, expected_cost, judge_purse, limit_of
from provision.fleet import FleetSnapshot, assess
from provision.operations import VmEvent
from provision.reconcile import Diagnosis, diagnose, reconcile
from provision.runs import read_drain
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import NOW, ZONES, beat, gcp_profile, make_order, make_plan, make_view, make_vm, vm_name

ZERO, ONE = vm_name(0), vm_name(1)
HOUR = 0.20349 + 0.0025 + 5.2 / 730
"""Dollars of a spot e2-highmem-8 with 100 GB and an address."""
SHARD_SECONDS = 3600.0
EACH = HOUR * (75 + MARGIN * SHARD_SECONDS) / 3600
"""What a new VM may cost for one shard of an hour."""


def plan(max_cost: float = 0.0) -> Plan:
    made = make_plan(2, profile=gcp_profile(), seconds=[SHARD_SECONDS, SHARD_SECONDS])
    return seal(msgspec.structs.replace(made, request=msgspec.structs.replace(made.request, max_cost=max_cost)))


def world(made: Plan, *, lost: tuple[str, ...] = (ZERO,)) -> FleetSnapshot:
    """Two VMs that worked for an hour and have done 40 %, some of them preempted."""
    order = make_order(2, plan=made.id, project="market-data-prod", machine_types=("e2-highmem-8",))
    vms = [make_vm(name, machine_type="e2-highmem-8") for name in (ZERO, ONE) if name not in lost]
    events = [VmEvent(name, ZONES[0], "compute.instances.preempted", NOW) for name in lost]
    view = make_view([order], heartbeats=[beat(ZERO, age=0), beat(ONE, age=0)])
    return assess(NOW, gcp_profile(), vms, [view], events=events)


def found(max_cost: float = 0.0, *, profile: Any = None, override: float = 0.0, lost: tuple[str, ...] = (ZERO,)) -> Diagnosis:
    made = plan(max_cost)
    return diagnose(profile or gcp_profile(), world(made, lost=lost), plans={made.id: made}, max_cost=override)


def test_what_was_spent_and_what_is_to_come_are_counted_by_hand() -> None:
    made = plan(9.0)
    snapshot = world(made)
    purse = judge_purse(gcp_profile(), made, snapshot.vms)
    assert purse.spent == pytest.approx(2 * HOUR)
    assert purse.rest == pytest.approx(HOUR * (75 + MARGIN * 0.6 * SHARD_SECONDS) / 3600)
    assert expected_cost(gcp_profile(), made, (0,), "e2-highmem-8", "SPOT") == pytest.approx(EACH)
    assert purse.limit == 9.0


def test_the_limit_is_what_was_just_said_else_the_plans_else_the_profiles() -> None:
    rich = gcp_profile(max_cost=50.0)
    assert limit_of(rich, plan(), 0.0) == 50.0
    assert limit_of(rich, plan(20.0), 0.0) == 20.0
    assert limit_of(rich, plan(20.0), 5.0) == 5.0
    assert limit_of(gcp_profile(), plan(), 0.0) == 0.0


def test_a_vm_that_could_pass_the_limit_is_not_asked_for_and_the_figures_are_said() -> None:
    made = plan()
    purse = judge_purse(gcp_profile(), made, world(made).vms)
    replacement = expected_cost(gcp_profile(), made, (0,), "e2-highmem-8", "SPOT", done=0.4)
    assert replacement is not None
    needed = purse.spent + purse.rest + replacement
    assert [lost.vm for lost in found(needed + 0.001).lost] == [ZERO]
    diagnosis = found(needed - 0.001)
    assert diagnosis.lost == ()
    assert "limit $" in diagnosis.given_up[0].why
    assert f"${purse.spent:.2f} spent" in diagnosis.given_up[0].why
    assert found(needed - 0.001, override=needed + 1).lost, "a person may allow more"


def test_of_several_lost_vms_as_many_are_replaced_as_fit() -> None:
    made = plan()
    purse = judge_purse(gcp_profile(), made, world(made, lost=(ZERO, ONE)).vms)
    replacement = expected_cost(gcp_profile(), made, (0,), "e2-highmem-8", "SPOT", done=0.4)
    assert replacement is not None
    diagnosis = found(purse.spent + 1.5 * replacement, lost=(ZERO, ONE))
    assert (len(diagnosis.lost), len(diagnosis.given_up)) == (1, 1)


def test_a_vm_without_a_price_fits_only_where_there_is_no_limit() -> None:
    nowhere = gcp_profile(region="mars-north1", zones=())
    made = plan(100.0)
    snapshot = assess(NOW, nowhere, [], world(made).runs, events=[VmEvent(ZERO, ZONES[0], "compute.instances.preempted", NOW)])
    diagnosis = diagnose(nowhere, snapshot, plans={made.id: made})
    assert diagnosis.lost == ()
    assert "no known price" in diagnosis.given_up[0].why
    free = plan()
    assert diagnose(nowhere, assess(NOW, nowhere, [], world(free).runs), plans={free.id: free}).lost


def test_a_run_beyond_its_limit_is_neither_healed_nor_left_running() -> None:
    diagnosis = found(0.01)
    assert (diagnosis.lost, diagnosis.given_up) == ((), ())
    ((run, purse),) = diagnosis.used_up
    assert purse.is_used_up
    assert run == world(plan()).runs[0].run
    assert found(0.0).used_up == ()


def test_the_workers_of_a_run_beyond_its_limit_are_told_to_stop_and_the_audit_says_why(wired: Wired) -> None:
    order = wired.launch(2).order
    for shard, name in enumerate(order.vms):
        wired.work(order.run, name, shard)
    snapshot = wired.look()
    dear = replace(snapshot, vms=tuple(replace(row, cost=3.0) for row in snapshot.vms))
    assert reconcile(wired.profile, wired.clients, wired.state, dear, max_cost=7.0).receipts == ()
    done = reconcile(wired.profile, wired.clients, wired.state, dear, max_cost=6.0)
    assert [receipt.proposal.verb for receipt in done.receipts] == ["drain"]
    assert wired.state.stat(drain_object(order.run)) is not None
    drain = read_drain(wired.state, order.run)
    assert drain is not None
    record = wired.audit()[-1]
    assert (record.phase, record.verb, record.run) == (RECEIPT, "drain", order.run)
    assert "$6.00 spent" in record.items[0].why
    assert len(wired.vms()) == 2, "what is in flight ends by itself"
    assert reconcile(wired.profile, wired.clients, wired.state, wired.look(), max_cost=6.0).results == ()
