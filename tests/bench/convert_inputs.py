"""Inputs of the conversion benchmark: CSVs with the shape of the vendor's, deterministic, generated vectorised, piece by piece.

Separate from the benchmark so that what is measured and what it is measured on can be judged one at a time. The figures that
decide size and speed are kept like the genuine ones: prices move by ticks, sizes repeat, exchange times are milliseconds, local
times carry microseconds, a ticker's row changes a few cells of the one before, options of some hundred strikes take turns and have
one column (`rho`) that is empty all day.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from engine.model import File
from tests.bench.convert_files import DAY, FILES

PIECE_ROWS = 250_000
Floats = npt.NDArray[np.float64]
Columns = dict[str, Any]


def _pieces(rows: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each piece."""
    for first in range(0, rows, PIECE_ROWS):
        yield first, min(PIECE_ROWS, rows - first)


def _event(random: np.random.Generator, file: File, first: int, count: int, rows: int) -> Columns:
    """The four columns in front, for `count` rows from `first` on of a day of `rows`."""
    start = int(datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC).timestamp()) * 1_000_000
    gaps = random.exponential(1.0, count + 1).cumsum()
    local = start + ((first + gaps[:-1] / gaps[-1] * count) / rows * 86_399_000_000).astype(np.int64)
    exchange = (local - random.integers(2_000, 9_000, count)) // 1_000 * 1_000
    symbol = np.full(count, file.symbol)
    return {"exchange": np.full(count, file.cell.venue), "symbol": symbol, "timestamp": exchange, "local_timestamp": local}


class Walk:
    """A price that moves by a tick or stays, from piece to piece."""

    def __init__(self, random: np.random.Generator, start: float, tick: float) -> None:
        self._random, self._start, self._tick = random, start, tick
        self._ticks = 0

    def take(self, count: int) -> Floats:
        """The next `count` prices."""
        ticks = self._ticks + self._random.choice([-1, 0, 0, 0, 1], count).cumsum()
        self._ticks = int(ticks[-1])
        return np.asarray(np.round(self._start + ticks * self._tick, 8))


class Held:
    """Values that hold for some rows: of those drawn, each stays until the next fresh one."""

    def __init__(self, random: np.random.Generator, share: float) -> None:
        self._random, self._share = random, share
        self._last: float | None = None

    def take(self, drawn: Floats) -> Floats:
        """`drawn` where the row is fresh, else what stood before."""
        fresh = self._random.random(len(drawn)) < self._share
        if self._last is not None and not fresh[0]:
            drawn = drawn.copy()
            drawn[0] = self._last
        fresh[0] = True
        held = drawn[np.maximum.accumulate(np.where(fresh, np.arange(len(drawn)), 0))]
        self._last = float(held[-1])
        return held


def _sizes(random: np.random.Generator, count: int, decimals: int) -> Floats:
    sizes = np.round(random.lognormal(-3.0, 1.8, count), decimals) + 10.0**-decimals
    usual = random.random(count) < 0.35
    sizes[usual] = random.choice([0.001, 0.002, 0.01, 0.05, 0.1, 1.0], int(usual.sum()))
    return np.asarray(np.round(sizes, decimals))


def trades(rows: int) -> Iterator[Columns]:
    """Spot trades with running integer ids."""
    random = np.random.default_rng(1)
    price = Walk(random, 60_000.0, 0.01)
    for first, count in _pieces(rows):
        columns = _event(random, FILES["trades"], first, count, rows)
        columns["id"] = 3_500_000_000 + first + np.arange(count)
        columns["side"] = random.choice(["buy", "sell"], count)
        columns["price"] = price.take(count)
        columns["amount"] = _sizes(random, count, 5)
        yield columns


def book_snapshot_5(rows: int) -> Iterator[Columns]:
    """Five levels on each side; a row changes a few cells of the one before."""
    random = np.random.default_rng(2)
    middle = Walk(random, 60_000.0, 0.1)
    sides = (("asks", 1), ("bids", -1))
    amounts = {(side, level): Held(random, 0.4) for side, _ in sides for level in range(5)}
    for first, count in _pieces(rows):
        columns = _event(random, FILES["book_snapshot_5"], first, count, rows)
        price = middle.take(count)
        for level in range(5):
            for side, sign in sides:
                columns[f"{side}[{level}].price"] = np.round(price + sign * 0.1 * (level + 1), 1)
                columns[f"{side}[{level}].amount"] = amounts[side, level].take(_sizes(random, count, 3))
        yield columns


