"""Cleanup: only what is provably garbage, each with a reason."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.launch import LaunchedVm
from provision.actions import Item
from provision.cleanup import propose_cleanup, propose_sweep
from provision.fleet import assess
from provision.labels import make_labels
from provision.operations import VmEvent
from provision.resources import Address, Disk, Inventory, Vm
from tests.provision.made_up_fleet import (
    NOW,
    PLAN,
    RUN,
    ZONES,
    beat,
    claim,
    gcp_profile,
    make_order,
    make_view,
    make_vm,
    vm_name,
)

OURS = make_labels(owner="alice", run=RUN, plan=PLAN, expires=NOW + timedelta(hours=1))
OLD = NOW - timedelta(days=3)


def found(vms: list[Vm] = [], disks: Any = (), addresses: Any = (), **run: Any) -> tuple[Item, ...]:  # noqa: B006 - never changed
    snapshot = assess(NOW, gcp_profile(), vms, [make_view(**run)])
    return propose_cleanup(gcp_profile(), snapshot, Inventory(NOW, tuple(vms), tuple(disks), tuple(addresses))).items


def real(orders: Any) -> dict[str, Any]:
    return {"orders": orders}


def test_a_powered_off_vm_whose_worker_said_goodbye_is_garbage() -> None:
    (item,) = found([make_vm(vm_name(0), "TERMINATED")], heartbeats=[beat(vm_name(0), "done", exit_code=0)])
    assert (item.kind, item.name, item.status) == ("vm", vm_name(0), "TERMINATED")
    assert "exit code 0 (done)" in item.why
    assert item.age_seconds == 3600
    assert item.cost_per_day > 0


def test_a_vm_that_is_lost_while_its_run_goes_on_is_not_garbage() -> None:
    assert found([make_vm(vm_name(0), "TERMINATED")], heartbeats=[beat(vm_name(0), age=900)]) == ()
    assert found([make_vm(vm_name(0))], heartbeats=[beat(vm_name(0), age=900)]) == ()


def test_a_powered_off_vm_of_a_run_that_is_over_or_that_was_replaced_is_garbage() -> None:
    over = [claim(index, vm_name(index), "done") for index in range(3)]
    assert found([make_vm(vm_name(0), "TERMINATED")], claims=over)[0].why.endswith("finished")
    assert found([make_vm(vm_name(0), "TERMINATED")], drained=True)[0].why.endswith("draining")
    replacement = make_order({f"{vm_name(0)}-a2": LaunchedVm(shards=(0,), attempt=2, replaces=vm_name(0))}, number=2)
    (item,) = found([make_vm(vm_name(0), "TERMINATED")], **real([make_order(1), replacement]))
    assert f"{vm_name(0)}-a2" in item.why


def test_a_running_vm_is_garbage_only_when_its_worker_ended_a_while_ago_or_it_has_expired() -> None:
    assert found([make_vm(vm_name(0))], heartbeats=[beat(vm_name(0), "done", age=30, exit_code=0)]) == ()
    (ended,) = found([make_vm(vm_name(0))], heartbeats=[beat(vm_name(0), "done", age=600, exit_code=0)])
    assert "10 min ago" in ended.why
    expired = make_labels(owner="alice", run=RUN, plan=PLAN, expires=NOW - timedelta(hours=1))
    (item,) = found([make_vm(vm_name(0), labels=expired)], heartbeats=[beat(vm_name(0))])
    assert item.why.startswith("expired 2026-03-01 11:00")


def swept(vms: list[Vm], *, events: Any = (), **run: Any) -> list[str]:
    snapshot = assess(NOW, gcp_profile(), vms, [make_view(**run)], events=events)
    return [item.name for item in propose_sweep(gcp_profile(), snapshot, snapshot.runs[0]).items]


def test_reconcile_deletes_by_itself_what_nobody_will_want_back() -> None:
    off, replacement = make_vm(vm_name(0), "TERMINATED"), f"{vm_name(0)}-a2"
    assert swept([off], heartbeats=[beat(vm_name(0), "done", exit_code=0)]) == [vm_name(0)]
    assert swept([off], heartbeats=[beat(vm_name(0), "done", exit_code=65)]) == [vm_name(0)]
    replaced = make_order({replacement: LaunchedVm(shards=(0,), attempt=2, replaces=vm_name(0))}, number=2)
    assert swept([off], **real([make_order(1), replaced]), heartbeats=[beat(vm_name(0), age=900)]) == [vm_name(0)]
    over = [claim(index, vm_name(index), "done") for index in range(3)]
    assert swept([off], claims=over, heartbeats=[beat(vm_name(0), "failed", exit_code=78)]) == [vm_name(0)]


@pytest.mark.parametrize("code", [64, 69, 77, 78])
def test_a_vm_whose_worker_failed_stays_for_whoever_looks_into_it_and_cleanup_proposes_it(code: int) -> None:
    off, run = make_vm(vm_name(0), "TERMINATED"), {"heartbeats": [beat(vm_name(0), "failed", exit_code=code)]}
    assert swept([off], **run) == []
    assert [item.name for item in found([off], **run)] == [vm_name(0)]


def test_a_vm_that_a_person_stopped_may_be_started_again_while_its_run_goes_on() -> None:
    off = make_vm(vm_name(0), "TERMINATED")
    stop = VmEvent(vm_name(0), ZONES[0], "stop", NOW - timedelta(minutes=1), user="alice")
    run = {"heartbeats": [beat(vm_name(0), "stopped", exit_code=75)]}
    snapshot = assess(NOW, gcp_profile(), [off], [make_view(**run)], events=[stop])
    assert propose_cleanup(gcp_profile(), snapshot, Inventory(NOW, (off,))).items == ()
    over = [claim(index, vm_name(index), "done") for index in range(3)]
    assert swept([off], events=[stop], claims=over, **run) == [vm_name(0)]


def test_a_kept_vm_is_left_until_its_time_is_over() -> None:
    for minutes, names in ((30, []), (-30, [vm_name(0)])):
        until = NOW + timedelta(minutes=minutes)
        kept = make_labels(owner="alice", run=RUN, plan=PLAN, expires=NOW + timedelta(days=1), keep_until=until)
        beats = [beat(vm_name(0), "done", age=600, exit_code=0)]
        assert [item.name for item in found([make_vm(vm_name(0), labels=kept)], heartbeats=beats)] == names
        assert swept([make_vm(vm_name(0), labels=kept)], heartbeats=beats) == names


def test_a_vm_that_hangs_goes_once_another_one_has_its_place_or_its_run_is_finished() -> None:
    hung, beats = make_vm(vm_name(0)), [beat(vm_name(0), age=1200)]
    assert swept([hung], heartbeats=beats) == []
    replaced = make_order({f"{vm_name(0)}-a2": LaunchedVm(shards=(0,), attempt=2, replaces=vm_name(0))}, number=2)
    assert swept([hung], **real([make_order(1), replaced]), heartbeats=beats) == [vm_name(0)]
    assert swept([hung], **real([make_order(1), replaced]), heartbeats=[beat(vm_name(0))]) == [], "it came back, and works"
    over = [claim(index, vm_name(1), "done") for index in range(3)]
    assert swept([hung], heartbeats=beats, claims=over) == [vm_name(0)]


def test_reconcile_never_deletes_a_stranger_or_another_runs_vm() -> None:
    strangers = [make_vm(vm_name(0), "TERMINATED", labels={}), make_vm(vm_name(1), "TERMINATED", run="r1tp9aaaaa")]
    over = [claim(index, vm_name(index), "done") for index in range(3)]
    assert swept(strangers, claims=over) == []


def disk(name: str = "boot", labels: Any = OURS, **changes: Any) -> Disk:
    values = {"status": "READY", "size_gb": 100, "kind": "pd-standard", "created": OLD, "users": ()}
    return Disk(name, ZONES[0], "7", labels=labels, **{**values, **changes})


@pytest.mark.parametrize(
    "other",
    [
        disk(labels={}),
        disk(users=("web-1",)),
        disk(created=NOW - timedelta(minutes=1)),
        disk(status="CREATING"),
        disk(vm_name(0)),
    ],
    ids=["stranger", "in use", "just made", "being made", "named after a VM"],
)
def test_a_disk_that_may_be_of_use_is_not_garbage(other: Disk) -> None:
    assert found([make_vm(vm_name(0))], disks=[other], heartbeats=[beat(vm_name(0))]) == ()


def test_an_orphan_disk_of_ours_is_garbage_with_its_price() -> None:
    (item,) = found(disks=[disk()])
    assert (item.kind, item.run) == ("disk", RUN)
    assert item.cost_per_day == pytest.approx(0.052 * 100 * 24 / 730)


def address(status: str = "RESERVED", labels: Any = OURS, **changes: Any) -> Address:
    return Address("ip-1", "asia-northeast1", "9", status, "198.51.100.1", changes.pop("created", OLD), labels, **changes)


@pytest.mark.parametrize(
    "other",
    [address(labels={}), address("IN_USE"), address(users=("web-1",)), address(created=NOW)],
    ids=["stranger", "in use", "has a user", "just made"],
)
def test_an_address_that_may_be_of_use_is_not_garbage(other: Address) -> None:
    assert found(addresses=[other]) == ()


def test_a_reserved_unused_address_of_ours_is_garbage_with_its_price() -> None:
    (item,) = found(addresses=[address()])
    assert (item.kind, item.place) == ("address", "asia-northeast1")
    assert item.cost_per_day == pytest.approx(0.36)
