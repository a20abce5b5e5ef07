"""Commits: a converted file becomes one object, created once and never overwritten.

The object's metadata carries the identity of its source (`engine.fingerprint`). If the name is taken, the same source and schema
mean that the file is committed already (by another worker, an earlier attempt, or our own write whose reply was lost); anything
else is a conflict, reported and left alone. So a worker needs no delete permission, and a resume needs one listing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from engine import __version__
from engine.conversion.convert import Conversion
from engine.datatypes import SCHEMA_VERSION
from engine.errors import AlreadyExists, CommitConflict, UsageError
from engine.manifest import Entry
from engine.model import Cell, File, Outcome
from engine.paths import cell_prefix, data_object, parse_data_object, quarantine_object
from engine.store import ObjectInfo, Store

if TYPE_CHECKING:
    from engine.small_objects import SmallObjects

CHECKSUM = "crc32c"
"""Key of the checksum that was committed, beside the one that the bucket reports of what it holds now."""

NAMES_LIMIT = 2000
"""Bytes of the dropped columns' names in an object's metadata."""

PARQUET = "application/vnd.apache.parquet"

CREATIONS = 2
"""How often an object is created at most: what was in the way and is gone (somebody deleted it) leaves room for ours."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A data object that is in the bucket."""

    info: ObjectInfo
    already: bool
    """True if it was there before this commit."""


def metadata_of(conversion: Conversion) -> dict[str, str]:
    """The custom metadata of a data object: what identifies its source, and what a resume writes into its manifest."""
    return {
        "source-fingerprint": str(conversion.fingerprint),
        "source-length": str(conversion.source_bytes),
        "schema-version": str(SCHEMA_VERSION),
        "engine-version": __version__,
        CHECKSUM: conversion.crc32c,
        "rows": str(conversion.rows),
        "first-us": "" if conversion.min_local_timestamp_us is None else str(conversion.min_local_timestamp_us),
        "last-us": "" if conversion.max_local_timestamp_us is None else str(conversion.max_local_timestamp_us),
        "minutes": str(conversion.covered_minutes),
        "flags": ",".join(conversion.flags),
        "dropped-columns": _names(conversion.dropped_columns),
    }


def commit(store: Store, file: File, conversion: Conversion, data: bytes | Path) -> Committed:
    """Create the data object of `file`.

    Raises:
        CommitConflict: if another source file or schema is committed under its name.
        AlreadyExists: if the bucket refuses to create the object and shows none.
        StoreError: if the bytes are not those that the conversion made, as the bucket sees it.
    """
    name, metadata = data_object(file), metadata_of(conversion)
    for _ in range(CREATIONS):
        try:
            info = store.put(name, data, if_generation=0, metadata=metadata, content_type=PARQUET, crc32c=conversion.crc32c)
        except AlreadyExists:
            if (before := _committed_before(store, file, metadata)) is not None:
                return before
        else:
            return Committed(info, already=False)
    raise _unseen(file)


async def commit_small(objects: SmallObjects, file: File, conversion: Conversion, data: bytes) -> Committed:
    """The same by one request on the event loop, for what `objects` takes.

    Raises:
        CommitConflict, AlreadyExists, StoreError: as for `commit`.
    """
    name, metadata = data_object(file), metadata_of(conversion)
    for _ in range(CREATIONS):
        try:
            info = await objects.create(name, data, metadata=metadata, content_type=PARQUET, crc32c=conversion.crc32c)
        except AlreadyExists:
            if (before := await asyncio.to_thread(_committed_before, objects.store, file, metadata)) is not None:
                return before
        else:
            return Committed(info, already=False)
    raise _unseen(file)


def _committed_before(store: Store, file: File, metadata: Mapping[str, str]) -> Committed | None:
    """What is there under the file's name, if it is the same; None if what was in the way is gone."""
    existing = store.stat(data_object(file))
    if existing is None:
        return None
    require_same_source(file, existing, metadata)
    return Committed(existing, already=True)


