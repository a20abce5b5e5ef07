"""What a heatmap shows, without a screen: states of rows by day as bytes, marks, holes, zoom and the ruler's words.

One byte a cell, so that finding the next hole, taking the worst of a week and comparing two versions of a row are
single calls into C, also for 40 rows of 5 years.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from engine.model import CellState

STATES: Final = tuple(CellState)
"""Best first: a state's code is its place here, so the worst of several cells is the largest code."""
CODES: Final = {state: code for code, state in enumerate(STATES)}

GLYPHS: Final = {
    CellState.COMPLETE: "▇",
    CellState.THIN: "▄",
    CellState.PARTIAL: "▚",
    CellState.FAILED: "×",
    CellState.MISSING: "□",
    CellState.RUNNING: "►",
    CellState.NOT_READY: "…",
    CellState.NOT_EXPECTED: "·",
}
"""One cell each and different in shape: the map reads without colours. Complete leaves a hairline, so that rows stay apart."""

ADOPTED_GLYPH: Final = "▓"
ADOPTED_WORD: Final = "adopted"
"""Of a complete cell whose objects are from before Tickdeck: a shade of its own, not a state."""

WORDS: Final = {state: state.value.replace("_", " ") for state in STATES}

HOLES: Final = frozenset({CellState.MISSING, CellState.PARTIAL, CellState.FAILED})
"""States a repair can mend."""

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""Not from the locale: widths and snapshots depend on them."""

MARKED: Final = 16
"""Flag beside the code in a cell's byte where it is painted."""
ADOPTED: Final = 64
"""The same for a cell that is complete by adoption. 32 is the widget's, for its cursor."""
_HOLE = re.compile(b"[" + b"".join(re.escape(bytes([CODES[state]])) for state in HOLES) + b"]")

Mark = tuple[str, date]
"""A marked cell: the row's label and the day."""


@dataclass(frozen=True, slots=True)
class Zoom:
    """How days become columns."""

    name: str
    days: int
    """Per column; 7 are calendar weeks, the worst day wins."""
    cells: int
    """Terminal cells per column."""


ZOOMS: Final = (Zoom("weeks", 7, 1), Zoom("days", 1, 1), Zoom("wide days", 1, 2), Zoom("named days", 1, 15))
"""From far to near. The nearest writes the state's word into the cell."""


