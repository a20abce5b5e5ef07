"""Trades gathered into base bars, block by block, and what the bars of a timeframe say of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.candles.bars import (
    FirstValue,
    Grouping,
    LastValue,
    add_up,
    bar_of,
    divide,
    first_of,
    group,
    largest,
    last_of,
    nothing,
    outside,
    smallest,
    time_order,
    unknown,
)
from engine.candles.medians import Values
from engine.candles.timeframes import BASE_BARS, base_bars_of

if TYPE_CHECKING:
    from engine.candles.bars import Floats, Integers
    from engine.candles.reading import Trades

_MILLISECOND = 1000.0


class TradeBars:
    """One symbol's trades of one day."""

    def __init__(self, day_us: int, rows: int, folder: Path) -> None:
        """Args:
        day_us: start of the day, microseconds since the epoch, UTC.
        rows: how many trades will come at most.
        folder: for a temporary file, if they are many.
        """
        self._day_us = day_us
        self._open, self._close = FirstValue(), LastValue()
        self._high, self._low = unknown(), unknown()
        self._volume, self._turnover, self._buy, self._sell = nothing(), nothing(), nothing(), nothing()
        self._count = np.zeros(BASE_BARS, np.int64)
        self._delay = np.zeros(BASE_BARS, np.int64)
        self._least_delay, self._most_delay = unknown(), unknown()
        self._delays = Values(rows, folder, "delays")
        self._variance = nothing()
        self._spread, self._spread_bps, self._spread_count = nothing(), nothing(), nothing()
        self._last_price = np.nan
        self.rows = 0
        self.skipped_rows = 0
        """Rows without a price or an amount: they are in no bar."""
        self.early_rows = 0
        self.late_rows = 0

    def add(self, trades: Trades, mids: Floats | None) -> None:
        """Add a block of trades in the order of the file.

        Args:
            trades: the block.
            mids: for each trade the mid price that stood before it, NaN where none is known; None without a book.
        """
        usable = np.isfinite(trades.price) & np.isfinite(trades.amount)
        if not usable.all():
            self.skipped_rows += int((~usable).sum())
            trades = trades.take(usable)
            mids = None if mids is None else mids[usable]
        if not len(trades.price):
            return
        self.rows += len(trades.price)
        before, after = outside(trades.time, self._day_us)
        self.early_rows, self.late_rows = self.early_rows + before, self.late_rows + after
        # In the order of arrival: returns, and the quote a trade met.
        self._add_returns(trades)
        if mids is not None:
            self._add_spreads(trades, mids)
        order = time_order(trades.time)
        if order is not None:
            trades = trades.take(order)
        grouping = group(trades.time, self._day_us)
        self._add_prices(trades, grouping)
        self._add_amounts(trades, grouping)
        self._add_delays(trades.local - trades.exchange, grouping)

    def _add_returns(self, trades: Trades) -> None:
        price = trades.price
        before = np.concatenate([[self._last_price], price[:-1]])
        self._last_price = price[-1]
        # Most trades repeat the price of the one before; a price of 0 or less has no return.
        at = np.flatnonzero((price != before) & (price > 0) & (before > 0))
        returns = np.log1p((price[at] - before[at]) / before[at])
        self._variance += np.bincount(bar_of(trades.time[at], self._day_us), returns * returns, BASE_BARS)

    def _add_spreads(self, trades: Trades, mids: Floats) -> None:
        at = np.flatnonzero((trades.buys | trades.sells) & ~np.isnan(mids))
        mid = mids[at]
        spread = (trades.price[at] - mid) * np.where(trades.buys[at], 2.0, -2.0)
        bars = bar_of(trades.time[at], self._day_us)
        self._spread += np.bincount(bars, spread, BASE_BARS)
        self._spread_bps += np.bincount(bars, spread / mid * 10_000, BASE_BARS)
        self._spread_count += np.bincount(bars, minlength=BASE_BARS)

    def _add_prices(self, trades: Trades, grouping: Grouping) -> None:
        price, bars = trades.price, grouping.bars
        self._open.add(trades.time, price, grouping)
        self._close.add(trades.time, price, self._day_us)
        self._high[bars] = np.fmax(self._high[bars], np.maximum.reduceat(price, grouping.starts))
        self._low[bars] = np.fmin(self._low[bars], np.minimum.reduceat(price, grouping.starts))

    def _add_amounts(self, trades: Trades, grouping: Grouping) -> None:
        bars, amount = grouping.bars, trades.amount
        self._count[bars] += grouping.counts
        self._volume[bars] += grouping.sums(amount)
        self._turnover[bars] += grouping.sums(trades.price * amount)
        self._buy[bars] += grouping.sums(amount * trades.buys)
        self._sell[bars] += grouping.sums(amount * trades.sells)

    def _add_delays(self, delays: Integers, grouping: Grouping) -> None:
        bars, starts = grouping.bars, grouping.starts
        self._delay[bars] += np.add.reduceat(delays, starts)
        self._least_delay[bars] = np.fmin(self._least_delay[bars], np.minimum.reduceat(delays, starts))
        self._most_delay[bars] = np.fmax(self._most_delay[bars], np.maximum.reduceat(delays, starts))
        self._delays.add(delays, grouping)

    @property
    def covered_minutes(self) -> int:
        """How many UTC minutes of the day have trades."""
        return int(np.count_nonzero(add_up(self._count, base_bars_of("1m"))))

    def columns(self, timeframes: tuple[str, ...], *, with_book: bool) -> dict[str, dict[str, np.ndarray]]:
        """Columns by name, by timeframe: one value for each bar of the day, NaN where there is none."""
        medians = self._delays.medians(timeframes)
        return {name: self._columns(base_bars_of(name), medians[name], with_book=with_book) for name in timeframes}

    def _columns(self, width: int, medians: Floats, *, with_book: bool) -> dict[str, np.ndarray]:
        volume, count = add_up(self._volume, width), add_up(self._count, width)
        columns: dict[str, np.ndarray] = {
            "open": first_of(self._open.values, width),
            "high": largest(self._high, width),
            "low": smallest(self._low, width),
            "close": last_of(self._close.values, width),
            "volume": volume,
            "trade_count": count,
            "price_vwap": divide(add_up(self._turnover, width), volume),
            "buy_volume_sum": add_up(self._buy, width),
            "sell_volume_sum": add_up(self._sell, width),
            "size_avg": divide(volume, count),
            "delay_median": medians / _MILLISECOND,
            "delay_mean": divide(add_up(self._delay / _MILLISECOND, width), count),
            "delay_min": smallest(self._least_delay, width) / _MILLISECOND,
            "delay_max": largest(self._most_delay, width) / _MILLISECOND,
            "realized_variance": add_up(self._variance, width),
        }
        if with_book:
            met = add_up(self._spread_count, width)
            columns |= {
                "effective_spread": divide(add_up(self._spread, width), met),
                "effective_spread_bps": divide(add_up(self._spread_bps, width), met),
            }
        return columns
