"""The lines behind the log view, without a screen: a ring with a filter, counted and searched.

Everything is by a line's number since the start, so that a cursor survives both new lines and lines that fall out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Final

from console.query import EVERYTHING, Expression, Query


class Severity(IntEnum):
    """Six levels out of Cloud Logging's nine; the number is also the least severity a view shows."""

    DEFAULT = 0
    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4
    CRITICAL = 5


_WORDS: Final = {
    "DEBUG": Severity.DEBUG,
    "INFO": Severity.INFO,
    "NOTICE": Severity.INFO,
    "WARNING": Severity.WARNING,
    "WARN": Severity.WARNING,
    "ERROR": Severity.ERROR,
    "CRITICAL": Severity.CRITICAL,
    "ALERT": Severity.CRITICAL,
    "EMERGENCY": Severity.CRITICAL,
}


def severity_of(word: str) -> Severity:
    """The level of a Cloud Logging or Python level name; unknown words are DEFAULT."""
    return _WORDS.get(word.upper(), Severity.DEFAULT)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One log entry as the console shows it."""

    time: datetime
    """Aware, UTC."""
    severity: Severity
    message: str
    vm: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)
    """Payload, labels and resource, for the detail view and for `field:value`."""
    source: str = ""
    """Where it was read: `tail`, `log object`, `serial`."""

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise ValueError(f"log line with a naive time {self.time.isoformat()}")

    def record(self) -> dict[str, object]:
        """All fields by name, for a filter and for the detail view."""
        record: dict[str, object] = {
            "severity": self.severity.name,
            "time": self.time,
            "vm": self.vm,
            "message": self.message,
            "source": self.source,
        }
        return record | {name: value for name, value in self.fields.items() if name not in record}

    @property
    def text(self) -> str:
        """What a filter's words are looked for in."""
        return f"{self.vm} {self.message}"


class LogRing:
    """The newest `capacity` lines, and the numbers of those that pass severity and filter."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a log of {capacity} lines")
        self.capacity = capacity
        self.minimum = Severity.DEFAULT
        self.query: Query = EVERYTHING
        self.counts = [0] * len(Severity)
        """Held lines per severity."""
        self._lines: list[LogLine] = []
        self._base = 0
        """Number of `_lines[0]`; lines before `first` are dead and cut off from time to time."""
        self.first = 0
        """Number of the oldest line held."""
        self._shown: list[int] = []
        self._shown_start = 0

    def __len__(self) -> int:
        return self.end - self.first

    @property
    def end(self) -> int:
        """The number the next line will get."""
        return self._base + len(self._lines)

    @property
    def shown_count(self) -> int:
        """How many lines pass."""
        return len(self._shown) - self._shown_start

    def line(self, number: int) -> LogLine:
        return self._lines[number - self._base]

    def shown_number(self, position: int) -> int:
        """The number of the line at a position of the view, from 0."""
        return self._shown[self._shown_start + position]

    def shown_position(self, number: int) -> int:
        """Where a line is, or would be, among those that pass."""
        return bisect_left(self._shown, number, self._shown_start) - self._shown_start

    def extend(self, lines: Sequence[LogLine]) -> tuple[int, int]:
        """Append lines.

        Returns:
            How many of them pass, and how many passing ones fell out at the front.
        """
        number = self.end
        self._lines.extend(lines)
        counts = self.counts
        for line in lines:
            counts[line.severity] += 1
        before = len(self._shown)
        self._shown.extend(self._passing(lines, number))
        added = len(self._shown) - before
        return added, self._trim()

    def set_filter(self, query: Query, minimum: Severity) -> None:
        """Decide anew what passes."""
        self.query, self.minimum = query, minimum
        self._shown = list(self._passing(self._lines[self.first - self._base :], self.first))
        self._shown_start = 0

    def find(self, patterns: Iterable[Expression], position: int, step: int) -> int | None:
        """The next (`step` 1) or previous (-1) passing line that all patterns match, around the end; a position or None."""
        wanted = tuple(patterns)
        count = self.shown_count
        for turn in range(1, count + 1):
            at = (position + step * turn) % count
            text = self.line(self.shown_number(at)).text
            if all(pattern.search(text) for pattern in wanted):
                return at
        return None

    def position_of_time(self, moment: datetime) -> int:
        """The position of the first passing line at or after a moment, the last one if all are older."""
        times = range(self.shown_count)
        found = bisect_left(times, moment, key=lambda position: self.line(self.shown_number(position)).time)
        return min(found, max(0, self.shown_count - 1))

    def _passing(self, lines: Sequence[LogLine], number: int) -> Iterable[int]:
        minimum, query = self.minimum, self.query
        if not query:
            if minimum is Severity.DEFAULT:
                return range(number, number + len(lines))
            return [number + place for place, line in enumerate(lines) if line.severity >= minimum]
        empty: dict[str, object] = {}
        fields = query.reads_fields
        return [
            number + place
            for place, line in enumerate(lines)
            if line.severity >= minimum and query.matches(line.record() if fields else empty, line.text)
        ]

    def _trim(self) -> int:
        surplus = len(self) - self.capacity
        if surplus <= 0:
            return 0
        for number in range(self.first, self.first + surplus):
            self.counts[self.line(number).severity] -= 1
        self.first += surplus
        start = bisect_left(self._shown, self.first, self._shown_start)
        gone, self._shown_start = start - self._shown_start, start
        # Cutting a list's front copies the rest, so it is done once per quarter of the capacity.
        if self.first - self._base > self.capacity // 4:
            del self._lines[: self.first - self._base]
            self._base = self.first
            del self._shown[: self._shown_start]
            self._shown_start = 0
        return gone
