"""Lines that a view did not get or keep: how many, of when, why, and how to read them. Never silence.

Pure. A gap has a span of time, because with it the lines can be asked for again where all of them are: in the log objects.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from console.widgets.logline import LogLine, Severity
from engine.clock import format_time

MOST_LINES: Final = 50_000
"""The most that one question may ask for."""
_NEAR: Final = timedelta(seconds=10)
"""Gaps of one reason that lie so near are one."""
_MOST_GAPS: Final = 100

SUPPRESSED: Final = "Cloud Logging left out"
TOO_FAST: Final = "came too fast to be taken in"
CUT: Final = "missed while not followed"
NOT_READ: Final = "not read: between a time that was jumped to and what was here"
LET_GO: Final = "let go: the view is full"


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines that did not come."""

    since: datetime
    """Aware, inclusive."""
    until: datetime
    """Aware, exclusive."""
    count: int
    """At least so many; 0: nobody knows."""
    reason: str


class Gaps:
    """The gaps of one view, oldest first."""

    def __init__(self) -> None:
        self._gaps: list[Gap] = []

    def __bool__(self) -> bool:
        return bool(self._gaps)

    @property
    def all(self) -> Sequence[Gap]:
        return tuple(self._gaps)

    @property
    def count(self) -> int:
        """Lines missing, at least."""
        return sum(gap.count for gap in self._gaps)

    def add(self, gap: Gap) -> bool:
        """Note one more, False if it continues the last and is a part of it."""
        last = self._gaps[-1] if self._gaps else None
        near = last is not None and (last.reason == gap.reason or len(self._gaps) >= _MOST_GAPS) and gap.since <= last.until + _NEAR
        if last is not None and (near or len(self._gaps) >= _MOST_GAPS):
            self._gaps[-1] = replace(last, since=min(last.since, gap.since), until=max(last.until, gap.until), count=last.count + gap.count)
            return False
        self._gaps.append(gap)
        return True

    def close(self, gap: Gap) -> None:
        """Its lines were read after all."""
        self._gaps = [each for each in self._gaps if each != gap]

    def clear(self) -> None:
        """None any more."""
        self._gaps.clear()


def gap_line(gap: Gap) -> LogLine:
    """A line that stands where others are missing."""
    count = f"{gap.count:,} or more lines are" if gap.count else "lines are"
    return LogLine(gap.until, Severity.WARNING, f"{count} not here: {gap.reason}; m reads them", fields={"event": "gap"}, source="console")


def command(
    *, since: datetime, until: datetime | None, run: str = "", vms: Sequence[str] = (), severity: str = "DEFAULT", count: int = 0
) -> str:
    """The headless command that reads such lines, ready to be pasted into a shell.

    Args:
        count: Lines expected; the command asks for some more, as much as it may.
    """
    words = ["tickdeck", "logs", *vms]
    words += ["--run", run] if run else []
    words += ["--since", format_time(since)]
    words += ["--until", format_time(until)] if until is not None else []
    words += ["--severity", severity, "--lines", str(max(1_000, min(MOST_LINES, 2 * count if count else MOST_LINES)))]
    return shlex.join(words)
