"""Footers of files of any writer: read by range, nothing but them, and judged without a guess."""

from __future__ import annotations

import io
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.adoption.footer_check import AdoptedFlag, FooterFacts, check_footer
from engine.adoption.refusal import Reason, Refused
from engine.datatypes import DATA_TYPES
from engine.model import Cell, File
from engine.parquet_footer import Footer, FooterFlaw, FooterReader, Reads, parse_footer
from engine.store import ObjectInfo
from tests.engine.adoption.old_lake import DAY, MINUTE_US, old_table, parquet, start_us, with_times

FILE = File(Cell(DAY, "trades", "binance"), "BTCUSDT")
FIRST = start_us(DAY)


class Ranges:
    """A store that serves ranges of objects, and remembers how far from the end they began and ended."""

    def __init__(self, *objects: bytes) -> None:
        self.objects = objects
        self.asked: list[tuple[int, int]] = []
        self.reader = FooterReader(self)  # type: ignore[arg-type]

    def get_range(self, name: str, start: int, end: int, *, generation: int | None = None) -> bytes | None:
        data = self.objects[int(name)]
        assert generation == 7
        self.asked.append((len(data) - start, len(data) - end))
        return data[start:end]

    def read(self, number: int = 0, data_type: str = "trades") -> Footer:
        info = ObjectInfo(str(number), len(self.objects[number]), 7, "", datetime.fromisoformat("2024-05-01T00:00:00Z"))
        return self.reader.read(info, data_type)


def footer_of(data: bytes) -> Footer:
    return Ranges(data).read()


def length_of(data: bytes) -> int:
    """Of the footer, with its length and the magic word."""
    return int.from_bytes(data[-8:-4], "little") + 8


def judge(table: pa.Table[Any], data_type: str = "trades", file: File = FILE, **options: Any) -> FooterFacts:
    return check_footer(footer_of(parquet(table, **options)), DATA_TYPES[data_type], file)


def refusal(table: pa.Table[Any], data_type: str = "trades", file: File = FILE) -> tuple[Reason, str]:
    with pytest.raises(Refused) as refused:
        judge(table, data_type, file)
    return refused.value.reason, refused.value.detail


def test_the_first_object_is_asked_for_its_footers_length_and_its_like_for_as_much_at_once() -> None:
    store = Ranges(*(parquet(old_table(rows=1440, symbol=symbol), compression="none") for symbol in ("BTCUSDT", "ETHUSDT", "XRPUSDT")))
    for number in range(3):
        assert store.read(number).rows == 1440
    length = length_of(store.objects[0])
    assert store.asked == [(8, 0), (length, 8), (length, 0), (length, 0)]
    assert store.reader.reads == Reads(requests=4, bytes=3 * length, footers=3 * length)


def test_a_footer_longer_than_those_of_its_like_takes_a_second_request_of_exactly_its_rest() -> None:
    short, long = parquet(old_table(symbol="BTCUSDT")), parquet(old_table(symbol="1000SATSUSDT"))
    store = Ranges(short, long, short)
    lengths = [length_of(data) for data in store.objects]
    assert len(short).bit_length() == len(long).bit_length(), "alike"
    assert lengths[0] < lengths[1]
    for number in range(3):
        assert store.read(number).rows == 10
    assert store.asked[2:] == [(lengths[0], 0), (lengths[1], lengths[0]), (lengths[1], 0)]
    assert store.reader.reads == Reads(requests=5, bytes=lengths[0] + 2 * lengths[1], footers=sum(lengths))


def test_a_footer_of_many_row_groups_is_read_whole_and_teaches_nothing_about_other_sizes_and_types() -> None:
    many, few = parquet(old_table("book_snapshot_5", rows=1440), row_group_size=20), parquet(old_table("book_snapshot_5"))
    store = Ranges(many, few)
    footer = store.read(0, "book_snapshot_5")
    assert (footer.rows, footer.row_groups) == (1440, 72)
    local = footer.columns["local_timestamp"]
    assert (local.smallest, local.largest) == (FIRST, FIRST + 1439 * MINUTE_US)
    assert store.read(1, "book_snapshot_5").rows == 10
    lengths = [length_of(data) for data in store.objects]
    assert store.asked == [(8, 0), (lengths[0], 8), (8, 0), (lengths[1], 8)]
    assert store.reader.reads.bytes == store.reader.reads.footers == sum(lengths)


def test_what_is_no_parquet_file_costs_its_last_bytes() -> None:
    store = Ranges(b"<html>" + b"x" * 100_000)
    with pytest.raises(FooterFlaw):
        store.read()
    assert store.reader.reads == Reads(requests=1, bytes=8)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PAR1",
        b"<html>not found</html>",
        parquet(old_table())[:-1],
        parquet(old_table())[:-200],
        parquet(old_table())[:-4] + b"PARE",
        b"x" * 100 + b"\xff\xff\xff\x7fPAR1",
        b"x" * 100 + (40).to_bytes(4, "little") + b"PAR1",
    ],
)
def test_what_is_no_parquet_file_is_a_flaw_and_never_a_crash(data: bytes) -> None:
    with pytest.raises(FooterFlaw):
        footer_of(data)


