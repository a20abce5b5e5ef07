"""All candles of one symbol and day out of its committed files: one pass over the ticks, every timeframe at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.candles.book_bars import BookBars, Quotes
from engine.candles.columns import COLUMNS, ColumnKind, Input
from engine.candles.derivative_bars import LiquidationBars, TickerBars
from engine.candles.option_bars import OptionBars, OptionFigures
from engine.candles.reading import count_rows, read_books, read_chain, read_tickers, read_trades
from engine.candles.timeframes import Clock, starts_of
from engine.candles.trade_bars import TradeBars
from engine.model import day_start

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = day_start(date(1970, 1, 1))


@dataclass(frozen=True, slots=True)
class CandleInputs:
    """Local copies of one symbol's committed files of one day. None: not in the lake."""

    trades: Path
    book: Path | None = None
    ticker: Path | None = None
    liquidations: Path | None = None
    options: OptionFigures | None = None
    """Of the symbol's base currency."""

    @property
    def names(self) -> tuple[Input, ...]:
        """What there is."""
        found = {
            Input.TRADES: self.trades,
            Input.BOOK: self.book,
            Input.TICKER: self.ticker,
            Input.LIQUIDATIONS: self.liquidations,
            Input.OPTIONS: self.options,
        }
        return tuple(name for name, value in found.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Candles:
    """The candles of one symbol and day."""

    tables: dict[str, pa.Table]
    """By timeframe; one row for each bar of the day."""
    trades: int
    skipped_rows: int
    """Trades without a price or an amount: in no bar."""
    early_rows: int
    """Trades whose time lies before the day: in its first bar."""
    late_rows: int
    """Trades whose time lies after the day: in its last bar."""
    covered_minutes: int
    """How many UTC minutes of the day have trades."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What is odd but real, in words that manifests keep."""
        seen = {"previous_day_trades": self.early_rows, "next_day_trades": self.late_rows, "skipped_trades": self.skipped_rows}
        return tuple(sorted(flag for flag, count in seen.items() if count))


def make_candles(
    inputs: CandleInputs, *, day: date, venue: str, symbol: str, clock: Clock, timeframes: tuple[str, ...], folder: Path
) -> Candles:
    """Make the candles of one symbol and day.

    Args:
        inputs: where its files are.
        day: UTC day of the files.
        venue: Tardis exchange id.
        symbol: dataset symbol.
        clock: which time of a row decides its bar.
        timeframes: names of `engine.candles.timeframes`.
        folder: for a temporary file, where trades are very many.

    Raises:
        SourceError: if a file cannot be read, or lacks a column.
    """
    day_us = start_us(day)
    trades = TradeBars(day_us, count_rows(inputs.trades), folder)
    book, ticker, liquidations = BookBars(day_us), TickerBars(day_us), LiquidationBars(day_us)
    quotes = Quotes(read_books(inputs.book, clock), book) if inputs.book is not None else None
    for block in read_trades(inputs.trades, clock):
        trades.add(block, None if quotes is None else quotes.mids_before(block.local))
    if quotes is not None:
        quotes.drain()
    for tickers in read_tickers(inputs.ticker, clock) if inputs.ticker is not None else ():
        ticker.add(tickers)
    for liquidated in read_trades(inputs.liquidations, clock) if inputs.liquidations is not None else ():
        liquidations.add(liquidated)
    by_timeframe = trades.columns(timeframes, with_book=quotes is not None)
    tables = {}
    for name in timeframes:
        columns = by_timeframe[name]
        if quotes is not None:
            columns |= book.columns(name)
        if inputs.ticker is not None:
            columns |= ticker.columns(name)
        if inputs.liquidations is not None:
            columns |= liquidations.columns(name, columns.get("oi_change"))
        if inputs.options is not None:
            columns |= inputs.options.columns(name)
        tables[name] = _table(columns, starts_of(name, day_us), venue, symbol)
    return Candles(tables, trades.rows, trades.skipped_rows, trades.early_rows, trades.late_rows, trades.covered_minutes)


def read_option_figures(path: Path, *, day: date, clock: Clock, base_of: Callable[[str], str]) -> dict[str, OptionFigures]:
    """The figures of a venue's options chain of one day, by base currency.

    Args:
        path: the grouped file `OPTIONS`, which has all options in the order of arrival.
        day: UTC day of the files.
        clock: which time of a row decides its bar.
        base_of: the base currency of an option's symbol; "" if it cannot be read.

    Raises:
        SourceError: if a file cannot be read, or lacks a column.
    """
    bars = OptionBars(start_us(day), base_of)
    for chain in read_chain(path, clock):
        bars.add(chain)
    return bars.finish()


def start_us(day: date) -> int:
    """The start of a UTC day, microseconds since the epoch."""
    return (day_start(day) - _EPOCH) // timedelta(microseconds=1)


def _table(columns: dict[str, np.ndarray], starts: np.ndarray, venue: str, symbol: str) -> pa.Table:
    import pyarrow as pa

    from engine.candles.columns import candle_schema

    schema = candle_schema()
    constants = {"venue": venue, "symbol": symbol}
    rows = len(starts)
    arrays: list[Any] = []
    for column, field in zip(COLUMNS, schema, strict=True):
        if column.kind is ColumnKind.TIME:
            arrays.append(pa.array(starts).view(field.type))
        elif column.kind is ColumnKind.CATEGORY:
            arrays.append(pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array([constants[column.name]])))
        elif column.name not in columns:
            arrays.append(pa.nulls(rows, field.type))
        else:
            values = np.ascontiguousarray(columns[column.name])
            arrays.append(pa.array(values, field.type, from_pandas=True))
    return pa.Table.from_arrays(arrays, schema=schema)
