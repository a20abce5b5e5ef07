"""The lines behind the log view: what waits, what passes, where the cursor holds, and what is searched for.

What comes waits in a queue and becomes lines a few milliseconds at a time, so that keys are answered whatever arrives; filtering and
searching take such turns too. What does not fit into the queue is told as a gap, never dropped in silence. Apart from
`console.widgets.logview`, which has the keys and paints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Final

from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView

from console.log_gaps import Gap, Gaps
from console.log_intake import CHUNK, Intake
from console.query import EVERYTHING, Expression, Query
from console.widgets.logline import LogLine, Severity, microseconds
from console.widgets.logpaint import Columns, TimeFormat
from console.widgets.logring import Key, LogRing

DEFAULT_CAPACITY: Final = 750_000
"""A minute at ten thousand lines a second, and some more; packed, that is about 40 MB."""
TURN_SECONDS: Final = 0.008
"""Spent on queued lines, on a new filter or on a search at a time; then keys have their turn."""
BUSY_TURN_SECONDS: Final = 0.025
"""The same while more than `_MANY_WAITING` lines wait."""
TURN_INTERVAL_SECONDS: Final = 0.05

_MANY_WAITING: Final = 5_000
HEADER: Final = 1
"""Lines above the first one."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a view showed, to be shown again."""

    ring: LogRing
    gaps: Gaps
    cursor: Key
    following: bool


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _as_it_is(item: Any) -> LogLine:
    assert isinstance(item, LogLine)
    return item


