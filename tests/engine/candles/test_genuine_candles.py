"""Genuine rows of the vendor, converted by the engine and made into candles, equal what SQL over them says."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from candle_oracle import Oracle
from test_candles_exact import compare

from engine.candles.making import CandleInputs, make_candles
from engine.candles.timeframes import CLOCKS, TIMEFRAMES
from engine.conversion.convert import convert
from engine.datatypes import DATA_TYPES
from tests.sample_data import sample_data

MIDNIGHT = 86_400_000_000


def convert_head(part: str, data_type: str, folder: Path, *, onto: int | None = None) -> tuple[Path, int]:
    """A genuine head as Parquet, and the day of its first row, days since the epoch; moved onto another day if `onto` says so."""
    source, target = folder / "head.csv.gz", folder / f"{data_type}.parquet"
    source.write_bytes(gzip.compress((sample_data() / part).read_bytes()))
    done = convert(source, target, data_type=DATA_TYPES[data_type], file=None)
    assert done.outcome == "ok", done.detail
    assert done.min_local_timestamp_us is not None
    day = done.min_local_timestamp_us // MIDNIGHT
    if onto is not None and onto != day:
        table = pq.read_table(target)
        for name in ("timestamp", "local_timestamp"):
            place, column = table.column_names.index(name), table.column(name)
            moved = pa.array([value.value + (onto - day) * MIDNIGHT for value in column]).view(column.type)
            table = table.set_column(place, name, moved)
        pq.write_table(table, target)
    return target, day


HEADS = {
    "trades": "csv-heads-nautilus/bitmex_trades_XBTUSD.csv",
    "book_snapshot_5": "csv-heads-nautilus/binance-futures_book_snapshot_5_BTCUSDT.csv",
    "derivative_ticker": "csv-heads-docs/derivative_ticker_bitmex_docs-preview.csv",
    "liquidations": "csv-heads-docs/liquidations_binance-futures_docs-preview.csv",
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_candles_of_genuine_rows_are_what_sql_over_them_says(clock, tmp_path):
    """The heads are of several days: all are moved onto that of the trades, their times of day stay."""
    trades, day = convert_head(HEADS["trades"], "trades", tmp_path)
    others = {name: convert_head(HEADS[name], name, tmp_path, onto=day)[0] for name in HEADS if name != "trades"}
    date = datetime.fromtimestamp(day * 86_400, UTC).date()
    inputs = CandleInputs(trades, others["book_snapshot_5"], others["derivative_ticker"], others["liquidations"])
    made = make_candles(inputs, day=date, venue="bitmex", symbol="XBTUSD", clock=clock, timeframes=TIMEFRAMES, folder=tmp_path)
    assert made.trades == 10
    oracle = Oracle(
        date, trades, book=others["book_snapshot_5"], ticker=others["derivative_ticker"], liquidations=others["liquidations"], clock=clock
    )
    for timeframe in TIMEFRAMES:
        compare(made.tables[timeframe], oracle, timeframe)
