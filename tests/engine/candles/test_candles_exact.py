"""Candles equal what a second, independent implementation says, for every column, bar and timeframe."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from candle_oracle import SECONDS, Oracle
from made_up_day import DAY, Files, make_day

from engine.candles.making import CandleInputs, make_candles
from engine.candles.timeframes import CLOCKS, TIMEFRAMES, Clock

SIGNED = {"order_flow_imbalance", "effective_spread", "effective_spread_bps"} | {f"book_imbalance_l{level}" for level in range(1, 6)}
"""Sums in which large numbers may cancel: what is exact about them is relative to those numbers, not to what is left."""


def made(files: Files, clock: Clock, folder: Path, **changes: Any) -> dict[str, pa.Table]:
    inputs = CandleInputs(
        **({"trades": files.trades, "book": files.book, "ticker": files.ticker, "liquidations": files.liquidations} | changes)
    )
    return make_candles(
        inputs, day=DAY, venue="binance-futures", symbol="BTCUSDT", clock=clock, timeframes=TIMEFRAMES, folder=folder
    ).tables


def same(ours: Any, theirs: Any, name: str) -> bool:
    if ours is None or theirs is None:
        return ours is None and theirs is None
    return math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-9 if name in SIGNED else 0.0)


def compare(table: pa.Table, oracle: Oracle, timeframe: str) -> int:
    expected = oracle.candles(timeframe)
    differing = []
    for name in table.column_names[3:]:
        ours = table.column(name).to_pylist()
        theirs = expected.get(name, [None] * table.num_rows)
        assert len(ours) == len(theirs) == 86_400 // SECONDS[timeframe]
        differing += [(timeframe, name, bar, a, b) for bar, (a, b) in enumerate(zip(ours, theirs, strict=True)) if not same(a, b, name)]
    assert not differing, differing[:5]
    return len(expected)


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("seed", range(3))
def test_every_bar_of_every_timeframe_is_what_sql_over_the_ticks_says(seed, clock, tmp_path):
    files = make_day(tmp_path, seed)
    oracle = Oracle(DAY, files.trades, book=files.book, ticker=files.ticker, liquidations=files.liquidations, clock=clock)
    tables = made(files, clock, tmp_path)
    columns = {compare(tables[timeframe], oracle, timeframe) for timeframe in TIMEFRAMES}
    assert columns == {len(tables["1m"].column_names) - 3 - 2}, "all columns but the two of options"


def test_columns_whose_input_is_not_there_are_null_and_the_others_as_before(tmp_path):
    files = make_day(tmp_path, 7)
    whole, alone = made(files, "exchange", tmp_path), made(files, "exchange", tmp_path, book=None, ticker=None, liquidations=None)
    assert alone["1h"].schema.equals(whole["1h"].schema, check_metadata=True)
    for name in alone["1h"].column_names:
        if alone["1h"].column(name).null_count < 24:
            assert alone["1h"].column(name).equals(whole["1h"].column(name)), name
    oracle = Oracle(DAY, files.trades)
    for timeframe in TIMEFRAMES:
        compare(alone[timeframe], oracle, timeframe)


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_a_day_has_all_its_bars_labelled_by_their_start(timeframe, tmp_path):
    table = made(make_day(tmp_path, 1, trades=50, books=50, tickers=50, liquidations=30), "exchange", tmp_path)[timeframe]
    midnight, step = datetime(2024, 5, 1, tzinfo=UTC), timedelta(seconds=SECONDS[timeframe])
    starts = table.column("timestamp").to_pylist()
    assert starts == [midnight + step * bar for bar in range(timedelta(days=1) // step)]
    if timeframe == "5m":
        assert (len(starts), starts[0].isoformat(), starts[-1].isoformat()) == (
            288,
            "2024-05-01T00:00:00+00:00",
            "2024-05-01T23:55:00+00:00",
        )


def test_each_trade_counts_once_also_where_its_time_is_of_the_neighbour_day(tmp_path):
    files = make_day(tmp_path, 3)
    inputs = CandleInputs(files.trades)
    candles = make_candles(inputs, day=DAY, venue="v", symbol="S", clock="exchange", timeframes=TIMEFRAMES, folder=tmp_path)
    assert candles.early_rows >= 2
    assert candles.late_rows >= 2
    for table in candles.tables.values():
        assert sum(table.column("trade_count").to_pylist()) == candles.trades == 2_000 - candles.skipped_rows


def test_block_sizes_change_nothing(tmp_path, monkeypatch):
    files = make_day(tmp_path, 5)
    whole = made(files, "exchange", tmp_path)
    for rows in (1, 97):
        monkeypatch.setattr("engine.candles.reading.BLOCK_ROWS", rows)
        small = made(make_day(tmp_path / "same", 5), "exchange", tmp_path)
        for timeframe in TIMEFRAMES:
            for name in whole[timeframe].column_names[3:]:
                pairs = zip(whole[timeframe].column(name).to_pylist(), small[timeframe].column(name).to_pylist(), strict=True)
                assert all(same(a, b, name) for a, b in pairs), (rows, timeframe, name)
