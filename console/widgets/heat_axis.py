"""The time axis of the heatmap: how days become columns at each zoom, and the words of the ruler over them. No Textual."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Literal

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""Not from the locale: widths and snapshots depend on them."""


@dataclass(frozen=True, slots=True)
class Zoom:
    """How days become columns."""

    name: str
    unit: Literal["year", "month", "week", "day"]
    """Of a column; weeks begin on Monday. The worst day of a column wins."""
    cells: int
    """Terminal cells a column."""
    narrow: int = 0
    """The same where all columns fit only so; 0: it is never narrower."""

    def within(self, columns: int, room: int) -> Zoom:
        """Narrow, if that makes so many columns fit into so many cells."""
        fits_narrow = self.narrow and columns * self.cells > room >= columns * self.narrow
        return replace(self, cells=self.narrow, narrow=0) if fits_narrow else self


ZOOMS: Final = (
    Zoom("years", "year", 9),
    Zoom("months", "month", 4, narrow=2),
    Zoom("weeks", "week", 2, narrow=1),
    Zoom("days", "day", 1),
    Zoom("wide days", "day", 2),
    Zoom("named days", "day", 15),
)
"""From far to near. The nearest writes the state's word into the cell; years and months write the share that is complete."""

MONTHS_ZOOM: Final = 1
"""The place of one month a column."""
DAYS_ZOOM: Final = 3
"""The place of one day a cell."""


class Axis:
    """Consecutive days, cut into columns."""

    def __init__(self, days: Sequence[date] = ()) -> None:
        """
        Raises:
            ValueError: if days skip.
        """
        self.days = tuple(days)
        if self.days and (self.days[-1] - self.days[0]).days != len(self.days) - 1:
            raise ValueError(f"the days {self.days[0]}..{self.days[-1]} of the heatmap are not consecutive")
        self._starts: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.days)

    def index(self, day: date) -> int | None:
        """The place of a day, or None if it is outside."""
        place = (day - self.days[0]).days if self.days else -1
        return place if 0 <= place < len(self.days) else None

    def columns(self, zoom: Zoom) -> int:
        """How many columns the days make."""
        return len(self.days) if zoom.unit == "day" else len(self._first_places(zoom))

    def column(self, place: int, zoom: Zoom) -> int:
        """The column a day is in."""
        return place if zoom.unit == "day" else bisect_right(self._first_places(zoom), place) - 1

    def span(self, column: int, zoom: Zoom) -> range:
        """The days in a column, as places."""
        if zoom.unit == "day":
            return range(column, column + 1)
        starts = self._first_places(zoom)
        return range(starts[column], starts[column + 1] if column + 1 < len(starts) else len(self.days))

    def _first_places(self, zoom: Zoom) -> list[int]:
        found = self._starts.get(zoom.unit)
        if found is None:
            found = self._starts[zoom.unit] = [place for place, day in enumerate(self.days) if not place or _begins(day, zoom)]
        return found

    def title(self, place: int, zoom: Zoom) -> str:
        """What the column of a day is called where it is more than a day: `2024`, `May 2024`, `week of 2024-05-06`."""
        day = self.days[place]
        if zoom.unit == "year":
            return str(day.year)
        if zoom.unit == "month":
            return f"{MONTHS[day.month - 1]} {day.year}"
        return f"week {self.days[self.span(self.column(place, zoom), zoom).start]}" if zoom.unit == "week" else str(day)

    def ruler(self, start: int, stop: int, zoom: Zoom) -> tuple[str, str]:
        """Two lines over the columns `start` up to `stop`: months over days; months over years where a column is longer."""
        width = (stop - start) * zoom.cells
        heads: list[tuple[int, date]] = []
        ticks: list[tuple[int, str]] = []
        for column in range(start, stop):
            x = (column - start) * zoom.cells
            span = self.span(column, zoom)
            first = next((self.days[place] for place in span if self.days[place].day == 1), None)
            if (first and (zoom.unit != "month" or zoom.cells > 2 or first.month % 3 == 1)) or column == start:
                heads.append((x, first or self.days[span.start]))
            if zoom.unit == "day":
                day = self.days[span.start].day
                if zoom.cells > 2 or (day % 2 == 1 if zoom.cells > 1 else day in (1, 8, 15, 22)):
                    ticks.append((x, str(day)))
        if zoom.unit == "year":
            return _placed([(x, [str(day.year)]) for x, day in heads], width), " " * width
        if zoom.unit != "day":
            ticks = [(x, str(day.year)) for number, (x, day) in enumerate(heads) if day.month == 1 or number == 0]
            months = [(x, [MONTHS[day.month - 1]]) for x, day in heads]
        else:
            months = [(x, [f"{MONTHS[day.month - 1]} {day.year}", MONTHS[day.month - 1]]) for x, day in heads]
        return _placed(months, width), _placed([(x, [text]) for x, text in ticks], width)


def _begins(day: date, zoom: Zoom) -> bool:
    """Whether a column begins on that day."""
    if zoom.unit == "week":
        return day.weekday() == 0
    return day.day == 1 and (zoom.unit == "month" or day.month == 1)


def _placed(labels: list[tuple[int, list[str]]], width: int) -> str:
    """One line with each label at its place: the longest wording that leaves a blank before the next, or none."""
    line = [" "] * width
    for number, (x, wordings) in enumerate(labels):
        end = labels[number + 1][0] - 1 if number + 1 < len(labels) else width
        text = next((wording for wording in wordings if len(wording) <= end - x), "")
        line[x : x + len(text)] = text
    return "".join(line)
