"""All timeframes from one day of trades, ours beside polars and DuckDB for the same columns: `python -m tests.bench.bench_candles`.

Each contestant reads the same Parquet file and writes seven Parquet files with the columns that need trades alone, the exact median of
delays and the realized variance among them. Peers do it as their documentation says: lazily, by `group_by_dynamic`, one query for
each timeframe; the trades are in the order of arrival, so both must sort by exchange time, or say first and last by it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from tests.bench.bench_convert import peak_mb
from tests.bench.musts import Must, documents
from tests.bench.musts import lines as must_lines

ROWS = 10_000_000
SECONDS = {"15s": 15, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "24h": 86400}
OURS = "tickdeck"
FIGURES = ("wall_s", "make_s", "cpu_s", "peak_mb", "output_mb")
DAY = date(2024, 5, 1)
DAY_US = 1_714_521_600_000_000


def make_ours(source: Path, folder: Path) -> None:
    """The engine: every bar of the day, all columns, one thread."""
    from engine.candles.committing import encode, identify
    from engine.candles.making import CandleInputs, make_candles
    from engine.candles.timeframes import TIMEFRAMES

    made = identify({}, "exchange")
    candles = make_candles(
        CandleInputs(source), day=DAY, venue="binance", symbol="BTCUSDT", clock="exchange", timeframes=TIMEFRAMES, folder=folder
    )
    for name, table in candles.tables.items():
        data = encode(table, made, day=DAY, venue="binance", symbol="BTCUSDT", timeframe=name)
        (folder / f"{name}.parquet").write_bytes(data)


def make_polars(source: Path, folder: Path) -> None:
    """`scan_parquet`, sort once, `group_by_dynamic` for each timeframe."""
    import polars as pl

    delay = (pl.col("local_timestamp") - pl.col("timestamp")).dt.total_microseconds() / 1000
    price, amount = pl.col("price"), pl.col("amount")
    ticks = (
        pl.scan_parquet(source)
        .with_columns(delay=delay, squared=(price / price.shift()).log().pow(2))
        .sort("timestamp", maintain_order=True)
        .collect()
    )
    for name, seconds in SECONDS.items():
        every = f"{seconds}s"
        ticks.group_by_dynamic("timestamp", every=every, closed="left", label="left").agg(
            open=price.first(),
            high=price.max(),
            low=price.min(),
            close=price.last(),
            volume=amount.sum(),
            trade_count=pl.len(),
            price_vwap=(price * amount).sum() / amount.sum(),
            buy_volume_sum=amount.filter(pl.col("side") == "buy").sum(),
            sell_volume_sum=amount.filter(pl.col("side") == "sell").sum(),
            size_avg=amount.mean(),
            delay_median=pl.col("delay").median(),
            delay_mean=pl.col("delay").mean(),
            delay_min=pl.col("delay").min(),
            delay_max=pl.col("delay").max(),
            realized_variance=pl.col("squared").sum(),
        ).write_parquet(folder / f"{name}.parquet", compression="zstd")


def make_duckdb(source: Path, folder: Path) -> None:
    """One query for each timeframe over a table that is read once."""
    import duckdb

    with duckdb.connect() as database:
        database.execute(
            f"""CREATE TABLE ticks AS SELECT epoch_us(timestamp) AS t, price, amount, side,
            (epoch_us(local_timestamp) - epoch_us(timestamp)) / 1000 AS delay,
            pow(ln(price / lag(price) OVER ()), 2) AS squared FROM read_parquet('{source}')"""
        )
        for name, seconds in SECONDS.items():
            width = seconds * 1_000_000
            database.execute(
                f"""COPY (SELECT make_timestamp(t // {width} * {width}) AS timestamp, arg_min(price, t) AS open, max(price) AS high,
                min(price) AS low, arg_max(price, t) AS close, sum(amount) AS volume, count(*) AS trade_count,
                sum(price * amount) / sum(amount) AS price_vwap, sum(amount) FILTER (side = 'buy') AS buy_volume_sum,
                sum(amount) FILTER (side = 'sell') AS sell_volume_sum, avg(amount) AS size_avg, median(delay) AS delay_median,
                avg(delay) AS delay_mean, min(delay) AS delay_min, max(delay) AS delay_max, sum(squared) AS realized_variance
                FROM ticks GROUP BY ALL ORDER BY 1) TO '{folder / name}.parquet' (FORMAT parquet, COMPRESSION zstd)"""
            )


CONTESTANTS: dict[str, Callable[[Path, Path], None]] = {OURS: make_ours, "polars": make_polars, "duckdb": make_duckdb}


def write_trades(path: Path, rows: int) -> None:
    """A day of trades as the lake holds them: in the order of arrival, exchange times a little earlier and not in order."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    chance = np.random.default_rng(1)
    local = np.sort(chance.integers(0, 86_400_000_000, rows)) + DAY_US
    exchange = np.maximum(local - 3_000 - chance.integers(0, 2_000, rows), DAY_US)
    side = pa.DictionaryArray.from_arrays(pa.array(chance.integers(0, 2, rows).astype(np.int32)), pa.array(["buy", "sell"]))
    when = pa.timestamp("us", "UTC")
    table = pa.table(
        {
            "timestamp": pa.array(exchange).view(when),
            "local_timestamp": pa.array(local).view(when),
            "side": side,
            "price": np.round(60_000 + np.cumsum(chance.choice([-0.1, 0, 0, 0, 0.1], rows)), 1),
            "amount": np.round(chance.exponential(0.1, rows), 3) + 0.001,
        }
    )
    pq.write_table(table, path, compression="zstd", row_group_size=524_288)


def measure(contestant: str, source: Path, folder: Path) -> dict[str, float]:
    """Make the candles in a fresh process: wall and CPU seconds of the whole process, the rest from inside."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "tests.bench.bench_candles", "--one", contestant, str(source), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{contestant} failed with exit code {process.returncode}")
    figures: dict[str, float] = json.loads(text.splitlines()[-1])
    figures |= {"wall_s": time.perf_counter() - started, "cpu_s": usage.ru_utime + usage.ru_stime}
    figures["output_mb"] = sum(path.stat().st_size for path in folder.glob("*.parquet")) / 1e6
    return figures


def run(rows: int, runs: int) -> dict[str, Any]:
    """All contestants, in turns."""
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory(prefix="bench-candles-") as place:
        source = Path(place) / "trades.parquet"
        write_trades(source, rows)
        for _ in range(runs):
            for name in CONTESTANTS:
                with tempfile.TemporaryDirectory(dir=place) as folder:
                    measured[name].append(measure(name, source, Path(folder)))
        source_mb = source.stat().st_size / 1e6
    medians = {name: {figure: statistics.median(each[figure] for each in found) for figure in FIGURES} for name, found in measured.items()}
    ratios = {name: {figure: figures[figure] / medians[OURS][figure] for figure in FIGURES} for name, figures in medians.items()}
    best = min(figures["cpu_s"] for name, figures in medians.items() if name != OURS)
    share = medians[OURS]["cpu_s"] / best
    musts = documents([Must("CPU of ours / best peer's", share, 0.70)])
    return {"rows": rows, "runs": runs, "source_mb": source_mb, "medians": medians, "ratios": ratios, "musts": musts}


def table(results: dict[str, Any]) -> str:
    """The results for a person: ours in units, the others as multiples of ours (above 1.00 is worse)."""
    lines = [f"{results['rows']:,} trades, {results['source_mb']:.1f} MB Parquet, seven timeframes, columns that need trades alone"]
    lines.append(f"  {'':16}" + "".join(f"{figure:>12}" for figure in FIGURES))
    lines.append(f"  {OURS:16}" + "".join(f"{results['medians'][OURS][figure]:12.2f}" for figure in FIGURES))
    for name in CONTESTANTS:
        if name != OURS:
            lines.append(f"  {name:16}" + "".join(f"{results['ratios'][name][figure]:11.2f}x" for figure in FIGURES))
    return "\n".join([*lines, *must_lines(results["musts"])])


def main() -> None:
    """One measurement, for a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=3, required=True, help=argparse.SUPPRESS)
    contestant, source, folder = parser.parse_args().one
    started = time.perf_counter()
    CONTESTANTS[contestant](Path(source), Path(folder))
    print(json.dumps({"make_s": time.perf_counter() - started, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