def test_every_flipped_bit_and_every_cut_of_a_footer_is_read_or_is_a_flaw() -> None:
    """None may raise anything else, or end the process: one damaged file must not hold up the rest of the lake."""
    whole = parquet(old_table())
    data = whole[-(int.from_bytes(whole[-8:-4], "little") + 8) :]
    flipped = (data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :] for place in range(len(data)) for bit in range(8))
    refused = 0
    for damaged in (*flipped, *(data[:end] for end in range(len(data))), *(data[start:] for start in range(len(data)))):
        try:
            check_footer(parse_footer(damaged), DATA_TYPES["trades"], FILE)
        except (FooterFlaw, Refused):
            refused += 1
    assert refused > 2 * len(data)


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_footer_or_a_flaw(data: bytes) -> None:
    with pytest.raises(FooterFlaw):
        parse_footer(data + len(data).to_bytes(4, "little") + b"PAR1")


ODD = {"all": pa.nulls(3), "some": [None, 2, 3], "texts": ["", "b", None], "nested": [{"a": 1}, None, {"a": 3}], "list": [[1], [], None]}


@pytest.mark.parametrize(
    "table",
    [
        *(old_table(data_type, rows=25) for data_type in sorted(DATA_TYPES)),
        with_times(old_table(), pa.timestamp("ns"), 1000),
        with_times(old_table(), pa.timestamp("us", tz="UTC")),
        old_table(rows=0),
        pa.table(ODD),
    ],
)
@pytest.mark.parametrize(
    "options", [{}, {"row_group_size": 7}, {"write_statistics": False}, {"version": "1.0", "row_group_size": 7}], ids=str
)
def test_a_footer_says_what_pyarrow_reads_in_it(table: pa.Table[Any], options: dict[str, Any]) -> None:
    data = parquet(table, **options)
    ours, theirs = footer_of(data), pq.read_metadata(io.BytesIO(data))
    assert (ours.rows, ours.row_groups) == (theirs.num_rows, theirs.num_row_groups)
    assert list(ours.columns) == [theirs.schema.column(place).path for place in range(theirs.num_columns)]
    for place, column in enumerate(ours.columns.values()):
        expected = theirs.schema.column(place)
        assert (column.physical, column.logical) == (expected.physical_type, expected.logical_type.type.lower())
        said = [theirs.row_group(group).column(place).statistics for group in range(theirs.num_row_groups)]
        if all(each is not None and each.has_min_max for each in said) and column.physical in ("INT64", "BYTE_ARRAY") and said:
            assert column.smallest == min(each.min_raw for each in said)
            assert column.largest == max(each.max_raw for each in said)
            assert column.nulls == sum(each.null_count for each in said)


@pytest.mark.parametrize("data_type", sorted(DATA_TYPES))
def test_the_old_columns_of_every_data_type_are_recognised(data_type: str) -> None:
    file = File(Cell(DAY, data_type, "binance"), "BTCUSDT")
    facts = judge(old_table(data_type), data_type, file)
    assert facts == FooterFacts(10, FIRST, FIRST + 9 * MINUTE_US)


@pytest.mark.parametrize(
    ("kind", "scale", "flags"),
    [
        (pa.int64(), 1, ()),
        (pa.int64(), 1000, ()),
        (pa.timestamp("us", tz="UTC"), 1, ()),
        (pa.timestamp("ns", tz="UTC"), 1000, ()),
        (pa.timestamp("us", tz="Asia/Tokyo"), 1, ()),
        (pa.timestamp("us"), 1, (AdoptedFlag.NAIVE_TIMES,)),
        (pa.timestamp("ns"), 1000, (AdoptedFlag.NAIVE_TIMES,)),
    ],
    ids=str,
)
def test_times_are_read_as_their_type_says(kind: Any, scale: int, flags: tuple[AdoptedFlag, ...]) -> None:
    facts = judge(with_times(old_table(), kind, scale))
    assert (facts.first_us, facts.last_us, facts.flags) == (FIRST, FIRST + 9 * MINUTE_US, flags)


@pytest.mark.parametrize("hours", [-9, 9, 24, -1])
@pytest.mark.parametrize("kind", [pa.int64(), pa.timestamp("us"), pa.timestamp("us", tz="UTC")], ids=str)
def test_a_row_outside_of_the_utc_day_refuses_the_file(hours: int, kind: Any) -> None:
    """The nine-hour bug: local time that was written as if it were UTC."""
    reason, detail = refusal(with_times(old_table(rows=1440, shift_hours=hours), kind))
    assert reason is Reason.WRONG_DAY
    assert "local_timestamp lies between" in detail


