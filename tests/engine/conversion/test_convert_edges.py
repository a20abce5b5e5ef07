"""The edges of what a cell, a line and a day may be: one small file each, with the outcome, at two block sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pytest

from engine.conversion.convert import Conversion, ConvertSettings, Flag, Reason
from engine.datatypes import DATA_TYPES
from engine.model import Cell, File, Outcome
from tests.engine.conversion.made_up_rows import DAY_MICROSECONDS, microseconds
from tests.engine.conversion.tardis_csv import (
    BTCUSDT,
    DAY_US,
    HEADERS,
    TRADES,
    converted,
    line,
    packed,
    parquet_rows,
    read_independently,
    trades,
    trades_csv,
)

END_US = DAY_US + DAY_MICROSECONDS


def at_every_block(text: bytes, file: File | None = BTCUSDT) -> Conversion:
    """Convert with large and with tiny blocks and row groups; both must come to the same."""
    kind = DATA_TYPES[file.cell.data_type] if file else TRADES
    usual = converted(packed(text), data_type=kind, file=file)
    small = converted(packed(text), data_type=replace(kind, row_group_rows=2), file=file, settings=ConvertSettings(64, 64))
    assert (usual.outcome, usual.reason, usual.rows, usual.flags) == (small.outcome, small.reason, small.rows, small.flags)
    if usual.outcome is Outcome.OK:
        assert parquet_rows(usual) == parquet_rows(small) == read_independently(text, without=usual.dropped_columns)
    return usual


def btcusdt_of(name: str) -> File:
    return File(Cell(BTCUSDT.cell.day, name, BTCUSDT.cell.venue), BTCUSDT.symbol)


def book_row(**cells: object) -> bytes:
    row = {"exchange": "binance", "symbol": "BTCUSDT", "timestamp": DAY_US, "local_timestamp": DAY_US}
    row |= {"is_snapshot": "true", "side": "bid", "price": "1", "amount": "2"} | cells
    return f"{HEADERS['incremental_book_L2']}\n{','.join(map(str, row.values()))}\n".encode()


ACCEPTED: list[tuple[dict[str, object], tuple[Flag, ...]]] = [
    ({"local_timestamp": DAY_US}, ()),
    ({"local_timestamp": END_US - 1, "timestamp": END_US - 1}, ()),
    ({"local_timestamp": f"00{DAY_US}"}, ()),
    ({"local_timestamp": f" {DAY_US}\t"}, ()),
    ({"timestamp": DAY_US - 1}, (Flag.PREVIOUS_DAY_TIMESTAMP,)),
    ({"timestamp": DAY_US}, ()),
    ({"timestamp": END_US - 1}, ()),
    ({"timestamp": END_US}, (Flag.NEXT_DAY_TIMESTAMP,)),
    ({"timestamp": -1}, (Flag.PREVIOUS_DAY_TIMESTAMP,)),
    ({"timestamp": -(2**63)}, (Flag.PREVIOUS_DAY_TIMESTAMP,)),
    ({"timestamp": 2**63 - 1}, (Flag.NEXT_DAY_TIMESTAMP,)),
    ({"symbol": "btcusdt"}, ()),
    ({"symbol": "BtcUsdt"}, ()),
    ({"id": " 7 "}, ()),
    ({"id": "a\0b"}, ()),
    ({"id": "\0"}, ()),
    ({"id": "0x1f"}, ()),
    ({"id": "nan(1)"}, ()),
    ({"id": "\ufeff1"}, ()),
    ({"id": "a\x0b\x0c\x85\u2028b"}, ()),
    ({"id": 'mid"quote'}, ()),
    ({"id": '"in quotes, with a comma and ""quotes"""'}, ()),
    ({"id": '""'}, ()),
    ({"side": '"buy"'}, ()),
    ({"price": '"1.5"'}, ()),
    ({"side": ""}, ()),
    ({"side": "unknown"}, ()),
    ({"price": ""}, (Flag.UNEXPECTED_EMPTY,)),
    ({"price": "NaN"}, (Flag.NON_FINITE_NUMBER,)),
    ({"price": "-nan"}, (Flag.NON_FINITE_NUMBER,)),
    ({"price": "-Infinity"}, (Flag.NON_FINITE_NUMBER,)),
    ({"price": "1e400"}, (Flag.NON_FINITE_NUMBER,)),
    ({"price": "9" * 401}, (Flag.NON_FINITE_NUMBER,)),
    ({"price": "0." + "0" * 300 + "1" * 500}, ()),
    ({"price": "1" * 500 + "e-500"}, ()),
    ({"price": "+1.5"}, ()),
    ({"price": " 1.5\t"}, ()),
]