class LogScroll(ScrollView):
    """Lines with follow and pause, severity, filter, search and a cursor."""

    class _OfView(Message):
        def __init__(self, view: LogScroll) -> None:
            super().__init__()
            self.view = view

        @property
        def control(self) -> LogScroll:
            return self.view

    class EntrySelected(_OfView):
        """Enter, or a double click."""

        def __init__(self, view: LogScroll, line: LogLine) -> None:
            super().__init__(view)
            self.line = line

    class Changed(_OfView):
        """Other lines pass now, or following began or ended: figures that a screen shows may be stale."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LogScroll.Changed) and message.view is self.view

    class MinimumChanged(_OfView):
        """Another least severity was chosen here."""

    class NothingFound(_OfView):
        """A search went around and found no line."""

    def __init__(
        self,
        *,
        capacity: int = DEFAULT_CAPACITY,
        now: Callable[[], datetime] = _utc_now,
        line_of: Callable[[Any], LogLine] = _as_it_is,
        taken: Callable[[Sequence[LogLine]], object] = lambda _lines: None,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        """
        Args:
            capacity: Lines kept; older ones fall out.
            now: The clock for "ago".
            line_of: Makes a line out of what `append` is given, when its turn comes.
            taken: Called with the lines of every batch that were not here already.
        """
        super().__init__(id=id, classes=classes)
        self._ring = LogRing(capacity)
        self._columns = Columns(now)
        self._taken = taken
        self._intake = Intake(line_of)
        self._turn_planned = False
        self._last_turn = 0.0
        self._gaps = Gaps()
        self._following = True
        self._unseen = 0
        self._cursor: Key = (0, 0)
        self._search: tuple[Expression, ...] = ()
        self._found_by_filter: tuple[Expression, ...] = ()
        self._seeking: Iterator[int | None] | None = None
        self._awaited = False
        """The line that the cursor is to hold at is not here yet."""
        self._asked = Severity.DEFAULT
        self._why_empty = "no lines yet"

    # What the screen sets and reads

    @property
    def ring(self) -> LogRing:
        """The lines. Change them through this widget only."""
        return self._ring

    @property
    def gaps(self) -> Gaps:
        """Lines that did not come. Change them through this widget only."""
        return self._gaps

    @property
    def following(self) -> bool:
        return self._following

    @property
    def unseen(self) -> int:
        """Lines that passed since the pause."""
        return self._unseen

    @property
    def waiting(self) -> int:
        """Lines that have come and were not taken in yet."""
        return len(self._intake)

    @property
    def time_format(self) -> TimeFormat:
        return self._columns.time_format

    @property
    def cursor_line(self) -> LogLine | None:
        """The line under the cursor."""
        return self._ring.shown(self._cursor_position) if self._ring.shown_count else None

    def append(self, items: Iterable[Any]) -> None:
        """Queue what has come; it shows within a twentieth of a second. Call it on the app's thread, with batches."""
        if (gap := self._intake.put(items)) is not None:
            self.note_gap(gap)
        self._plan_turn()

    def note_gap(self, gap: Gap) -> bool:
        """Tell of lines that did not come; False if that continues what is told already."""
        self._refresh_status()
        return self._gaps.add(gap)

    def close_gap(self, gap: Gap) -> None:
        """Its lines came after all."""
        self._gaps.close(gap)
        self._refresh_status()

    def drain(self, budget_seconds: float | None = None) -> None:
        """Take queued lines into the view, all of them unless a budget says when to stop."""
        begin = perf_counter()
        anchor = self._anchor()
        added = came = 0
        while lines := self._intake.take():
            self._columns.measure(lines)
            added += self._ring.extend(lines)
            came += len(lines)
            self._taken(self._ring.fresh)
            if budget_seconds is not None and perf_counter() - begin > budget_seconds:
                break
        if came:
            self._unseen += 0 if self._following else added
            self._show_change(anchor)

    def clear(self) -> None:
        """Forget all lines and counts; filter, severity and search stay."""
        ring = LogRing(self._ring.capacity)
        ring.set_filter(self._ring.query, self._ring.minimum)
        self.show_held(Held(ring, Gaps(), (0, 0), following=True))

    def hold(self) -> Held:
        """What is shown now, to be shown again by `show_held`."""
        self.drain()
        return Held(self._ring, self._gaps, self._key_here(), self._following)

    def show_held(self, held: Held) -> None:
        """Show what was held; filter and severity stay as they are now."""
        query, minimum = self._ring.query, self._ring.minimum
        self._ring, self._gaps, self._cursor, self._following = held.ring, held.gaps, held.cursor, held.following
        self._intake.clear()
        self._unseen = 0
        self._seeking = None
        self._columns.clear()
        if (query, minimum) != (self._ring.query, self._ring.minimum):
            self._ring.set_filter(query, minimum)
            self._plan_turn()
        if self._ring.shown_count:
            self._columns.measure([self._ring.shown(at) for at in range(max(0, self._ring.shown_count - CHUNK), self._ring.shown_count)])
        self._shown_changed()

    def set_filter(self, query: Query) -> None:
        """Hide what does not match; `EVERYTHING` shows all again."""
        self._refilter(query, self._ring.minimum)

    def set_minimum(self, minimum: Severity) -> None:
        """Hide what is less severe."""
        self._refilter(self._ring.query, minimum)

    def set_asked(self, minimum: Severity) -> None:
        """Say that what is less severe is not even asked for."""
        self._asked = minimum
        self._refresh_status()

    def set_why_empty(self, why: str) -> None:
        """Why there may be no line, and what to do about it."""
        if why != self._why_empty:
            self._why_empty = why
            self.refresh()

    def set_search(self, query: Query = EVERYTHING) -> None:
        """Highlight what matches the query's words and expressions, for `n` and `N`; hide nothing."""
        self._search = query.highlights()
        self._seeking = None
        self.refresh()

    @property
    def place(self) -> Key | None:
        """Where the cursor holds; None while the end is followed."""
        return None if self._following else self._key_here()

    def go_to_place(self, place: Key | None) -> None:
        """Follow, or hold at a line that `place` said; if it is not here yet, once lines about its time have come."""
        if place is None:
            self.action_follow()
            return
        self._pause()
        self._cursor, self._unseen = place, 0
        self._awaited = self._ring.newest is None or microseconds(self._ring.newest) < place[0]
        self._center()

    def choose(self, minimum: Severity) -> None:
        """Choose the least severity, as its keys do."""
        self._choose(minimum)

    def choose_time_format(self, name: str) -> None:
        """Write times this way: a name of `TimeFormat`; another name changes nothing."""
        if name in {str(each) for each in TimeFormat}:
            self._columns.time_format = TimeFormat(name)
            self._resize()
            self.refresh()

    def move_to_time(self, moment: datetime) -> None:
        """Pause at the first line at or after `moment`, in the middle of the view."""
        self._pause()
        if self._ring.shown_count:
            self._cursor = self._ring.key(self._ring.position_of_time(moment))
        self._center()

    # Following

    def action_follow(self) -> None:
        self._following, self._unseen = True, 0
        self._pin()
        self.refresh()
        self.post_message(self.Changed(self))

    # State

    @property
    def _view(self) -> Size:
        """What shows, without the scrollbars."""
        return Size(self.size.width - self.scrollbar_size_vertical, self.size.height - self.scrollbar_size_horizontal)

    @property
    def _page(self) -> int:
        """Lines the view shows at once."""
        return max(1, self._view.height - HEADER)

    @property
    def _cursor_position(self) -> int:
        """Of the cursor among the passing lines; while following it is the last line."""
        last = max(0, self._ring.shown_count - 1)
        return last if self._following else min(self._ring.position(self._cursor), last)

    def _key_here(self) -> Key:
        return self._ring.key(self._cursor_position) if self._ring.shown_count else self._cursor

    # Turns: a few milliseconds of work between two keys

    def _plan_turn(self) -> None:
        if self._turn_planned or not self.is_attached:
            return
        self._turn_planned = True
        wait = self._last_turn + TURN_INTERVAL_SECONDS - perf_counter()
        if wait > 0:
            self.set_timer(wait, self._take_turn)
        else:
            self.call_later(self._take_turn)

    def _take_turn(self) -> None:
        self._turn_planned = False
        if self._ring.judged_share < 1:
            anchor = self._anchor()
            self._ring.judge(TURN_SECONDS)
            self._show_change(anchor)
        if len(self._intake):
            self.drain(BUSY_TURN_SECONDS if len(self._intake) > _MANY_WAITING else TURN_SECONDS)
        self._seek_on()
        self._last_turn = perf_counter()
        if len(self._intake) or self._ring.judged_share < 1 or self._seeking is not None:
            self._plan_turn()

    def _seek(self, step: int) -> None:
        patterns = self._search or self._found_by_filter
        if patterns and self._ring.shown_count:
            self._seeking = self._ring.search(patterns, self._cursor_position, step)
            self._seek_on()
            if self._seeking is not None:
                self._refresh_status()
                self._plan_turn()

    def _seek_on(self) -> None:
        begin = perf_counter()
        while self._seeking is not None:
            try:
                found = next(self._seeking)
            except (StopIteration, IndexError):
                # Lines that fell out may leave a search behind its end.
                self._seeking = None
                self._refresh_status()
                self.post_message(self.NothingFound(self))
                return
            if found is not None:
                self._seeking = None
                self._pause()
                self._put_cursor(found)
                self._refresh_status()
            elif perf_counter() - begin > TURN_SECONDS:
                return

    # What is shown changes

    def _anchor(self) -> tuple[Key, Key] | None:
        """The lines at the top and the bottom of a view that is full and holds still."""
        top = int(self.scroll_offset.y)
        if self._following or top + self._page > self._ring.shown_count:
            return None
        return self._ring.key(top), self._ring.key(top + self._page - 1)

    def _show_change(self, anchor: tuple[Key, Key] | None) -> None:
        """Lines came or went. Where the eye is, they stay in place."""
        self._resize()
        if self._following:
            self._pin()
        elif self._awaited:
            newest = self._ring.newest
            self._awaited = newest is None or microseconds(newest) < self._cursor[0]
            self._center()
        elif anchor is not None:
            top, bottom = map(self._ring.position, anchor)
            if top != int(self.scroll_offset.y):
                self.scroll_to(y=top, animate=False)
            elif bottom - top == self._page - 1:
                self._refresh_status()
                self.post_message(self.Changed(self))
                return
        self.refresh()
        self.post_message(self.Changed(self))

    def _choose(self, minimum: Severity) -> None:
        if minimum is not self._ring.minimum:
            self.set_minimum(minimum)
            self.post_message(self.MinimumChanged(self))

    def _refilter(self, query: Query, minimum: Severity) -> None:
        if (query, minimum) == (self._ring.query, self._ring.minimum):
            return
        if not self._following:
            self._cursor = self._key_here()
        self._found_by_filter = query.highlights()
        self._seeking = None
        self._ring.set_filter(query, minimum)
        if not self._ring.judge(TURN_SECONDS):
            self._plan_turn()
        self._shown_changed()

    def _shown_changed(self) -> None:
        self._resize()
        if self._following:
            self._pin()
        else:
            self._center()
        self.refresh()
        self.post_message(self.Changed(self))

    def _resize(self) -> None:
        size = Size(self._columns.total(self._view.width), HEADER + self._ring.shown_count)
        if size.width != self.virtual_size.width:
            self.virtual_size = size
        elif size != self.virtual_size:
            # As the vertical bar always shows, more lines move nothing: a layout would paint all of the view again, twenty times a second.
            self.set_reactive(LogScroll.virtual_size, size)
            self.vertical_scrollbar.window_virtual_size = size.height
            self.scroll_y = self.validate_scroll_y(self.scroll_y)

    def _pin(self) -> None:
        """Scroll to the end, at once: a scroll that waits for the next refresh would lag behind the lines."""
        if self.is_attached:
            self.scroll_to(y=self.max_scroll_y, animate=False)

    def _pause(self) -> None:
        if not self._following:
            return
        self._cursor = self._key_here()
        self._following, self._unseen = False, 0
        self.refresh()
        self.post_message(self.Changed(self))

    def _put_cursor(self, position: int) -> None:
        if not self._ring.shown_count:
            return
        old = self._cursor_position
        position = max(0, min(position, self._ring.shown_count - 1))
        self._awaited = False
        self._cursor = self._ring.key(position)
        for each in {old, position}:
            y = each + HEADER - int(self.scroll_offset.y)
            if y >= HEADER:
                self.refresh(Region(0, y, self._view.width, 1))
        self._reveal()

    def _reveal(self) -> None:
        position, top = self._cursor_position, int(self.scroll_offset.y)
        new_top = min(position, max(top, position - self._page + 1))
        if new_top != top and self.is_attached:
            self.scroll_to(y=new_top, animate=False)

    def _center(self) -> None:
        """A place that was jumped to is seen with what came before and after."""
        position, top = self._cursor_position, int(self.scroll_offset.y)
        if self.is_attached and not top <= position < top + self._page:
            self.scroll_to(y=max(0, position - self._page // 2), animate=False)
        self.refresh()

    def _refresh_status(self) -> None:
        self.refresh(Region(0, 0, self._view.width, HEADER))

    def _refresh_ages(self) -> None:
        if self.time_format is TimeFormat.AGO:
            self.refresh()
