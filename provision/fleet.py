"""The fleet at one moment: what Compute Engine lists, what workers say of themselves, and what was asked for, as one table.

`observe` fetches (VMs first, so that a VM that ended since is judged by its last words), `assess` joins and is pure. A VM that a
launch asked for and that is not there is a row too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.clock import Clock, utc_now
from engine.model import require_aware
from provision.clients import ComputeClients
from provision.names import KnownVm
from provision.operations import VmEvent, list_events
from provision.profile import Profile
from provision.resources import Vm, list_vms, watched_zones
from provision.runs import LOOK_BACK, Phase, RunReader, RunView
from provision.vm_state import APPEARS_WITHIN, UNKNOWN, FleetVm, VmState, judge_listed_vm, judge_missing_vm


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over our VMs that were not replaced."""

    vms: int = 0
    """Existing ones."""
    files_done: int = 0
    files_total: int = 0
    bytes_per_second: float = 0.0
    cost: float = 0.0
    """Of all VMs, replaced ones too."""
    cost_per_hour: float = 0.0
    by_state: Mapping[VmState, int] | None = None


@dataclass(frozen=True, slots=True)
class FleetSnapshot:
    """The fleet at one moment, worst rows first."""

    taken: datetime
    """UTC."""
    vms: tuple[FleetVm, ...]
    runs: tuple[RunView, ...]
    verdict: str
    totals: Totals

    def of_run(self, run: str) -> tuple[FleetVm, ...]:
        """The rows of a run."""
        return tuple(vm for vm in self.vms if vm.run == run)

    def only(self, run: str) -> FleetSnapshot:
        """The same moment as if there were only this run; strangers are left out."""
        rows, views = self.of_run(run), tuple(view for view in self.runs if view.run == run)
        return FleetSnapshot(self.taken, rows, views, _verdict(rows, views, self.taken), _totals(rows, views))

    def find(self, name: str) -> FleetVm | None:
        """A row by its VM's name; one that exists before one that does not."""
        return next((vm for vm in sorted(self.vms, key=lambda vm: not vm.exists) if vm.name == name), None)

    def known_vms(self) -> tuple[KnownVm, ...]:
        """What `provision.names` needs to understand what a person types."""
        live = {view.run for view in self.runs if view.phase(self.taken) in (Phase.RUNNING, Phase.DRAINING)}
        live |= {vm.run for vm in self.vms if vm.run and not vm.dead}
        return tuple(KnownVm(vm.name, vm.run if vm.managed else "", vm.shards, vm.attempt, vm.run in live) for vm in self.vms)


def observe(
    profile: Profile,
    clients: ComputeClients,
    reader: RunReader,
    *,
    run: str | None = None,
    previous: FleetSnapshot | None = None,
    clock: Clock = utc_now,
) -> FleetSnapshot:
    """Look at the whole fleet: one listing a zone, a few a run, and the zones' operations only when a VM is missing.

    Args:
        run: read this run whatever its phase; by default the live ones and those that a VM names.
        previous: the last snapshot, for causes that were found before.

    Raises:
        EngineError: if anything could not be read: half a picture would show VMs as lost that are not.
    """
    zones = watched_zones(clients)
    vms = list_vms(clients, zones)
    named = {ownership.run for vm in vms if (ownership := vm.ownership) is not None}
    views = tuple(map(reader.with_outcome, reader.live_runs(clock(), also=named | ({run} if run else set()))))
    now = clock()
    snapshot = assess(now, profile, vms, views, previous=previous)
    missing = frozenset(row.name for row in snapshot.vms if _is_unexplained(row))
    if missing:
        since = min((view.orders[0].created for view in views), default=now - LOOK_BACK) - APPEARS_WITHIN
        events = list_events(clients, zones, since=since, vms=missing)
        snapshot = assess(now, profile, vms, views, events=events, previous=previous)
    return snapshot


def _is_unexplained(row: FleetVm) -> bool:
    """A VM that ended before its work did, and nobody has said why."""
    return row.managed and row.dead and row.state in (VmState.LOST, VmState.STOPPED) and row.cause in ("", UNKNOWN) and not row.replaced_by