def derivative_ticker(rows: int) -> Iterator[Columns]:
    """A perpetual: a row for each change of any figure, so most figures stand as before. Rates as often as genuine heads have it."""
    random = np.random.default_rng(3)
    last, index, basis = Walk(random, 60_000.0, 0.1), Walk(random, 60_000.0, 0.5), Held(random, 0.02)
    traded, marked, interest = Held(random, 0.5), Held(random, 0.25), Held(random, 0.2)
    funding, predicted = Held(random, 0.002), Held(random, 0.001)
    for first, count in _pieces(rows):
        columns = _event(random, FILES["derivative_ticker"], first, count, rows)
        eight_hours = 8 * 3_600_000_000
        columns["funding_timestamp"] = (columns["local_timestamp"] // eight_hours + 1) * eight_hours
        columns["funding_rate"] = funding.take(np.round(random.normal(1e-4, 2e-5, count), 8))
        columns["predicted_funding_rate"] = predicted.take(np.round(random.normal(1e-4, 2e-5, count), 8))
        columns["open_interest"] = interest.take(np.round(random.normal(80_000, 50, count), 3))
        columns["last_price"] = traded.take(last.take(count))
        columns["index_price"] = marked.take(np.round(index.take(count) + random.random(count), 8))
        columns["mark_price"] = np.round(columns["index_price"] + basis.take(np.round(random.normal(0, 2, count), 8)), 8)
        yield columns


def options_chain(rows: int) -> Iterator[Columns]:
    """A grouped options day: many options take turns, greeks with many digits, `rho` empty all day."""
    random = np.random.default_rng(4)
    options = 600
    symbols = np.array([f"BTC-USD-24{5 + i // 100:02d}03-{40_000 + 500 * (i % 100)}-{'P' if i % 2 == 0 else 'C'}" for i in range(options)])
    interest = np.round(np.abs(random.normal(100, 80, options)), 1)
    underlying = Walk(random, 60_000.0, 0.5)
    for first, count in _pieces(rows):
        columns = _event(random, FILES["options_chain"], first, count, rows)
        which = random.integers(0, options, count)
        strikes = 40_000 + 500.0 * (which % 100)
        columns["symbol"] = symbols[which]
        columns["type"] = np.where(which % 2 == 0, "put", "call")
        columns["strike_price"] = strikes
        columns["expiration"] = 1_714_723_200_000_000 + (which // 100) * 7 * 86_400_000_000
        columns["open_interest"] = interest[which]
        price = np.abs(60_000 - strikes) / 600_000 + np.abs(random.normal(0.02, 0.01, count))
        columns["last_price"] = np.where(random.random(count) < 0.2, np.nan, np.round(price, 4))
        for side, sign in (("bid", -1), ("ask", 1)):
            columns[f"{side}_price"] = np.round(price * (1 + sign * 0.02), 4)
            columns[f"{side}_amount"] = np.round(random.lognormal(3, 1, count), 0)
            columns[f"{side}_iv"] = np.round(0.6 + sign * 0.02 + random.normal(0, 0.03, count), 6)
        columns["mark_price"] = price
        columns["mark_iv"] = 0.6 + random.normal(0, 0.03, count)
        columns["underlying_index"] = np.full(count, "BTC-USD")
        columns["underlying_price"] = underlying.take(count)
        columns["delta"] = random.uniform(-1, 1, count)
        columns["gamma"] = np.abs(random.normal(1e-5, 3e-6, count))
        columns["vega"] = np.abs(random.normal(3e-5, 1e-5, count))
        columns["theta"] = -np.abs(random.normal(8e-5, 2e-5, count))
        columns["rho"] = pa.nulls(count, pa.float64())
        yield columns


GENERATORS: dict[str, Callable[[int], Iterator[Columns]]] = {
    "trades": trades,
    "book_snapshot_5": book_snapshot_5,
    "derivative_ticker": derivative_ticker,
    "options_chain": options_chain,
}


def write_input(data_type: str, rows: int, path: Path, *, level: int = 6) -> File:
    """Write the `.csv.gz` of `rows` rows (one gzip member) and say which file it is."""
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=level, mtime=0) as packed:
        for number, columns in enumerate(GENERATORS[data_type](rows)):
            table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
            if not number:
                packed.write((",".join(table.column_names) + "\n").encode())
            text = pa.BufferOutputStream()
            pyarrow.csv.write_csv(table, text, pyarrow.csv.WriteOptions(include_header=False, quoting_style="none"))
            packed.write(text.getvalue())
    return FILES[data_type]
