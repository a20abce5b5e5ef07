"""The footer of a Parquet object, read by range: what a file of any writer says of itself, without reading its rows.

One request for nearly every object of many, two where its footer is longer than those of its like. It is taken as a claim: whoever asks
decides what follows from a column that is missing or has no statistics. Separate from `conversion.parquet_file`, which writes our own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.store import ObjectInfo, Store
from engine.thrift import ThriftFlaw, Value, read_struct

FOOTER_LIMIT = 64 << 20
"""A longer footer is no footer of market data: nothing is fetched for it."""

_CLOSING = 8
"""Length of the footer (4 bytes, little endian) and the magic word, at the very end (Parquet format, "File Format")."""
_MAGIC = b"PAR1"

_ARROW_SCHEMA = b"ARROW:schema"
_DEEPEST_COLUMN = 16

# Numbers of the format (parquet-format, "parquet.thrift").
_PHYSICAL = dict(enumerate(("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")))
_LOGICAL = {1: "string", 4: "enum", 5: "decimal", 6: "date", 7: "time", 8: "timestamp", 10: "int", 11: "unknown"}
_CONVERTED = {0: "string", 4: "enum", 5: "decimal", 6: "date", 7: "time", 8: "time", **dict.fromkeys(range(11, 19), "int")}
_CONVERTED_TIMES = {9: 1_000, 10: 1_000_000}
_UNITS = {1: 1_000, 2: 1_000_000, 3: 1_000_000_000}
_INTEGER_BYTES = {"INT32": 4, "INT64": 8}


class FooterFlaw(Exception):
    """The object is no Parquet file that can be read; the text says why."""


@dataclass(frozen=True, slots=True)
class FooterColumn:
    """One leaf column: its type, and its statistics over all row groups."""

    name: str
    physical: str
    """Of the format: `INT64`, `INT96`, `DOUBLE`, `BYTE_ARRAY`, ..."""
    logical: str
    """Of the format in lower case: `timestamp`, `string`, `decimal`, `unknown` (only nulls), ...; `none` if the column has none."""
    ticks: int = 0
    """Of a timestamp: units in a second, e.g. 1,000,000. 0: the type does not say."""
    is_utc: bool = False
    """Of a timestamp: whether the type says that it is UTC."""
    smallest: int | bytes | None = None
    """Of integers, timestamps and text; None where a row group has no statistics, or there is no value."""
    largest: int | bytes | None = None
    nulls: int | None = None
    """None where a row group does not say."""


@dataclass(frozen=True, slots=True)
class Footer:
    """What a Parquet file says of itself."""

    rows: int
    row_groups: int
    columns: Mapping[str, FooterColumn]
    """Leaf columns by name; nested ones by their path with dots."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Key-value metadata, without the Arrow schema."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What was asked of a bucket."""

    requests: int = 0
    bytes: int = 0
    """That came."""
    footers: int = 0
    """Of `bytes`: those of footers. The others are the end of what lies before a footer."""


class FooterReader:
    """Reads footers of the objects of one bucket, and counts what that took. Safe to use from several threads.

    How long a footer is stands in the last 8 bytes, and nobody knows it before. So the first object of its like is asked for those, and
    then for the rest of its footer; the next is asked for as much as the longest footer of its like so far. Its like are objects of the
    same data type (columns) and about the same size (row groups). Rows are read only where a footer is shorter than that.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._longest: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()
        self._reads = Reads()

    @property
    def reads(self) -> Reads:
        """All that was read so far."""
        return self._reads

    def read(self, info: ObjectInfo, data_type: str) -> Footer:
        """Read the footer of an object that a listing showed: one ranged request, or two.

        Raises:
            FooterFlaw: if it is no readable Parquet file, or is not there any more at that generation.
            StoreError, NotPermitted, ConfigurationError: as of `Store.get_range`.
        """
        if info.size < _CLOSING + len(_MAGIC):
            raise FooterFlaw(f"{info.size} bytes are no Parquet file")
        like = (data_type, info.size.bit_length())
        tail = self._range(info, max(0, info.size - self._longest.get(like, _CLOSING)), info.size)
        if tail[-len(_MAGIC) :] != _MAGIC:
            raise FooterFlaw("it does not end as a Parquet file does")
        needed = int.from_bytes(tail[-_CLOSING : -len(_MAGIC)], "little") + _CLOSING
        if needed > min(info.size, FOOTER_LIMIT):
            raise FooterFlaw(f"its footer would be {needed:,} bytes long")
        if needed > len(tail):
            tail = self._range(info, info.size - needed, info.size - len(tail)) + tail
        footer = parse_footer(tail[-needed:])
        with self._lock:
            self._longest[like] = max(needed, self._longest.get(like, 0))
            self._reads = replace(self._reads, footers=self._reads.footers + needed)
        return footer

    def _range(self, info: ObjectInfo, start: int, end: int) -> bytes:
        found = self._store.get_range(info.name, start, end, generation=info.generation)
        with self._lock:
            reads = self._reads
            self._reads = replace(reads, requests=reads.requests + 1, bytes=reads.bytes + len(found or b""))
        if found is None:
            raise FooterFlaw("it is not there any more")
        if len(found) != end - start:
            raise FooterFlaw(f"{len(found)} bytes came instead of {end - start}")
        return found


