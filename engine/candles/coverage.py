"""The layer of candles: what of the trades in the lake has its candles, and whether they are made of what the lake holds now.

Expected of a venue and day are the symbols whose trades are committed there, so a day without trades is no gap of this layer: it is one
of the raw layer. Listings answer for nearly all cells: a manifest's hash says whose candles there are, its rows that no timeframe lacks
(a day has 7,615 bars of all timeframes, and no symbol can have more), and its run's name that no input is younger. Only what they do
not prove is opened.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from msgspec import structs

from engine.candles.cells import CandleCell, read_candle_cell
from engine.candles.columns import Input
from engine.candles.timeframes import TIMEFRAMES, bars_of
from engine.catalogue import Catalogue
from engine.coverage import CellReport, Coverage, Layer, LiveShard, Sureness, require_catalogue, with_live
from engine.documents import hash_symbols
from engine.errors import ConfigurationError, UsageError
from engine.expectation import Expected, Scope, expect
from engine.inventory import Inventory
from engine.manifest import Summary
from engine.model import Cell, CellState, DayRange, Outcome, require_aware
from engine.plan import CANDLES
from engine.run import run_started
from engine.symbol_coverage import SymbolReport
from engine.tally import Tally, open_cells, state_of
from engine.thinness import few
from engine.universe import resolve_scope
from engine.validation.verification import Finding, Verification

INPUTS = tuple(name.value for name in Input if name is not Input.NONE)
"""Data types that candles are made of."""

BARS = sum(map(bars_of, TIMEFRAMES))
"""Bars of one symbol and day, all timeframes together."""

SKEW = timedelta(minutes=5)
"""So far the clock of whoever named a run may be before the bucket's: an input younger than that may have come after candles were made."""

OpenCandles = Callable[[Cell, tuple[Finding, ...]], CandleCell]
"""Reads what the lake holds of a cell of candles, less trades that a verification found wrong."""

Judged = dict[Cell, tuple[object, CellReport]]
"""Cells that were opened, with what stands for everything that was read then: as long as that is the same they are not opened again."""


def check_candles(
    inventory: Inventory,
    days: DayRange,
    venues: Iterable[str],
    *,
    now: datetime,
    symbols: tuple[str, ...] = (),
    universe: str = "",
    universe_folder: Path | None = None,
    timeframes: Collection[str] = TIMEFRAMES,
) -> Coverage:
    """The state of the candles of every venue and day of the range.

    Raises:
        UsageError: for a venue, symbol or universe that nobody knows.
    """
    catalogues = inventory.catalogues(venues)
    return assess_candles(
        days,
        tuple(catalogues),
        catalogues=catalogues,
        summaries=inventory.summaries(days),
        open_cell=lambda cell, lost: read_candle_cell(inventory, cell, lost),
        now=now,
        scope=resolve_scope(symbols, universe, catalogues, folder=universe_folder),
        live=inventory.live(now),
        verified=inventory.verifications(days),
        timeframes=timeframes,
        judged=inventory.judged_candles,
    )


