"""Book snapshots gathered into base bars, and the quotes that trades met.

A snapshot stands from its time to that of the next one, the last of the day to the end of the day. Its time is the largest seen so
far: a snapshot that arrives with an older exchange time stands from the moment at which the newest one was known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from engine.candles.bars import LastValue, add_up, bar_of, divide, group, last_of, nothing
from engine.candles.columns import BOOK_LEVELS
from engine.candles.timeframes import BASE_BARS, BASE_US, MICROSECONDS, base_bars_of

if TYPE_CHECKING:
    from engine.candles.bars import Floats, Integers
    from engine.candles.reading import Books

_STANDING = ("quoted_spread", "quoted_spread_bps", *(f"book_imbalance_l{depth}" for depth in range(1, BOOK_LEVELS + 1)))


class _Standing:
    """Averages over the time that values stood."""

    def __init__(self, day_us: int) -> None:
        self._day_us, self._end_us = day_us, day_us + BASE_BARS * BASE_US
        self._sums = {name: nothing() for name in _STANDING}
        self._seconds = {name: nothing() for name in _STANDING}
        self._time: Integers = np.empty(0, np.int64)
        self._values: dict[str, Floats] = {name: np.empty(0) for name in _STANDING}

    def add(self, times: Integers, values: dict[str, Floats]) -> None:
        """Add values at times that never step back; the last of the block stands until the next block says otherwise."""
        times = np.concatenate([self._time, np.clip(times, self._day_us, self._end_us)])
        values = {name: np.concatenate([self._values[name], values[name]]) for name in _STANDING}
        self._gather(times, values)
        self._time, self._values = times[-1:].copy(), {name: values[name][-1:].copy() for name in _STANDING}

    def finish(self) -> None:
        """The last values stand to the end of the day."""
        if len(self._time):
            times = np.append(self._time, self._end_us)
            self._gather(times, {name: np.append(values, np.nan) for name, values in self._values.items()})
            self._time = np.empty(0, np.int64)

    def _gather(self, times: Integers, values: dict[str, Floats]) -> None:
        first, last = times[0] - self._day_us, times[-1] - self._day_us
        edges = self._day_us + np.arange(first // BASE_US + 1, last // BASE_US + 1, dtype=np.int64) * BASE_US
        # Each edge of a bar within the block becomes a row that repeats what stands there, so no piece of time crosses one.
        at = np.searchsorted(times, edges, side="right")
        cut = np.insert(times, at, edges)
        source = np.insert(np.arange(len(times)), at, at - 1)
        seconds = np.diff(cut) / MICROSECONDS
        source = source[:-1]
        lasting = seconds > 0
        if not lasting.any():
            return
        seconds, source, begins = seconds[lasting], source[lasting], cut[:-1][lasting]
        grouping = group(begins, self._day_us)
        for name in _STANDING:
            standing = values[name][source]
            known = ~np.isnan(standing)
            if known.all():
                self._seconds[name][grouping.bars] += grouping.sums(seconds)
                self._sums[name][grouping.bars] += grouping.sums(standing * seconds)
            else:
                self._seconds[name][grouping.bars] += grouping.sums(np.where(known, seconds, 0.0))
                self._sums[name][grouping.bars] += grouping.sums(np.where(known, standing * seconds, 0.0))

    def columns(self, width: int) -> dict[str, np.ndarray]:
        return {name: divide(add_up(self._sums[name], width), add_up(self._seconds[name], width)) for name in _STANDING}


class BookBars:
    """One symbol's book snapshots of one day."""

    def __init__(self, day_us: int) -> None:
        """Args:
        day_us: start of the day, microseconds since the epoch, UTC.
        """
        self._day_us = day_us
        self._mid, self._micro = LastValue(), LastValue()
        self._standing = _Standing(day_us)
        self._flow = nothing()
        self._count = np.zeros(BASE_BARS, np.int64)
        self._newest = np.iinfo(np.int64).min
        self._before: tuple[Floats, ...] = ()
        self.rows = 0

    def add(self, books: Books) -> None:
        """Add a block of snapshots in the order of the file."""
        self.rows += len(books.time)
        times = np.maximum(np.maximum.accumulate(books.time), self._newest)
        self._newest = int(times[-1])
        ask, bid = books.ask_price, books.bid_price
        asks, bids = books.ask_amounts[0], books.bid_amounts[0]
        mid = (ask + bid) / 2
        self._mid.add(times, mid, self._day_us)
        with np.errstate(invalid="ignore", divide="ignore"):
            micro = (ask * bids + bid * asks) / (asks + bids)
        self._micro.add(times, np.where(np.isfinite(micro), micro, np.nan), self._day_us)
        with np.errstate(invalid="ignore"):
            spread = ask - bid
            relative = np.where(mid > 0, spread / np.where(mid > 0, mid, 1.0) * 10_000, np.nan)
        values = {"quoted_spread": spread, "quoted_spread_bps": relative} | _imbalances(books)
        self._standing.add(times, values)
        grouping = group(times, self._day_us)
        self._count[grouping.bars] += grouping.counts
        self._add_flow(times, ask, bid, asks, bids)

    def _add_flow(self, times: Integers, ask: Floats, bid: Floats, asks: Floats, bids: Floats) -> None:
        now = (ask, bid, asks, bids)
        held = self._before or tuple(np.full(1, np.nan) for _ in now)
        ask0, bid0, asks0, bids0 = (np.concatenate([before, values[:-1]]) for before, values in zip(held, now, strict=True))
        self._before = tuple(values[-1:].copy() for values in now)
        # A comparison with a missing price is false, so what is not known adds nothing.
        event = (
            np.where(bid >= bid0, bids, 0.0)
            - np.where(bid <= bid0, bids0, 0.0)
            - np.where(ask <= ask0, asks, 0.0)
            + np.where(ask >= ask0, asks0, 0.0)
        )
        self._flow += np.bincount(bar_of(times, self._day_us), np.nan_to_num(event), BASE_BARS)

    def finish(self) -> None:
        """There are no more snapshots."""
        self._standing.finish()

    def columns(self, timeframe: str) -> dict[str, np.ndarray]:
        """Columns by name: one value for each bar of the day, NaN where there is none."""
        width = base_bars_of(timeframe)
        return {
            "mid_price": last_of(self._mid.values, width),
            "micro_price": last_of(self._micro.values, width),
            **self._standing.columns(width),
            "order_flow_imbalance": add_up(self._flow, width),
            "book_count": add_up(self._count, width),
        }


