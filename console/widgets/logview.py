"""The log tail: a Line-API view on a ring of lines, cheap at ten thousand lines a second.

Lines wait in a queue and are taken from it a few milliseconds at a time, so that keys are answered whatever arrives; what
is lost on the way is counted and shown. Only lines on the screen are ever styled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from time import perf_counter
from typing import ClassVar, Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.actions import bindings_of
from console.query import EVERYTHING, Expression, Query
from console.widgets.figures import fit, format_age, format_count, joined, one_line, plural
from console.widgets.logring import LogLine, LogRing, Severity

DEFAULT_CAPACITY: Final = 50_000
DRAIN_SECONDS: Final = 0.008
"""Spent on queued lines at a time; then keys have their turn."""
DRAIN_INTERVAL_SECONDS: Final = 0.05

_HEADER: Final = 1
_SIDEWAYS: Final = 8
"""Cells per left or right key."""
_LONGEST_VM: Final = 30
_NARROW: Final = 110
_LONGEST_VM_NARROW: Final = 16
"""Below `_NARROW` cells the message matters more than the whole name."""
_CHUNK: Final = 500

_LOOKS: Final = {
    Severity.DEFAULT: "  —    ",
    Severity.DEBUG: "· debug",
    Severity.INFO: "  info ",
    Severity.WARNING: "! warn ",
    Severity.ERROR: "× error",
    Severity.CRITICAL: "■ crit ",
}


class TimeFormat(StrEnum):
    """How the time of a line is written."""

    CLOCK = "UTC"
    FULL = "full UTC"
    AGO = "ago"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LogView(ScrollView, can_focus=True):
    """Log lines with follow and pause, severity, filter, search and a cursor."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    LogView {
        height: 1fr;
        overflow-x: auto;
        overflow-y: scroll;
        background: $background;
        color: $foreground;
        scrollbar-size: 1 1;
        & > .log-view--status { color: $quiet; background: $surface; }
        & > .log-view--following { color: $state-good; background: $surface; text-style: bold; }
        & > .log-view--paused { color: $state-warn; background: $surface; text-style: bold; }
        & > .log-view--quiet { color: $quiet; }
        & > .log-view--cursor { background: $row-cursor-blurred; }
        & > .log-view--hit { color: $foreground; background: $hit; text-style: bold; }
        & > .log-view--default { color: $severity-default; }
        & > .log-view--debug { color: $severity-debug; }
        & > .log-view--info { color: $severity-info; }
        & > .log-view--warning { color: $severity-warning; }
        & > .log-view--error { color: $severity-error; }
        & > .log-view--critical { color: $severity-critical; text-style: bold; }
    }
    LogView:focus > .log-view--cursor { background: $row-cursor; }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log-view--status",
        "log-view--following",
        "log-view--paused",
        "log-view--quiet",
        "log-view--cursor",
        "log-view--hit",
        *(f"log-view--{severity.name.lower()}" for severity in Severity),
    }

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_of("toggle_follow", "more_severities", "fewer_severities", "all_severities", "cycle_time"),
        *bindings_of("next_match", "previous_match", "open_entry"),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "first", "First", show=False),
        Binding("end", "follow", "Follow", show=False),
        Binding("left", "sideways(-1)", "Left", show=False),
        Binding("right", "sideways(1)", "Right", show=False),
    ]

    class EntrySelected(Message):
        """Enter, or a double click."""

        def __init__(self, view: LogView, line: LogLine) -> None:
            super().__init__()
            self.view = view
            self.line = line

        @property
        def control(self) -> LogView:
            return self.view

    class Changed(Message):
        """Other lines pass now, or following began or ended: figures that a screen shows may be stale."""

        def __init__(self, view: LogView) -> None:
            super().__init__()
            self.view = view

        @property
        def control(self) -> LogView:
            return self.view

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LogView.Changed) and message.view is self.view

    def __init__(
        self,
        *,
        capacity: int = DEFAULT_CAPACITY,
        now: Callable[[], datetime] = _utc_now,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        """
        Args:
            capacity: Lines kept; older ones fall out.
            now: The clock for "ago".
        """
        super().__init__(id=id, classes=classes)
        self._ring = LogRing(capacity)
        self._now = now
        self._queue: deque[LogLine] = deque()
        self._drain_planned = False
        self._last_drain = 0.0
        self._dropped = 0
        self._following = True
        self._unseen = 0
        self._cursor = 0
        """Number of the line under the cursor, in the ring's counting."""
        self._search: tuple[Expression, ...] = ()
        self._time_format = TimeFormat.CLOCK
        self._vm_width = 4
        self._longest = 0

    # What the screen sets and reads

    @property
    def ring(self) -> LogRing:
        """The lines. Change them through this widget only."""
        return self._ring

    @property
    def following(self) -> bool:
        return self._following

    @property
    def unseen(self) -> int:
        """Lines that passed since the pause."""
        return self._unseen

    @property
    def dropped(self) -> int:
        """Lines that were never kept: queued too long here, or lost before, as told by `note_dropped`."""
        return self._dropped

    @property
    def time_format(self) -> TimeFormat:
        return self._time_format

    @property
    def cursor_line(self) -> LogLine | None:
        """The line under the cursor."""
        if not self._ring.shown_count:
            return None
        return self._ring.line(self._ring.shown_number(self._cursor_position))

    def append(self, lines: Iterable[LogLine]) -> None:
        """Queue lines; they show within a twentieth of a second. Call it on the app's thread, with batches."""
        self._queue.extend(lines)
        if (surplus := len(self._queue) - self._ring.capacity) > 0:
            for _ in range(surplus):
                self._queue.popleft()
            self.note_dropped(surplus)
        self._plan_drain()

    def note_dropped(self, count: int) -> None:
        """Count lines that never came, e.g. those that Cloud Logging says it suppressed."""
        self._dropped += count
        self._refresh_status()

    def drain(self, budget_seconds: float | None = None) -> None:
        """Take queued lines into the view, all of them unless a budget says when to stop."""
        begin = perf_counter()
        added = gone = 0
        while self._queue:
            chunk = [self._queue.popleft() for _ in range(min(_CHUNK, len(self._queue)))]
            self._measure(chunk)
            more, fewer = self._ring.extend(chunk)
            added, gone = added + more, gone + fewer
            if budget_seconds is not None and perf_counter() - begin > budget_seconds:
                break
        self._last_drain = perf_counter()
        if added or gone:
            self._show_new(added, gone)
        else:
            self._refresh_status()

    def clear(self) -> None:
        """Forget all lines and counts; filter, severity and search stay."""
        query, minimum = self._ring.query, self._ring.minimum
        self._ring = LogRing(self._ring.capacity)
        self._ring.set_filter(query, minimum)
        self._queue.clear()
        self._dropped = self._unseen = self._cursor = self._longest = 0
        self._following = True
        self._shown_changed()

    def set_filter(self, query: Query) -> None:
        """Hide what does not match; `EVERYTHING` shows all again."""
        self._refilter(query, self._ring.minimum)

    def set_minimum(self, minimum: Severity) -> None:
        """Hide what is less severe."""
        self._refilter(self._ring.query, minimum)

    def set_search(self, query: Query = EVERYTHING) -> None:
        """Highlight what matches the query's words and expressions, for `n` and `N`; hide nothing."""
        self._search = query.highlights()
        self.refresh()

    def move_to_time(self, moment: datetime) -> None:
        """Pause at the first line at or after `moment`."""
        self._pause()
        self._put_cursor(self._ring.position_of_time(moment))

    # Keys and mouse

    def action_toggle_follow(self) -> None:
        if self._following:
            self._pause()
        else:
            self.action_follow()

    def action_follow(self) -> None:
        self._following, self._unseen = True, 0
        self._pin()
        self.refresh()
        self.post_message(self.Changed(self))

    def action_move(self, step: int) -> None:
        position = self._cursor_position
        self._pause()
        self._put_cursor(position + step)

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self._page - 1))

    def action_first(self) -> None:
        self._pause()
        self._put_cursor(0)

    def action_sideways(self, step: int) -> None:
        self.scroll_to(x=max(0, int(self.scroll_offset.x) + step * _SIDEWAYS), animate=False)

    def action_more_severities(self) -> None:
        self.set_minimum(Severity(max(0, self._ring.minimum - 1)))

    def action_fewer_severities(self) -> None:
        self.set_minimum(Severity(min(len(Severity) - 1, self._ring.minimum + 1)))

    def action_all_severities(self) -> None:
        self.set_minimum(Severity.DEFAULT)

    def action_cycle_time(self) -> None:
        formats = list(TimeFormat)
        self._time_format = formats[(formats.index(self._time_format) + 1) % len(formats)]
        self._resize()
        self.refresh()

    def action_next_match(self) -> None:
        self._to_match(1)

    def action_previous_match(self) -> None:
        self._to_match(-1)

    def action_open_entry(self) -> None:
        if (line := self.cursor_line) is not None:
            self.post_message(self.EntrySelected(self, line))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or offset.y < _HEADER:
            return
        position = offset.y - _HEADER + int(self.scroll_offset.y)
        if position < self._ring.shown_count:
            self._pause()
            self._put_cursor(position)
            if event.chain == 2:
                self.action_open_entry()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        # Whoever scrolls up, by wheel or bar, wants to read.
        if self._following and new_value < old_value and round(new_value) < self.max_scroll_y:
            self._pause()

    # Painting

    def on_mount(self) -> None:
        self._resize()
        self.set_interval(1.0, self._refresh_ages)

    def on_resize(self) -> None:
        self._resize()
        if self._following:
            self._pin()

    def render_line(self, y: int) -> Strip:
        width, x = self._view.width, int(self.scroll_offset.x)
        if y < _HEADER:
            return self._status_line(width)
        position = y - _HEADER + int(self.scroll_offset.y)
        if position >= self._ring.shown_count:
            text = self._empty_text() if position == 1 and not self._ring.shown_count else ""
            return Strip([Segment(fit(text, width), self.get_component_rich_style("log-view--quiet"))], width)
        number = self._ring.shown_number(position)
        here = position == self._cursor_position
        base = self.rich_style
        if here:
            base += self.get_component_rich_style("log-view--cursor", partial=True)
        line = Strip(self._line_segments(self._ring.line(number), base, here=here))
        return line.crop(x, x + width).adjust_cell_length(width, base)

    def _line_segments(self, line: LogLine, base: Style, *, here: bool) -> list[Segment]:
        tone = base + self.get_component_rich_style(f"log-view--{line.severity.name.lower()}", partial=True)
        quiet = base + self.get_component_rich_style("log-view--quiet", partial=True)
        body = base if line.severity <= Severity.INFO else tone
        return [
            Segment("▌" if here else " ", base),
            Segment(_LOOKS[line.severity], tone),
            Segment(f" {self._time_text(line.time)} ", quiet),
            Segment(fit(one_line(line.vm), self._vm_cells, keep_end=True), quiet),
            Segment("  ", base),
            *self._message_segments(one_line(line.message), body),
        ]

    def _message_segments(self, text: str, style: Style) -> list[Segment]:
        """The message with the parts that filter or search look for set off."""
        spans = [match.span() for pattern in (*self._search, *self._ring.query.highlights()) for match in pattern.finditer(text)]
        if not spans:
            return [Segment(text, style)]
        hit = style + self.get_component_rich_style("log-view--hit", partial=True)
        segments, at = [], 0
        for start, stop in sorted(spans):
            if start > at:
                segments.append(Segment(text[at:start], style))
            if stop > at:
                segments.append(Segment(text[max(at, start) : stop], hit))
                at = stop
        return [*segments, Segment(text[at:], style)]

    def _status_line(self, width: int) -> Strip:
        if self._following:
            state, style = " ► following", "log-view--following"
        else:
            new = f" · ▼ {format_count(self._unseen)} new · End follows" if self._unseen else " · End follows"
            state, style = f" ‖ paused{new}", "log-view--paused"
        text = joined(self._status_parts(), width=max(0, width - cell_len(state) - 4))
        quiet = self.get_component_rich_style("log-view--status")
        return Strip([Segment(state, self.get_component_rich_style(style)), Segment(f"   {text}", quiet)]).adjust_cell_length(width, quiet)

    def _status_parts(self) -> list[str]:
        """Most important first: what does not fit is left out from the end."""
        ring = self._ring
        narrowed = bool(ring.query) or ring.minimum > Severity.DEFAULT
        parts = []
        if self._dropped:
            parts.append(f"{format_count(self._dropped)} dropped")
        if narrowed:
            parts.append(f"{format_count(ring.shown_count)} of {plural(len(ring), 'line')}")
        else:
            parts.append(plural(len(ring), "line"))
        if ring.minimum > Severity.DEFAULT:
            parts.append(f"{ring.minimum.name.lower()} and up" if ring.minimum < Severity.CRITICAL else "critical only")
        if ring.query:
            parts.append(f"/{one_line(str(ring.query))}")
        errors = ring.counts[Severity.ERROR] + ring.counts[Severity.CRITICAL]
        parts += [plural(errors, "error")] if errors else []
        parts += [plural(ring.counts[Severity.WARNING], "warning")] if ring.counts[Severity.WARNING] else []
        parts += [f"{format_count(len(self._queue))} waiting"] if self._queue else []
        return [*parts, f"times: {self._time_format}"]

    def _empty_text(self) -> str:
        if len(self._ring):
            return "  no line passes: + shows less severe ones, / changes the filter"
        return "  no lines yet"

    def _time_text(self, moment: datetime) -> str:
        if self._time_format is TimeFormat.AGO:
            return fit(format_age((self._now() - moment).total_seconds()), 5, right=True)
        utc = moment.astimezone(UTC)
        clock = f"{utc:%H:%M:%S}.{utc.microsecond // 1000:03d}"
        return clock if self._time_format is TimeFormat.CLOCK else f"{utc:%Y-%m-%d} {clock}Z"

    # State

    @property
    def _view(self) -> Size:
        """What shows, without the scrollbars."""
        return Size(self.size.width - self.scrollbar_size_vertical, self.size.height - self.scrollbar_size_horizontal)

    @property
    def _page(self) -> int:
        """Lines the view shows at once."""
        return max(1, self._view.height - _HEADER)

    @property
    def _vm_cells(self) -> int:
        return self._vm_width if self._view.width >= _NARROW else min(self._vm_width, _LONGEST_VM_NARROW)

    @property
    def _cursor_position(self) -> int:
        """Of the cursor among the passing lines; while following it is the last line."""
        last = max(0, self._ring.shown_count - 1)
        return last if self._following else min(self._ring.shown_position(self._cursor), last)

    def _plan_drain(self) -> None:
        if self._drain_planned or not self.is_attached:
            return
        self._drain_planned = True
        wait = self._last_drain + DRAIN_INTERVAL_SECONDS - perf_counter()
        if wait > 0:
            self.set_timer(wait, self._drain_now)
        else:
            self.call_later(self._drain_now)

    def _drain_now(self) -> None:
        self._drain_planned = False
        self.drain(DRAIN_SECONDS)
        if self._queue:
            self._plan_drain()

    def _measure(self, lines: list[LogLine]) -> None:
        """How wide the vm column and the longest message are; only ever wider, so that columns do not dance."""
        vm = max(len(line.vm) for line in lines)
        self._vm_width = max(self._vm_width, min(vm, _LONGEST_VM))
        longest = max(len(line.message) for line in lines)
        if any(not line.message.isascii() for line in islice(lines, 0, None, 50)):
            longest = max(longest, *(cell_len(line.message) for line in lines))
        self._longest = max(self._longest, longest)

    def _show_new(self, added: int, gone: int) -> None:
        top = int(self.scroll_offset.y)
        self._resize()
        if self._following:
            self._pin()
            self.refresh()
        else:
            self._unseen += added
            if gone:
                # The lines stay where the eye is while older ones fall out above.
                self.scroll_to(y=max(0, top - gone), animate=False)
                self.refresh()
            elif self._ring.shown_count - added < top + self._page:
                self.refresh()
            else:
                self._refresh_status()
        self.post_message(self.Changed(self))

    def _refilter(self, query: Query, minimum: Severity) -> None:
        if (query, minimum) == (self._ring.query, self._ring.minimum):
            return
        line = self._ring.shown_number(self._cursor_position) if self._ring.shown_count else self._cursor
        self._ring.set_filter(query, minimum)
        if not self._following:
            self._cursor = line
        self._shown_changed()

    def _shown_changed(self) -> None:
        self._resize()
        if self._following:
            self._pin()
        else:
            self._reveal()
        self.refresh()
        self.post_message(self.Changed(self))

    def _resize(self) -> None:
        prefix = 1 + 7 + 2 + len(self._time_text(self._now())) + self._vm_cells + 2
        self.virtual_size = Size(prefix + self._longest, _HEADER + self._ring.shown_count)

    def _pin(self) -> None:
        """Scroll to the end, at once: a scroll that waits for the next refresh would lag behind the lines."""
        if self.is_attached:
            self.scroll_to(y=self.max_scroll_y, animate=False)

    def _pause(self) -> None:
        if not self._following:
            return
        if self._ring.shown_count:
            self._cursor = self._ring.shown_number(self._ring.shown_count - 1)
        self._following, self._unseen = False, 0
        self.refresh()
        self.post_message(self.Changed(self))

    def _put_cursor(self, position: int) -> None:
        if not self._ring.shown_count:
            return
        old = self._cursor_position
        position = max(0, min(position, self._ring.shown_count - 1))
        self._cursor = self._ring.shown_number(position)
        for each in {old, position}:
            y = each + _HEADER - int(self.scroll_offset.y)
            if y >= _HEADER:
                self.refresh(Region(0, y, self._view.width, 1))
        self._reveal()

    def _to_match(self, step: int) -> None:
        patterns = self._search or self._ring.query.highlights()
        if patterns and (found := self._ring.find(patterns, self._cursor_position, step)) is not None:
            self._pause()
            self._put_cursor(found)

    def _reveal(self) -> None:
        position, top = self._cursor_position, int(self.scroll_offset.y)
        new_top = min(position, max(top, position - self._page + 1))
        if new_top != top and self.is_attached:
            self.scroll_to(y=new_top, animate=False)

    def _refresh_status(self) -> None:
        self.refresh(Region(0, 0, self._view.width, _HEADER))

    def _refresh_ages(self) -> None:
        if self._time_format is TimeFormat.AGO:
            self.refresh()
