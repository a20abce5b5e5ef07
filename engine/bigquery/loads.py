"""The record of what was loaded: one create-once document for each load, so that coverage knows the layer without asking BigQuery.

Its metadata says enough to judge by a listing: the newest record of a table and day is what its partition holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import msgspec

from engine import __version__
from engine.documents import JSON, Moment, decode, encode
from engine.errors import AlreadyExists
from engine.manifest import MANY, METADATA_VALUE_LIMIT
from engine.model import DayRange
from engine.paths import LoadName, load_object, load_range, parse_load_object
from engine.store import ObjectInfo, Store

if TYPE_CHECKING:
    from engine.bigquery.contents import TableDay


class VenueLoad(msgspec.Struct, frozen=True):
    """What one venue has in a load."""

    objects: int
    rows: int
    content: str
    """`engine.bigquery.contents.content_of_venue`: the same as long as the lake's objects are the same."""
    manifests: str = ""
    """Stands for the manifests that said so (`identify_manifests`): as long as a listing shows the same ones, nothing has changed."""


@dataclass(frozen=True, slots=True)
class VenueMark:
    """A `VenueLoad` as a record's metadata tells it."""

    content: str
    manifests: str


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One load job that is done and whose rows were counted."""

    schema: int = 1
    project: str
    location: str
    dataset: str
    table: str
    day: date
    job: str
    content: str
    """`TableDay.content`."""
    rows: int
    objects: int
    bytes: int
    venues: dict[str, VenueLoad]
    loaded: Moment
    """When the job ended, as BigQuery says it, UTC."""
    engine_version: str = __version__


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """A record as its metadata tells it."""

    name: LoadName
    content: str
    rows: int
    objects: int
    venues: Mapping[str, VenueMark] | None
    """By venue; None if they did not fit and the body was not opened."""
    loaded: datetime
    generation: int


def load_of(day: TableDay, *, project: str, location: str, dataset: str, job: str, loaded: datetime) -> Load:
    """The record of a day that was loaded."""
    venues = {}
    for venue in day.venues:
        objects = [each for each in day.objects if each.venue == venue]
        venues[venue] = VenueLoad(len(objects), sum(each.rows for each in objects), day.content_of(venue), day.manifests.get(venue, ""))
    return Load(
        project=project,
        location=location,
        dataset=dataset,
        table=day.table.name,
        day=day.day,
        job=job,
        content=day.content,
        rows=day.rows,
        objects=len(day.objects),
        bytes=day.bytes,
        venues=venues,
        loaded=loaded,
    )


def write_load(state: Store, load: Load) -> str:
    """Keep a record; one that is there already stays. Returns its name."""
    name = load_object(LoadName(load.day, load.dataset, load.table, load.job))
    venues = ",".join(f"{venue}={each.content}:{each.manifests}" for venue, each in sorted(load.venues.items()))
    metadata = {
        "content": load.content,
        "rows": str(load.rows),
        "objects": str(load.objects),
        "venues": venues if len(venues) <= METADATA_VALUE_LIMIT else MANY,
        "loaded": load.loaded.isoformat(),
    }
    try:
        state.put(name, encode(load), if_generation=0, metadata=metadata, content_type=JSON)
    except AlreadyExists:
        return name
    return name


def summarize_load(info: ObjectInfo) -> LoadSummary:
    """Read a record's metadata as a listing gives it."""
    meta = info.metadata
    venues = meta.get("venues", "")
    return LoadSummary(
        name=parse_load_object(info.name),
        content=meta.get("content", ""),
        rows=int(meta.get("rows", 0)),
        objects=int(meta.get("objects", 0)),
        venues=None if venues == MANY else dict(map(_venue_mark, filter(None, venues.split(",")))),
        loaded=datetime.fromisoformat(meta["loaded"]),
        generation=info.generation,
    )


def _venue_mark(part: str) -> tuple[str, VenueMark]:
    venue, _, marks = part.partition("=")
    content, _, manifests = marks.partition(":")
    return venue, VenueMark(content, manifests)


def newest_loads(state: Store, days: DayRange, dataset: str = "") -> dict[tuple[str, date], LoadSummary]:
    """(table, day) -> the record of what its partition holds, from listings, and bodies only where the venues did not fit.

    Args:
        state: the state bucket.
        days: the UTC days.
        dataset: only of this one; empty: of all, where the newest wins.
    """
    start, end = load_range(days)
    found: dict[tuple[str, date], LoadSummary] = {}
    for info in state.list("loads/by_date/", start=start, end=end):
        summary = summarize_load(info)
        if dataset and summary.name.dataset != dataset:
            continue
        key = (summary.name.table, summary.name.day)
        held = found.get(key)
        if held is None or (summary.loaded, summary.generation) > (held.loaded, held.generation):
            found[key] = summary
    return {key: summary if summary.venues is not None else _opened(state, summary) for key, summary in found.items()}


def _opened(state: Store, summary: LoadSummary) -> LoadSummary:
    """With the venues out of the body."""
    name = load_object(summary.name)
    body = state.get(name)
    venues = {} if body is None else decode(body.data, Load, name=name).venues
    return replace(summary, venues={venue: VenueMark(each.content, each.manifests) for venue, each in venues.items()})
