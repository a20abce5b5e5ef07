"""Is a day in yet? Venue by venue: whether the source has published it, since when we know, and how far the lake is with it.

The source does not say when it published a day. The first catalogue that says so is the earliest moment we can name, and the last
one before it bounds it from below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from engine.catalogue import PUBLISHED_AT_HOUR, Catalogue, due, list_catalogues, load_catalogue_table
from engine.coverage import NOT_DUE, CellReport, Coverage
from engine.model import Cell, CellState
from engine.store import Store

LOOK_BACK = timedelta(hours=PUBLISHED_AT_HOUR)
"""Catalogues from so long before a day is due are asked."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One venue's day."""

    venue: str
    day: date
    state: CellState
    """The worst of its data types."""
    published: bool
    due: datetime
    seen: datetime | None = None
    """The first catalogue that has the day as published; None: it is not, or no catalogue of that time is left."""
    counts: Mapping[CellState, int] = field(default_factory=dict)
    """Data types by state, those that are not expected left out."""

    @property
    def is_in(self) -> bool:
        """Whether nothing of it is missing."""
        return self.published and self.state in (CellState.COMPLETE, CellState.THIN)


def arrivals_of(
    coverage: Coverage, day: date, catalogues: Mapping[str, Catalogue], seen: Mapping[str, datetime] | None = None
) -> tuple[Arrival, ...]:
    """How each venue of a coverage stands with one of its days, worst first.

    Args:
        coverage: Holds the day.
        day: UTC.
        catalogues: venue -> what it offers.
        seen: venue -> when the day was first known to be published.
    """
    order = list(CellState)
    found = []
    for venue in dict.fromkeys(venue for venue, _ in coverage.rows):
        reports = [coverage.report(Cell(day, data_type, venue)) for of, data_type in coverage.rows if of == venue]
        expected = [report for report in reports if report.state is not CellState.NOT_EXPECTED]
        if expected:
            found.append(_arrival(venue, day, expected, catalogues[venue], (seen or {}).get(venue)))
    return tuple(sorted(found, key=lambda each: (each.is_in, -order.index(each.state), each.venue)))


def _arrival(venue: str, day: date, reports: Sequence[CellReport], catalogue: Catalogue, seen: datetime | None) -> Arrival:
    counts = Counter(report.state for report in reports)
    order = list(CellState)
    worst = max((state for state in counts if state not in NOT_DUE), key=order.index, default=CellState.NOT_READY)
    return Arrival(venue, day, worst, catalogue.is_published(day), due(day), seen, dict(counts))


def first_seen(state: Store, venue: str, day: date) -> datetime | None:
    """When we first knew that the venue's day was published: the first catalogue of that time that says so.

    Reads the tables since shortly before the day was due, oldest first, and stops at the first that has it.
    """
    since = due(day) - LOOK_BACK
    for fetched, name in list_catalogues(state, venue):
        if fetched < since:
            continue
        table = load_catalogue_table(state, name)
        if table is not None and table.is_published(day):
            return fetched
    return None
