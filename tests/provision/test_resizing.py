"""More, fewer and other VMs for a run that goes on: what is proposed, and over the wire what comes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from engine.errors import UsageError
from engine.launch import LaunchedVm, find_vm, read_launches
from engine.plan import Plan
from provision.actions import Proposal, Receipt, apply, propose_power, propose_vm_drain
from provision.errors import GuardRefusal
from provision.fleet import FleetSnapshot, assess
from provision.profile import Profile
from provision.reconcile import diagnose, reconcile
from provision.replacing import carry_out, propose_replace
from provision.resizing import propose_resize, working_vms
from provision.ssh import find_shell
from provision.vm_state import VmState
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import (
    NOW,
    RUN,
    beat,
    claim,
    gcp_profile,
    local_profile,
    make_order,
    make_plan,
    make_view,
    make_vm,
    vm_name,
)

ZERO, THREE = vm_name(0), vm_name(3)


def two_with_queues(**view: Any) -> tuple[FleetSnapshot, Plan]:
    """Six shards on two VMs: the first works on shard 0 and has two more to do, the second has just booted."""
    order = make_order({ZERO: LaunchedVm(shards=(0, 1, 2)), THREE: LaunchedVm(shards=(3, 4, 5))})
    values = {"heartbeats": [beat(ZERO, shard=0, files_total=90, bytes_total=900, bytes_done=100)], "claims": [claim(0, ZERO)], **view}
    run = make_view([order], **values)
    booted = make_vm(THREE, started=NOW - timedelta(seconds=30))
    return assess(NOW, local_profile(), [make_vm(ZERO), booted], [run]), make_plan(6, seconds=[60, 50, 40, 60, 50, 40])


def resize(snapshot: FleetSnapshot, plan: Plan, vms: int, profile: Profile | None = None) -> Proposal:
    return propose_resize(profile or local_profile(), snapshot, snapshot.runs[0], plan, vms)


def test_more_vms_take_the_last_shards_of_those_that_have_most_and_never_the_one_under_way() -> None:
    proposal = resize(*two_with_queues(), 4)
    assert (proposal.verb, proposal.run, [item.kind for item in proposal.items]) == ("resize", RUN, ["new", "new"])
    assert sorted(shard for new in proposal.successors for shard in new.shards) in ([2, 5], [2, 4, 5], [1, 2, 4, 5], [1, 2, 5])
    assert not {0, 3} & {shard for new in proposal.successors for shard in new.shards}
    assert {new.name for new in proposal.successors} & {ZERO, THREE} == set()


def test_no_more_vms_are_asked_for_than_there_are_shards_that_wait() -> None:
    proposal = resize(*two_with_queues(), 9)
    assert len(proposal.items) == 4
    assert [refusal.why for refusal in proposal.refused] == ["3 of 7 more VMs would have nothing to do"]


def test_where_every_shard_has_its_vm_more_of_them_are_refused_with_what_helps_instead() -> None:
    view = make_view([make_order(2)], heartbeats=[beat(vm_name(0)), beat(vm_name(1))], claims=[claim(0, vm_name(0)), claim(1, vm_name(1))])
    snapshot = assess(NOW, local_profile(), [make_vm(vm_name(0)), make_vm(vm_name(1))], [view])
    with pytest.raises(UsageError, match=r"each of the 2 unfinished shards .* has its VM"):
        resize(snapshot, make_plan(2), 3)


@pytest.mark.parametrize(("vms", "why"), [(0, "at least one VM"), (101, "allows 100")])
def test_a_number_that_cannot_be_is_refused(vms: int, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        resize(*two_with_queues(), vms)


def test_a_run_that_was_drained_gets_no_vm_and_as_many_as_there_are_is_nothing_to_do() -> None:
    with pytest.raises(UsageError, match="is draining: no VM is asked for"):
        resize(*two_with_queues(drained=True), 4)
    assert resize(*two_with_queues(), 2).items == ()


def test_fewer_vms_drain_those_that_have_done_least() -> None:
    proposal = resize(*two_with_queues(), 1)
    assert (proposal.verb, [(item.kind, item.name) for item in proposal.items]) == ("drain", [("vm", THREE)])


def test_more_vms_that_would_cost_more_than_the_run_may_are_refused() -> None:
    snapshot, plan = two_with_queues()
    dear = gcp_profile(project="local", max_cost=0.0001)
    vms = [make_vm(name, machine_type="e2-highmem-8", started=NOW - timedelta(seconds=30)) for name in (ZERO, THREE)]
    rows = assess(NOW, dear, vms, snapshot.runs)
    proposal = resize(rows, plan, 3, dear)
    assert proposal.items == ()
    assert "limit $0.00" in proposal.refused[0].why


def test_a_vm_that_gave_shards_away_ends_sooner_and_counts_only_what_is_left() -> None:
    order = make_order({ZERO: LaunchedVm(shards=(0, 1, 2))})
    more = make_order({vm_name(1): LaunchedVm(shards=(1, 2))}, number=2, reason="resize")
    said = beat(ZERO, shard=0, files_total=90, files_done=10, bytes_total=900, bytes_done=100)
    before, after = (
        assess(NOW, local_profile(), [make_vm(ZERO)], [make_view(orders, heartbeats=[said], claims=[claim(0, ZERO)])]).find(ZERO)
        for orders in ([order], [order, more])
    )
    assert before is not None
    assert after is not None
    assert (after.shards, after.files_total, after.files_done) == ((0,), 30, 10)
    assert before.ends is not None
    assert after.ends is not None
    assert after.ends < before.ends


def test_a_drained_vm_is_not_replaced_while_others_work_and_a_person_is_asked_when_none_does() -> None:
    beats = [beat(vm_name(0), "stopped", exit_code=75), beat(vm_name(1))]
    run = make_view([make_order(2)], heartbeats=beats, claims=[claim(0, vm_name(0), "stopped")])
    drained = dataclasses.replace(run, drained=frozenset({vm_name(0)}))
    found = assess(NOW, local_profile(), [make_vm(vm_name(0), "TERMINATED"), make_vm(vm_name(1))], [drained])
    row = found.find(vm_name(0))
    assert row is not None
    assert (row.state, row.cause) == (VmState.STOPPED, "drained")
    waiting = diagnose(local_profile(), found)
    assert (waiting.lost, [item.vm for item in waiting.waiting]) == ((), [vm_name(0)])
    alone = diagnose(local_profile(), assess(NOW, local_profile(), [make_vm(vm_name(0), "TERMINATED")], [drained]))
    assert "resize the run" in next(item.why for item in alone.given_up if item.vm == vm_name(0))


def test_replacing_refuses_strangers_finished_work_and_wildcards() -> None:
    view = make_view([make_order(2)], heartbeats=[beat(vm_name(0), "done", exit_code=0)], claims=[claim(0, vm_name(0), "done")])
    snapshot = assess(NOW, local_profile(), [make_vm(vm_name(0)), make_vm("web-1", labels={"app": "web"})], [view])

    def propose(*names: str) -> Proposal:
        return propose_replace(local_profile(), snapshot, names, find_plan=lambda _id: make_plan(2))

    assert [refusal.why for refusal in propose("web-1").refused] == ["not ours"]
    assert "nothing of its work is left" in propose(vm_name(0)).refused[0].why
    with pytest.raises(GuardRefusal, match="wildcards alone"):
        propose("*")


def test_a_login_goes_through_the_proxy_where_the_vm_has_no_address_and_never_to_strangers() -> None:
    profile = gcp_profile(project="local")
    for external in (True, False):
        view = make_view([make_order(1, external_ip=external)], heartbeats=[beat(vm_name(0))])
        snapshot = assess(NOW, profile, [make_vm(vm_name(0)), make_vm("web-1", labels={"app": "web"})], [view])
        shell = find_shell(profile, snapshot, vm_name(0), ("docker", "logs", "a b"))
        assert shell.argv[:4] == ("gcloud", "compute", "ssh", vm_name(0))
        assert ("--tunnel-through-iap" in shell.argv) is not external
        assert shell.argv[-1] == "--command=docker logs 'a b'"
        with pytest.raises(GuardRefusal, match="not ours"):
            find_shell(profile, snapshot, "web-1")


# Over the wire


def order(wired: Wired, proposal: Proposal) -> Receipt:
    return carry_out(
        proposal, profile=wired.profile, clients=wired.clients, state=wired.state, look=wired.look, confirm=len(proposal.items)
    )


def replace(wired: Wired, plan: Plan, names: Sequence[str], **more: Any) -> Proposal:
    return propose_replace(wired.profile, wired.look(), names, find_plan=lambda _id: plan, **more)


def test_a_vm_is_replaced_in_another_zone_and_its_shard_goes_with_it(wired: Wired) -> None:
    plan = wired.plan(2)
    launched = wired.launch(2, plan=plan).order
    slow, other = launched.vms
    wired.work(launched.run, slow, 0)
    wired.work(launched.run, other, 1)
    proposal = replace(wired, plan, [slow], zones=("asia-northeast1-b",))
    assert [(item.kind, item.name) for item in proposal.items] == [("vm", slow), ("new", f"{slow}-a2")]
    receipt = order(wired, proposal)
    assert [(result.ok, result.message) for result in receipt.results] == [(True, "deleted"), (True, "asked for in asia-northeast1-b")]
    assert wired.names() == {f"{slow}-a2", other}
    _, vm = find_vm(read_launches(wired.state, launched.run), f"{slow}-a2")
    assert (vm.shards, vm.replaces, vm.cause) == ((0,), slow, "by hand")
    assert reconcile(wired.profile, wired.clients, wired.state, wired.look()).results == ()
    assert [record.verb for record in wired.audit()] == ["launch", "launch", "replace", "replace", "replace", "replace"]


def test_a_replacement_that_reconcile_made_meanwhile_is_not_made_twice(wired: Wired) -> None:
    plan = wired.plan(1)
    launched = wired.launch(1, plan=plan).order
    (name,) = launched.vms
    wired.work(launched.run, name, 0)
    wired.preempt(name)
    proposal = replace(wired, plan, [name])
    reconcile(wired.profile, wired.clients, wired.state, wired.look())
    (result,) = order(wired, proposal).results
    assert (result.ok, result.message) == (True, f"{name}-a2 has taken its place meanwhile")
    assert wired.names() == {f"{name}-a2"}


def test_a_zone_that_is_not_there_is_refused_before_anything_is_deleted(wired: Wired) -> None:
    plan = wired.plan(1)
    launched = wired.launch(1, plan=plan).order
    proposal = replace(wired, plan, list(launched.vms), zones=("mars-1",))
    with pytest.raises(UsageError, match="has no zone mars-1"):
        order(wired, proposal)
    assert wired.names() == set(launched.vms)


def test_a_run_grows_and_shrinks_and_every_shard_keeps_a_worker(wired: Wired) -> None:
    plan = wired.plan(4)
    launched = wired.launch(2, plan=plan).order
    first, second = launched.vms
    wired.work(launched.run, first, launched.vms[first].shards[0])
    snapshot = wired.look()
    grown = propose_resize(wired.profile, snapshot, snapshot.runs[0], plan, 4)
    receipt = order(wired, grown)
    assert all(result.ok for result in receipt.results)
    assert receipt.audit_id
    assert len(wired.names()) == 4
    wired.wait_until(lambda: all(vm.status == "RUNNING" for vm in wired.vms()), "all run")
    snapshot = wired.look()
    assert len(working_vms(snapshot, launched.run)) == 4
    fewer = propose_resize(wired.profile, snapshot, snapshot.runs[0], plan, 3)
    (item,) = fewer.items
    apply(fewer, profile=wired.profile, clients=wired.clients, state=wired.state, confirm=1)
    after = wired.look()
    assert after.runs[0].drained == {item.name}
    assert len(working_vms(after, launched.run)) == 3
    assert wired.names() == {*receipt_names(receipt), first, second}
    assert propose_vm_drain(wired.profile, after, [item.name]).refused[0].why == "was told before"
    assert propose_power(wired.profile, after, "stop", [item.name]).items


def receipt_names(receipt: Receipt) -> set[str]:
    return {result.item.name for result in receipt.results}
