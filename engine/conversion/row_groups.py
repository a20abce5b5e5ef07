"""Rows gathered into row groups of an exact size, checked against the file they should belong to, and tallied.

Separate from the parser because its unit is another one. A group is cut at a row count, across blocks, with one contiguous array
per column and dictionaries in order of first appearance: so the Parquet bytes depend on the rows and on nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pyarrow as pa

from engine.clock import format_time
from engine.conversion.kernels import compute, is_surely_finite
from engine.conversion.outcome import ContentFlaw, Reason, to_datetime, to_microseconds
from engine.datatypes import GROUPED_SYMBOLS, Column, DataType, Kind, schema
from engine.model import File, day_start

GROUP_CSV_LIMIT = 512 * 1024 * 1024
"""CSV bytes of one row group, ten times what the largest has: memory stays bounded even if every cell is absurdly long."""

_FIRST_ROW_LINE = 2


@dataclass(slots=True)
class Tally:
    """What was seen in the rows so far."""

    rows: int = 0
    min_local: int | None = None
    max_local: int | None = None
    min_exchange: int | None = None
    max_exchange: int | None = None
    last_local: int | None = None
    minutes: set[int] = field(default_factory=set)
    backward_rows: int = 0
    previous_day_rows: int = 0
    next_day_rows: int = 0
    unexpected_empty: bool = False
    non_finite: bool = False


class RowGroups:
    """Takes parsed blocks of any length, gives row groups of `data_type.row_group_rows` rows and a last one of the rest."""

    def __init__(self, data_type: DataType, file: File | None, write: Callable[[pa.Table], None], *, finite: bool = False) -> None:
        """Write each finished group through `write`. Without a `file`, venue, symbol and day are taken as they come.

        `finite` says that no number is NaN or infinite: nobody looks then.
        """
        self._data_type = data_type
        self._file = file
        self._write = write
        self._finite = finite
        self._schema = schema(data_type)
        self._held: list[list[pa.Array[Any]]] = [[] for _ in data_type.columns]
        self._held_rows = 0
        self._held_csv_bytes = 0
        self.tally = Tally()
        self._day: range | None = None
        if file is not None:
            start = day_start(file.cell.day)
            self._day = range(to_microseconds(start), to_microseconds(start + timedelta(days=1)))

    def add(self, arrays: list[pa.Array[Any]], csv_bytes: int) -> None:
        """Take the next rows: an array a column, categories as texts or as dictionaries, parsed from `csv_bytes` of text.

        Raises:
            ContentFlaw: if rows of a finished group are not of the file.
        """
        for held, array in zip(self._held, arrays, strict=True):
            held.append(array)
        self._held_rows += len(arrays[0])
        self._held_csv_bytes += csv_bytes
        while self._held_rows >= self._data_type.row_group_rows:
            self._flush(self._data_type.row_group_rows)
            self._held_csv_bytes = 0
        if self._held_csv_bytes > GROUP_CSV_LIMIT:
            line = self.tally.rows + _FIRST_ROW_LINE
            raise ContentFlaw(Reason.BAD_VALUE, f"{self._held_rows} rows from line {line} on have {self._held_csv_bytes} bytes")

    def finish(self) -> None:
        """Write the rows that are left.

        Raises:
            ContentFlaw: as for `add`.
        """
        if self._held_rows:
            self._flush(self._held_rows)

    def _flush(self, rows: int) -> None:
        arrays: dict[str, Any] = {}
        for index, column in enumerate(self._data_type.columns):
            # Column by column, so that only one is in memory twice.
            taken, self._held[index] = _split(self._held[index], rows)
            arrays[column.name] = join_categories(taken) if column.kind is Kind.CATEGORY else _join(taken)
            del taken
        self._held_rows -= rows
        self._check(arrays)
        self._count_local(arrays["local_timestamp"])
        self._count_exchange(arrays["timestamp"])
        self._look_for_oddities(arrays)
        times = pa.timestamp("us", tz="UTC")
        for column in self._data_type.columns:
            if column.kind is Kind.TIME:
                arrays[column.name] = arrays[column.name].view(times)
        self._write(pa.Table.from_arrays(list(arrays.values()), schema=self._schema))
        self.tally.rows += rows

    def _check(self, arrays: dict[str, Any]) -> None:
        """Refuse rows of another file, and categories that do not exist."""
        if self._file is not None:
            venue, symbol = self._file.cell.venue, self._file.symbol
            self._check_category(arrays, "exchange", lambda value: value == venue, Reason.WRONG_VENUE, f"instead of {venue!r}")
            if symbol not in GROUPED_SYMBOLS:
                folded = fold_symbol(symbol)
                self._check_category(
                    arrays, "symbol", lambda value: fold_symbol(value) == folded, Reason.WRONG_SYMBOL, f"instead of {symbol!r}"
                )
        for column in self._data_type.columns:
            if (values := column.values) is not None:
                among = f"is none of {', '.join(sorted(values))}"
                self._check_category(arrays, column.name, values.__contains__, Reason.BAD_VALUE, among)

    def _check_category(self, arrays: dict[str, Any], name: str, accept: Callable[[str], bool], reason: Reason, complaint: str) -> None:
        array = arrays[name]
        for position, value in enumerate(array.dictionary.to_pylist()):
            if not accept(value):
                line = self._line(array.indices.to_pylist().index(position))
                raise ContentFlaw(reason, f"line {line}, column {name}: {value[:80]!r} {complaint}")

    def _line(self, row: int) -> int:
        """The line of a row of the group at hand: every line but the header is a row."""
        return int(self.tally.rows + row + _FIRST_ROW_LINE)

    def _count_local(self, times: Any) -> None:
        tally = self.tally
        first, last = times[0].as_py(), times[-1].as_py()
        backward = _count_true(compute("less", times[1:], times[:-1]))
        # In order, as nearly all are, their ends are their bounds.
        low, high = _bounds(times) if backward else (first, last)
        if self._day is not None and not (self._day.start <= low and high < self._day.stop):
            row = next(row for row, time in enumerate(times.to_pylist()) if time not in self._day)
            moment = to_datetime(times[row].as_py())
            shown = format_time(moment) if moment else str(times[row])
            raise ContentFlaw(Reason.WRONG_DAY, f"line {self._line(row)}: local_timestamp {shown} is not on that day")
        tally.min_local = low if tally.min_local is None else min(low, tally.min_local)
        tally.max_local = high if tally.max_local is None else max(high, tally.max_local)
        tally.backward_rows += backward
        if tally.last_local is not None and first < tally.last_local:
            tally.backward_rows += 1
        tally.last_local = last
        tally.minutes.update(compute("unique", compute("divide", times, _MINUTE)).to_pylist())

    def _count_exchange(self, times: Any) -> None:
        tally = self.tally
        low, high = _bounds(times)
        tally.min_exchange = low if tally.min_exchange is None else min(low, tally.min_exchange)
        tally.max_exchange = high if tally.max_exchange is None else max(high, tally.max_exchange)
        if self._day is not None and low < self._day.start:
            tally.previous_day_rows += _count_true(compute("less", times, int64_scalar(self._day.start)))
        if self._day is not None and high >= self._day.stop:
            tally.next_day_rows += _count_true(compute("greater_equal", times, int64_scalar(self._day.stop)))

    def _look_for_oddities(self, arrays: dict[str, Any]) -> None:
        for column in self._data_type.columns:
            array = arrays[column.name]
            self.tally.unexpected_empty |= column.filled and array.null_count > 0
            if not self._finite:
                self.tally.non_finite |= _has_non_finite(column, array)


def _split(arrays: list[pa.Array[Any]], rows: int) -> tuple[list[pa.Array[Any]], list[pa.Array[Any]]]:
    """The first `rows` values, and the rest. Slices share memory with what they were cut from."""
    taken: list[pa.Array[Any]] = []
    for position, array in enumerate(arrays):
        if len(array) > rows:
            return [*taken, array[:rows]] if rows else taken, [array[rows:], *arrays[position + 1 :]]
        taken.append(array)
        rows -= len(array)
    return taken, []


def int64_scalar(value: int) -> Any:
    """An Arrow scalar without `pa.scalar`, which imports pandas wherever it is installed: a second and 60 MB for nothing."""
    return pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(value.to_bytes(8, sys.byteorder, signed=True))])[0]


_MINUTE = int64_scalar(60_000_000)


def _bounds(times: Any) -> tuple[int, int]:
    found: Any = compute("min_max", times)
    return found["min"].as_py(), found["max"].as_py()


def _count_true(mask: Any) -> int:
    return int(compute("sum", mask).as_py() or 0)


def join_categories(arrays: list[Any]) -> pa.DictionaryArray[Any, Any]:
    """Texts, or dictionaries, as one array over a dictionary of only their values, in order of first appearance."""
    if all(isinstance(array, pa.DictionaryArray) and len(array.dictionary) == 1 and not array.null_count for array in arrays):
        first = arrays[0].dictionary[0]
        if all(array.dictionary[0].equals(first) for array in arrays):
            joined: pa.DictionaryArray[Any, Any] = _join(arrays)
            return joined
    texts = [array.dictionary_decode() if isinstance(array, pa.DictionaryArray) else array for array in arrays]
    encoded: pa.DictionaryArray[Any, Any] = compute("dictionary_encode", _join(texts))
    return encoded


def _join(arrays: list[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)


def fold_symbol(symbol: str) -> str:
    """A symbol as the source's addresses spell it: upper case, `/` and `:` as `-` (CSV cells keep the exchange's spelling)."""
    return symbol.upper().replace("/", "-").replace(":", "-")


def _has_non_finite(column: Column, array: Any) -> bool:
    """Whether a number is NaN or infinite."""
    if column.kind is not Kind.NUMBER or is_surely_finite(array):
        return False
    return compute("all", compute("is_finite", array)).as_py() is False