def assess_candles(
    days: DayRange,
    venues: Sequence[str],
    *,
    catalogues: Mapping[str, Catalogue],
    summaries: Iterable[Summary],
    open_cell: OpenCandles,
    now: datetime,
    scope: Scope | None = None,
    live: Mapping[Cell, Collection[LiveShard]] = MappingProxyType({}),
    verified: Mapping[Cell, Verification] = MappingProxyType({}),
    timeframes: Collection[str] = TIMEFRAMES,
    judged: Judged | None = None,
) -> Coverage:
    """The state of the candles of every venue and day.

    Args:
        days: the days asked about.
        venues: Tardis exchange ids, each with a catalogue: of the usual symbols it tells the names, which listings carry only as a hash.
        catalogues: venue -> what it offers.
        summaries: manifests of these days from listings, of candles and of what they are made of, in any order.
        open_cell: reads a cell that metadata does not prove; called from several threads. If it raises ConfigurationError (a manifest
            cannot be read), the cell counts as failed.
        now: the moment of the answer.
        scope: symbols asked for by venue; None for all with trades.
        live: shards that live workers hold, by cell.
        verified: what the last comparisons of objects with manifests found: of trades that are gone no candles are expected.
        timeframes: those that must be there.
        judged: what was opened at earlier looks; kept up to date.

    Raises:
        UsageError: if a venue has no catalogue.
    """
    listed: dict[str, dict[date, dict[str, list[Summary]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for summary in summaries:
        cell = summary.name.cell
        if cell.data_type == CANDLES or cell.data_type in INPUTS:
            listed[cell.venue][cell.day][cell.data_type].append(summary)
    judged = {} if judged is None else judged
    wanted = tuple(timeframes)
    reports: dict[Cell, CellReport] = {}
    to_open: dict[Cell, tuple[object, tuple[Finding, ...]]] = {}
    names = tuple(dict.fromkeys(venues))
    for venue in names:
        symbols = None if scope is None else scope.get(venue, frozenset())
        usual = expect(require_catalogue(catalogues, venue), (Input.TRADES.value,), days)[Input.TRADES.value]
        for day in days:
            cell = Cell(day, CANDLES, venue)
            held = listed[venue].get(day, {})
            found = verified.get(Cell(day, Input.TRADES.value, venue))
            lost = found.findings if found is not None and found.damaged else ()
            tally = None if lost else _tally_listed(held, usual.at(day), symbols, wanted)
            if tally is not None:
                reports[cell] = _report_listed(cell, tally, held)
                continue
            generations = tuple(sorted(summary.generation for each in held.values() for summary in each))
            key = (generations, lost, symbols, wanted)
            earlier = judged.get(cell)
            if earlier is not None and earlier[0] == key:
                reports[cell] = earlier[1]
            else:
                to_open[cell] = key, lost

    def read(cell: Cell) -> CandleCell | str:
        try:
            return open_cell(cell, to_open[cell][1])
        except ConfigurationError as error:
            return str(error)

    for cell, opened in open_cells(to_open, read).items():
        symbols = None if scope is None else scope.get(cell.venue, frozenset())
        report = _report_opened(cell, opened, listed[cell.venue].get(cell.day, {}), symbols, wanted)
        judged[cell] = to_open[cell][0], report
        reports[cell] = report
    order = [Cell(day, CANDLES, venue) for venue in names for day in days]
    shown = {cell: _overlaid(reports[cell], live.get(cell, ()), listed[cell.venue].get(cell.day, {})) for cell in order}
    return Coverage(
        days=days,
        rows=tuple((venue, CANDLES) for venue in names),
        reports=shown,
        catalogue_dates={venue: catalogues[venue].fetched for venue in names},
        computed=require_aware(now),
        counts=Counter(report.state for report in shown.values()),
        layer=Layer.CANDLES,
    )


@dataclass(frozen=True, slots=True)
class _Need:
    """Whose candles a day must have, as listings tell it."""

    count: int
    digest: str
    """The hash that a manifest of exactly these symbols carries."""
    symbols: tuple[str, ...] | None
    """None: only their hash is known."""


def _need(trades: Sequence[Summary], usual: Expected) -> _Need | None:
    """The symbols with committed trades; None if only the manifests' bodies tell."""
    with_rows = [summary for summary in trades if summary.counts.get(Outcome.OK)]
    if not with_rows:
        return _Need(0, "", ())
    if len(trades) != 1:
        return None
    found = trades[0]
    is_usual = found.symbols_hash == usual.whole_digest
    if set(found.counts) == {Outcome.OK}:
        return _Need(found.counts[Outcome.OK], found.symbols_hash, usual.whole if is_usual else None)
    empty = found.empty_symbols
    if not is_usual or empty is None or set(found.counts) != {Outcome.OK, Outcome.EMPTY}:
        return None
    without = frozenset(empty)
    symbols = tuple(symbol for symbol in usual.whole if symbol not in without)
    return _Need(len(symbols), hash_symbols(symbols), symbols) if len(symbols) == found.counts[Outcome.OK] else None


def _tally_listed(
    held: Mapping[str, list[Summary]], usual: Expected, scope: frozenset[str] | None, timeframes: Collection[str]
) -> Tally | None:
    """Count from listing metadata alone, or None where the cell has to be opened."""
    need = _need(held.get(Input.TRADES.value, ()), usual)
    if need is None:
        return None
    size = need.count
    if scope is not None and size:
        if need.symbols is None:
            return None
        size = len(scope.intersection(need.symbols))
    made = held.get(CANDLES, ())
    if not size or not made:
        return Tally(size, {}, attempted=False)
    if len(made) != 1 or made[0].open or not timeframes:
        return None
    found = made[0]
    done = found.counts.get(Outcome.OK, 0)
    if found.symbols_hash != need.digest or sum(found.counts.values()) != need.count or found.rows != done * BARS:
        return None
    if not _is_younger(found, (summary for name in INPUTS for summary in held.get(name, ()))):
        return None
    if scope is None:
        return Tally(size, found.counts, True, found.rows, found.source_bytes, found.covered_minutes)
    if done != need.count:
        return None
    return Tally(size, {Outcome.OK: size}, True, found.rows, found.source_bytes, found.covered_minutes, of_whole_cell=size != need.count)


def _is_younger(made: Summary, inputs: Iterable[Summary]) -> bool:
    """Whether the run that made candles began after the last of their inputs was recorded."""
    try:
        began = run_started(made.name.run)
    except UsageError:
        return False
    return all(summary.written < began - SKEW for summary in inputs)


def _report_listed(cell: Cell, tally: Tally, held: Mapping[str, list[Summary]]) -> CellReport:
    made = held.get(CANDLES, ())
    if not tally.expected:
        return _not_expected(cell, made, sum(summary.counts.get(Outcome.OK, 0) for summary in made))
    bad = tuple(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in tally.counts.items() if outcome is not Outcome.OK)
    report = CellReport(
        cell,
        state_of(tally, published=True),
        expected=tally.expected,
        done=tally.done,
        bad=tally.bad,
        absent=tally.absent,
        rows=tally.rows,
        source_bytes=tally.source_bytes,
        covered_minutes=tally.covered_minutes,
        reasons=bad,
        of_whole_cell=tally.of_whole_cell,
    )
    return _recorded(report, made)


def _report_opened(
    cell: Cell, opened: CandleCell | str, held: Mapping[str, list[Summary]], scope: frozenset[str] | None, timeframes: Collection[str]
) -> CellReport:
    made = held.get(CANDLES, ())
    if isinstance(opened, str):
        return _recorded(CellReport(cell, CellState.FAILED, reasons=(opened,)), made)
    symbols = opened.reports(timeframes, scope)
    if not symbols:
        return _not_expected(cell, made, len(opened.without_trades))
    by_state: dict[CellState, list[SymbolReport]] = defaultdict(list)
    for each in symbols:
        by_state[each.state].append(each)
    there = [*by_state[CellState.COMPLETE], *by_state[CellState.THIN]]
    bad = by_state[CellState.FAILED]
    counts = {Outcome.OK: len(there), Outcome.FAILED: len(bad)}
    tally = Tally(len(symbols), counts, attempted=any(each.entry is not None for each in symbols))
    state = state_of(tally, published=True)
    if state is CellState.COMPLETE and by_state[CellState.THIN]:
        state = CellState.THIN
    if state is CellState.FAILED and not bad:
        state = CellState.PARTIAL  # candles are there, of fewer timeframes than asked for
    entries = [each.entry for each in there if each.entry is not None]
    report = CellReport(
        cell,
        state,
        expected=len(symbols),
        done=len(there),
        bad=len(bad),
        absent=tally.absent,
        rows=sum(entry.rows for entry in entries),
        source_bytes=sum(entry.source_bytes for entry in entries),
        covered_minutes=min((entry.covered_minutes for entry in entries), default=0),
        reasons=_reasons(by_state),
    )
    return _recorded(report, made)


def _reasons(by_state: Mapping[CellState, Sequence[SymbolReport]]) -> tuple[str, ...]:
    """Why a cell is not simply complete, most telling first."""
    texts = []
    for state, word in ((CellState.FAILED, "failed"), (CellState.PARTIAL, ""), (CellState.THIN, "stale")):
        alike: dict[str, list[str]] = defaultdict(list)
        for each in by_state.get(state, ()):
            alike[each.reasons[0] if each.reasons else ""].append(each.symbol)
        for reason, symbols in alike.items():
            what = f"{word} ({reason})" if word and reason else word or reason or "without candles"
            texts.append(f"{len(symbols):,} {what}: {few(symbols)}")
    return tuple(texts)


def _not_expected(cell: Cell, made: Sequence[Summary], candles: int) -> CellReport:
    reasons = (f"{candles:,} symbol{'s' if candles != 1 else ''} with candles, and without trades by now",) if candles else ()
    return _recorded(CellReport(cell, CellState.NOT_EXPECTED, reasons=reasons), made)


def _recorded(report: CellReport, made: Sequence[Summary]) -> CellReport:
    """With what the manifests of candles say of themselves."""
    return structs.replace(
        report,
        sureness=Sureness.COMMITTED if made else Sureness.NOTHING,
        manifests=len(made),
        written=max((summary.written for summary in made), default=None),
        runs=tuple(sorted({summary.name.run for summary in made})),
    )


def _overlaid(report: CellReport, live: Collection[LiveShard], held: Mapping[str, list[Summary]]) -> CellReport:
    """With who works on it, where something lacks."""
    if report.state in (CellState.COMPLETE, CellState.NOT_EXPECTED):
        return report
    closed = {(summary.name.run, summary.name.shard) for summary in held.get(CANDLES, ()) if not summary.open}
    working = tuple(holder for holder in live if (holder.run, holder.shard) not in closed)
    return with_live(report, working) if working else report
