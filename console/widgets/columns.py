"""The columns of a table: what a cell may hold, what a column wants of the width, and how the width is shared out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from console.widgets.tones import Tone

RowT = TypeVar("RowT", bound=Hashable)

EXTRA = 10
"""Columns from this rank on are shown only after the others are comfortable."""


@dataclass(frozen=True, slots=True)
class Toned:
    """Text with a tone."""

    text: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Gauge:
    """A bar with a figure at its right, as wide as the column."""

    fraction: float
    label: str
    tick: float | None = None
    """A line across the bar, as a fraction of its width."""


Cell = str | Toned | Gauge
"""What a column holds; plain text has the plain tone. The table cuts and pads it to the column."""


@dataclass(frozen=True, slots=True)
class Column(Generic[RowT]):
    """A column, and what it wants of the width. Low ranks come first when it is shared out: see `share_width`."""

    title: str
    cell: Callable[[RowT], Cell]
    minimum: int
    comfort: int = 0
    """Width it gets before columns of the rank `EXTRA` and up are let in; 0: the minimum."""
    maximum: int = 0
    """Width it takes when there is room to spare; 0: it does not grow further."""
    rank: int = 0
    right: bool = False
    keep_end: bool = False
    """Cut long text at its beginning."""
    sort: Callable[[RowT], Any] | None = None
    """What rows are sorted by when this column is chosen, ascending at first; rows of which it is None stay last. None: it cannot be."""
    descending: bool = False
    """Begin with the largest: of rates and costs a person asks for the most."""


def sort_rows(rows: tuple[RowT, ...], column: Column[RowT] | None, *, reverse: bool) -> tuple[RowT, ...]:
    """Rows in the order of a column; those of which nothing is known stay last. None, or a column without order: as they are."""
    if column is None or column.sort is None:
        return rows
    value = column.sort
    known = [row for row in rows if value(row) is not None]
    unknown = [row for row in rows if value(row) is None]
    return (*sorted(known, key=value, reverse=reverse), *unknown)


def share_width(columns: Sequence[Column[RowT]], width: int, gap: int = 1) -> list[tuple[Column[RowT], int]]:
    """Which columns fit into `width` cells with `gap` blanks between two, and how wide each is.

    By rank: first each at its minimum while it fits, then comfort, then the extra columns, then what is left over up to
    each one's maximum. Columns that do not fit at their minimum are left out.
    """
    order = sorted(range(len(columns)), key=lambda number: columns[number].rank)
    sizes: dict[int, int] = {}
    left = width + gap

    def admit(numbers: list[int]) -> None:
        nonlocal left
        for number in numbers:
            if columns[number].minimum + gap <= left:
                sizes[number] = columns[number].minimum
                left -= columns[number].minimum + gap

    def grow(wish: Callable[[Column[RowT]], int]) -> None:
        nonlocal left
        for number in order:
            if number in sizes:
                more = max(0, min(left, wish(columns[number]) - sizes[number]))
                sizes[number] += more
                left -= more

    admit([number for number in order if columns[number].rank < EXTRA])
    grow(lambda column: column.comfort)
    admit([number for number in order if columns[number].rank >= EXTRA])
    grow(lambda column: column.comfort)
    grow(lambda column: column.maximum)
    return [(columns[number], sizes[number]) for number in sorted(sizes)]
