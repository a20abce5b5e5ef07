"""Whatever CSV a schema allows arrives bit for bit, in order, and as the same Parquet bytes however the source is laid out.

The other side is the standard library: `csv`, `int` and `float` on the text, and pyarrow on the finished Parquet.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.conversion.convert import Conversion, ConvertSettings, Reason
from engine.conversion.csv_blocks import LINE_LIMIT
from engine.datatypes import DATA_TYPES, DataType
from engine.model import Cell, File, Outcome
from tests.engine.conversion.made_up_rows import ALL_HEADERS, DAY_MICROSECONDS, DAYS, Csv, Gzip, csvs, gzips, numbers
from tests.engine.conversion.tardis_csv import (
    DAY_US,
    HEADERS,
    TRADES,
    converted,
    day_of,
    genuine_heads,
    line,
    packed,
    parquet_rows,
    read_independently,
    sha256,
    trades,
    trailer,
)

TYPES = sorted(DATA_TYPES)
QUICK = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
DEEP = settings(QUICK, max_examples=400)
blocks = st.one_of(st.integers(64, 4_000), st.sampled_from([1, 1 << 21]))
reads = st.one_of(st.integers(1, 4_000), st.just(1 << 20))


def small_groups(name: str, rows: int) -> DataType:
    return replace(DATA_TYPES[name], row_group_rows=rows)


def file_of(source: Csv) -> File:
    return File(Cell(source.day, source.data_type, source.venue), source.symbol)


def converted_anyhow(data: st.DataObject, source: Csv, packed_text: Gzip, rows: int) -> Conversion:
    """Convert with drawn buffer sizes and a known length."""
    return converted(
        packed_text.body,
        data_type=small_groups(source.data_type, rows),
        file=file_of(source),
        most=data.draw(reads),
        settings=ConvertSettings(data.draw(reads), data.draw(blocks)),
        expected_bytes=len(packed_text.body),
    )


def require_exactly(done: Conversion, source: Csv, packed_text: Gzip) -> None:
    assert (done.outcome, done.reason) == (Outcome.OK, Reason.NONE), done.detail
    expected = read_independently(source.text, without=source.extra)
    found = parquet_rows(done)
    assert found == expected
    assert Counter(tuple(row.items()) for row in found) == Counter(
        tuple({name: row[name] for name in found[0]}.items()) for row in expected
    )
    assert done.rows == len(expected)
    assert frozenset(done.flags) == source.flags
    header = next(csv.reader(source.text.decode().split("\n")[:1]))
    assert done.dropped_columns == tuple(sorted(source.extra, key=header.index))
    assert done.csv_bytes == len(source.text)
    assert done.source_bytes == len(packed_text.body)
    assert done.fingerprint is not None
    assert done.fingerprint.members == tuple(trailer(part) for part in packed_text.parts)
    local, exchange = [row["local_timestamp"] for row in expected], [row["timestamp"] for row in expected]
    assert (done.min_local_timestamp_us, done.max_local_timestamp_us) == (min(local), max(local))
    assert (done.min_timestamp_us, done.max_timestamp_us) == (min(exchange), max(exchange))
    assert done.covered_minutes == len({time // 60_000_000 for time in local})
    assert done.backward_rows == sum(later < earlier for earlier, later in itertools.pairwise(local))
    assert done.previous_day_rows == sum(time < source.day_us for time in exchange)
    assert done.next_day_rows == sum(time >= source.day_us + DAY_MICROSECONDS for time in exchange)


def round_trip(name: str, data: st.DataObject) -> None:
    source = data.draw(csvs(name, max_rows=4 if name == "book_snapshot_25" else 12))
    packed_text = data.draw(gzips(source.text))
    require_exactly(converted_anyhow(data, source, packed_text, data.draw(st.integers(1, 6))), source, packed_text)


def same_bytes(name: str, data: st.DataObject) -> None:
    source = data.draw(csvs(name, min_rows=2, max_rows=4 if name == "book_snapshot_25" else 12))
    rows = data.draw(st.integers(1, 6))
    plain = converted(packed(source.text), data_type=small_groups(name, rows), file=file_of(source))
    anyhow = converted_anyhow(data, source, data.draw(gzips(source.text)), rows)
    assert plain.outcome is Outcome.OK, plain.detail
    assert sha256(anyhow.parquet) == sha256(plain.parquet)
    assert anyhow.crc32c == plain.crc32c


def test_the_headers_here_are_those_of_all_types() -> None:
    assert set(ALL_HEADERS) == set(DATA_TYPES)


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
@QUICK
def test_any_file_the_schema_allows_arrives_bit_for_bit_and_in_order(name: str, data: st.DataObject) -> None:
    round_trip(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
@DEEP
def test_any_file_the_schema_allows_arrives_bit_for_bit_and_in_order_at_length(name: str, data: st.DataObject) -> None:
    round_trip(name, data)


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
@settings(QUICK, max_examples=10)
def test_blocks_reads_and_members_never_show_in_the_bytes(name: str, data: st.DataObject) -> None:
    same_bytes(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
@settings(DEEP, max_examples=150)
def test_blocks_reads_and_members_never_show_in_the_bytes_at_length(name: str, data: st.DataObject) -> None:
    same_bytes(name, data)


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data(), end=st.sampled_from(["", "\n", "\r\n"]))
@settings(QUICK, max_examples=8)
def test_a_header_alone_is_empty_in_any_layout(name: str, data: st.DataObject, end: str) -> None:
    packed_text = data.draw(gzips((ALL_HEADERS[name] + end).encode()))
    source = Csv(b"", name, "binance", "BTCUSDT", DAYS[0], (), frozenset())
    done = converted_anyhow(data, source, packed_text, 3)
    assert (done.outcome, done.reason, done.rows, done.parquet) == (Outcome.EMPTY, Reason.HEADER_ONLY, 0, None)


@given(data=st.data(), count=st.integers(1, 4))
@settings(QUICK, max_examples=15)
def test_no_bytes_at_all_are_no_data_in_any_number_of_members(data: st.DataObject, count: int) -> None:
    packed_text = data.draw(gzips(b""))
    body = packed_text.body if count == 1 else packed(b"") * count
    done = converted(body, data_type=TRADES, expected_bytes=len(body), most=data.draw(reads))
    assert (done.outcome, done.reason, done.parquet) == (Outcome.EMPTY, Reason.NO_DATA, None)


@given(data=st.data(), windows=st.booleans(), most=reads, block=blocks)
@settings(QUICK, max_examples=20)
def test_genuine_files_arrive_bit_for_bit_in_any_layout(data: st.DataObject, windows: bool, most: int, block: int) -> None:
    path, name = data.draw(st.sampled_from(genuine_heads()))
    text = path.read_bytes()
    text = text.replace(b"\n", b"\r\n") if windows else text
    first = read_independently(text)[0]
    file = File(Cell(day_of(text), name, first["exchange"]), "OPTIONS" if name == "options_chain" else first["symbol"])
    body = data.draw(gzips(text)).body
    done = converted(
        body, data_type=small_groups(name, 4), file=file, most=most, settings=ConvertSettings(4096, block), expected_bytes=len(body)
    )
    assert done.outcome is Outcome.OK, (path.name, done.detail)
    assert parquet_rows(done) == read_independently(text), path.name


def number_by_python(cell: str) -> bool:
    """Whether `float` takes a cell that has only ASCII, no underscore, and no white space but blanks and tabs around it."""
    plain = cell.strip(" \t")
    try:
        float(plain)
    except ValueError:
        return False
    return plain.isascii() and "_" not in plain and plain == plain.strip()


def time_by_python(cell: str) -> bool:
    """The same for `int` and 64 bits, and without a plus sign."""
    plain = cell.strip(" \t")
    if not number_by_python(cell) or not plain.removeprefix("-").isdigit():
        return False
    return len(plain) < 4_000 and -(2**63) <= int(plain) < 2**63


_odd_cells = st.one_of(
    st.text(st.sampled_from("0123456789+-.eExXnaifty_() \t\0٣²\u00a0"), min_size=1, max_size=7),
    st.tuples(
        st.sampled_from(["", " ", "\t", "+", "-", "0x", "0X", "-0x", "_"]),
        numbers,
        st.sampled_from(["", " ", "\t", "f", "(1)", "_0", "e", "."]),
    ).map("".join),
    st.sampled_from(
        ["nan(1)", "NAN(snan)", "-inf", "+infinity", "infin", "1e", "1e+", "0x1p3", "0b1", "1__0", "1,5", "१२", "½", "9" * 5_000]
    ),
)


@given(cell=_odd_cells, block=blocks)
@example(cell="0x10", block=64)
@example(cell="9" * 5_000, block=64)
@example(cell="9" * 60_000 + "x", block=64)
@settings(QUICK, max_examples=600)
def test_a_number_is_what_python_reads_as_that_number_and_nothing_else(cell: str, block: int) -> None:
    quoted = f'"{cell}"' if "," in cell else cell
    for name, accepts in (("price", number_by_python), ("timestamp", time_by_python)):
        text = trades(line(), line(**{name: quoted}))
        done = converted(packed(text), data_type=TRADES, settings=ConvertSettings(block_bytes=block))
        if accepts(cell):
            assert done.outcome is Outcome.OK, done.detail
            assert parquet_rows(done) == read_independently(text)
        else:
            assert (done.outcome, done.reason) == (Outcome.QUARANTINED, Reason.BAD_VALUE)
            assert f"line 3, column {name}" in done.detail


_scraps = st.one_of(
    st.sampled_from(
        [
            b'"',
            b'""',
            b",",
            b"\n",
            b"\r",
            b"\r\n",
            b"\0",
            b"\xef\xbb\xbf",
            b"\xff",
            b"\xc3",
            b"0x",
            b"(",
            b" ",
            b"-",
            b"nan",
            b'",',
            b',"',
            b'\n"',
        ]
    ),
    st.binary(max_size=3),
)


@st.composite
def _scarred(draw: st.DrawFn) -> bytes:
    """A file of a few trades, in some order of columns, with a few bytes put in, taken out or doubled anywhere."""
    names = draw(st.sampled_from([HEADERS["trades"].split(","), [*HEADERS["trades"].replace(",id", "").split(","), "id"]]))
    cells = {"exchange": "binance", "symbol": "BTCUSDT", "side": "buy", "price": "1.5", "amount": "2", "id": "7"}
    rows = [
        ",".join((cells | {"timestamp": str(DAY_US), "local_timestamp": str(DAY_US + index)})[name] for name in names)
        for index in range(draw(st.integers(1, 5)))
    ]
    text = ("\n".join([",".join(names), *rows]) + draw(st.sampled_from(["", "\n"]))).encode()
    for _ in range(draw(st.integers(1, 4))):
        borders = [index + behind for index, byte in enumerate(text) if byte in b",\n" for behind in (0, 1)]
        start = draw(st.one_of(st.integers(0, len(text)), st.sampled_from(borders or [0])))
        length = draw(st.integers(0, 3))
        piece = draw(_scraps)
        text = text[:start] + piece + text[start + length :]
    return text


def only_the_right_rows(text: bytes, block: int, rows: int) -> None:
    usual = converted(packed(text), data_type=TRADES)
    other = converted(packed(text), data_type=small_groups("trades", rows), settings=ConvertSettings(block_bytes=block))
    assert (usual.outcome, usual.rows) == (other.outcome, other.rows), (usual.detail, other.detail)
    if usual.outcome is Outcome.OK:
        assert parquet_rows(usual) == parquet_rows(other) == read_independently(text, without=usual.dropped_columns)


@given(text=_scarred(), block=st.integers(1, 300), rows=st.integers(1, 3))
@settings(QUICK, max_examples=1_500)
def test_a_scarred_text_gives_what_python_reads_or_nothing_whatever_the_blocks(text: bytes, block: int, rows: int) -> None:
    only_the_right_rows(text, block, rows)


@pytest.mark.slow
@given(text=_scarred(), block=st.integers(1, 300), rows=st.integers(1, 3))
@settings(DEEP, max_examples=8_000)
def test_a_scarred_text_gives_what_python_reads_or_nothing_whatever_the_blocks_at_length(text: bytes, block: int, rows: int) -> None:
    only_the_right_rows(text, block, rows)


@given(
    over=st.integers(-3, 3),
    before=st.integers(0, 3),
    behind=st.integers(0, 3),
    newline=st.booleans(),
    block=st.sampled_from([700, 65_536, 65_537, 1 << 21]),
)
@settings(QUICK, max_examples=40)
def test_the_longest_line_is_the_same_whatever_the_blocks(over: int, before: int, behind: int, newline: bool, block: int) -> None:
    longest = line(id="x" * (LINE_LIMIT + over - len(line(id=""))))
    text = trades(*[line()] * before, longest, *[line()] * behind)
    text = text if newline else text.removesuffix(b"\n")
    done = converted(packed(text), data_type=TRADES, settings=ConvertSettings(block_bytes=block))
    assert len(longest) == LINE_LIMIT + over
    assert done.outcome is (Outcome.OK if over <= 0 else Outcome.QUARANTINED)
    if over > 0:
        assert (done.reason, "65536 bytes" in done.detail) == (Reason.BAD_VALUE, True)
