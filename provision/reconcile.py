"""Reconcile: an unfinished run gets new VMs for those it lost, and loses those that are of no use. Any console may do it, or
`tickdeck reconcile`, at any time.

A lease (`provision.lease`) lets one console act at a time. Two that act all the same do not double a VM: the replacement is an order
with the next number of the run, and the bucket takes one order per number. What is replaced, by what and why is in that order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from engine.clock import Clock, utc_now
from engine.errors import ExitCode, describe_exit
from engine.launch import LaunchedVm
from engine.plan import Plan, load_plan
from engine.store import Store
from provision import canary
from provision.actions import Proposal, Receipt, apply, propose_drain
from provision.canary import Canary
from provision.cleanup import propose_sweep
from provision.clients import ComputeClients
from provision.cost_limit import Purse, expected_cost, judge_purse
from provision.fleet import FleetSnapshot
from provision.launch import make_order
from provision.lease import Held, Holder, Keeping, keep_lease, new_holder, release_lease, take_lease
from provision.names import replacement_name
from provision.placing import WAIT_SECONDS, LaunchResult, resume_launch
from provision.profile import Profile, require_writable
from provision.remedies import Remedy, cause_of, count_causes, count_made, find_rule, pause_before
from provision.resources import region_zones
from provision.runs import Phase, RunView
from provision.shortage import place_widely
from provision.successors import Successor
from provision.vm_state import NOT_ASKED, SILENT_AFTER, FleetVm, VmState

CUT_OFF_AFTER = timedelta(seconds=45)
"""An order that nobody has seen answered after this long: whoever wrote it may be gone. Asking twice is harmless, waiting is not."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A lost VM that is not replaced, and why: a person has to decide."""

    run: str
    vm: str
    shards: tuple[int, ...]
    why: str

    def __str__(self) -> str:
        return f"{self.vm} is not replaced: {self.why}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A lost VM that is not replaced yet."""

    run: str
    vm: str
    shards: tuple[int, ...]
    why: str
    until: datetime | None = None
    """UTC; None: until a person or the service does something."""

    def __str__(self) -> str:
        when = f" until {self.until:%H:%M:%S} UTC" if self.until else ""
        return f"{self.vm} is waited for{when}: {self.why}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What reconcile found in a snapshot."""

    unasked: tuple[tuple[str, int], ...] = ()
    """(run, number) of orders whose launch was cut off."""
    lost: tuple[Successor, ...] = ()
    given_up: tuple[GivenUp, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    used_up: tuple[tuple[str, Purse], ...] = ()
    """Runs that have cost as much as they may."""

    def of_run(self, run: str) -> Diagnosis:
        """What concerns one run."""
        return Diagnosis(
            tuple(item for item in self.unasked if item[0] == run),
            tuple(item for item in self.lost if item.run == run),
            tuple(item for item in self.given_up if item.run == run),
            tuple(item for item in self.waiting if item.run == run),
            tuple(item for item in self.used_up if item[0] == run),
        )


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass of reconcile did, and what it left."""

    results: tuple[LaunchResult, ...] = ()
    """Of launches that were taken up, and of replacements."""
    receipts: tuple[Receipt, ...] = ()
    """Of VMs that were deleted, and of runs that were drained."""
    given_up: tuple[GivenUp, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    elsewhere: tuple[Held, ...] = ()
    """Leases of others: nothing was done for their runs."""
    canaries: tuple[Canary, ...] = ()
    """Of launches that wait for them."""

    def __add__(self, other: Pass) -> Pass:
        return Pass(
            self.results + other.results,
            self.receipts + other.receipts,
            self.given_up + other.given_up,
            self.waiting + other.waiting,
            self.elsewhere + other.elsewhere,
            self.canaries + other.canaries,
        )


def diagnose(
    profile: Profile,
    snapshot: FleetSnapshot,
    *,
    run: str | None = None,
    plans: Mapping[str, Plan] | None = None,
    max_cost: float = 0.0,
) -> Diagnosis:
    """Which VMs have to be replaced, in one run or in all runs of a snapshot. Pure.

    Args:
        plans: by id; a run whose plan is not among them has no limit of cost.
        max_cost: a limit that replaces the plans' and the profile's, in US dollars; 0: theirs.
    """
    found = Diagnosis()
    for view in snapshot.runs:
        if run not in (None, view.run) or view.phase(snapshot.taken) is not Phase.RUNNING or view.orders[0].project != profile.project:
            continue
        plan = (plans or {}).get(view.plan)
        purse = judge_purse(profile, plan, snapshot.of_run(view.run), override=max_cost) if plan is not None else None
        one = _diagnose_run(profile, snapshot, view, plan, purse)
        found = Diagnosis(
            found.unasked + one.unasked,
            found.lost + one.lost,
            found.given_up + one.given_up,
            found.waiting + one.waiting,
            found.used_up + one.used_up,
        )
    return found


def _diagnose_run(profile: Profile, snapshot: FleetSnapshot, view: RunView, plan: Plan | None, purse: Purse | None) -> Diagnosis:
    if purse is not None and purse.is_used_up:
        return Diagnosis(used_up=((view.run, purse),))
    unasked = tuple(
        (view.run, order.number)
        for order in view.orders
        if snapshot.taken - order.created > CUT_OFF_AFTER
        and ((answer := view.operations.get(order.number)) is None or answer.ended is None)
    )
    lost: list[Successor] = []
    given_up: list[GivenUp] = []
    waiting: list[Waiting] = []
    for row in find_lost(snapshot, view):
        found = _decide(profile, snapshot, view, row)
        if isinstance(found, Successor) and plan is not None and purse is not None:
            price = expected_cost(profile, plan, found.shards, row.machine_type, found.model, done=row.progress)
            if not purse.allows(price):
                figure = f"would cost about ${price:.2f}" if price is not None else f"has no known price ({row.machine_type})"
                found = GivenUp(view.run, row.name, found.shards, f"another VM {figure}: {purse}")
            else:
                purse = replace(purse, rest=purse.rest + (price or 0.0))
        match found:
            case Successor():
                lost.append(found)
            case GivenUp():
                given_up.append(found)
            case Waiting():
                waiting.append(found)
    return Diagnosis(unasked, tuple(lost), tuple(given_up), tuple(waiting))


def find_lost(snapshot: FleetSnapshot, view: RunView) -> tuple[FleetVm, ...]:
    """The VMs of a run of which nothing more is expected and that leave shards that nobody works on.

    One that ended well may be among them: another one had taken over its shard, and was lost with it.
    """
    return tuple(
        row
        for row in snapshot.of_run(view.run)
        if (row.dead or row.abandoned)
        and not row.replaced_by
        and row.attempt > 0
        and row.cause != NOT_ASKED
        and row.state in (VmState.LOST, VmState.PREEMPTED, VmState.STOPPED, VmState.FAILED, VmState.STUCK, VmState.DONE)
        and _orphaned_shards(snapshot, view, row)
    )


def is_hopeless(snapshot: FleetSnapshot, view: RunView) -> bool:
    """True if nothing of an unfinished run lives, boots or is still to be asked for."""
    rows = snapshot.of_run(view.run)
    alive = any(row.state is VmState.BOOTING or (not row.dead and row.exit_code < 0 and not row.abandoned) for row in rows)
    answers = [view.operations.get(order.number) for order in view.orders]
    unasked = any(answer is None or answer.ended is None for answer in answers)
    if view.phase(snapshot.taken) is not Phase.RUNNING:
        return not alive
    follows = view.canary is not None and view.canary_stop is None
    return not (alive or unasked or follows)


def replace_lost(
    profile: Profile,
    clients: ComputeClients,
    state: Store,
    snapshot: FleetSnapshot,
    lost: Sequence[Successor],
    *,
    verb: str = "replace",
    zones: tuple[str, ...] = (),
    armed: bool = False,
    wait_seconds: float = WAIT_SECONDS,
    clock: Clock = utc_now,
) -> tuple[LaunchResult, ...]:
    """Order new VMs for those that were lost: for each run one order of spot VMs and one of on-demand VMs, where needed.

    Where there is no capacity, each order is followed by others as `provision.shortage` says.
    A result that says `superseded` means that another console was faster: look again.

    Args:
        verb: for the audit trail.
        zones: where the new VMs may be; empty: where the profile says.

    Raises:
        WriteRefused: if the profile may not write.
        EngineError: if the plan cannot be read, or the service cannot be reached.
    """
    require_writable(profile, armed=armed)
    results = []
    views = {view.run: view for view in snapshot.runs}
    for run in dict.fromkeys(item.run for item in lost):
        view = views[run]
        plan = load_plan(state, view.plan)
        all_zones = region_zones(clients)
        number = view.orders[-1].number
        purse = judge_purse(profile, plan, snapshot.of_run(run))
        for model in ("SPOT", "STANDARD"):
            group = [item for item in lost if item.run == run and item.model == model]
            if not group:
                continue
            number += 1
            causes = dict.fromkeys(item.cause for item in group)
            order = make_order(
                replace(profile, zones=zones) if zones else profile,
                plan,
                run=run,
                number=number,
                vms={
                    item.name: LaunchedVm(shards=item.shards, attempt=item.attempt, replaces=",".join(item.replaces), cause=item.cause)
                    for item in group
                },
                now=clock(),
                region_zones=all_zones,
                model=model,
                reason=", ".join(causes),
                keep_until=view.orders[0].keep_until,
                like=view.orders[0],
            )
            result = place_widely(
                profile,
                clients,
                state,
                plan,
                order,
                verb=verb,
                committed=purse.spent + purse.rest,
                wait_seconds=wait_seconds,
                clock=clock,
            )
            results.append(result)
            number = result.later[-1].order.number if result.later else number
            if result.status == "superseded":
                break
    return tuple(results)


def reconcile(
    profile: Profile,
    clients: ComputeClients,
    state: Store,
    snapshot: FleetSnapshot,
    *,
    run: str | None = None,
    holder: Holder | None = None,
    find_plan: Callable[[str], Plan] | None = None,
    max_cost: float = 0.0,
    armed: bool = False,
    wait_seconds: float = WAIT_SECONDS,
    clock: Clock = utc_now,
) -> Pass:
    """One pass over one run, or over all runs of the snapshot: take up launches that were cut off, replace what is lost, drain what
    has cost as much as it may, delete VMs that are of no use.

    Args:
        holder: who takes the lease, and keeps it for the next pass; None: somebody new, who gives it back.
        find_plan: a plan by its id, where the caller keeps plans; by default from the state bucket.
        max_cost: as for `diagnose`.

    Raises:
        WriteRefused, EngineError: as for `resume_launch`, `replace_lost` and `provision.actions.apply`.
    """
    require_writable(profile, armed=armed)
    views = [view for view in snapshot.runs if run in (None, view.run) and view.orders[0].project == profile.project]
    find_plan = find_plan or (lambda plan: load_plan(state, plan))
    plans = {view.plan: find_plan(view.plan) for view in views if view.phase(snapshot.taken) is Phase.RUNNING}
    found = diagnose(profile, snapshot, run=run, plans=plans, max_cost=max_cost)
    one_time, holder = holder is None, holder or new_holder(profile.owner)
    done = Pass(given_up=found.given_up, waiting=found.waiting)
    for view in views:
        sweep = propose_sweep(profile, snapshot, view)
        if not sweep.items and view.phase(snapshot.taken) is not Phase.RUNNING:
            continue
        held = take_lease(state, view.run, holder, clock=clock)
        if held is None or not held.is_of(holder):
            done += Pass(elsewhere=(held,) if held else ())
            continue
        work = _Work(profile, clients, state, snapshot, view, armed, wait_seconds, clock)
        try:
            with keep_lease(state, held, holder, clock=clock) as keeping:
                done += work.do(found.of_run(view.run), sweep, keeping)
        finally:
            if one_time:
                release_lease(state, view.run, holder)
    return done


@dataclass(frozen=True, slots=True)
class Outlook:
    """How a run stands after a pass."""

    run: str
    state: Literal["going on", "complete", "failed"]
    """`failed`: it will not finish unless a person does something. Neither end comes while VMs of the run are still to go."""
    verdict: str
    """Of the fleet, or why it failed."""
    bad_files: bool = False
    """Workers ended with files that failed or are quarantined."""


def outlook(snapshot: FleetSnapshot, run: str, done: Pass) -> Outlook:
    """How a run stands, from the look that a pass began with and from what it did. Pure."""
    view = next(view for view in snapshot.runs if view.run == run)
    rows = snapshot.of_run(run)
    bad = any(row.exit_code == ExitCode.PARTIAL for row in rows)
    under_way = [row for row in rows if row.exists and not _is_kept(row, snapshot.taken) and row.state is not VmState.FAILED]
    if view.phase(snapshot.taken) is Phase.FINISHED:
        return Outlook(run, "going on" if under_way else "complete", snapshot.verdict, bad)
    if done.results or done.waiting or done.elsewhere or not is_hopeless(snapshot, view):
        return Outlook(run, "going on", snapshot.verdict, bad)
    return Outlook(run, "failed", _why_failed(view, done, snapshot), bad)


def _is_kept(row: FleetVm, now: datetime) -> bool:
    ownership = row.vm.ownership if row.vm is not None else None
    return ownership is not None and ownership.kept_until is not None and now < ownership.kept_until


def _why_failed(view: RunView, done: Pass, snapshot: FleetSnapshot) -> str:
    if view.canary_stop is not None:
        return f"its launch stopped at its canaries: {view.canary_stop.cause}"
    if view.phase(snapshot.taken) is Phase.EXPIRED:
        return f"it expired {view.expires:%Y-%m-%d %H:%M} UTC with {len(view.unfinished)} shards unfinished"
    if view.drain is not None:
        return f"it was told to {view.drain.verb}, {len(view.unfinished)} shards are unfinished"
    return "; ".join(map(str, done.given_up)) or snapshot.verdict


@dataclass(frozen=True, slots=True)
class _Work:
    """What has to be done for one run, under its lease."""

    profile: Profile
    clients: ComputeClients
    state: Store
    snapshot: FleetSnapshot
    view: RunView
    armed: bool
    wait_seconds: float
    clock: Clock

    def do(self, found: Diagnosis, sweep: Proposal, keeping: Keeping) -> Pass:
        """Step by step, as long as the lease is ours."""
        results: list[LaunchResult] = []
        receipts: list[Receipt] = []
        for _, number in found.unasked:
            if not keeping.lost:
                order = next(order for order in self.view.orders if order.number == number)
                results.append(
                    resume_launch(
                        self.profile,
                        self.clients,
                        self.state,
                        order,
                        armed=self.armed,
                        wait_seconds=self.wait_seconds,
                        clock=self.clock,
                    )
                )
        canaries = self._advance_canary(keeping, results) if not found.used_up else ()
        for _, purse in found.used_up:
            drain = propose_drain(self.profile, self.view, why=f"the limit of its cost is reached: {purse}")
            receipts += self._apply(drain, keeping)
        verdict = canaries[0].verdict if canaries else canary.Verdict.WAITING
        # What followed the canaries has taken the number that a replacement would have: the next pass replaces. Canaries that failed stay.
        if found.lost and not keeping.lost and verdict is canary.Verdict.WAITING:
            results += replace_lost(
                self.profile,
                self.clients,
                self.state,
                self.snapshot,
                found.lost,
                armed=self.armed,
                wait_seconds=self.wait_seconds,
                clock=self.clock,
            )
        if verdict is not canary.Verdict.FAILED:
            receipts += self._apply(sweep, keeping)
        return Pass(tuple(results), tuple(receipts), canaries=canaries)

    def _advance_canary(self, keeping: Keeping, results: list[LaunchResult]) -> tuple[Canary, ...]:
        if keeping.lost:
            return ()
        found, result = canary.advance(
            self.profile,
            self.clients,
            self.state,
            self.snapshot,
            self.view,
            armed=self.armed,
            wait_seconds=self.wait_seconds,
            clock=self.clock,
        )
        if result is not None:
            results.append(result)
        return (found,) if found is not None else ()

    def _apply(self, proposal: Proposal, keeping: Keeping) -> list[Receipt]:
        if not proposal.items or keeping.lost:
            return []
        confirm = len(proposal.items)
        return [
            apply(
                proposal,
                profile=self.profile,
                clients=self.clients,
                state=self.state,
                confirm=confirm,
                armed=self.armed,
                clock=self.clock,
            )
        ]


def _decide(profile: Profile, snapshot: FleetSnapshot, view: RunView, row: FleetVm) -> Successor | GivenUp | Waiting:
    shards = _orphaned_shards(snapshot, view, row)
    if view.canary_stop is not None:
        return GivenUp(view.run, row.name, shards, f"its launch stopped at its canaries: {view.canary_stop.cause}")
    # A worker that ended well left its shard to another one: how it ended says nothing about the shard.
    exit_code = ExitCode.DONE if row.state is VmState.DONE else row.exit_code
    cause, rule = cause_of(exit_code, row.cause), find_rule(exit_code, row.cause)
    if row.drained:
        others = any(other.exit_code < 0 and not other.dead and other.name != row.name for other in snapshot.of_run(view.run))
        if others:
            return Waiting(view.run, row.name, shards, "a person drained it: the other VMs of the run take its shards")
        return GivenUp(view.run, row.name, shards, "a person drained it, and no other VM works: resize the run")
    if rule.remedy is Remedy.GIVE_UP:
        words = f"its worker ended with {describe_exit(row.exit_code)}"
        more = row.last_error or ("" if row.note.startswith("worker ended") else row.note)
        said = (f"{words}: {more}" if more else words) if row.exit_code >= 0 else row.note
        return GivenUp(view.run, row.name, shards, said)
    if rule.remedy is Remedy.WAIT and row.exists:
        return Waiting(view.run, row.name, shards, "a person stopped it: start it again, or delete it")
    earlier = count_causes(_causes(view, row.name))
    causes = earlier + Counter([cause])
    if rule.limit and causes[cause] > rule.limit:
        return GivenUp(view.run, row.name, shards, f"{causes[cause]} VMs in a row were lost for the same cause: {cause}")
    if rule.pauses:
        ended = _ended(view, row)
        until = ended + pause_before(profile.kind, causes[cause]) if ended else None
        if until is not None and snapshot.taken < until:
            return Waiting(view.run, row.name, shards, f"{cause}; asking again at once would meet the same", until)
    if count_made(causes) >= profile.max_attempts:
        return GivenUp(view.run, row.name, shards, f"{profile.max_attempts} attempts were lost, the last one {cause}")
    model = _next_model(profile, view, row, causes)
    if not model:
        why = f"{count_made(causes)} spot VMs were lost, the last one {cause}, and the profile allows no other"
        return GivenUp(view.run, row.name, shards, why)
    return succeed(view, row, shards, cause, model)


def succeed(view: RunView, row: FleetVm, shards: tuple[int, ...], cause: str, model: str) -> Successor:
    """The VM that takes the place of another one. It may take the claims of all that had its shards before."""
    holders = (claim.vm for shard in shards if (claim := view.claims.get(shard)) is not None)
    return Successor(
        run=view.run,
        vm=row.name,
        shards=shards,
        attempt=row.attempt + 1,
        name=replacement_name(row.name, row.attempt + 1),
        replaces=tuple(dict.fromkeys((row.name, *_predecessors(view, row.name), *holders))),
        cause=cause,
        model=model,
    )


def _next_model(profile: Profile, view: RunView, row: FleetVm, causes: Counter[str]) -> str:
    """SPOT a few times, then STANDARD; "" if the profile does not allow that."""
    model = row.model or view.orders[-1].provisioning_model
    if model != "SPOT" or count_made(causes) < profile.spot_attempts:
        return model
    return "STANDARD" if profile.on_demand_fallback else ""


def _ended(view: RunView, row: FleetVm) -> datetime | None:
    """When a VM was last heard of, or when the service said that it would not make it."""
    if row.heartbeat is not None:
        return row.heartbeat.written
    order = view.find(row.name)
    operation = view.operations.get(order.number) if order is not None else None
    return operation.ended if operation is not None else None


def _predecessors(view: RunView, vm: str) -> tuple[str, ...]:
    """The VMs whose shards `vm` took over. One that never came to claim them leaves the claim with those before it."""
    order = view.find(vm)
    return tuple(filter(None, order.vms[vm].replaces.split(","))) if order is not None else ()


def _causes(view: RunView, vm: str) -> tuple[str, ...]:
    """Why the VMs before `vm` in its line of replacements were lost, newest first. Orders of earlier versions say it for all their VMs."""
    causes: list[str] = []
    while (order := view.find(vm)) is not None and order.vms[vm].replaces:
        causes.append(order.vms[vm].cause or order.reason)
        vm = order.vms[vm].replaces.split(",")[0]
    return tuple(causes)


def _orphaned_shards(snapshot: FleetSnapshot, view: RunView, row: FleetVm) -> tuple[int, ...]:
    """Its unfinished shards that no living worker has taken over."""
    return tuple(shard for shard in row.shards if shard in view.unfinished and not is_worked_on(snapshot, view, shard))


def is_worked_on(snapshot: FleetSnapshot, view: RunView, shard: int) -> bool:
    """Whether a living worker has claimed a shard."""
    claim = view.claims.get(shard)
    if claim is None or claim.state != "working":
        return False
    holder = next((row for row in snapshot.of_run(view.run) if row.name == claim.vm), None)
    heartbeat = view.heartbeats.get(claim.vm)
    return (
        holder is not None
        and not holder.dead
        and heartbeat is not None
        and heartbeat.exit_code < 0
        and snapshot.taken - heartbeat.written <= SILENT_AFTER
    )