def shown(case: tuple[Any, ...]) -> str:
    return "-".join(f"{name}={str(cell)[:24]!r}" for name, cell in case[0].items())


@pytest.mark.parametrize(("cells", "flags"), ACCEPTED, ids=[shown(case) for case in ACCEPTED])
def test_what_is_odd_but_sound_is_kept_exactly(cells: dict[str, object], flags: tuple[Flag, ...]) -> None:
    done = at_every_block(trades(line(**cells)))
    assert (done.outcome, done.flags, done.rows) == (Outcome.OK, flags, 1), done.detail


REFUSED: list[tuple[dict[str, object], Reason]] = [
    ({"local_timestamp": DAY_US - 1}, Reason.WRONG_DAY),
    ({"local_timestamp": END_US}, Reason.WRONG_DAY),
    ({"local_timestamp": -1}, Reason.WRONG_DAY),
    ({"local_timestamp": -(2**63)}, Reason.WRONG_DAY),
    ({"local_timestamp": 2**63 - 1}, Reason.WRONG_DAY),
    ({"local_timestamp": 2**63}, Reason.BAD_VALUE),
    ({"local_timestamp": ""}, Reason.BAD_VALUE),
    ({"local_timestamp": f"{DAY_US / 1e6}"}, Reason.BAD_VALUE),
    ({"local_timestamp": "1.7145216e15"}, Reason.BAD_VALUE),
    ({"local_timestamp": hex(DAY_US)}, Reason.BAD_VALUE),
    ({"timestamp": "0x10"}, Reason.BAD_VALUE),
    ({"timestamp": "-0X10"}, Reason.BAD_VALUE),
    ({"timestamp": -(2**63) - 1}, Reason.BAD_VALUE),
    ({"timestamp": "9" * 5_000}, Reason.BAD_VALUE),
    ({"timestamp": "+5"}, Reason.BAD_VALUE),
    ({"timestamp": "1_000"}, Reason.BAD_VALUE),
    ({"timestamp": "१२३"}, Reason.BAD_VALUE),
    ({"exchange": "Binance"}, Reason.WRONG_VENUE),
    ({"exchange": " binance"}, Reason.WRONG_VENUE),
    ({"exchange": "binance\0"}, Reason.WRONG_VENUE),
    ({"exchange": "\ufeffbinance"}, Reason.WRONG_VENUE),
    ({"exchange": '""'}, Reason.BAD_VALUE),
    ({"symbol": "BTCUSDT "}, Reason.WRONG_SYMBOL),
    ({"symbol": "BTCUSDT2"}, Reason.WRONG_SYMBOL),
    ({"symbol": "ВTCUSDT"}, Reason.WRONG_SYMBOL),
    ({"symbol": ""}, Reason.BAD_VALUE),
    ({"side": "BUY"}, Reason.BAD_VALUE),
    ({"side": " buy"}, Reason.BAD_VALUE),
    ({"side": "bid"}, Reason.BAD_VALUE),
    ({"id": '"open'}, Reason.BAD_VALUE),
    ({"id": '"closed" too soon'}, Reason.BAD_VALUE),
    ({"id": '"'}, Reason.BAD_VALUE),
    ({"id": "a\rb"}, Reason.BAD_VALUE),
    ({"id": '"a\rb"'}, Reason.BAD_VALUE),
    ({"id": '"a\nb"'}, Reason.BAD_VALUE),
    ({"price": "1\0"}, Reason.BAD_VALUE),
    ({"price": " "}, Reason.BAD_VALUE),
    ({"price": "0x1p3"}, Reason.BAD_VALUE),
    ({"price": "0x10"}, Reason.BAD_VALUE),
    ({"price": "1_000"}, Reason.BAD_VALUE),
    ({"price": "1 000"}, Reason.BAD_VALUE),
    ({"price": "١"}, Reason.BAD_VALUE),
    ({"price": "½"}, Reason.BAD_VALUE),
    ({"price": "1.5\u00a0"}, Reason.BAD_VALUE),
    ({"price": "nan(1)"}, Reason.BAD_VALUE),
    ({"price": "1e"}, Reason.BAD_VALUE),
    ({"price": "9" * 60_000 + "x"}, Reason.BAD_VALUE),
]


