"""Derivative tickers and liquidations gathered into base bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.candles.bars import LastValue, add_up, carried, group, last_of, nothing, time_order
from engine.candles.reading import TICKER_COLUMNS
from engine.candles.timeframes import BASE_BARS, base_bars_of

if TYPE_CHECKING:
    from engine.candles.bars import Floats
    from engine.candles.reading import Tickers, Trades


class TickerBars:
    """One symbol's derivative tickers of one day."""

    def __init__(self, day_us: int) -> None:
        """Args:
        day_us: start of the day, microseconds since the epoch, UTC.
        """
        self._day_us = day_us
        self._last = {name: LastValue() for name in TICKER_COLUMNS}
        self._first_interest = np.nan
        self._first_time = np.iinfo(np.int64).max
        self.rows = 0

    def add(self, tickers: Tickers) -> None:
        """Add a block of tickers in the order of the file."""
        self.rows += len(tickers.time)
        times, values = tickers.time, tickers.values
        order = time_order(times)
        if order is not None:
            times, values = times[order], {name: column[order] for name, column in values.items()}
        for name, column in values.items():
            self._last[name].add(times, column, self._day_us)
        known = np.flatnonzero(~np.isnan(values["open_interest"]))
        if len(known) and times[known[0]] < self._first_time:
            self._first_time, self._first_interest = int(times[known[0]]), float(values["open_interest"][known[0]])

    def columns(self, timeframe: str) -> dict[str, np.ndarray]:
        """Columns by name: one value for each bar of the day, NaN where there is none."""
        width = base_bars_of(timeframe)
        columns: dict[str, np.ndarray] = {name: last_of(self._last[name].values, width) for name in TICKER_COLUMNS}
        return columns | {"oi_change": self._change(width)}

    def _change(self, width: int) -> Floats:
        at_end = carried(self._last["open_interest"].values)[width - 1 :: width]
        at_start = np.concatenate([[np.nan], at_end[:-1]])
        return at_end - np.where(np.isnan(at_start), self._first_interest, at_start)


class LiquidationBars:
    """One symbol's liquidations of one day."""

    def __init__(self, day_us: int) -> None:
        """Args:
        day_us: start of the day, microseconds since the epoch, UTC.
        """
        self._day_us = day_us
        self._buy, self._sell, self._all = nothing(), nothing(), nothing()
        self._count = np.zeros(BASE_BARS, np.int64)
        self.rows = 0

    def add(self, liquidations: Trades) -> None:
        """Add a block of liquidations in the order of the file."""
        self.rows += len(liquidations.time)
        order = time_order(liquidations.time)
        if order is not None:
            liquidations = liquidations.take(order)
        grouping = group(liquidations.time, self._day_us)
        amount = np.nan_to_num(liquidations.amount)
        self._count[grouping.bars] += grouping.counts
        self._all[grouping.bars] += grouping.sums(amount)
        self._buy[grouping.bars] += grouping.sums(amount * liquidations.buys)
        self._sell[grouping.bars] += grouping.sums(amount * liquidations.sells)

    def columns(self, timeframe: str, oi_change: Floats | None) -> dict[str, np.ndarray]:
        """Columns by name: one value for each bar of the day.

        Args:
            timeframe: which bars.
            oi_change: change of open interest in the same bars; None without tickers.
        """
        width = base_bars_of(timeframe)
        total = add_up(self._all, width)
        change = np.full(len(total), np.nan) if oi_change is None else oi_change
        unknown = np.isnan(change)
        return {
            "liquidation_buy_volume": add_up(self._buy, width),
            "liquidation_sell_volume": add_up(self._sell, width),
            "liquidation_count": add_up(self._count, width),
            "liquidation_with_rising_oi": np.where(unknown, np.nan, np.where(change > 0, total, 0.0)),
            "liquidation_with_falling_oi": np.where(unknown, np.nan, np.where(change < 0, total, 0.0)),
        }
