"""What a log view says of its lines: the parts of its header, and why it may be empty. Pure words."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap
from typing import Final

from console.log_gaps import Gaps
from console.widgets.figures import format_count, one_line, plural
from console.widgets.logline import Severity
from console.widgets.logring import LogRing

MANY_WAITING: Final = 500
"""Fewer lines that wait are not worth a word."""

_WORDS: Final = {
    Severity.CRITICAL: "critical",
    Severity.ERROR: "error",
    Severity.WARNING: "warn",
    Severity.INFO: "info",
    Severity.DEBUG: "debug",
    Severity.DEFAULT: "other",
}


@dataclass(frozen=True, slots=True)
class Doings:
    """What a view is doing."""

    asked: Severity
    """What is less severe is not even asked for."""
    searching: bool
    waiting: int
    """Lines that have come and were not taken in yet."""
    times: str
    """How times are written."""


def header_parts(ring: LogRing, gaps: Gaps, doings: Doings) -> list[str]:
    """Most important first: what does not fit is left out from the end."""
    parts = []
    if gaps:
        parts.append(f"{format_count(gaps.count) if gaps.count else 'some'} NOT HERE: m")
    if ring.judged_share < 1:
        parts.append(f"filtering {100 * ring.judged_share:.0f} %")
    if doings.searching:
        parts.append("searching …")
    total = plural(len(ring), "line")
    narrowed = bool(ring.query) or ring.minimum > Severity.DEFAULT
    parts.append(f"{format_count(ring.shown_count)} of {total}" if narrowed else total)
    if ring.minimum > Severity.DEFAULT:
        parts.append(f"{ring.minimum.name.lower()} and up" if ring.minimum < Severity.CRITICAL else "critical only")
    if ring.query:
        parts.append(f"/{one_line(str(ring.query))}")
    counted = [f"{format_count(ring.counts[each])} {word}" for each, word in _WORDS.items() if ring.counts[each] and each >= doings.asked]
    parts += [" ".join(counted)] if counted else []
    parts += [f"{format_count(doings.waiting)} waiting"] if doings.waiting > MANY_WAITING else []
    parts += [f"{format_count(ring.let_go)} older let go"] if ring.let_go else []
    return [*parts, f"times: {doings.times}"]


def empty_lines(ring: LogRing, why: str, width: int) -> list[str]:
    """Why no line is shown, and what to do about it.

    Args:
        why: For a ring without lines.
        width: Cells.
    """
    return [line for part in _reasons(ring, why) for line in wrap(one_line(part), max(20, width)) or [""]]


def _reasons(ring: LogRing, why: str) -> list[str]:
    if ring.judged_share < 1:
        return ["filtering …"]
    if not len(ring):
        return why.split("\n")
    return [
        f"none of {plural(len(ring), 'line')} passes",
        *(["/ changes the filter, escape takes it away"] if ring.query else []),
        *(["+ shows less severe lines, 0 all of them"] if ring.minimum > Severity.DEFAULT else []),
    ]
