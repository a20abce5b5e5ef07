"""Logs: errors by their cause, severity over time, then the live tail of the run or of one VM, or what was said in the past.

`console.screens.log_reading` gets the lines, `LogView` holds and paints them. Here is what the keys do that concern more than the view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from console.actions import Mode, bindings_for
from console.log_lines import VOCABULARY, preemptions
from console.log_saving import FrozenLines, text_of, text_of_record
from console.log_scope import Scope
from console.query import EVERYTHING, QueryError, parse
from console.screens.log_links import show_cell_of, show_vm_of
from console.screens.log_reading import LogReading
from console.widgets.ask_line import AskLine
from console.widgets.causes_table import CausesTable
from console.widgets.detail import DetailScreen
from console.widgets.figures import format_moment
from console.widgets.log_source import LogSource
from console.widgets.loghistogram import LOW, LogHistogram
from console.widgets.logline import Severity
from console.widgets.logpaint import TimeFormat
from console.widgets.logview import LogView
from console.widgets.prompt import Prompt
from console.widgets.table import LineTable

if TYPE_CHECKING:
    from console.export import Record
    from console.state import Feed
    from provision.fleet import FleetSnapshot

PUSH_SECONDS: Final = 0.3
"""After the last key that changed the least severity: then the query is changed."""
FIGURES_SECONDS: Final = 0.4
"""Between two updates of causes and histogram."""

VERY_LOW: Final = 16
"""Below so many lines of the terminal the lines themselves need the room of the histogram."""
_CAUSE_ROWS: Final = 5
_CAUSE_ROWS_LOW: Final = 2


class LogsScreen(LogReading):
    """Causes of errors, severity over time, and the lines."""

    MODE = Mode.LOGS
    TOLD_UNDER = "LogView"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_for(Mode.LOGS))

    DEFAULT_CSS = """
    LogsScreen LogHistogram { display: none; }
    LogsScreen LogHistogram.-some { display: block; }
    LogsScreen.-cramped LogHistogram, LogsScreen.-cramped CausesTable { display: none; }
    LogsScreen LogView { height: 1fr; }
    """

    def body(self) -> Iterable[Widget]:
        yield Vertical(
            LogSource(now=self.console.clock, id="logs-source"),
            LogHistogram(now=self.console.clock, id="logs-histogram"),
            CausesTable(id="logs-causes"),
            Prompt(vocabulary=VOCABULARY, id="logs-filter"),
            Prompt(lead="search ", placeholder="highlight words or /regex/; Enter, n and N jump", id="logs-search"),
            AskLine("go to ", "03:15   -10m   2024-05-01T03:15Z", self._time_words, id="logs-time"),
            LogView(now=self.console.clock, line_of=self._line_of, taken=self._taken, id="logs-view"),
            classes="body",
        )

    def session_opened(self) -> None:
        self._ready = True
        self._view.focus()
        self.set_interval(FIGURES_SECONDS, self._refresh_figures)
        if not self._scope.chosen:
            self._scope = replace(self._scope, run=self.console.run_shown)
        self._open_scope()

    def time_moved(self, *, back: bool) -> None:
        if back and self._ready:
            self._open_scope()

    # What the app tells

    def show_fleet(self, feed: Feed[FleetSnapshot]) -> None:
        if not self._ready:
            return
        if not self._scope.chosen and self._scope.run != self.console.run_shown:
            self._before.clear()
            self._change_scope(Scope(self.console.run_shown))
        if feed.value is not None:
            self._fleet_marks = preemptions(feed.value, self._scope.run)
            self._stale = True

    # What the app asks

    def crumbs(self) -> tuple[str, ...]:
        return ("Logs", *filter(None, (self._scope.crumb,)))

    def leave(self) -> bool:
        filters, search, ask = self._filter, self._search, self.query_one(AskLine)
        if ask.is_open:
            ask.action_cancel()
        elif filters.has_class("-open"):
            filters.action_cancel()
        elif search.has_class("-open"):
            search.action_cancel()
        elif self._histogram.has_focus or self._table.has_focus:
            self._view.focus()
        elif search.query_now:
            search.set_query(EVERYTHING)
        elif filters.query_now:
            filters.set_query(EVERYTHING)
        elif self._before:
            self._go_back(self._before.pop())
        elif self._scope.chosen:
            self._change_scope(Scope(self.console.run_shown))
        else:
            return False
        return True

    def open_filter(self) -> None:
        self._filter.open()
        self._show_hits()

    def copy_row(self) -> str:
        if self._table.has_focus and (cause := self._table.cursor_row) is not None:
            return cause.example.message
        line = self._view.cursor_line
        return "" if line is None else text_of(line)

    def subject(self) -> Mapping[str, object]:
        line = self._view.cursor_line
        return {} if line is None else line.record()

    def export_records(self) -> Sequence[Record]:
        return FrozenLines(self._view.ring)

    def export_text(self) -> Callable[[Record], str]:
        return text_of_record

    def own_place(self) -> Scope:
        return self._scope

    def go_to_place(self, own: object) -> None:
        if not isinstance(own, Scope) or own == self._scope:
            return
        while any(shown.scope == own for shown in self._before):
            self._go_back(self._before.pop())
        if own != self._scope:
            self.set_scope(own)

    def view_settings(self) -> dict[str, str]:
        view = self._view
        settings = super().view_settings()
        if view.ring.minimum is not Severity.DEFAULT:
            settings["severity"] = view.ring.minimum.name.lower()
        if view.time_format is not TimeFormat.CLOCK:
            settings["time"] = str(view.time_format)
        return settings

    def apply_view(self, settings: Mapping[str, str]) -> None:
        super().apply_view(settings)
        self._view.choose(Severity.__members__.get(settings.get("severity", "").upper(), Severity.DEFAULT))
        self._view.choose_time_format(settings.get("time", str(TimeFormat.CLOCK)))

    # Keys; the view has most of them itself while it has the focus

    def action_toggle_follow(self) -> None:
        self._view.action_toggle_follow()

    def action_more_severities(self) -> None:
        self._view.action_more_severities()

    def action_fewer_severities(self) -> None:
        self._view.action_fewer_severities()

    def action_all_severities(self) -> None:
        self._view.action_all_severities()

    def action_cycle_time(self) -> None:
        self._view.action_cycle_time()

    def action_search(self) -> None:
        self._search.open()

    def action_next_match(self) -> None:
        self._view.action_next_match()

    def action_previous_match(self) -> None:
        self._view.action_previous_match()

    def action_open_entry(self) -> None:
        self._view.action_open_entry()

    def action_go_to_time(self) -> None:
        self.query_one(AskLine).open()

    def action_focus_histogram(self) -> None:
        if self._histogram.has_focus or not self._histogram.has_class("-some"):
            self._view.focus()
        else:
            self._histogram.focus()

    def action_focus_causes(self) -> None:
        if self._table.has_focus or not self._table.rows:
            self._view.focus()
        else:
            self._table.focus()

    def action_around(self) -> None:
        """What all VMs said about the time of this line."""
        if (line := self._view.cursor_line) is not None:
            run = str(line.fields.get("run", "")) or self._scope.run
            self.set_scope(Scope(run, chosen=True, around=line.time))

    def action_line_vm(self) -> None:
        """The VM of this line, in Fleet."""
        if problem := show_vm_of(self.console, self._view.cursor_line):
            self.notify(problem, timeout=4)

    def action_line_cell(self) -> None:
        """What this line is about, in Coverage."""
        if problem := show_cell_of(self.console, self._view.cursor_line):
            self.notify(problem, timeout=4)

    def action_older(self) -> None:
        if self._view.ring.let_go:
            self._gap_list()
        elif self._scope.around is not None:
            self.notify("all of that time is here; escape goes back", timeout=4)
        else:
            self._source.reading("older lines")
            until = min(self._floor, self.console.clock())
            begin = min(self._scope.begin(self.console.clock()), until - timedelta(hours=1))
            self._read(self._scope.to_history(self.console.clock(), self._asked, since=begin, until=until), "older")

    def action_missing(self) -> None:
        if self._gaps():
            self._gap_list()
        else:
            self.notify(f"nothing is missing since {self._floor:%m-%d %H:%M:%S} UTC; o reads older lines", timeout=5)

    # Widgets speak

    @on(LogView.EntrySelected)
    def open_entry(self, message: LogView.EntrySelected) -> None:
        """Enter on a line: all its fields; Enter on a field filters by it, `-` hides what has it."""
        line = message.line
        title = f"{line.severity.name.lower()} · {format_moment(line.time)} · {line.vm or 'no VM'}"
        self.app.push_screen(DetailScreen(title, line.record()), self._filter_by)

    @on(LogView.Changed)
    def view_changed(self) -> None:
        """Other lines pass now."""
        self._stale = True
        if monotonic() - self._figures_at >= FIGURES_SECONDS:
            self._refresh_figures()
        if self._filter.has_class("-open"):
            self._show_hits()

    @on(LogView.MinimumChanged)
    def minimum_changed(self) -> None:
        """Ask for no less severe lines, once the keys rest."""
        if self._push is not None:
            self._push.stop()
        self._push = self.set_timer(PUSH_SECONDS, self._push_minimum)

    @on(LogView.NothingFound)
    def nothing_found(self) -> None:
        """A search went around."""
        self.notify("no line that is shown matches the search", timeout=3)

    @on(LogHistogram.BucketSelected)
    def jump_to_bucket(self, message: LogHistogram.BucketSelected) -> None:
        """Enter on a bar."""
        self._view.focus()
        self._jump(message.moment)

    @on(AskLine.Answered)
    def jump_to_time(self, message: AskLine.Answered) -> None:
        """A time was typed."""
        self._jump(self._moment(message.text))

    @on(Prompt.Changed, "#logs-filter")
    def filter_changed(self, message: Prompt.Changed) -> None:
        """Filter as it is typed."""
        self._view.set_filter(message.query)
        self._show_hits()

    @on(Prompt.Changed, "#logs-search")
    def search_changed(self, message: Prompt.Changed) -> None:
        """Highlight as it is typed."""
        self._view.set_search(message.query)

    @on(Prompt.Closed)
    @on(AskLine.Closed)
    def prompt_closed(self) -> None:
        """Back to the lines."""
        self._view.focus()

    @on(Prompt.Closed, "#logs-search")
    def search_closed(self, message: Prompt.Closed) -> None:
        """Enter goes to a hit: to the newest while the end is followed, else to the next."""
        if message.entered and message.query:
            if self._view.following:
                self._view.action_previous_match()
            else:
                self._view.action_next_match()

    @on(LineTable.RowSelected, "#logs-causes")
    def open_cause(self, message: LineTable.RowSelected) -> None:
        """Enter on a cause: only its lines."""
        message.stop()
        self._filter_by(f"cause:{message.key}" if message.key else "severity:/ERROR|CRITICAL/")
        self._view.focus()

    def _filter_by(self, text: str | None) -> None:
        """Narrow the filter by one more term; a cause takes the place of another."""
        if not text:
            return
        try:
            term = parse(text).terms[0]
            kept = [each for each in self._filter.query_now.terms if str(each) != text and not (term.field == each.field == "cause")]
            self._filter.set_query(parse(" ".join([*map(str, kept), text])))
        except QueryError as error:
            self.notify(str(error), severity="warning")

    def _show_hits(self) -> None:
        self._filter.set_hits(self._view.ring.shown_count, len(self._view.ring))

    # Figures

    def _refresh_figures(self) -> None:
        if not self._stale or not self.is_current:
            return
        self._stale = False
        self._figures_at = monotonic()
        self._show_causes()
        histogram, counts = self._histogram, self._view.ring.histogram
        histogram.set_class(bool(counts) and self.size.height >= VERY_LOW, "-some")
        histogram.set_class(self.size.height >= LOW, "-tall")
        marks = sorted((moment, vm) for vm, moment in (self._fleet_marks | self._marks).items())
        histogram.set_counts(counts, marks)

    def _show_causes(self) -> None:
        height = self.size.height
        self._table.show_causes(self._causes.ranked(), most=1 if height < VERY_LOW else _CAUSE_ROWS_LOW if height < LOW else _CAUSE_ROWS)

    def on_resize(self) -> None:
        self._stale = True
        self._refresh_figures()
