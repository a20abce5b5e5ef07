"""Reconcile: an unfinished run gets new VMs for those it lost. Any console may do it, or `tickdeck reconcile`, at any time.

Two that act at once do not double a VM: the replacement is an order with the next number of the run, and the bucket takes one order
per number. What is replaced, by what and why is in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from engine.clock import Clock, utc_now
from engine.errors import ExitCode
from engine.launch import LaunchedVm
from engine.plan import load_plan
from engine.store import Store
from provision.clients import ComputeClients
from provision.fleet import FleetSnapshot
from provision.launch import make_order
from provision.names import replacement_name
from provision.placing import WAIT_SECONDS, LaunchResult, place_order, resume_launch
from provision.profile import Profile, require_writable
from provision.resources import region_zones
from provision.runs import Phase, RunView
from provision.vm_state import NOT_ASKED, SILENT_AFTER, UNKNOWN, FleetVm, VmState

FINAL_EXITS = frozenset({ExitCode.DONE, ExitCode.USAGE, ExitCode.PARTIAL, ExitCode.NOT_PERMITTED, ExitCode.CONFIGURATION})
"""A new VM would end the same way."""

CUT_OFF_AFTER = timedelta(seconds=45)
"""An order that nobody has seen answered after this long: whoever wrote it may be gone. Asking twice is harmless, waiting is not."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A VM whose unfinished shards have nobody."""

    run: str
    vm: str
    shards: tuple[int, ...]
    """Those that are not done."""
    attempt: int
    """Of the VM that would take over."""
    name: str
    """Of the VM that would take over."""
    replaces: tuple[str, ...]
    """All VMs before it, newest first: their claims may be taken at once."""
    cause: str
    model: str
    """What it would be: SPOT, or STANDARD after enough losses."""


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
class Diagnosis:
    """What reconcile found in a snapshot."""

    unasked: tuple[tuple[str, int], ...] = ()
    """(run, number) of orders whose launch was cut off."""
    lost: tuple[Lost, ...] = ()
    given_up: tuple[GivenUp, ...] = ()


def diagnose(profile: Profile, snapshot: FleetSnapshot, *, run: str | None = None) -> Diagnosis:
    """Which VMs have to be replaced, in one run or in all runs of a snapshot. Pure."""
    unasked: list[tuple[str, int]] = []
    lost: list[Lost] = []
    given_up: list[GivenUp] = []
    for view in snapshot.runs:
        if run not in (None, view.run) or view.phase(snapshot.taken) is not Phase.RUNNING or view.orders[0].project != profile.project:
            continue
        unasked += [
            (view.run, order.number)
            for order in view.orders
            if snapshot.taken - order.created > CUT_OFF_AFTER
            and ((answer := view.operations.get(order.number)) is None or answer.ended is None)
        ]
        for row in find_lost(snapshot, view):
            found = _decide(profile, view, row)
            if isinstance(found, Lost):
                lost.append(found)
            else:
                given_up.append(found)
    return Diagnosis(tuple(unasked), tuple(lost), tuple(given_up))


def find_lost(snapshot: FleetSnapshot, view: RunView) -> tuple[FleetVm, ...]:
    """The VMs of a run that are gone for good and leave shards that nobody works on."""
    return tuple(
        row
        for row in snapshot.of_run(view.run)
        if row.dead
        and not row.replaced_by
        and row.attempt > 0
        and row.cause != NOT_ASKED
        and row.state in (VmState.LOST, VmState.PREEMPTED, VmState.STOPPED, VmState.FAILED)
        and not (row.cause == "stopped" and row.exists)
        and _orphaned_shards(snapshot, view, row)
    )


