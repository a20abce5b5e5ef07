"""The heatmap of coverage: venue and type by day, with a cursor, marks, groups and six zooms; how it is painted is `heat_view`'s."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from console.actions import bindings_of
from console.widgets.heat_axis import DAYS_ZOOM, MONTHS_ZOOM
from console.widgets.heat_view import RULER, HeatView
from console.widgets.heatgrid import HeatGrid, Line, Mark
from engine.model import CellState


class Heatmap(HeatView, can_focus=True):
    """States of cells: rows are labels such as "binance-futures trades", columns are UTC days."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_of("next_hole", "previous_hole", "mark_cell", "mark_holes", "open_cell", "zoom_in", "zoom_out"),
        Binding("left", "move(-1, 0)", "Left", show=False),
        Binding("right", "move(1, 0)", "Right", show=False),
        Binding("up", "move(0, -1)", "Up", show=False),
        Binding("down", "move(0, 1)", "Down", show=False),
        Binding("shift+left", "extend(-1, 0)", "Mark left", show=False),
        Binding("shift+right", "extend(1, 0)", "Mark right", show=False),
        Binding("shift+up", "extend(0, -1)", "Mark up", show=False),
        Binding("shift+down", "extend(0, 1)", "Mark down", show=False),
        Binding("v", "rectangle", "Rectangle", show=False),
        Binding("home", "edge(-1)", "First day", show=False),
        Binding("end", "edge(1)", "Last day", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("less_than_sign", "month(-1)", "Month back", show=False),
        Binding("greater_than_sign", "month(1)", "Month on", show=False),
    ]

    class CellMessage(Message):
        """Something about one cell."""

        def __init__(self, heatmap: Heatmap, row: str, day: date, state: CellState) -> None:
            super().__init__()
            self.heatmap = heatmap
            self.row = row
            """The row's label."""
            self.day = day
            self.state = state

        @property
        def control(self) -> Heatmap:
            return self.heatmap

    class CursorMoved(CellMessage):
        """The cursor is on another cell, or its cell changed."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Heatmap.CursorMoved) and message.heatmap is self.heatmap

    class CellSelected(CellMessage):
        """Enter, or a double click."""

    class MarksChanged(Message):
        """Cells were marked or unmarked."""

        def __init__(self, heatmap: Heatmap, marks: frozenset[Mark]) -> None:
            super().__init__()
            self.heatmap = heatmap
            self.marks = marks

        @property
        def control(self) -> Heatmap:
            return self.heatmap

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Heatmap.MarksChanged) and message.heatmap is self.heatmap

    def __init__(
        self,
        *,
        empty: str = "no coverage known yet",
        fit: bool = False,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        """Args: as of `HeatView`."""
        super().__init__(empty=empty, fit=fit, id=id, classes=classes)
        self._anchor: tuple[int, int] | None = None
        self._marks_before: list[bytearray] = []

    # What the screen sets and reads

    @property
    def marks(self) -> frozenset[Mark]:
        """Marked cells as (row label, day)."""
        return self._grid.marked()

    def set_grid(
        self,
        rows: Sequence[str],
        days: Sequence[date],
        codes: Iterable[bytes | bytearray | Iterable[CellState]],
        lines: Sequence[Line] | None = None,
    ) -> None:
        """Show this grid; cursor and marks stay on their cells. The first grid opens at its last day.

        Args: as of `HeatGrid`.

        Raises:
            ValueError: as of `HeatGrid`.
        """
        self.show_grid(HeatGrid(rows, days, codes, lines))

    def show_grid(self, new: HeatGrid) -> None:
        """The same for a grid that was made elsewhere: of many rows that takes a while."""
        old, before, row_before = self._grid, self.cursor, self.cursor_row
        self._painter = None
        if new.rows == old.rows and new.days == old.days and new.lines == old.lines:
            new.marks = old.marks
            self._grid = new
            for number in range(len(new.lines)):
                if new.line_codes(number) != old.line_codes(number):
                    self._refresh_row(number)
            self._refresh_ruler()
        else:
            marks = old.marked()
            new.adopt_marks(marks)
            self._grid, self._anchor = new, None
            self._row = self._line_for(new, before, row_before)
            place = new.axis.index(before[1]) if before else None
            self._place = place if place is not None else max(0, len(new.days) - 1)
            self._resize()
            self.call_after_refresh(self._reveal)
            if new.marked() != marks:
                self._tell_marks()
        if self.cursor != before:
            self._tell_cursor()

    @staticmethod
    def _line_for(grid: HeatGrid, before: tuple[str, date, CellState] | None, row: tuple[str, date] | None) -> int:
        """Where the cursor goes in a grid with other lines: its own, else that of the row it was on, else the group of that row."""
        if before is None or row is None:
            return 0
        for key in (before[0], row[0]):
            if key in grid.line_index:
                return grid.line_index[key]
        number = grid.row_index.get(row[0])
        return next((place for place, line in enumerate(grid.lines) if number in line.rows), 0)

    def move_to(self, key: str, day: date) -> bool:
        """Put the cursor on a cell of a line; False if it is not in the grid."""
        number, place = self._grid.line_index.get(key), self._grid.axis.index(day)
        if number is None or place is None:
            return False
        self._put_cursor(number, place)
        return True

    def set_marks(self, marks: Iterable[Mark]) -> None:
        """Mark exactly these cells, as far as they are in the grid."""
        self._drop_anchor()
        before = self._grid.marked()
        self._grid.clear_marks()
        self._grid.adopt_marks(marks)
        if self._grid.marked() != before:
            self._marks_done()

    def zoom_nearer(self) -> bool:
        """From years to months, from months and weeks to days; False where a column is a day already."""
        if self._zoom.unit == "day":
            return False
        self._set_zoom(MONTHS_ZOOM if self._zoom.unit == "year" else DAYS_ZOOM)
        return True

    def clear_marks(self) -> None:
        """Unmark everything."""
        self._drop_anchor()
        self._grid.clear_marks()
        self._marks_done()

    # Keys and mouse

    def action_move(self, columns: int, rows: int) -> None:
        if not self._is_marking:
            self._drop_anchor()
        self._step(columns, rows)

    def action_extend(self, columns: int, rows: int) -> None:
        if self._grid:
            if self._anchor is None:
                self._set_anchor()
            self._step(columns, rows)

    def action_rectangle(self) -> None:
        """Start a rectangle at the cursor that the plain arrows draw; again: it stands."""
        if self._is_marking:
            self._drop_anchor()
        elif self._grid:
            self._set_anchor()
            self._is_marking = True
            self._mark_to_anchor()
        self._refresh_ruler()

    def action_mark_cell(self) -> None:
        if not self._grid:
            return
        self._drop_anchor()
        span = self._span(self._place)
        if not self._grid.unmark(self._row, span):
            self._grid.mark_rectangle(range(self._row, self._row + 1), span)
        self._marks_done()

    def action_mark_holes(self) -> None:
        if self._grid.marked():
            self.clear_marks()
            return
        self._grid.mark_holes()
        self._marks_done()

    def action_open_cell(self) -> None:
        if (cursor := self.cursor) is not None:
            self.post_message(self.CellSelected(self, *cursor))

    def action_next_hole(self) -> None:
        self._to_hole(1)

    def action_previous_hole(self) -> None:
        self._to_hole(-1)

    def action_edge(self, end: int) -> None:
        self._put_cursor(self._row, 0 if end < 0 else len(self._grid.days) - 1)

    def action_page(self, pages: int) -> None:
        self._put_cursor(self._row + pages * max(1, self._view.height - RULER - 1), self._place)

    def action_month(self, step: int) -> None:
        """To the first day of this month, or of the next; from a first day back to the first of the month before."""
        if not self._grid:
            return
        day = self._grid.days[self._place]
        near = day.replace(day=1) + timedelta(days=32) if step > 0 else day - timedelta(days=1)
        target = near.replace(day=1)
        self._put_cursor(self._row, (target - self._grid.days[0]).days)

    def action_zoom_in(self) -> None:
        self._set_zoom(self._zoom_number + 1)

    def action_zoom_out(self) -> None:
        self._set_zoom(self._zoom_number - 1)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or not self._grid or offset.y < RULER:
            return
        zoom = self._zoom
        row = offset.y - RULER + int(self.scroll_offset.y)
        column = (offset.x - self._label_width + int(self.scroll_offset.x)) // zoom.cells
        if row >= len(self._grid.lines) or offset.x < self._label_width or column >= self._grid.axis.columns(zoom):
            return
        self._drop_anchor()
        self._put_cursor(row, self._grid.worst_day(row, column, zoom))
        if event.chain == 2:
            self.action_open_cell()

    # State

    def _step(self, columns: int, rows: int) -> None:
        if not self._grid:
            return
        zoom, axis, row, place = self._zoom, self._grid.axis, self._row + rows, self._place
        row = max(0, min(row, len(self._grid.lines) - 1))
        if columns:
            column = max(0, min(axis.column(place, zoom) + columns, axis.columns(zoom) - 1))
            place = self._grid.worst_day(row, column, zoom)
        self._put_cursor(row, place)

    def _to_hole(self, step: int) -> None:
        if self._grid and (found := self._grid.next_hole(self._row, self._place, step)):
            if not self._is_marking:
                self._drop_anchor()
            self._put_cursor(*found)

    def _put_cursor(self, row: int, place: int) -> None:
        if not self._grid:
            return
        row = max(0, min(row, len(self._grid.lines) - 1))
        place = max(0, min(place, len(self._grid.days) - 1))
        if (row, place) == (self._row, self._place):
            return
        old_row, self._row, self._place = self._row, row, place
        self._refresh_row(old_row)
        self._refresh_row(row)
        self._refresh_ruler()
        self._reveal()
        if self._anchor is not None:
            self._mark_to_anchor()
        self._tell_cursor()

    def _set_anchor(self) -> None:
        self._anchor = (self._row, self._place)
        self._marks_before = [bytearray(marks) for marks in self._grid.marks]

    def _drop_anchor(self) -> None:
        self._anchor, self._is_marking = None, False

    def _mark_to_anchor(self) -> None:
        """Marks are those from before the rectangle, and the rectangle from its anchor to the cursor."""
        if self._anchor is None:
            return
        self._grid.marks = [bytearray(marks) for marks in self._marks_before]
        row, place = self._anchor
        rows = range(min(row, self._row), max(row, self._row) + 1)
        ends = [self._span(each) for each in (place, self._place)]
        places = range(min(span.start for span in ends), max(span.stop for span in ends))
        self._grid.mark_rectangle(rows, places)
        self._marks_done()

    def _marks_done(self) -> None:
        self.refresh()
        self._tell_marks()

    def _tell_marks(self) -> None:
        self.post_message(self.MarksChanged(self, self._grid.marked()))

    def _tell_cursor(self) -> None:
        if (cursor := self.cursor) is not None:
            self.post_message(self.CursorMoved(self, *cursor))
