"""Queries over a lake in the bucket: the rows are those of the files, and only files that matter are read."""

from __future__ import annotations

import io
import os
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import UsageError
from engine.model import Cell, File
from engine.paths import data_object
from engine.query.running import open_query
from engine.store import Store
from tests.local_servers import Lake, LocalServer, make_lake

TYPES = "trades,options_chain"


@pytest.fixture(scope="module")
def filled(storage_server: LocalServer, tiny_source: LocalServer) -> Lake:
    lake = make_lake(storage_server, tiny_source, f"query-{os.getpid()}")
    done = lake.engine("download", "--venues", "binance,deribit", "--data-types", TYPES, "--start", "2024-05-01", "--end", "2024-05-02")
    assert done.returncode == 0, done.stderr
    assert lake.engine("candles", "--venues", "binance", "--day", "2024-05-01").returncode == 0
    return lake


def rows_of(store: Store, sql: str) -> list[tuple]:
    with open_query(store, sql, threads=1) as opened:
        return [tuple(row.values()) for batch in opened.run() for row in batch.to_pylist()]


def table_of(store: Store, day: date, data_type: str, venue: str, symbol: str) -> pa.Table:
    found = store.get(data_object(File(Cell(day, data_type, venue), symbol)))
    assert found is not None
    return pq.read_table(io.BytesIO(found.data))


def test_the_rows_are_those_of_the_files(filled):
    day = date(2024, 5, 1)
    found = rows_of(
        filled.data, "SELECT venue, symbol, count(*), sum(amount) FROM trades WHERE day = '2024-05-01' GROUP BY ALL ORDER BY ALL"
    )
    expected = []
    for venue, symbols in (("binance", ("BTCUSDT", "PEPEUSDT")), ("deribit", ("BTC-PERPETUAL", "SOL_USDC-PERPETUAL"))):
        for symbol in symbols:
            table = table_of(filled.data, day, "trades", venue, symbol)
            expected.append((venue, symbol, table.num_rows, pytest.approx(sum(table.column("amount").to_pylist()))))
    assert found == expected


def test_only_files_whose_names_can_matter_are_opened(filled):
    sql = "SELECT max(price) FROM trades WHERE day BETWEEN '2024-05-01' AND '2024-05-02' AND venue = 'binance' AND symbol = 'PEPEUSDT'"
    with open_query(filled.data, sql) as opened:
        assert {file.info.name.rsplit("/", 1)[-1] for file in opened.files["trades"]} == {"PEPEUSDT.parquet"}
        assert len(opened.files["trades"]) == 2
        opened.run().read_all()
        assert opened.filesystem.bytes_read <= sum(file.info.size for file in opened.files["trades"])


def test_a_condition_that_only_duckdb_understands_still_leaves_files_out(filled):
    said = "day BETWEEN '2024-05-01' AND '2024-05-02' AND starts_with(venue, 'der')"
    with open_query(filled.data, f"SELECT count(*), max(price) FROM trades WHERE {said}") as opened:
        opened.run().read_all()
        of_venue = {
            venue: sum(file.info.size for file in opened.files["trades"] if file.venue == venue) for venue in ("binance", "deribit")
        }
        first = opened.files["trades"][0].info.size
        assert of_venue["binance"] > first
        assert opened.filesystem.bytes_read <= of_venue["deribit"] + first, "the first file tells the columns"


def test_a_symbol_is_found_within_a_grouped_file(filled):
    chain = table_of(filled.data, date(2024, 5, 1), "options_chain", "deribit", "OPTIONS")
    symbol = chain.column("symbol").to_pylist()[0]
    [(count,)] = rows_of(filled.data, f"SELECT count(*) FROM options_chain WHERE day = '2024-05-01' AND symbol = '{symbol}'")
    assert count == chain.column("symbol").to_pylist().count(symbol) > 0


def test_candles_are_views_and_join_with_their_ticks(filled):
    [(bars, volume)] = rows_of(filled.data, "SELECT count(*), sum(volume) FROM candles_5m WHERE day = '2024-05-01' AND symbol = 'BTCUSDT'")
    trades = table_of(filled.data, date(2024, 5, 1), "trades", "binance", "BTCUSDT")
    assert (bars, volume) == (288, pytest.approx(sum(trades.column("amount").to_pylist())))


def test_a_view_without_files_has_its_columns_and_no_rows(filled):
    assert rows_of(filled.data, "SELECT day, venue, symbol, price FROM trades WHERE day = '2019-01-01'") == []
    assert rows_of(filled.data, "SELECT count(close) FROM candles_1h WHERE day = '2024-05-02'") == [(0,)]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT * FROM trades", "does not say which days of trades"),
        ("SELECT * FROM trade WHERE day = '2024-05-01'", "the lake has no 'trade'"),
        ("SELECT nonsense FROM trades WHERE day = '2024-05-01'", "nonsense"),
    ],
)
def test_a_query_that_cannot_be_meant_is_one_line(filled, sql, words):
    with pytest.raises(UsageError, match=words) as refused:
        rows_of(filled.data, sql)
    assert "\n" not in str(refused.value)
