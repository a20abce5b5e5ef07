"""Whether the definitions of instruments are there: one more row of coverage for each venue.

They are expected on every published day on which the venue lists anything. There is no manifest: the object itself is the proof,
create-once, and a listing of names and metadata shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime

from engine.catalogue import Catalogue
from engine.model import Cell, CellState, DayRange
from engine.paths import INSTRUMENTS_GLOB, instruments_range, parse_instruments_object
from engine.store import Store

INSTRUMENTS = "instruments"
"""Stands where a data type stands."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """The stored definitions of one venue and day."""

    rows: int
    """How many instruments; 0: an earlier version did not say."""
    written: datetime
    size: int
    generation: int


def list_definitions(data: Store, days: Iterable[DayRange]) -> dict[Cell, Definitions]:
    """What is stored of these stretches of days, from listings; the stretches in parallel."""
    pieces = list(days)
    if not pieces:
        return {}
    found: dict[Cell, Definitions] = {}
    with ThreadPoolExecutor(min(8, len(pieces))) as pool:
        for listed in pool.map(lambda piece: list(_list(data, piece)), pieces):
            found.update(listed)
    return found


def _list(data: Store, days: DayRange) -> Iterator[tuple[Cell, Definitions]]:
    start, end = instruments_range(days)
    for info in data.list("", start=start, end=end, glob=INSTRUMENTS_GLOB):
        day, venue = parse_instruments_object(info.name)
        yield Cell(day, INSTRUMENTS, venue), Definitions(int(info.metadata.get("rows", 0)), info.updated, info.size, info.generation)


def definition_states(
    days: DayRange, catalogues: Mapping[str, Catalogue], stored: Mapping[Cell, Definitions]
) -> Iterator[tuple[Cell, CellState, Definitions | None]]:
    """Venue by venue and day by day: whether definitions are expected, and there."""
    for venue, catalogue in catalogues.items():
        listed = listed_days(catalogue, days)
        for day in days:
            cell = Cell(day, INSTRUMENTS, venue)
            found = stored.get(cell)
            if day not in listed:
                yield cell, CellState.NOT_EXPECTED, found
            elif found is not None:
                yield cell, CellState.COMPLETE, found
            else:
                yield cell, CellState.MISSING if catalogue.is_published(day) else CellState.NOT_READY, None


def listed_days(catalogue: Catalogue, days: DayRange) -> frozenset[date]:
    """The days on which the venue lists anything at all: a sweep over the ends of its listings."""
    first, last = days.start.toordinal(), days.end.toordinal()
    steps = [0] * (len(days) + 1)
    for begin, end in {listing.days() for listing in catalogue.listings}:
        if begin <= last and end >= first and begin <= end:
            steps[max(begin, first) - first] += 1
            steps[min(end, last) - first + 1] -= 1
    found, depth = [], 0
    for place, step in enumerate(steps[:-1]):
        depth += step
        if depth:
            found.append(date.fromordinal(first + place))
    return frozenset(found)
