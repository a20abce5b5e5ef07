"""Where the lines of the Logs screen come from: the tail, the past, and what did not come; whose logs they are, and whose before.

The tail belongs to the app and arrives in batches; `LogView` holds and paints the lines. Apart from the Logs screen, which has the keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from textual import work
from textual.timer import Timer

from console.blocking import in_thread
from console.log_causes import Causes
from console.log_gaps import CUT, LET_GO, MOST_LINES, NOT_READ, SUPPRESSED, Gap, gap_line
from console.log_lines import line_of, lines_of, tells_preemption
from console.log_scope import HISTORY_LINES, TAIL_LINES, Scope
from console.moments import parse_moment
from console.screens.base import ModeScreen
from console.widgets.causes_table import CausesTable
from console.widgets.figures import format_count, one_line, plural
from console.widgets.log_source import CONNECTING, NOTHING, READING, SILENT, LogSource
from console.widgets.loghistogram import LogHistogram
from console.widgets.logline import LogLine, Severity
from console.widgets.logpaint import TimeFormat
from console.widgets.logscroll import Held
from console.widgets.logview import LogView
from console.widgets.prompt import Prompt
from engine.errors import one_line as error_line

if TYPE_CHECKING:
    from provision.logs import Batch, Evidence, LogEntry, Question
    from provision.logs.evidence import Where

FOLLOW_AGAIN_SECONDS: Final = 45.0
"""A tail that said it reconnects and then nothing for so long has ended: it is begun anew."""
LATE: Final = timedelta(seconds=10)
"""An entry seldom takes longer from its VM to here."""

_NEAR: Final = timedelta(minutes=2)
"""Read on both sides of a time that lies far back."""
_MOST_MARKS: Final = 500


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the screen showed before it was asked for something narrower."""

    scope: Scope
    held: Held
    causes: Causes
    marks: dict[str, datetime]
    floor: datetime