def _unseen(file: File) -> AlreadyExists:
    return AlreadyExists(
        f"{file}: the bucket says that its object is there, and does not show it", hint="run again; then: engine doctor --deep"
    )


def require_same_source(file: File, existing: ObjectInfo, wanted: Mapping[str, str]) -> None:
    """Raise CommitConflict unless `existing` came from the same source bytes under the same schema, and still holds what was written."""
    if is_altered(existing):
        raise CommitConflict(
            f"{file}: the object in the bucket is not the one that was committed: its checksum is {existing.crc32c},"
            f" committed was {existing.metadata[CHECKSUM]}",
            hint="nothing was overwritten; compare with engine validate, then delete it by hand and repair",
        )
    for key in ("source-fingerprint", "schema-version"):
        found = existing.metadata.get(key, "missing")
        if found != wanted[key]:
            raise CommitConflict(
                f"{file}: the bucket holds another file (its {key} is {found}, ours is {wanted[key]})",
                hint="nothing was overwritten; compare with engine validate, then repair explicitly",
            )


def is_altered(info: ObjectInfo) -> bool:
    """Whether other bytes stand under the metadata of a commit: somebody overwrote or rewrote the object and kept what it says."""
    return info.metadata.get(CHECKSUM, info.crc32c) != info.crc32c


def _names(columns: Sequence[str]) -> str:
    """Names for metadata, escaped, as many as fit; the manifest has them all."""
    text = ",".join(quote(column, safe="") for column in columns)
    return text if len(text) <= NAMES_LIMIT else text[:NAMES_LIMIT].rpartition(",")[0]


def entry_of(file: File, info: ObjectInfo) -> Entry | None:
    """The manifest entry of a committed object out of its metadata, or None if it is not one of ours.

    This is how a resume learns what is done without fetching anything.
    """
    meta = info.metadata
    if "source-fingerprint" not in meta or meta.get("schema-version") != str(SCHEMA_VERSION) or is_altered(info):
        return None
    return Entry(
        symbol=file.symbol,
        outcome=Outcome.OK,
        rows=int(meta["rows"]),
        source_bytes=int(meta["source-length"]),
        object_bytes=info.size,
        generation=info.generation,
        crc32c=info.crc32c,
        fingerprint=meta["source-fingerprint"],
        first_us=int(meta["first-us"]) if meta.get("first-us") else None,
        last_us=int(meta["last-us"]) if meta.get("last-us") else None,
        covered_minutes=int(meta.get("minutes", 0)),
        flags=tuple(filter(None, meta.get("flags", "").split(","))),
        dropped_columns=tuple(map(unquote, filter(None, meta.get("dropped-columns", "").split(",")))),
    )


def is_there(store: Store, file: File, entry: Entry) -> bool:
    """Whether the object of an entry still lies where the entry says, unchanged: one request."""
    info = store.stat(entry.object or data_object(file))
    return info is not None and info.generation == entry.generation


def list_committed(store: Store, cell: Cell) -> dict[str, Entry]:
    """Entries of all files of a cell that are in the bucket, by symbol: one listing."""
    entries = {}
    for info in store.list(cell_prefix(cell)):
        try:
            file = parse_data_object(info.name)
        except UsageError:
            continue  # somebody else's object in our folder
        entry = entry_of(file, info)
        if entry is not None:
            entries[file.symbol] = entry
    return entries


def quarantine(store: Store, file: File, data: bytes, *, run: str, attempt: int, reason: str, detail: str) -> str:
    """Keep source bytes that cannot be trusted, with the reason; returns the object's name."""
    name = quarantine_object(file, run, attempt)
    metadata = {"reason": reason, "detail": detail[:1000].encode("ascii", "replace").decode()}
    try:
        store.put(name, data, if_generation=0, metadata=metadata, content_type="application/gzip")
    except AlreadyExists:
        pass
    return name