def replace_lost(
    profile: Profile,
    clients: ComputeClients,
    state: Store,
    snapshot: FleetSnapshot,
    lost: Sequence[Lost],
    *,
    armed: bool = False,
    wait_seconds: float = WAIT_SECONDS,
    clock: Clock = utc_now,
) -> tuple[LaunchResult, ...]:
    """Order new VMs for those that were lost: for each run one order of spot VMs and one of on-demand VMs, where needed.

    A result that says `superseded` means that another console was faster: look again.

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
        zones = region_zones(clients)
        number = view.orders[-1].number
        for model in ("SPOT", "STANDARD"):
            group = [item for item in lost if item.run == run and item.model == model]
            if not group:
                continue
            number += 1
            causes = dict.fromkeys(item.cause for item in group)
            order = make_order(
                profile,
                plan,
                run=run,
                number=number,
                vms={item.name: LaunchedVm(shards=item.shards, attempt=item.attempt, replaces=",".join(item.replaces)) for item in group},
                now=clock(),
                region_zones=zones,
                model=model,
                reason=", ".join(causes),
            )
            result = place_order(profile, clients, state, order, verb="replace", wait_seconds=wait_seconds, clock=clock)
            results.append(result)
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
    armed: bool = False,
    wait_seconds: float = WAIT_SECONDS,
    clock: Clock = utc_now,
) -> tuple[tuple[LaunchResult, ...], tuple[GivenUp, ...]]:
    """One pass: take up launches that were cut off, then replace what is lost, in one run or in all of the snapshot.

    Raises:
        WriteRefused, EngineError: as for `resume_launch` and `replace_lost`.
    """
    require_writable(profile, armed=armed)
    found = diagnose(profile, snapshot, run=run)
    views = {view.run: view for view in snapshot.runs}
    results = []
    for name, number in found.unasked:
        order = next(order for order in views[name].orders if order.number == number)
        results.append(resume_launch(profile, clients, state, order, armed=armed, wait_seconds=wait_seconds, clock=clock))
    replaced = replace_lost(profile, clients, state, snapshot, found.lost, armed=armed, wait_seconds=wait_seconds, clock=clock)
    return (*results, *replaced), found.given_up


def _decide(profile: Profile, view: RunView, row: FleetVm) -> Lost | GivenUp:
    shards = tuple(shard for shard in row.shards if shard in view.unfinished)
    if row.exit_code in FINAL_EXITS:
        return GivenUp(view.run, row.name, shards, f"its worker ended with exit code {row.exit_code}: {row.last_error or row.note}")
    if row.state is VmState.FAILED and row.exit_code < 0:
        return GivenUp(view.run, row.name, shards, row.note)
    if row.attempt >= profile.max_attempts:
        return GivenUp(view.run, row.name, shards, f"{row.attempt} attempts were lost, the last one {row.cause or UNKNOWN}")
    model = row.model or view.orders[-1].provisioning_model
    if model == "SPOT" and row.attempt >= profile.spot_attempts:
        if not profile.on_demand_fallback:
            why = f"{row.attempt} spot VMs were lost, the last one {row.cause or UNKNOWN}, and the profile allows no other"
            return GivenUp(view.run, row.name, shards, why)
        model = "STANDARD"
    return Lost(
        run=view.run,
        vm=row.name,
        shards=shards,
        attempt=row.attempt + 1,
        name=replacement_name(row.name, row.attempt + 1),
        replaces=(row.name, *_predecessors(view, row.name)),
        cause=row.cause or UNKNOWN,
        model=model,
    )


def _predecessors(view: RunView, vm: str) -> tuple[str, ...]:
    """The VMs whose shards `vm` took over. One that never came to claim them leaves the claim with those before it."""
    order = view.find(vm)
    return tuple(filter(None, order.vms[vm].replaces.split(","))) if order is not None else ()


def _orphaned_shards(snapshot: FleetSnapshot, view: RunView, row: FleetVm) -> tuple[int, ...]:
    """Its unfinished shards that no living worker has taken over."""
    return tuple(shard for shard in row.shards if shard in view.unfinished and not _is_worked_on(snapshot, view, shard))


def _is_worked_on(snapshot: FleetSnapshot, view: RunView, shard: int) -> bool:
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
