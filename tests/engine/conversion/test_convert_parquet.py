"""How the Parquet is laid out, seen through its own metadata."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.conversion.convert import convert
from engine.conversion.parquet_file import FEW_ROWS
from engine.datatypes import DATA_TYPES, SCHEMA_VERSION, Encoding, Kind, schema
from engine.model import Outcome
from tests.bench.convert_inputs import write_input
from tests.engine.conversion.tardis_csv import BTCUSDT, DAY_US, TRADES, converted, line, packed, trades, trades_csv


def parsed(data: bytes | None) -> pq.ParquetFile:
    assert data is not None
    return pq.ParquetFile(pa.BufferReader(data))


def test_the_schema_is_the_declared_one() -> None:
    file = parsed(converted(packed(trades_csv(FEW_ROWS)), file=BTCUSDT).parquet)
    assert file.schema_arrow.equals(schema(TRADES), check_metadata=False)
    assert (file.schema_arrow.field("price").metadata or {})[b"unit"] == b"quote currency of the symbol"
    assert file.schema.column(3).logical_type.type == "TIMESTAMP"


@pytest.mark.parametrize("name", ["trades", "book_snapshot_5", "derivative_ticker", "options_chain"])
def test_every_column_has_its_encoding_and_zstd_and_those_of_every_event_statistics_and_a_page_index(name: str, tmp_path: Path) -> None:
    file = write_input(name, 3_000, tmp_path / "a.csv.gz", level=1)
    done = convert(tmp_path / "a.csv.gz", tmp_path / "a.parquet", data_type=DATA_TYPES[name], file=file)
    assert done.outcome is Outcome.OK
    group = pq.read_metadata(tmp_path / "a.parquet").row_group(0)
    for index, column in enumerate(DATA_TYPES[name].columns):
        chunk = group.column(index)
        assert chunk.path_in_schema == column.name
        assert chunk.compression == "ZSTD"
        assert column.encoding.value in chunk.encodings
        assert (Encoding.DICTIONARY.value in chunk.encodings) == (column.encoding is Encoding.DICTIONARY)
        assert chunk.has_column_index == chunk.is_stats_set == (column.kind is Kind.TIME or column.name in ("exchange", "symbol"))
        assert chunk.has_offset_index


@pytest.mark.parametrize("rows", [1, FEW_ROWS - 1])
def test_few_rows_have_the_same_types_and_statistics_without_what_would_be_larger_than_they_are(rows: int) -> None:
    file = parsed(converted(packed(trades_csv(rows)), file=BTCUSDT).parquet)
    assert file.schema_arrow.equals(schema(TRADES), check_metadata=False)
    assert not any(b"description" in (field.metadata or {}) for field in file.schema_arrow)
    group = file.metadata.row_group(0)
    for index, column in enumerate(TRADES.columns):
        chunk = group.column(index)
        assert chunk.compression == ("UNCOMPRESSED" if column.kind is Kind.CATEGORY else "ZSTD")
        assert chunk.is_stats_set == (column.kind is Kind.TIME or column.name in ("exchange", "symbol"))
        assert not chunk.has_column_index
        assert not chunk.has_offset_index


def test_the_many_symbols_of_a_grouped_file_are_compressed_also_where_rows_are_few(tmp_path: Path) -> None:
    write_input("options_chain", 300, tmp_path / "a.csv.gz", level=1)
    done = convert(tmp_path / "a.csv.gz", None, data_type=DATA_TYPES["options_chain"], file=None)
    group = parsed(done.parquet).metadata.row_group(0)
    packed_columns = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    assert packed_columns["exchange"].compression == "UNCOMPRESSED"
    assert packed_columns["symbol"].compression == "ZSTD"
    assert packed_columns["symbol"].total_compressed_size < packed_columns["symbol"].total_uncompressed_size / 2


def test_row_groups_have_exactly_the_declared_rows() -> None:
    done = converted(packed(trades_csv(1_000)), data_type=replace(TRADES, row_group_rows=300), file=BTCUSDT)
    metadata = parsed(done.parquet).metadata
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [300, 300, 300, 100]


def test_the_last_row_group_is_never_empty() -> None:
    done = converted(packed(trades_csv(600)), data_type=replace(TRADES, row_group_rows=300), file=BTCUSDT)
    assert parsed(done.parquet).metadata.num_row_groups == 2


def test_metadata_says_what_it_is_and_nothing_of_where_or_when_it_was_made() -> None:
    text = trades(line(timestamp=DAY_US - 1, local_timestamp=DAY_US), line(timestamp=DAY_US + 3, local_timestamp=DAY_US + 9))
    file = parsed(converted(packed(text), file=BTCUSDT).parquet)
    said = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items() if key != b"ARROW:schema"}
    assert said == {
        "venue": "binance",
        "data_type": "trades",
        "day": "2024-05-01",
        "symbol": "BTCUSDT",
        "rows": "2",
        "schema_version": str(SCHEMA_VERSION),
        "min_timestamp_us": str(DAY_US - 1),
        "max_timestamp_us": str(DAY_US + 3),
        "min_local_timestamp_us": str(DAY_US),
        "max_local_timestamp_us": str(DAY_US + 9),
    }


def test_order_is_promised_only_where_it_holds() -> None:
    ordered = parsed(converted(packed(trades_csv(9)), file=BTCUSDT).parquet).metadata
    assert [column.column_index for column in ordered.row_group(0).sorting_columns] == [3]
    back = packed(trades(line(local_timestamp=DAY_US + 2), line(local_timestamp=DAY_US + 1), line(local_timestamp=DAY_US + 3)))
    done = converted(back, data_type=replace(TRADES, row_group_rows=2), file=BTCUSDT)
    metadata = parsed(done.parquet).metadata
    assert metadata.num_row_groups == 2
    assert not any(metadata.row_group(index).sorting_columns for index in (0, 1))
    assert (metadata.metadata or {})[b"symbol"] == b"BTCUSDT"


def test_checksum_and_length_are_those_of_the_finished_file(tmp_path: Path) -> None:
    source = tmp_path / "a.csv.gz"
    source.write_bytes(packed(trades_csv(120_000, step=700_001), cuts=[9_999]))
    done = convert(source, tmp_path / "a.parquet", data_type=TRADES, file=BTCUSDT)
    written = (tmp_path / "a.parquet").read_bytes()
    assert len(written) > 1024 * 1024
    assert done.crc32c == base64.b64encode(google_crc32c.value(written).to_bytes(4, "big")).decode()
    assert done.parquet_bytes == len(written)
    in_memory = converted(source.read_bytes(), file=BTCUSDT)
    assert (in_memory.crc32c, in_memory.parquet) == (done.crc32c, written)


def test_an_open_source_stays_open_and_an_older_sink_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(packed(trades_csv(5)))
    (tmp_path / "a.parquet").write_bytes(b"old" * 100_000)
    with (tmp_path / "a.csv.gz").open("rb") as source:
        convert(source, tmp_path / "a.parquet", data_type=TRADES, file=BTCUSDT)
        assert not source.closed
    assert pq.read_metadata(tmp_path / "a.parquet").num_rows == 5
