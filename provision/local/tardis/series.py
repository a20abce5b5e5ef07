"""Rows of each data type for one symbol and one UTC day, in blocks of bounded size.

Every block has its own random stream and its own share of the day's events, so the text does not depend on who asks first,
and a file of millions of rows needs the memory of one block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import numpy as np

from provision.local.tardis.listings import Listed
from provision.local.tardis.options import option_block
from provision.local.tardis.paths import AssetDay, Clock, asset_day, event_clock, microseconds, stream
from provision.local.tardis.scenario import SymbolSpec, start_of
from provision.local.tardis.text import Column, Decimals, Floats, Ints, Labels, Table, constant

BLOCK_ROWS = 65_536

_FUNDING_MICROSECONDS = 8 * 3600 * 1_000_000
_SIDES = ("buy", "sell")
_MEDIAN_NOTIONAL = 260.0
"""Of a trade, in quote currency."""


@dataclass(frozen=True, slots=True)
class Day:
    """What the rows of one file are drawn from."""

    seed: int
    listed: Listed
    symbol: SymbolSpec
    """The symbol itself; of an option, its underlying."""
    data_type: str
    day: date
    rows: int
    asset: AssetDay
    clock: Clock
    midnight: int
    """Microseconds since the epoch."""

    @classmethod
    def of(cls, seed: int, listed: Listed, data_type: str, day: date, rows: int, silent: tuple[tuple[datetime, datetime], ...]) -> Day:
        """The day of a listed symbol or option.

        Raises:
            ValueError: if it is a group or does not trade on that day.
        """
        symbol = listed.symbol or (listed.contract.underlying if listed.contract else None)
        window = listed.window(day)
        if symbol is None or window is None:
            raise ValueError(f"{listed.venue} {listed.id} has no rows of its own on {day}")
        asset = asset_day(seed, symbol.base, day)
        clock = event_clock(asset, day, window, silent)
        return cls(seed, listed, symbol, data_type, day, rows, asset, clock, microseconds(start_of(day)))

    def blocks(self) -> Iterator[Table]:
        """The rows, in order, `BLOCK_ROWS` at most at a time."""
        count = -(-self.rows // BLOCK_ROWS)
        for index in range(count):
            low, high = index * BLOCK_ROWS, min(self.rows, (index + 1) * BLOCK_ROWS)
            name = (self.listed.venue, self.listed.id, self.data_type, self.day.isoformat(), index)
            yield _MAKERS[self.data_type](Block(self, low, high - low, stream(self.seed, "rows", *name)))


@dataclass(frozen=True, slots=True)
class Block:
    """Rows `low`..`low + rows` of a day."""

    of: Day
    low: int
    rows: int
    rng: np.random.Generator

    def times(self, events: int) -> tuple[Ints, Ints]:
        """Exchange and local microseconds of `events` events of this block, ordered by the local ones."""
        gaps = np.cumsum(self.rng.standard_exponential(events + 1))
        shares = (self.low + self.rows * gaps[:-1] / gaps[-1]) / self.of.rows
        local = self.of.clock.offsets(shares).astype(np.int64) + self.of.midnight
        latency = np.clip(np.exp(self.rng.standard_normal(events) * 0.6 + 8.7), 700, 300_000)
        # Seen in recordings of real venues: now and then the local clock is behind the exchange's.
        ahead = self.rng.random(events) < 0.001
        latency = np.where(ahead, -latency / 4, latency).astype(np.int64)
        return (local - latency) // 1000 * 1000, local

    def mids(self, local: Ints) -> Floats:
        """Price at these times, in ticks, not rounded."""
        symbol = self.of.symbol
        return self.of.asset.prices(local - self.of.midnight) * (symbol.price / symbol.tick)

    def amounts(self, count: int, scale: float = 1.0) -> Decimals:
        """Heavy-tailed amounts on the lot grid, many of them round."""
        symbol = self.of.symbol
        median = _MEDIAN_NOTIONAL * scale / (1.0 if symbol.inverse else symbol.price) / symbol.lot
        lots = np.exp(self.rng.standard_normal(count) * 1.6 + np.log(max(1.0, median)))
        magnitude = 10.0 ** np.maximum(0, np.floor(np.log10(lots)))
        lots = np.where(self.rng.random(count) < 0.3, np.round(lots / magnitude) * magnitude, lots)
        return on_grid(np.maximum(1, lots.astype(np.int64)), symbol.lot)

    def events_columns(self, exchange: Ints, local: Ints) -> dict[str, Column]:
        """The four columns that every type begins with."""
        return {
            "exchange": constant(self.of.listed.venue, len(local)),
            "symbol": constant(self.of.listed.id, len(local)),
            "timestamp": Decimals(exchange),
            "local_timestamp": Decimals(local),
        }


def on_grid(steps: Ints, grid: float, finer: int = 0) -> Decimals:
    """`steps * grid` exactly; `finer` adds decimals."""
    step = Decimal(repr(grid)).normalize()
    digits, exponent = int(step.scaleb(-int(step.as_tuple().exponent))), int(step.as_tuple().exponent)
    decimals = max(0, -exponent)
    return Decimals(steps * (digits * 10 ** max(0, exponent)) * 10**finer, decimals + finer)


def _trades(block: Block) -> Table:
    rng, rows = block.rng, block.rows
    opens = rng.random(rows) > 0.3  # the rest are further fills of the same taker order
    opens[0] = True
    event = np.cumsum(opens) - 1
    events = int(event[-1]) + 1
    depth = np.arange(rows) - np.flatnonzero(opens)[event]
    exchange, local = block.times(events)
    sides = (rng.random(events) < 0.5).astype(np.intp)
    direction = np.where(sides == 0, 1, -1)
    noise = rng.standard_normal(events) * 1.5
    prices = np.maximum(1, np.rint(block.mids(local) + direction * 0.5 + noise).astype(np.int64))[event]
    prices = np.maximum(1, prices + direction[event] * (depth // 2))
    return Table(
        rows,
        {
            **block.events_columns(exchange[event], local[event]),
            "id": Decimals(_first_id(block.of) + block.low + np.arange(rows, dtype=np.int64)),
            "side": Labels(sides[event], _SIDES),
            "price": on_grid(prices, block.of.symbol.tick),
            "amount": block.amounts(rows),
        },
    )


def _first_id(day: Day) -> int:
    """Ids grow through the years and differ between symbols."""
    start = int(stream(day.seed, "id", day.listed.venue, day.listed.id).integers(10**8, 4 * 10**9))
    return start + (day.day.toordinal() - date(2019, 1, 1).toordinal()) * 3_000_000


def _liquidations(block: Block) -> Table:
    rng, rows = block.rng, block.rows
    exchange, local = block.times(rows)
    sides = (rng.random(rows) < 0.5).astype(np.intp)
    slip = np.where(sides == 0, 1, -1) * rng.exponential(12, rows)
    # Binance gives its liquidations no id; deribit marks trades, which have one.
    ids: Column = Decimals(_first_id(block.of) + np.cumsum(rng.integers(1, 4000, rows)))
    if block.of.listed.venue.startswith("binance"):
        ids = constant("", rows)
    return Table(
        rows,
        {
            **block.events_columns(exchange, local),
            "id": ids,
            "side": Labels(sides, _SIDES),
            "price": on_grid(np.maximum(1, np.rint(block.mids(local) + slip).astype(np.int64)), block.of.symbol.tick),
            "amount": block.amounts(rows, scale=6.0),
        },
    )


def _ladder(block: Block, local: Ints, depth: int) -> tuple[Ints, Ints]:
    """Ask and bid ticks, `(rows, depth)`, best first, never crossed."""
    rows, rng = len(local), block.rng
    bids = np.maximum(depth * 8, np.rint(block.mids(local)).astype(np.int64))
    spread = np.minimum(rng.geometric(0.8, rows), 6)
    gaps = np.minimum(rng.geometric(0.5, (2, rows, depth)), 7)
    gaps[:, :, 0] = 0
    steps = np.cumsum(gaps, axis=2)
    return (bids + spread)[:, None] + steps[0], bids[:, None] - steps[1]


def _book(depth: int) -> Callable[[Block], Table]:
    def make(block: Block) -> Table:
        exchange, local = block.times(block.rows)
        asks, bids = _ladder(block, local, depth)
        columns = block.events_columns(exchange, local)
        tick = block.of.symbol.tick
        for level in range(depth):
            for side, ticks in (("asks", asks), ("bids", bids)):
                columns[f"{side}[{level}].price"] = on_grid(np.ascontiguousarray(ticks[:, level]), tick)
                columns[f"{side}[{level}].amount"] = block.amounts(block.rows, scale=4.0 + level)
        return Table(block.rows, columns)

    return make


def _quotes(block: Block) -> Table:
    exchange, local = block.times(block.rows)
    asks, bids = _ladder(block, local, 1)
    tick = block.of.symbol.tick
    return Table(
        block.rows,
        {
            **block.events_columns(exchange, local),
            "ask_amount": block.amounts(block.rows, scale=8.0),
            "ask_price": on_grid(asks[:, 0], tick),
            "bid_price": on_grid(bids[:, 0], tick),
            "bid_amount": block.amounts(block.rows, scale=8.0),
        },
    )


def _incremental_book(block: Block) -> Table:
    rng, rows = block.rng, block.rows
    snapshot = np.arange(block.low, block.low + rows) < min(50, block.of.rows)
    exchange, local = block.times(rows)
    if snapshot.any():
        exchange[snapshot], local[snapshot] = exchange[0], local[0]
    sides = (rng.random(rows) < 0.5).astype(np.intp)
    distance = rng.geometric(0.1, rows) * np.where(sides == 0, 1, -1)
    gone = ~snapshot & (rng.random(rows) < 0.35)
    amounts = block.amounts(rows, scale=5.0)
    return Table(
        rows,
        {
            **block.events_columns(exchange, local),
            "is_snapshot": Labels(snapshot.astype(np.intp), ("false", "true")),
            "side": Labels(sides, ("ask", "bid")),
            "price": on_grid(np.maximum(1, np.rint(block.mids(local)).astype(np.int64) + distance), block.of.symbol.tick),
            "amount": Decimals(np.where(gone, 0, amounts.values), amounts.decimals),
        },
    )


def _derivative_ticker(block: Block) -> Table:
    rng, rows, day = block.rng, block.rows, block.of
    exchange, local = block.times(rows)
    mids = block.mids(local)
    slot = local // _FUNDING_MICROSECONDS
    base_rates = stream(day.seed, "funding", day.listed.venue, day.listed.id, day.day.isoformat()).integers(-4000, 12000, 4)
    rates = base_rates[slot - slot[0]] + rng.integers(-40, 41, rows)
    interest = int(4e9 / day.symbol.price / day.symbol.lot) + np.cumsum(rng.integers(-30, 31, rows))
    index = on_grid(np.rint((mids * (1 - rates * 1e-9)) * 1000).astype(np.int64), day.symbol.tick)
    mark = on_grid(np.rint(mids * 1000 + rng.standard_normal(rows) * 400).astype(np.int64), day.symbol.tick)
    on_schedule = not day.symbol.inverse
    nothing = np.ones(rows, np.bool_)
    return Table(
        rows,
        {
            **block.events_columns(exchange, local),
            # A perpetual that pays every eight hours announces the hour; one that pays all the time predicts a rate.
            "funding_timestamp": Decimals((slot + 1) * _FUNDING_MICROSECONDS, empty=None if on_schedule else nothing),
            "funding_rate": Decimals(rates, 8),
            "predicted_funding_rate": Decimals(rates // 2 * 3, 8, empty=nothing if on_schedule else None),
            "open_interest": on_grid(np.maximum(1, interest), day.symbol.lot),
            "last_price": on_grid(np.maximum(1, np.rint(mids + rng.standard_normal(rows)).astype(np.int64)), day.symbol.tick),
            "index_price": Decimals(index.values, index.decimals + 3),
            "mark_price": Decimals(mark.values, mark.decimals + 3),
        },
    )


def _options_chain(block: Block) -> Table:
    contract = block.of.listed.contract
    assert contract is not None
    exchange, local = block.times(block.rows)
    spot = block.mids(local) * block.of.symbol.tick
    columns = block.events_columns(exchange, local)
    return Table(block.rows, {**columns, **option_block(contract, local, spot, block.rng)})


_MAKERS: dict[str, Callable[[Block], Table]] = {
    "trades": _trades,
    "liquidations": _liquidations,
    "book_snapshot_5": _book(5),
    "book_snapshot_25": _book(25),
    "derivative_ticker": _derivative_ticker,
    "options_chain": _options_chain,
    "incremental_book_L2": _incremental_book,
    "quotes": _quotes,
    "book_ticker": _quotes,
}
