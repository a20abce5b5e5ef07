"""What the conversion tests share: genuine and made-up Tardis CSVs, and a reading of them that knows nothing of the engine.

The reading is the standard library's `csv`, `int` and `float`, with its own idea of which columns are times and how book columns
are called: a mistake in the engine's table cannot hide in it.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import re
import struct
import zlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.conversion.convert import Conversion, ConvertSettings, convert
from engine.conversion.small_files import convert_together
from engine.datatypes import DATA_TYPES, DataType
from engine.model import Cell, File, Outcome
from tests.sample_data import sample_data

DAY = date(2024, 5, 1)
DAY_US = 1_714_521_600_000_000
"""The first microsecond of DAY."""
EVENT = "exchange,symbol,timestamp,local_timestamp"
HEADERS = {
    "trades": f"{EVENT},id,side,price,amount",
    "liquidations": f"{EVENT},id,side,price,amount",
    "book_snapshot_5": ",".join(
        [EVENT, *(f"{side}[{level}].{what}" for level in range(5) for side in ("asks", "bids") for what in ("price", "amount"))]
    ),
    "derivative_ticker": f"{EVENT},funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,index_price,mark_price",
    "options_chain": f"{EVENT},type,strike_price,expiration,open_interest,last_price,bid_price,bid_amount,bid_iv,ask_price,"
    "ask_amount,ask_iv,mark_price,mark_iv,underlying_index,underlying_price,delta,gamma,vega,theta,rho",
    "incremental_book_L2": f"{EVENT},is_snapshot,side,price,amount",
}
TIMES = {"timestamp", "local_timestamp", "funding_timestamp", "expiration"}
TEXTS = {"exchange", "symbol", "id", "side", "type", "underlying_index"}
TRADES = DATA_TYPES["trades"]
BTCUSDT = File(Cell(DAY, "trades", "binance"), "BTCUSDT")


def genuine_heads() -> list[tuple[Path, str]]:
    """Each genuine CSV head with its data type."""
    found = []
    for path in sorted(sample_data().glob("csv-heads-*/*.csv")):
        types = [name for name in sorted(DATA_TYPES, key=len, reverse=True) if re.search(rf"(^|_){name}_", path.name)]
        found.append((path, types[0]))
    assert {name for _, name in found} >= set(HEADERS)
    return found


def read_independently(text: bytes, *, without: Collection[str] = ()) -> list[dict[str, Any]]:
    """The rows of a CSV by the standard library, under the names and types that Parquet should have, `without` columns unread."""
    rows = []
    for cells in csv.DictReader(io.StringIO(text.decode("utf-8"), newline="")):
        rows.append({_renamed(name): _value(name, cell) for name, cell in cells.items() if name not in without})
    return rows


def _renamed(name: str) -> str:
    level = re.fullmatch(r"(ask|bid)s\[(\d+)\]\.(price|amount)", name)
    return f"{level[1]}_{level[3]}_{int(level[2]) + 1}" if level else name


def _value(name: str, cell: str) -> object:
    if cell == "":
        return None
    if name in TIMES:
        return int(cell)
    if name in TEXTS:
        return cell
    return {"true": True, "false": False}[cell] if name == "is_snapshot" else _bits(float(cell))


def _bits(value: float) -> bytes:
    """A float as its bits, so that -0.0 differs from 0.0 and NaN equals NaN."""
    return struct.pack(">d", value)


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a converted table, comparable to `read_independently`."""
    columns: dict[str, list[Any]] = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_timestamp(field.type):
            columns[field.name] = column.cast(pa.int64()).to_pylist()
        elif pa.types.is_floating(field.type):
            columns[field.name] = [None if value is None else _bits(value) for value in column.to_pylist()]
        else:
            columns[field.name] = column.to_pylist()
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def parquet_rows(conversion: Conversion) -> list[dict[str, Any]]:
    """The rows of a conversion to memory."""
    assert conversion.parquet is not None
    return rows_of(pq.read_table(pa.BufferReader(conversion.parquet)))


def packed(text: bytes, *, cuts: Sequence[int] = ()) -> bytes:
    """`text` as gzip, one member more for each cut."""
    edges = [0, *sorted(cuts), len(text)]
    return b"".join(gzip.compress(text[start:end], 6, mtime=0) for start, end in itertools.pairwise(edges))


class Reads:
    """A binary stream whose reads give at most `most` bytes."""

    def __init__(self, data: bytes, most: int = 1 << 20) -> None:
        self._file = io.BytesIO(data)
        self._most = most

    def read(self, size: int = -1) -> bytes:
        return self._file.read(self._most if size < 0 else min(size, self._most))

    def seekable(self) -> bool:
        return True

    def seek(self, place: int) -> int:
        return self._file.seek(place)


def converted(
    body: bytes,
    *,
    data_type: DataType = TRADES,
    file: File | None = None,
    most: int = 1 << 20,
    settings: ConvertSettings | None = None,
    expected_bytes: int | None = None,
) -> Conversion:
    """Convert a body in memory; beside others as well, which must come to the same."""
    source: Any = Reads(body, most)
    done = convert(source, None, data_type=data_type, file=file, settings=settings, expected_bytes=expected_bytes)
    # How a flaw is worded may depend on where a block ends.
    if file is not None and expected_bytes is None and (settings is None or done.outcome is Outcome.OK):
        beside = convert_together([(file, body), (file, body)], data_type=data_type)
        assert [replace(each, seconds=0.0) for each in beside] == [replace(done, seconds=0.0)] * 2
    return done


def trades_csv(rows: int, *, start: int = DAY_US, step: int = 1_000_003) -> bytes:
    """A plausible day of trades: ids of 20 digits, GUIDs and none; 17-digit, scientific and plain numbers."""
    lines = [HEADERS["trades"]]
    for index in range(rows):
        local = start + 2_000 + index * step % 86_000_000_000
        ids = (f"{10**19 + index}", f"ccc3c1fa-212c-e8b0-1706-{index:012x}", "")
        prices = (f"{60000 + index / 100:.2f}", f"{index + 1}e-8", repr(0.1 * (index + 1)), f"{index}")
        cells = ["binance", "BTCUSDT", str(local - 1500), str(local), ids[index % 3], ("buy", "sell", "unknown")[index % 3]]
        lines.append(",".join([*cells, prices[index % 4], repr(index / 7)]))
    return ("\n".join(lines) + "\n").encode()


def line(**cells: object) -> str:
    """One trade as a CSV line; a keyword replaces a cell."""
    usual = {"exchange": "binance", "symbol": "BTCUSDT", "timestamp": DAY_US + 5, "local_timestamp": DAY_US + 7}
    row = usual | {"id": "1", "side": "buy", "price": "1.5", "amount": "2"} | cells
    return ",".join(str(cell) for cell in row.values())


def trades(*lines: str) -> bytes:
    """A trades CSV of these lines."""
    return "".join(f"{text}\n" for text in (HEADERS["trades"], *lines)).encode()


def day_of(text: bytes) -> date:
    """The UTC day of a CSV's first row."""
    first = next(csv.DictReader(io.StringIO(text.decode())))
    return datetime.fromtimestamp(int(first["local_timestamp"]) // 1_000_000, UTC).date()


def sha256(data: bytes | None) -> str:
    """Of a Parquet file in memory."""
    assert data is not None
    return hashlib.sha256(data).hexdigest()


def trailer(data: bytes) -> tuple[int, int]:
    """CRC-32 and length as a gzip trailer has them."""
    return zlib.crc32(data), len(data) & 0xFFFFFFFF
