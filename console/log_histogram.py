"""How many log lines of each severity there were over time, at any width of bucket. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

WIDTHS: Final = (1, 5, 15, 60, 300, 900, 3600, 21_600, 86_400)
"""Seconds of a bucket that may be chosen."""
LEVELS: Final = 6
MOST_SECONDS: Final = 7_200
"""So many seconds with lines are known one by one, the newest; older ones by the minute."""
MOST_MINUTES: Final = 30_000
"""So many minutes with lines are known at all."""

_MINUTE: Final = 60


class Histogram:
    """Counts by second and by minute; memory does not grow with the lines."""

    def __init__(self) -> None:
        self._seconds: dict[int, list[int]] = {}
        self._minutes: dict[int, list[int]] = {}
        self.total = [0] * LEVELS
        """Lines of each severity."""

    def __bool__(self) -> bool:
        return bool(self._minutes)

    def add(self, lines: Iterable[tuple[int, int]]) -> None:
        """Count lines.

        Args:
            lines: (seconds since 1970, number of the severity).
        """
        for (second, severity), count in Counter(lines).items():
            for table, key in ((self._seconds, second), (self._minutes, second // _MINUTE)):
                row = table.get(key)
                if row is None:
                    row = table[key] = [0] * LEVELS
                row[severity] += count
            self.total[severity] += count
        _cut(self._seconds, MOST_SECONDS)
        _cut(self._minutes, MOST_MINUTES)

    def clear(self) -> None:
        """Forget all."""
        self._seconds.clear()
        self._minutes.clear()
        self.total = [0] * LEVELS

    def span(self) -> tuple[int, int]:
        """The first and the last second with a line, the first by the minute where seconds are not known; (0, 0) if there is none."""
        if not self._minutes:
            return 0, 0
        first_minute = min(self._minutes) * _MINUTE
        first_second = min(self._seconds)
        first = first_second if first_second < first_minute + _MINUTE else first_minute
        return first, max(self._seconds)

    def buckets(self, start: int, width: int, count: int) -> list[list[int]]:
        """Counts by severity of `count` buckets of `width` seconds from `start` on, both seconds since 1970.

        Below a minute, seconds that are no longer known one by one count as the first of their minute.
        """
        rows = [[0] * LEVELS for _ in range(count)]
        oldest = min(self._seconds, default=0) // _MINUTE
        by_minute = width % _MINUTE == 0
        for minute, counts in self._minutes.items():
            if by_minute or minute < oldest:
                _pour(rows, (minute * _MINUTE - start) // width, counts)
        if not by_minute:
            for second, counts in self._seconds.items():
                if second // _MINUTE >= oldest:
                    _pour(rows, (second - start) // width, counts)
        return rows

    def fitting_width(self, count: int) -> int:
        """The smallest width with which all of it fits into `count` buckets."""
        first, last = self.span()
        return next((width for width in WIDTHS if last // width - first // width < count), WIDTHS[-1])


def _pour(rows: Sequence[list[int]], place: int, counts: Sequence[int]) -> None:
    if 0 <= place < len(rows):
        row = rows[place]
        for level, count in enumerate(counts):
            row[level] += count


def _cut(table: dict[int, list[int]], most: int) -> None:
    """Keep the newest, with some slack so that it is seldom done."""
    if len(table) > most + most // 4:
        for key in sorted(table)[: len(table) - most]:
            del table[key]