class HeatGrid:
    """Rows of states by day, and which cells are marked."""

    def __init__(
        self,
        rows: Sequence[str] = (),
        days: Sequence[date] = (),
        states: Iterable[bytes | Iterable[CellState]] = (),
        adopted: Iterable[Iterable[bool]] | None = None,
    ) -> None:
        """
        Args:
            rows: Labels, unique.
            days: Consecutive UTC days.
            states: Per row one state a day: `CellState` values, or bytes of their codes.
            adopted: Per row one flag a day: whether the cell is complete by adoption. None: no cell is.

        Raises:
            ValueError: if labels repeat, days skip, or a row has another number of states than there are days.
        """
        self.rows = tuple(rows)
        self.days = tuple(days)
        self.row_index = {label: number for number, label in enumerate(self.rows)}
        self.codes = [bytearray(row if isinstance(row, bytes | bytearray) else (CODES[state] for state in row)) for row in states]
        if len(self.row_index) != len(self.rows):
            raise ValueError("two rows of the heatmap have the same label")
        if self.days and (self.days[-1] - self.days[0]).days != len(self.days) - 1:
            raise ValueError(f"the days {self.days[0]}..{self.days[-1]} of the heatmap are not consecutive")
        self.shades = (
            [bytearray(len(self.days)) for _ in self.rows]
            if adopted is None
            else [bytearray(ADOPTED if flag else 0 for flag in row) for row in adopted]
        )
        if any(len(table) != len(self.rows) or any(len(row) != len(self.days) for row in table) for table in (self.codes, self.shades)):
            raise ValueError(f"the heatmap needs {len(self.rows)} rows of {len(self.days)} states")
        self.marks = [bytearray(len(self.days)) for _ in self.rows]

    def __bool__(self) -> bool:
        return bool(self.rows and self.days)

    def day_index(self, day: date) -> int | None:
        """The place of a day, or None if it is outside."""
        place = (day - self.days[0]).days if self.days else -1
        return place if 0 <= place < len(self.days) else None

    def state(self, row: int, place: int) -> CellState:
        return STATES[self.codes[row][place]]

    def code(self, row: int, place: int) -> int:
        """The code of one cell, with `ADOPTED` set where it is."""
        return self.codes[row][place] | self.shades[row][place]

    # Columns

    def columns(self, zoom: Zoom) -> int:
        """How many columns the days make."""
        return self.column(len(self.days) - 1, zoom) + 1 if self.days else 0

    def column(self, place: int, zoom: Zoom) -> int:
        """The column a day is in. Weeks begin on Monday."""
        return place if zoom.days == 1 else (place + self.days[0].weekday()) // zoom.days

    def span(self, column: int, zoom: Zoom) -> range:
        """The days in a column, as places."""
        if zoom.days == 1:
            return range(column, column + 1)
        first = column * zoom.days - self.days[0].weekday()
        return range(max(0, first), min(len(self.days), first + zoom.days))

    def painted(self, row: int, start: int, stop: int, zoom: Zoom) -> bytearray:
        """Codes of the columns `start` up to `stop`, with `MARKED` set where a day of the column is marked."""
        codes, marks, shades = self.codes[row], self.marks[row], self.shades[row]
        if zoom.days == 1:
            painted = codes[start:stop]
            for flags, flag in ((marks, MARKED), (shades, ADOPTED)):
                if flag in flags:
                    painted = bytearray(map(int.__or__, painted, flags[start:stop]))
            return painted
        spans = [self.span(column, zoom) for column in range(start, stop)]
        return bytearray(self._worst(codes[s.start : s.stop], shades[s.start : s.stop]) | max(marks[s.start : s.stop]) for s in spans)

    def _worst(self, codes: bytearray, shades: bytearray) -> int:
        """The worst code of a column; adopted if a day of it is, and nothing is worse than complete."""
        worst = max(codes)
        return worst | max(shades) if worst == CODES[CellState.COMPLETE] else worst

    def worst_day(self, row: int, column: int, zoom: Zoom) -> int:
        """The place of the first day in the column that has its worst state."""
        span = self.span(column, zoom)
        return max(span, key=lambda place: (self.codes[row][place], -place))

    # Holes and marks

    def next_hole(self, row: int, place: int, step: int) -> tuple[int, int] | None:
        """The nearest hole after (`step` 1) or before (-1) a cell, along the row, then row by row, around the end.

        None if there is no hole at all.
        """
        count = len(self.rows)
        for turn in range(count + 1):
            number = (row + step * turn) % count
            found = [match.start() for match in _HOLE.finditer(self.codes[number])]
            if turn == 0:
                found = [at for at in found if (at > place if step > 0 else at < place)]
            elif turn == count:
                found = [at for at in found if (at <= place if step > 0 else at >= place)]
            if found:
                return number, found[0] if step > 0 else found[-1]
        return None

    def count_holes(self) -> int:
        return sum(len(_HOLE.findall(row)) for row in self.codes)

    def mark_rectangle(self, rows: range, places: range) -> None:
        """Mark every cell in it where something is expected."""
        for row in rows:
            codes, marks = self.codes[row], self.marks[row]
            for place in places:
                if codes[place]:
                    marks[place] = MARKED

    def mark_holes(self) -> None:
        for codes, marks in zip(self.codes, self.marks, strict=True):
            for match in _HOLE.finditer(codes):
                marks[match.start()] = MARKED

    def clear_marks(self) -> None:
        self.marks = [bytearray(len(self.days)) for _ in self.rows]

    def marked(self) -> frozenset[Mark]:
        """All marked cells."""
        return frozenset(
            (label, self.days[place])
            for label, marks in zip(self.rows, self.marks, strict=True)
            if MARKED in marks
            for place, mark in enumerate(marks)
            if mark
        )

    def adopt_marks(self, marks: Iterable[Mark]) -> None:
        """Mark those of `marks` that are in this grid."""
        for label, day in marks:
            row, place = self.row_index.get(label), self.day_index(day)
            if row is not None and place is not None:
                self.marks[row][place] = MARKED

    # The ruler

    def ruler(self, start: int, stop: int, zoom: Zoom) -> tuple[str, str]:
        """Two lines over the columns `start` up to `stop`: months over days, or over years where a column is a week."""
        width = (stop - start) * zoom.cells
        heads: list[tuple[int, date]] = []
        ticks: list[tuple[int, str]] = []
        for column in range(start, stop):
            x = (column - start) * zoom.cells
            span = self.span(column, zoom)
            first = next((self.days[place] for place in span if self.days[place].day == 1), None)
            if first or column == start:
                heads.append((x, first or self.days[span.start]))
            if zoom.days == 1:
                day = self.days[span.start].day
                if zoom.cells > 2 or (day % 2 == 1 if zoom.cells > 1 else day in (1, 8, 15, 22)):
                    ticks.append((x, str(day)))
        if zoom.days > 1:
            ticks = [(x, str(day.year)) for number, (x, day) in enumerate(heads) if day.month == 1 or number == 0]
            months = [(x, [MONTHS[day.month - 1]]) for x, day in heads]
        else:
            months = [(x, [f"{MONTHS[day.month - 1]} {day.year}", MONTHS[day.month - 1]]) for x, day in heads]
        return _placed(months, width), _placed([(x, [text]) for x, text in ticks], width)


def _placed(labels: list[tuple[int, list[str]]], width: int) -> str:
    """One line with each label at its place: the longest wording that leaves a blank before the next, or none."""
    line = [" "] * width
    for number, (x, wordings) in enumerate(labels):
        end = labels[number + 1][0] - 1 if number + 1 < len(labels) else width
        text = next((wording for wording in wordings if len(wording) <= end - x), "")
        line[x : x + len(text)] = text
    return "".join(line)
