"""Plans of candles: the symbols whose trades are committed, less those whose candles are there and made of what the lake holds now.

What is expected follows from manifests, not from the catalogue: candles of a day can be made as soon as its trades are committed, and a
file that comes later (a book, the options chain) makes them stale, which is said and cured by `--rebuild`.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import structs

from engine.candles.cells import CandleCell, read_candle_cells
from engine.candles.pipeline import options_of
from engine.errors import UsageError
from engine.inventory import Inventory, Means
from engine.model import Cell, DayRange, require_aware, require_symbol, require_venue
from engine.plan import CANDLES, Plan, Request, Work
from engine.planner import NOTHING_TO_DO, finish_plan
from engine.universe import resolve_scope

if TYPE_CHECKING:
    from engine.estimate import Speed


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
