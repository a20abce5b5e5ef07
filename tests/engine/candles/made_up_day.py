"""Days of ticks made by chance, with everything that happens to real ones: late rows, rows of the neighbour day, silent hours, empty
cells, one-sided books, clocks that run ahead, unknown sides, repeated prices, equal times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DAY = date(2024, 5, 1)
DAY_US = 1_714_521_600_000_000
DAY_LENGTH = 86_400_000_000
TIME = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one symbol."""

    trades: Path
    book: Path
    ticker: Path
    liquidations: Path


def make_day(folder: Path, seed: int, *, trades: int = 2_000, books: int = 3_000, tickers: int = 600, liquidations: int = 80) -> Files:
    """Make the files of one symbol."""
    chance = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    return Files(
        _write(folder / "trades.parquet", _deals(chance, trades), row_group=701),
        _write(folder / "book.parquet", _books(chance, books), row_group=977),
        _write(folder / "ticker.parquet", _tickers(chance, tickers), row_group=251),
        _write(folder / "liquidations.parquet", _deals(chance, liquidations), row_group=33),
    )


def _write(path: Path, table: pa.Table, row_group: int) -> Path:
    pq.write_table(table, path, row_group_size=row_group)
    return path


def _times(chance: np.random.Generator, rows: int) -> dict[str, pa.Array]:
    """Arrivals in order but for a few; exchange times that jitter, step back, run ahead, and lie over midnight."""
    hours = chance.choice(24, size=15, replace=False)
    local = np.sort(chance.choice(hours, rows) * 3_600_000_000 + chance.integers(0, 3_600_000_000, rows)) + DAY_US
    exchange = local - chance.integers(-900, 30_000, rows)
    late = chance.random(rows) < 0.02
    exchange[late] -= chance.integers(0, 400_000_000, int(late.sum()))
    local[:3] = DAY_US + np.array([5, 5, 900_000])
    exchange[:3] = DAY_US + np.array([-20_000, -1, 880_000])
    local[-2:] = DAY_US + DAY_LENGTH - np.array([1_000, 1])
    exchange[-2:] = DAY_US + DAY_LENGTH + np.array([300, 0])
    same = chance.random(rows) < 0.1
    exchange[1:][same[1:]] = exchange[:-1][same[1:]]
    swapped = chance.integers(10, rows - 10)
    local[[swapped, swapped + 1]] = local[[swapped + 1, swapped]]
    return {"timestamp": pa.array(exchange).view(TIME), "local_timestamp": pa.array(local).view(TIME)}


def _holes(chance: np.random.Generator, values: np.ndarray, share: float) -> pa.Array:
    return pa.array(values, mask=chance.random(len(values)) < share)


def _walk(chance: np.random.Generator, rows: int) -> np.ndarray:
    return np.round(60_000 + np.cumsum(chance.choice([-0.5, -0.1, 0, 0, 0, 0.1, 0.5], rows)), 1)


def _deals(chance: np.random.Generator, rows: int) -> pa.Table:
    side = pa.DictionaryArray.from_arrays(pa.array(chance.integers(0, 3, rows).astype(np.int32)), pa.array(["sell", "unknown", "buy"]))
    return pa.table(
        _times(chance, rows)
        | {
            "side": side,
            "price": _holes(chance, _walk(chance, rows), 0.005),
            "amount": _holes(chance, np.round(chance.exponential(0.1, rows), 8) + 1e-8, 0.005),
        }
    )


def _books(chance: np.random.Generator, rows: int) -> pa.Table:
    bid = _walk(chance, rows)
    columns = {}
    for level in range(1, 6):
        missing = 0.01 * level
        columns |= {
            f"ask_price_{level}": _holes(chance, bid + 0.1 * level, missing),
            f"ask_amount_{level}": _holes(chance, np.round(chance.exponential(1, rows), 3), missing),
            f"bid_price_{level}": _holes(chance, bid - 0.1 * (level - 1), missing),
            f"bid_amount_{level}": _holes(chance, np.round(chance.exponential(1, rows), 3), missing),
        }
    return pa.table(_times(chance, rows) | columns)


def _tickers(chance: np.random.Generator, rows: int) -> pa.Table:
    return pa.table(
        _times(chance, rows)
        | {
            "funding_rate": _holes(chance, chance.normal(0, 1e-4, rows), 0.2),
            "predicted_funding_rate": pa.nulls(rows, pa.float64()),
            "index_price": _holes(chance, _walk(chance, rows), 0.1),
            "mark_price": _holes(chance, _walk(chance, rows), 0.1),
            "open_interest": _holes(chance, np.round(1e5 + np.cumsum(chance.integers(-5, 6, rows)), 1), 0.3),
        }
    )