def assess(
    now: datetime,
    profile: Profile,
    vms: Sequence[Vm],
    views: Sequence[RunView],
    *,
    events: Iterable[VmEvent] = (),
    previous: FleetSnapshot | None = None,
) -> FleetSnapshot:
    """Join what is known into rows, verdict and totals. Pure.

    Args:
        now: UTC.
        vms: every instance of the watched zones.
        views: the runs to show.
        events: what happened to missing VMs, oldest first.
        previous: the last snapshot, for progress and for causes that were found before.
    """
    require_aware(now)
    by_run = {view.run: view for view in views}
    history: dict[str, list[VmEvent]] = {}
    for event in events:
        history.setdefault(event.vm, []).append(event)
    earlier = {row.name: row for row in previous.vms} if previous else {}
    rows = [judge_listed_vm(now, profile, vm, by_run, history.get(vm.name, []), earlier.get(vm.name)) for vm in vms]
    listed = {vm.name for vm in vms}
    for view in views:
        names = dict.fromkeys(name for order in view.orders for name in order.vms if name not in listed)
        rows += [judge_missing_vm(now, profile, name, view, history.get(name, []), earlier.get(name)) for name in names]
    worst_first = {state: place for place, state in enumerate(VmState)}
    rows.sort(key=lambda row: (bool(row.replaced_by), worst_first[row.state], _natural(row.name)))
    return FleetSnapshot(now, tuple(rows), tuple(views), _verdict(rows, views, now), _totals(rows, views))


def _verdict(rows: Sequence[FleetVm], views: Sequence[RunView], now: datetime) -> str:
    """One sentence, the worst first: "1 preempted and replaced, 3 running; slowest shard 2 ends 05:40"."""
    ours = [row for row in rows if row.managed]
    if not ours:
        return "no VMs of ours"
    live = {view.run for view in views if view.phase(now) in (Phase.RUNNING, Phase.DRAINING)}
    shown = [row for row in ours if row.exists or row.run in live] or ours
    counted = Counter((row.state, bool(row.replaced_by)) for row in shown)
    parts = []
    for state in VmState:
        if counted[state, False]:
            parts.append(f"{counted[state, False]} {state}")
        if counted[state, True]:
            parts.append(f"{counted[state, True]} {state} and replaced")
    line = ", ".join(parts)
    running = [row for row in shown if row.state is VmState.RUNNING and row.ends is not None]
    if running:
        slowest = max(running, key=lambda row: row.ends or now)
        assert slowest.ends is not None
        shard = slowest.heartbeat.shard if slowest.heartbeat and slowest.heartbeat.shard >= 0 else min(slowest.shards, default=0)
        line += f"; slowest shard {shard} ends {slowest.ends:%H:%M}"
        if slowest.ends.date() != now.date():
            line += f" on {slowest.ends:%Y-%m-%d}"
    holders = dict.fromkeys(view.lease.lease.who for view in views if view.run in live and view.lease and not view.lease.is_stale(now))
    return f"{line}; looked after by {', '.join(holders)}" if holders else line


def without_work(rows: Iterable[FleetVm], views: Iterable[RunView]) -> frozenset[str]:
    """VMs of ours all of whose shards were claimed by others, and that hold no claim: their files are counted elsewhere."""
    holders = {(view.run, shard): claim.vm for view in views for shard, claim in view.claims.items()}
    holding = set(holders.values())
    return frozenset(
        row.name
        for row in rows
        if row.managed and row.shards and row.name not in holding and all((row.run, shard) in holders for shard in row.shards)
    )


def _totals(rows: Sequence[FleetVm], views: Sequence[RunView]) -> Totals:
    ours = [row for row in rows if row.managed]
    relieved = without_work(ours, views)
    current = [row for row in ours if row.name not in relieved]
    return Totals(
        vms=sum(row.exists for row in ours),
        files_done=sum(row.files_done for row in current),
        files_total=sum(row.files_total for row in current),
        bytes_per_second=sum(row.bytes_per_second for row in current if row.state is VmState.RUNNING),
        cost=sum(row.cost for row in ours),
        cost_per_hour=sum(row.cost_per_hour for row in ours),
        by_state=Counter(row.state for row in ours),
    )


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """Sort key that puts `...-2` before `...-10`."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in name.split("-"))
