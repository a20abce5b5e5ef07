"""Which VMs reconcile replaces, by what, and which it leaves to a person. Without a cloud."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.launch import LaunchedVm
from provision.fleet import assess
from provision.operations import VmEvent
from provision.reconcile import Diagnosis, diagnose
from tests.provision.made_up_fleet import (
    NOW,
    ZONES,
    accepted,
    beat,
    claim,
    local_profile,
    make_order,
    make_view,
    make_vm,
    vm_name,
)

ZERO, ONE, TWO = vm_name(0), vm_name(1), vm_name(2)


def found(vms: Any = (), *, events: Any = (), profile: Any = None, **run: Any) -> Diagnosis:
    profile = profile or local_profile()
    return diagnose(profile, assess(NOW, profile, list(vms), [make_view(**run)], events=events))


def preempted(vm: str) -> VmEvent:
    return VmEvent(vm, ZONES[0], "compute.instances.preempted", NOW - timedelta(minutes=1))


def living(*names: str) -> dict[str, Any]:
    return {"heartbeats": [beat(name) for name in names]}


def test_a_vm_that_is_gone_with_its_work_undone_is_replaced_with_its_cause() -> None:
    (lost,) = found([make_vm(ONE), make_vm(TWO)], events=[preempted(ZERO)], **living(ZERO, ONE, TWO)).lost
    assert (lost.vm, lost.name, lost.attempt, lost.shards) == (ZERO, f"{ZERO}-a2", 2, (0,))
    assert (lost.cause, lost.model, lost.replaces) == ("preempted", "SPOT", (ZERO,))


def test_a_powered_off_vm_whose_worker_can_run_again_is_replaced() -> None:
    beats = [beat(ZERO, "failed", exit_code=69), beat(ONE), beat(TWO)]
    (lost,) = found([make_vm(ZERO, "TERMINATED"), make_vm(ONE), make_vm(TWO)], heartbeats=beats).lost
    assert (lost.vm, lost.cause) == (ZERO, "unknown")


@pytest.mark.parametrize("code", [64, 77, 78])
def test_a_worker_that_would_end_the_same_way_again_is_left_to_a_person(code: int) -> None:
    beats = [beat(ZERO, "failed", exit_code=code, last_error="403 no access"), beat(ONE), beat(TWO)]
    diagnosis = found([make_vm(ONE), make_vm(TWO)], heartbeats=beats)
    assert diagnosis.lost == ()
    (given_up,) = diagnosis.given_up
    assert str(code) in given_up.why
    assert "403 no access" in given_up.why


def test_nothing_is_replaced_that_lives_boots_or_is_done() -> None:
    beats = [beat(ZERO), beat(ONE, "done", exit_code=0)]
    vms = [make_vm(ZERO), make_vm(ONE, "TERMINATED"), make_vm(TWO, "STAGING")]
    diagnosis = found(vms, heartbeats=beats, claims=[claim(1, ONE, "done")])
    assert (diagnosis.lost, diagnosis.given_up) == ((), ())


def test_a_silent_vm_that_still_runs_is_not_doubled() -> None:
    assert found([make_vm(ZERO)], orders=[make_order(1)], heartbeats=[beat(ZERO, age=900)]).lost == ()


def test_a_vm_that_a_person_stopped_is_not_replaced() -> None:
    stop = VmEvent(ZERO, ZONES[0], "stop", NOW - timedelta(minutes=1), user="alice")
    vms = [make_vm(ZERO, "TERMINATED")]
    assert found(vms, orders=[make_order(1)], events=[stop], heartbeats=[beat(ZERO, age=50)]).lost == ()


def test_shards_that_are_done_or_that_a_living_worker_took_over_need_no_new_vm() -> None:
    vms = [make_vm(ONE), make_vm(TWO)]
    assert found(vms, claims=[claim(0, ONE)], **living(ONE, TWO)).lost == ()
    assert found(vms, claims=[claim(0, ZERO, "done")], **living(ONE, TWO)).lost == ()
    stale = [beat(ONE, age=500), beat(TWO)]
    assert [lost.vm for lost in found(vms, claims=[claim(0, ONE)], heartbeats=stale).lost] == [ZERO]


def test_a_run_that_is_drained_finished_or_expired_is_left_alone() -> None:
    assert found(drained=True) == Diagnosis()
    assert found(claims=[claim(index, vm_name(index), "done") for index in range(3)]) == Diagnosis()
    old = make_order(1, created=NOW - timedelta(days=5))
    assert found(orders=[old]) == Diagnosis()


def test_a_lost_vm_is_replaced_once() -> None:
    replacement = make_order({f"{ZERO}-a2": LaunchedVm(shards=(0,), attempt=2, replaces=ZERO)}, number=2)
    orders = [make_order(1), replacement]
    assert found([make_vm(f"{ZERO}-a2")], orders=orders, **living(f"{ZERO}-a2")).lost == ()
    (again,) = found([], orders=orders, **living(ZERO)).lost
    assert (again.vm, again.name, again.attempt) == (f"{ZERO}-a2", f"{ZERO}-a3", 3)
    assert again.replaces == (f"{ZERO}-a2", ZERO)


def attempts(number: int) -> list[Any]:
    orders = [make_order(1)]
    before = [ZERO]
    for attempt in range(2, number + 1):
        name = f"{ZERO}-a{attempt}"
        vm = LaunchedVm(shards=(0,), attempt=attempt, replaces=",".join(before))
        orders.append(make_order({name: vm}, number=attempt, provisioning_model="STANDARD" if attempt > 3 else "SPOT"))
        before.insert(0, name)
    return orders


def test_after_some_spot_vms_comes_an_on_demand_one_if_the_profile_allows_it() -> None:
    allowed = local_profile(on_demand_fallback=True)
    assert found(orders=attempts(2), profile=allowed).lost[0].model == "SPOT"
    assert found(orders=attempts(3), profile=allowed).lost[0].model == "STANDARD"
    refused = found(orders=attempts(3))
    assert refused.lost == ()
    assert "3 spot VMs" in refused.given_up[0].why


def test_a_shard_is_given_up_after_all_its_attempts() -> None:
    diagnosis = found(orders=attempts(6), profile=local_profile(on_demand_fallback=True))
    assert diagnosis.lost == ()
    assert "6 attempts" in diagnosis.given_up[0].why


def test_a_launch_that_was_cut_off_is_taken_up_and_its_vms_are_not_replaced() -> None:
    order = make_order(2, created=NOW - timedelta(minutes=30))
    diagnosis = found(orders=[order], operations={})
    assert (diagnosis.unasked, diagnosis.lost) == (((order.run, 1),), ())
    under_way = found(orders=[order], operations={1: accepted(order, ended=None, created={})})
    assert under_way.unasked == ((order.run, 1),)


def test_vms_that_were_never_made_for_want_of_capacity_are_asked_for_again() -> None:
    from provision.orders import LaunchFailure

    order = make_order(2)
    shortage = LaunchFailure(kind="no capacity", code="ZONE_RESOURCE_POOL_EXHAUSTED", message="m", vms=(ZERO,))
    answer = accepted(order, created={ONE: ZONES[0]}, failures=(shortage,))
    (lost,) = found([make_vm(ONE)], orders=[order], operations={1: answer}, **living(ONE)).lost
    assert (lost.vm, lost.cause) == (ZERO, "no capacity")
    hopeless = LaunchFailure(kind="bad request", code="invalid", message="no such image", vms=(ZERO,))
    diagnosis = found(
        [make_vm(ONE)], orders=[order], operations={1: accepted(order, created={ONE: ZONES[0]}, failures=(hopeless,))}, **living(ONE)
    )
    assert diagnosis.lost == ()
    assert "no such image" in diagnosis.given_up[0].why


def test_another_projects_run_is_left_alone() -> None:
    assert found(orders=[make_order(1, project="elsewhere")]) == Diagnosis()
