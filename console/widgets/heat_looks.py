"""What one cell of the heatmap looks like: its glyph, its word and its colour, best first, so that the worst of several is a maximum.

A look says more than a state: how sure a complete cell is, how much of a partial one is there, whether running work has begun. All
glyphs differ in shape, so the map reads without colours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from engine.coverage import CellReport, Sureness
from engine.model import CellState


@dataclass(frozen=True, slots=True)
class Look:
    """A glyph of one cell, the word for it, and the component class that colours it."""

    glyph: str
    word: str
    state: CellState
    style: str


LOOKS: Final = (
    Look("·", "not expected", CellState.NOT_EXPECTED, "not-expected"),
    Look("█", "verified", CellState.COMPLETE, "complete"),
    Look("▇", "complete", CellState.COMPLETE, "complete"),
    Look("▓", "adopted", CellState.COMPLETE, "adopted"),
    Look("…", "not ready", CellState.NOT_READY, "not-ready"),
    Look("▷", "queued", CellState.RUNNING, "running"),
    Look("►", "running", CellState.RUNNING, "running"),
    Look("≈", "thin", CellState.THIN, "thin"),
    Look("□", "missing", CellState.MISSING, "missing"),
    Look("▅", "partial", CellState.PARTIAL, "partial"),
    Look("▄", "partial", CellState.PARTIAL, "partial"),
    Look("▃", "partial", CellState.PARTIAL, "partial"),
    Look("▂", "partial", CellState.PARTIAL, "partial"),
    Look("▁", "partial", CellState.PARTIAL, "partial"),
    Look("×", "failed", CellState.FAILED, "failed"),
)
"""By code. Complete leaves a hairline, so that rows stay apart; verified fills the cell."""

STATES: Final = tuple(look.state for look in LOOKS)
"""By code."""

VERIFIED, COMMITTED, ADOPTED, QUEUED = 1, 2, 3, 5
"""Codes of the looks that a state alone does not tell."""

LEAST_PARTIAL, MOST_PARTIAL = 13, 9
"""Codes of a partial cell with next to nothing, and with nearly all."""

CODES: Final = {
    CellState.NOT_EXPECTED: 0,
    CellState.COMPLETE: COMMITTED,
    CellState.NOT_READY: 4,
    CellState.RUNNING: 6,
    CellState.THIN: 7,
    CellState.MISSING: 8,
    CellState.PARTIAL: 11,
    CellState.FAILED: 14,
}
"""The code of a state where nothing more is known."""

GLYPHS: Final = {state: LOOKS[code].glyph for state, code in CODES.items()}
WORDS: Final = {state: state.value.replace("_", " ") for state in CellState}

HOLES: Final = frozenset({CellState.MISSING, CellState.PARTIAL, CellState.FAILED})
"""States a repair can mend."""

HOLE_CODES: Final = bytes(code for code, look in enumerate(LOOKS) if look.state in HOLES)
HOLE: Final = re.compile(b"[" + re.escape(HOLE_CODES) + b"]")
NOT_DUE_CODES: Final = bytes(code for code, look in enumerate(LOOKS) if look.state in (CellState.NOT_EXPECTED, CellState.NOT_READY))
DONE_CODES: Final = bytes(code for code, look in enumerate(LOOKS) if look.state is CellState.COMPLETE)

_LEVELS: Final = LEAST_PARTIAL - MOST_PARTIAL + 1
_OF_SURENESS: Final = {Sureness.VERIFIED: VERIFIED, Sureness.ADOPTED: ADOPTED}


def code_of(report: CellReport) -> int:
    """The look of a cell."""
    if report.state is CellState.COMPLETE:
        return _OF_SURENESS.get(report.sureness, COMMITTED)
    if report.state is CellState.RUNNING and report.is_queued:
        return QUEUED
    if report.state is CellState.PARTIAL and report.expected:
        return LEAST_PARTIAL - min(_LEVELS - 1, report.done * _LEVELS // report.expected)
    return CODES[report.state]


def share_of(codes: bytes | bytearray) -> int | None:
    """The percentage of the cells that should be complete by now and are, rounded down; None if none should be."""
    expected = len(codes.translate(None, NOT_DUE_CODES))
    return None if not expected else 100 * (len(codes) - len(codes.translate(None, DONE_CODES))) // expected
