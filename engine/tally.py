"""What the manifests of one cell say, counted against what is expected of it.

Coverage and the planner ask the same question ("which of these symbols are done?") and must never answer it differently; here is
the one answer, from metadata where that proves it and from opened manifests where it does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
from msgspec.structs import force_setattr

from engine.expectation import Expected
from engine.manifest import Record, Summary
from engine.model import BAD_OUTCOMES, DONE_OUTCOMES, Cell, CellState, Outcome
from engine.validation.verification import Finding, standing, turn_back

T = TypeVar("T")

EMPTY, COMPLETE = Outcome.EMPTY, CellState.COMPLETE
"""A member is found by a function of Python each time it is named (until Python 3.12): too slow for each cell of a lake."""

OpenCell = Callable[[Cell], Mapping[str, Record]]
"""Reads and merges all manifests of a cell: `engine.manifest.read_cell` with a store."""

OPEN_IN_PARALLEL = 16
"""Cells read at a time: each is a listing and a few small objects, all of it waiting."""


class Tally(msgspec.Struct, frozen=True):
    """Outcomes of a cell's expected symbols."""

    expected: int
    counts: Mapping[Outcome, int]
    """Of expected symbols only; what else the manifests hold does not count."""
    attempted: bool
    """Whether any manifest speaks of this cell (with a scope: of a symbol in scope)."""
    rows: int = 0
    source_bytes: int = 0
    covered_minutes: int = 0
    """Fewest covered minutes among the files with rows; 0 if there is none, or one of them is unknown (adopted uncounted): the
    fewest of only some symbols would not compare with other days."""
    empty_symbols: tuple[str, ...] = ()
    bad_symbols: Mapping[Outcome, tuple[str, ...]] | None = None
    """Symbols of each bad outcome; None where only their number is known."""
    absent_symbols: tuple[str, ...] = ()
    wrong: tuple[Finding, ...] = ()
    """What a verification found about expected symbols, and no newer manifest has ended: deleted files are absent, damaged ones
    are bad."""
    of_whole_cell: bool = False
    """True if rows, bytes and minutes are those of the whole cell although less was asked for."""

    done: int = 0
    """Expected symbols that a later attempt does not try again. Follows from `counts`, as does `bad`: nobody gives it."""
    bad: int = 0
    """Expected symbols whose attempt left a hole."""

    def __post_init__(self) -> None:
        done = bad = 0
        for outcome, count in self.counts.items():
            if outcome in DONE_OUTCOMES:
                done += count
            elif outcome in BAD_OUTCOMES:
                bad += count
        force_setattr(self, "done", done)
        force_setattr(self, "bad", bad)

    @property
    def absent(self) -> int:
        """Expected symbols that no manifest mentions."""
        return self.expected - sum(self.counts.values())


def tally_metadata(expected: Expected, summaries: Sequence[Summary]) -> Tally | None:
    """Count from listing metadata alone, or None where the manifests have to be opened.

    One closed manifest whose symbols are exactly the expected ones proves its counts. So does one of the whole cell, all done,
    for every part of the cell. Anything else (several, open, other symbols) proves nothing, however well the numbers fit.
    """
    size = len(expected.symbols)
    if not summaries:
        return Tally(size, {}, attempted=False)
    if len(summaries) != 1 or summaries[0].open:
        return None
    found = summaries[0]
    if found.empty_symbols is None and found.counts.get(EMPTY):
        return None
    empty = found.empty_symbols or ()
    if found.symbols_hash == expected.digest and sum(found.counts.values()) == size:
        return Tally(size, found.counts, True, found.rows, found.source_bytes, found.covered_minutes, empty, None)
    if not expected.is_scoped or found.symbols_hash != expected.whole_digest or not DONE_OUTCOMES.issuperset(found.counts):
        return None
    if not set(expected.symbols).issubset(expected.whole):
        return None
    empty = tuple(symbol for symbol in empty if symbol in expected)
    counts = {Outcome.OK: size - len(empty), Outcome.EMPTY: len(empty)}
    return Tally(size, counts, True, found.rows, found.source_bytes, found.covered_minutes, empty, bad_symbols={}, of_whole_cell=True)


def tally_records(expected: Expected, records: Mapping[str, Record], findings: Iterable[Finding] = ()) -> Tally:
    """Count from opened and merged manifests of a cell that has at least one, less what a verification found wrong."""
    wrong = standing(records, findings)
    records = turn_back(records, wrong.values())
    tried = {symbol for symbol, record in records.items() if not record.is_withdrawal}
    entries = [records[symbol].entry for symbol in expected.symbols if symbol in tried]
    bad: dict[Outcome, list[str]] = {}
    for entry in entries:
        if entry.outcome in BAD_OUTCOMES:
            bad.setdefault(entry.outcome, []).append(entry.symbol)
    return Tally(
        expected=len(expected.symbols),
        counts=Counter(entry.outcome for entry in entries),
        attempted=bool(entries) or _is_attempted(expected, records) or any(symbol in expected for symbol in wrong),
        rows=sum(entry.rows for entry in entries),
        source_bytes=sum(entry.source_bytes for entry in entries),
        covered_minutes=min((entry.covered_minutes for entry in entries if entry.outcome is Outcome.OK), default=0),
        empty_symbols=tuple(entry.symbol for entry in entries if entry.outcome is Outcome.EMPTY),
        bad_symbols={outcome: tuple(symbols) for outcome, symbols in bad.items()},
        absent_symbols=tuple(symbol for symbol in expected.symbols if symbol not in tried),
        wrong=tuple(wrong[symbol] for symbol in sorted(wrong) if symbol in expected),
    )


def _is_attempted(expected: Expected, records: Mapping[str, Record]) -> bool:
    """Whether somebody tried the cell although nothing of it came. Other symbols that were found in the bucket are no attempt.

    Nor is a waiver that was withdrawn.
    """
    return not expected.is_scoped and (not records or any(not (record.is_adopted or record.is_withdrawal) for record in records.values()))


def state_of(tally: Tally, *, published: bool) -> CellState:
    """The state of an expected cell as its manifests prove it; thinness and live work are judged elsewhere.

    An answer "not ready" of an earlier attempt is no failure: on a day that is published by now it only leaves a hole. On a day
    that is not published, what nobody could have fetched (absent, not found) is not held against the cell.
    """
    if tally.done == tally.expected:
        return COMPLETE
    if not published:
        excused = tally.counts.get(Outcome.NOT_FOUND, 0)
        if tally.bad == excused:
            return CellState.NOT_READY
        return CellState.FAILED if tally.bad == tally.expected else CellState.PARTIAL
    if not tally.attempted:
        return CellState.MISSING
    if tally.done:
        return CellState.PARTIAL
    if not tally.bad and tally.counts.get(Outcome.NOT_READY):
        return CellState.MISSING
    return CellState.FAILED


def open_cells(cells: Collection[Cell], open_cell: Callable[[Cell], T]) -> dict[Cell, T]:
    """Open many cells, several at a time."""
    if len(cells) <= 1:
        return {cell: open_cell(cell) for cell in cells}
    with ThreadPoolExecutor(max_workers=min(OPEN_IN_PARALLEL, len(cells)), thread_name_prefix="open-cell") as pool:
        return dict(zip(cells, pool.map(open_cell, cells), strict=True))
