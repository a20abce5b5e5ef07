"""The words of the project as types: day ranges, cells, files, outcomes and cell states.

Everything else in the engine speaks in these. They are pure values: no I/O, no clock. Years of cells are made, hashed and compared at
each look at the lake, and a Struct does all of it in a fifth of a dataclass's time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from enum import StrEnum

import msgspec

from engine.errors import UsageError


class Outcome(StrEnum):
    """What became of a file."""

    OK = "ok"
    """Committed: one object in the data bucket holds exactly the source's rows."""
    EMPTY = "empty"
    """The source has no rows for it (its answer is one gzip of zero bytes)."""
    NOT_FOUND = "not_found"
    """The source answered 404."""
    NOT_ENTITLED = "not_entitled"
    """The key does not cover this file."""
    NOT_READY = "not_ready"
    """The source has not published the day yet."""
    QUARANTINED = "quarantined"
    """Bytes came, but cannot be trusted; they are kept in the state bucket with the reason."""
    FAILED = "failed"
    """No usable answer within the retries."""
    WAIVED = "waived"
    """A person or a rule said, with a reason, that the source will never have it."""


DONE_OUTCOMES = frozenset({Outcome.OK, Outcome.EMPTY, Outcome.WAIVED})
"""Outcomes that a later attempt does not try again."""

BAD_OUTCOMES = frozenset({Outcome.NOT_FOUND, Outcome.NOT_ENTITLED, Outcome.QUARANTINED, Outcome.FAILED})
"""Outcomes of an attempt that leave a hole."""


class CellState(StrEnum):
    """State of a cell for people, best first. Where several apply the worst wins."""

    NOT_EXPECTED = "not_expected"
    COMPLETE = "complete"
    NOT_READY = "not_ready"
    RUNNING = "running"
    THIN = "thin"
    MISSING = "missing"
    PARTIAL = "partial"
    FAILED = "failed"


_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+*&~^$!-]{0,127}|[^\W_][\w.\-]{0,127}")
_VENUE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def require_venue(venue: str) -> str:
    """Return `venue`, refusing what cannot be a Tardis exchange id (lower case letters, digits, single dashes).

    Raises:
        UsageError: naming the value.
    """
    if not _VENUE.fullmatch(venue):
        meant = re.sub(r"[\s_]+", "-", venue.strip().lower())
        hint = f"did you mean {meant}?" if _VENUE.fullmatch(meant) else 'ids look like "binance-futures"'
        raise UsageError(f"venue {venue!r} is not an exchange id", hint=hint)
    return venue


def require_symbol(symbol: str) -> str:
    """Return `symbol`, refusing control characters, spaces and path tricks.

    Raises:
        UsageError: naming the value.
    """
    if not _SYMBOL.fullmatch(symbol) or ".." in symbol:
        raise UsageError(f"symbol {symbol!r} is not a dataset symbol id", hint='ids look like "BTCUSDT" or "BTC-PERPETUAL"')
    return symbol


def require_aware(moment: datetime) -> datetime:
    """Return `moment` in UTC. A naive datetime is refused: nobody can know which zone it meant.

    Raises:
        UsageError: if `moment` has no time zone.
    """
    if moment.tzinfo is None:
        raise UsageError(f"naive datetime {moment.isoformat()}", hint="give it a time zone; Tickdeck works in UTC")
    return moment.astimezone(UTC)


def require_day(day: date) -> date:
    """Return `day`. A moment is refused: which day it is in depends on the zone, and nobody said one.

    Raises:
        UsageError: if it is a datetime.
    """
    if isinstance(day, datetime):
        raise UsageError(f"{day.isoformat()} is a moment, not a day", hint="give a date such as 2024-05-01")
    return day


def day_start(day: date) -> datetime:
    """The first instant of a UTC day.

    Raises:
        UsageError: for a moment.
    """
    require_day(day)
    return datetime.combine(day, time.min, tzinfo=UTC)


class DayRange(msgspec.Struct, frozen=True, order=True):
    """UTC calendar days, inclusive at both ends: `DayRange(date(2024, 5, 1), date(2024, 5, 3))` has 3 days."""

    start: date
    end: date

    def __post_init__(self) -> None:
        for value in (self.start, self.end):
            require_day(value)
        if self.end < self.start:
            raise UsageError(f"the range {self.start}..{self.end} is reversed", hint=f"did you mean {self.end}..{self.start}?")

    def __iter__(self) -> Iterator[date]:
        return map(date.fromordinal, range(self.start.toordinal(), self.end.toordinal() + 1))

    def __len__(self) -> int:
        return (self.end - self.start).days + 1

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day <= self.end

    def __str__(self) -> str:
        days = len(self)
        return f"{self.start}..{self.end}, {days} day{'s' if days != 1 else ''}"


class Cell(msgspec.Struct, frozen=True, order=True):
    """One venue's data of one type on one UTC day: the unit of completeness and of repair."""

    day: date
    data_type: str
    """A Tardis data type, e.g. "book_snapshot_5"; known ones are in `engine.datatypes`."""
    venue: str
    """Tardis exchange id, e.g. "binance-futures"."""

    def __post_init__(self) -> None:
        require_day(self.day)

    def __str__(self) -> str:
        return f"{self.venue} {self.data_type} {self.day}"


class File(msgspec.Struct, frozen=True, order=True):
    """One (venue, data type, day, symbol): one source `.csv.gz`, one Parquet object. The unit of work and of commit."""

    cell: Cell
    symbol: str
    """Dataset symbol id as the catalogue lists it, e.g. "BTCUSDT" or the grouped "OPTIONS"."""

    def __str__(self) -> str:
        return f"{self.cell.venue} {self.cell.data_type} {self.cell.day} {self.symbol}"
