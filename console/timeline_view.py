"""The words and bars of the preemption timeline: one line for each line of replacements, drawn over the time of the run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from console.amounts import format_hours
from console.fleet_view import format_ranges
from console.widgets.figures import UNKNOWN, format_duration, plural
from provision.preemptions import PREEMPTED, Life, Lineage, MoveAdvice, ZoneRate

WORKING, WAITING, GONE, TAKEN, ENDED, NOTHING = "█", "░", "·", "↺", "×", " "
"""At work; asked for and not heard yet; nobody there; taken away by the service; ended otherwise; before the run."""

LEGEND = f"{WORKING} at work  {WAITING} asked for  {GONE} nobody  {TAKEN} preempted  {ENDED} ended otherwise"


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One line of replacements."""

    key: str
    """Name of its newest VM."""
    shards: str
    bar: str
    lives: int
    preempted: int
    lost_seconds: float
    story: str
    """What happened, one clause a VM: `preempted 05:31 in …-a after 2 h 05 m`."""


def timeline_rows(lineages: Sequence[Lineage], now: datetime, width: int) -> tuple[TimelineRow, ...]:
    """A row for each, drawn on `width` cells from the first order to now."""
    start = min((life.asked for line in lineages for life in line.lives), default=now)
    return tuple(
        TimelineRow(
            line.lives[-1].vm,
            ",".join(format_ranges(line.shards)) or UNKNOWN,
            draw(line.lives, start, now, width),
            len(line.lives),
            line.preempted,
            line.lost_seconds,
            tell(line.lives),
        )
        for line in lineages
        if line.lives
    )


def draw(lives: Sequence[Life], start: datetime, now: datetime, width: int) -> str:
    """The lives on a line of `width` cells; each cell shows what held at its end, an end is never drawn over by what follows."""
    span = max((now - start).total_seconds(), 1.0)
    cells = [NOTHING] * width

    def at(moment: datetime) -> int:
        return max(0, min(width - 1, int((moment - start).total_seconds() / span * width)))

    def fill(begin: datetime, end: datetime, glyph: str) -> None:
        for cell in range(at(begin), at(end) + 1):
            cells[cell] = glyph

    for place, life in enumerate(lives):
        following = lives[place + 1] if place + 1 < len(lives) else None
        fill(life.asked, life.up or life.ended or now, WAITING)
        if life.up is not None:
            fill(life.up, life.ended or now, WORKING)
        if life.ended is not None and life.end != "done":
            fill(life.ended, following.asked if following is not None else now, GONE)
    for life in lives:
        if life.ended is not None and life.end != "done":
            cells[at(life.ended)] = TAKEN if life.end == PREEMPTED else ENDED
    return "".join(cells)


def tell(lives: Sequence[Life]) -> str:
    """What happened: `1 preempted 05:31 in asia-northeast1-a after 2 h 05 m; 2 up 05:35`."""
    clauses = []
    for life in lives:
        ran = format_duration((life.ended - life.up).total_seconds()) if life.ended and life.up else ""
        if life.ended is not None:
            end = f"{life.end} {_clock(life.ended)}" + (f" in {life.zone}" if life.zone else "")
            clauses.append(f"{life.attempt} {end}" + (f" after {ran}" if ran else ", never heard"))
        else:
            clauses.append(f"{life.attempt} up {_clock(life.up)}" if life.up else f"{life.attempt} asked for {_clock(life.asked)}")
    return "; ".join(clauses)


def zone_line(rate: ZoneRate) -> str:
    """`asia-northeast1-a: 3 preempted of 12 VMs, 0.25 an hour of a VM`."""
    each = UNKNOWN if rate.per_hour is None else f"{rate.per_hour:.2g}"
    of = f"{plural(rate.vms, 'VM')} in {format_hours(rate.vm_hours)} VM-hours"
    return f"{rate.zone}: {rate.preempted} preempted of {of}, {each} an hour of a VM"


def summary(lineages: Sequence[Lineage], now: datetime) -> str:
    """One sentence: `3 VMs preempted, 2 of them replaced; 12 m of work lost between`."""
    taken = sum(line.preempted for line in lineages)
    if not any(len(line.lives) > 1 or line.preempted for line in lineages):
        start = min((life.asked for line in lineages for life in line.lives), default=now)
        return f"No VM was lost in {format_duration((now - start).total_seconds())}"
    replaced = sum(len(line.lives) - 1 for line in lineages)
    lost = sum(line.lost_seconds for line in lineages)
    return f"{plural(taken, 'VM')} preempted, {plural(replaced, 'replacement')}; {format_duration(lost)} of VM time lost between"


def advice_line(advice: MoveAdvice | None) -> str:
    """What to do about it; "" if nothing."""
    if advice is None:
        return ""
    return f"Move: {advice.why}. R replaces the VMs of {advice.zone} in {' or '.join(advice.better[:2])}"


def _clock(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%H:%M}" if moment else UNKNOWN
