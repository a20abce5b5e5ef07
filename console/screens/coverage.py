"""The Coverage screen: which days of the lake are complete, why one is not, and from a hole to the plan of its repair in two keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import ClassVar

from textual import work
from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from console.actions import Mode, bindings_for
from console.blocking import in_thread
from console.coverage_view import STATE_TONES, HoleRow, explain, facts_of, hole_rows, row_label, sentence_of
from console.export import Record
from console.query import EVERYTHING, Query
from console.repair_request import all_holes, repair_of
from console.screens.base import ModeScreen
from console.state import Feed
from console.widgets.figures import one_line as safe
from console.widgets.figures import plural
from console.widgets.heatgrid import ADOPTED_WORD, GLYPHS, HOLES, WORDS
from console.widgets.heatmap import Heatmap
from console.widgets.legend import HeatLegend
from console.widgets.prompt import Prompt
from console.widgets.sentence import Sentence
from console.widgets.table import Column, LineTable, Toned
from console.widgets.tones import Tone
from engine.clock import parse_day
from engine.coverage import Coverage
from engine.errors import EngineError, UsageError, one_line
from engine.model import Cell, CellState, DayRange
from engine.plan import Request


class CoverageScreen(ModeScreen):
    """Sentence, heatmap, the cell under the cursor, and a list of the holes."""

    MODE = Mode.COVERAGE
    FEEDS = ("fleet", "coverage")
    PRIMARY = "repair"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_for(Mode.COVERAGE))
    CSS_PATH = "coverage.tcss"
    AUTO_FOCUS = "Heatmap"

    def __init__(self) -> None:
        super().__init__()
        self._coverage: Coverage | None = None
        self._rows: dict[str, tuple[str, str]] = {}
        """The heatmap's labels -> (venue, data type)."""
        self._filter: Query = EVERYTHING

    def body(self) -> Iterable[Widget]:
        yield Sentence(id="coverage-sentence", now=self.console.clock, stale_after_seconds=60)
        yield Static("", id="coverage-facts", markup=False)
        yield Prompt()
        yield Heatmap(fit=True, empty="reading manifests …")
        yield _hole_table()
        yield Static("", id="coverage-cell", markup=False)
        yield HeatLegend()

    # What the app tells

    def session_opened(self) -> None:
        self._say_reading()

    def show_coverage(self, feed: Feed[Coverage]) -> None:
        """A look at the lake. What was there before stays when one failed."""
        coverage = feed.value
        if coverage is None:
            self._coverage = None
            self._rows = {}
            self.query_one(Heatmap).set_grid((), (), ())
            if feed.error:
                self.query_one(Sentence).set_sentence(feed.error, tone=Tone.BAD)
            else:
                self._say_reading()
            self._explain()
            return
        phrases, tone = sentence_of(coverage)
        self.query_one(Sentence).set_sentence(phrases, tone=tone, as_of=feed.at)
        facts = facts_of(coverage, self.console.clock())
        self.query_one("#coverage-facts", Static).update(f"× {feed.error} · {facts}" if feed.error else facts)
        if coverage is not self._coverage:
            self._coverage = coverage
            self._fill()

    # Heatmap

    def on_heatmap_cursor_moved(self, event: Heatmap.CursorMoved) -> None:
        event.stop()
        self._explain()

    def on_heatmap_marks_changed(self, event: Heatmap.MarksChanged) -> None:
        event.stop()
        self._explain()

    def on_heatmap_cell_selected(self, event: Heatmap.CellSelected) -> None:
        event.stop()
        venue, data_type = self._rows[event.row]
        self._open(Cell(event.day, data_type, venue))

    def _fill(self) -> None:
        """The rows that pass the filter, and the holes."""
        coverage = self._coverage
        if coverage is None:
            return
        labels: dict[str, tuple[str, str]] = {}
        states, adopted = [], []
        for venue, data_type in coverage.rows:
            row = coverage.row(venue, data_type)
            if self._passes(venue, data_type, row, is_adopted=any(coverage.adopted_row(venue, data_type))):
                labels[row_label(venue, data_type)] = (venue, data_type)
                states.append(row)
                adopted.append(coverage.adopted_row(venue, data_type))
        first = not self._rows
        self._rows = labels
        heatmap = self.query_one(Heatmap)
        heatmap.set_grid(tuple(labels), tuple(coverage.days), states, adopted)
        self.query_one(HeatLegend).with_adopted = any(map(any, adopted))
        if first and any(state in HOLES for row in states for state in row) and heatmap.cursor and heatmap.cursor[2] not in HOLES:
            # A person comes here for the holes: the cursor begins on one.
            heatmap.action_next_hole()
        holes = [row for row in hole_rows(coverage) if row_label(row.cell.venue, row.cell.data_type) in labels]
        self.query_one("#coverage-holes", LineTable).set_rows(holes)
        if self._filter:
            self.query_one(Prompt).set_hits(len(labels), len(coverage.rows))
        self._explain()

    def _passes(self, venue: str, data_type: str, states: list[CellState], *, is_adopted: bool) -> bool:
        if not self._filter:
            return True
        words = {state.value for state in states} | ({"hole"} if any(state in HOLES for state in states) else set())
        words |= {ADOPTED_WORD} if is_adopted else set()
        record: dict[str, object] = {"venue": venue, "type": data_type, "data_type": data_type, "is": words}
        return self._filter.matches(record, row_label(venue, data_type))

    def _explain(self) -> None:
        """The line about the cell under the cursor, and how many are marked."""
        line = self.query_one("#coverage-cell", Static)
        cursor, coverage = self.query_one(Heatmap).cursor, self._coverage
        if cursor is None or coverage is None or cursor[0] not in self._rows:
            line.update("")
            return
        venue, data_type = self._rows[cursor[0]]
        report = coverage.reports.get(Cell(cursor[1], data_type, venue))
        if report is None:
            line.update("")
            return
        head, why = explain(report, self.console.clock())
        marked = len(self.query_one(Heatmap).marks)
        parts = [(safe(phrase.text), f"{'bold ' if phrase.strong else ''}{phrase.tone.css}".strip()) for phrase in head]
        marks = (f"◆ {plural(marked, 'cell')} marked: r plans their repair\n", "bold $mark") if marked else ("", "")
        line.update(Content.assemble(marks, *parts, "\n", (safe(why), "$quiet")))

    def _say_reading(self) -> None:
        request = self._covered
        days = f" for {DayRange(request.start, request.end)}" if request is not None else ""
        self.query_one(Sentence).set_sentence(f"Reading what the manifests say{days} …", tone=Tone.BUSY)
        self.query_one("#coverage-facts", Static).update("")

    @property
    def _covered(self) -> Request | None:
        return self.console.covered

    # Keys: those of the heatmap work also while the list has the focus, and from the palette

    def action_next_hole(self) -> None:
        self._to_hole(1)

    def action_previous_hole(self) -> None:
        self._to_hole(-1)

    def _to_hole(self, step: int) -> None:
        heatmap = self.query_one(Heatmap)
        before = heatmap.cursor
        if step > 0:
            heatmap.action_next_hole()
        else:
            heatmap.action_previous_hole()
        if before is None or (heatmap.cursor == before and before[2] not in HOLES):
            self.notify("there is no hole in this range", timeout=3)

    def action_mark_cell(self) -> None:
        self.query_one(Heatmap).action_mark_cell()

    def action_mark_holes(self) -> None:
        self.query_one(Heatmap).action_mark_holes()

    def action_zoom_in(self) -> None:
        self.query_one(Heatmap).action_zoom_in()

    def action_zoom_out(self) -> None:
        self.query_one(Heatmap).action_zoom_out()

    def action_open_cell(self) -> None:
        self.query_one(Heatmap).action_open_cell()

    def action_hole_list(self) -> None:
        """Show or hide the list; it takes the focus when it opens."""
        self.toggle_class("-list")
        table = self.query_one("#coverage-holes", LineTable)
        (table if self.has_class("-list") else self.query_one(Heatmap)).focus()

    def on_line_table_row_selected(self, event: LineTable.RowSelected) -> None:
        """Enter in the hole list: the cursor goes there, and the heatmap has the keys again."""
        event.stop()
        if event.key is not None:
            self._go_to(event.key)
            self.query_one(Heatmap).focus()

    def on_line_table_row_highlighted(self, event: LineTable.RowHighlighted) -> None:
        event.stop()
        if event.key is not None and self.has_class("-list") and event.table.has_focus:
            self._go_to(event.key)

    def go_to_day(self, day: str) -> None:
        """`:day 2024-05-01`: the cursor stays in its row."""
        heatmap = self.query_one(Heatmap)
        try:
            target = parse_day(day, today=self.console.clock().date())
        except UsageError as error:
            self.notify(one_line(error), severity="warning")
            return
        if heatmap.cursor is None or not heatmap.move_to(heatmap.cursor[0], target):
            self.notify(f"{target} is not in the range that is shown", severity="warning", timeout=4)

    def _go_to(self, key: str) -> None:
        """The cursor to the cell of a row of the hole list."""
        venue, data_type, day = key.split(" ")
        self.query_one(Heatmap).move_to(row_label(venue, data_type), date.fromisoformat(day))

    def action_repair(self) -> None:
        """Plan the repair of the marked cells; of all holes if none are marked."""
        coverage, request = self._coverage, self._covered
        if coverage is None or request is None:
            self.notify("nothing is known of this range yet", severity="warning", timeout=3)
            return
        heatmap = self.query_one(Heatmap)
        marked = [Cell(day, *reversed(self._rows[row])) for row, day in heatmap.marks if row in self._rows]
        repair = repair_of(marked or all_holes(coverage), request)
        if repair is None:
            self.notify("there is no hole in this range", timeout=4)
            return
        heatmap.clear_marks()
        self.console.plan_request(repair.request, because=repair.because)

    def leave(self) -> bool:
        """Close the filter line, then the list, then drop the marks."""
        if self.query_one(Prompt).has_class("-open"):
            self.query_one(Prompt).action_cancel()
            return True
        if self.has_class("-list"):
            self.action_hole_list()
            return True
        if self.query_one(Heatmap).marks:
            self.query_one(Heatmap).clear_marks()
            return True
        return False

    # Filter

    def open_filter(self) -> None:
        self.query_one(Prompt).open()

    def on_prompt_changed(self, event: Prompt.Changed) -> None:
        event.stop()
        self._filter = event.query
        self._fill()

    def on_prompt_closed(self, event: Prompt.Closed) -> None:
        event.stop()
        self.query_one(Heatmap).focus()

    # A cell's symbols

    @work(group="cell", exclusive=True, exit_on_error=False)
    async def _open(self, cell: Cell) -> None:
        from console.screens.cell import CellScreen, read_cell_symbols

        coverage = self._coverage
        if coverage is None:
            return
        report = coverage.reports[cell]
        if report.state is CellState.NOT_EXPECTED:
            self.notify("nothing is expected here", timeout=3)
            return
        session, covered = self.session, self._covered
        try:
            symbols = await in_thread(partial(read_cell_symbols, session, report, covered), name="cell")
        except EngineError as error:
            self.notify(one_line(error), severity="error", timeout=15)
            return
        if self.is_current:
            self.app.push_screen(CellScreen(report, symbols, session.profile.data_bucket))

    # Copy and export

    def copy_row(self) -> str:
        return str(self.query_one("#coverage-cell", Static).content)

    def subject(self) -> Mapping[str, object]:
        cursor = self.query_one(Heatmap).cursor
        if cursor is None or cursor[0] not in self._rows:
            return {}
        venue, data_type = self._rows[cursor[0]]
        return {"venue": venue, "data_type": data_type, "day": cursor[1].isoformat()}

    def export_records(self) -> Sequence[Record]:
        """Every cell of the rows that pass the filter."""
        coverage = self._coverage
        if coverage is None:
            return ()
        reports = (coverage.report(Cell(day, data_type, venue)) for venue, data_type in self._rows.values() for day in coverage.days)
        return [
            {
                "venue": each.cell.venue,
                "data_type": each.cell.data_type,
                "day": each.cell.day,
                "state": each.state.value,
                "expected": each.expected,
                "done": each.done,
                "bad": each.bad,
                "absent": each.absent,
                "rows": each.rows,
                "sureness": each.sureness.value,
                "reasons": "; ".join(each.reasons),
            }
            for each in reports
        ]


def _hole_table() -> LineTable[HoleRow]:
    columns: list[Column[HoleRow]] = [
        Column("State", lambda row: Toned(f"{GLYPHS[row.state]} {WORDS[row.state]}", STATE_TONES[row.state]), 9, rank=0),
        Column("Day", lambda row: row.cell.day.isoformat(), 10, rank=1),
        Column("Venue", lambda row: row.cell.venue, 10, 16, 20, rank=2),
        Column("Type", lambda row: row.cell.data_type, 12, 17, 20, rank=3),
        Column("Lacks", lambda row: row.lacking, 9, rank=4, right=True),
        Column("Why", lambda row: Toned(row.reason, Tone.QUIET), 12, 40, 160, rank=5),
    ]
    return LineTable(columns, lambda row: f"{row.cell.venue} {row.cell.data_type} {row.cell.day}", empty="no holes", id="coverage-holes")
