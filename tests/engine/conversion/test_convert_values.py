"""Value by value: what Parquet holds against a reading of the same CSV by the standard library."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from engine.conversion.convert import ConvertSettings, Flag
from engine.datatypes import DATA_TYPES
from engine.model import Cell, File, Outcome
from tests.engine.conversion.tardis_csv import (
    BTCUSDT,
    DAY,
    DAY_US,
    HEADERS,
    TEXTS,
    converted,
    day_of,
    genuine_heads,
    line,
    packed,
    parquet_rows,
    read_independently,
    trades,
    trades_csv,
)


def test_genuine_heads_arrive_value_by_value() -> None:
    for path, name in genuine_heads():
        text = path.read_bytes()
        first = read_independently(text)[0]
        symbol = "OPTIONS" if name == "options_chain" else first["symbol"]
        file = File(Cell(day_of(text), name, first["exchange"]), symbol)
        done = converted(packed(text), data_type=DATA_TYPES[name], file=file)
        assert done.outcome is Outcome.OK, (path.name, done.detail)
        assert parquet_rows(done) == read_independently(text), path.name
        assert done.rows == text.count(b"\n") - 1
        assert done.csv_bytes == len(text)


def test_a_day_of_trades_arrives_value_by_value_across_many_row_groups() -> None:
    text = trades_csv(3_000)
    done = converted(
        packed(text),
        data_type=replace(DATA_TYPES["trades"], row_group_rows=701),
        file=BTCUSDT,
        settings=ConvertSettings(1000, 5000),
    )
    assert parquet_rows(done) == read_independently(text)


def test_bounds_are_aware_utc_datetimes_too() -> None:
    done = converted(packed(trades(line(local_timestamp=DAY_US + 1, timestamp=DAY_US))), file=BTCUSDT)
    assert done.min_local_timestamp == datetime(2024, 5, 1, microsecond=1, tzinfo=UTC)
    assert done.max_timestamp == datetime(2024, 5, 1, tzinfo=UTC)
    assert converted(packed(trades(line(timestamp=2**62)))).max_timestamp is None


def test_empty_cells_are_null_and_an_empty_side_is_data() -> None:
    done = converted(packed(trades(line(id="", side="", price="", amount=""))), file=BTCUSDT)
    row = parquet_rows(done)[0]
    assert [row[name] for name in ("id", "side", "price", "amount")] == [None] * 4
    assert done.flags == (Flag.UNEXPECTED_EMPTY,)


def test_a_column_that_is_empty_all_day_keeps_its_type() -> None:
    cells = ["deribit", "BTC-1", str(DAY_US), str(DAY_US), "put", "9875", str(DAY_US), *[""] * 17]
    text = f"{HEADERS['options_chain']}\n{','.join(cells)}\n".encode()
    done = converted(packed(text), data_type=DATA_TYPES["options_chain"], file=File(Cell(DAY, "options_chain", "deribit"), "OPTIONS"))
    assert done.outcome is Outcome.OK
    assert done.parquet is not None
    table = pq.read_table(pa.BufferReader(done.parquet))
    assert table.schema.field("rho").type == pa.float64()
    assert table.column("rho").null_count == 1


def test_columns_in_another_order_are_put_right_by_name() -> None:
    names = HEADERS["trades"].split(",")
    rows = list(csv.reader(io.StringIO(trades_csv(20).decode())))
    order = [names.index(name) for name in reversed(names)]
    text = "".join(",".join(row[index] for index in order) + "\n" for row in rows).encode()
    done = converted(packed(text), file=BTCUSDT)
    assert parquet_rows(done) == parquet_rows(converted(packed(trades_csv(20)), file=BTCUSDT))
    assert done.flags == (Flag.REORDERED_COLUMNS,)


def test_an_extra_column_is_left_out_and_named() -> None:
    text = trades_csv(5).decode().splitlines()
    extra = "\n".join([text[0] + ",venue_fee,note", *(f"{row},x{index},é" for index, row in enumerate(text[1:]))]).encode() + b"\n"
    done = converted(packed(extra), file=BTCUSDT)
    assert parquet_rows(done) == read_independently(trades_csv(5))
    assert done.dropped_columns == ("venue_fee", "note")
    assert done.flags == (Flag.EXTRA_COLUMNS,)


def test_a_step_back_in_local_time_is_committed_in_file_order_and_counted() -> None:
    times = [10, 20, 19, 30, 5, 5]
    text = trades(*(line(local_timestamp=DAY_US + time, timestamp=DAY_US) for time in times))
    for group in (1, 2, 3, 100):
        done = converted(packed(text), data_type=replace(DATA_TYPES["trades"], row_group_rows=group), file=BTCUSDT)
        assert done.outcome is Outcome.OK
        assert [row["local_timestamp"] - DAY_US for row in parquet_rows(done)] == times
        assert done.backward_rows == 2
        assert done.flags == (Flag.BACKWARD_LOCAL_TIMESTAMP,)


def test_exchange_times_outside_the_day_are_committed_and_flagged() -> None:
    text = trades(line(timestamp=DAY_US - 53_000), line(), line(timestamp=DAY_US + 86_400_000_000))
    done = converted(packed(text), file=BTCUSDT)
    assert parquet_rows(done) == read_independently(text)
    assert done.flags == (Flag.NEXT_DAY_TIMESTAMP, Flag.PREVIOUS_DAY_TIMESTAMP)
    assert (done.previous_day_rows, done.next_day_rows) == (1, 1)


def test_numbers_without_a_value_are_committed_and_flagged() -> None:
    text = trades(line(price="NaN"), line(amount="Infinity"), line(price="1e999"))
    done = converted(packed(text), file=BTCUSDT)
    assert parquet_rows(done) == read_independently(text)
    assert done.flags == (Flag.NON_FINITE_NUMBER,)


def test_numbers_whose_sum_is_beyond_float64_are_not_flagged() -> None:
    done = converted(packed(trades(*[line(price="1.7e308")] * 3)), file=BTCUSDT)
    assert done.flags == ()


def test_a_symbol_with_slashes_matches_its_dataset_id_and_stays_as_the_exchange_spells_it() -> None:
    text = trades(line(exchange="kraken", symbol="XBT/USD"))
    done = converted(packed(text), file=File(Cell(DAY, "trades", "kraken"), "XBT-USD"))
    assert done.outcome is Outcome.OK
    assert parquet_rows(done)[0]["symbol"] == "XBT/USD"


def test_a_grouped_file_may_hold_any_symbols() -> None:
    done = converted(packed(trades(line(symbol="A"), line(symbol="B"))), file=File(Cell(DAY, "trades", "binance"), "SPOT"))
    assert [row["symbol"] for row in parquet_rows(done)] == ["A", "B"]


def test_without_a_final_newline_the_last_row_counts_and_is_flagged() -> None:
    done = converted(packed(trades_csv(4).removesuffix(b"\n")), file=BTCUSDT)
    assert parquet_rows(done) == read_independently(trades_csv(4))
    assert done.flags == (Flag.NO_FINAL_NEWLINE,)


def test_texts_named_like_kinds_stay_texts() -> None:
    assert {"id", "side"} <= TEXTS
    text = trades(*(line(id=value) for value in ("true", "nan", "NULL", "N/A", "007", "-0", "12345678901234567890")))
    assert parquet_rows(converted(packed(text))) == read_independently(text)