def test_the_last_microsecond_belongs_to_the_day_and_the_next_does_not() -> None:
    def ending(last: int) -> pa.Table[Any]:
        table = old_table(rows=2)
        return table.set_column(table.column_names.index("local_timestamp"), "local_timestamp", pa.array([FIRST, last]))

    assert judge(ending(FIRST + 86_400_000_000 - 1)).last_us == FIRST + 86_400_000_000 - 1
    assert refusal(ending(FIRST + 86_400_000_000))[0] is Reason.WRONG_DAY


def test_nanoseconds_within_the_day_are_not_taken_for_microseconds_of_another() -> None:
    assert refusal(with_times(old_table(day=date(2024, 5, 2)), pa.int64(), 1000))[0] is Reason.WRONG_DAY
    assert refusal(with_times(old_table(), pa.int64(), 7))[0] is Reason.WRONG_DAY


def test_without_statistics_the_bounds_are_unknown_and_said_to_be() -> None:
    facts = judge(old_table(), write_statistics=False)
    assert facts == FooterFacts(10, None, None, (AdoptedFlag.BOUNDS_UNKNOWN,))
    half = judge(with_times(old_table(), pa.timestamp("ns"), 1000), use_deprecated_int96_timestamps=True)
    assert half.flags == (AdoptedFlag.BOUNDS_UNKNOWN,)


def test_a_row_without_a_time_refuses_the_file() -> None:
    table = old_table(rows=3)
    gap = pa.array([FIRST, None, FIRST + 1])
    reason, detail = refusal(table.set_column(table.column_names.index("local_timestamp"), "local_timestamp", gap))
    assert (reason, detail) == (Reason.WRONG_DAY, "1 rows have no local_timestamp")


def test_a_file_without_rows_needs_its_columns() -> None:
    assert judge(old_table(rows=0)) == FooterFacts(0)
    assert refusal(pa.table({}))[0] is Reason.LACKS_COLUMNS


def test_columns_without_which_rows_are_not_the_sources_are_needed() -> None:
    assert judge(old_table().drop_columns(["exchange", "symbol", "id"])).lacks == ("exchange", "symbol", "id")
    for name in ("timestamp", "local_timestamp", "side", "price", "amount"):
        assert refusal(old_table().drop_columns([name])) == (Reason.LACKS_COLUMNS, f"without {name}")
    book = File(Cell(DAY, "book_snapshot_5", "binance"), "BTCUSDT")
    table = old_table("book_snapshot_5").drop_columns(["bid_volume_5"])
    assert refusal(table, "book_snapshot_5", book) == (Reason.LACKS_COLUMNS, "without bid_amount_5")


def test_columns_of_the_wrong_type_refuse_the_file() -> None:
    table = old_table(rows=2)
    text = table.set_column(table.column_names.index("price"), "price", pa.array(["1", "2"]))
    assert refusal(text) == (Reason.WRONG_TYPE, "price is BYTE_ARRAY (string)")
    times = table.set_column(table.column_names.index("local_timestamp"), "local_timestamp", pa.array([1.0, 2.0]))
    assert refusal(times) == (Reason.WRONG_TYPE, "local_timestamp is DOUBLE")


def test_a_column_that_is_empty_all_day_may_have_any_type() -> None:
    file = File(Cell(DAY, "options_chain", "deribit"), "BTC-28JUN24-60000-C")
    table = old_table("options_chain", "deribit", "BTC-28JUN24-60000-C")
    table = table.set_column(table.column_names.index("rho"), "rho", pa.nulls(10))
    assert judge(table, "options_chain", file).rows == 10


@pytest.mark.parametrize(("venue", "symbol"), [("binance", "ETHUSDT"), ("binance-futures", "BTCUSDT")])
def test_rows_of_another_instrument_refuse_the_file(venue: str, symbol: str) -> None:
    assert refusal(old_table(venue=venue, symbol=symbol))[0] is Reason.WRONG_SYMBOL


def test_rows_of_two_instruments_refuse_the_file_unless_it_is_a_group() -> None:
    mixed = pa.concat_tables([old_table(), old_table(symbol="ETHUSDT")])
    assert refusal(mixed) == (Reason.WRONG_SYMBOL, "symbol is 'BTCUSDT' to 'ETHUSDT' instead of 'BTCUSDT'")
    assert judge(mixed, file=File(FILE.cell, "SPOT")).rows == 20


def test_the_exchanges_own_spelling_of_a_symbol_is_the_same_symbol() -> None:
    assert judge(old_table(symbol="btc/usdt"), file=File(FILE.cell, "BTC-USDT")).rows == 10
