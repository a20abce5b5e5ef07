"""Candle objects: their bytes, who they are, and their way into the bucket.

A candle object is identified by what it was made of (the checksums of its inputs), by the clock and by the schema version. Created once,
like data: the same identity under the name means that it is there already. Another identity means that an input changed or came
later; it is overwritten only where `rebuild` asks for that, and then only the generation that was seen.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from engine import __version__
from engine.candles.columns import CANDLE_SCHEMA_VERSION, COLUMNS, ColumnKind, Input
from engine.candles.timeframes import Clock, bars_of
from engine.commit import PARQUET, is_altered
from engine.errors import AlreadyExists, CommitConflict, GenerationMismatch
from engine.manifest import Entry, Part
from engine.model import File, Outcome
from engine.paths import candle_object, candle_prefix, parse_candle_object
from engine.store import ObjectInfo, Store

if TYPE_CHECKING:
    import pyarrow as pa


IDENTITY = "candle-identity"


@dataclass(frozen=True, slots=True)
class Made:
    """What candles are made of: the identity of every object of one symbol and day."""

    inputs: tuple[Input, ...]
    clock: Clock
    identity: str


def identify(checksums: Mapping[Input, str], clock: Clock) -> Made:
    """The identity of candles.

    Args:
        checksums: CRC-32C of each input's object, as the bucket reports it.
        clock: which time of a row decides its bar.
    """
    parts = [f"{name}={checksums[name]}" for name in Input if name in checksums]
    text = "\n".join([f"schema={CANDLE_SCHEMA_VERSION}", f"clock={clock}", *parts])
    return Made(tuple(name for name in Input if name in checksums), clock, hashlib.sha256(text.encode()).hexdigest()[:32])


def encode(table: pa.Table, made: Made, *, day: date, venue: str, symbol: str, timeframe: str) -> bytes:
    """The Parquet bytes of one timeframe's candles: equal candles are equal bytes in one environment."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {
        "venue": venue,
        "symbol": symbol,
        "day": day.isoformat(),
        "timeframe": timeframe,
        "bucket_by": made.clock,
        "inputs": ",".join(made.inputs),
        "candle_schema_version": str(CANDLE_SCHEMA_VERSION),
    }
    output = pa.BufferOutputStream()
    dictionaries: Any = [column.name for column in COLUMNS if column.kind is ColumnKind.CATEGORY]
    with pq.ParquetWriter(
        output,
        table.schema,
        compression="zstd",
        compression_level=3,
        use_dictionary=dictionaries,
        column_encoding={column.name: _ENCODINGS[column.kind] for column in COLUMNS if column.kind is not ColumnKind.CATEGORY},
        data_page_version="1.0",
        write_page_index=True,
        sorting_columns=[pq.SortingColumn(0)],
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    return bytes(output.getvalue().to_pybytes())


_ENCODINGS = {ColumnKind.TIME: "DELTA_BINARY_PACKED", ColumnKind.COUNT: "DELTA_BINARY_PACKED", ColumnKind.NUMBER: "BYTE_STREAM_SPLIT"}


def commit_candles(
    store: Store, file: File, encoded: Mapping[str, bytes], made: Made, facts: Mapping[str, str], *, rebuild: bool
) -> tuple[Part, ...]:
    """Create the objects of one symbol and day; those that are there already with the same identity stay.

    Args:
        store: the data bucket.
        file: the symbol and day; its data type is `CANDLES`.
        encoded: Parquet bytes by timeframe.
        made: what they were made of.
        facts: more words for the objects' metadata.
        rebuild: overwrite objects of another identity.

    Raises:
        CommitConflict: if candles of other inputs are there, and `rebuild` does not say to overwrite them, or somebody else did so
            at the same moment.
    """
    return tuple(_commit(store, file, timeframe, data, made, facts, rebuild=rebuild) for timeframe, data in encoded.items())


def _commit(store: Store, file: File, timeframe: str, data: bytes, made: Made, facts: Mapping[str, str], *, rebuild: bool) -> Part:
    name = candle_object(file.cell.day, timeframe, file.cell.venue, file.symbol)
    metadata = {
        IDENTITY: made.identity,
        "inputs": ",".join(made.inputs),
        "bucket-by": made.clock,
        "schema-version": str(CANDLE_SCHEMA_VERSION),
        "engine-version": __version__,
        "crc32c": checksum(data),
        **facts,
    }
    try:
        info = store.put(name, data, if_generation=0, metadata=metadata, content_type=PARQUET, crc32c=metadata["crc32c"])
    except AlreadyExists:
        existing = store.stat(name)
        if existing is None:
            raise
        if is_current(existing, made):
            return _part(timeframe, existing)
        if not rebuild:
            raise CommitConflict(
                f"{file}: the bucket holds candles of {timeframe} made of other inputs", hint="make them anew: --rebuild"
            ) from None
        try:
            info = store.put(
                name, data, if_generation=existing.generation, metadata=metadata, content_type=PARQUET, crc32c=metadata["crc32c"]
            )
        except GenerationMismatch as error:
            raise CommitConflict(f"{file}: somebody else rebuilds the candles of {timeframe}", hint="run again") from error
    return _part(timeframe, info)


def is_current(info: ObjectInfo, made: Made) -> bool:
    """Whether an object holds the candles of these inputs, unaltered."""
    return info.metadata.get(IDENTITY) == made.identity and not is_altered(info)


def list_candles(store: Store, day: date, venue: str, timeframes: tuple[str, ...]) -> dict[str, dict[str, ObjectInfo]]:
    """The candle objects of a venue and day, by symbol and timeframe: one listing for each timeframe."""
    found: dict[str, dict[str, ObjectInfo]] = {}
    for timeframe in timeframes:
        for info in store.list(candle_prefix(day, timeframe, venue)):
            found.setdefault(parse_candle_object(info.name)[3], {})[timeframe] = info
    return found


def entry_of(symbol: str, parts: tuple[Part, ...], made: Made, facts: Mapping[str, str]) -> Entry:
    """The manifest entry of one symbol's candles, the same whether they were made now or found in the bucket."""
    return Entry(
        symbol=symbol,
        outcome=Outcome.OK,
        rows=sum(bars_of(part.timeframe) for part in parts),
        source_bytes=int(facts["input-bytes"]),
        object_bytes=sum(part.bytes for part in parts),
        generation=max(part.generation for part in parts),
        fingerprint=made.identity,
        covered_minutes=int(facts["minutes"]),
        flags=tuple(filter(None, facts["flags"].split(","))),
        parts=parts,
        inputs=tuple(made.inputs),
    )


def found_entry(symbol: str, infos: Mapping[str, ObjectInfo], made: Made, timeframes: tuple[str, ...]) -> Entry | None:
    """The entry of candles that lie in the bucket; None unless every timeframe is there and current."""
    if any(timeframe not in infos or not is_current(infos[timeframe], made) for timeframe in timeframes):
        return None
    return entry_of(symbol, tuple(_part(name, infos[name]) for name in timeframes), made, infos[timeframes[0]].metadata)


def checksum(data: bytes) -> str:
    """CRC-32C, base64 as the bucket writes it."""
    import google_crc32c

    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode("ascii")


def _part(timeframe: str, info: ObjectInfo) -> Part:
    return Part(timeframe, info.size, info.generation, info.crc32c)
