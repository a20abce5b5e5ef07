"""What state a VM is in, judged from instances, heartbeats, claims and launch orders."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from engine.launch import LaunchedVm
from provision.fleet import FleetSnapshot, assess
from provision.operations import VmEvent
from provision.orders import LaunchFailure
from provision.runs import Phase
from provision.vm_state import FleetVm, VmState
from tests.provision.made_up_fleet import (
    NOW,
    RUN,
    ZONES,
    accepted,
    beat,
    claim,
    gcp_profile,
    local_profile,
    make_order,
    make_view,
    make_vm,
    vm_name,
)

ZERO, ONE, TWO = vm_name(0), vm_name(1), vm_name(2)


def look(vms: Any = (), views: Any = (), **more: Any) -> FleetSnapshot:
    return assess(NOW, local_profile(), list(vms), list(views), **more)


def row(snapshot: FleetSnapshot, name: str) -> FleetVm:
    found = snapshot.find(name)
    assert found is not None
    return found


def event(kind: str, vm: str = ZERO, *, minutes_ago: float = 1, **changes: Any) -> VmEvent:
    return VmEvent(vm, ZONES[0], kind, NOW - timedelta(minutes=minutes_ago), **changes)


@pytest.mark.parametrize(
    ("heartbeat", "state"),
    [
        (beat(ZERO), VmState.RUNNING),
        (beat(ZERO, "starting"), VmState.RUNNING),
        (beat(ZERO, "paused"), VmState.RUNNING),
        (beat(ZERO, "idle"), VmState.IDLE),
        (beat(ZERO, "stopping"), VmState.STOPPING),
        (beat(ZERO, age=34), VmState.RUNNING),
        (beat(ZERO, age=36), VmState.LOST),
        (beat(ZERO, "done", exit_code=0), VmState.DONE),
        (beat(ZERO, "done", exit_code=65, age=500), VmState.DONE),
        (beat(ZERO, "stopped", exit_code=75), VmState.STOPPED),
        (beat(ZERO, "failed", exit_code=77, last_error="403"), VmState.FAILED),
        (None, VmState.STUCK),
    ],
)
def test_a_running_vm_is_what_its_worker_says_or_lost_when_it_says_nothing(heartbeat: Any, state: VmState) -> None:
    view = make_view([make_order(1)], heartbeats=[heartbeat] if heartbeat else [])
    assert row(look([make_vm(ZERO)], [view]), ZERO).state is state


@pytest.mark.parametrize("status", ["PROVISIONING", "STAGING"])
def test_a_vm_that_waits_for_a_host_is_booting_however_long(status: str) -> None:
    assert row(look([make_vm(ZERO, status)], [make_view([make_order(1)])]), ZERO).state is VmState.BOOTING


def test_a_vm_is_booting_for_three_minutes_and_then_stuck() -> None:
    for minutes, state in ((2, VmState.BOOTING), (4, VmState.STUCK)):
        vm = make_vm(ZERO, started=NOW - timedelta(minutes=minutes))
        assert row(look([vm], [make_view([make_order(1)])]), ZERO).state is state


def test_a_heartbeat_of_an_earlier_boot_does_not_count() -> None:
    vm = make_vm(ZERO, started=NOW - timedelta(seconds=10))
    view = make_view([make_order(1)], heartbeats=[beat(ZERO, "failed", age=60, exit_code=69)])
    found = row(look([vm], [view]), ZERO)
    assert (found.state, found.heartbeat) == (VmState.BOOTING, None)


def test_a_worker_without_progress_for_three_minutes_is_stuck_and_progress_ends_that() -> None:
    order = make_order(1)
    first = look([make_vm(ZERO)], [make_view([order], heartbeats=[beat(ZERO)])])
    still = beat(ZERO, age=-195, current="BTCUSDT")
    later = assess(NOW + timedelta(seconds=200), local_profile(), [make_vm(ZERO)], [make_view([order], heartbeats=[still])], previous=first)
    stuck = row(later, ZERO)
    assert stuck.state is VmState.STUCK
    assert "BTCUSDT" in stuck.note
    moved = msgspec.structs.replace(still, files_done=41)
    again = assess(NOW + timedelta(seconds=200), local_profile(), [make_vm(ZERO)], [make_view([order], heartbeats=[moved])], previous=first)
    assert row(again, ZERO).state is VmState.RUNNING


def test_a_paused_worker_is_never_stuck() -> None:
    order = make_order(1)
    first = look([make_vm(ZERO)], [make_view([order], heartbeats=[beat(ZERO, "paused")])])
    later = make_view([order], heartbeats=[beat(ZERO, "paused", age=-595)])
    found = assess(NOW + timedelta(minutes=10), local_profile(), [make_vm(ZERO)], [later], previous=first)
    assert row(found, ZERO).state is VmState.RUNNING


@pytest.mark.parametrize(
    ("events", "state", "cause"),
    [
        ((), VmState.LOST, "unknown"),
        ((event("compute.instances.preempted"),), VmState.PREEMPTED, "preempted"),
        ((event("compute.instances.preempted", minutes_ago=2), event("delete", user="system")), VmState.PREEMPTED, "preempted"),
        ((event("compute.instances.hostError"),), VmState.LOST, "host error"),
        ((event("delete", user="alice@example.com"),), VmState.LOST, "deleted"),
        ((event("delete", user="system"),), VmState.LOST, "run limit"),
        ((event("compute.instances.guestTerminate"),), VmState.LOST, "powered off"),
    ],
)
def test_why_a_vm_is_gone_is_what_the_services_operations_say_and_never_a_guess(events: Any, state: VmState, cause: str) -> None:
    view = make_view([make_order(1)], heartbeats=[beat(ZERO, age=20)])
    found = row(look([], [view], events=events), ZERO)
    assert (found.state, found.cause, found.exists) == (state, cause, False)


def test_a_cause_once_found_stays_when_the_operations_are_not_asked_again() -> None:
    view = make_view([make_order(1)], heartbeats=[beat(ZERO, age=20)])
    first = look([], [view], events=[event("compute.instances.preempted")])
    assert row(look([], [view], previous=first), ZERO).cause == "preempted"


def test_a_worker_that_stopped_in_order_because_of_its_preemption_was_preempted() -> None:
    view = make_view([make_order(1)], heartbeats=[beat(ZERO, "stopped", exit_code=75)])
    assert row(look([], [view], events=[event("compute.instances.preempted")]), ZERO).state is VmState.PREEMPTED
    assert row(look([], [view]), ZERO).state is VmState.STOPPED


def test_a_vm_that_is_gone_after_its_work_is_done() -> None:
    view = make_view([make_order(1)], heartbeats=[beat(ZERO, "done", exit_code=0)], claims=[claim(0, ZERO, "done")])
    assert row(look([], [view]), ZERO).state is VmState.DONE
    silent = make_view([make_order(1)], claims=[claim(0, ZERO, "done")])
    assert row(look([], [silent]), ZERO).state is VmState.DONE


def test_a_vm_whose_work_another_one_finished_stays_lost_and_says_by_whom() -> None:
    view = make_view([make_order(1)], heartbeats=[beat(ZERO, age=20)], claims=[claim(0, ONE, "done")])
    found = row(look([], [view], events=[event("compute.instances.preempted")]), ZERO)
    assert found.state is VmState.PREEMPTED
    assert ONE in found.note


def test_a_vm_that_was_just_asked_for_is_on_its_way_and_later_says_that_nobody_was_asked() -> None:
    for minutes, state, cause in ((1, VmState.BOOTING, ""), (5, VmState.LOST, "not asked for")):
        view = make_view([make_order(1, created=NOW - timedelta(minutes=minutes))], operations={})
        found = row(look([], [view]), ZERO)
        assert (found.state, found.cause) == (state, cause)


def test_a_vm_of_an_operation_under_way_is_booting() -> None:
    order = make_order(1, created=NOW - timedelta(minutes=5))
    view = make_view([order], operations={1: accepted(order, ended=None, created={})})
    assert row(look([], [view]), ZERO).state is VmState.BOOTING


@pytest.mark.parametrize(
    ("kind", "state"),
    [("no capacity", VmState.LOST), ("quota", VmState.LOST), ("bad request", VmState.FAILED), ("not permitted", VmState.FAILED)],
)
def test_a_vm_that_was_never_made_says_why(kind: str, state: VmState) -> None:
    order = make_order(2)
    failure = LaunchFailure(kind=kind, code="X", message="the service's own words", vms=(ZERO,))
    view = make_view([order], operations={1: accepted(order, created={ONE: ZONES[0]}, failures=(failure,))})
    found = row(look([make_vm(ONE)], [view]), ZERO)
    assert (found.state, found.cause) == (state, kind)
    assert "the service's own words" in found.note


def test_a_terminated_vm_is_judged_by_its_workers_last_words() -> None:
    done = make_view([make_order(1)], heartbeats=[beat(ZERO, "done", age=600, exit_code=0)])
    assert row(look([make_vm(ZERO, "TERMINATED")], [done]), ZERO).state is VmState.DONE
    silent = make_view([make_order(1)], heartbeats=[beat(ZERO, age=10)])
    assert row(look([make_vm(ZERO, "TERMINATED")], [silent]), ZERO).state is VmState.LOST
    stopped = look([make_vm(ZERO, "TERMINATED")], [silent], events=[event("stop", user="alice")])
    assert row(stopped, ZERO).state is VmState.STOPPED


def test_a_stranger_is_listed_and_is_not_ours() -> None:
    snapshot = look([make_vm("web-1", labels={"app": "web"}), make_vm("half", labels={"td-owner": "alice"})], [])
    assert {(found.state, found.managed) for found in snapshot.vms} == {(VmState.NOT_OURS, False)}
    assert snapshot.verdict == "no VMs of ours"


def test_a_vm_of_a_run_that_nobody_knows_is_ours_all_the_same() -> None:
    found = row(look([make_vm("market-data-single-20260301")], []), "market-data-single-20260301")
    assert found.managed
    assert found.state is VmState.STUCK


def test_the_verdict_names_the_worst_first_and_the_slowest_shard() -> None:
    replacement = make_order({f"{ZERO}-a2": LaunchedVm(shards=(0,), attempt=2, replaces=ZERO)}, number=2)
    view = make_view(
        [make_order(3), replacement],
        heartbeats=[
            beat(ZERO, age=900),
            beat(f"{ZERO}-a2", shard=0, bytes_per_second=10.0),
            beat(ONE, shard=1, bytes_per_second=10.0),
            beat(TWO, shard=2, bytes_done=0, bytes_total=36_000, bytes_per_second=10.0),
        ],
    )
    vms = [make_vm(ONE), make_vm(TWO), make_vm(f"{ZERO}-a2")]
    snapshot = look(vms, [view], events=[event("compute.instances.preempted", ZERO)])
    assert snapshot.verdict == "1 preempted and replaced, 3 running; slowest shard 2 ends 12:59"
    assert snapshot.totals.vms == 3
    assert snapshot.totals.bytes_per_second == 30.0
    assert snapshot.vms[-1].name == ZERO
    assert row(snapshot, ZERO).replaced_by == f"{ZERO}-a2"


def test_the_worst_rows_come_first_and_numbers_sort_as_numbers() -> None:
    names = [vm_name(index) for index in (10, 9, 2)]
    order = make_order({name: LaunchedVm(shards=(index,)) for index, name in enumerate(names)})
    beats = [beat(names[0]), beat(names[1]), beat(names[2], "failed", exit_code=78)]
    snapshot = look([make_vm(name) for name in names], [make_view([order], heartbeats=beats)])
    assert [found.name for found in snapshot.vms] == [names[2], names[1], names[0]]


def test_progress_rate_and_end_come_from_the_heartbeat_and_cost_from_the_price_table() -> None:
    view = make_view([make_order(1)], heartbeats=[beat(ZERO, age=0, bytes_per_second=0.5, limited_by="cpu", last_error="oops")])
    vm = make_vm(ZERO, machine_type="e2-highmem-8")
    found = row(assess(NOW, gcp_profile(), [vm], [view]), ZERO)
    assert (found.progress, found.limited_by, found.last_error) == (0.4, "cpu", "oops")
    assert found.ends == NOW + timedelta(seconds=1200)
    assert found.cost == pytest.approx(0.20349 + 0.0025 + 0.052 * 100 / 730)


def test_a_run_is_finished_when_all_its_shards_are_and_draining_or_expired_before() -> None:
    everything = [claim(index, vm_name(index), "done") for index in range(3)]
    assert make_view(claims=everything).phase(NOW) is Phase.FINISHED
    assert make_view(claims=everything, drained=True).phase(NOW) is Phase.FINISHED
    assert make_view(claims=everything[:2]).phase(NOW) is Phase.RUNNING
    assert make_view(claims=everything[:2], drained=True).phase(NOW) is Phase.DRAINING
    assert make_view().phase(NOW + timedelta(days=3)) is Phase.EXPIRED
    assert make_view(drained=True).phase(NOW + timedelta(days=3)) is Phase.EXPIRED


def test_a_drained_run_is_over_when_its_workers_have_been_quiet_for_a_while() -> None:
    assert make_view(drained=True).is_over(NOW)
    assert not make_view(drained=True, heartbeats=[beat(ZERO, "stopping")]).is_over(NOW)
    assert make_view(drained=True, heartbeats=[beat(ZERO, "stopped", exit_code=75)]).is_over(NOW)
    assert not make_view().is_over(NOW)


def test_two_instances_of_one_name_in_two_zones_are_two_rows() -> None:
    twins = [make_vm(ZERO), replace(make_vm(ZERO), zone=ZONES[1], id="7")]
    snapshot = look(twins, [make_view([make_order(1)], heartbeats=[beat(ZERO)])])
    assert {(found.zone, found.run) for found in snapshot.vms} == {(ZONES[0], RUN), (ZONES[1], RUN)}
