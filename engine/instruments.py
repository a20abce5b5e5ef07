"""What a venue offers, asked of the source and kept: its catalogue, and the definitions valid on each day.

Expectations of coverage come from the catalogue. The definitions are one Parquet object per venue and day, with the source's
answer verbatim beside it.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from datetime import date

from engine.catalogue import Catalogue, parse_catalogue, save_catalogue
from engine.clock import Clock, utc_now
from engine.errors import AlreadyExists
from engine.model import DayRange
from engine.paths import instruments_object, instruments_source_object
from engine.source import Source
from engine.store import Store

DEFINITIONS_VERSION = 1


async def fetch_catalogue(source: Source, venue: str, *, clock: Clock = utc_now) -> tuple[Catalogue, bytes]:
    """Ask the source what `venue` offers; returns the table and the verbatim answer.

    Raises:
        UsageError: if the source knows no such venue.
    """
    body = await source.exchange(venue)
    return parse_catalogue(venue, body, fetched=clock()), body


async def fetch_catalogues(source: Source, venues: Iterable[str], state: Store, *, clock: Clock = utc_now) -> dict[str, Catalogue]:
    """Ask for several venues and keep every answer in the state bucket."""
    found = {}
    for venue in venues:
        catalogue, body = await fetch_catalogue(source, venue, clock=clock)
        save_catalogue(state, catalogue, body)
        found[venue] = catalogue
    return found


def definitions(catalogue: Catalogue, day: date) -> bytes:
    """The definitions valid on a UTC day as Parquet: one row a symbol, sorted; the same bytes for the same catalogue and day."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    valid = sorted((item for item in catalogue.listings if item.overlaps(day)), key=lambda item: item.symbol)
    moment = pa.timestamp("us", tz="UTC")
    table = pa.table(
        {
            "venue": pa.array([catalogue.venue] * len(valid), pa.string()),
            "symbol": pa.array([item.symbol for item in valid], pa.string()),
            "kind": pa.array([item.kind for item in valid], pa.string()),
            "data_types": pa.array([list(item.data_types) for item in valid], pa.list_(pa.string())),
            "available_since": pa.array([item.since for item in valid], moment),
            "available_until": pa.array([item.until for item in valid], moment),
        }
    )
    table = table.replace_schema_metadata({"day": day.isoformat(), "schema_version": str(DEFINITIONS_VERSION)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def write_definitions(data: Store, catalogue: Catalogue, body: bytes, days: DayRange) -> tuple[int, int]:
    """Commit definitions for each day; returns (written, there before)."""
    written = before = 0
    for day in days:
        pieces = (
            (instruments_source_object(day, catalogue.venue), gzip.compress(body, 6, mtime=0), "application/gzip"),
            (instruments_object(day, catalogue.venue), definitions(catalogue, day), "application/vnd.apache.parquet"),
        )
        created = False
        for name, content, kind in pieces:
            try:
                data.put(name, content, if_generation=0, content_type=kind)
                created = True
            except AlreadyExists:
                continue
        written += created
        before += not created
    return written, before
