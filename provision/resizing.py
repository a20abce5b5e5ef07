"""More or fewer VMs for a run that goes on: what would be asked for, or which VMs would be drained. Pure.

More VMs help only where shards wait: those that nobody has any more, and those in the queue of a VM that has several. Fewer VMs cost
nothing that was done: a drained worker writes down what it has, and the others go on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.errors import UsageError
from engine.plan import Plan
from provision.actions import Item, Proposal, Refusal, vm_item
from provision.cost_limit import expected_cost, judge_purse
from provision.fleet import FleetSnapshot
from provision.names import replacement_name, shard_name
from provision.profile import Profile
from provision.reconcile import is_worked_on
from provision.replacing import list_shards, new_item, why_no_order
from provision.runs import RunView
from provision.successors import Successor
from provision.vm_state import FleetVm, VmState

REASON = "resize"
"""Why the VMs were asked for, in their order."""

_LEAST_LOST = (VmState.IDLE, VmState.BOOTING, VmState.STUCK, VmState.LOST)
"""Drained first: they do nothing that another one would have to take up."""


def working_vms(snapshot: FleetSnapshot, run: str) -> tuple[FleetVm, ...]:
    """The VMs of a run that work, or are on their way to: what `resize` counts."""
    return tuple(
        row
        for row in snapshot.of_run(run)
        if not row.drained
        and not row.abandoned
        and not row.replaced_by
        and (row.state is VmState.BOOTING or (not row.dead and row.exit_code < 0 and row.status not in ("STOPPING", "SUSPENDED")))
    )


def propose_resize(
    profile: Profile,
    snapshot: FleetSnapshot,
    view: RunView,
    plan: Plan,
    vms: int,
    *,
    zones: tuple[str, ...] = (),
    model: str = "",
) -> Proposal:
    """Let so many VMs work on a run: ask for more of them, or drain some.

    Args:
        zones: where new VMs may be; empty: where the profile says.
        model: of new VMs, `SPOT` or `STANDARD`; empty: as the run's.

    Raises:
        UsageError: for a number that cannot be, with why.
    """
    now = working_vms(snapshot, view.run)
    if vms < 1:
        raise UsageError("a run has at least one VM", hint=f"to end it: tickdeck drain {view.run}, or tickdeck abort {view.run}")
    if why := why_no_order(profile, snapshot, view):
        raise UsageError(why)
    if vms == len(now):
        return Proposal("resize", profile.project, (), (Refusal(view.run, f"has {vms} VMs"),), view.run, view.plan)
    if vms < len(now):
        return _shrink(profile, snapshot, view, now, len(now) - vms)
    if vms > profile.most_vms:
        raise UsageError(f"{vms} VMs, but profile {profile.name} allows {profile.most_vms}", hint="raise max_vms, or ask for fewer")
    return _grow(profile, snapshot, view, plan, now, vms - len(now), zones, model)


def _shrink(profile: Profile, snapshot: FleetSnapshot, view: RunView, now: Sequence[FleetVm], count: int) -> Proposal:
    def loss(row: FleetVm) -> tuple[bool, float, str]:
        return row.state not in _LEAST_LOST, row.progress, row.name

    leaving = [row for row in sorted(now, key=loss) if row.exists][:count]
    items = tuple(vm_item(profile, row, snapshot.taken, f"fewer VMs; {row.state}, {row.progress:.0%} of its work done") for row in leaving)
    return Proposal("drain", profile.project, items, run=view.run, plan=view.plan)


@dataclass
class _Load:
    """What one VM has before it."""

    name: str
    seconds: float
    """Of what it works on."""
    queue: list[int] = field(default_factory=list)
    """Shards that could be another VM's, in the order of work."""
    donors: set[str] = field(default_factory=set)
    """The living VMs whose queue they come from."""
    gone: set[str] = field(default_factory=set)
    """The VMs that are no more and had them."""

    def total(self, plan: Plan) -> float:
        return self.seconds + sum(plan.shard(shard).seconds for shard in self.queue)


