"""The symbols of one opened cell, each judged on its own: what `check --detailed` and the console's innermost zoom show.

The heatmap judges whole cells from listing metadata and never reads what this needs: the manifests' bodies, of the cell and of
its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

from engine.catalogue import Catalogue
from engine.expectation import expect
from engine.manifest import Entry, Manifest, Record
from engine.model import BAD_OUTCOMES, Cell, CellState, DayRange, Outcome
from engine.thinness import EVENT_TYPES, GOOD_DAYS, MINUTES_SHARE, ROWS_SHARE, below_band, conspicuous, is_quiet
from engine.validation.verification import FOUND_WORDS, Finding, standing, turn_back


@dataclass(frozen=True, slots=True)
class SymbolReport:
    """One expected symbol of an opened cell."""

    symbol: str
    state: CellState
    outcome: Outcome | None = None
    """None if no manifest mentions it."""
    entry: Entry | None = None
    run: str = ""
    vm: str = ""
    manifest: Manifest | None = None
    """The record that says so: which shard and attempt, and when; None if there is none."""
    reasons: tuple[str, ...] = ()


def symbol_reports(
    cell: Cell,
    catalogue: Catalogue,
    records: Mapping[str, Record],
    *,
    history: Mapping[date, Mapping[str, Record]] = MappingProxyType({}),
    symbols: frozenset[str] | None = None,
    findings: Iterable[Finding] = (),
) -> list[SymbolReport]:
    """The expected symbols of an opened cell, each judged on its own, in the order of their ids.

    Args:
        cell: the cell.
        catalogue: its venue's.
        records: all its manifests, merged.
        history: merged records of the same venue and data type on other days; with seven of them a symbol can be thin.
        symbols: symbols asked for by name; None for all that are expected.
        findings: what the last comparison of the cell's objects with its manifests found wrong.
    """
    wrong = standing(records, findings)
    records = {symbol: record for symbol, record in turn_back(records, wrong.values()).items() if not record.is_withdrawal}
    expectations = expect(catalogue, (cell.data_type,), DayRange(cell.day, cell.day), symbols=symbols)[cell.data_type]
    partial = expectations.partial.get(cell.day, frozenset())
    published = catalogue.is_published(cell.day)
    near = sorted(history.keys() - {cell.day}, key=lambda day: (abs((day - cell.day).days), day))[:GOOD_DAYS]
    reports = []
    for symbol in expectations.at(cell.day).symbols:
        record = records.get(symbol)
        if record is None:
            state = CellState.NOT_READY if not published else CellState.PARTIAL if records or wrong else CellState.MISSING
            why = f"{FOUND_WORDS[wrong[symbol].kind]} since it was committed" if symbol in wrong else "in no manifest"
            reports.append(SymbolReport(symbol, state, reasons=(why,) if records or wrong else ()))
            continue
        entry = record.entry
        others = [(day, history[day][symbol].entry) for day in near if symbol in history[day]]
        reasons: tuple[str, ...] = ()
        if entry.outcome in BAD_OUTCOMES:
            state, reasons = CellState.FAILED, tuple(filter(None, (entry.reason, entry.detail)))
        elif entry.outcome is Outcome.NOT_READY:
            state = CellState.MISSING if published else CellState.NOT_READY
        else:
            if symbol not in partial:
                reasons = _thin_symbol(cell.data_type, expectations.kinds.get(symbol, ""), (cell.day, entry), others)
            state = CellState.THIN if reasons else CellState.COMPLETE
        reports.append(SymbolReport(symbol, state, entry.outcome, entry, record.manifest.run, record.manifest.vm, record.manifest, reasons))
    return reports


def _thin_symbol(data_type: str, kind: str, today: tuple[date, Entry], others: Sequence[tuple[date, Entry]]) -> tuple[str, ...]:
    day, entry = today
    if entry.outcome is Outcome.EMPTY:
        known = sorted((*others, today), key=lambda item: item[0])
        sequence = [(when, other.outcome is Outcome.OK) for when, other in known if other.outcome in (Outcome.OK, Outcome.EMPTY)]
        odd = not is_quiet(data_type, kind) and day in conspicuous(sequence)
        return ("empty, but with rows on neighbouring days",) if odd else ()
    if entry.outcome is not Outcome.OK or data_type in EVENT_TYPES:
        return ()
    good = [other for _, other in others if other.outcome is Outcome.OK]
    reasons = []
    if median := below_band(entry.rows, [other.rows for other in good], ROWS_SHARE):
        reasons.append(f"{entry.rows:,} rows, usually {median:,}")
    minutes = [other.covered_minutes for other in good if other.covered_minutes]
    if entry.covered_minutes and (median := below_band(entry.covered_minutes, minutes, MINUTES_SHARE)):
        reasons.append(f"{entry.covered_minutes:,} covered minutes, usually {median:,}")
    return tuple(reasons)
