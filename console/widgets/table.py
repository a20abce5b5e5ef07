"""A table for hundreds of rows that change all the time: Line API, one row a line, columns by the width there is.

Textual's DataTable repaints everything when one cell changes (62 times the cost of this for one cell, 11 times for a full
refresh) and forgets what the cursor was on when rows are re-sorted. Here the cursor and the marks belong to row keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Final, Generic

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.widgets.columns import Column, RowT, share_width, sort_rows
from console.widgets.figures import fit
from console.widgets.table_cells import cell_segments, title_text
from console.widgets.tones import Tone

_ROOMY = 110
"""From this width on two blanks stand between columns."""
_GUTTER = 2
"""Cells at the left for the cursor and the mark, so that both show without colours."""
NOT_KNOWN: Final = "nothing is known yet"
"""Instead of rows before there was an answer: that there are none would be a claim."""


_MARKING = frozenset({"mark", "mark_range", "mark_all", "invert_marks"})


class LineTable(ScrollView, Generic[RowT], can_focus=True):
    """Rows with a cursor and marks. Subclasses or callers give the columns and the key of a row."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    LineTable {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        background: $background;
        color: $foreground;
        scrollbar-size-vertical: 1;
        & > .line-table--header { color: $quiet; text-style: bold; }
        & > .line-table--empty { color: $quiet; }
        & > .line-table--cursor { background: $row-cursor-blurred; }
        & > .line-table--mark { color: $mark; text-style: bold; }
        & > .line-table--bar { color: $bar-done; background: $bar-rest; }
        & > .line-table--quiet { color: $quiet; }
        & > .line-table--state-good { color: $state-good; }
        & > .line-table--state-busy { color: $state-busy; }
        & > .line-table--state-warn { color: $state-warn; }
        & > .line-table--state-bad { color: $state-bad; }
        & > .line-table--state-idle { color: $state-idle; }
    }
    LineTable:focus > .line-table--cursor { background: $row-cursor; text-style: bold; }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line-table--header",
        "line-table--empty",
        "line-table--cursor",
        "line-table--mark",
        "line-table--bar",
        "line-table--quiet",
        "line-table--state-good",
        "line-table--state-busy",
        "line-table--state-warn",
        "line-table--state-bad",
        "line-table--state-idle",
    }

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "edge(-1)", "First", show=False),
        Binding("end", "edge(1)", "Last", show=False),
        Binding("enter", "open_row", "Details", show=False),
        Binding("space", "mark", "Mark", show=False),
        Binding("v", "mark_range", "Mark a range", show=False),
        Binding("m", "mark_all", "Mark all", show=False),
        Binding("i", "invert_marks", "Invert marks", show=False),
    ]

    class RowHighlighted(Message):
        """The cursor is on another row now."""

        def __init__(self, table: LineTable[Any], key: str | None) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> LineTable[Any]:
            return self.table

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LineTable.RowHighlighted) and message.table is self.table

    class RowSelected(Message):
        """Enter, or a double click."""

        def __init__(self, table: LineTable[Any], key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> LineTable[Any]:
            return self.table

    class SortChanged(Message):
        """Rows are in another order now, by a click on a title."""

        def __init__(self, table: LineTable[Any]) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> LineTable[Any]:
            return self.table

    class MarksChanged(Message):
        """Rows were marked or unmarked, or marked rows went away."""

        def __init__(self, table: LineTable[Any], marks: frozenset[str]) -> None:
            super().__init__()
            self.table = table
            self.marks = marks

        @property
        def control(self) -> LineTable[Any]:
            return self.table

    def __init__(
        self,
        columns: Sequence[Column[RowT]],
        key: Callable[[RowT], str],
        *,
        markable: Callable[[RowT], bool] | None = None,
        muted: Callable[[RowT], bool] | None = None,
        empty: str = "nothing here",
        id: str | None = None,  # noqa: A002 - Textual's name
        classes: str | None = None,
    ) -> None:
        """
        Args:
            columns: In the order they are shown.
            key: The name of a row, unique in the table.
            markable: Which rows `space` may mark; None: no row.
            muted: Which rows are dimmed as a whole.
            empty: What to say when there is no row.
        """
        super().__init__(id=id, classes=classes)
        self._columns = tuple(columns)
        self._key = key
        self._markable = markable
        self._muted = muted
        self._empty = empty
        self._rows: tuple[RowT, ...] = ()
        self._index: dict[str, int] = {}
        self._cursor = 0
        self._moved = False
        self._marks: frozenset[str] = frozenset()
        self._expected: tuple[str, int] | None = None
        self._range: tuple[str, frozenset[str]] | None = None
        """While a range is marked: the key where it began, and what was marked before."""
        self._given: tuple[RowT, ...] = ()
        """The rows in the order given."""
        self._sorted_by: Column[RowT] | None = None
        self._reverse = False
        self._layout: list[tuple[Column[RowT], int]] = []
        self._layout_width = -1
        self._gap = 1
        self._styles: dict[tuple[str, bool], Style] = {}

    # What the screen sets and reads

    @property
    def rows(self) -> tuple[RowT, ...]:
        """All rows, in the order given."""
        return self._rows

    @property
    def cursor_row(self) -> RowT | None:
        """The row under the cursor."""
        return self._rows[self._cursor] if self._rows else None

    @property
    def cursor_key(self) -> str | None:
        """Its key."""
        row = self.cursor_row
        return None if row is None else self._key(row)

    @property
    def marks(self) -> frozenset[str]:
        """Keys of the marked rows."""
        return self._marks

    def set_rows(self, rows: Iterable[RowT]) -> None:
        """Show these rows, in this order. Only lines that differ are painted again.

        The cursor stays on its row wherever that went; as long as nobody moved it, it stays at the top, where the worst is.
        """
        self._given = tuple(rows)
        self._show_rows()

    @property
    def sort_titles(self) -> list[str]:
        """Titles of the columns that rows can be sorted by."""
        return [column.title for column in self._columns if column.sort is not None]

    @property
    def sorted_by(self) -> tuple[str, bool]:
        """Title of the column that rows are sorted by, "" for the order given, and whether the largest is first."""
        return (self._sorted_by.title, self._reverse) if self._sorted_by is not None else ("", False)

    @property
    def is_marking_range(self) -> bool:
        """Whether moving the cursor marks."""
        return self._range is not None

    def sort_by(self, title: str) -> None:
        """Sort by the column of this title; again: the other way round; "" is the order given."""
        column = next((each for each in self._columns if each.title == title and each.sort is not None), None)
        self._reverse = not self._reverse if column is not None and column is self._sorted_by else bool(column and column.descending)
        self._sorted_by = column
        self.refresh()
        self._show_rows()

    def set_order(self, title: str, *, largest_first: bool) -> None:
        """Sort by the column of this title, exactly this way round; "" is the order given."""
        self._sorted_by = next((each for each in self._columns if each.title == title and each.sort is not None), None)
        self._reverse = largest_first
        self.refresh()
        self._show_rows()

    def reverse_sort(self) -> None:
        """The other way round; the order given has only one."""
        if self._sorted_by is not None:
            self.sort_by(self._sorted_by.title)

    def _show_rows(self) -> None:
        new, old = sort_rows(self._given, self._sorted_by, reverse=self._reverse), self._rows
        if new == old:
            return
        before = self.cursor_key
        self._rows = new
        self._index = {self._key(row): number for number, row in enumerate(new)}
        at = self._index.get(before) if before is not None and self._moved else None
        self._cursor = at if at is not None else min(self._cursor if self._moved else 0, max(0, len(new) - 1))
        if len(new) != len(old):
            self.virtual_size = Size(0, 1 + len(new))
            self.refresh()
        else:
            for number, (row, previous) in enumerate(zip(new, old, strict=True)):
                if row != previous:
                    self._refresh_row(number)
        self._reveal()
        if self._expected is not None and self._expected[0] in self._index:
            key, top = self._expected
            self._put_cursor(self._index[key])
            self.scroll_to(y=top, animate=False)
        if self.cursor_key != before:
            self.refresh()
            self.post_message(self.RowHighlighted(self, self.cursor_key))
        if gone := self._marks - self._index.keys():
            self._set_marks(self._marks - gone)

    def set_columns(self, columns: Iterable[Column[RowT]]) -> None:
        """Show other columns of the same rows."""
        self._columns, self._layout_width = tuple(columns), -1
        if self._sorted_by is not None:
            self._sorted_by = next((each for each in self._columns if each.title == self._sorted_by.title), None)
        self.refresh()

    def set_empty_text(self, text: str) -> None:
        """What to say when there is no row."""
        self._empty = text
        self.refresh()

    def move_to(self, key: str) -> bool:
        """Put the cursor on a row; False if there is none of that key."""
        if (number := self._index.get(key)) is None:
            return False
        self._put_cursor(number)
        return True

    def expect(self, key: str, top: int) -> None:
        """Put the cursor on a row, with `top` as the first one in sight, now or when rows with it come; another move forgets it."""
        if key in self._index:
            self._put_cursor(self._index[key])
            self.scroll_to(y=top, animate=False)
        self._expected = (key, top)

    def set_marks(self, keys: Iterable[str]) -> None:
        """Mark exactly these rows, as far as they exist and may be marked."""
        wanted = set(keys)
        self._end_range()
        self._set_marks(frozenset(self._key(row) for row in self._rows if self._key(row) in wanted and self._may_mark(row)))

    # Keys and mouse

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Where no row may be marked, the keys of marking belong to the screen."""
        return self._markable is not None or action not in _MARKING

    def action_move(self, step: int) -> None:
        self._put_cursor(self._cursor + step)

    def action_page(self, pages: int) -> None:
        self._put_cursor(self._cursor + pages * max(1, self._view.height - 2))

    def action_edge(self, end: int) -> None:
        self._put_cursor(0 if end < 0 else len(self._rows) - 1)

    def action_open_row(self) -> None:
        if (key := self.cursor_key) is not None:
            self.post_message(self.RowSelected(self, key))

    def action_mark(self) -> None:
        row = self.cursor_row
        if row is None:
            return
        if self._range is not None:
            self.action_mark_range()
            return
        if self._may_mark(row):
            self._set_marks(self._marks ^ {self._key(row)})
        self._put_cursor(self._cursor + 1)

    def action_mark_range(self) -> None:
        """Begin a range at the cursor, or end it; meanwhile moving marks."""
        row = self.cursor_row
        if row is None or self._markable is None:
            return
        if self._range is not None:
            self._end_range()
            self.post_message(self.MarksChanged(self, self._marks))
            return
        self._range = self._key(row), self._marks
        self._extend_range()
        self.post_message(self.MarksChanged(self, self._marks))

    def action_mark_all(self) -> None:
        """Mark all rows that show; if they are, none."""
        self._end_range()
        every = frozenset(self._key(row) for row in self._rows if self._may_mark(row))
        self._set_marks(frozenset() if every == self._marks else every)

    def action_invert_marks(self) -> None:
        """Mark what is not marked, of the rows that show."""
        self._end_range()
        self._set_marks(frozenset(self._key(row) for row in self._rows if self._may_mark(row)) - self._marks)

    def _end_range(self) -> None:
        self._range = None

    def _extend_range(self) -> None:
        if self._range is None:
            return
        anchor, before = self._range
        if anchor not in self._index:
            self._end_range()
            return
        low, high = sorted((self._index[anchor], self._cursor))
        self._set_marks(before | {self._key(row) for row in self._rows[low : high + 1] if self._may_mark(row)})

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y < 1:
            self._click_title(offset.x)
            return
        number = offset.y - 1 + int(self.scroll_offset.y)
        if number >= len(self._rows):
            return
        self._put_cursor(number)
        if event.chain == 2:
            self.action_open_row()

    def _click_title(self, x: int) -> None:
        at = _GUTTER
        for column, size in self._fitted(self._view.width):
            if at <= x < at + size + self._gap:
                if column.sort is not None:
                    self.sort_by(column.title)
                    self.post_message(self.SortChanged(self))
                return
            at += size + self._gap

    # Painting

    def on_mount(self) -> None:
        self.virtual_size = Size(0, 1 + len(self._rows))

    def notify_style_update(self) -> None:
        self._styles.clear()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        width = self._view.width
        if y == 0:
            return self._header_line(width)
        number = y - 1 + int(self.scroll_offset.y)
        if number < len(self._rows):
            return self._row_line(number, width)
        if not self._rows and y == 2:
            return Strip([Segment(fit(f"  {self._empty}", width), self.get_component_rich_style("line-table--empty"))], width)
        return Strip.blank(width, self.rich_style)

    def _header_line(self, width: int) -> Strip:
        style = self.get_component_rich_style("line-table--header")
        titles = [title_text(column, size, self._sorted_by, reverse=self._reverse) for column, size in self._fitted(width)]
        return Strip([Segment(" " * _GUTTER + (" " * self._gap).join(titles), style)]).adjust_cell_length(width, style)

    def _row_line(self, number: int, width: int) -> Strip:
        row, here = self._rows[number], number == self._cursor
        plain = self._style("", here)
        marked = self._key(row) in self._marks
        segments = [Segment("▌" if here else " ", plain), Segment("◆" if marked else " ", self._style("mark", here))]
        muted = self._muted is not None and self._muted(row)
        for position, (column, size) in enumerate(self._fitted(width)):
            if position:
                segments.append(Segment(" " * self._gap, plain))
            segments += cell_segments(column, row, size, lambda tone: self._style(tone, here), muted=muted)
        return Strip(segments).adjust_cell_length(width, plain)

    def _style(self, tone: str, here: bool) -> Style:
        style = self._styles.get((tone, here))
        if style is None:
            style = self.rich_style
            if here:
                style += self.get_component_rich_style("line-table--cursor", partial=True)
            if tone:
                style += self.get_component_rich_style(f"line-table--{'bar' if tone == Tone.BAR else tone}", partial=True)
            self._styles[tone, here] = style
        return style

    def _fitted(self, width: int) -> list[tuple[Column[RowT], int]]:
        """The columns that fit, with their widths."""
        if width != self._layout_width:
            self._gap = 2 if width >= _ROOMY else 1
            self._layout, self._layout_width = share_width(self._columns, width - _GUTTER, self._gap), width
        return self._layout

    # State

    @property
    def _view(self) -> Size:
        """What shows, without the scrollbars."""
        return Size(self.size.width - self.scrollbar_size_vertical, self.size.height - self.scrollbar_size_horizontal)

    def _may_mark(self, row: RowT) -> bool:
        return self._markable is not None and self._markable(row)

    def _set_marks(self, marks: frozenset[str]) -> None:
        if marks == self._marks:
            return
        for key in marks ^ self._marks:
            if key in self._index:
                self._refresh_row(self._index[key])
        self._marks = marks
        self.post_message(self.MarksChanged(self, marks))

    def _put_cursor(self, number: int) -> None:
        self._moved, self._expected = True, None
        number = max(0, min(number, len(self._rows) - 1))
        if number == self._cursor or not self._rows:
            return
        old, self._cursor = self._cursor, number
        self._refresh_row(old)
        self._refresh_row(number)
        self._reveal()
        self._extend_range()
        self.post_message(self.RowHighlighted(self, self.cursor_key))

    def _reveal(self) -> None:
        """Scroll as little as needed for the cursor to show."""
        if not self.is_attached:
            return
        top, page = int(self.scroll_offset.y), max(1, self._view.height - 1)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._view.height and self._cursor >= top + page:
            self.scroll_to(y=self._cursor - page + 1, animate=False)

    def _refresh_row(self, number: int) -> None:
        y = number + 1 - int(self.scroll_offset.y)
        if 1 <= y < self._view.height:
            self.refresh(Region(0, y, self._view.width, 1))
