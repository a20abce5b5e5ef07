"""How a log line and its columns are written: widths, times, what is set off. No state of the view, so that a file can be written alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from console.query import Expression
from console.widgets.figures import fit, format_age, one_line
from console.widgets.logline import LogLine, Severity

LOOKS: Final = {
    Severity.DEFAULT: "  —    ",
    Severity.DEBUG: "· debug",
    Severity.INFO: "  info ",
    Severity.WARNING: "! warn ",
    Severity.ERROR: "× error",
    Severity.CRITICAL: "■ crit ",
}
"""A glyph and a word for each severity: colour only repeats them."""

SOURCES: Final = {"cloud-logging": "cloud", "log-objects": "objects", "serial": "serial"}
"""The places lines come from, short."""

OWN: Final = "console"
"""The source of lines that tell of the view itself."""

NARROW: Final = 110
"""Below so many cells the message matters more than whole names."""
_LONGEST_VM: Final = 30
_LONGEST_VM_NARROW: Final = 16
_SOURCE_CELLS: Final = 7
_SOURCE_CELLS_NARROW: Final = 1


class TimeFormat(StrEnum):
    """How the time of a line is written."""

    CLOCK = "UTC"
    FULL = "full UTC"
    LOCAL = "local"
    AGO = "ago"
    DELTA = "delta"


@dataclass(frozen=True, slots=True)
class Inks:
    """The styles of one line, from the theme."""

    base: Style
    severity: Style
    quiet: Style
    hit: Style


class Columns:
    """How wide the columns are, as far as lines are known, and how a line fills them. Columns only ever grow, so that they do not dance."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.time_format = TimeFormat.CLOCK
        self._vm = 4
        self._longest = 0
        self._sources: set[str] = set()

    def clear(self) -> None:
        """Nothing is known of any line."""
        self._vm, self._longest = 4, 0
        self._sources.clear()

    def measure(self, lines: Sequence[LogLine]) -> None:
        """Take account of new lines."""
        self._vm = max(self._vm, min(max(len(line.vm) for line in lines), _LONGEST_VM))
        longest = max(len(line.message) for line in lines)
        if any(not line.message.isascii() for line in islice(lines, 0, None, 50)):
            longest = max(longest, *(cell_len(line.message) for line in lines))
        self._longest = max(self._longest, longest)
        self._sources.update(line.source for line in lines if line.source != OWN)

    def next_format(self) -> None:
        """Write times in the next of the formats."""
        formats = list(TimeFormat)
        self.time_format = formats[(formats.index(self.time_format) + 1) % len(formats)]

    def prefix(self, width: int) -> int:
        """Cells before the message."""
        source = self._source_cells(width)
        return 1 + 7 + 2 + len(self.time_text(self._now(), None)) + (source + 1 if source else 0) + self._vm_cells(width) + 2

    def total(self, width: int) -> int:
        """Cells of the longest line, in a view so wide."""
        return self.prefix(width) + self._longest

    def time_text(self, moment: datetime, before: datetime | None) -> str:
        """A line's time.

        Args:
            before: The time of the line shown above it.
        """
        match self.time_format:
            case TimeFormat.AGO:
                return fit(format_age((self._now() - moment).total_seconds()), 5, right=True)
            case TimeFormat.DELTA:
                return fit(_delta(0.0 if before is None else (moment - before).total_seconds()), 9, right=True)
            case TimeFormat.LOCAL:
                return _clock(moment.astimezone())
            case TimeFormat.FULL:
                return f"{moment.astimezone(UTC):%Y-%m-%d} {_clock(moment.astimezone(UTC))}Z"
            case _:
                return _clock(moment.astimezone(UTC))

    def format_name(self) -> str:
        """The time format for the header; a local one names its zone."""
        return f"local ({self._now().astimezone():%Z})" if self.time_format is TimeFormat.LOCAL else str(self.time_format)

    def segments(self, line: LogLine, time: str, width: int, inks: Inks, wanted: Iterable[Expression], *, here: bool) -> list[Segment]:
        """One line.

        Args:
            time: Its time, as `time_text` writes it.
            width: Of the view, cells.
            wanted: What is set off in the message.
            here: Whether the cursor is on it.
        """
        source = self._source_cells(width)
        name = SOURCES.get(line.source, line.source)
        return [
            Segment("▌" if here else " ", inks.base),
            Segment(LOOKS[line.severity], inks.severity),
            Segment(f" {time} ", inks.quiet),
            *([Segment(fit(one_line(name), source) + " ", inks.quiet)] if source else ()),
            Segment(fit(one_line(line.vm), self._vm_cells(width), keep_end=True), inks.quiet),
            Segment("  ", inks.base),
            *message_segments(one_line(line.message), inks.base if line.severity <= Severity.INFO else inks.severity, inks.hit, wanted),
        ]

    def _vm_cells(self, width: int) -> int:
        return self._vm if width >= NARROW else min(self._vm, _LONGEST_VM_NARROW)

    def _source_cells(self, width: int) -> int:
        """The source stands in each line once there are several; a narrow view has its first letter."""
        if len(self._sources) < 2:
            return 0
        return _SOURCE_CELLS if width >= NARROW else _SOURCE_CELLS_NARROW


def message_segments(text: str, style: Style, hit: Style, wanted: Iterable[Expression]) -> list[Segment]:
    """The message with the parts that filter or search look for set off."""
    spans = [match.span() for expression in wanted for match in expression.finditer(text)]
    if not spans:
        return [Segment(text, style)]
    segments, at = [], 0
    for start, stop in sorted(spans):
        if start > at:
            segments.append(Segment(text[at:start], style))
        if stop > at:
            segments.append(Segment(text[max(at, start) : stop], style + hit))
            at = stop
    return [*segments, Segment(text[at:], style)]


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def _delta(seconds: float) -> str:
    if seconds < 60:
        return f"+{seconds:.3f}"
    return f"+{format_age(seconds)}"