def _imbalances(books: Books) -> dict[str, Floats]:
    """Imbalance of the amounts of the best 1, 2, ... levels; a missing level has amount 0."""
    found = {}
    asks, bids = np.zeros(len(books.time)), np.zeros(len(books.time))
    for depth in range(1, BOOK_LEVELS + 1):
        asks = asks + np.nan_to_num(books.ask_amounts[depth - 1])
        bids = bids + np.nan_to_num(books.bid_amounts[depth - 1])
        found[f"book_imbalance_l{depth}"] = divide(bids - asks, bids + asks)
    return found


class Quotes:
    """The mid price that stood before each trade, from a stream of snapshots that is read just as far as the trades need."""

    def __init__(self, blocks: Iterator[Books], bars: BookBars) -> None:
        """Args:
        blocks: the day's snapshots; each block goes into `bars` when it is read.
        bars: what gathers them.
        """
        self._blocks, self._bars = blocks, bars
        self._local: Integers = np.empty(0, np.int64)
        self._mid: Floats = np.empty(0)
        self._newest = np.iinfo(np.int64).min
        self._trade = np.iinfo(np.int64).min

    def mids_before(self, local: Integers) -> Floats:
        """For each trade of the next block the mid of the last snapshot that arrived before it, NaN where there is none.

        Args:
            local: arrival times of the trades, microseconds. One that steps back counts as arriving with the latest so far.
        """
        local = np.maximum(np.maximum.accumulate(local), self._trade)
        self._trade = int(local[-1])
        while self._newest < local[-1] and self._read():
            pass
        # The trades that meet a snapshot are those from the first one after it to the first one after the next.
        at = np.searchsorted(local, self._local, side="right")
        mids = np.full(len(local), np.nan)
        if len(at):
            counts = np.diff(np.append(at, len(local)))
            mids[at[0] :] = np.repeat(self._mid, counts)
        # Before the last snapshot that was met no later trade looks.
        keep = max(int(np.searchsorted(self._local, local[-1])) - 1, 0)
        self._local, self._mid = self._local[keep:], self._mid[keep:]
        return mids

    def drain(self) -> None:
        """Read what comes after the last trade."""
        self._local, self._mid = np.empty(0, np.int64), np.empty(0)
        while self._read(keep=False):
            pass
        self._bars.finish()

    def _read(self, *, keep: bool = True) -> bool:
        books = next(self._blocks, None)
        if books is None:
            return False
        self._bars.add(books)
        if keep:
            local = np.maximum(np.maximum.accumulate(books.local), self._newest)
            self._newest = int(local[-1])
            two_sided = ~np.isnan(books.ask_price + books.bid_price)
            self._local = np.concatenate([self._local, local[two_sided]])
            self._mid = np.concatenate([self._mid, ((books.ask_price + books.bid_price) / 2)[two_sided]])
        return True
