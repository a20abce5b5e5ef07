"""Strategies for Tardis CSVs of all nine types, and for the gzip files they come in. Nothing here asks the engine.

Cells are taken from small drawn pools, so that a file of a hundred columns costs no more to draw than one of eight, and shrinks to
the few texts that matter.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import random
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from hypothesis import strategies as st

from tests.engine.conversion.tardis_csv import EVENT, HEADERS, TEXTS, TIMES

ALL_HEADERS = HEADERS | {
    "quotes": f"{EVENT},ask_amount,ask_price,bid_price,bid_amount",
    "book_ticker": f"{EVENT},ask_amount,ask_price,bid_price,bid_amount",
    "book_snapshot_25": ",".join(
        [EVENT, *(f"{side}[{level}].{what}" for level in range(25) for side in ("asks", "bids") for what in ("price", "amount"))]
    ),
}
FILLED = {
    "trades": {"price", "amount"},
    "liquidations": {"price", "amount"},
    "incremental_book_L2": {"is_snapshot", "price", "amount"},
    "options_chain": {"strike_price", "expiration"},
}
"""Columns that the vendor documents as never empty, beside the four of every event."""
DAY_MICROSECONDS = 86_400_000_000
DAYS = (date(2024, 5, 1), date(2024, 2, 29), date(2019, 12, 31))

_ODD_NUMBERS = (
    *("1e-8", "1E-08", "1E+05", "1e5", "-0", "-0.0", "0", "0.0", "00.50", "0000123.4500", "1.", ".5", "-.5e1"),
    *("0.1", "0.30000000000000004", "123456789012.5", "9007199254740993", "1.00000000000000011102230246251565404236316680908203125"),
    *("5e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "2.2250738585072011e-308", "-4.9e-324", "1e-400"),
    *("1.7976931348623157e308", "-1.7976931348623157E+308", "1.7976931348623158e308"),
)
_NUMBERS_WITHOUT_VALUE = ("NaN", "nan", "-nan", "inf", "-Infinity", "1e999", "1.7976931348623159e308")
numbers = st.one_of(
    st.sampled_from(_ODD_NUMBERS),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: f"{value:.17g}"),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: f"{value:.16E}"),
    st.floats(0, 2.3e-308, allow_subnormal=True).map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.from_regex(r"-?[0-9]{1,25}(\.[0-9]{0,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.tuples(st.integers(401, 900), st.integers(1, 9)).map(lambda drawn: f"0.{'0' * (drawn[0] - 300)}{str(drawn[1]) * drawn[0]}"),
    st.tuples(st.integers(401, 900), st.integers(-700, -400)).map(lambda drawn: f"{'7' * drawn[0]}e{drawn[1]}"),
)
_letters = st.characters(codec="utf-8", exclude_characters="\r\n", exclude_categories=["Cs"])
words = st.text(_letters, min_size=1, max_size=10)
_ids = st.one_of(
    st.integers(0, 10**20).map(str),
    st.integers(10**19, 10**20 - 1).map(str),
    st.uuids().map(str),
    st.sampled_from(
        ["007", "1e5", "-0", "0x1f", "true", "nan", "NULL", "N/A", " 7 ", 'say "so"', '"', "a,b", "\ufeffid", "nan(1)", "i\0d"]
    ),
    words,
)
_other_times = st.one_of(
    st.integers(1_500_000_000_000_000, 1_800_000_000_000_000).map(str),
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.sampled_from(["0", "-0", "-1", "007", str(2**63 - 1), str(-(2**63)), "000000000000000000000000017"]),
)
_spellings = st.text(st.sampled_from("ABXZ019-_币é"), min_size=1, max_size=8)


@dataclass(frozen=True, slots=True)
class Csv:
    """One made-up file, and what a conversion should be asked for and should say about it."""

    text: bytes
    data_type: str
    venue: str
    symbol: str
    day: date
    extra: tuple[str, ...]
    flags: frozenset[str]

    @property
    def day_us(self) -> int:
        """The first microsecond of the day."""
        return microseconds(self.day)


def microseconds(day: date) -> int:
    """The first microsecond of a UTC day, since the epoch."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000


