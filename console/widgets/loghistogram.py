"""Severity over time: a lane for errors, one for warnings, one for all lines, above an axis that marks preemptions. The cursor is a place
to jump to.

Lanes, not colours, tell severities apart; each has its own scale, with its highest count at the right: three errors among ten thousand
lines must be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from console.log_histogram import WIDTHS, Histogram
from console.widgets.figures import fit, format_count, one_line, plural
from console.widgets.logline import Severity

LOW: Final = 32
"""Below so many lines of terminal there are two lanes, else three and taller ones."""

_LABEL: Final = 8
_SCALE: Final = 8
_BARS: Final = " ▁▂▃▄▅▆▇█"
_MARK: Final = "▼"
_TICKS: Final = (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 7 * 86_400, 30 * 86_400)
_TICK_CELLS: Final = 11
_LANES: Final = {
    "× error": (Severity.ERROR, Severity.CRITICAL),
    "! warn": (Severity.WARNING,),
    "  all": tuple(Severity),
}


class LogHistogram(Widget, can_focus=True):
    """Counts of a `Histogram` as bars, with a cursor."""

    DEFAULT_CSS = """
    LogHistogram {
        height: 3;
        padding: 0 0 0 1;
        background: $surface;
        color: $foreground;
        & > .log-histogram--quiet { color: $quiet; }
        & > .log-histogram--error { color: $severity-error; }
        & > .log-histogram--warning { color: $severity-warning; }
        & > .log-histogram--all { color: $severity-info; }
        & > .log-histogram--mark { color: $state-warn; text-style: bold; }
        & > .log-histogram--cursor { text-style: reverse; }
    }
    LogHistogram.-tall { height: 5; }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log-histogram--quiet",
        "log-histogram--error",
        "log-histogram--warning",
        "log-histogram--all",
        "log-histogram--mark",
        "log-histogram--cursor",
    }

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Earlier", show=False),
        Binding("right", "move(1)", "Later", show=False),
        Binding("home", "move(-100000)", "First", show=False),
        Binding("end", "move(100000)", "Last", show=False),
        Binding("plus", "zoom(-1)", "Zoom in", show=False),
        Binding("minus", "zoom(1)", "Zoom out", show=False),
        Binding("0", "fit", "All of it", show=False),
        Binding("down", "next_error(1)", "Next with errors", show=False),
        Binding("up", "next_error(-1)", "Previous with errors", show=False),
        Binding("enter", "jump", "Jump there", show=False),
    ]

    class BucketSelected(Message):
        """Enter, or a click: show the lines from then on."""

        def __init__(self, histogram: LogHistogram, moment: datetime) -> None:
            super().__init__()
            self.histogram = histogram
            self.moment = moment

        @property
        def control(self) -> LogHistogram:
            return self.histogram

    def __init__(self, *, now: Callable[[], datetime], id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._now = now
        self._counts = Histogram()
        self._marks: Sequence[tuple[datetime, str]] = ()
        self._width = 0
        """Seconds of a bucket that were chosen; 0: as many as show all of it."""
        self._cursor = 0
        """Seconds since 1970; 0: the last bucket."""
        self._drawn: tuple[int, int, list[list[int]]] | None = None

    def set_counts(self, counts: Histogram, marks: Sequence[tuple[datetime, str]] = ()) -> None:
        """Show these counts.

        Args:
            counts: Read when the widget is drawn; call this again when they have changed.
            marks: Preemptions: when, and of what.
        """
        self._counts, self._marks = counts, marks
        self._redraw()

    @property
    def bucket_seconds(self) -> int:
        """How many seconds a bar stands for."""
        return self._width or self._counts.fitting_width(self._columns)

    @property
    def cursor(self) -> datetime:
        """The begin of the bucket under the cursor."""
        start, width, rows = self._buckets()
        return datetime.fromtimestamp(start + self._cursor_column() * width if rows else 0, UTC)

    # Keys and mouse

    def action_move(self, step: int) -> None:
        start, width, _ = self._buckets()
        first, last = (second // width * width for second in self._counts.span())
        self._cursor = max(first, min(start + (self._cursor_column() + step) * width, last))
        self._redraw()

    def action_zoom(self, step: int) -> None:
        here = int(self.cursor.timestamp())
        at = WIDTHS.index(self.bucket_seconds) + step
        self._width = WIDTHS[max(0, min(at, len(WIDTHS) - 1))]
        self._cursor = here // self._width * self._width
        self._redraw()

    def action_fit(self) -> None:
        self._width = self._cursor = 0
        self._redraw()

    def action_next_error(self, step: int) -> None:
        _, _, rows = self._buckets()
        at = self._cursor_column() + step
        while 0 <= at < len(rows):
            if rows[at][Severity.ERROR] or rows[at][Severity.CRITICAL]:
                self.action_move(at - self._cursor_column())
                return
            at += step

    def action_jump(self) -> None:
        if self._counts:
            self.post_message(self.BucketSelected(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and self._counts and 0 <= offset.x - _LABEL < self._columns:
            self.action_move(offset.x - _LABEL - self._cursor_column())
            self.action_jump()

    def on_focus(self) -> None:
        self._redraw()

    def on_blur(self) -> None:
        self._redraw()

    def on_resize(self) -> None:
        self._redraw()

    # Painting

    def render_line(self, y: int) -> Strip:
        width, height = self.size.width, self.size.height
        start, seconds, rows = self._buckets()
        if y >= height - 1:
            segments = self._readout(start, seconds, rows) if self.has_focus and rows else self._axis(start, seconds)
        else:
            name, row, tall = self._lane(y, height)
            levels = _LANES[name]
            values = [sum(counts[level] for level in levels) for counts in rows]
            segments = self._bars(name if not row else "", values, row, tall)
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    @staticmethod
    def _lane(y: int, height: int) -> tuple[str, int, int]:
        """The lane of a row, which of its rows that is from the top, and how many it has."""
        if height <= 3:
            return ("× error" if y == 0 else "  all"), 0, 1
        return (("× error", 0, 1), ("! warn", 0, 1), ("  all", 0, 2), ("  all", 1, 2))[min(y, 3)]

    def _bars(self, name: str, values: Sequence[int], row: int, tall: int) -> list[Segment]:
        kind = {"× error": "error", "! warn": "warning"}.get(name, "all")
        style = self._ink(kind)
        most = max(values, default=0)
        text = "".join(_bar(value, most, row, tall) for value in values)
        at = self._cursor_column() if self.has_focus and values else -1
        scale = f" {format_count(most)}" if most and not row else ""
        return [
            Segment(fit(name, _LABEL), style if name else self.rich_style),
            *([Segment(text, style)] if at < 0 else _with_cursor(text, style, at, style + self._ink("cursor", partial=True))),
            Segment(" " * max(0, self._columns - len(text)), self.rich_style),
            Segment(fit(scale, _SCALE), self._ink("quiet")),
        ]

    def _axis(self, start: int, width: int) -> list[Segment]:
        quiet, columns = self._ink("quiet"), self._columns
        step = next((tick for tick in _TICKS if tick >= _TICK_CELLS * width and tick % width == 0), _TICKS[-1])
        form = "%m-%d" if step >= 86_400 else "%H:%M" if step % 60 == 0 else "%H:%M:%S"
        text = [" "] * columns
        if self._counts:
            for column in range(columns):
                second = start + column * width
                if second % step < width:
                    for place, letter in enumerate(f"╵{datetime.fromtimestamp(second, UTC):{form}}", column):
                        if place < columns:
                            text[place] = letter
        segments = [Segment(fit(_span_words(width) if self._counts else "", _LABEL), quiet)]
        marked = {(int(moment.timestamp()) - start) // width for moment, _ in self._marks}
        for column, letter in enumerate(text):
            segments.append(Segment(_MARK, self._ink("mark")) if column in marked else Segment(letter, quiet))
        note = f" {_MARK}={len(self._marks)}" if self._marks else ""
        return [*_joined(segments), Segment(fit(note, _SCALE), self._ink("mark"))]

    def _readout(self, start: int, width: int, rows: Sequence[Sequence[int]]) -> list[Segment]:
        at = self._cursor_column()
        second, counts = start + at * width, rows[at]
        begin, end = (datetime.fromtimestamp(each, UTC) for each in (second, second + width))
        parts = [f"{begin:%m-%d %H:%M:%S}–{end:%H:%M:%S}"]
        parts += [plural(errors, "error")] if (errors := counts[Severity.ERROR] + counts[Severity.CRITICAL]) else []
        parts += [plural(counts[Severity.WARNING], "warning")] if counts[Severity.WARNING] else []
        parts += [plural(sum(counts), "line")]
        gone = [name for moment, name in self._marks if second <= moment.timestamp() < second + width]
        parts += [f"{_MARK} preempted: {one_line(', '.join(gone[:3]))}{' …' if len(gone) > 3 else ''}"] if gone else []
        parts += ["enter jumps, + - zoom, ↑ ↓ errors"]
        return [Segment(fit(" · ".join(parts), self.size.width), self._ink("mark"))]

    # State

    @property
    def _columns(self) -> int:
        return max(1, self.size.width - _LABEL - _SCALE)

    def _ink(self, name: str, *, partial: bool = False) -> Style:
        return self.get_component_rich_style(f"log-histogram--{name}", partial=partial)

    def _buckets(self) -> tuple[int, int, list[list[int]]]:
        """Begin, width and counts of what is drawn."""
        if self._drawn is None:
            width, columns = self.bucket_seconds, self._columns
            first, last = self._counts.span()
            end = last // width + 1
            start = max(first // width, end - columns)
            if self._cursor:
                # The cursor is always on the screen.
                here = self._cursor // width
                start = min(start, here) if here < start else start
            count = min(columns, end - start) if self._counts else 0
            self._drawn = start * width, width, self._counts.buckets(start * width, width, count)
        return self._drawn

    def _cursor_column(self) -> int:
        start, width, rows = self._buckets()
        at = (self._cursor - start) // width if self._cursor else len(rows) - 1
        return max(0, min(at, len(rows) - 1))

    def _redraw(self) -> None:
        self._drawn = None
        self.refresh()


def _bar(value: int, most: int, row: int, tall: int) -> str:
    """One cell of a bar; any count but 0 shows."""
    eighths = max(1, round(8 * tall * value / most)) if value else 0
    below = 8 * (tall - 1 - row)
    return _BARS[max(0, min(8, eighths - below))]


def _with_cursor(text: str, style: Style, at: int, cursor: Style) -> list[Segment]:
    return [Segment(text[:at], style), Segment(text[at : at + 1], cursor), Segment(text[at + 1 :], style)]


def _joined(segments: Sequence[Segment]) -> list[Segment]:
    """Equal neighbours as one."""
    merged: list[Segment] = []
    for segment in segments:
        if merged and merged[-1].style == segment.style:
            merged[-1] = Segment(merged[-1].text + segment.text, segment.style)
        else:
            merged.append(segment)
    return merged


def _span_words(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}/bar"
    return f"{seconds} s/bar"
