"""Exact medians of whole numbers in every bar of every timeframe, in bounded memory.

A median does not roll up: it needs all values of its bar. They are kept as one array in the order of base bars, in memory or, of a
very busy day, in a temporary file that the system pages out; a bar of any timeframe is then a slice of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.candles.bars import Grouping, pieces
from engine.candles.timeframes import BASE_BARS, bars_of, base_bars_of

if TYPE_CHECKING:
    from engine.candles.bars import Floats, Integers

IN_MEMORY = 16 << 20
"""Values kept in memory at most; more go to a file."""

SELECT_AT_ONCE = 4 << 20
"""Values of one bar that are partitioned in memory; in a longer one the median is found by counting digits."""

PIECE = 1 << 19
"""Values that are looked at together where digits are counted."""

_DIGITS = 16


class Values:
    """All values of a day, by base bar."""

    def __init__(self, rows: int, folder: Path, name: str) -> None:
        """Args:
        rows: how many values will come at most.
        folder: where a file is made if they are many; whoever gives the folder removes it.
        name: of that file.
        """
        self._file = folder / f"{name}.values" if rows > IN_MEMORY else None
        self._values = self._room(rows, np.int32)
        self._rows = rows
        self._count = 0
        self._bars: list[Integers] = []
        self._counts: list[Integers] = []

    def _room(self, rows: int, kind: type[np.int32] | type[np.int64]) -> np.ndarray:
        if self._file is None or not rows:
            return np.empty(rows, kind)
        self._file.unlink(missing_ok=True)  # an older mapping keeps its own bytes
        return np.memmap(self._file, kind, "w+", shape=(rows,))

    def add(self, values: Integers, grouping: Grouping) -> None:
        """Add a block's values, in the order of `grouping`."""
        if self._values.dtype == np.int32 and (values.max() > np.iinfo(np.int32).max or values.min() < np.iinfo(np.int32).min):
            narrow = self._values
            self._values = self._room(self._rows, np.int64)
            for part in pieces(self._count, PIECE):
                self._values[part] = narrow[part]
        self._values[self._count : self._count + len(values)] = values
        self._count += len(values)
        self._bars.append(grouping.bars)
        self._counts.append(grouping.counts)

    def medians(self, timeframes: tuple[str, ...]) -> dict[str, Floats]:
        """The median of each bar, by timeframe; of an even number of values the mean of the middle two; unknown in an empty bar."""
        values, offsets = self._ordered()
        return {name: _medians(values, offsets[:: base_bars_of(name)], bars_of(name)) for name in timeframes}

    def _ordered(self) -> tuple[np.ndarray, Integers]:
        """The values in the order of bars, and where each bar begins; the end at last."""
        if not self._count:
            return self._values[:0], np.zeros(BASE_BARS + 1, np.int64)
        bars, counts = np.concatenate(self._bars), np.concatenate(self._counts)
        totals = np.bincount(bars, weights=counts, minlength=BASE_BARS).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(totals)])
        values = self._values[: self._count]
        if not (bars[1:] >= bars[:-1]).all():
            values = self._gathered(values, bars, counts)
        return values, offsets

    def _gathered(self, values: np.ndarray, bars: Integers, counts: Integers) -> np.ndarray:
        """A copy in which what late rows brought into earlier bars stands with those."""
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        copy = self._room(self._count, values.dtype.type)
        at = 0
        for run in np.argsort(bars, kind="stable"):
            copy[at : at + counts[run]] = values[starts[run] : starts[run] + counts[run]]
            at += counts[run]
        return copy


def _medians(values: np.ndarray, offsets: Integers, bars: int) -> Floats:
    found = np.full(bars, np.nan)
    for bar in np.flatnonzero(np.diff(offsets)):
        found[bar] = median(values[offsets[bar] : offsets[bar + 1]])
    return found


def median(values: np.ndarray) -> float:
    """The median of at least one whole number: of an even number the mean of the middle two."""
    upper = len(values) // 2
    lower = upper if len(values) % 2 else upper - 1
    if len(values) > SELECT_AT_ONCE:
        high = select(values, upper)
        return (select(values, lower) + high) / 2 if lower != upper else float(high)
    parted = np.partition(values, upper)
    if lower == upper:
        return float(parted[upper])
    # What stands before `upper` is not sorted: the other middle value is the largest of it.
    return (int(parted[:upper].max()) + int(parted[upper])) / 2


def select(values: np.ndarray, rank: int) -> int:
    """The value that would stand at `rank` (from 0) if all were sorted: digit by digit, reading pieces, holding counts only."""
    width = values.dtype.itemsize * 8
    lowest = int(np.iinfo(values.dtype).min)
    prefix = 0
    for shift in range(width - _DIGITS, -1, -_DIGITS):
        counts = np.zeros(1 << _DIGITS, np.int64)
        for part in pieces(len(values), PIECE):
            # Less the least possible value, negative numbers come first, as they should.
            raised = values[part].astype(np.int64).view(np.uint64) - np.uint64(lowest & 0xFFFFFFFFFFFFFFFF)
            if shift + _DIGITS < width:
                raised = raised[(raised >> np.uint64(shift + _DIGITS)) == np.uint64(prefix)]
            digits = (raised >> np.uint64(shift)) & np.uint64((1 << _DIGITS) - 1)
            counts += np.bincount(digits.astype(np.int64), minlength=1 << _DIGITS)
        ranks = np.cumsum(counts)
        digit = int(np.searchsorted(ranks, rank, side="right"))
        rank -= int(ranks[digit - 1]) if digit else 0
        prefix = prefix << _DIGITS | digit
    return prefix + lowest
