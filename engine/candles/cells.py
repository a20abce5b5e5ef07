"""What the lake holds of the candles of one venue and day, symbol by symbol: the one answer for the planner, for coverage and for people.

Candles are there if a manifest has them in every timeframe asked for, and current if they were made of the files that the lake holds
now. What they are made of is known only from manifests' bodies, so this reads some of each data type of that venue and day.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date

from engine.candles.columns import Input
from engine.candles.pipeline import CandleOptions
from engine.candles.sources import Sources, read_sources
from engine.candles.timeframes import CLOCKS, TIMEFRAMES
from engine.inventory import Inventory
from engine.manifest import Entry, Record
from engine.model import Cell, CellState, DayRange, Outcome
from engine.plan import CANDLES
from engine.symbol_coverage import SymbolReport
from engine.validation.verification import Finding

READERS = 16
"""Cells whose manifests are read at once."""


@dataclass(frozen=True, slots=True)
class CandleCell:
    """What the lake holds of the candles of one venue and day."""

    day: date
    venue: str
    sources: Mapping[str, Sources]
    """Symbols with committed trades."""
    records: Mapping[str, Record] = field(default_factory=dict)
    """What manifests say of their candles, and of those whose trades are gone."""

    @property
    def made(self) -> dict[str, Entry]:
        """Candles that are in the bucket, of whatever timeframes."""
        return {symbol: record.entry for symbol, record in self.records.items() if record.entry.outcome is Outcome.OK}

    @property
    def without_trades(self) -> tuple[str, ...]:
        """Symbols with candles and, by now, without trades; sorted."""
        return tuple(sorted(self.made.keys() - self.sources.keys()))

    def todo(self, options: CandleOptions) -> tuple[str, ...]:
        """Symbols whose candles are not there, or, to be rebuilt, stale; sorted."""
        return tuple(sorted(symbol for symbol in self.sources if self._is_wanted(symbol, options)))

    def stale(self, options: CandleOptions) -> tuple[str, ...]:
        """Symbols whose candles were made of other inputs than the lake holds now."""
        return tuple(symbol for symbol in sorted(self.sources) if self._is_made(symbol, options) and not self._is_current(symbol, options))

    def reports(self, timeframes: Collection[str] = TIMEFRAMES, symbols: frozenset[str] | None = None) -> list[SymbolReport]:
        """Each symbol with trades, judged on its own, in the order of their ids.

        Whether bars are cut by exchange or by local time was a choice of whoever made them: either is current.

        Args:
            timeframes: those that must be there.
            symbols: asked for by name; None: all.
        """
        wanted = sorted(self.sources if symbols is None else self.sources.keys() & symbols)
        return [self._report(symbol, timeframes) for symbol in wanted]

    def _report(self, symbol: str, timeframes: Collection[str]) -> SymbolReport:
        record = self.records.get(symbol)
        if record is None:
            return SymbolReport(symbol, CellState.PARTIAL if self.records else CellState.MISSING)
        state, reasons = self._judge(symbol, record.entry, timeframes)
        manifest = record.manifest
        return SymbolReport(symbol, state, record.entry.outcome, record.entry, manifest.run, manifest.vm, manifest, reasons)

    def _judge(self, symbol: str, entry: Entry, timeframes: Collection[str]) -> tuple[CellState, tuple[str, ...]]:
        if entry.outcome is not Outcome.OK:
            return CellState.FAILED, tuple(filter(None, (entry.reason, entry.detail)))
        there = {part.timeframe for part in entry.parts}
        if lacking := [timeframe for timeframe in timeframes if timeframe not in there]:
            return CellState.PARTIAL, (f"without {', '.join(lacking)}",)
        sources = self.sources[symbol]
        if all(entry.fingerprint != sources.made(clock).identity for clock in CLOCKS):
            return CellState.THIN, (_what_changed(entry, sources),)
        return CellState.COMPLETE, ()

    def _is_wanted(self, symbol: str, options: CandleOptions) -> bool:
        if not self._is_made(symbol, options):
            return True
        return options.rebuild and not self._is_current(symbol, options)

    def _is_made(self, symbol: str, options: CandleOptions) -> bool:
        record = self.records.get(symbol)
        if record is None or record.entry.outcome is not Outcome.OK:
            return False
        return set(options.timeframes) <= {part.timeframe for part in record.entry.parts}

    def _is_current(self, symbol: str, options: CandleOptions) -> bool:
        return self.records[symbol].entry.fingerprint == self.sources[symbol].made(options.clock).identity


def _what_changed(entry: Entry, sources: Sources) -> str:
    """What candles were made of that the lake holds no longer, or the other way round."""
    before, now = set(entry.inputs), {name.value for name in sources.objects}
    came, went = [name.value for name in Input if name in now - before], sorted(before - now)
    parts = [f"{', '.join(came)} came since"] if came else []
    parts += [f"{', '.join(went)} went since"] if went else []
    return "; ".join(parts) or "made of other inputs than the lake holds now"


def read_candle_cell(inventory: Inventory, cell: Cell, lost: Iterable[Finding] = ()) -> CandleCell:
    """What the lake holds of one cell of candles.

    Args:
        inventory: the state bucket.
        cell: its data type is `CANDLES`.
        lost: what the last comparison of that day's trades with their manifests found wrong.

    Raises:
        ConfigurationError: if a manifest cannot be read.
    """
    return CandleCell(cell.day, cell.venue, read_sources(inventory.open_cell, cell.day, cell.venue, lost), inventory.open_cell(cell))


def read_candle_cells(inventory: Inventory, days: DayRange, venues: Iterable[str]) -> list[CandleCell]:
    """Every venue and day of the range that has committed trades, by day and venue; manifests are read 16 cells at a time."""
    wanted = set(venues)
    with_trades: set[Cell] = set()
    for summary in inventory.summaries(days):
        cell = summary.name.cell
        if cell.venue in wanted and cell.data_type == Input.TRADES and summary.counts.get(Outcome.OK):
            with_trades.add(Cell(cell.day, CANDLES, cell.venue))
    verified = inventory.verifications(days)

    def read(cell: Cell) -> CandleCell:
        found = verified.get(Cell(cell.day, Input.TRADES.value, cell.venue))
        return read_candle_cell(inventory, cell, found.findings if found is not None else ())

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(read, sorted(with_trades, key=lambda cell: (cell.day, cell.venue))))


def read_candle_symbols(
    inventory: Inventory, cell: Cell, *, timeframes: Collection[str] = TIMEFRAMES, symbols: frozenset[str] | None = None
) -> list[SymbolReport]:
    """The symbols of one cell of candles, for people: see `CandleCell.reports`.

    Raises:
        ConfigurationError: if a manifest cannot be read.
    """
    lost = inventory.findings(Cell(cell.day, Input.TRADES.value, cell.venue))
    return read_candle_cell(inventory, cell, lost).reports(timeframes, symbols)