@pytest.mark.parametrize("position", [0, 2, 4])
@pytest.mark.parametrize(("cells", "reason"), REFUSED, ids=[shown(case) for case in REFUSED])
def test_one_bad_cell_refuses_the_file_wherever_it_is(cells: dict[str, object], reason: Reason, position: int) -> None:
    rows = [line()] * 5
    rows[position] = line(**cells)
    for text in (trades(*rows), trades(*rows).removesuffix(b"\n"), trades(*rows).replace(b"\n", b"\r\n")):
        done = at_every_block(text)
        assert (done.outcome, done.reason) == (Outcome.QUARANTINED, reason), done.detail
        assert f"line {position + 2}" in done.detail
        assert len(done.detail) < 300
        assert "\n" not in done.detail


@pytest.mark.parametrize("value", ["True", "TRUE", "False", "1", "0", "t", "yes", " true", "true ", "null"])
def test_a_flag_is_true_or_false_by_these_words_only(value: str) -> None:
    done = at_every_block(book_row(is_snapshot=value), btcusdt_of("incremental_book_L2"))
    assert (done.outcome, done.reason) == (Outcome.QUARANTINED, Reason.BAD_VALUE)
    assert "column is_snapshot" in done.detail


@pytest.mark.parametrize(("value", "flags"), [("true", ()), ("false", ()), ('"true"', ()), ("", (Flag.UNEXPECTED_EMPTY,))])
def test_a_flag_of_these_words_is_kept(value: str, flags: tuple[Flag, ...]) -> None:
    done = at_every_block(book_row(is_snapshot=value), btcusdt_of("incremental_book_L2"))
    assert (done.outcome, done.flags) == (Outcome.OK, flags)


@pytest.mark.parametrize(("name", "good", "bad"), [("incremental_book_L2", "ask", "buy"), ("incremental_book_L2", "bid", "unknown")])
def test_sides_are_those_of_the_type(name: str, good: str, bad: str) -> None:
    assert at_every_block(book_row(side=good), btcusdt_of(name)).outcome is Outcome.OK
    done = at_every_block(book_row(side=bad), btcusdt_of(name))
    assert (done.reason, "column side" in done.detail) == (Reason.BAD_VALUE, True)


@pytest.mark.parametrize(
    ("day", "inside"),
    [(date(2024, 2, 29), True), (date(2024, 2, 28), False), (date(2024, 3, 1), False), (date(2023, 2, 28), False)],
)
def test_a_leap_day_has_its_own_first_and_last_microsecond(day: date, inside: bool) -> None:
    first = microseconds(date(2024, 2, 29))
    for local in (first, first + DAY_MICROSECONDS - 1):
        done = at_every_block(trades(line(local_timestamp=local, timestamp=local)), File(Cell(day, "trades", "binance"), "BTCUSDT"))
        assert done.reason is (Reason.NONE if inside else Reason.WRONG_DAY)
    assert first == 1_709_164_800_000_000


def test_all_minutes_of_a_day_are_counted_and_no_more() -> None:
    minutes = range(0, DAY_MICROSECONDS, 60_000_000)
    text = trades(*(line(local_timestamp=DAY_US + start, timestamp=DAY_US) for start in minutes), line(local_timestamp=END_US - 1))
    assert converted(packed(text), file=BTCUSDT).covered_minutes == 24 * 60


@pytest.mark.parametrize("symbol", ["SPOT", "FUTURES", "PERPETUALS", "OPTIONS"])
def test_a_grouped_file_holds_any_symbol_but_no_other_venue(symbol: str) -> None:
    file = File(Cell(BTCUSDT.cell.day, "trades", "binance"), symbol)
    assert at_every_block(trades(line(symbol="A"), line(symbol="b/c"), line(symbol="币")), file).outcome is Outcome.OK
    assert at_every_block(trades(line(symbol="A"), line(symbol="B", exchange="bybit")), file).reason is Reason.WRONG_VENUE
    assert at_every_block(trades(line(symbol="A"), line(symbol="")), file).reason is Reason.BAD_VALUE


