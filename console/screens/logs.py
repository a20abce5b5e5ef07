"""Logs: errors by their cause, then the live tail of the run or of one VM; for a VM that is gone, the log it left in the bucket.

The tail belongs to the app and arrives in batches; `LogView` holds and paints the lines. Here is where they come from, in words, and
what the keys do that concern more than the view.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, ClassVar, Final, cast

from textual import on, work
from textual.binding import BindingType
from textual.containers import Vertical
from textual.timer import Timer
from textual.widget import Widget

from console.actions import Mode, bindings_for
from console.blocking import in_thread
from console.log_lines import Cause, Causes, lines_of
from console.query import EVERYTHING, QueryError, parse
from console.screens.base import ModeScreen
from console.widgets.detail import DetailScreen
from console.widgets.figures import format_age, format_count, one_line, plural
from console.widgets.logring import LogLine
from console.widgets.logview import LogView
from console.widgets.prompt import Prompt
from console.widgets.sentence import Phrase, Sentence
from console.widgets.table import Column, LineTable, Toned
from console.widgets.tones import Tone
from engine.errors import one_line as error_line

if TYPE_CHECKING:
    from console.app import ConsoleApp
    from console.export import Record
    from console.state import Feed
    from provision.fleet import FleetSnapshot
    from provision.logs import Batch

FOLLOW_AGAIN_SECONDS: Final = 45.0
"""A tail that said it reconnects and then nothing for so long has ended: it is begun anew."""

_CAUSE_ROWS: Final = 5
_CAUSE_ROWS_LOW: Final = 3
_LOW: Final = 32
"""Lines of a terminal below which the causes take less room."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose logs are shown."""

    run: str = ""
    """Empty: every run."""
    vm: str = ""
    """Empty: every VM."""
    gone: bool = False
    """Nothing runs on the VM any more: its log is looked for in the bucket first."""
    chosen: bool = False
    """A person asked for it; otherwise it follows the run that Fleet shows."""


def show_logs_of(console: ConsoleApp, run: str, vm: str, *, gone: bool) -> None:
    """Switch to Logs, narrowed to one VM.

    Args:
        run: Empty for a VM that is not ours.
        gone: Nothing runs on it any more.
    """
    console.show_mode(Mode.LOGS)
    cast("LogsScreen", console.screen_stack[0]).set_scope(Scope(run, vm, gone, chosen=True))