def parse_footer(data: bytes) -> Footer:
    """Read the last bytes of a Parquet file: footer, its length, the magic word.

    Raises:
        FooterFlaw: if they cannot be read.
    """
    try:
        found = read_struct(data[:-_CLOSING])
        leaves = _leaves([_struct(element) for element in _list(found, 2)])
        groups = [_struct(group) for group in _list(found, 4)]
        chunks = [[_struct(_struct(chunk)[3]) for chunk in _list(group, 1)] for group in groups]
        if any(len(group) != len(leaves) for group in chunks):
            raise FooterFlaw("its row groups do not have the columns of its schema")
        columns = [_column(path, element, [group[place] for group in chunks]) for place, (path, element) in enumerate(leaves)]
        pairs = [_struct(pair) for pair in _list(found, 5)]
        metadata = {_text(pair, 1): _text(pair, 2) for pair in pairs if pair.get(1) != _ARROW_SCHEMA and 2 in pair}
        rows = _number(found, 3)
        if rows < 0 or rows != sum(_number(group, 3) for group in groups):
            raise FooterFlaw("its row groups do not have the rows that it says")
    except (ThriftFlaw, KeyError, TypeError, UnicodeDecodeError) as error:
        raise FooterFlaw(f"its footer cannot be read: {error}") from error
    return Footer(rows, len(groups), {column.name: column for column in columns}, metadata)


_Struct = dict[int, Value]


def _leaves(elements: Sequence[_Struct]) -> list[tuple[str, _Struct]]:
    """Path and element of every column that holds values, out of the flattened tree whose root comes first."""
    places = iter(elements)
    found: list[tuple[str, _Struct]] = []

    def walk(element: _Struct, path: tuple[str, ...]) -> None:
        children = _number(element, 5) if 5 in element else 0
        if not children and path:
            found.append((".".join(path), element))
        for _ in range(children):
            child = next(places, None)
            if child is None or len(path) > _DEEPEST_COLUMN:
                raise FooterFlaw("its schema is cut off")
            walk(child, (*path, _text(child, 4)))

    root = next(places, None)
    if root is None:
        raise FooterFlaw("it has no schema")
    walk(root, ())
    return found


def _column(name: str, element: _Struct, chunks: Sequence[_Struct]) -> FooterColumn:
    """Statistics count only if every row group has them: half a minimum is none."""
    physical = _PHYSICAL.get(_number(element, 1), "unknown")
    if any(chunk.get(1) != element[1] for chunk in chunks):
        raise FooterFlaw(f"column {name} has another type in a row group than in the schema")
    logical, ticks, is_utc = _logical(element)
    statistics = [_struct(chunk.get(12, {})) for chunk in chunks]
    nulls = [_number(each, 3) if 3 in each else None for each in statistics]
    # A row group of nothing but nulls has no smallest value, and needs none.
    filled = [each for each, chunk, count in zip(statistics, chunks, nulls, strict=True) if count is None or count < _number(chunk, 5)]
    lows = [_bound(each, 6, 2, physical) for each in filled]
    highs = [_bound(each, 5, 1, physical) for each in filled]
    return FooterColumn(
        name=name,
        physical=physical,
        logical=logical,
        ticks=ticks,
        is_utc=is_utc,
        smallest=_end(lows, min),
        largest=_end(highs, max),
        nulls=None if None in nulls else sum(count for count in nulls if count is not None),
    )


def _logical(element: _Struct) -> tuple[str, int, bool]:
    """What the type itself says: its name, units in a second, and whether it is UTC."""
    union = _struct(element.get(10, {}))
    if union:
        number = next(iter(union))
        name = _LOGICAL.get(number, "other")
        if name != "timestamp":
            return name, 0, False
        described = _struct(union[number])
        return name, _UNITS.get(next(iter(_struct(described[2])), 0), 0), described[1] is True
    converted = element.get(6)
    if converted in _CONVERTED_TIMES:
        # Before logical types there was no other than UTC (Parquet format, "LogicalTypes", "Deprecated timestamp ConvertedType").
        return "timestamp", _CONVERTED_TIMES[_number(element, 6)], True
    return "none" if converted is None else _CONVERTED.get(_number(element, 6), "other"), 0, False


def _bound(statistics: _Struct, number: int, deprecated: int, physical: str) -> int | bytes | None:
    """One end of the values. The deprecated fields are right for signed numbers only: text was compared by signed bytes."""
    value = statistics.get(number, statistics.get(deprecated) if physical in _INTEGER_BYTES else None)
    if not isinstance(value, bytes):
        return None
    if physical in _INTEGER_BYTES:
        return int.from_bytes(value, "little", signed=True) if len(value) == _INTEGER_BYTES[physical] else None
    return value if physical == "BYTE_ARRAY" else None


def _end(values: Sequence[Any], pick: Callable[[list[Any]], Any]) -> Any:
    """The smallest or largest of one column's bounds, or None if one is missing."""
    known = [value for value in values if value is not None]
    return pick(known) if known and len(known) == len(values) else None


def _struct(value: Value) -> _Struct:
    if not isinstance(value, dict):
        raise TypeError("a value stands where a struct should")
    return value


def _list(holder: _Struct, number: int) -> list[Value]:
    value = holder.get(number, [])
    if not isinstance(value, list):
        raise TypeError(f"field {number} is no list")
    return value


def _number(holder: _Struct, number: int) -> int:
    value = holder[number]
    if not isinstance(value, int):
        raise TypeError(f"field {number} is no number")
    return value


def _text(holder: _Struct, number: int) -> str:
    value = holder[number]
    if not isinstance(value, bytes):
        raise TypeError(f"field {number} is no text")
    return value.decode()
