"""Looking at and changing a fleet over the wire: observe, drain, abort, delete, power, cleanup, reconcile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.cloud import compute_v1

from engine.clock import utc_now
from engine.launch import find_vm, read_launches
from engine.paths import drain_object
from provision.actions import (
    Item,
    Proposal,
    Receipt,
    apply,
    propose_abort,
    propose_delete,
    propose_drain,
    propose_power,
)
from provision.audit import RECEIPT
from provision.cleanup import propose_cleanup, take_inventory
from provision.errors import CloudUnavailable, GuardRefusal
from provision.fleet import FleetSnapshot, observe
from provision.labels import make_labels
from provision.orders import write_order
from provision.reconcile import Pass, diagnose, reconcile, replace_lost
from provision.runs import RunReader
from provision.vm_state import VmState
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import RUN

ZONE, REGION = "asia-northeast1-a", "asia-northeast1"


def do(wired: Wired, proposal: Proposal, **more: Any) -> Receipt:
    return apply(proposal, profile=wired.profile, clients=wired.clients, state=wired.state, confirm=len(proposal.items), **more)


def states(snapshot: FleetSnapshot) -> dict[str, VmState]:
    return {row.name: row.state for row in snapshot.vms}


def stranger(wired: Wired, name: str, labels: dict[str, str] | None = None) -> None:
    """A VM that somebody else made."""
    instance = {
        "name": name,
        "machine_type": f"zones/{ZONE}/machineTypes/local-1",
        "labels": labels or {"app": "web"},
        "disks": [{"boot": True, "auto_delete": True, "initialize_params": {"source_image": "debian-12"}}],
        "network_interfaces": [{"network": "global/networks/default"}],
    }
    operation = wired.clients.instances.insert_unary(project=wired.profile.project, zone=ZONE, instance_resource=instance)
    wired.clients.zone_operations.wait(project=wired.profile.project, zone=ZONE, operation=operation.name)


def leftovers(wired: Wired, labels: dict[str, str]) -> None:
    """A disk without a VM and a reserved address, as the old scripts left forty of."""
    project = wired.profile.project
    disk = compute_v1.Disk(name="orphan", size_gb=100, labels=labels)
    wired.clients.disks.insert_unary(project=project, zone=ZONE, disk_resource=disk)
    address = compute_v1.Address(name="ip-40", labels=labels)
    wired.clients.addresses.insert_unary(project=project, region=REGION, address_resource=address)


def test_a_fleet_is_seen_with_what_its_workers_say_and_strangers_are_not_ours(wired: Wired) -> None:
    order = wired.launch(3).order
    stranger(wired, "web-1")
    names = list(order.vms)
    wired.work(order.run, names[0], 0, bytes_total=100, bytes_done=40, bytes_per_second=10.0, limited_by="cpu")
    wired.work(order.run, names[1], 1, "done", exit_code=0)
    snapshot = wired.look()
    assert states(snapshot) == {
        names[0]: VmState.RUNNING,
        names[1]: VmState.DONE,
        names[2]: VmState.BOOTING,
        "web-1": VmState.NOT_OURS,
    }
    working = snapshot.find(names[0])
    assert working is not None
    assert (working.progress, working.limited_by, working.shards) == (0.4, "cpu", (0,))
    assert snapshot.verdict.startswith("1 booting, 1 running, 1 done; slowest shard 0 ends ")


def test_a_preempted_vm_is_known_by_the_services_word_and_replaced_by_a_new_attempt(wired: Wired) -> None:
    order = wired.launch(3).order
    lost, *others = order.vms
    for shard, name in enumerate(order.vms):
        wired.work(order.run, name, shard)
    wired.preempt(lost)
    snapshot = wired.look()
    assert states(snapshot) == {lost: VmState.PREEMPTED, others[0]: VmState.RUNNING, others[1]: VmState.RUNNING}
    done = reconcile(wired.profile, wired.clients, wired.state, snapshot)
    assert ([result.status for result in done.results], done.given_up) == (["complete"], ())
    assert wired.names() == {f"{lost}-a2", *others}
    first, second = read_launches(wired.state, order.run)
    assert (second.number, second.reason) == (2, "preempted")
    _, vm = find_vm([first, second], f"{lost}-a2")
    assert (vm.shards, vm.attempt, vm.replaces) == ((0,), 2, lost)
    wired.wait_until(lambda: all(vm.status == "RUNNING" for vm in wired.vms()), "the replacement runs")
    wired.work(order.run, f"{lost}-a2", 0, gone=(lost,))
    after = wired.look(snapshot)
    assert after.verdict.startswith("1 preempted and replaced, 3 running")
    assert diagnose(wired.profile, after).lost == ()
    assert [record.verb for record in wired.audit()] == ["launch", "launch", "replace", "replace"]


def test_a_vm_that_lost_its_power_without_a_trace_is_lost_for_an_unknown_reason_and_replaced(wired: Wired) -> None:
    order = wired.launch(1).order
    (name,) = order.vms
    wired.work(order.run, name, 0)
    wired.kill(name)
    snapshot = wired.look()
    row = snapshot.find(name)
    assert row is not None
    assert (row.state, row.cause) == (VmState.LOST, "unknown")
    (result,) = reconcile(wired.profile, wired.clients, wired.state, snapshot).results
    assert list(result.created) == [f"{name}-a2"]


def test_two_consoles_that_see_the_same_loss_replace_it_once(wired: Wired) -> None:
    order = wired.launch(1).order
    (name,) = order.vms
    wired.work(order.run, name, 0)
    wired.preempt(name)
    one, other = wired.look(), wired.look()
    mine, theirs = (
        replace_lost(wired.profile, wired.clients, wired.state, seen, diagnose(wired.profile, seen).lost) for seen in (one, other)
    )
    assert [result.status for result in (*mine, *theirs)] == ["complete", "superseded"]
    assert wired.names() == {f"{name}-a2"}
    assert len(read_launches(wired.state, order.run)) == 2


def test_reconcile_takes_up_a_launch_that_was_cut_off(wired: Wired) -> None:
    order = wired.intent(2).order
    write_order(wired.state, order)
    assert reconcile(wired.profile, wired.clients, wired.state, wired.look()) == Pass()
    later = wired.look(at=utc_now() + timedelta(minutes=1))
    (result,) = reconcile(wired.profile, wired.clients, wired.state, later).results
    assert (result.status, wired.names()) == ("complete", set(order.vms))
    assert diagnose(wired.profile, wired.look(at=utc_now() + timedelta(minutes=1))).unasked == ()


def test_reconcile_of_one_run_leaves_the_others_alone(wired: Wired) -> None:
    one, other = wired.launch(2).order, wired.launch(2).order
    for order in (one, other):
        for shard, name in enumerate(order.vms):
            wired.work(order.run, name, shard)
        wired.preempt(next(iter(order.vms)))
    results = reconcile(wired.profile, wired.clients, wired.state, wired.look(), run=other.run).results
    assert [result.order.run for result in results] == [other.run]
    assert len(read_launches(wired.state, one.run)) == 1


def test_a_drain_tells_the_workers_and_ends_nothing_and_reconcile_stays_away(wired: Wired) -> None:
    order = wired.launch(2).order
    receipt = do(wired, propose_drain(wired.profile, wired.view(order.run)))
    assert receipt.message == "drain: 1 done"
    assert wired.state.stat(drain_object(order.run)) is not None
    assert len(wired.vms()) == 2
    wired.preempt(next(iter(order.vms)))
    assert reconcile(wired.profile, wired.clients, wired.state, wired.look()) == Pass()


def test_an_abort_deletes_every_vm_of_its_run_in_any_state_and_no_other(wired: Wired) -> None:
    order = wired.launch(3).order
    other = wired.launch(2).order
    stranger(wired, "web-1")
    wired.kill(next(iter(order.vms)))
    finished: list[tuple[str, int, int]] = []
    proposal = propose_abort(wired.profile, wired.look(), wired.view(order.run))
    receipt = do(wired, proposal, progress=lambda result, done, total: finished.append((result.item.name, done, total)))
    assert receipt.failed == receipt.warnings == ()
    assert wired.names() == {"web-1", *other.vms}
    assert finished[0] == (order.run, 1, 4)
    assert [done for _, done, _ in finished] == [1, 2, 3, 4]
    assert reconcile(wired.profile, wired.clients, wired.state, wired.look()) == Pass()


def test_a_deleted_vm_leaves_its_last_words_in_the_receipt_and_in_the_audit_trail(wired: Wired) -> None:
    order = wired.launch(2).order
    name = next(iter(order.vms))
    guest = f"guest of run {order.run} is up"
    read = wired.clients.instances.get_serial_port_output
    zone = wired.vms()[0].zone
    wired.wait_until(lambda: guest in read(project=wired.profile.project, zone=zone, instance=name).contents, "the guest is up")
    receipt = do(wired, propose_delete(wired.profile, wired.look(), [name]))
    (result,) = receipt.results
    assert result.ok
    assert guest in result.serial_tail
    assert name not in wired.names()
    record = wired.audit()[-1]
    assert (record.phase, record.verb, record.id) == (RECEIPT, "delete", receipt.audit_id)
    assert (record.items[0].ok, record.items[0].request_id) == (True, result.request_id)
    assert guest in record.items[0].serial_tail


def test_a_vm_that_lost_our_labels_since_the_proposal_is_not_touched(wired: Wired) -> None:
    order = wired.launch(2).order
    first, second = order.vms
    proposal = propose_delete(wired.profile, wired.look(), [first, second])
    vm = next(vm for vm in wired.vms() if vm.name == first)
    found = wired.clients.instances.get(project=wired.profile.project, zone=vm.zone, instance=first)
    body = compute_v1.InstancesSetLabelsRequest(labels={"app": "mine-now"}, label_fingerprint=found.label_fingerprint)
    wired.clients.instances.set_labels_unary(
        project=wired.profile.project, zone=vm.zone, instance=first, instances_set_labels_request_resource=body
    )
    receipt = do(wired, proposal)
    assert [(result.item.name, result.ok) for result in receipt.results] == [(first, False), (second, True)]
    assert "not ours" in receipt.failed[0].message
    assert wired.names() == {first}


def test_another_vm_of_the_same_name_is_not_the_one_that_was_meant(wired: Wired) -> None:
    order = wired.launch(1).order
    (name,) = order.vms
    proposal = propose_delete(wired.profile, wired.look(), [name])
    do(wired, proposal)
    stranger(wired, name, labels=order.labels)
    receipt = do(wired, Proposal("delete", wired.profile.project, tuple(_in_zone(item, ZONE) for item in proposal.items)))
    assert "another vm" in receipt.failed[0].message
    assert wired.names() == {name}


def _in_zone(item: Item, zone: str) -> Item:
    return Item(item.kind, item.name, item.why, zone, item.id, item.run, item.status)


def test_a_forged_proposal_for_a_stranger_is_refused_at_the_last_moment(wired: Wired) -> None:
    stranger(wired, "web-1")
    (vm,) = wired.vms()
    for verb in ("delete", "cleanup", "stop", "reset", "abort"):
        forged = Proposal(verb, wired.profile.project, (Item("vm", vm.name, "trust me", vm.zone, vm.id, "", vm.status),))
        receipt = do(wired, forged)
        assert "not ours" in receipt.failed[0].message
    assert wired.names() == {"web-1"}
    assert wired.vms()[0].status in ("STAGING", "RUNNING")


def test_deleting_what_is_gone_already_succeeds(wired: Wired) -> None:
    order = wired.launch(2).order
    proposal = propose_delete(wired.profile, wired.look(), list(order.vms))
    wired.preempt(next(iter(order.vms)))
    receipt = do(wired, proposal)
    assert {result.message for result in receipt.results} == {"was gone already", "deleted"}
    assert receipt.failed == ()


def test_one_failure_stays_listed_and_the_others_are_done(wired: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provision.operations.RETRY_SECONDS", 0.1)
    order = wired.launch(3).order
    proposal = propose_delete(wired.profile, wired.look(), list(order.vms))
    unlucky = next(iter(order.vms))
    wired.arm(fault="status", status=503, match=f"/instances/{unlucky}", method="DELETE")
    receipt = do(wired, proposal)
    assert [result.item.name for result in receipt.failed] == [unlucky]
    assert receipt.message == "delete: 2 done, 1 failed"
    assert wired.names() == {unlucky}
    assert [item.ok for item in wired.audit()[-1].items] == [False, True, True]


def test_a_vm_is_stopped_started_and_reset(wired: Wired) -> None:
    (name,) = wired.launch(1).order.vms
    for verb, status in (("stop", "TERMINATED"), ("start", "RUNNING"), ("reset", "RUNNING")):
        assert do(wired, propose_power(wired.profile, wired.look(), verb, [name])).failed == ()
        wired.wait_until(lambda status=status: wired.vms()[0].status == status, f"{verb} makes it {status}")


def test_cleanup_deletes_what_is_garbage_and_leaves_the_rest(wired: Wired) -> None:
    order = wired.launch(2).order
    done, working = order.vms
    wired.work(order.run, done, 0, "done", exit_code=0)
    wired.kill(done)
    wired.work(order.run, working, 1)
    ours = make_labels(owner="alice", run=RUN, plan="0123456789ab", expires=utc_now() + timedelta(hours=1))
    leftovers(wired, ours)
    stranger(wired, "web-1")
    snapshot = wired.look()
    inventory = take_inventory(wired.clients, snapshot, clock=lambda: utc_now() + timedelta(minutes=30))
    proposal = propose_cleanup(wired.profile, snapshot, inventory)
    assert {(item.kind, item.name) for item in proposal.items} == {("vm", done), ("disk", "orphan"), ("address", "ip-40")}
    receipt = do(wired, proposal)
    assert receipt.failed == ()
    assert wired.names() == {working, "web-1"}
    left = take_inventory(wired.clients, wired.look())
    assert "orphan" not in {disk.name for disk in left.disks}
    assert left.addresses == ()


def test_leftovers_of_strangers_are_left(wired: Wired) -> None:
    leftovers(wired, {"app": "web"})
    snapshot = wired.look()
    inventory = take_inventory(wired.clients, snapshot, clock=lambda: utc_now() + timedelta(days=30))
    assert len(inventory.disks) == len(inventory.addresses) == 1
    assert propose_cleanup(wired.profile, snapshot, inventory).items == ()


def test_cleanup_does_not_touch_a_vm_that_was_started_again_meanwhile(wired: Wired) -> None:
    order = wired.launch(1).order
    (name,) = order.vms
    wired.work(order.run, name, 0, "done", exit_code=0)
    wired.kill(name)
    snapshot = wired.look()
    proposal = propose_cleanup(wired.profile, snapshot, take_inventory(wired.clients, snapshot))
    do(wired, propose_power(wired.profile, snapshot, "start", [name]))
    wired.wait_until(lambda: wired.vms()[0].status == "RUNNING", "it runs again")
    receipt = do(wired, proposal)
    assert "was TERMINATED and is RUNNING now" in receipt.failed[0].message
    assert wired.names() == {name}


def test_a_mutation_whose_intent_cannot_be_written_does_not_happen(wired: Wired) -> None:
    order = wired.launch(1).order
    proposal = propose_delete(wired.profile, wired.look(), list(order.vms))

    nowhere = wired.state.beside("no-such-bucket")
    with pytest.raises(Exception, match="no-such-bucket"):
        apply(proposal, profile=wired.profile, clients=wired.clients, state=nowhere, confirm=1)
    assert wired.names() == set(order.vms)


def test_a_run_that_is_over_is_shown_only_while_it_has_vms_or_is_asked_for(wired: Wired) -> None:
    order = wired.launch(1).order
    (name,) = order.vms
    wired.work(order.run, name, 0, "done", exit_code=0)
    assert [row.name for row in wired.look().vms] == [name]
    do(wired, propose_delete(wired.profile, wired.look(), [name]))
    assert wired.look().vms == ()
    asked = observe(wired.profile, wired.clients, RunReader(wired.state), run=order.run)
    assert states(asked) == {name: VmState.DONE}


def test_half_a_picture_is_no_picture(wired: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provision.operations.RETRY_SECONDS", 0.1)
    wired.launch(2)
    wired.arm(fault="status", status=503, match="zones/asia-northeast1-b/instances", method="GET")
    with pytest.raises(CloudUnavailable):
        wired.look()


def test_a_dry_run_is_the_proposal_and_changes_nothing(wired: Wired) -> None:
    order = wired.launch(2).order
    snapshot, view = wired.look(), wired.view(order.run)
    assert propose_abort(wired.profile, snapshot, view) == propose_abort(wired.profile, snapshot, view)
    assert wired.names() == set(order.vms)
    assert [record.verb for record in wired.audit()] == ["launch", "launch"]
    with pytest.raises(GuardRefusal):
        apply(
            propose_abort(wired.profile, snapshot, view),
            profile=wired.profile,
            clients=wired.clients,
            state=wired.state,
            confirm=1,
        )
    assert wired.names() == set(order.vms)
