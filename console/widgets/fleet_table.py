"""The fleet: one row a VM, worst first, with what limits it and when it ends.

The order comes with the rows, and so does the word for the state: judging a VM is not the table's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from console.widgets.columns import Cell, Column, Gauge, Toned
from console.widgets.figures import (
    UNKNOWN,
    format_age,
    format_count,
    format_duration,
    format_money,
    format_percent,
    format_rate,
)
from console.widgets.table import NOT_KNOWN, LineTable
from console.widgets.tones import Tone

STATE_LOOKS: Final[Mapping[str, tuple[str, Tone]]] = {
    "failed": ("×", Tone.BAD),
    "lost": ("×", Tone.BAD),
    "dead": ("×", Tone.BAD),
    "stuck": ("!", Tone.BAD),
    "silent": ("!", Tone.BAD),
    "preempted": ("↺", Tone.WARN),
    "replaced": ("↺", Tone.WARN),
    "stopped": ("■", Tone.WARN),
    "stopping": ("▼", Tone.WARN),
    "draining": ("▼", Tone.WARN),
    "paused": ("=", Tone.WARN),
    "staging": ("…", Tone.BUSY),
    "provisioning": ("…", Tone.BUSY),
    "booting": ("…", Tone.BUSY),
    "starting": ("…", Tone.BUSY),
    "working": ("►", Tone.BUSY),
    "running": ("►", Tone.BUSY),
    "idle": ("○", Tone.IDLE),
    "done": ("✓", Tone.GOOD),
    "gone": ("·", Tone.QUIET),
    "terminated": ("■", Tone.IDLE),
}
"""Glyph and tone of a state; a state not listed shows as "·" in the quiet tone."""

STALE_HEARTBEAT_SECONDS: Final = 25.0
"""A heartbeat older than this stands out: workers write one every 10 s, so two are missing."""


@dataclass(frozen=True, slots=True)
class FleetRow:
    """What the table shows of one VM."""

    name: str
    state: str
    """Chooses glyph and colour: a key of `STATE_LOOKS`."""
    state_word: str = ""
    """What is written; empty: the state itself."""
    managed: bool = True
    """Carries our labels; others are dimmed and cannot be marked."""
    zone: str = ""
    machine: str = ""
    shard: str = ""
    """One number or several: `17`, `17-19`."""
    done: int = 0
    total: int = 0
    """Files; 0 is not known yet."""
    rate_bytes_per_second: float | None = None
    limited_by: str = ""
    eta_seconds: float | None = None
    heartbeat_age_seconds: float | None = None
    attempt: int = 0
    """Counted from 1; 0 is not known yet."""
    cause: str = ""
    """Why there is a second attempt, e.g. `preempted`."""
    last_error: str = ""
    cost_usd: float | None = None
    created: datetime | None = None
    run: str = ""


def _state(row: FleetRow) -> Cell:
    glyph, tone = STATE_LOOKS.get(row.state, ("·", Tone.QUIET))
    return Toned(f"{glyph} {row.state_word or row.state}", tone)


def _progress(row: FleetRow) -> Cell:
    if row.total <= 0:
        return Toned(UNKNOWN, Tone.QUIET)
    return Gauge(row.done / row.total, f"{format_percent(row.done, row.total):>5}")


def _files(row: FleetRow) -> Cell:
    return f"{format_count(row.done)}/{format_count(row.total)}" if row.total > 0 else UNKNOWN


def _heartbeat(row: FleetRow) -> Cell:
    age = row.heartbeat_age_seconds
    stale = age is not None and age > STALE_HEARTBEAT_SECONDS
    return Toned(format_age(age) + ("!" if stale else ""), Tone.BAD if stale else Tone.QUIET)


def _attempt(row: FleetRow) -> Cell:
    if row.attempt <= 1 and not row.cause:
        return Toned(str(row.attempt) if row.attempt else UNKNOWN, Tone.QUIET)
    return Toned(f"{row.attempt} {row.cause}".rstrip(), Tone.WARN)


def _limit(row: FleetRow) -> Cell:
    return row.limited_by or Toned(UNKNOWN, Tone.QUIET)


def _place(row: FleetRow) -> int:
    return _STATES.get(row.state, len(_STATES))


def _shard_order(row: FleetRow) -> int | None:
    digits = row.shard.lstrip("→").partition(",")[0].partition("-")[0]
    return int(digits) if digits.isdigit() else None


def _done_share(row: FleetRow) -> float | None:
    return row.done / row.total if row.total > 0 else None


_STATES: Final = {state: place for place, state in enumerate(STATE_LOOKS)}

COLUMNS: Final[tuple[Column[FleetRow], ...]] = (
    Column("State", _state, 13, 14, 20, rank=0, sort=_place),
    Column("VM", lambda row: row.name, 15, 30, 40, rank=1, keep_end=True, sort=lambda row: _natural(row.name)),
    Column("Shard", lambda row: row.shard or UNKNOWN, 6, rank=7, right=True, sort=_shard_order),
    Column("Progress", _progress, 12, 16, 30, rank=2, sort=_done_share),
    Column("Files", _files, 13, rank=10, right=True, sort=lambda row: row.total or None, descending=True),
    Column(
        "Rate",
        lambda row: format_rate(row.rate_bytes_per_second),
        9,
        rank=5,
        right=True,
        sort=lambda row: row.rate_bytes_per_second,
    ),
    Column("Limited by", _limit, 10, rank=3, sort=lambda row: row.limited_by or None),
    Column("ETA", lambda row: format_duration(row.eta_seconds), 9, rank=4, right=True, sort=lambda row: row.eta_seconds, descending=True),
    Column("Beat", _heartbeat, 5, rank=6, right=True, sort=lambda row: row.heartbeat_age_seconds, descending=True),
    Column("Try", _attempt, 11, rank=9, sort=lambda row: row.attempt or None, descending=True),
    Column("Last error", lambda row: Toned(row.last_error, Tone.BAD), 15, 24, 80, rank=8, sort=lambda row: row.last_error or None),
    Column("Cost", lambda row: format_money(row.cost_usd), 7, rank=11, right=True, sort=lambda row: row.cost_usd, descending=True),
    Column("Zone", lambda row: Toned(row.zone, Tone.QUIET), 15, rank=12, sort=lambda row: row.zone or None),
    Column("Machine", lambda row: Toned(row.machine, Tone.QUIET), 13, rank=13, sort=lambda row: row.machine or None),
    Column("Run", lambda row: Toned(row.run, Tone.QUIET), 10, rank=14, sort=lambda row: row.run or None),
)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts `...-2` before `...-10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split("-")]


class FleetTable(LineTable[FleetRow]):
    """VMs with a cursor and marks, both by VM name. Messages: those of `LineTable`, their keys are VM names."""

    def __init__(self, rows: Iterable[FleetRow] = (), *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(
            COLUMNS,
            lambda row: row.name,
            markable=lambda row: row.managed,
            muted=lambda row: not row.managed,
            empty=NOT_KNOWN,
            id=id,
            classes=classes,
        )
        self.set_rows(rows)
