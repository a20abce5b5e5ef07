"""State of runs that are long over: found by one rule, deleted by generation, and nothing else is ever touched."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.clock import utc_now
from engine.launch import LaunchedVm
from engine.paths import claim_object, heartbeat_object, launch_object, lease_object
from engine.run import new_run
from provision.actions import Item, Proposal, apply
from provision.audit import RECEIPT
from provision.cleanup import propose_cleanup, take_inventory
from provision.lease import Holder, take_lease
from provision.orders import write_order
from provision.stale_state import delete_state, find_stale_state
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import make_order

OLD = timedelta(days=40)


def old_run(wired: Wired, *, finished: bool) -> str:
    """A run of long ago with one shard, and all that it left."""
    began = utc_now() - OLD
    run = new_run(began)
    vm = f"market-data-shard-{run}-0"
    order = make_order({vm: LaunchedVm(shards=(0,))}, run=run, created=began, project=wired.profile.project)
    write_order(wired.state, order)
    wired.work(run, vm, 0, "done" if finished else "working", exit_code=0 if finished else -1)
    take_lease(wired.state, run, Holder("gone", "alice"))
    wired.state.put(f"runs/{run}/logs/{vm}/1.0.jsonl.gz", b"x", if_generation=0)
    wired.state.put(f"manifests/by_date/day-2024-05-01/data_type-trades/venue-binance/{run}-0-1.json", b"{}", if_generation=0)
    wired.state.put(f"plans/{order.plan}.json", b"{}", if_generation=None)
    return run


def names(wired: Wired) -> set[str]:
    return {info.name for info in wired.state.list("") if not info.name.startswith("audit/")}


def passing(run: str, *, claims: bool) -> set[str]:
    vm = f"market-data-shard-{run}-0"
    return {heartbeat_object(run, vm), lease_object(run)} | ({claim_object(run, 0)} if claims else set())


@pytest.mark.parametrize("finished", [False, True])
def test_a_dead_run_loses_its_passing_state_by_the_guarded_path_and_keeps_its_history(wired: Wired, finished: bool) -> None:
    run = old_run(wired, finished=finished)
    before = names(wired)
    snapshot = wired.look()
    # Everything was written just now: the look is one of the far future.
    inventory = take_inventory(wired.clients, snapshot, state=wired.state, clock=lambda: utc_now() + OLD)
    proposal = propose_cleanup(wired.profile, snapshot, inventory)
    listed = {name for item in proposal.items for name, _ in item.objects}
    assert {item.kind for item in proposal.items} == {"state"}
    assert listed == passing(run, claims=not finished)
    assert ("finished" if finished else "expired") in proposal.items[0].why
    receipt = apply(proposal, profile=wired.profile, clients=wired.clients, state=wired.state, confirm=len(proposal.items))
    assert receipt.failed == ()
    assert before - names(wired) == listed
    assert launch_object(run, 1) in names(wired)
    record = wired.audit()[-1]
    assert (record.phase, record.verb, {item.kind for item in record.items}) == (RECEIPT, "cleanup", {"state"})


def test_state_that_is_young_or_of_a_run_that_is_not_over_or_has_vms_is_not_stale(wired: Wired) -> None:
    run = old_run(wired, finished=False)
    soon, later = utc_now() + timedelta(days=29), utc_now() + OLD
    assert find_stale_state(wired.state, now=soon) == ()
    assert find_stale_state(wired.state, now=later, living={run}) == ()
    assert find_stale_state(wired.state, now=later)
    assert find_stale_state(wired.state, now=later, older_than=timedelta(days=90)) == ()
    young = wired.launch(1).order
    wired.work(young.run, next(iter(young.vms)), 0)
    found = find_stale_state(wired.state, now=utc_now() + timedelta(hours=3), older_than=timedelta(hours=2))
    assert {stale.run for stale in found} == {run}


def test_a_run_that_was_never_launched_is_left_alone(wired: Wired) -> None:
    run = new_run(utc_now() - OLD)
    wired.work(run, "laptop", 0)
    assert find_stale_state(wired.state, now=utc_now() + OLD) == ()


def test_what_was_written_again_since_the_proposal_stays(wired: Wired) -> None:
    run = old_run(wired, finished=False)
    snapshot = wired.look()
    inventory = take_inventory(wired.clients, snapshot, state=wired.state, clock=lambda: utc_now() + OLD)
    proposal = propose_cleanup(wired.profile, snapshot, inventory)
    vm = f"market-data-shard-{run}-0"
    wired.state.put(heartbeat_object(run, vm), b"{}", if_generation=None)
    receipt = apply(proposal, profile=wired.profile, clients=wired.clients, state=wired.state, confirm=len(proposal.items))
    assert ["were written meanwhile" in result.message for result in receipt.failed] == [True]
    assert heartbeat_object(run, vm) in names(wired)


def test_a_forged_proposal_deletes_nothing_but_passing_state_of_its_run(wired: Wired) -> None:
    run, other = old_run(wired, finished=False), old_run(wired, finished=False)
    before = names(wired)
    for name in before:
        info = wired.state.stat(name)
        assert info is not None
        if name in passing(run, claims=True):
            continue
        assert delete_state(wired.state, run, [(lease_object(run), 1), (name, info.generation)]) == (
            False,
            f"{name} is no passing state of run {run}",
        )
    assert names(wired) == before
    assert lease_object(other) in before
    lease = wired.state.stat(lease_object(run))
    assert lease is not None
    item = Item("state", lease_object(run), "trust me", run=run, objects=((lease.name, lease.generation),))
    for verb in ("delete", "abort", "stop", "adopt"):
        forged = Proposal(verb, wired.profile.project, (item,))
        receipt = apply(forged, profile=wired.profile, clients=wired.clients, state=wired.state, confirm=1)
        assert receipt.failed
    assert names(wired) == before
