"""What a heatmap shows, without a screen: looks of rows by day as bytes, rows gathered under lines, marks, and the way to the next hole.

One byte a cell, so that finding the next hole, taking the worst of a month and rolling up a venue are single calls into C, also for
200 rows of 5 years.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from console.widgets.heat_axis import Axis, Zoom
from console.widgets.heat_looks import CODES, HOLE, STATES, share_of
from engine.model import CellState

MARKED: Final = 16
"""Flag beside the code in a cell's byte where it is painted. 32 is the widget's, for its cursor."""

Mark = tuple[str, date]
"""A marked cell: the row's label and the day."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the map: a row, or the roll-up of several."""

    key: str
    """Unique among the lines; of a row its label."""
    text: str
    """What stands at the left."""
    rows: tuple[int, ...]
    """Places of the rows it shows: one, or those of a group, of which the worst cell wins."""
    is_group: bool = False
    is_open: bool = False
    """A group whose rows follow as lines of their own."""


class HeatGrid:
    """Rows of looks by day, the lines that show them, and which cells are marked."""

    def __init__(
        self,
        rows: Sequence[str] = (),
        days: Sequence[date] = (),
        codes: Iterable[bytes | bytearray | Iterable[CellState]] = (),
        lines: Sequence[Line] | None = None,
        *,
        uncounted: Collection[str] = (),
    ) -> None:
        """
        Args:
            rows: Labels, unique.
            days: Consecutive UTC days.
            codes: Per row one look a day (`heat_looks.LOOKS`) as bytes, or `CellState` values.
            lines: What is shown of the rows, in order; None: each row is a line.
            uncounted: Labels of rows whose holes are not among those that a person is told of.

        Raises:
            ValueError: if labels repeat, days skip, or a row has another number of cells than there are days.
        """
        self.rows = tuple(rows)
        self.axis = Axis(days)
        self.row_index = {label: number for number, label in enumerate(self.rows)}
        self.codes = [bytearray(row if isinstance(row, bytes | bytearray) else (CODES[state] for state in row)) for row in codes]
        if len(self.row_index) != len(self.rows):
            raise ValueError("two rows of the heatmap have the same label")
        if len(self.codes) != len(self.rows) or any(len(row) != len(self.days) for row in self.codes):
            raise ValueError(f"the heatmap needs {len(self.rows)} rows of {len(self.days)} states")
        self.lines = tuple(Line(label, label, (number,)) for number, label in enumerate(self.rows)) if lines is None else tuple(lines)
        self.line_index = {line.key: number for number, line in enumerate(self.lines)}
        self.marks = [bytearray(len(self.days)) for _ in self.rows]
        self._uncounted = frozenset(self.row_index[label] for label in uncounted if label in self.row_index)
        self._rolled: dict[int, bytearray] = {}

    def __bool__(self) -> bool:
        return bool(self.lines and self.days)

    @property
    def days(self) -> tuple[date, ...]:
        return self.axis.days

    def line_codes(self, line: int) -> bytearray:
        """The looks of a line by day; of a group the worst of its rows."""
        rows = self.lines[line].rows
        if len(rows) == 1:
            return self.codes[rows[0]]
        found = self._rolled.get(line)
        if found is None:
            found = self._rolled[line] = bytearray(map(max, *(self.codes[row] for row in rows)))
        return found

    def code(self, line: int, place: int) -> int:
        return self.line_codes(line)[place]

    def state(self, line: int, place: int) -> CellState:
        return STATES[self.code(line, place)]

    # Columns

    def painted(self, line: int, start: int, stop: int, zoom: Zoom) -> bytearray:
        """Looks of the columns `start` up to `stop`, with `MARKED` set where a day of the column is marked."""
        codes = self.line_codes(line)
        marks = [self.marks[row] for row in self.lines[line].rows if MARKED in self.marks[row]]
        if zoom.unit == "day":
            painted = codes[start:stop]
            for flags in marks:
                painted = bytearray(map(int.__or__, painted, flags[start:stop]))
            return painted
        spans = [self.axis.span(column, zoom) for column in range(start, stop)]
        painted = bytearray(max(codes[span.start : span.stop]) for span in spans)
        for flags in marks:
            painted = bytearray(code | max(flags[span.start : span.stop]) for code, span in zip(painted, spans, strict=True))
        return painted

    def share(self, line: int, column: int, zoom: Zoom) -> int | None:
        """The percentage of a column's cells that is complete, rounded down; None if none should be by now."""
        span = self.axis.span(column, zoom)
        return share_of(b"".join(self.codes[row][span.start : span.stop] for row in self.lines[line].rows))

    def worst_day(self, line: int, column: int, zoom: Zoom) -> int:
        """The place of the first day in the column that has its worst look."""
        span, codes = self.axis.span(column, zoom), self.line_codes(line)
        return max(span, key=lambda place: (codes[place], -place))

    def worst_row(self, line: int, place: int) -> int:
        """Of the rows that a line shows the first with the worst look on that day."""
        return max(self.lines[line].rows, key=lambda row: (self.codes[row][place], -row))

    # Holes and marks

    def next_hole(self, line: int, place: int, step: int) -> tuple[int, int] | None:
        """The nearest hole after (`step` 1) or before (-1) a cell, along the line, then line by line, around the end.

        A group whose rows are shown is passed over, and rows that are not counted as long as others have holes. None if there is no
        hole at all.
        """
        aside = {number for number, each in enumerate(self.lines) if self._uncounted.issuperset(each.rows)}
        return self._next_hole(line, place, step, aside) or (self._next_hole(line, place, step, set()) if aside else None)

    def _next_hole(self, line: int, place: int, step: int, aside: Collection[int]) -> tuple[int, int] | None:
        count = len(self.lines)
        for turn in range(count + 1):
            number = (line + step * turn) % count
            if self.lines[number].is_open or number in aside:
                continue
            found = [match.start() for match in HOLE.finditer(self.line_codes(number))]
            if turn == 0:
                found = [at for at in found if (at > place if step > 0 else at < place)]
            elif turn == count:
                found = [at for at in found if (at <= place if step > 0 else at >= place)]
            if found:
                return number, found[0] if step > 0 else found[-1]
        return None

    def count_holes(self) -> int:
        return sum(len(HOLE.findall(row)) for row in self.codes)

    def mark_rectangle(self, lines: range, places: range) -> None:
        """Mark every cell in it where something is expected; of a group only holes, if it has any there."""
        for line in lines:
            codes = [(self.codes[row], self.marks[row]) for row in self.lines[line].rows]
            only_holes = self.lines[line].is_group and any(HOLE.search(row[places.start : places.stop]) for row, _ in codes)
            for row, marks in codes:
                for place in places:
                    if row[place] and (not only_holes or HOLE.match(row, place)):
                        marks[place] = MARKED

    def unmark(self, line: int, places: range) -> bool:
        """Take the marks of these days off a line; False if there are none."""
        rows = [self.marks[row] for row in self.lines[line].rows if MARKED in self.marks[row][places.start : places.stop]]
        for marks in rows:
            marks[places.start : places.stop] = bytes(len(places))
        return bool(rows)

    def mark_holes(self) -> None:
        for codes, marks in zip(self.codes, self.marks, strict=True):
            for match in HOLE.finditer(codes):
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
            row, place = self.row_index.get(label), self.axis.index(day)
            if row is not None and place is not None:
                self.marks[row][place] = MARKED
