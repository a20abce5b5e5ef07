"""Manifests: the committed record of outcomes for a cell by one shard attempt. A file counts as done only when one says so.

The object's custom metadata carries what coverage needs, so that years of cells are judged from listings; the body is read only
where a cell has several manifests, or a person opens it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from functools import cache
from typing import Any, Literal, cast

import msgspec

from engine.documents import JSON, Moment, convert, decode, encode, hash_symbols
from engine.errors import AlreadyExists
from engine.model import Cell, Outcome
from engine.paths import ManifestName, manifest_object, manifest_prefix, parse_manifest_object
from engine.store import ObjectInfo, Store

METADATA_VALUE_LIMIT = 3_500
"""Bytes of one metadata value that we fill at most (the bucket allows 4 KiB)."""

MANY = "*"
"""Stands for a list of ids that does not fit into metadata: open the body."""


Origin = Literal["committed", "adopted", "waived"]
"""What a manifest records: files that a worker committed, objects found in the bucket from before Tickdeck, or what a person said."""


class Part(msgspec.Struct, frozen=True):
    """One of several objects that belong to one entry: the candles of one timeframe."""

    timeframe: str
    bytes: int
    generation: int
    crc32c: str


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What became of one file, with its proof."""

    symbol: str
    outcome: Outcome
    reason: str = ""
    """A code of `engine.conversion.convert.Reason` or of `engine.source.Reason`; empty where the outcome says it all."""
    detail: str = ""
    rows: int = 0
    source_bytes: int = 0
    object_bytes: int = 0
    generation: int = 0
    """Generation of the data object in the bucket."""
    crc32c: str = ""
    """Of the data object, base64 as the bucket reports it."""
    fingerprint: str = ""
    object: str = ""
    """Name of the data object where it is not the one that `engine.paths.data_object` builds (adopted files)."""
    first_us: int | None = None
    """Smallest `local_timestamp`, microseconds since the epoch, UTC."""
    last_us: int | None = None
    covered_minutes: int = 0
    """How many UTC minutes of the day have rows."""
    flags: tuple[str, ...] = ()
    """What is odd but real, e.g. "backward_local_timestamp"."""
    dropped_columns: tuple[str, ...] = ()
    """Columns the source sent that the schema does not know; they are not in the object."""
    parts: tuple[Part, ...] = ()
    """Of candles: their objects, one for each timeframe. `generation` is then the newest of them."""
    inputs: tuple[str, ...] = ()
    """Of candles: the data types they were made of."""
    requests: int = 0
    """GETs sent for it in this attempt; 0 where it was committed before."""
    status: int = 0
    """Last HTTP status, 0 where none came."""
    seconds: float = 0.0


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one shard attempt for one cell."""

    schema: int = 1
    day: date
    data_type: str
    venue: str
    run: str
    shard: int
    attempt: int
    vm: str
    written: Moment
    open: bool
    """True if the attempt stopped before every file of the cell in this shard had an outcome."""
    engine_version: str
    origin: Origin = "committed"
    catalogue: str
    """The catalogue object that said what to expect, or "" where symbols were given by hand."""
    entries: tuple[Entry, ...]

    @property
    def cell(self) -> Cell:
        """The cell it speaks of."""
        return Cell(self.day, self.data_type, self.venue)


class Summary(msgspec.Struct, frozen=True):
    """A manifest as its metadata tells it, without the body."""

    name: ManifestName
    generation: int
    written: Moment
    open: bool
    counts: Mapping[Outcome, int]
    symbols_hash: str
    rows: int
    source_bytes: int
    object_bytes: int
    covered_minutes: int
    """Fewest covered minutes among the files with rows; 0 if there is none."""
    empty_symbols: tuple[str, ...] | None
    """None if they did not fit: open the body."""
    catalogue: str
    origin: Origin = "committed"


def metadata_of(manifest: Manifest) -> dict[str, str]:
    """The custom metadata to store beside the body."""
    counts = Counter(entry.outcome for entry in manifest.entries)
    empty = ",".join(sorted(entry.symbol for entry in manifest.entries if entry.outcome is Outcome.EMPTY))
    minutes = [entry.covered_minutes for entry in manifest.entries if entry.outcome is Outcome.OK]
    return {
        "open": str(int(manifest.open)),
        "counts": ",".join(f"{outcome}:{counts[outcome]}" for outcome in Outcome if counts[outcome]),
        "symbols": hash_symbols(entry.symbol for entry in manifest.entries),
        "rows": str(sum(entry.rows for entry in manifest.entries)),
        "source-bytes": str(sum(entry.source_bytes for entry in manifest.entries)),
        "object-bytes": str(sum(entry.object_bytes for entry in manifest.entries)),
        "minutes": str(min(minutes, default=0)),
        "empty": empty if len(empty.encode()) <= METADATA_VALUE_LIMIT else MANY,
        "catalogue": manifest.catalogue,
        "origin": manifest.origin,
    }


def summarize(info: ObjectInfo) -> Summary:
    """Read a manifest's metadata as a listing gives it.

    Raises:
        UsageError: if the object's name is no manifest's.
    """
    meta = info.metadata
    empty = meta.get("empty", "")
    return Summary(
        name=parse_manifest_object(info.name),
        generation=info.generation,
        written=info.updated,
        open=meta.get("open") == "1",
        counts=_read_counts(meta.get("counts", "")),
        symbols_hash=meta.get("symbols", ""),
        rows=int(meta.get("rows", 0)),
        source_bytes=int(meta.get("source-bytes", 0)),
        object_bytes=int(meta.get("object-bytes", 0)),
        covered_minutes=int(meta.get("minutes", 0)),
        empty_symbols=None if empty == MANY else tuple(empty.split(",")) if empty else (),
        catalogue=meta.get("catalogue", ""),
        origin=_read_origin(meta.get("origin", "committed")),
    )


@cache
def _read_counts(text: str) -> Mapping[Outcome, int]:
    """Most manifests of a lake say one of a few things; whoever gets it must not change it."""
    parts = (part.partition(":") for part in text.split(",") if part)
    return {Outcome(outcome): int(count) for outcome, _, count in parts}


@cache
def _read_origin(text: str) -> Origin:
    origin: Origin = convert(text, cast("Any", Origin))
    return origin


def write_manifest(store: Store, manifest: Manifest) -> str:
    """Commit a manifest; returns the object's name.

    An open record of the same attempt may already stand there, or an earlier one of a restarted process: the next free
    sequence number is taken, nothing is overwritten.
    """
    sequence = 0
    while True:
        name = manifest_object(ManifestName(manifest.cell, manifest.run, manifest.shard, manifest.attempt, sequence))
        try:
            store.put(name, encode(manifest), if_generation=0, metadata=metadata_of(manifest), content_type=JSON)
        except AlreadyExists:
            existing = store.get(name)
            if existing is not None and existing.data == encode(manifest):
                return name
            sequence += 1
        else:
            return name


class Record(msgspec.Struct, frozen=True):
    """An entry together with the manifest it stands in."""

    entry: Entry
    manifest: Manifest
    generation: int
    """Server generation of the manifest object: the order of records."""

    @property
    def is_adopted(self) -> bool:
        """Whether the object was found in the bucket from before Tickdeck, whoever recorded it."""
        return self.manifest.origin == "adopted" or bool(self.entry.object)

    @property
    def is_withdrawal(self) -> bool:
        """Whether it says only that the file is not waived any more: nobody has tried it."""
        return self.manifest.origin == "waived" and self.entry.outcome is not Outcome.WAIVED


def merge(manifests: Iterable[tuple[Manifest, int]]) -> dict[str, Record]:
    """One record per symbol out of (manifest, server generation) pairs of one cell.

    An `ok` wins over anything else (data is never overwritten). Among several, one that was committed wins over one that was
    adopted, then the newest object generation; among the rest the newest record. A waiver that was withdrawn leaves what was known
    without it: the record of the last attempt, or nothing but its withdrawal. Any order and any duplication of the input give the
    same answer.
    """
    attempts: dict[str, Record] = {}
    waivers: dict[str, Record] = {}
    for manifest, generation in manifests:
        for entry in manifest.entries:
            # A worker repeats in its own manifest that a file is waived.
            best = waivers if manifest.origin == "waived" or entry.outcome is Outcome.WAIVED else attempts
            record = Record(entry, manifest, generation)
            held = best.get(entry.symbol)
            if held is None or _outranks(record, held):
                best[entry.symbol] = record
    for symbol, waiver in waivers.items():
        known = attempts.get(symbol)
        if known is None or (not waiver.is_withdrawal and _outranks(waiver, known)):
            attempts[symbol] = waiver
    return dict(sorted(attempts.items()))


def _outranks(record: Record, other: Record) -> bool:
    rank, against = _rank(record), _rank(other)
    # Two objects may carry the same generation: then the content decides, so that no order of reading does.
    return rank > against if rank != against else _content(record) > _content(other)


def _rank(record: Record) -> tuple[bool, bool, int, int]:
    done = record.entry.outcome is Outcome.OK
    return done, done and not record.is_adopted, record.entry.generation if done else record.generation, record.generation


def _content(record: Record) -> tuple[str, str, int, int, str, datetime]:
    manifest = record.manifest
    return repr(record.entry), manifest.run, manifest.shard, manifest.attempt, manifest.vm, manifest.written


def list_summaries(store: Store, *, prefix: str | None = None, start: str = "", end: str = "") -> list[Summary]:
    """All manifests whose object names lie in [start, end), from listings alone."""
    listing = store.list(prefix if prefix is not None else "manifests/by_date/", start=start, end=end)
    return [summarize(info) for info in listing]


def recorded_outcomes(store: Store, run: str, shard: int, cells: Iterable[Cell]) -> Counter[Outcome]:
    """How many files of a shard ended in which outcome, by the last manifest that the run wrote of each cell: from listings alone."""
    counts: Counter[Outcome] = Counter()
    with ThreadPoolExecutor(16) as pool:
        for summaries in pool.map(lambda cell: list_summaries(store, prefix=manifest_prefix(cell)), cells):
            ours = [summary for summary in summaries if (summary.name.run, summary.name.shard) == (run, shard)]
            if ours:
                counts.update(max(ours, key=lambda summary: (summary.name.attempt, summary.name.sequence)).counts)
    return counts


def read_manifest(store: Store, name: str) -> tuple[Manifest, int] | None:
    """A manifest and its server generation, or None if there is none under that name."""
    found = store.get(name)
    return None if found is None else (decode(found.data, Manifest, name=name), found.generation)


def read_cell(store: Store, cell: Cell) -> dict[str, Record]:
    """What all manifests of a cell say together, by symbol."""
    found = (read_manifest(store, info.name) for info in store.list(manifest_prefix(cell)))
    return merge(item for item in found if item is not None)
