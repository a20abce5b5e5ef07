"""What a venue offers, asked of the source and kept: its catalogue, and the definitions valid on each day.

Expectations of coverage come from the catalogue. The definitions are one Parquet object per venue and day, with the source's
answers verbatim beside it. They are written once, for days that the source has published: what it lists for a day that still
goes on may yet change.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import islice

from engine.catalogue import Catalogue, parse_catalogue, save_catalogue
from engine.clock import Clock, utc_now
from engine.errors import AlreadyExists, UsageError
from engine.instruments.definitions import (
    DEFINITIONS_VERSION,
    Definer,
    Definition,
    differing_columns,
    encode_definitions,
    native_ids,
    parse_instruments,
)
from engine.model import Cell
from engine.paths import instruments_api_object, instruments_object, instruments_source_object
from engine.source import Source
from engine.spelling import nearest
from engine.store import Store

PARQUET = "application/vnd.apache.parquet"
GZIP = "application/gzip"
WRITERS = 8


async def fetch_catalogue(source: Source, venue: str, *, clock: Clock = utc_now) -> tuple[Catalogue, bytes]:
    """Ask the source what `venue` offers; returns the table and the verbatim answer.

    Raises:
        UsageError: if the source knows no such venue, with the nearest that it knows.
    """
    body = await ask_venue(source, venue)
    return parse_catalogue(venue, body, fetched=clock()), body


async def ask_venue(source: Source, venue: str) -> bytes:
    """What the source says about `venue`, verbatim.

    Raises:
        UsageError: if the source knows no such venue, with the nearest that it knows.
    """
    try:
        return await source.exchange(venue)
    except UsageError as error:
        known = [item["id"] for item in json.loads(await source.exchanges())]
        raise UsageError(str(error), hint=f"{nearest(venue, known, what='venues')} List all: engine instruments --list-venues") from error


async def fetch_catalogues(source: Source, venues: Iterable[str], state: Store, *, clock: Clock = utc_now) -> dict[str, Catalogue]:
    """Ask for several venues and keep every answer in the state bucket."""
    found = {}
    for venue in venues:
        catalogue, body = await fetch_catalogue(source, venue, clock=clock)
        save_catalogue(state, catalogue, body)
        found[venue] = catalogue
    return found


async def write_definitions(source: Source, cells: Iterable[Cell], data: Store, state: Store, *, clock: Clock = utc_now) -> int:
    """Write the definitions of some venues and days, create-once; returns how many were written, those that stood there left out."""
    days: dict[str, set[date]] = {}
    for cell in cells:
        days.setdefault(cell.venue, set()).add(cell.day)
    written = 0
    for venue, wanted in sorted(days.items()):
        answers = await fetch_answers(source, venue, clock=clock)
        save_catalogue(state, answers.catalogue, answers.exchange)
        written += sum(kept.written for kept in DefinitionWriter(data, answers).write_range(sorted(wanted)))
    return written


@dataclass(frozen=True, slots=True)
class Answers:
    """What the source said about a venue, verbatim, and the table made of it."""

    catalogue: Catalogue
    exchange: bytes
    """Of `GET /v1/exchanges/{venue}`."""
    instruments: bytes | None = None
    """Of `GET /v1/instruments/{venue}`; None where the key does not open it."""

    def definer(self) -> Definer:
        """What makes definitions of these answers.

        Raises:
            SourceError: if the answer of the instruments API cannot be read.
        """
        instruments = None if self.instruments is None else parse_instruments(self.catalogue.venue, self.instruments)
        return Definer(self.catalogue, instruments, native_ids(self.exchange))


async def fetch_answers(source: Source, venue: str, *, api: bool = True, clock: Clock = utc_now) -> Answers:
    """Ask for the venue's catalogue and, unless `api` is off, for its instruments.

    Raises:
        UsageError: if the source knows no such venue.
        SourceError: if the source cannot answer now. That the key does not open the instruments API is no error.
    """
    catalogue, body = await fetch_catalogue(source, venue, clock=clock)
    return Answers(catalogue, body, await source.instruments(venue) if api else None)


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of the definitions of one day."""

    day: date
    written: bool
    """False: they were there before, or the day is not published."""
    published: bool
    rows: tuple[Definition, ...]
    """As the source defines them now, whatever is stored."""
    differs: tuple[str, ...] = ()
    """Columns in which what is stored differs from `rows`. What is stored stays: it is written once."""


class DefinitionWriter:
    """Keeps the definitions of one venue in the data bucket, day by day."""

    def __init__(self, data: Store, answers: Answers) -> None:
        """
        Raises:
            SourceError: if the answer of the instruments API cannot be read.
        """
        self._data = data
        self._answers = answers
        self._definer = answers.definer()
        self._packed = {
            builder: gzip.compress(body, 6, mtime=0)
            for builder, body in ((instruments_source_object, answers.exchange), (instruments_api_object, answers.instruments))
            if body is not None
        }

    def write_range(self, days: Iterable[date]) -> Iterator[Kept]:
        """Commit day after day, several at once: each is three small objects, and the bucket may be far away."""
        waiting = iter(days)
        with ThreadPoolExecutor(WRITERS, thread_name_prefix="definitions") as pool:
            while batch := list(islice(waiting, WRITERS)):
                yield from pool.map(self.write, batch)

    def write(self, day: date) -> Kept:
        """Commit the definitions of a published day, create-once; compare with what is there already."""
        rows = self._definer.define(day)
        if not self._answers.catalogue.is_published(day):
            return Kept(day, written=False, published=False, rows=rows)
        name = instruments_object(day, self._answers.catalogue.venue)
        stored = self._data.get(name)
        if stored is None:
            rows = self._keep_answers(day).define(day)
            if self._create(name, encode_definitions(rows, day), PARQUET, rows=rows):
                return Kept(day, written=True, published=True, rows=rows)
            stored = self._data.get(name)
        differs = differing_columns(stored.data, encode_definitions(rows, day)) if stored is not None else ()
        return Kept(day, written=False, published=True, rows=rows, differs=differs)

    def _keep_answers(self, day: date) -> Definer:
        """Store the answers, and give the definer that belongs to what is stored.

        An earlier attempt may have ended between the answers and the definitions. Then its answers stay, and the definitions are
        made of them: the objects of a day speak of one moment.
        """
        venue = self._answers.catalogue.venue
        bodies = {}
        for builder, packed in self._packed.items():
            name = builder(day, venue)
            if self._create(name, packed, GZIP):
                continue
            found = self._data.get(name)
            if found is not None and found.data != packed:
                bodies[builder] = gzip.decompress(found.data)
        if not bodies:
            return self._definer
        exchange = bodies.get(instruments_source_object, self._answers.exchange)
        catalogue = parse_catalogue(venue, exchange, fetched=self._answers.catalogue.fetched)
        return Answers(catalogue, exchange, bodies.get(instruments_api_object, self._answers.instruments)).definer()

    def _create(self, name: str, content: bytes, kind: str, *, rows: tuple[Definition, ...] | None = None) -> bool:
        """Create an object; False if it is there already."""
        metadata = {} if rows is None else {"schema-version": str(DEFINITIONS_VERSION), "rows": str(len(rows))}
        try:
            self._data.put(name, content, if_generation=0, content_type=kind, metadata=metadata)
        except AlreadyExists:
            return False
        return True