class LogReading(ModeScreen):
    """A screen with a `LogView` and a `LogSource`."""

    def __init__(self) -> None:
        super().__init__()
        self._scope = Scope()
        self._before: list[_Shown] = []
        self._causes = Causes()
        self._marks: dict[str, datetime] = {}
        """VM -> when it was preempted, as its own lines tell."""
        self._fleet_marks: dict[str, datetime] = {}
        """The same as the fleet's records tell, which is a little later."""
        self._floor = datetime.max.replace(tzinfo=UTC)
        """From this time on all lines of the least severity asked for are here, but for the gaps."""
        self._asked = Severity.DEFAULT
        self._tailing = False
        """Whether batches of the tail belong to what is shown."""
        self._resumed: datetime | None = None
        """The newest line held when the tail was begun anew."""
        self._heard: datetime | None = None
        """When the tail last said something."""
        self._ready = False
        self._stale = False
        """Whether causes and histogram are older than the lines."""
        self._figures_at = 0.0
        self._again: Timer | None = None
        self._push: Timer | None = None

    def show_logs(self, batch: Batch) -> None:
        if not self._tailing:
            return
        now = self.console.clock()
        self._hear_link(batch)
        scope = self._scope
        # The tail before this one may still have had a batch under way.
        wanted = [entry for entry in batch.entries if scope.vm in ("", entry.vm) and scope.run in ("", entry.run)]
        if batch.state == "connected" and self._resumed is not None:
            self._note_resumed(wanted)
        if lost := sum(batch.suppressed.values()):
            reasons = ", ".join(batch.suppressed)
            # Entries are some seconds older than the batch they come in.
            self._note_gap(Gap((self._heard or now) - LATE, now, lost, f"{SUPPRESSED} ({reasons})"))
        self._heard = now
        self._view.append(wanted)

    # Whose logs

    def set_scope(self, scope: Scope) -> None:
        """Show other logs, and what is shown now again after them; nothing happens if they are shown already."""
        if scope == self._scope and self._ready:
            return
        if self._ready and scope.chosen:
            self._before.append(_Shown(self._scope, self._view.hold(), self._causes, self._marks, self._floor))
        self._change_scope(scope)

    # Its widgets

    @property
    def _source(self) -> LogSource:
        return self.query_one(LogSource)

    @property
    def _view(self) -> LogView:
        return self.query_one(LogView)

    @property
    def _histogram(self) -> LogHistogram:
        return self.query_one(LogHistogram)

    @property
    def _table(self) -> CausesTable:
        return self.query_one(CausesTable)

    @property
    def _filter(self) -> Prompt:
        return self.query_one("#logs-filter", Prompt)

    @property
    def _search(self) -> Prompt:
        return self.query_one("#logs-search", Prompt)

    # Scopes

    def _change_scope(self, scope: Scope) -> None:
        self._scope = scope
        if self._ready:
            self._open_scope()

    def _open_scope(self) -> None:
        self._view.clear()
        self._causes, self._marks, self._floor = Causes(), {}, self.console.clock()
        self._resumed = None
        self._stale = True
        self.console.refresh_status(self)
        self._load()

    def _load(self) -> None:
        """Ask for the lines of the scope, from the least severity on that is shown."""
        self._ask_from_minimum()
        now = self.console.clock()
        self._tailing = False
        if self._scope.vm or self._scope.around is not None:
            self._source.reading()
            self._view.set_why_empty(READING)
            self._read(self._scope.to_history(now, self._asked), "scope")
        else:
            self._tail(self._scope.to_tail(now, self._asked))

    def _ask_from_minimum(self) -> None:
        """From now on ask for what is shown, and for nothing less severe."""
        self._asked = self._view.ring.minimum
        self._view.set_asked(self._asked)
        self._source.speak_of(self._scope, self._asked, nested=bool(self._before))

    def _go_back(self, shown: _Shown) -> None:
        self._scope, self._causes, self._marks, self._floor = shown.scope, shown.causes, shown.marks, shown.floor
        self._view.show_held(shown.held)
        self._stale = True
        self.console.refresh_status(self)
        self._ask_from_minimum()
        self._tailing = False
        if self._scope.follows:
            self._resume()
        else:
            self._say_state()

    def _push_minimum(self) -> None:
        if self._view.ring.minimum is self._asked:
            return
        if self._view.ring.minimum > self._asked and self._scope.follows and not self._scope.vm:
            # What is held has all of them; only what comes is narrowed.
            self._ask_from_minimum()
            self._resume()
        else:
            self._load()

    # Reading

    def _tail(self, question: Question) -> None:
        self._tailing = True
        self._plan_again(stop=True)
        self._source.connecting()
        self._view.set_why_empty(CONNECTING)
        self.console.follow_logs(question)

    def _resume(self) -> None:
        """Follow again, from the newest line held on."""
        now = self.console.clock()
        self._resumed = self._view.ring.newest
        since = max(self._resumed - timedelta(seconds=60), now - timedelta(hours=1)) if self._resumed is not None else None
        self._tail(self._scope.to_tail(now, self._asked, since=since))

    @work(exclusive=True, group="logs", exit_on_error=False)
    async def _read(self, question: Question, why: str, target: datetime | None = None, gap: Gap | None = None) -> None:
        """Look into the past, wherever it is kept, and put it where it belongs.

        Args:
            why: `scope`, `older`, `jump` or `gap`.
            target: Go there then.
            gap: What it should close.
        """
        scope = self._scope
        try:
            found = await in_thread(lambda: self._find(question, short=bool(scope.run)), name="logs")
        except Exception as error:  # noqa: BLE001 - the reason is shown where the source is named
            self._say_failed(error_line(error), why)
            return
        if scope != self._scope:
            return
        evidence, lines = found
        taken = self._view.ring.taken
        self._view.append(lines)
        self._view.drain()
        if why in ("scope", "older"):
            full = len(evidence.entries) >= question.lines
            self._floor = min(self._floor, evidence.entries[0].timestamp if full else question.since)
        for remark in evidence.remarks:
            if not remark.startswith("the last "):
                self.notify(one_line(remark), title="logs", timeout=8)
        if gap is not None:
            self._say_closed(gap, self._view.ring.taken - taken)
        if why == "scope":
            self._scope_read(evidence)
        else:
            self._say_state(evidence)
        if why == "older":
            self._say_older(evidence, question)
        if target is not None:
            self._view.move_to_time(target)

    def _find(self, question: Question, *, short: bool) -> tuple[Evidence, list[LogLine]]:
        """In a thread: a history may be long."""
        evidence = self.session.logs.find_logs(question)
        return evidence, lines_of(evidence.entries, short=short)

    def _scope_read(self, evidence: Evidence) -> None:
        scope = self._scope
        if scope.around is not None:
            self._view.move_to_time(scope.around)
        if scope.follows:
            self._resume()
        else:
            self._say_state(evidence)
        if scope.at is not None:
            self._jump(scope.at)

    def _jump(self, moment: datetime) -> None:
        """Go to a time, and read what was said then if it is not here."""
        if moment >= self._floor or self._scope.around is not None or self._view.ring.let_go:
            self._view.move_to_time(moment)
            if moment < self._floor:
                self.notify(f"that is before what is here; {self._scope.to_command(moment, None, self._asked)}", timeout=10)
            return
        near = moment + _NEAR
        until = min(self._floor, near)
        if near < self._floor:
            self._view.note_gap(Gap(near, self._floor, 0, NOT_READ))
        self._floor = moment - _NEAR
        self._source.reading(f"what was said about {moment:%m-%d %H:%M:%S} UTC")
        self._read(self._scope.to_span(moment - _NEAR, until, self._asked, 4 * HISTORY_LINES), "jump", target=moment)

    def _moment(self, text: str) -> datetime:
        local = self._view.time_format is TimeFormat.LOCAL
        zone = self.console.clock().astimezone().tzinfo if local else None
        return parse_moment(text, self.console.clock(), zone=zone or UTC)

    def _time_words(self, text: str) -> str:
        return f"{self._moment(text):%Y-%m-%d %H:%M:%S} UTC"

    # Lines come

    def _line_of(self, item: LogEntry | LogLine) -> LogLine:
        return item if isinstance(item, LogLine) else line_of(item, short=bool(self._scope.run))

    def _taken(self, lines: Sequence[LogLine]) -> None:
        self._causes.add(lines)
        for line in lines:
            if tells_preemption(line) and len(self._marks) < _MOST_MARKS:
                self._marks[str(line.fields.get("instance") or line.vm)] = line.time
        self._stale = True

    def _note_resumed(self, entries: Sequence[LogEntry]) -> None:
        """The first batch of a tail that was begun anew: whether it reaches back to what is held."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None and len(entries) >= TAIL_LINES and (oldest := min(entry.timestamp for entry in entries)) > resumed:
            self._note_gap(Gap(resumed, oldest, 0, CUT))

    def _note_gap(self, gap: Gap) -> None:
        """Count it, and leave a line where it was."""
        if self._view.note_gap(gap):
            self._view.append([gap_line(gap)])

    def _gaps(self) -> list[Gap]:
        ring = self._view.ring
        began = self._scope.begin(self.console.clock())
        fallen = [Gap(began, ring.let_go_until, ring.let_go, LET_GO)] if ring.let_go_until is not None else []
        return [*self._view.gaps.all, *fallen]

    def _gap_list(self) -> None:
        from console.screens.gaps import GapScreen

        rows = [(gap, self._scope.to_command(gap.since, gap.until, self._asked, gap.count)) for gap in self._gaps()]
        self.app.push_screen(GapScreen(rows), self._read_gap)

    def _read_gap(self, gap: Gap | None) -> None:
        if gap is None:
            return
        if gap not in self._view.gaps.all:
            self.notify("the view is full and cannot hold them: copy the command with y", severity="warning", timeout=8)
            return
        self._source.reading("what is missing")
        until = gap.until + timedelta(milliseconds=1)
        # Log objects have every line and no read quota; when they do not reach that far yet, Cloud Logging is next.
        where: Where = "objects" if self._scope.run else "auto"
        self._read(self._scope.to_span(gap.since, until, self._asked, MOST_LINES, where=where), "gap", gap=gap)

    # The source, in words

    def _hear_link(self, batch: Batch) -> None:
        if batch.state == "reconnecting":
            self._view.set_why_empty(self._source.reconnecting(batch.reason))
            self._plan_again()
            return
        self._plan_again(stop=True)
        if batch.reason:
            newest = self._view.ring.newest
            oldest = min((entry.timestamp for entry in batch.entries), default=self.console.clock())
            self._note_gap(Gap(min(newest or oldest, oldest), oldest, 0, CUT))
            self.notify(batch.reason, title="logs", severity="warning", timeout=15)
        self._floor = min([self._floor, *(entry.timestamp for entry in batch.entries[:1])])
        self._source.live()
        self._view.set_why_empty(SILENT)

    def _say_failed(self, reason: str, why: str) -> None:
        self._view.set_why_empty(self._source.failed(reason))
        if why != "scope":
            self.notify(reason, title="logs", severity="error", timeout=10)
        if self._scope.follows and not self._tailing:
            self._tail(self._scope.to_tail(self.console.clock(), self._asked))

    def _say_state(self, evidence: Evidence | None = None) -> None:
        """Live, or over: after something of the past was read."""
        if self._tailing:
            self._source.live()
            return
        ring = self._view.ring
        self._source.found(len(ring), ring.newest, evidence.counts() if evidence is not None else {})  # type: ignore[arg-type]
        self._view.set_why_empty(NOTHING)

    def _say_older(self, evidence: Evidence, question: Question) -> None:
        if count := len(evidence.entries):
            more = "o reads on" if count >= question.lines else "that is all there is"
            self.notify(f"{plural(count, 'older line')}, back to {evidence.entries[0].timestamp:%m-%d %H:%M:%S} UTC; {more}", timeout=6)
        else:
            self.notify(f"nothing older since {question.since:%m-%d %H:%M} UTC", timeout=6)

    def _say_closed(self, gap: Gap, count: int) -> None:
        self._view.close_gap(gap)
        if count >= gap.count:
            self.notify(f"{plural(count, 'missing line')} read and put where they belong", timeout=6)
            return
        self._view.note_gap(replace(gap, count=gap.count - count))
        found = f"{format_count(count)} of {format_count(gap.count)} found"
        self.notify(f"{found}: log objects are written once a minute, read again then (m)", severity="warning", timeout=10)

    def _plan_again(self, *, stop: bool = False) -> None:
        if self._again is not None:
            self._again.stop()
        self._again = None if stop else self.set_timer(FOLLOW_AGAIN_SECONDS, self._resume)