class LogsScreen(ModeScreen):
    """Causes of errors, and the tail."""

    MODE = Mode.LOGS
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_for(Mode.LOGS))

    DEFAULT_CSS = """
    LogsScreen #logs-causes { display: none; height: auto; border-bottom: solid $rule; }
    LogsScreen #logs-causes.-some { display: block; }
    LogsScreen LogView { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._scope = Scope()
        self._causes = Causes()
        self._tailing = False
        """Whether batches of the tail belong to what is shown."""
        self._ready = False
        self._again: Timer | None = None

    def body(self) -> Iterable[Widget]:
        causes: LineTable[Cause] = LineTable(
            (
                Column("Errors", lambda cause: Toned(format_count(cause.count), Tone.BAD), 6, rank=0, right=True),
                Column("VMs", lambda cause: format_count(cause.vms), 4, rank=2, right=True),
                Column("Cells", lambda cause: format_count(cause.cells) if cause.cells else "—", 5, rank=3, right=True),
                Column("Last", lambda cause: f"{cause.last.astimezone(UTC):%H:%M:%S}", 8, rank=4),
                Column("Cause", lambda cause: cause.example.message, 24, 60, 300, rank=1),
            ),
            lambda cause: cause.key,
            id="logs-causes",
        )
        yield Vertical(
            Sentence(now=self.console.clock, id="logs-source"),
            causes,
            Prompt(id="logs-filter"),
            Prompt(lead="search ", placeholder="highlight words or /regex/; n and N jump", id="logs-search"),
            LogView(now=self.console.clock, id="logs-view"),
            classes="body",
        )

    def session_opened(self) -> None:
        self._ready = True
        self._view.focus()
        if not self._scope.chosen:
            self._scope = replace(self._scope, run=self.console.run_shown)
        self._open_scope()

    # What the app tells

    def show_fleet(self, feed: Feed[FleetSnapshot]) -> None:  # noqa: ARG002 - only that it is shown matters
        if self._ready and not self._scope.chosen and self._scope.run != self.console.run_shown:
            self.set_scope(Scope(self.console.run_shown))

    def show_logs(self, batch: Batch) -> None:
        if not self._tailing:
            return
        self._say_link(batch)
        if lost := sum(batch.suppressed.values()):
            self._view.note_dropped(lost)
        scope = self._scope
        # The tail before this one may still have had a batch under way.
        wanted = [entry for entry in batch.entries if scope.vm in ("", entry.vm) and scope.run in ("", entry.run)]
        self._take(lines_of(wanted, short=bool(scope.run)))

    # What the app asks

    def crumbs(self) -> tuple[str, ...]:
        return ("Logs", *filter(None, (self._scope.vm or self._scope.run,)))

    def leave(self) -> bool:
        filters, search = self._filter, self._search
        if filters.has_class("-open"):
            filters.action_cancel()
        elif search.has_class("-open"):
            search.action_cancel()
        elif search.query_now:
            search.set_query(EVERYTHING)
        elif filters.query_now:
            filters.set_query(EVERYTHING)
        elif self._scope.chosen:
            self.set_scope(Scope(self.console.run_shown))
        else:
            return False
        return True

    def open_filter(self) -> None:
        self._filter.open()
        self._show_hits()

    def copy_row(self) -> str:
        line = self._view.cursor_line
        return "" if line is None else f"{line.time.astimezone(UTC).isoformat()} {line.severity.name} {line.vm} {line.message}"

    def subject(self) -> Mapping[str, object]:
        line = self._view.cursor_line
        return {} if line is None else line.record()

    def export_records(self) -> Sequence[Record]:
        ring = self._view.ring
        return [ring.line(ring.shown_number(position)).record() for position in range(ring.shown_count)]

    def set_scope(self, scope: Scope) -> None:
        """Show other logs; nothing happens if they are shown already."""
        if scope == self._scope and self._ready:
            return
        self._scope = scope
        if self._ready:
            self._open_scope()

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

    # Widgets speak

    @on(LogView.EntrySelected)
    def open_entry(self, message: LogView.EntrySelected) -> None:
        """Enter on a line: all its fields; Enter on a field filters by it."""
        line = message.line
        title = f"{line.severity.name.lower()} · {line.time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC · {line.vm or 'no VM'}"
        self.app.push_screen(DetailScreen(title, line.record()), self._filter_by)

    @on(LogView.Changed)
    def view_changed(self) -> None:
        """Other lines pass now."""
        if self._filter.has_class("-open"):
            self._show_hits()

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
    def prompt_closed(self) -> None:
        """Back to the lines."""
        self._view.focus()

    @on(LineTable.RowSelected, "#logs-causes")
    def open_cause(self, message: LineTable.RowSelected) -> None:
        """Enter on a cause: only its lines."""
        message.stop()
        text = longest_piece(message.key)
        self._filter_by(f'"{text}"' if text else "severity:ERROR")
        self._view.focus()

    # State

    @property
    def _view(self) -> LogView:
        return self.query_one(LogView)

    @property
    def _filter(self) -> Prompt:
        return self.query_one("#logs-filter", Prompt)

    @property
    def _search(self) -> Prompt:
        return self.query_one("#logs-search", Prompt)

    def _filter_by(self, text: str | None) -> None:
        if not text:
            return
        try:
            self._filter.set_query(parse(text))
        except QueryError as error:
            self.notify(str(error), severity="warning")

    def _show_hits(self) -> None:
        self._filter.set_hits(self._view.ring.shown_count, len(self._view.ring))

    def _open_scope(self) -> None:
        self._view.clear()
        self._causes.clear()
        self._show_causes()
        self.console.refresh_status(self)
        if self._scope.gone and self._scope.run:
            self._tailing = False
            self._read_left_behind(self._scope)
        else:
            self._tail()

    def _tail(self) -> None:
        scope = self._scope
        self._tailing = True
        self._plan_again(stop=True)
        self._say(Tone.BUSY, " · connecting …")
        self.console.follow_logs(run=scope.run, vms=(scope.vm,) if scope.vm else ())

    @work(exclusive=True, group="left behind", exit_on_error=False)
    async def _read_left_behind(self, scope: Scope) -> None:
        """The log that a VM wrote into the bucket; if there is none, what Cloud Logging has of it."""
        self._say(Tone.BUSY, " · reading …", source="log-objects")
        try:
            entries = await in_thread(lambda: self.session.logs.logs_of(scope.run, scope.vm), name="log objects")
        except Exception as error:  # noqa: BLE001 - the reason is shown where the source is named
            self._say(Tone.BAD, f" · {error_line(error)}", source="log-objects")
            return
        if scope != self._scope:
            return
        if not entries:
            self._tail()
            return
        newest = entries[-1].timestamp
        age = format_age((self.console.clock() - newest).total_seconds())
        self._take(lines_of(entries, short=True))
        self._say(Tone.QUIET, f" · {plural(len(entries), 'line')}, the last {age} ago; the VM is gone", source="log-objects")

    def _take(self, lines: Sequence[LogLine]) -> None:
        if lines:
            self._view.append(lines)
            if self._causes.add(lines):
                self._show_causes()

    def _show_causes(self) -> None:
        table = cast("LineTable[Cause]", self.query_one("#logs-causes", LineTable))
        ranked = self._causes.ranked()
        table.set_class(bool(ranked), "-some")
        most = _CAUSE_ROWS if self.size.height >= _LOW else _CAUSE_ROWS_LOW
        table.styles.height = min(len(ranked), most) + 2
        table.set_rows(ranked)

    def on_resize(self) -> None:
        self._show_causes()

    # The source, in words

    def _say_link(self, batch: Batch) -> None:
        if batch.state == "reconnecting":
            self._say(Tone.WARN, f" · reconnecting: {batch.reason}; what is missed is read back")
            self._plan_again()
            return
        self._plan_again(stop=True)
        if batch.reason:
            self.notify(batch.reason, title="logs", severity="warning", timeout=15)
        self._say(Tone.GOOD, " · live")

    def _say(self, tone: Tone, how: str, *, source: str = "cloud-logging") -> None:
        scope = self._scope
        whose = scope.vm or ("every VM" if scope.run else "every run")
        of_run = f" of run {scope.run}" if scope.run and not scope.vm else ""
        phrases = [Phrase(source, strong=True), Phrase(f" · {whose}{of_run}"), Phrase(one_line(how), tone)]
        if scope.chosen:
            phrases.append(Phrase(" · esc: every VM", Tone.QUIET))
        self.query_one("#logs-source", Sentence).set_sentence(phrases, tone=tone)

    def _plan_again(self, *, stop: bool = False) -> None:
        if self._again is not None:
            self._again.stop()
        self._again = None if stop else self.set_timer(FOLLOW_AGAIN_SECONDS, self._tail)


def longest_piece(fingerprint: str) -> str:
    """The longest part of a fingerprint that stands in its messages as it is."""
    pieces = (piece.strip(" :,;()[]") for part in fingerprint.replace('"', "…").split("…") for piece in part.split("#"))
    return max(pieces, key=len, default="")
