"""Which listings show all objects of many cells in few requests, and those objects sorted by cell.

A request shows a thousand objects in name order, and names begin with the day. So neighbouring days are listed together while that
costs fewer requests than a listing for each cell; a few cells out of a large lake are listed one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from engine.errors import ConfigurationError, EngineError, NotPermitted, UsageError
from engine.manifest import Summary
from engine.model import Cell, DayRange, Outcome
from engine.paths import cell_prefix, data_range, data_type_prefix, parse_data_object
from engine.store import ObjectInfo, Store

PAGE = 1000
"""Objects that one listing request shows."""

PIECE_PAGES = 5
"""A listing of so many pages is one piece of work."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Cells whose objects one listing shows."""

    cells: tuple[Cell, ...]
    prefix: str = ""
    start: str = ""
    end: str = ""


@dataclass(frozen=True, slots=True)
class ListedCell:
    """A cell with the objects that a listing shows of it."""

    cell: Cell
    objects: Mapping[str, ObjectInfo] = field(default_factory=dict)
    """In the cell's folder, by name."""
    others: Mapping[str, ObjectInfo] = field(default_factory=dict)
    """Of the same listing, at no place of ours: adopted ones are among them."""
    trouble: EngineError | None = None
    """Why it could not be listed."""


def plan_listings(
    days: DayRange, venues: Sequence[str], data_types: Sequence[str], manifests: Mapping[Cell, Sequence[Summary]]
) -> Iterator[Piece]:
    """Listings that together show all objects of days x venues x data types.

    Args:
        days: the days.
        venues: Tardis exchange ids.
        data_types: Tardis data types.
        manifests: all of these days, of whatever venue and data type: they say how many objects a listing of a day would show.
    """
    counts: Counter[date] = Counter()
    for cell, summaries in manifests.items():
        counts[cell.day] += sum(summary.counts.get(Outcome.OK, 0) for summary in summaries)
    for stretch in _stretches(days, counts):
        cells = tuple(Cell(day, data_type, venue) for day in stretch for data_type in data_types for venue in venues)
        if sum(counts[day] for day in stretch) // PAGE < len(cells):
            start, end = data_range(stretch)
            yield Piece(cells, start=start, end=end)
        else:
            yield from (Piece((cell,), prefix=_folder(cell, manifests.get(cell, ()))) for cell in cells)


def _stretches(days: DayRange, counts: Mapping[date, int]) -> Iterator[DayRange]:
    """Consecutive days with about `PIECE_PAGES` pages of objects."""
    start, objects = days.start, 0
    for day in days:
        objects += counts[day]
        if objects >= PIECE_PAGES * PAGE:
            yield DayRange(start, day)
            start, objects = day + timedelta(days=1), 0
    if start <= days.end:
        yield DayRange(start, days.end)


def _folder(cell: Cell, summaries: Sequence[Summary]) -> str:
    """What to list for one cell: adopted objects lie beside its folder."""
    adopted = any(summary.origin == "adopted" for summary in summaries)
    return data_type_prefix(cell.day, cell.data_type) if adopted else cell_prefix(cell)


def list_piece(data: Store, piece: Piece) -> list[ListedCell]:
    """List the objects of a piece, sorted by cell; a listing that fails leaves its cells with their trouble.

    Raises:
        NotPermitted, ConfigurationError: what is wrong with one listing is wrong with all.
    """
    found: dict[Cell, dict[str, ObjectInfo]] = {cell: {} for cell in piece.cells}
    others: dict[str, ObjectInfo] = {}
    try:
        for info in data.list(piece.prefix, start=piece.start, end=piece.end):
            cell = _cell_of(info.name)
            if cell is None:
                others[info.name] = info
            elif cell in found:
                found[cell][info.name] = info
    except (NotPermitted, ConfigurationError):
        raise
    except EngineError as error:
        return [ListedCell(cell, trouble=error) for cell in piece.cells]
    return [ListedCell(cell, objects, others) for cell, objects in found.items()]


def _cell_of(name: str) -> Cell | None:
    try:
        return parse_data_object(name).cell
    except UsageError:
        return None