def _grow(
    profile: Profile,
    snapshot: FleetSnapshot,
    view: RunView,
    plan: Plan,
    now: Sequence[FleetVm],
    count: int,
    zones: tuple[str, ...],
    model: str,
) -> Proposal:
    model = model or view.orders[0].provisioning_model
    machine_type = view.orders[-1].machine_types[0]
    loads = [_load_of(snapshot, view, plan, row) for row in now]
    queued = {shard for load in loads for shard in load.queue}
    own = {shard for row in now for shard in row.shards} - queued
    orphans = [shard for shard in view.unfinished if shard not in queued and shard not in own and not is_worked_on(snapshot, view, shard)]
    room = min(count, len(orphans) + len(queued))
    if not room:
        raise UsageError(
            f"each of the {len(view.unfinished)} unfinished shards of run {view.run} has its VM: another one would have nothing to do",
            hint="replace slow VMs, or drain the run and plan the rest with more shards",
        )
    new = [_Load("", 0.0) for _ in range(room)]
    for shard in sorted(orphans, key=lambda shard: -plan.shard(shard).seconds):
        least = min(new, key=lambda load: load.total(plan))
        least.queue.append(shard)
        least.gone |= {
            row.name for row in snapshot.of_run(view.run) if shard in row.shards and (row.dead or row.abandoned) and not row.replaced_by
        }
    while (donors := [load for load in loads if load.queue]) and _move(plan, max(donors, key=lambda load: load.total(plan)), new):
        pass
    used = {name for order in view.orders for name in (*order.vms, *order.follows)}
    purse = judge_purse(profile, plan, snapshot.of_run(view.run))
    items: list[Item] = []
    successors: list[Successor] = []
    refused = [Refusal(view.run, f"{count - room} of {count} more VMs would have nothing to do")] if room < count else []
    spent = 0.0
    for load in new:
        one = _successor(view, load, used, model)
        price = expected_cost(profile, plan, one.shards, machine_type, model)
        if not purse.allows(None if price is None else spent + price):
            figure = f"costs about ${price:.2f}" if price is not None else "has no known price"
            refused.append(Refusal(one.name, f"another VM {figure}: {purse}"))
            continue
        spent += price or 0.0
        successors.append(one)
        before = sorted(load.donors | load.gone)
        donors_named = f" of {', '.join(before)}" if before else ""
        items.append(new_item(profile, one, machine_type, f"shards {list_shards(one.shards)}{donors_named}", zones))
    return Proposal(
        "resize",
        profile.project,
        tuple(items),
        tuple(refused),
        view.run,
        view.plan,
        successors=tuple(successors),
        zones=zones,
    )


def _load_of(snapshot: FleetSnapshot, view: RunView, plan: Plan, row: FleetVm) -> _Load:
    """A VM's present shard as seconds, and the shards that wait behind it."""
    at = next((shard for shard, claim in view.claims.items() if claim.vm == row.name and claim.state == "working"), None)
    waiting = [shard for shard in row.shards if shard in view.unfinished and shard != at and not is_worked_on(snapshot, view, shard)]
    if at is None and waiting:
        # Its next one stays with it: it may be about to begin.
        at, waiting = waiting[0], waiting[1:]
    return _Load(row.name, plan.shard(at).seconds * (1 - row.progress) if at is not None else 0.0, waiting)


def _move(plan: Plan, donor: _Load, new: Sequence[_Load]) -> bool:
    """Give the last shard of the one who has most to the new VM that has least; False if nobody would gain."""
    least = min(new, key=lambda load: (bool(load.queue), load.total(plan)))
    shard = donor.queue[-1]
    if least.queue and least.total(plan) + plan.shard(shard).seconds >= donor.total(plan):
        return False
    donor.queue.pop()
    least.queue.append(shard)
    least.donors.add(donor.name)
    return True


def _successor(view: RunView, load: _Load, used: set[str], model: str) -> Successor:
    shards = tuple(sorted(load.queue))
    name, attempt = shard_name(view.run, shards[0]), 1
    while name in used:
        attempt += 1
        name = replacement_name(name, attempt)
    used.add(name)
    holders = {claim.vm for shard in shards if (claim := view.claims.get(shard)) is not None} - load.donors
    return Successor(view.run, "", shards, attempt, name, tuple(sorted(load.gone | holders)), REASON, model)
