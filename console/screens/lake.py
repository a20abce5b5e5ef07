"""What the Coverage screen knows: the last look at the lake as a map, the cell under the cursor, and what is worked out beside it
in threads: the repair of all holes, whether yesterday is in, what runs since. What keys do with it is `coverage`'s.
"""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Final

from textual import events, work
from textual.content import Content
from textual.widgets import Static

from console.arrival_view import arrival_words
from console.blocking import in_thread
from console.coverage_map import MANY_ROWS, Grouping, LakeMap
from console.coverage_view import LAYERS, explain, facts_of, sentence_of
from console.query import EVERYTHING, Query
from console.repair_request import RepairEstimate, all_holes, estimate_of, repair_of
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
from console.widgets.tones import Tone
from engine.coverage import CellReport, Coverage, Layer, overlay
from engine.instrument_coverage import INSTRUMENTS
from engine.model import Cell, DayRange

if TYPE_CHECKING:
    from engine.arrivals import Arrival
    from engine.plan import Request

MANY_CELLS: Final = 4_000
"""From so many cells on they are walked in a thread: a refresh must not hold back a key."""


class LakeScreen(ModeScreen):
    """A lake as a map."""

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
        self._wanted: Cell | date | None = None
        """Where the cursor is to go once the lake was read."""

    # What it is made of

    @property
    def _heatmap(self) -> Heatmap:
        return self.query_one(Heatmap)

    @property
    def _holes(self) -> HolePane:
        return self.query_one(HolePane)

    @property
    def _covered(self) -> Request | None:
        return self.console.covered

    # What the app tells

    def session_opened(self) -> None:
        self._say_reading()

    def on_screen_resume(self, event: events.ScreenResume) -> None:  # noqa: ARG002 - the base hears of it too, by Textual
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

    def _say_reading(self) -> None:
        request = self._covered
        days = f" for {DayRange(request.start, request.end)}" if request is not None else ""
        of = "" if self.console.layer is Layer.RAW else f" of {LAYERS[self.console.layer]}"
        self.query_one(Sentence).set_sentence(f"Reading what the manifests say{of}{days} …", tone=Tone.BUSY)
        for name in ("#coverage-facts", "#coverage-arrivals"):
            self.query_one(name, Static).update("")

    # The map

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
        if isinstance(self._wanted, Cell):
            self.go_to_cell(self._wanted)
        elif self._wanted is not None:
            self.go_to_day(self._wanted)
        self._estimate()
        self._look_for_arrivals()

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

    def _fill_at_cursor(self) -> None:
        """Rows gathered otherwise; the cursor stays on the row and day it was on, as far as that row is a line."""
        at = self._heatmap.cursor_row
        self._fill()
        if at is not None:
            self._heatmap.move_to(*at)

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

    def go_to_day(self, day: date) -> None:
        """Put the cursor on a day of its row, once the lake was read; say so if the day is not shown."""
        if self._map is None:
            self._wanted = day
            return
        self._wanted = None
        heatmap = self._heatmap
        if heatmap.cursor is None or not heatmap.move_to(heatmap.cursor[0], day):
            self.notify(f"{day} is not in the range that is shown", severity="warning", timeout=4)

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
