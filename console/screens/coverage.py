"""The Coverage screen: which days of the lake are complete, why one is not, and from a hole to the plan of its repair in two keys."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from textual import work
from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from console.actions import Mode, bindings_for
from console.arrival_view import arrival_record, arrival_words
from console.blocking import in_thread
from console.coverage_map import MANY_ROWS, VOCABULARY, Grouping, LakeMap, group_name
from console.coverage_view import LAYERS, explain, facts_of, sentence_of
from console.export import Record
from console.hole_list import hole_record
from console.query import EVERYTHING, Query
from console.repair_request import RepairEstimate, all_holes, estimate_of, load_command, loadable, repair_of
from console.screens.base import ModeScreen
from console.screens.hole_pane import HolePane
from console.state import Feed
from console.widgets.figures import one_line as safe
from console.widgets.figures import plural
from console.widgets.heat_looks import HOLES
from console.widgets.heatmap import Heatmap
from console.widgets.legend import HeatLegend
from console.widgets.prompt import Prompt
from console.widgets.sentence import Phrase, Sentence
from console.widgets.table import NOT_KNOWN, LineTable
from console.widgets.tones import Tone
from engine.clock import parse_day
from engine.coverage import LOADED, CellReport, Coverage, Layer, overlay
from engine.errors import EngineError, UsageError, one_line
from engine.instrument_coverage import INSTRUMENTS
from engine.model import Cell, CellState, DayRange
from engine.plan import CANDLES

if TYPE_CHECKING:
    from engine.arrivals import Arrival
    from engine.plan import Request

MANY_CELLS: Final = 4_000
"""From so many cells on they are walked in a thread: a refresh must not hold back a key."""


class CoverageScreen(ModeScreen):
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
        self._coverage: Coverage | None = None
        self._map: LakeMap | None = None
        self._rows: dict[str, tuple[str, str]] = {}
        """The heatmap's labels -> (venue, data type)."""
        self._filter: Query = EVERYTHING
        self._grouping = Grouping.NONE
        self._open_groups: set[str] = set()
        self._repair: RepairEstimate | None = None
        self._estimated: frozenset[Cell] | None = None
        """The holes that the estimate is of."""
        self._arrivals: tuple[Arrival, ...] = ()
        self._wanted: Cell | None = None
        """Where the cursor is to go once the lake was read."""

    def body(self) -> Iterable[Widget]:
        yield Sentence(id="coverage-sentence", now=self.console.clock, stale_after_seconds=60)
        yield Static("", id="coverage-facts", markup=False)
        yield Static("", id="coverage-arrivals", markup=False)
        yield Prompt(vocabulary=VOCABULARY)
        yield Heatmap(fit=True, empty=NOT_KNOWN)
        yield HolePane(id="coverage-list")
        yield Static("", id="coverage-cell", markup=False)
        yield HeatLegend()

    # What the app tells

    def session_opened(self) -> None:
        self._say_reading()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self._look_at_live_work()

    def show_coverage(self, feed: Feed[Coverage]) -> None:
        """A look at the lake. What was there before stays when one failed."""
        coverage = feed.value
        if coverage is None:
            self._coverage = self._map = None
            self._rows = {}
            self._repair, self._estimated = None, None
            self._heatmap.set_grid((), (), ())
            if feed.error:
                self.query_one(Sentence).set_sentence("The lake cannot be seen: which cells are complete is not known", tone=Tone.BAD)
            else:
                self._say_reading()
            self._explain()
            return
        if coverage.layer is not self.console.layer:
            return  # of a recording that holds another layer, or from before L was pressed
        if coverage is not self._coverage:
            self._coverage = coverage
            self._read(coverage)
        self._say(feed)

    def _say(self, feed: Feed[Coverage]) -> None:
        coverage = self._coverage
        if coverage is None:
            return
        phrases, tone = sentence_of(coverage, self._repair)
        self.query_one(Sentence).set_sentence(phrases, tone=tone, as_of=feed.at)
        facts = facts_of(coverage, self.console.clock(), adopted=self._map.adopted if self._map is not None else 0)
        self.query_one("#coverage-facts", Static).update(facts)

    def _read(self, coverage: Coverage) -> None:
        """Walk the cells, in a thread where they are many."""
        if len(coverage.reports) < MANY_CELLS:
            self._show_map(LakeMap.of(coverage))
        else:
            self._read_slowly(coverage)

    @work(group="map", exclusive=True, exit_on_error=False)
    async def _read_slowly(self, coverage: Coverage) -> None:
        lake = await in_thread(partial(LakeMap.of, coverage), name="map")
        if coverage is self._coverage:
            self._show_map(lake)
            self._say(self.console.coverage)

    def _show_map(self, lake: LakeMap) -> None:
        first = self._map is None
        self._map = lake
        if first and len(lake.rows) > MANY_ROWS:
            self._grouping = Grouping.VENUE
        self._fill()
        heatmap = self._heatmap
        if first and lake.holes and heatmap.cursor and heatmap.cursor[2] not in HOLES:
            # A person comes here for the holes: the cursor begins on one.
            heatmap.action_next_hole()
        if self._wanted is not None:
            self.go_to_cell(self._wanted)
        self._estimate()
        self._look_for_arrivals()

    # Heatmap

    @property
    def _heatmap(self) -> Heatmap:
        return self.query_one(Heatmap)

    @property
    def _holes(self) -> HolePane:
        return self.query_one(HolePane)

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
            at = self._heatmap.cursor_row
            self._fill()
            if at is not None:
                self._heatmap.move_to(*at)
        elif self._heatmap.zoom_nearer():
            return
        elif (report := self._report()) is not None:
            self._open(report)

    def _fill(self) -> None:
        """The rows that pass the filter, gathered, and the holes among them."""
        lake = self._map
        if lake is None:
            return
        grid, self._rows = lake.arrange(self._filter, self._grouping, self._open_groups)
        self._heatmap.show_grid(grid)
        self.query_one(HeatLegend).shown = lake.looks
        shown = [report for report in lake.holes if f"{report.cell.venue} {report.cell.data_type}" in self._rows]
        self._holes.set_holes(shown, self._repair, self.console.clock())
        if self._filter:
            self.query_one(Prompt).set_hits(len(self._rows), len(lake.rows))
        self._explain()

    def _marked(self) -> frozenset[Cell]:
        return frozenset(Cell(day, *reversed(self._rows[row])) for row, day in self._heatmap.marks if row in self._rows)

    def _report(self) -> CellReport | None:
        """The cell under the cursor; of a group the worst of its rows."""
        at, coverage = self._heatmap.cursor_row, self._coverage
        if at is None or coverage is None or at[0] not in self._rows:
            return None
        venue, data_type = self._rows[at[0]]
        return coverage.reports.get(Cell(at[1], data_type, venue))

    def _explain(self) -> None:
        """The line about the cell under the cursor, and how many are marked."""
        line, report = self.query_one("#coverage-cell", Static), self._report()
        if report is None:
            line.update("")
            return
        head, why = explain(report, self.console.clock())
        group = self._heatmap.cursor_line
        if group is not None and group.is_group:
            head = [Phrase(f"worst of {plural(len(group.rows), 'row')}: "), *head]
        marked = len(self._heatmap.marks)
        parts = [(safe(phrase.text), f"{'bold ' if phrase.strong else ''}{phrase.tone.css}".strip()) for phrase in head]
        marks = (f"◆ {plural(marked, 'cell')} marked: r plans their repair\n", "bold $mark") if marked else ("", "")
        line.update(Content.assemble(marks, *parts, "\n", (safe(why), "$quiet")))

    def _say_reading(self) -> None:
        request = self._covered
        days = f" for {DayRange(request.start, request.end)}" if request is not None else ""
        of = "" if self.console.layer is Layer.RAW else f" of {LAYERS[self.console.layer]}"
        self.query_one(Sentence).set_sentence(f"Reading what the manifests say{of}{days} …", tone=Tone.BUSY)
        for name in ("#coverage-facts", "#coverage-arrivals"):
            self.query_one(name, Static).update("")

    @property
    def _covered(self) -> Request | None:
        return self.console.covered

    # What is worked out beside the map

    @work(group="estimate", exclusive=True, exit_on_error=False)
    async def _estimate(self) -> None:
        """What a repair of all holes takes; asked again when other cells are holes."""
        coverage, request = self._coverage, self._covered
        if coverage is None or request is None:
            return
        holes = frozenset(all_holes(coverage))
        if holes == self._estimated or coverage.layer is Layer.LOADED:
            return
        repair = repair_of(holes, request)
        found: RepairEstimate | None = None
        if repair is not None:
            try:
                found = estimate_of(await in_thread(partial(self.session.planning.plan, repair.request), name="repair estimate"))
            except Exception:  # noqa: BLE001 - the sentence does without it, and the next look tries again
                return
        self._repair, self._estimated = found, holes
        if self._map is not None:
            self._fill()
            self._say(self.console.coverage)

    @work(group="arrivals", exclusive=True, exit_on_error=False)
    async def _look_for_arrivals(self) -> None:
        """Whether yesterday is in, venue by venue."""
        coverage, request, session = self._coverage, self._covered, self.session
        if coverage is None or request is None or coverage.layer is not Layer.RAW:
            return
        types = tuple(name for name in request.data_types if name != INSTRUMENTS)
        ask = partial(
            session.coverage.arrivals, request.venues, types, symbols=request.symbols, universe=request.universe, coverage=coverage
        )
        try:
            self._arrivals = await in_thread(ask, name="arrivals")
        except Exception:  # noqa: BLE001 - it is one line beside the map, which says itself when the link is down
            return
        if coverage is not self._coverage:
            return
        now = self.console.clock()
        parts = [
            (safe(each.text), f"{'bold ' if each.strong else ''}{each.tone.css}".strip()) for each in arrival_words(self._arrivals, now)
        ]
        self.query_one("#coverage-arrivals", Static).update(Content.assemble(*parts))

    @work(group="live work", exclusive=True, exit_on_error=False)
    async def _look_at_live_work(self) -> None:
        """What was launched a moment ago shows before the next look at the whole lake: it takes three small listings."""
        before = self._coverage
        if before is None:
            return
        try:
            live = await in_thread(lambda: self.session.inventory.live(self.console.clock()), name="live work")
        except Exception:  # noqa: BLE001 - the next look at the lake says what is wrong
            return
        if before is self._coverage and (after := overlay(before, live)) is not before:
            self._coverage = after
            self._read(after)
            self._say(self.console.coverage)

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
        """The next layer of the lake; what is marked belongs to the one before."""
        self._heatmap.clear_marks()
        self.console.show_layer(self.console.layer.following)
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

    def go_to_day(self, day: str) -> None:
        """`:day 2024-05-01`: the cursor stays in its row."""
        heatmap = self._heatmap
        try:
            target = parse_day(day, today=self.console.clock().date())
        except UsageError as error:
            self.notify(one_line(error), severity="warning")
            return
        if heatmap.cursor is None or not heatmap.move_to(heatmap.cursor[0], target):
            self.notify(f"{target} is not in the range that is shown", severity="warning", timeout=4)

    def go_to_cell(self, cell: Cell) -> None:
        """Put the cursor on a cell, once the lake was read; its group opens; say so if it is not shown."""
        if self._map is None:
            self._wanted = cell
            return
        self._wanted = None
        label = f"{cell.venue} {cell.data_type}"
        if self._heatmap.move_to(label, cell.day):
            return
        if self._grouping is not Grouping.NONE:
            self._open_groups.add(cell.venue if self._grouping is Grouping.VENUE else cell.data_type)
            self._fill()
            if self._heatmap.move_to(label, cell.day):
                return
        self.notify(f"{label} {cell.day} is not among what is shown", severity="warning", timeout=5)

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
