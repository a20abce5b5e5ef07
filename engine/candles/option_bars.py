"""An options chain of one venue and day, as base bars of two figures for each underlying: at-the-money volatility and 25-delta skew.

Each option's last known mark volatility and delta stand until its next row. At the end of every base bar the figures are taken of
one expiry, the nearest that is `MIN_DAYS` or more away, because the last days of an option say little of volatility.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from engine.candles.bars import group, time_order, unknown
from engine.candles.timeframes import BASE_BARS, BASE_US, DAY_SECONDS, MICROSECONDS, base_bars_of

if TYPE_CHECKING:
    from engine.candles.bars import Floats, Integers
    from engine.candles.reading import Chain, Option

MIN_DAYS: Final = 7
"""Days to expiry, at least, of the options that are looked at."""

TARGET_DELTA: Final = 0.25


@dataclass(slots=True)
class _Expiry:
    """The options of one underlying that expire together, and what is known of each."""

    number: int
    """Its place among all expiries of the chain."""
    options: list[int] = field(default_factory=list)
    """Numbers of its options in the chain."""
    calls: list[bool] = field(default_factory=list)
    strikes: list[float] = field(default_factory=list)

    def figures(self, iv: Floats, delta: Floats, underlying: float) -> tuple[float, float]:
        """(skew, at-the-money volatility) of what is known."""
        iv, delta = iv[self.options], delta[self.options]
        calls, strikes = np.array(self.calls), np.array(self.strikes)
        return _skew(iv, delta, calls), _at_the_money(iv, strikes, underlying)


def _learn(state: Floats, at: Integers, values: Floats) -> None:
    """What is known replaces what was. Of a place that is named twice the later value stays: numpy assigns in order."""
    known = ~np.isnan(values)
    state[at[known]] = values[known]


def _skew(iv: Floats, delta: Floats, calls: np.ndarray) -> float:
    known = ~np.isnan(iv) & ~np.isnan(delta)
    put, call = (_nearest(iv, delta, known & side, target) for side, target in ((~calls, -TARGET_DELTA), (calls, TARGET_DELTA)))
    return put / call if call else np.nan


def _nearest(iv: Floats, delta: Floats, among: np.ndarray, target: float) -> float:
    at = np.flatnonzero(among)
    return float(iv[at[np.argmin(np.abs(delta[at] - target))]]) if len(at) else np.nan


def _at_the_money(iv: Floats, strikes: Floats, underlying: float) -> float:
    at = np.flatnonzero(~np.isnan(iv))
    if not len(at) or np.isnan(underlying):
        return np.nan
    away = np.abs(strikes[at] - underlying)
    # Of two strikes equally near, the lower one.
    strike = strikes[at][away == away.min()].min()
    return float(iv[at][strikes[at] == strike].mean())


@dataclass(frozen=True, slots=True)
class OptionFigures:
    """The two figures of one underlying, by base bar, as known at its end."""

    skew: Floats
    at_the_money: Floats

    def columns(self, timeframe: str) -> dict[str, np.ndarray]:
        """Columns by name: as known at the end of each bar."""
        width = base_bars_of(timeframe)
        return {"skew_25d_put_call_ratio": self.skew[width - 1 :: width], "atm_mark_iv": self.at_the_money[width - 1 :: width]}


class OptionBars:
    """The options of one venue and day."""

    def __init__(self, day_us: int, base_of: Callable[[str], str]) -> None:
        """Args:
        day_us: start of the day, microseconds since the epoch, UTC.
        base_of: the base currency of an option's symbol; "" if it cannot be read, then the option counts nowhere.
        """
        self._day_us, self._base_of = day_us, base_of
        self._numbers: dict[Option, int] = {}
        self._expiries: dict[str, dict[int, _Expiry]] = defaultdict(dict)
        self._iv, self._delta = np.empty(0), np.empty(0)
        self._expiry_of: list[int] = []
        """For each option the number of its expiry."""
        self._heard = np.empty(0, bool)
        """For each expiry whether a row of it has come: a block is numbered as a whole, and read bar by bar."""
        self._underlying = np.empty(0)
        """For each expiry the last known price of what its options are on."""
        self._figures: dict[str, OptionFigures] = {}
        self._bar = 0
        self.rows = 0

    def add(self, chain: Chain) -> None:
        """Add a block in the order of the file. A row whose bar is over by then counts in the bar that is open."""
        self.rows += len(chain.time)
        number = np.array([self._number(option) for option in chain.options], np.int64)[chain.option]
        times, underlying, delta, iv = chain.time, chain.underlying_price, chain.delta, chain.mark_iv
        order = time_order(times)
        if order is not None:
            times, number, underlying, delta, iv = times[order], number[order], underlying[order], delta[order], iv[order]
        expiry = np.array(self._expiry_of, np.int64)[number]
        grouping = group(times, self._day_us)
        for bar, start, count in zip(grouping.bars, grouping.starts, grouping.counts, strict=True):
            self._close_until(int(bar))
            rows = slice(start, start + count)
            self._heard[expiry[rows]] = True
            _learn(self._iv, number[rows], iv[rows])
            _learn(self._delta, number[rows], delta[rows])
            _learn(self._underlying, expiry[rows], underlying[rows])

    def _number(self, option: Option) -> int:
        found = self._numbers.get(option)
        if found is None:
            found = self._numbers[option] = len(self._numbers)
            self._iv, self._delta = np.append(self._iv, np.nan), np.append(self._delta, np.nan)
            expiry = self._expiry(self._base_of(option.symbol), option.expiration)
            self._expiry_of.append(expiry.number)
            expiry.options.append(found)
            expiry.calls.append(option.is_call)
            expiry.strikes.append(option.strike)
        return found

    def _expiry(self, base: str, expiration: int) -> _Expiry:
        found = self._expiries[base].get(expiration)
        if found is None:
            found = self._expiries[base][expiration] = _Expiry(len(self._underlying))
            self._heard = np.append(self._heard, False)
            self._underlying = np.append(self._underlying, np.nan)
        return found

    def _close_until(self, bar: int) -> None:
        """Take the figures at the end of each bar before `bar` that is still open."""
        for closing in range(self._bar, bar):
            horizon = self._day_us + (closing + 1) * BASE_US + MIN_DAYS * DAY_SECONDS * MICROSECONDS
            for base, expiries in self._expiries.items():
                ahead = [at for at, expiry in expiries.items() if at >= horizon and self._heard[expiry.number]]
                if ahead:
                    nearest = min(ahead)
                    figures = self._figures.setdefault(base, OptionFigures(unknown(), unknown()))
                    expiry = expiries[nearest]
                    underlying = float(self._underlying[expiry.number])
                    figures.skew[closing], figures.at_the_money[closing] = expiry.figures(self._iv, self._delta, underlying)
        self._bar = max(self._bar, bar)

    def finish(self) -> dict[str, OptionFigures]:
        """There are no more rows: the figures by base currency."""
        self._close_until(BASE_BARS)
        return {base: figures for base, figures in self._figures.items() if base}
