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


def test_a_powered_off_vm_whose_worker_could_not_reach_the_source_is_replaced_after_a_pause() -> None:
    vms = [make_vm(ZERO, "TERMINATED"), make_vm(ONE), make_vm(TWO)]
    (lost,) = found(vms, heartbeats=[beat(ZERO, "failed", exit_code=69), beat(ONE), beat(TWO)]).lost
    assert (lost.vm, lost.cause) == (ZERO, "source or bucket away")
    at_once = found(vms, heartbeats=[beat(ZERO, "failed", exit_code=69, age=1), beat(ONE), beat(TWO)])
    assert at_once.lost == ()
    (waiting,) = at_once.waiting
    assert (waiting.vm, waiting.until) == (ZERO, NOW + timedelta(seconds=2))


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


def test_a_silent_vm_that_still_runs_is_not_doubled_until_ten_minutes_are_over() -> None:
    assert found([make_vm(ZERO)], orders=[make_order(1)], heartbeats=[beat(ZERO, age=590)]).lost == ()
    (lost,) = found([make_vm(ZERO)], orders=[make_order(1)], heartbeats=[beat(ZERO, age=610)]).lost
    assert (lost.cause, lost.replaces) == ("silent", (ZERO,))


def test_a_vm_on_which_no_worker_ever_spoke_is_replaced_twice_and_then_left_to_a_person() -> None:
    def booted(name: str, minutes: float) -> Any:
        return make_vm(name, started=NOW - timedelta(minutes=minutes))

    assert found([booted(ZERO, 9)], orders=[make_order(1)]).lost == ()
    assert found([booted(ZERO, 11)], orders=[make_order(1)]).lost[0].cause == "no heartbeat"
    third = f"{ZERO}-a3"
    diagnosis = found([booted(third, 11)], orders=line("no heartbeat", "no heartbeat"))
    assert diagnosis.lost == ()
    assert "3 VMs in a row" in diagnosis.given_up[0].why


def line(*causes: str, **changes: Any) -> list[Any]:
    """The orders of a shard whose VMs were lost one after another for these causes."""
    orders, before = [make_order(1)], [ZERO]
    for attempt, cause in enumerate(causes, start=2):
        name = f"{ZERO}-a{attempt}"
        vm = LaunchedVm(shards=(0,), attempt=attempt, replaces=",".join(before), cause=cause)
        orders.append(make_order({name: vm}, number=attempt, **changes))
        before.insert(0, name)
    return orders


def lasting(vm: str) -> dict[str, Any]:
    return {"heartbeats": [beat(vm, age=20)]}


@pytest.mark.parametrize(
    ("causes", "now", "limit"),
    [("powered off", "compute.instances.guestTerminate", 3), ("run limit", "delete", 3)],
)
def test_losses_are_counted_for_each_cause_along_the_line(causes: str, now: str, limit: int) -> None:
    generous = local_profile(spot_attempts=99, max_attempts=99)

    def after(*earlier: str) -> Diagnosis:
        last = f"{ZERO}-a{len(earlier) + 1}"
        event = VmEvent(last, ZONES[0], now, NOW - timedelta(seconds=10), user="system")
        return found(orders=line(*earlier), events=[event], profile=generous, **lasting(last))

    same = [causes] * (limit - 1)
    assert after(*same, "preempted", "preempted").lost
    given_up = after(*same, causes).given_up
    assert f"{limit + 1} VMs in a row were lost for the same cause: {causes}" in given_up[0].why


def test_what_the_service_could_not_make_is_asked_for_again_with_growing_pauses_and_uses_up_no_attempt() -> None:
    from provision.orders import LaunchFailure

    orders = line("no capacity", "no capacity", "no capacity", "no capacity", "no capacity", "no capacity")
    last = f"{ZERO}-a7"
    shortage = LaunchFailure(kind="no capacity", code="ZONE_RESOURCE_POOL_EXHAUSTED", message="m", vms=(last,))

    def after(seconds: float) -> Diagnosis:
        answer = accepted(orders[-1], created={}, failures=(shortage,), ended=NOW - timedelta(seconds=seconds))
        return found(orders=orders, operations={**{order.number: accepted(order) for order in orders[:-1]}, 7: answer})

    (waiting,) = after(60).waiting
    assert waiting.until == NOW - timedelta(seconds=60) + 3 * timedelta(seconds=64)
    (lost,) = after(200).lost
    assert (lost.name, lost.model) == (f"{ZERO}-a8", "SPOT")


def test_a_shard_whose_second_worker_was_lost_goes_to_a_new_vm_although_its_first_one_ended_well() -> None:
    beats = [beat(ZERO, "done", exit_code=0), beat(ONE, age=20), beat(TWO)]
    claims = [claim(0, ONE), claim(1, ONE, "done")]
    (lost,) = found([make_vm(TWO)], events=[preempted(ONE)], heartbeats=beats, claims=claims).lost
    assert (lost.vm, lost.shards, lost.cause) == (ZERO, (0,), "left to another")
    assert lost.replaces == (ZERO, ONE), "the claim of the one that is gone may be taken at once"


def test_a_worker_over_its_failure_budget_is_left_to_a_person() -> None:
    beats = [beat(ZERO, "stopped", exit_code=65), beat(ONE), beat(TWO)]
    diagnosis = found([make_vm(ONE), make_vm(TWO)], heartbeats=beats, claims=[claim(0, ZERO, "stopped")])
    assert diagnosis.lost == ()
    assert "--max-failures" in diagnosis.given_up[0].why


def test_a_vm_that_a_person_stopped_is_not_replaced() -> None:
    stop = VmEvent(ZERO, ZONES[0], "stop", NOW - timedelta(minutes=1), user="alice")
    run = {"orders": [make_order(1)], "heartbeats": [beat(ZERO, age=50)]}
    waiting = found([make_vm(ZERO, "TERMINATED")], events=[stop], **run)
    assert (waiting.lost, waiting.waiting[0].until) == ((), None)
    delete = VmEvent(ZERO, ZONES[0], "delete", NOW, user="alice")
    assert found(events=[stop, delete], **run).lost[0].cause == "deleted"


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
