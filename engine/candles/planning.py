"""Plans of candles: the symbols whose trades are committed, less those whose candles are there and made of what the lake holds now.

What is expected follows from manifests, not from the catalogue: candles of a day can be made as soon as its trades are committed, and a
file that comes later (a book, the options chain) makes them stale, which is said and cured by `--rebuild`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from msgspec import structs

from engine.candles.columns import Input
from engine.candles.pipeline import CandleOptions, options_of
from engine.candles.sources import Sources, read_sources
from engine.errors import UsageError
from engine.inventory import CANDLES, Inventory, Means
from engine.manifest import Entry
from engine.model import Cell, DayRange, Outcome, require_aware, require_symbol, require_venue
from engine.plan import Plan, Request, Work
from engine.planner import NOTHING_TO_DO, finish_plan
from engine.universe import resolve_scope

if TYPE_CHECKING:
    from engine.estimate import Speed

READERS = 16
"""Cells whose manifests are read at once."""


@dataclass(frozen=True, slots=True)
class CandleCell:
    """What the lake holds of the candles of one venue and day."""

    day: date
    venue: str
    sources: dict[str, Sources]
    """Symbols with committed trades."""
    made: dict[str, Entry]
    """What manifests say of their candles."""

    def todo(self, options: CandleOptions) -> tuple[str, ...]:
        """Symbols whose candles are not there, or, to be rebuilt, stale; sorted."""
        return tuple(sorted(symbol for symbol in self.sources if self._is_wanted(symbol, options)))

    def stale(self, options: CandleOptions) -> tuple[str, ...]:
        """Symbols whose candles were made of other inputs than the lake holds now."""
        return tuple(symbol for symbol in sorted(self.sources) if self._is_made(symbol, options) and not self._is_current(symbol, options))

    def _is_wanted(self, symbol: str, options: CandleOptions) -> bool:
        if not self._is_made(symbol, options):
            return True
        return options.rebuild and not self._is_current(symbol, options)

    def _is_made(self, symbol: str, options: CandleOptions) -> bool:
        entry = self.made.get(symbol)
        return entry is not None and set(options.timeframes) <= {part.timeframe for part in entry.parts}

    def _is_current(self, symbol: str, options: CandleOptions) -> bool:
        return self.made[symbol].fingerprint == self.sources[symbol].made(options.clock).identity


def read_candle_cells(inventory: Inventory, days: DayRange, venues: Iterable[str]) -> list[CandleCell]:
    """Every venue and day of the range that has committed trades, by day and venue; manifests are read 16 cells at a time."""
    wanted = set(venues)
    with_trades: set[tuple[date, str]] = set()
    for summary in inventory.summaries(days):
        cell = summary.name.cell
        if cell.venue in wanted and cell.data_type == Input.TRADES and summary.counts.get(Outcome.OK):
            with_trades.add((cell.day, cell.venue))

    def read(place: tuple[date, str]) -> CandleCell:
        day, venue = place
        records = inventory.open_cell(Cell(day, CANDLES, venue))
        made = {symbol: record.entry for symbol, record in records.items() if record.entry.outcome is Outcome.OK}
        return CandleCell(day, venue, read_sources(inventory.state, day, venue), made)

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(read, sorted(with_trades)))


def plan_candles(inventory: Inventory, request: Request, means: Means, *, now: datetime) -> Plan:
    """Plan the candles of a range.

    Raises:
        UsageError: naming what is wrong with the request.
    """
    now = require_aware(now)
    days = DayRange(request.start, request.end)
    venues = tuple(dict.fromkeys(map(require_venue, request.venues)))
    options = options_of(request)
    request = structs.replace(request, venues=venues, data_types=(CANDLES,))
    scope = _scope(inventory, request, means)
    works, held, stale, seen = [], 0, 0, 0
    for cell in read_candle_cells(inventory, days, venues):
        if request.cells and not any(Cell(cell.day, CANDLES, cell.venue) in span for span in request.cells):
            continue
        inside = {symbol for symbol in cell.sources if scope is None or symbol in scope[cell.venue]}
        todo = [symbol for symbol in cell.todo(options) if symbol in inside]
        seen += len(inside)
        held += len(inside) - len(todo)
        stale += 0 if options.rebuild else sum(symbol in inside for symbol in cell.stale(options))
        if todo:
            works.append(_work(cell, todo, means.speed))
    warnings = []
    if not works:
        what = f"the candles of {held:,} files are there" if held else f"no trades are committed at {', '.join(venues)} in {days}"
        warnings.append(f"{NOTHING_TO_DO}: {what}")
    if stale:
        warnings.append(f"{stale:,} files have candles of other inputs than the lake holds now: --rebuild makes them anew")
    return finish_plan(
        request,
        works,
        warnings,
        speed=means.speed,
        rates=means.rates,
        default_shards=means.default_shards,
        max_shards=means.max_shards,
        data_bucket=means.data_bucket,
        state_bucket=means.state_bucket,
        now=now,
        settings=means.settings or {},
        warn_cost_run=means.warn_cost_run,
        warn_cost_day=means.warn_cost_day,
        already_done=held,
    )


def _scope(inventory: Inventory, request: Request, means: Means) -> dict[str, frozenset[str]] | None:
    """venue -> the symbols asked for; None: all."""
    if request.instrument_types:
        raise UsageError("candles are made of symbols, not of kinds", hint="name them: --symbols, or --universe")
    if request.universe:
        catalogues = inventory.catalogues(request.venues)
        found = resolve_scope(request.symbols, request.universe, catalogues, folder=means.universe_folder)
        return None if found is None else dict(found)
    if not request.symbols:
        return None
    symbols = frozenset(map(require_symbol, request.symbols))
    return defaultdict(lambda: symbols)


def _work(cell: CandleCell, symbols: list[str], speed: Speed) -> Work:
    """Largest first, like every work."""
    sizes = {symbol: max(1, cell.sources[symbol].bytes) for symbol in symbols}
    ordered = sorted(symbols, key=lambda symbol: (-sizes[symbol], symbol))
    return Work(
        day=cell.day,
        data_type=CANDLES,
        venue=cell.venue,
        symbols=tuple(ordered),
        bytes=tuple(sizes[symbol] for symbol in ordered),
        seconds=sum(speed.file_seconds(sizes[symbol]) for symbol in ordered),
    )
