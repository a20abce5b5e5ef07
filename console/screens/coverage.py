"""The Coverage screen: which days of the lake are complete, why one is not, and from a hole to the plan of its repair in two keys."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import ClassVar

from textual import work
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static

from console.actions import Mode, bindings_for
from console.arrival_view import arrival_record
from console.blocking import in_thread
from console.coverage_map import VOCABULARY, Grouping, group_name
from console.export import Record
from console.hole_list import hole_record
from console.repair_request import all_holes, load_command, loadable, repair_of
from console.screens.hole_pane import HolePane
from console.screens.lake import LakeScreen
from console.state import Feed
from console.widgets.figures import plural
from console.widgets.heat_looks import HOLES
from console.widgets.heatmap import Heatmap
from console.widgets.legend import HeatLegend
from console.widgets.prompt import Prompt
from console.widgets.sentence import Sentence
from console.widgets.table import NOT_KNOWN, LineTable
from engine.coverage import LOADED, CellReport, Coverage, Layer
from engine.errors import EngineError, one_line
from engine.instrument_coverage import INSTRUMENTS
from engine.model import Cell, CellState
from engine.plan import CANDLES


class CoverageScreen(LakeScreen):
    """Sentence, whether yesterday is in, heatmap, the cell under the cursor, and a list of the holes."""

    MODE = Mode.COVERAGE
    TOLD_ABOVE = "#coverage-cell"
    PRIMARY = "repair"
    FEEDS = ("fleet", "coverage")
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_for(Mode.COVERAGE))
    CSS_PATH = "coverage.tcss"
    AUTO_FOCUS = "Heatmap"

    def __init__(self) -> None:
        super().__init__()
        self._near: tuple[Grouping, frozenset[str]] | None = None
        """How rows were gathered, and which groups were open, before the whole range was shown; None: it is not."""

    def body(self) -> Iterable[Widget]:
        yield Sentence(id="coverage-sentence", now=self.console.clock, stale_after_seconds=60)
        yield Static("", id="coverage-facts", markup=False)
        yield Static("", id="coverage-arrivals", markup=False)
        yield Prompt(vocabulary=VOCABULARY)
        yield Heatmap(fit=True, empty=NOT_KNOWN)
        yield HolePane(id="coverage-list")
        yield Static("", id="coverage-cell", markup=False)
        yield HeatLegend()

    # Heatmap

    def on_heatmap_cursor_moved(self, event: Heatmap.CursorMoved) -> None:
        event.stop()
        self._explain()

    def on_heatmap_marks_changed(self, event: Heatmap.MarksChanged) -> None:
        event.stop()
        self._holes.set_marks(self._marked())
        self._explain()

    def on_hole_pane_marked(self, event: HolePane.Marked) -> None:
        """Marks of the list show in the map; what is marked there beside holes stays."""
        event.stop()
        listed = {row.cell for row in self._holes.rows}
        self._heatmap.set_marks((f"{cell.venue} {cell.data_type}", cell.day) for cell in event.cells | (self._marked() - listed))

    def on_heatmap_cell_selected(self, event: Heatmap.CellSelected) -> None:
        """Enter: from a group to its rows, from years to months to days, from a day to its symbols."""
        event.stop()
        line = self._heatmap.cursor_line
        if line is not None and line.is_group and not line.is_open:
            self._open_groups.add(group_name(line))
            self._fill_at_cursor()
        elif self._heatmap.zoom_nearer():
            return
        elif (report := self._report()) is not None:
            self._open(report)

    # Keys: those of the heatmap work also while the list has the focus, and from the palette

    def action_next_hole(self) -> None:
        self._to_hole(1)

    def action_previous_hole(self) -> None:
        self._to_hole(-1)

    def _to_hole(self, step: int) -> None:
        heatmap = self._heatmap
        before = heatmap.cursor
        if step > 0:
            heatmap.action_next_hole()
        else:
            heatmap.action_previous_hole()
        if before is None or (heatmap.cursor == before and before[2] not in HOLES):
            self.notify("there is no hole in this range", timeout=3)

    def action_next_layer(self) -> None:
        """The next layer of the lake."""
        self._show_layer(self.console.layer.following)

    def _show_layer(self, layer: Layer) -> None:
        """Another layer; what is marked belongs to the one before."""
        self._heatmap.clear_marks()
        self.console.show_layer(layer)
        self.show_coverage(Feed())

    def action_mark_cell(self) -> None:
        self._heatmap.action_mark_cell()

    def action_mark_holes(self) -> None:
        self._heatmap.action_mark_holes()

    def action_zoom_in(self) -> None:
        self._heatmap.action_zoom_in()

    def action_zoom_out(self) -> None:
        self._heatmap.action_zoom_out()

    def action_open_cell(self) -> None:
        self._heatmap.action_open_cell()

    def action_whole_range(self) -> None:
        """All days and rows in one look; from there to the days around the cursor. The cursor stays on its day."""
        heatmap, lake = self._heatmap, self._map
        if lake is None:
            return
        if heatmap.is_whole:
            if self._near is not None:
                self._grouping, self._open_groups = self._near[0], set(self._near[1])
            self._near = None
            self._fill_at_cursor()
            heatmap.show_days()
            return
        self._near = self._grouping, frozenset(self._open_groups)
        if len(heatmap.grid.lines) > heatmap.lines_shown:
            if self._grouping is Grouping.NONE:
                self._grouping = Grouping.VENUE
            self._open_groups.clear()
            self._fill_at_cursor()
        heatmap.show_whole()

    def action_group_rows(self) -> None:
        """Rows as they are, by venue, by type."""
        self._grouping = self._grouping.following
        self._open_groups.clear()
        self._fill()
        self.notify({Grouping.NONE: "rows as they are"}.get(self._grouping, f"grouped by {self._grouping}; c opens one"), timeout=2)

    def action_fold(self) -> None:
        """Open or close the group that the cursor is in."""
        line, at, lake = self._heatmap.cursor_line, self._heatmap.cursor_row, self._map
        if line is None or at is None or lake is None or self._grouping is Grouping.NONE:
            self.notify("g gathers rows into groups first", timeout=3)
            return
        venue, data_type = self._rows[at[0]]
        name = group_name(line) or (venue if self._grouping is Grouping.VENUE else data_type)
        self._open_groups ^= {name}
        self._fill()
        if name not in self._open_groups:
            self._heatmap.move_to(f"group {name}", at[1])

    def action_fold_all(self) -> None:
        """Open all groups, or close them."""
        if self._map is not None:
            self._open_groups = set() if self._open_groups else set(self._map.groups(self._grouping))
            self._fill()

    def action_hole_list(self) -> None:
        """Show or hide the list; it takes the focus when it opens."""
        self.toggle_class("-list")
        (self._holes.table if self.has_class("-list") else self._heatmap).focus()

    def action_arrivals(self) -> None:
        """Whether yesterday is in: every venue."""
        from console.widgets.detail import DetailScreen

        if not self._arrivals:
            self.notify("not known yet", timeout=3)
            return
        self.app.push_screen(DetailScreen(f"Is {self._arrivals[0].day} in?", arrival_record(self._arrivals, self.console.clock())))

    def on_line_table_row_selected(self, event: LineTable.RowSelected) -> None:
        """Enter in the hole list: the cursor goes there, and the heatmap has the keys again."""
        event.stop()
        self._go_to(event.key)
        self._heatmap.focus()

    def on_line_table_row_highlighted(self, event: LineTable.RowHighlighted) -> None:
        event.stop()
        if event.key is not None and self.has_class("-list") and event.table.has_focus:
            self._go_to(event.key)

    def _go_to(self, key: str) -> None:
        """The cursor to the cell of a row of the hole list."""
        if (cell := self._holes.cell_of(key)) is not None:
            self.go_to_cell(cell)

    # Repair

    def action_repair(self) -> None:
        """Plan the repair of the marked cells; of all holes if none are marked."""
        coverage, marked = self._coverage, self._marked()
        if coverage is None:
            self.notify("nothing is known of this range yet", severity="warning", timeout=3)
            return
        definitions = frozenset(cell for cell in marked if cell.data_type == INSTRUMENTS and coverage.report(cell).state in HOLES)
        report = self._report()
        if not marked and report is not None and report.cell.data_type == INSTRUMENTS and report.state is CellState.MISSING:
            definitions = frozenset(each.cell for each in coverage.instrument_holes() if each.cell.venue == report.cell.venue)
        if definitions:
            self._write_definitions(definitions)
            marked = frozenset(cell for cell in marked if cell.data_type != INSTRUMENTS)
            if not marked:
                self._heatmap.clear_marks()
                return
        if coverage.layer is Layer.LOADED:
            self._say_how_to_load(coverage, marked)
            return
        cells = marked or frozenset(all_holes(coverage))
        if not cells and coverage.counts.get(CellState.THIN) and coverage.layer is Layer.CANDLES:
            self.notify("no candles lack; space marks stale ones, r then plans to make them anew", timeout=6)
            return
        self.plan_repair(cells)

    def plan_repair(self, cells: Collection[Cell]) -> None:
        """Show the plan of exactly these cells' repair."""
        stale = any(self._is_stale(cell) for cell in cells)
        repair = repair_of(cells, self._covered, rebuild=stale) if self._covered is not None else None
        if repair is None:
            self.notify("there is no hole in this range", timeout=4)
            return
        self._heatmap.clear_marks()
        self.console.plan_request(repair.request, because=repair.because)

    @work(group="load command", exclusive=True, exit_on_error=False)
    async def _say_how_to_load(self, coverage: Coverage, marked: frozenset[Cell]) -> None:
        """One VM loads whole days: its command is said, and copied."""
        cells = marked or loadable(coverage)
        if not cells:
            self.notify("everything is loaded as it is", timeout=4)
            return
        command = load_command(cells)
        await self.console.copy(command)
        self.notify(command, title=f"to load {plural(len(cells), 'venue-day')}", timeout=15)

    def _is_stale(self, cell: Cell) -> bool:
        """Whether its candles were made of other inputs than the lake holds now: only overwriting them helps."""
        report = self._coverage.reports.get(cell) if self._coverage is not None else None
        return report is not None and cell.data_type == CANDLES and CellState.THIN in (report.state, report.beneath)

    @work(group="definitions", exclusive=True, exit_on_error=False)
    async def _write_definitions(self, cells: frozenset[Cell]) -> None:
        """Definitions of instruments are written from here, create-once, from what the source says now."""
        if self.console.read_only:
            self.notify("read-only; arm it with :write 15m", severity="warning", timeout=6)
            return
        days = plural(len(cells), "day")
        self.notify(f"writing definitions of {days} …", timeout=3)
        try:
            written = await in_thread(partial(self.session.coverage.write_definitions, cells), name="definitions")
        except EngineError as error:
            self.notify(one_line(error), title="definitions not written", severity="error", timeout=15)
            return
        self.notify(f"definitions of {plural(written, 'venue-day')} written", timeout=6)
        self.console.look_again()

    def leave(self) -> bool:
        """Close the filter line, then the list, then drop the marks."""
        if self.query_one(Prompt).has_class("-open"):
            self.query_one(Prompt).action_cancel()
            return True
        if self.has_class("-list"):
            self.action_hole_list()
            return True
        if self._heatmap.marks:
            self._heatmap.clear_marks()
            return True
        return False

    # Views

    def view_settings(self) -> dict[str, str]:
        settings = super().view_settings()
        if self._grouping is not Grouping.NONE:
            settings["group"] = self._grouping.value
        if zoom := self._heatmap.zoom_wanted:
            settings["zoom"] = zoom
        if self.console.layer is not Layer.RAW:
            settings["layer"] = self.console.layer.value
        return settings

    def apply_view(self, settings: Mapping[str, str]) -> None:
        layer = next((each for each in Layer if each.value == settings.get("layer", Layer.RAW.value)), self.console.layer)
        if layer is not self.console.layer:
            self._show_layer(layer)
        self._grouping = next((each for each in Grouping if each.value == settings.get("group")), Grouping.NONE)
        self._near = None
        self._open_groups.clear()
        self._fill_at_cursor()
        self._heatmap.show_zoom(settings.get("zoom", ""))
        super().apply_view(settings)

    # Filter

    def open_filter(self) -> None:
        self.query_one(Prompt).open()

    def on_prompt_changed(self, event: Prompt.Changed) -> None:
        event.stop()
        self._filter = event.query
        self._fill()

    def on_prompt_closed(self, event: Prompt.Closed) -> None:
        event.stop()
        (self._holes.table if self.has_class("-list") else self._heatmap).focus()

    # A cell's symbols

    @work(group="cell", exclusive=True, exit_on_error=False)
    async def _open(self, report: CellReport) -> None:
        from console.screens.cell import CellScreen, read_cell_symbols

        if report.state is CellState.NOT_EXPECTED or report.cell.data_type in (INSTRUMENTS, LOADED):
            whole = "a day is loaded as a whole" if report.cell.data_type == LOADED else "one object a day"
            self.notify("nothing is expected here" if report.state is CellState.NOT_EXPECTED else f"{whole}: see the line below")
            return
        session, covered = self.session, self._covered
        try:
            symbols = await in_thread(partial(read_cell_symbols, session, report, covered), name="cell")
        except EngineError as error:
            self.notify(one_line(error), severity="error", timeout=15)
            return
        if self.is_current:
            self.app.push_screen(CellScreen(self, report, symbols))

    # Copy and export

    def copy_row(self) -> str:
        return str(self.query_one("#coverage-cell", Static).content)

    def subject(self) -> Mapping[str, object]:
        report = self._report()
        if report is None:
            return {}
        return {"venue": report.cell.venue, "data_type": report.cell.data_type, "day": report.cell.day.isoformat()}

    def export_records(self) -> Sequence[Record]:
        """Every cell of the rows that pass the filter; with the hole list open its rows, as `tickdeck repair --cells-from` reads them."""
        coverage = self._coverage
        if coverage is None:
            return ()
        if self.has_class("-list"):
            return [hole_record(row) for row in self._holes.rows]
        return [_record(coverage.report(Cell(day, *reversed(row)))) for row in self._rows.values() for day in coverage.days]


def _record(report: CellReport) -> Record:
    """A cell by field names."""
    return {
        "venue": report.cell.venue,
        "data_type": report.cell.data_type,
        "day": report.cell.day,
        "state": report.state.value,
        "expected": report.expected,
        "done": report.done,
        "bad": report.bad,
        "absent": report.absent,
        "rows": report.rows,
        "sureness": report.sureness.value,
        "reasons": "; ".join(report.reasons),
    }
