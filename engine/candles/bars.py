"""Rows of a block gathered into base bars: where each bar begins in the block, and the day's arrays they are added to.

Everything that sums is carried per base bar and rolled up by adding, so a longer bar is what its base bars are together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.candles.timeframes import BASE_BARS, BASE_US

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Grouping:
    """A block whose rows are in the order of their bars.

    `bars[i]` is the number of a base bar that has rows, they begin at `starts[i]` and are `counts[i]` many.
    """

    bars: Integers
    starts: Integers
    counts: Integers

    @property
    def ends(self) -> Integers:
        """Position of the last row of each bar."""
        return self.starts + self.counts - 1

    def sums(self, values: Floats) -> Floats:
        """The sum of `values` in each bar."""
        found: Floats = np.add.reduceat(values, self.starts)
        return found


def is_ordered(times: Integers) -> bool:
    """Whether times never step back."""
    return bool((times[1:] >= times[:-1]).all())


def time_order(times: Integers) -> Integers | None:
    """The order that sorts times, rows of equal time staying as they are; None if they are sorted."""
    return None if is_ordered(times) else np.argsort(times, kind="stable")


def group(times: Integers, day_us: int) -> Grouping:
    """Group sorted times by base bar. Times before the day fall into its first bar, times after it into its last.

    Args:
        times: microseconds since the epoch, UTC, sorted, at least one.
        day_us: start of the day, same unit.
    """
    first, last = (int(bar) for bar in bar_of(times[[0, -1]], day_us))
    edges = day_us + np.arange(first + 1, last + 1, dtype=np.int64) * BASE_US
    starts = np.concatenate([[0], np.searchsorted(times, edges), [len(times)]])
    counts = np.diff(starts)
    filled = np.flatnonzero(counts)
    return Grouping(filled + first, starts[:-1][filled], counts[filled])


def bar_of(times: Integers, day_us: int) -> Integers:
    """The base bar of each time, first and last bar taking what lies outside the day."""
    found: Integers = np.clip((times - day_us) // BASE_US, 0, BASE_BARS - 1)
    return found


def outside(times: Integers, day_us: int) -> tuple[int, int]:
    """How many times lie before the day, and how many after it."""
    return int((times < day_us).sum()), int((times >= day_us + BASE_BARS * BASE_US).sum())


def nothing() -> Floats:
    """A sum for each base bar, all 0."""
    return np.zeros(BASE_BARS)


def unknown() -> Floats:
    """A value for each base bar, none known."""
    return np.full(BASE_BARS, np.nan)


class LastValue:
    """The last value in each base bar by (time, order of arrival)."""

    def __init__(self) -> None:
        self.values = unknown()
        self._times = np.full(BASE_BARS, np.iinfo(np.int64).min)

    def add(self, times: Integers, values: Floats, day_us: int) -> None:
        """Add rows that are sorted by time; those without a value say nothing."""
        known = ~np.isnan(values)
        if not known.all():
            times, values = times[known], values[known]
        if not len(times):
            return
        grouping = group(times, day_us)
        at = grouping.ends
        newer = times[at] >= self._times[grouping.bars]
        bars, at = grouping.bars[newer], at[newer]
        self.values[bars], self._times[bars] = values[at], times[at]


class FirstValue:
    """The first value in each base bar by (time, order of arrival)."""

    def __init__(self) -> None:
        self.values = unknown()
        self._times = np.full(BASE_BARS, np.iinfo(np.int64).max)

    def add(self, times: Integers, values: Floats, grouping: Grouping) -> None:
        """Add rows that are sorted by time, all with a value."""
        at = grouping.starts
        older = times[at] < self._times[grouping.bars]
        bars, at = grouping.bars[older], at[older]
        self.values[bars], self._times[bars] = values[at], times[at]


# Rolling up


def add_up(values: NDArray[np.generic], width: int) -> NDArray[np.generic]:
    """Sums of each `width` base bars."""
    total: NDArray[np.generic] = values.reshape(-1, width).sum(axis=1)
    return total


def first_of(values: Floats, width: int) -> Floats:
    """The first known value of each `width` base bars."""
    table = values.reshape(-1, width)
    found: Floats = table[np.arange(len(table)), np.argmax(~np.isnan(table), axis=1)]
    return found


def last_of(values: Floats, width: int) -> Floats:
    """The last known value of each `width` base bars."""
    return first_of(values[::-1], width)[::-1]


def smallest(values: Floats, width: int) -> Floats:
    """The least known value of each `width` base bars."""
    found: Floats = np.fmin.reduce(values.reshape(-1, width), axis=1)
    return found


def largest(values: Floats, width: int) -> Floats:
    """The greatest known value of each `width` base bars."""
    found: Floats = np.fmax.reduce(values.reshape(-1, width), axis=1)
    return found


def divide(numerator: NDArray[np.generic], denominator: NDArray[np.generic]) -> Floats:
    """Numerator over denominator, unknown where the denominator is 0."""
    result = np.full(len(denominator), np.nan)
    np.divide(numerator, denominator, out=result, where=np.asarray(denominator) != 0)
    return result


def carried(values: Floats) -> Floats:
    """Each bar's value, or the last known one before it."""
    at = np.where(~np.isnan(values), np.arange(len(values)), -1)
    at = np.maximum.accumulate(at)
    return np.where(at >= 0, values[at], np.nan)


def pieces(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover `count` rows."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
