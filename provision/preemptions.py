"""How a run's VMs came and went: each line of replacements with its lives and the time lost between them, and how often each zone takes
VMs away. Pure, from what a look at the fleet knows.

Apart from `provision.fleet`, which is about this moment: this is about what led to it, and what to do about it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from provision.fleet import FleetSnapshot
from provision.runs import RunView
from provision.vm_state import FleetVm, VmState

LEAST_PREEMPTED = 2
"""One VM taken away says nothing about a zone."""
MUCH_WORSE = 2.0
"""A zone is left when it takes VMs away this many times as often as the others."""
LEAST_HOURS = 0.05
"""A zone with fewer VM-hours is not compared: a rate over three minutes is noise."""

PREEMPTED = "preempted"


@dataclass(frozen=True, slots=True)
class Life:
    """One VM from the order to its end."""

    vm: str
    attempt: int
    zone: str
    model: str
    asked: datetime
    up: datetime | None
    """First word of its worker; None: it never spoke."""
    ended: datetime | None
    """Last word of it; None: it lives."""
    end: str = ""
    """Why it ended: `preempted`, another cause, `done`, or the state it is in."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """The VMs that had the same shards one after the other."""

    run: str
    shards: tuple[int, ...]
    lives: tuple[Life, ...]
    lost_seconds: float
    """In which nobody worked on the shards after a VM was gone: until the next one spoke, or until now."""

    @property
    def preempted(self) -> int:
        """How many of them the service took away."""
        return sum(life.end == PREEMPTED for life in self.lives)


@dataclass(frozen=True, slots=True)
class ZoneRate:
    """How a zone treats our VMs."""

    zone: str
    vms: int
    vm_hours: float
    preempted: int

    @property
    def per_hour(self) -> float | None:
        """VMs taken away in an hour of one VM; None: too little to say."""
        return self.preempted / self.vm_hours if self.vm_hours >= LEAST_HOURS else None


@dataclass(frozen=True, slots=True)
class MoveAdvice:
    """Leave a zone."""

    zone: str
    better: tuple[str, ...]
    """Zones to go to, the calmest first."""
    why: str


def find_lineages(snapshot: FleetSnapshot, run: str = "") -> tuple[Lineage, ...]:
    """Each line of replacements, those that lost most time first.

    Args:
        run: only of this one; by default of all runs of the snapshot.
    """
    found = []
    for view in snapshot.runs:
        if run in ("", view.run):
            rows = {row.name: row for row in snapshot.of_run(view.run)}
            after = view.replaced_by()
            replaced = {name for name in after if name in rows}
            unfinished = frozenset(view.unfinished)
            firsts = [name for order in view.orders for name, vm in order.vms.items() if not _before(vm.replaces, rows)]
            found += [_lineage(snapshot, view, rows, unfinished, _follow(first, after, replaced)) for first in dict.fromkeys(firsts)]
    return tuple(sorted(found, key=lambda line: (-line.lost_seconds, -len(line.lives), line.shards)))


def rate_zones(lineages: Iterable[Lineage], now: datetime) -> tuple[ZoneRate, ...]:
    """How often each zone takes spot VMs away, the worst first. VMs that cannot be preempted do not count."""
    counts: dict[str, list[float]] = {}
    for life in (life for line in lineages for life in line.lives if life.zone and life.model != "STANDARD"):
        one = counts.setdefault(life.zone, [0, 0.0, 0])
        one[0] += 1
        one[1] += max(0.0, ((life.ended or now) - (life.up or life.ended or now)).total_seconds()) / 3600
        one[2] += life.end == PREEMPTED
    rates = [ZoneRate(zone, int(vms), hours, int(preempted)) for zone, (vms, hours, preempted) in counts.items()]
    return tuple(sorted(rates, key=lambda rate: (-(rate.per_hour or 0.0), -rate.preempted, rate.zone)))


def advise_move(rates: Sequence[ZoneRate], zones: Sequence[str] = ()) -> MoveAdvice | None:
    """Whether to leave the worst zone, and for which.

    Args:
        zones: all that VMs may be in; those nobody has tried count as calm, after those that have proved it.
    """
    rated = [rate for rate in rates if rate.per_hour is not None]
    if not rated or rated[0].preempted < LEAST_PREEMPTED:
        return None
    worst = rated[0]
    rest = [rate for rate in rated[1:] if (rate.per_hour or 0.0) * MUCH_WORSE <= (worst.per_hour or 0.0)]
    tried = [rate.zone for rate in sorted(rest, key=lambda rate: (rate.per_hour or 0.0, -rate.vm_hours))]
    better = (*tried, *(zone for zone in zones if zone not in {rate.zone for rate in rates}))
    if not better:
        return None
    others = "; ".join(f"{rate.preempted} in {rate.vm_hours:.1f} in {rate.zone}" for rate in rest[:2])
    why = f"{worst.preempted} VMs preempted in {worst.vm_hours:.1f} VM-hours in {worst.zone}"
    return MoveAdvice(worst.zone, better, f"{why}, {others}" if others else why)


def _before(replaces: str, rows: dict[str, FleetVm]) -> list[str]:
    return [name for name in replaces.split(",") if name in rows]


def _follow(first: str, after: dict[str, str], replaced: set[str]) -> list[str]:
    names = [first]
    while names[-1] in replaced and (name := after[names[-1]]) not in names:
        names.append(name)
    return names


def _lineage(snapshot: FleetSnapshot, view: RunView, rows: dict[str, FleetVm], unfinished: frozenset[int], names: Sequence[str]) -> Lineage:
    lives = tuple(_life(snapshot, view, rows[name]) for name in names if name in rows)
    lost = 0.0
    for life, following in itertools.pairwise(lives):
        if life.ended is not None:
            lost += max(0.0, ((following.up or following.ended or snapshot.taken) - life.ended).total_seconds())
    last = lives[-1] if lives else None
    row = rows.get(names[-1])
    if last is not None and row is not None and last.ended is not None and unfinished & set(row.shards):
        held = any(claim.state == "working" and claim.vm != row.name for shard, claim in view.claims.items() if shard in row.shards)
        lost += 0.0 if held else max(0.0, (snapshot.taken - last.ended).total_seconds())
    order = view.find(names[0])
    return Lineage(view.run, order.vms[names[0]].shards if order is not None else (), lives, lost)


def _life(snapshot: FleetSnapshot, view: RunView, row: FleetVm) -> Life:
    order = view.find(row.name)
    operation = view.operations.get(order.number) if order is not None else None
    zone = row.zone or (operation.created.get(row.name, "") if operation is not None else "")
    beat = view.heartbeats.get(row.name)
    over = row.dead or bool(row.replaced_by) or row.exit_code >= 0
    if not over:
        over = row.state is VmState.LOST
    asked = order.created if order is not None else snapshot.taken
    ended = (beat.written if beat is not None else row.created or asked) if over else None
    end = "" if not over else row.cause or ("done" if row.state is VmState.DONE else str(row.state))
    return Life(row.name, row.attempt, zone, row.model, asked, max(beat.started, asked) if beat is not None else None, ended, end)
