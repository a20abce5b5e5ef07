"""The list of holes under the map: each with its age and what its repair takes, sorted as a person wants, marks shared with the map."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from console.coverage_view import STATE_TONES
from console.hole_list import HoleOrder, HoleRow, hole_rows
from console.repair_request import RepairEstimate
from console.sentences import money
from console.widgets.columns import Column, Toned
from console.widgets.figures import UNKNOWN, format_age, format_bytes, plural
from console.widgets.heat_looks import LOOKS
from console.widgets.table import LineTable
from console.widgets.tones import Tone
from engine.coverage import CellReport
from engine.model import Cell


class HolePane(Vertical):
    """A line that says how many and in which order, and the table."""

    DEFAULT_CSS = """
    HolePane { display: none; height: 40%; border-top: solid $rule; }
    HolePane #holes-head { height: 1; padding: 0 1; color: $quiet; text-wrap: nowrap; text-overflow: ellipsis; }
    HolePane LineTable { height: 1fr; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("s", "sort", "Sort", show=False)]

    class Marked(Message):
        """Holes were marked or unmarked in the list."""

        def __init__(self, cells: frozenset[Cell]) -> None:
            super().__init__()
            self.cells = cells

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._order = HoleOrder.OLDEST
        self._holes: tuple[CellReport, ...] = ()
        self._repair: RepairEstimate | None = None
        self._now: datetime | None = None
        self._cells: dict[str, Cell] = {}
        self._given: frozenset[str] = frozenset()
        """Marks as the map has them."""

    def compose(self) -> ComposeResult:
        yield Static("", id="holes-head", markup=False)
        table: LineTable[HoleRow] = LineTable(
            _columns(), lambda row: row.key, markable=lambda _row: True, empty="no holes", id="coverage-holes"
        )
        yield table

    @property
    def table(self) -> LineTable[HoleRow]:
        """The rows."""
        return self.query_one(LineTable)

    @property
    def rows(self) -> Sequence[HoleRow]:
        """The holes as they are shown."""
        return self.table.rows

    def set_holes(self, holes: Iterable[CellReport], repair: RepairEstimate | None, now: datetime) -> None:
        """Show these; what their repair takes is filled in when it is known."""
        self._holes, self._repair, self._now = tuple(holes), repair, now
        self._fill()

    def set_marks(self, cells: Collection[Cell]) -> None:
        """The cells that are marked in the map."""
        self.table.set_marks(str(cell) for cell in cells)
        self._given = self.table.marks

    def cell_of(self, key: str) -> Cell | None:
        """The cell of a row."""
        return self._cells.get(key)

    def action_sort(self) -> None:
        """The next order: oldest, costliest, worst."""
        self._order = self._order.following
        self._fill()

    def on_line_table_marks_changed(self, event: LineTable.MarksChanged) -> None:
        event.stop()
        marks = self.table.marks
        if marks != self._given:  # a person's, not those of the map
            self._given = marks
            self.post_message(self.Marked(frozenset(self._cells[key] for key in marks if key in self._cells)))

    def _fill(self) -> None:
        if self._now is None:
            return
        rows = hole_rows(self._holes, self._now, repair=self._repair, order=self._order)
        self._cells = {row.key: row.cell for row in rows}
        self.table.set_rows(rows)
        words = f"{plural(len(rows), 'hole')}, {self._order} · s sorts, space marks, enter goes there, / filters"
        self.query_one("#holes-head", Static).update(words)


def _columns() -> list[Column[HoleRow]]:
    return [
        Column("State", lambda row: Toned(f"{LOOKS[row.code].glyph} {LOOKS[row.code].word}", STATE_TONES[row.state]), 9, rank=0),
        Column("Day", lambda row: row.cell.day.isoformat(), 10, rank=1),
        Column("Venue", lambda row: row.cell.venue, 8, 15, 20, rank=2),
        Column("Type", lambda row: row.cell.data_type, 6, 17, 20, rank=3),
        Column("Age", lambda row: format_age(row.age_seconds), 5, rank=4, right=True),
        Column("Lacks", lambda row: row.lacking, 7, 9, rank=5, right=True),
        Column("Size", lambda row: format_bytes(row.bytes) if row.bytes is not None else UNKNOWN, 7, rank=6, right=True),
        Column("$", lambda row: money(row.dollars) if row.dollars is not None else UNKNOWN, 6, rank=7, right=True),
        Column("Why", lambda row: Toned(row.reason, Tone.QUIET), 8, 30, 160, rank=8),
    ]
