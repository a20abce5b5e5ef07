"""What a venue offers, as the source said it, and what follows from that: which symbols are expected on which day.

The source's answer is kept verbatim; beside it stands a compact table, because a venue may list 300,000 options. Expectation is a
matter of intervals: a symbol is expected on every UTC day that overlaps [since, until).
"""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from engine.datatypes import GROUPED_SYMBOLS
from engine.documents import JSON, Moment, decode, encode_compact
from engine.errors import AlreadyExists, SourceError
from engine.model import day_start, require_aware
from engine.paths import (
    catalogue_prefix,
    catalogue_source_object,
    catalogue_table_object,
    parse_catalogue_table_object,
)
from engine.store import Store

GROUPED_BY_DEFAULT = {"options_chain": "OPTIONS"}
"""Where the grouped file is what we expect, and then not the single symbols: everything else would be bought twice."""

PUBLISHED_AT_HOUR = 6
"""UTC hour of the next day at which the source usually publishes a day (Tardis docs, "Downloadable CSV files")."""


_TICK = timedelta(microseconds=1)


class Listing(msgspec.Struct, frozen=True, array_like=True):
    """One dataset symbol."""

    symbol: str
    kind: str
    """`spot`, `future`, `perpetual`, `option`, `combo`, `prediction`."""
    data_types: tuple[str, ...]
    since: Moment
    until: Moment | None = None
    """Exclusive; None while it trades."""

    def overlaps(self, day: date) -> bool:
        """Whether it was listed for any part of that UTC day."""
        start = day_start(day)
        return self.since < start + timedelta(days=1) and (self.until is None or self.until > start)

    def days(self) -> tuple[int, int]:
        """Ordinals of the first and the last UTC day that it overlaps."""
        last = date.max if self.until is None else _utc(self.until) - _TICK
        return _utc(self.since).toordinal(), last.toordinal()


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


class Incident(msgspec.Struct, frozen=True, array_like=True):
    """A time in which the source's own capture had trouble."""

    start: Moment
    end: Moment
    status: str
    details: str

    def overlaps(self, day: date) -> bool:
        """Whether it touches that UTC day."""
        start = day_start(day)
        return self.start < start + timedelta(days=1) and self.end > start


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """The compact table of one venue."""

    schema: int = 1
    venue: str
    fetched: Moment
    published_until: Moment
    """Exclusive: a UTC day is published when it ends at or before this moment."""
    listings: tuple[Listing, ...]
    incidents: tuple[Incident, ...] = ()

    @property
    def object_name(self) -> str:
        """Where this table is stored."""
        return catalogue_table_object(self.venue, self.fetched)

    def is_published(self, day: date) -> bool:
        """Whether the source has published that UTC day as a whole."""
        return day_start(day) + timedelta(days=1) <= self.published_until

    def data_types(self) -> frozenset[str]:
        """All data types that any symbol ever had."""
        return frozenset(data_type for listing in self.listings for data_type in listing.data_types)

    def expected(self, data_type: str, day: date) -> frozenset[str]:
        """Symbols that must have an outcome for this cell to be complete; empty where the venue offers nothing."""
        grouped = GROUPED_BY_DEFAULT.get(data_type)
        single: set[str] = set()
        for listing in self.listings:
            if data_type in listing.data_types and listing.overlaps(day):
                if listing.symbol == grouped:
                    return frozenset((grouped,))
                if listing.symbol not in GROUPED_SYMBOLS:
                    single.add(listing.symbol)
        return frozenset(single)

    def listed(self, data_type: str, day: date) -> frozenset[str]:
        """Every id the venue lists for this cell, grouped ones included."""
        return frozenset(listing.symbol for listing in self.listings if data_type in listing.data_types and listing.overlaps(day))

    def has_incident(self, day: date) -> bool:
        """Whether an incident report overlaps that UTC day."""
        return any(incident.overlaps(day) for incident in self.incidents)


def due(day: date) -> datetime:
    """When the source is expected to publish a day."""
    return day_start(day) + timedelta(days=1, hours=PUBLISHED_AT_HOUR)


def parse_catalogue(venue: str, body: bytes, *, fetched: datetime) -> Catalogue:
    """Read the answer of `GET /v1/exchanges/{venue}`.

    Raises:
        SourceError: naming the venue and the field that is missing or wrong.
    """
    try:
        answer: dict[str, Any] = msgspec.json.decode(body)
        datasets = answer.get("datasets") or {}
        common = tuple(datasets.get("dataTypes") or ())
        return Catalogue(
            venue=venue,
            fetched=require_aware(fetched),
            published_until=_moment(datasets["exportedUntil"]),
            listings=tuple(
                Listing(
                    symbol=item["id"],
                    kind=item.get("type", ""),
                    data_types=tuple(item.get("dataTypes") or common),
                    since=_moment(item["availableSince"]),
                    until=_moment(item["availableTo"]) if item.get("availableTo") else None,
                )
                for item in datasets["symbols"]
            ),
            incidents=tuple(_incident(item, fetched=fetched) for item in answer.get("incidentReports") or ()),
        )
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise SourceError(
            f"the source's answer about venue {venue} cannot be read: {type(error).__name__} {error}",
            hint="see the verbatim answer in the state bucket under catalogue/",
        ) from error


def _incident(item: dict[str, Any], *, fetched: datetime) -> Incident:
    """An incident report. One without an end still goes on: it lasts until the source was asked, and longer in the next catalogue."""
    start = _moment(item["from"])
    end = _moment(item["to"]) if item.get("to") else max(start, require_aware(fetched))
    return Incident(start, end, item.get("status", ""), item.get("details", ""))


def _moment(text: str) -> datetime:
    """A time of the source; where it leaves out the zone or the time of day it means UTC and midnight."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def save_catalogue(store: Store, catalogue: Catalogue, body: bytes) -> str:
    """Keep the verbatim answer and the table; returns the table's object name."""
    pieces = (
        (catalogue_source_object(catalogue.venue, catalogue.fetched), body),
        (catalogue.object_name, encode_compact(catalogue)),
    )
    for name, data in pieces:
        try:
            store.put(name, gzip.compress(data, 6, mtime=0), if_generation=0, content_type=JSON)
        except AlreadyExists:
            continue
    return catalogue.object_name


def load_catalogue(store: Store, venue: str) -> Catalogue | None:
    """The newest table of a venue, or None if the venue was never asked for."""
    found = list_catalogues(store, venue)
    return load_catalogue_table(store, found[-1][1]) if found else None


def list_catalogues(store: Store, venue: str) -> tuple[tuple[datetime, str], ...]:
    """When the venue was asked about, UTC, and the names of the tables; oldest first."""
    names = [info.name for info in store.list(catalogue_prefix(venue)) if info.name.endswith(".table.json.gz")]
    return tuple(sorted((parse_catalogue_table_object(name)[1], name) for name in names))


def load_catalogue_table(store: Store, name: str) -> Catalogue | None:
    """A table by its object name."""
    found = store.get(name)
    return None if found is None else decode(gzip.decompress(found.data), Catalogue, name=name)


def list_venues(store: Store) -> tuple[str, ...]:
    """Venues that have a catalogue in this state bucket."""
    return tuple(folder.split("venue-", 1)[1].rstrip("/") for folder in store.list_folders("catalogue/"))
