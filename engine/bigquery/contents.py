"""What a table is to hold of a day, as manifests tell it: which objects, how many rows. The name of the load job follows from that."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from engine.bigquery.tables import LakeTable
from engine.inventory import Inventory
from engine.manifest import Entry, Summary
from engine.model import Cell, DayRange, File, Outcome
from engine.paths import candle_object, candle_prefix, cell_prefix, data_object
from engine.plan import CANDLES
from engine.store import Store
from engine.validation.verification import identify_manifests

READERS = 16
"""Cells whose manifests are read at once."""

MOST_URIS = 10_000
"""Of one load job ("Quotas and limits", load jobs). A day with more objects is named by its folders."""


@dataclass(frozen=True, slots=True, order=True)
class LakeObject:
    """One Parquet object that goes into a table."""

    name: str
    venue: str
    bytes: int
    generation: int
    crc32c: str
    rows: int


@dataclass(frozen=True)
class TableDay:
    """One table on one UTC day: the unit of loading. Its partition is replaced as a whole."""

    table: LakeTable
    day: date
    bucket: str
    objects: tuple[LakeObject, ...]
    """By name."""
    manifests: Mapping[str, str] = field(default_factory=dict)
    """Venue -> what stands for the manifests that say so."""

    def __str__(self) -> str:
        return f"{self.table.name} {self.day}"

    @property
    def rows(self) -> int:
        """How many rows manifests say these objects have."""
        return sum(each.rows for each in self.objects)

    @property
    def bytes(self) -> int:
        """Of the objects."""
        return sum(each.bytes for each in self.objects)

    @property
    def venues(self) -> tuple[str, ...]:
        """Whose objects they are, sorted."""
        return tuple(sorted({each.venue for each in self.objects}))

    @cached_property
    def content(self) -> str:
        """32 hex digits that stand for the table, the day and every object with its generation and checksum."""
        return _digest([self.bucket, self.table.name, self.day.isoformat()], self.objects)[:32]

    def content_of(self, venue: str) -> str:
        """16 hex digits that stand for what one venue has in it."""
        return content_of_venue(each for each in self.objects if each.venue == venue)

    def folder(self, venue: str) -> str:
        """Where a venue's objects are."""
        if self.table.layer == "candles":
            return candle_prefix(self.day, self.table.source, venue)
        return cell_prefix(Cell(self.day, self.table.source, venue))

    @property
    def uris(self) -> tuple[str, ...]:
        """What the load job is given."""
        if len(self.objects) > MOST_URIS:
            return self.folder_uris
        return tuple(f"gs://{self.bucket}/{each.name}" for each in self.objects)

    @property
    def folder_uris(self) -> tuple[str, ...]:
        """One URI for each venue, with a wildcard."""
        return tuple(f"gs://{self.bucket}/{self.folder(venue)}*.parquet" for venue in self.venues)


def content_of_venue(objects: Iterable[LakeObject]) -> str:
    """16 hex digits that stand for a venue's objects of one table and day, whatever their order."""
    return _digest([], sorted(objects))[:16]


def _digest(head: list[str], objects: Iterable[LakeObject]) -> str:
    lines = [*head, *(f"{each.name} {each.generation} {each.crc32c}" for each in objects)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Contents:
    """What the lake has for some tables on some days."""

    days: tuple[TableDay, ...]
    """By table and day; those without an object are left out."""
    strange: int = 0
    """Files that were adopted from the system before: they have other columns, and stay out."""
    venues: frozenset[str] = field(default_factory=frozenset)
    """All that have something there, whether asked for or not."""


def read_contents(
    inventory: Inventory,
    data: Store,
    tables: Collection[LakeTable],
    days: DayRange,
    *,
    venues: Collection[str] = (),
    kept: Mapping[tuple[str, date], Collection[str]] | None = None,
) -> Contents:
    """Read the manifests of a range, 16 cells at a time.

    Args:
        inventory: the state bucket.
        data: the data bucket.
        tables: the tables, all of one layer.
        days: the UTC days.
        venues: only these; empty: all.
        kept: table and day -> venues that the partition holds already: they stay in it, whatever `venues` says.
    """
    types = {CANDLES if table.layer == "candles" else table.source for table in tables}
    listed: dict[Cell, list[Summary]] = defaultdict(list)
    for summary in inventory.summaries(days):
        if summary.name.cell.data_type in types:
            listed[summary.name.cell].append(summary)
    held = [cell for cell, summaries in listed.items() if any(summary.counts.get(Outcome.OK) for summary in summaries)]
    cells = sorted(held, key=lambda cell: (cell.day, cell.data_type, cell.venue))
    wanted = [cell for cell in cells if not venues or cell.venue in venues or _is_kept(cell, tables, kept or {})]
    with ThreadPoolExecutor(READERS) as pool:
        opened = list(zip(wanted, pool.map(inventory.open_cell, wanted), strict=True))
    found: dict[tuple[str, date], list[LakeObject]] = defaultdict(list)
    strange = 0
    for cell, records in opened:
        for symbol, record in records.items():
            if record.entry.outcome is not Outcome.OK:
                continue
            if record.entry.object:
                strange += 1
                continue
            for table in tables:
                if not venues or cell.venue in venues or cell.venue in (kept or {}).get((table.name, cell.day), ()):
                    found[(table.name, cell.day)] += objects_of(table, cell, symbol, record.entry)
    return Contents(
        tuple(
            TableDay(table, day, data.bucket, tuple(sorted(found[(table.name, day)])), _manifests(table, day, listed))
            for table in tables
            for day in days
            if found.get((table.name, day))
        ),
        strange,
        frozenset(cell.venue for cell in cells),
    )


def _is_kept(cell: Cell, tables: Iterable[LakeTable], kept: Mapping[tuple[str, date], Collection[str]]) -> bool:
    return any(cell.venue in kept.get((table.name, cell.day), ()) for table in tables)


def _manifests(table: LakeTable, day: date, listed: Mapping[Cell, Sequence[Summary]]) -> dict[str, str]:
    data_type = CANDLES if table.layer == "candles" else table.source
    return {
        cell.venue: identify_manifests([summary.generation for summary in summaries])
        for cell, summaries in listed.items()
        if (cell.day, cell.data_type) == (day, data_type)
    }


def objects_of(table: LakeTable, cell: Cell, symbol: str, entry: Entry) -> list[LakeObject]:
    """The objects of one entry of a manifest that go into a table."""
    if entry.outcome is not Outcome.OK:
        return []
    if table.layer == "ticks":
        if cell.data_type != table.source:
            return []
        name = data_object(File(cell, symbol))
        return [LakeObject(name, cell.venue, entry.object_bytes, entry.generation, entry.crc32c, entry.rows)]
    rows = table.rows_of_object or 0
    return [
        LakeObject(candle_object(cell.day, part.timeframe, cell.venue, symbol), cell.venue, part.bytes, part.generation, part.crc32c, rows)
        for part in entry.parts
        if part.timeframe == table.source
    ]
