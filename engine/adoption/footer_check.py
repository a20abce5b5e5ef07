"""Whether a Parquet file of another writer holds what its name says, judged by its footer alone.

What a conversion checks row by row is checked here by statistics: the columns are those of the data type, `local_timestamp` stays
within the UTC day, exchange and symbol are the expected ones. A file that fails is refused with a code; nothing about it is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from engine.adoption.refusal import Reason, Refused
from engine.clock import format_time
from engine.datatypes import GROUPED_SYMBOLS, Column, DataType, Kind
from engine.model import File, day_start
from engine.parquet_footer import Footer, FooterColumn

NEEDLESS = frozenset({"exchange", "symbol", "id"})
"""Columns that a file may lack: the object's name says the first two, and many exchanges give no ids."""

MICROSECONDS = 1_000_000
_UNTYPED_TICKS = (MICROSECONDS, 1_000 * MICROSECONDS)
"""Units that whole numbers without a unit may have: the source writes microseconds, pandas converts to nanoseconds."""

_UNTYPED = frozenset({"none", "int"})
_NUMBERS = frozenset({"DOUBLE", "FLOAT", "INT32", "INT64"})


class AdoptedFlag(StrEnum):
    """What is odd about an adopted file. Stored in manifests: never rename one."""

    NAIVE_TIMES = "naive_times"
    """Its times have no zone. They were taken as UTC, because they lie within the UTC day."""
    BOUNDS_UNKNOWN = "bounds_unknown"
    """The footer has no statistics of `local_timestamp`: only reading the rows could prove the day."""


@dataclass(frozen=True, slots=True)
class FooterFacts:
    """What a sound footer says."""

    rows: int
    first_us: int | None = None
    """Smallest `local_timestamp`, microseconds since the epoch, UTC."""
    last_us: int | None = None
    flags: tuple[AdoptedFlag, ...] = ()
    lacks: tuple[str, ...] = ()
    """Columns of `NEEDLESS` that are not there."""


def check_footer(footer: Footer, data_type: DataType, file: File) -> FooterFacts:
    """Judge a footer against the file that the object's name stands for.

    A file without rows needs the columns and nothing else.

    Raises:
        Refused: `LACKS_COLUMNS`, `WRONG_TYPE`, `WRONG_DAY` or `WRONG_SYMBOL`.
    """
    found = _find_columns(footer, data_type)
    lacks = tuple(column.name for column in data_type.columns if column.name not in found)
    if missing := [name for name in lacks if name not in NEEDLESS]:
        raise Refused(Reason.LACKS_COLUMNS, f"without {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}")
    if not footer.rows:
        return FooterFacts(0, lacks=lacks)
    for column in data_type.columns:
        if column.name in found:
            _check_type(column, found[column.name])
    _check_text(found.get("exchange"), file.cell.venue)
    if file.symbol not in GROUPED_SYMBOLS:
        _check_text(found.get("symbol"), file.symbol)
    local = found["local_timestamp"]
    low, high = (value if isinstance(value, int) else None for value in (local.smallest, local.largest))
    bounds = find_bounds(local.name, low, high, nulls=local.nulls or 0, ticks=local.ticks, day=file.cell.day)
    flags = []
    if local.ticks and not local.is_utc:
        flags.append(AdoptedFlag.NAIVE_TIMES)
    if bounds is None:
        return FooterFacts(footer.rows, None, None, (*flags, AdoptedFlag.BOUNDS_UNKNOWN), lacks)
    return FooterFacts(footer.rows, bounds.first_us, bounds.last_us, tuple(flags), lacks)


def spellings(column: Column) -> Iterator[str]:
    """Names that a column may have: ours, the source's, and the old system's for amounts in a book."""
    yield column.name
    yield column.source
    if column.source != column.name:
        yield column.name.replace("_amount_", "_volume_")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Smallest and largest time of a column, microseconds since the epoch, UTC."""

    first_us: int
    last_us: int
    ticks: int
    """Units in a second of the column's own numbers."""

    def __str__(self) -> str:
        return f"{_show(self.first_us)} and {_show(self.last_us)}"


def find_bounds(name: str, low: int | None, high: int | None, *, nulls: int, ticks: int, day: date) -> Bounds | None:
    """Bounds of a column of times, or None if it has no value.

    The unit is what the type says (`ticks` in a second). Whole numbers without a unit (0) have the one under which both lie within
    the day: units are a thousand apart, so two can never fit.

    Raises:
        Refused: `WRONG_DAY` if a row lies outside of the day, or has no time at all.
    """
    if nulls:
        raise Refused(Reason.WRONG_DAY, f"{nulls:,} rows have no {name}")
    if low is None or high is None:
        return None
    for unit in (ticks,) if ticks else _UNTYPED_TICKS:
        first, last = (value * MICROSECONDS // unit for value in (low, high))
        if _within(first, day) and _within(last, day):
            return Bounds(first, last, unit)
    unit = ticks or MICROSECONDS
    raise Refused(Reason.WRONG_DAY, f"{name} lies between {Bounds(low * MICROSECONDS // unit, high * MICROSECONDS // unit, unit)}")


def check_same(name: str, low: str, high: str, expected: str) -> None:
    """Whether smallest and largest text of a column are the expected one, spelt as the exchange or as the source's addresses do.

    Raises:
        Refused: `WRONG_SYMBOL`.
    """
    from engine.conversion.row_groups import fold_symbol

    if {fold_symbol(low), fold_symbol(high)} != {fold_symbol(expected)}:
        shown = f"{low!r}" if low == high else f"{low!r} to {high!r}"
        raise Refused(Reason.WRONG_SYMBOL, f"{name} is {shown} instead of {expected!r}")


def _find_columns(footer: Footer, data_type: DataType) -> dict[str, FooterColumn]:
    found = {}
    for column in data_type.columns:
        for name in spellings(column):
            if name in footer.columns:
                found[column.name] = footer.columns[name]
                break
    return found


def _check_type(column: Column, found: FooterColumn) -> None:
    """Times must be times and numbers numbers; an all-empty column may have any type, as pandas gives it one by chance."""
    if found.logical == "unknown":
        return
    if column.kind is Kind.TIME:
        fits = found.physical == "INT96" or (found.physical == "INT64" and (bool(found.ticks) or found.logical in _UNTYPED))
        # Whole numbers with gaps are floating point to pandas. Only the two times that every row has must be exact.
        fits = fits or (column.nullable and found.physical == "DOUBLE")
    elif column.kind is Kind.NUMBER:
        fits = found.physical in _NUMBERS or found.logical == "decimal"
    else:
        return
    if not fits:
        described = found.physical if found.logical == "none" else f"{found.physical} ({found.logical})"
        raise Refused(Reason.WRONG_TYPE, f"{column.name} is {described}")


def _check_text(column: FooterColumn | None, expected: str) -> None:
    """Every row has the expected text, as far as the statistics say."""
    if column is not None and isinstance(column.smallest, bytes) and isinstance(column.largest, bytes):
        low, high = column.smallest.decode("utf-8", "replace"), column.largest.decode("utf-8", "replace")
        check_same(column.name, low, high, expected)


def _within(microseconds: int, day: date) -> bool:
    start = int(day_start(day).timestamp()) * MICROSECONDS
    return start <= microseconds < start + 86_400 * MICROSECONDS


def _show(microseconds: int) -> str:
    try:
        return format_time(day_start(date(1970, 1, 1)) + timedelta(microseconds=microseconds))
    except OverflowError:
        return f"{microseconds} us"
