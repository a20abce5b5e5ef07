"""Small files converted together come to what each comes to alone, whatever its neighbours are.

Every other test of conversion asks for this too: `tardis_csv.converted` converts beside a neighbour whatever it converts alone.
"""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import permutations

import pytest

from engine.conversion import small_files
from engine.conversion.convert import Conversion, Reason, convert
from engine.conversion.small_files import convert_together
from engine.datatypes import DATA_TYPES
from engine.model import Cell, File, Outcome
from tests.engine.conversion.tardis_csv import (
    BTCUSDT,
    DAY,
    DAY_US,
    HEADERS,
    TRADES,
    day_of,
    genuine_heads,
    line,
    packed,
    trades,
    trades_csv,
)

ETHUSDT = File(Cell(DAY, "trades", "binance"), "ETHUSDT")


def alone(file: File, body: bytes) -> Conversion:
    return replace(convert(io.BytesIO(body), None, data_type=DATA_TYPES[file.cell.data_type], file=file), seconds=0.0)


def together(*sources: tuple[File, bytes]) -> list[Conversion]:
    done = convert_together(sources, data_type=DATA_TYPES[sources[0][0].cell.data_type])
    return [replace(each, seconds=0.0) for each in done]


def good(rows: int, symbol: str = "BTCUSDT") -> bytes:
    return packed(trades_csv(rows).replace(b",BTCUSDT,", f",{symbol},".encode()))


ODD = {
    "cut": good(50)[:-9],
    "two members": packed(trades_csv(50), cuts=[700]),
    "no rows": packed(HEADERS["trades"].encode() + b"\n"),
    "nothing": b"",
    "web page": b"<html>502</html>",
    "another venue": packed(trades(line(exchange="okex"))),
    "a symbol spelled otherwise": packed(trades(line(), line(symbol="btc/usdt"))),
    "another day": packed(trades(line(local_timestamp=DAY_US - 5))),
    "backward": packed(trades(line(local_timestamp=DAY_US + 9), line(local_timestamp=DAY_US + 8))),
    "word for a number": packed(trades(line(price="dear"))),
    "hexadecimal": packed(trades(line(timestamp="0x10"))),
    "quoted": packed(trades(line(id='"a,b"'))),
    "carriage returns": packed(trades(line(), line()).replace(b"\n", b"\r\n")),
    "no final newline": packed(trades(line(), line()).removesuffix(b"\n")),
    "empty line": packed(trades(line(), "", line())),
    "too few cells": packed(trades(line(), "binance,BTCUSDT,1")),
    "no time": packed(trades(line(local_timestamp=""))),
    "no side": packed(trades(line(side=""), line(side="north"))),
    "not finite": packed(trades(line(price="nan"), line(amount="1e999"))),
    "other columns": packed(trades_csv(3).replace(b",price,", b",cost,", 1)),
    "more columns": packed(trades_csv(3).replace(b",amount\n", b",amount,more\n", 1)),
    "not ascii": packed(trades(line(id="Ω"))),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_file_is_as_odd_among_others_and_leaves_them_alone(odd: str) -> None:
    sources = [(BTCUSDT, good(120)), (BTCUSDT, ODD[odd]), (ETHUSDT, good(7, "ETHUSDT"))]
    expected = {index: alone(*source) for index, source in enumerate(sources)}
    assert expected[0].outcome is expected[2].outcome is Outcome.OK
    for order in permutations(range(3)):
        assert together(*(sources[index] for index in order)) == [expected[index] for index in order]


def test_what_is_plain_is_never_converted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [(BTCUSDT, good(120)), (ETHUSDT, good(7, "ETHUSDT"))]
    expected = [alone(*source) for source in sources]
    monkeypatch.setattr(small_files, "convert", None)
    assert together(*sources) == expected


def test_the_first_rows_of_every_genuine_file_are_the_same_among_others() -> None:
    by_type: dict[str, list[tuple[File, bytes]]] = {}
    for path, name in genuine_heads():
        text = path.read_bytes()
        venue, symbol = text.splitlines()[1].decode().split(",")[:2]
        file = File(Cell(day_of(text), name, venue), "OPTIONS" if name == "options_chain" else symbol)
        by_type.setdefault(name, []).append((file, packed(text)))
    for sources in by_type.values():
        done = together(*sources)
        assert {each.outcome for each in done} == {Outcome.OK}
        assert done == [alone(*source) for source in sources]


def test_a_file_that_unfolds_to_much_is_converted_alone() -> None:
    big = good(20_000)
    assert together((BTCUSDT, big), (BTCUSDT, good(3))) == [alone(BTCUSDT, big), alone(BTCUSDT, good(3))]


def test_no_file_is_no_conversion() -> None:
    assert convert_together([], data_type=TRADES) == []


def test_the_reason_of_a_flaw_is_told() -> None:
    assert together((BTCUSDT, ODD["word for a number"]), (BTCUSDT, good(5)))[0].reason is Reason.BAD_VALUE
