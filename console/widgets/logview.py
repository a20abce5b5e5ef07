"""The log tail: a Line-API view on a ring of lines, cheap at ten thousand lines a second. Only lines on the screen are ever styled.

`console.widgets.logscroll` has the lines; here are the keys and the painting.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.geometry import Region
from textual.strip import Strip

from console.actions import bindings_of
from console.widgets.figures import fit, format_count, joined
from console.widgets.logline import Severity
from console.widgets.logpaint import Inks, TimeFormat
from console.widgets.logring import Key
from console.widgets.logscroll import HEADER, LogScroll
from console.widgets.logstatus import Doings, empty_lines, header_parts

_SIDEWAYS: Final = 8
"""Cells per left or right key."""
_PAINTED: Final = 256
"""Lines kept as they were painted: some screens full."""


class LogView(LogScroll, can_focus=True):
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

    def __init__(self, **options: Any) -> None:
        """
        Args:
            options: As of `LogScroll`.
        """
        super().__init__(**options)
        self._look: tuple[Any, ...] = ()
        """What the look of all painted lines depends on."""
        self._inks: dict[bool, list[Inks]] = {}
        """By whether the cursor is there, and by severity."""
        self._painted: LRUCache[tuple[Key, str, bool], Strip] = LRUCache(_PAINTED)

    # Keys and mouse

    def action_toggle_follow(self) -> None:
        if self._following:
            self._pause()
        else:
            self.action_follow()

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
        self._choose(Severity(max(0, self._ring.minimum - 1)))

    def action_fewer_severities(self) -> None:
        self._choose(Severity(min(len(Severity) - 1, self._ring.minimum + 1)))

    def action_all_severities(self) -> None:
        self._choose(Severity.DEFAULT)

    def action_cycle_time(self) -> None:
        self._columns.next_format()
        self._resize()
        self.refresh()

    def action_next_match(self) -> None:
        self._seek(1)

    def action_previous_match(self) -> None:
        self._seek(-1)

    def action_open_entry(self) -> None:
        if (line := self.cursor_line) is not None:
            self.post_message(self.EntrySelected(self, line))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or offset.y < HEADER:
            return
        position = offset.y - HEADER + int(self.scroll_offset.y)
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
        if len(self._intake) or self._ring.judged_share < 1:
            self._plan_turn()

    def on_resize(self) -> None:
        self._resize()
        if self._following:
            self._pin()

    def render_lines(self, crop: Region) -> list[Strip]:
        # Styles are looked up once for all lines, and what was painted stays while nothing that its look depends on has changed.
        base, quiet = self.rich_style, self.get_component_rich_style("log-view--quiet", partial=True)
        hit = self.get_component_rich_style("log-view--hit", partial=True)
        cursor = self.get_component_rich_style("log-view--cursor", partial=True)
        severities = [self.get_component_rich_style(f"log-view--{each.name.lower()}", partial=True) for each in Severity]
        self._inks = {
            here: [Inks(ground, ground + each, ground + quiet, hit) for each in severities]
            for here, ground in ((False, base), (True, base + cursor))
        }
        look = (
            self._view.width,
            int(self.scroll_offset.x),
            self._columns.prefix(self._view.width),
            self._search,
            self._found_by_filter,
            base,
            quiet,
            hit,
            cursor,
            *severities,
        )
        if look != self._look:
            self._look = look
            self._painted.clear()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        width, x = self._view.width, int(self.scroll_offset.x)
        if y < HEADER:
            return self._status_line(width)
        position = y - HEADER + int(self.scroll_offset.y)
        if position >= self._ring.shown_count:
            lines = [] if self._ring.shown_count else empty_lines(self._ring, self._why_empty, width - 4)
            text = f"  {lines[position - 1]}" if 0 < position <= len(lines) else ""
            return Strip([Segment(fit(text, width), self.get_component_rich_style("log-view--quiet"))], width)
        here = position == self._cursor_position
        line = self._ring.shown(position)
        before = self._ring.shown(position - 1).time if position and self.time_format is TimeFormat.DELTA else None
        time = self._columns.time_text(line.time, before)
        name = (self._ring.key(position), time, here)
        if (strip := self._painted.get(name)) is None:
            inks = self._inks[here][line.severity]
            segments = self._columns.segments(line, time, width, inks, (*self._search, *self._found_by_filter), here=here)
            strip = self._painted[name] = Strip(segments).crop(x, x + width).adjust_cell_length(width, inks.base)
        return strip

    def _status_line(self, width: int) -> Strip:
        if self._following:
            state, style = " ► following", "log-view--following"
        else:
            new = f" · ▼ {format_count(self._unseen)} new, End to follow" if self._unseen else " · End to follow"
            state, style = f" ‖ paused{new}", "log-view--paused"
        doings = Doings(self._asked, self._seeking is not None, len(self._intake), self._columns.format_name())
        text = joined(header_parts(self._ring, self._gaps, doings), width=max(0, width - cell_len(state) - 4))
        quiet = self.get_component_rich_style("log-view--status")
        return Strip([Segment(state, self.get_component_rich_style(style)), Segment(f"   {text}", quiet)]).adjust_cell_length(width, quiet)
