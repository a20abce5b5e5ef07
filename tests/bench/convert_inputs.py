"""Inputs of the conversion benchmark: CSVs with the shape of the vendor's, deterministic, generated vectorised.

Separate from the benchmark so that what is measured and what it is measured on can be judged one at a time. The figures that
decide size and speed are kept like the genuine ones: prices move by ticks, sizes repeat, exchange times are milliseconds, local
times carry microseconds, options of some hundred strikes take turns and have one column (`rho`) that is empty all day.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from engine.model import Cell, File

DAY = date(2024, 5, 1)
Floats = npt.NDArray[np.float64]


def _times(random: np.random.Generator, rows: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    start = int(datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC).timestamp()) * 1_000_000
    gaps = random.exponential(1.0, rows + 1).cumsum()
    local = start + (gaps[:-1] / gaps[-1] * 86_399_000_000).astype(np.int64)
    exchange = (local - random.integers(2_000, 9_000, rows)) // 1_000 * 1_000
    return exchange, local


def _walk(random: np.random.Generator, rows: int, start: float, tick: float) -> Floats:
    return np.round(start + random.choice([-1, 0, 0, 0, 1], rows).cumsum() * tick, 8)


def _sizes(random: np.random.Generator, rows: int, decimals: int) -> Floats:
    sizes = np.round(random.lognormal(-3.0, 1.8, rows), decimals) + 10.0**-decimals
    usual = random.random(rows) < 0.35
    sizes[usual] = random.choice([0.001, 0.002, 0.01, 0.05, 0.1, 1.0], int(usual.sum()))
    return np.asarray(np.round(sizes, decimals))


def _event(random: np.random.Generator, rows: int, venue: str, symbol: str) -> dict[str, Any]:
    exchange, local = _times(random, rows)
    return {"exchange": np.full(rows, venue), "symbol": np.full(rows, symbol), "timestamp": exchange, "local_timestamp": local}


def trades(rows: int) -> tuple[File, dict[str, Any]]:
    """Spot trades with running integer ids."""
    random = np.random.default_rng(1)
    columns = _event(random, rows, "binance", "BTCUSDT")
    columns["id"] = 3_500_000_000 + np.arange(rows)
    columns["side"] = random.choice(["buy", "sell"], rows)
    columns["price"] = _walk(random, rows, 60_000.0, 0.01)
    columns["amount"] = _sizes(random, rows, 5)
    return File(Cell(DAY, "trades", "binance"), "BTCUSDT"), columns


def book_snapshot_5(rows: int) -> tuple[File, dict[str, Any]]:
    """Five levels on each side; a row changes a few cells of the one before."""
    random = np.random.default_rng(2)
    columns = _event(random, rows, "binance-futures", "BTCUSDT")
    middle = _walk(random, rows, 60_000.0, 0.1)
    held: dict[tuple[str, int], Floats] = {}
    for side in ("asks", "bids"):
        for level in range(5):
            fresh = random.random(rows) < 0.4
            fresh[0] = True
            held[side, level] = _sizes(random, rows, 3)[np.maximum.accumulate(np.where(fresh, np.arange(rows), 0))]
    for level in range(5):
        for side, sign in (("asks", 1), ("bids", -1)):
            columns[f"{side}[{level}].price"] = np.round(middle + sign * 0.1 * (level + 1), 1)
            columns[f"{side}[{level}].amount"] = held[side, level]
    return File(Cell(DAY, "book_snapshot_5", "binance-futures"), "BTCUSDT"), columns


def options_chain(rows: int) -> tuple[File, dict[str, Any]]:
    """A grouped options day: many options take turns, greeks with many digits, `rho` empty all day."""
    random = np.random.default_rng(4)
    options = 600
    columns = _event(random, rows, "okex-options", "-")
    which = random.integers(0, options, rows)
    strikes = 40_000 + 500.0 * (which % 100)
    put = which % 2 == 0
    expiry = 1_714_723_200_000_000 + (which // 100) * 7 * 86_400_000_000
    columns["symbol"] = np.array(
        [f"BTC-USD-24{5 + i // 100:02d}03-{40_000 + 500 * (i % 100)}-{'P' if i % 2 == 0 else 'C'}" for i in range(options)]
    )[which]
    columns["type"] = np.where(put, "put", "call")
    columns["strike_price"] = strikes
    columns["expiration"] = expiry
    columns["open_interest"] = np.round(np.abs(random.normal(100, 80, options)), 1)[which]
    price = np.abs(60_000 - strikes) / 600_000 + np.abs(random.normal(0.02, 0.01, rows))
    columns["last_price"] = np.where(random.random(rows) < 0.2, np.nan, np.round(price, 4))
    for side, sign in (("bid", -1), ("ask", 1)):
        columns[f"{side}_price"] = np.round(price * (1 + sign * 0.02), 4)
        columns[f"{side}_amount"] = np.round(random.lognormal(3, 1, rows), 0)
        columns[f"{side}_iv"] = np.round(0.6 + sign * 0.02 + random.normal(0, 0.03, rows), 6)
    columns["mark_price"] = price
    columns["mark_iv"] = 0.6 + random.normal(0, 0.03, rows)
    columns["underlying_index"] = np.full(rows, "BTC-USD")
    columns["underlying_price"] = _walk(random, rows, 60_000.0, 0.5)
    columns["delta"] = random.uniform(-1, 1, rows)
    columns["gamma"] = np.abs(random.normal(1e-5, 3e-6, rows))
    columns["vega"] = np.abs(random.normal(3e-5, 1e-5, rows))
    columns["theta"] = -np.abs(random.normal(8e-5, 2e-5, rows))
    columns["rho"] = pa.nulls(rows, pa.float64())
    return File(Cell(DAY, "options_chain", "okex-options"), "OPTIONS"), columns


GENERATORS: dict[str, Callable[[int], tuple[File, dict[str, Any]]]] = {
    "trades": trades,
    "book_snapshot_5": book_snapshot_5,
    "options_chain": options_chain,
}


def write_input(data_type: str, rows: int, path: Path, *, level: int = 6) -> File:
    """Write the `.csv.gz` of `rows` rows (one gzip member) and say which file it is."""
    file, columns = GENERATORS[data_type](rows)
    table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
    text = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, text, pyarrow.csv.WriteOptions(include_header=False, quoting_style="none"))
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=level, mtime=0) as packed:
        packed.write((",".join(table.column_names) + "\n").encode())
        packed.write(text.getvalue())
    return file
