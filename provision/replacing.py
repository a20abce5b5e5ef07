"""Another VM in the place of one that a person gives up, and carrying out every proposal that asks for VMs of a run.

Deleting comes first and goes the guarded way; then comes an order, as reconcile would place it. A console that dies between the two
leaves a deleted VM, which reconcile replaces. Who is overtaken by reconcile finds the place taken, and asks for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from engine.clock import Clock, utc_now
from engine.errors import UsageError
from engine.plan import Plan
from engine.store import Store
from provision.actions import Item, ItemResult, Progress, Proposal, Receipt, Refusal, apply, vm_item
from provision.clients import ComputeClients
from provision.cost_limit import Purse, expected_cost, judge_purse
from provision.errors import GuardRefusal
from provision.fleet import FleetSnapshot
from provision.names import is_wildcard_only, resolve_names
from provision.placing import LaunchResult
from provision.prices import cost_per_hour
from provision.profile import Profile, require_writable
from provision.reconcile import is_worked_on, replace_lost, succeed
from provision.remedies import BY_HAND
from provision.resources import region_zones
from provision.runs import Phase, RunView
from provision.successors import Successor
from provision.vm_state import FleetVm

WAIT_SECONDS = 120.0
"""For the service to make the new VMs; after that the fleet shows how far it is."""


def propose_replace(
    profile: Profile,
    snapshot: FleetSnapshot,
    patterns: Sequence[str],
    *,
    find_plan: Callable[[str], Plan],
    zones: tuple[str, ...] = (),
    model: str = "",
) -> Proposal:
    """Delete VMs and ask for others in their place, which take up their unfinished shards. VMs that are gone already are replaced too.

    Args:
        find_plan: a plan by its id.
        zones: where the new VMs may be; empty: where the profile says.
        model: `SPOT` or `STANDARD`; empty: as the VM that is replaced.

    Raises:
        GuardRefusal: if a pattern selects by wildcards alone, or nothing was named.
        UsageError: for a name that cannot be meant.
    """
    if not patterns:
        raise GuardRefusal("no VM is named", hint="give names or patterns such as market-data-shard-r1*")
    names: dict[str, None] = {}
    for pattern in patterns:
        if is_wildcard_only(pattern):
            raise GuardRefusal(f"{pattern!r} selects by wildcards alone", hint="name VMs")
        names |= dict.fromkeys(resolve_names(pattern, snapshot.known_vms()))
    where = f" in {' or '.join(zones)}" if zones else ""
    views = {view.run: view for view in snapshot.runs}
    purses: dict[str, tuple[Plan, Purse]] = {}
    items: list[Item] = []
    refused: list[Refusal] = []
    successors: list[Successor] = []
    for row in (row for name in names for row in [snapshot.find(name)] if row is not None):
        view = views.get(row.run)
        why = _why_not(profile, snapshot, view, row)
        if why or view is None:
            refused.append(Refusal(row.name, why))
            continue
        new = succeed(view, row, unfinished_of(snapshot, view, row), BY_HAND, model or row.model or view.orders[-1].provisioning_model)
        if view.run not in purses:
            plan = find_plan(view.plan)
            purses[view.run] = plan, judge_purse(profile, plan, snapshot.of_run(view.run))
        plan, purse = purses[view.run]
        price = expected_cost(profile, plan, new.shards, row.machine_type, new.model, done=row.progress)
        if not purse.allows(price):
            refused.append(Refusal(row.name, f"another VM {f'costs about ${price:.2f}' if price else 'has no known price'}: {purse}"))
            continue
        successors.append(new)
        if row.exists:
            items.append(vm_item(profile, row, snapshot.taken, f"replaced by {new.name}; {row.state}"))
        items.append(
            new_item(profile, new, row.machine_type, f"in the place of {row.name}{where}; shards {list_shards(new.shards)}", zones)
        )
    runs = {new.run for new in successors}
    run = runs.pop() if len(runs) == 1 else ""
    plan_id = views[run].plan if run else ""
    return Proposal("replace", profile.project, tuple(items), tuple(refused), run, plan_id, successors=tuple(successors), zones=zones)


def unfinished_of(snapshot: FleetSnapshot, view: RunView, row: FleetVm) -> tuple[int, ...]:
    """What a VM would leave: its unfinished shards that no other living worker has, and those that it took over from others."""
    held = [shard for shard, claim in sorted(view.claims.items()) if claim.vm == row.name and claim.state == "working"]
    return tuple(
        shard
        for shard in dict.fromkeys((*held, *row.shards))
        if shard in view.unfinished
        and (shard not in view.claims or view.claims[shard].vm == row.name or not is_worked_on(snapshot, view, shard))
    )


def why_no_order(profile: Profile, snapshot: FleetSnapshot, view: RunView | None) -> str:
    """Why no VM may be asked for in a run; "" if one may."""
    if view is None:
        return "its run is not known"
    if view.orders[0].project != profile.project:
        return f"run {view.run} is of project {view.orders[0].project}"
    phase = view.phase(snapshot.taken)
    if phase is not Phase.RUNNING:
        return f"run {view.run} is {phase}: no VM is asked for"
    if view.canary_stop is not None:
        return f"the launch of run {view.run} stopped at its canaries: {view.canary_stop.cause}"
    if view.canary is not None:
        return f"run {view.run} waits for its canaries: look again when the rest is asked for"
    return ""


def new_item(profile: Profile, new: Successor, machine_type: str, why: str, zones: tuple[str, ...] = ()) -> Item:
    """A VM that would be asked for, as a row of a proposal."""
    cost = cost_per_hour(profile, machine_type, new.model) * 24
    return Item("new", new.name, why, ",".join(zones), run=new.run, status=new.model, cost_per_day=cost)


def carry_out(
    proposal: Proposal,
    *,
    profile: Profile,
    clients: ComputeClients,
    state: Store,
    look: Callable[[], FleetSnapshot],
    confirm: int,
    armed: bool = False,
    progress: Progress | None = None,
    clock: Clock = utc_now,
) -> Receipt:
    """Do what a proposal to replace VMs or to add some says.

    Args:
        look: at the fleet as it is when the old VMs are gone.
        confirm, armed, progress: as for `provision.actions.apply`.

    Raises:
        WriteRefused, GuardRefusal, StoreError: as for `provision.actions.apply`; then nothing was done.
    """
    require_writable(profile, armed=armed)
    if confirm != len(proposal.items):
        raise GuardRefusal(f"{proposal.verb}: {confirm} confirmed, but there are {len(proposal.items)}", hint="look at the list again")
    if proposal.project != profile.project or clients.project != profile.project:
        raise GuardRefusal(f"this proposal is for project {proposal.project}, the profile is for {profile.project}")
    _require_zones(clients, proposal.zones)
    started = clock()
    news = {item.name: item for item in proposal.items if item.kind == "new"}
    done: dict[str, ItemResult] = {}

    def tell(result: ItemResult) -> None:
        done[result.item.name] = result
        if progress is not None:
            progress(result, len(done), len(proposal.items))

    audit_id = ""
    warnings: tuple[str, ...] = ()
    old = replace(proposal, items=tuple(item for item in proposal.items if item.kind != "new"), successors=(), zones=())
    if old.items:
        receipt = apply(
            old,
            profile=profile,
            clients=clients,
            state=state,
            confirm=len(old.items),
            armed=armed,
            progress=lambda result, _finished, _total: tell(result),
            clock=clock,
        )
        audit_id, warnings = receipt.audit_id, receipt.warnings
    kept = {name for name, result in done.items() if not result.ok}
    snapshot = look()
    wanted, passed_over = _still_wanted(profile, snapshot, proposal.successors, kept)
    for name, (ok, message) in passed_over.items():
        tell(ItemResult(news[name], ok, message))
    orders = (
        replace_lost(
            profile,
            clients,
            state,
            snapshot,
            wanted,
            verb=proposal.verb,
            zones=proposal.zones,
            armed=armed,
            wait_seconds=WAIT_SECONDS,
            clock=clock,
        )
        if wanted
        else ()
    )
    for result in orders:
        audit_id = audit_id or result.audit_id
        for name in result.order.vms if result.status != "superseded" else ():
            tell(ItemResult(news[name], *_became(result, name)))
    for name, item in news.items():
        if name not in done:
            tell(ItemResult(item, False, "another console ordered VMs at the same moment: look again"))
    return Receipt(proposal, tuple(done[item.name] for item in proposal.items), started, clock(), audit_id, warnings)


def _still_wanted(
    profile: Profile, snapshot: FleetSnapshot, successors: Sequence[Successor], kept: Collection[str]
) -> tuple[list[Successor], dict[str, tuple[bool, str]]]:
    """Which VMs have to be asked for now that the old ones are gone, and what became of the others."""
    views = {view.run: view for view in snapshot.runs}
    wanted, passed_over = [], {}
    for new in successors:
        view = views.get(new.run)
        other = view.replaced_by().get(new.vm, "") if view is not None and new.vm else ""
        if new.vm in kept:
            passed_over[new.name] = False, f"not asked for: {new.vm} is still there"
        elif other:
            passed_over[new.name] = True, f"{other} has taken its place meanwhile"
        elif why := why_no_order(profile, snapshot, view):
            passed_over[new.name] = False, why
        else:
            wanted.append(new)
    return wanted, passed_over


def _became(result: LaunchResult, name: str) -> tuple[bool, str]:
    """What became of one VM of an order."""
    if zone := result.created.get(name):
        return True, f"asked for in {zone}"
    if result.status == "pending":
        return True, "asked for, on its way"
    told = next((failure.message for failure in result.failures if name in failure.vms or not failure.vms), "")
    return False, told or result.message


def _require_zones(clients: ComputeClients, zones: Sequence[str]) -> None:
    """Before anything is deleted: an order for a zone that is not there would be refused after it."""
    known = region_zones(clients) if zones else ()
    for zone in zones:
        if zone not in known:
            raise UsageError(f"region {clients.region} has no zone {zone}", hint=f"zones are {', '.join(known)}")


def _why_not(profile: Profile, snapshot: FleetSnapshot, view: RunView | None, row: FleetVm) -> str:
    """Why a VM is not replaced; "" if it may be."""
    if not row.managed:
        return "not ours"
    if row.replaced_by:
        return f"{row.replaced_by} has taken its place"
    if view is not None and view.find(row.name) is None:
        return "no launch asked for it"
    if why := why_no_order(profile, snapshot, view):
        return why
    assert view is not None
    return "" if unfinished_of(snapshot, view, row) else "nothing of its work is left: delete it"


def list_shards(numbers: Sequence[int]) -> str:
    """`3, 7, 9`; of many the first six and how many more."""
    return ", ".join(map(str, numbers[:6])) + (f" and {len(numbers) - 6} more" if len(numbers) > 6 else "")