def test_a_symbol_named_like_a_group_in_lower_case_is_no_group() -> None:
    assert at_every_block(trades(line(symbol="A")), File(Cell(BTCUSDT.cell.day, "trades", "binance"), "spot")).reason is Reason.WRONG_SYMBOL


def with_header(change: Callable[[str], str], row: Callable[[str], str] = str) -> bytes:
    header, *rows = trades_csv(5).decode().splitlines()
    return "\n".join([change(header), *map(row, rows), ""]).encode()


def inserted(cell: str, at: int) -> Callable[[str], str]:
    def insert(text: str) -> str:
        cells = text.split(",")
        return ",".join([*cells[:at], cell, *cells[at:]])

    return insert


@pytest.mark.parametrize("at", [0, 3, 8])
def test_an_extra_column_anywhere_is_left_out(at: int) -> None:
    done = at_every_block(with_header(inserted("fee", at), inserted("0x(\ufeffé", at)))
    assert (done.outcome, done.flags, done.dropped_columns) == (Outcome.OK, (Flag.EXTRA_COLUMNS,), ("fee",))
    assert parquet_rows(done) == read_independently(trades_csv(5))


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole text and what it comes to."""

    text: bytes
    reason: Reason
    detail: str


WHOLE: dict[str, Whole] = {
    "duplicate column": Whole(with_header(inserted("price", 8), inserted("1", 8)), Reason.DUPLICATE_COLUMN, "price"),
    "byte order mark": Whole(b"\xef\xbb\xbf" + trades_csv(5), Reason.MISSING_COLUMN, "exchange"),
    "header in upper case": Whole(with_header(str.upper), Reason.MISSING_COLUMN, "exchange"),
    "blanks in the header": Whole(with_header(lambda header: header.replace(",", ", ")), Reason.MISSING_COLUMN, "symbol"),
    "semicolons": Whole(trades_csv(5).replace(b",", b";"), Reason.MISSING_COLUMN, "exchange"),
    "open quote in the header": Whole(with_header(lambda header: header.replace("amount", '"amount')), Reason.BAD_VALUE, "line 1"),
    "carriage return in the header": Whole(with_header(inserted("a\rb", 8), inserted("1", 8)), Reason.BAD_VALUE, "line 1"),
    "line ends of old": Whole(trades_csv(5).replace(b"\n", b"\r"), Reason.BAD_VALUE, "line 1"),
    "one empty line": Whole(b"\n", Reason.MISSING_COLUMN, "exchange"),
    "an empty line in front": Whole(b"\n" + trades_csv(5), Reason.MISSING_COLUMN, "exchange"),
    "an empty line behind": Whole(trades_csv(5) + b"\n", Reason.BAD_VALUE, "line 7"),
    "an empty line of CRLF behind": Whole(trades_csv(5).replace(b"\n", b"\r\n") + b"\r\n", Reason.BAD_VALUE, "line 7"),
    "zeros behind": Whole(trades_csv(5) + bytes(9), Reason.BAD_VALUE, "line 7"),
    "only zeros": Whole(bytes(100), Reason.MISSING_COLUMN, "exchange"),
    "UTF-16": Whole(trades_csv(5).decode().encode("utf-16"), Reason.INVALID_UTF8, "line 1"),
    "no UTF-8 in the last row": Whole(trades_csv(5) + line(id="Ã").encode("latin-1") + b"\n", Reason.INVALID_UTF8, "line 7"),
    "half a character at the end": Whole(trades_csv(5) + "binance,é".encode()[:-1], Reason.INVALID_UTF8, "line 7"),
    "a surrogate": Whole(trades_csv(5) + line(id="\ud800").encode("utf-8", "surrogatepass"), Reason.INVALID_UTF8, "line 7"),
    "an overlong slash": Whole(trades_csv(5) + line(id="?").encode().replace(b"?", b"\xc0\xaf"), Reason.INVALID_UTF8, "line 7"),
    "a row of ten million bytes": Whole(trades_csv(5) + line(id="x" * 10_000_000).encode(), Reason.BAD_VALUE, "65536 bytes"),
    "a header of ten million bytes": Whole(b"x" * 10_000_000, Reason.BAD_VALUE, "65536 bytes"),
    "one cell less in the last row": Whole(trades_csv(5) + line().rpartition(",")[0].encode(), Reason.BAD_VALUE, "line 7 has 7 cells"),
    "one cell more in the last row": Whole(trades_csv(5) + line().encode() + b",", Reason.BAD_VALUE, "line 7 has 9 cells"),
    "rows of a quoted line end and of a bare one": Whole(
        trades(line(id='"a\nb"'), f"{line()}\r{line()}"), Reason.BAD_VALUE, "line 4 has a carriage return"
    ),
    "the first of a quoted pair in the last column": Whole(
        b"exchange,symbol,timestamp,local_timestamp,side,price,amount,id\n" + f'binance,BTCUSDT,{DAY_US},{DAY_US},buy,1,2,"open\n'.encode(),
        Reason.BAD_VALUE,
        "line 2: a quoted cell is not closed",
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_text_of_another_shape_is_refused(name: str) -> None:
    case = WHOLE[name]
    done = at_every_block(case.text)
    assert (done.outcome, done.reason) == (Outcome.QUARANTINED, case.reason), done.detail
    assert case.detail in done.detail
    assert len(done.detail) < 300


@pytest.mark.parametrize("mark", ["\ufeff", "\ufeff\ufeff"])
def test_a_byte_order_mark_in_front_of_a_row_belongs_to_its_first_cell(mark: str) -> None:
    names = ["id", *HEADERS["trades"].replace(",id", "").split(",")]
    rows = [f"{mark}{index},binance,BTCUSDT,{DAY_US},{DAY_US},buy,1,2" for index in range(4)]
    done = at_every_block("\n".join([",".join(names), *rows]).encode())
    assert [row["id"] for row in parquet_rows(done)] == [f"{mark}{index}" for index in range(4)]


FLAGGED: dict[Flag, bytes] = {
    Flag.BACKWARD_LOCAL_TIMESTAMP: trades(line(local_timestamp=DAY_US + 8), line(local_timestamp=DAY_US + 7)),
    Flag.PREVIOUS_DAY_TIMESTAMP: trades(line(timestamp=DAY_US - 1), line()),
    Flag.NEXT_DAY_TIMESTAMP: trades(line(), line(timestamp=END_US)),
    Flag.EXTRA_COLUMNS: with_header(inserted("fee", 8), inserted("1", 8)),
    Flag.REORDERED_COLUMNS: f"{HEADERS['trades'].replace('price,amount', 'amount,price')}\n{line()}\n".encode(),
    Flag.UNEXPECTED_EMPTY: trades(line(), line(amount="")),
    Flag.NON_FINITE_NUMBER: trades(line(), line(amount="inf")),
    Flag.NO_FINAL_NEWLINE: trades(line()).removesuffix(b"\n"),
}


@pytest.mark.parametrize("flag", Flag)
def test_each_flag_stands_alone(flag: Flag) -> None:
    done = at_every_block(FLAGGED[flag])
    assert (done.outcome, done.flags) == (Outcome.OK, (flag,))


def test_a_line_may_end_in_half_of_a_crlf_where_the_file_ends() -> None:
    text = trades(line(), line()).replace(b"\n", b"\r\n").removesuffix(b"\n")
    done = at_every_block(text)
    assert (done.outcome, done.flags, done.rows) == (Outcome.OK, (Flag.NO_FINAL_NEWLINE,), 2)


def test_line_ends_may_differ_from_line_to_line() -> None:
    text = f"{HEADERS['trades']}\r\n{line(id=1)}\n{line(id=2)}\r\n{line(id='')}\n".encode()
    assert at_every_block(text).rows == 3


def test_hexadecimal_ids_do_not_make_times_suspect() -> None:
    text = trades(*(line(id=f"0x{index:064x}", local_timestamp=DAY_US + index) for index in range(50)))
    assert at_every_block(text).outcome is Outcome.OK
    late = trades(*(line(id=f"0x{index:064x}") for index in range(50)), line(timestamp="0x10"))
    assert at_every_block(late).reason is Reason.BAD_VALUE