@st.composite
def csvs(draw: st.DrawFn, data_type: str, *, min_rows: int = 1, max_rows: int = 12) -> Csv:
    """Any file that the schema of `data_type` allows."""
    names = ALL_HEADERS[data_type].split(",")
    day, venue = draw(st.sampled_from(DAYS)), draw(st.sampled_from(["binance", "okex-options", "bybit-spot"]))
    grouped = data_type == "options_chain" or draw(st.booleans())
    symbol = draw(_spellings)
    start = microseconds(day)
    longest = 50_000 // len(names)  # all cells of a row that long make a line that is still short enough
    offsets = st.one_of(st.integers(0, DAY_MICROSECONDS - 1), st.sampled_from([0, DAY_MICROSECONDS - 1]))
    odd = draw(st.lists(st.sampled_from(_NUMBERS_WITHOUT_VALUE), max_size=2)) if draw(st.integers(0, 4)) == 0 else []
    pools: dict[str, list[str]] = {
        "number": ["", *draw(st.lists(numbers.filter(lambda text: len(text) < longest), min_size=1, max_size=12)), *odd],
        "exchange": [venue],
        "symbol": draw(st.lists(words, min_size=1, max_size=4)) if grouped else [symbol, symbol.lower()],
        "local_timestamp": draw(st.lists(offsets, min_size=1, max_size=6).map(lambda drawn: [str(start + offset) for offset in drawn])),
        "timestamp": [str(start), *draw(st.lists(_other_times, max_size=3))],
        "time": ["", *draw(st.lists(_other_times, min_size=1, max_size=4))],
        "id": ["", *draw(st.lists(_ids, min_size=1, max_size=6))],
        "side": ["", *(("bid", "ask") if data_type == "incremental_book_L2" else ("buy", "sell", "unknown"))],
        "type": ["put", "call", ""],
        "underlying_index": ["", *draw(st.lists(words, max_size=3))],
        "is_snapshot": ["true", "false", ""],
        "extra": ["", *draw(st.lists(words, max_size=2))],
    }
    order = list(names)
    extra = tuple(draw(st.lists(st.sampled_from(["fee", "Größe", "seq no", "a,b"]), max_size=2, unique=True)))
    for name in extra:
        order.insert(draw(st.integers(0, len(order))), name)
    if draw(st.integers(0, 3)) == 0:
        order = list(draw(st.permutations(order)))
    # A zero seed fills every column with the first of its pool: the shape that a failure shrinks to.
    seed = draw(st.integers(0, 2**32))
    rows = draw(st.integers(min_rows, max_rows))
    chance = random.Random(seed)

    def pick(name: str) -> str:
        kind = name if name in pools else "extra" if name in extra else "time" if name in TIMES else "number"
        return chance.choice(pools[kind]) if seed else pools[kind][0]

    table = [[pick(name) for name in order] for _ in range(rows)]
    if not grouped or draw(st.booleans()):
        table.sort(key=lambda row: int(row[order.index("local_timestamp")]))
    newline, final = draw(st.sampled_from(["\n", "\r\n"])), draw(st.booleans())
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=newline).writerows([order, *table])
    written = text.getvalue() if final else text.getvalue().removesuffix(newline)
    cells = [dict(zip(order, row, strict=True)) for row in table]
    flags = _flags(data_type, start, cells) | _present(
        ("extra_columns", bool(extra)),
        ("reordered_columns", [name for name in order if name not in extra] != names),
        ("no_final_newline", not final),
    )
    return Csv(written.encode(), data_type, venue, "OPTIONS" if grouped else symbol.upper(), day, extra, flags)


def _flags(data_type: str, start: int, rows: Sequence[dict[str, str]]) -> frozenset[str]:
    local = [int(row["local_timestamp"]) for row in rows]
    exchange = [int(row["timestamp"]) for row in rows]
    values = [float(cell) for row in rows for name, cell in row.items() if cell and _is_number(data_type, name)]
    return _present(
        ("backward_local_timestamp", any(later < earlier for earlier, later in itertools.pairwise(local))),
        ("previous_day_timestamp", any(time < start for time in exchange)),
        ("next_day_timestamp", any(time >= start + DAY_MICROSECONDS for time in exchange)),
        ("unexpected_empty", any(not row[name] for row in rows for name in FILLED.get(data_type, ()))),
        ("non_finite_number", not all(map(math.isfinite, values))),
    )


def _is_number(data_type: str, name: str) -> bool:
    return name in ALL_HEADERS[data_type].split(",") and name not in TIMES | TEXTS | {"is_snapshot"}


def _present(*flags: tuple[str, bool]) -> frozenset[str]:
    return frozenset(flag for flag, present in flags if present)


def member(
    data: bytes,
    *,
    level: int = 6,
    name: bytes = b"",
    extra: bytes = b"",
    comment: bytes = b"",
    header_crc: bool = False,
    text: bool = False,
) -> bytes:
    """One gzip member by the letter of RFC 1952, with the optional header fields that are given."""
    flags = text | header_crc << 1 | bool(extra) << 2 | bool(name) << 3 | bool(comment) << 4
    head = b"\x1f\x8b\x08" + bytes([flags]) + struct.pack("<I", 1_714_600_000) + b"\0\x03"
    if extra:
        head += struct.pack("<H", len(extra)) + extra
    if name:
        head += name + b"\0"
    if comment:
        head += comment + b"\0"
    if header_crc:
        head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
    return head + deflate.compress(data) + deflate.flush() + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


_field = st.binary(min_size=1, max_size=12).map(lambda drawn: drawn.replace(b"\0", b"0"))
_headers = st.fixed_dictionaries(
    {},
    optional={
        "level": st.sampled_from([0, 1, 6, 9]),
        "name": _field,
        "extra": st.binary(min_size=1, max_size=12),
        "comment": _field,
        "header_crc": st.just(True),
        "text": st.just(True),
    },
)


@dataclass(frozen=True, slots=True)
class Gzip:
    """A text as a gzip file, and the texts of its members."""

    body: bytes
    parts: tuple[bytes, ...]


@st.composite
def gzips(draw: st.DrawFn, text: bytes) -> Gzip:
    """`text` in members cut anywhere, also in the middle of a line or of a character, also of zero bytes, and zeros behind them."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=5)))
    parts = tuple(text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)]))
    options: list[dict[str, Any]] = [draw(_headers) for _ in parts]
    members = (member(part, **option) for part, option in zip(parts, options, strict=True))
    return Gzip(b"".join(members) + b"\0" * draw(st.sampled_from([0, 0, 0, 1, 7, 512])), parts)
