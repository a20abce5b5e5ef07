"""How a line of the heatmap and the ruler over it are painted: segments of text with styles. Equal neighbours are one segment."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from rich.segment import Segment
from rich.style import Style

from console.widgets.figures import fit
from console.widgets.heat_axis import Zoom
from console.widgets.heat_looks import LOOKS, STATES
from console.widgets.heatgrid import MARKED, HeatGrid
from engine.model import CellState

CURSOR: Final = 32
"""Flag beside a cell's code where the cursor is."""
_RUN = re.compile(rb"(.)\1*", re.DOTALL)
_MARK_GLYPH: Final = "◆"
_UNDER_CURSOR: Final = {"█": "■", "▇": "■"}
"""A full cell would leave nothing of the cursor's colour."""
_SOLID: Final = frozenset("█▇▓▅▄▃▂▁")
"""Glyphs that are doubled in a wide column; others get a blank beside them."""
_EIGHTHS: Final = " ▁▂▃▄▅▆▇"

_SHADED: Final = frozenset({CellState.MISSING, CellState.PARTIAL})
"""Worst states of several days for which the share that is there stands, where only one glyph has room."""

StyleOf = Callable[[str], Style]
"""The style of a component class by what follows `heatmap--`; with `?` behind it only what that class itself says; `` is the widget's."""


class HeatPainter:
    """Paints one grid at one zoom. What a code looks like is worked out once."""

    def __init__(self, grid: HeatGrid, zoom: Zoom, style_of: StyleOf) -> None:
        self._grid = grid
        self._zoom = zoom
        self._styles: dict[str, Style] = {}
        self._find_style = style_of
        self.longest_label = max((len(line.text) for line in grid.lines), default=0)
        """Cells of the longest label."""
        self._texts: dict[tuple[int, int | None], tuple[str, Style]] = {}

    def _style_of(self, name: str) -> Style:
        """A style costs more to find than a line to paint: each is found once."""
        if (style := self._styles.get(name)) is None:
            style = self._styles[name] = self._find_style(name)
        return style

    @property
    def plain(self) -> Style:
        """Of whatever is no cell."""
        return self._style_of("")

    def label(self, *, group: bool, here: bool) -> Style:
        """Of the label of a line."""
        name = f"label {group} {here}"
        if (style := self._styles.get(name)) is None:
            style = self.plain
            style += self._find_style("group?") if group else Style.null()
            style += self._find_style("here?") if here else Style.null()
            self._styles[name] = style
        return style

    def cells(self, line: int, start: int, stop: int, cursor: int | None) -> list[Segment]:
        """The columns `start` up to `stop` of a line; `cursor` is the column under it, if it is on this line."""
        zoom, grid = self._zoom, self._grid
        painted = grid.painted(line, start, stop, zoom)
        if cursor is not None and start <= cursor < stop:
            painted[cursor - start] |= CURSOR
        if zoom.unit == "day":
            return [Segment(text * len(run[0]), style) for run in _RUN.finditer(painted) for text, style in (self.look(run[0][0]),)]
        shares = (grid.share(line, column, zoom) for column in range(start, stop))
        return [Segment(*self.look(code, share)) for code, share in zip(painted, shares, strict=True)]

    def look(self, code: int, share: int | None = None) -> tuple[str, Style]:
        """Text and style of a painted cell; `share` of a column of several days."""
        found = self._texts.get((code, share))
        if found is None:
            found = self._texts[code, share] = self._text(code, share), self._style(code)
        return found

    def _style(self, code: int) -> Style:
        if code & CURSOR:
            return self._style_of("cursor")
        return self._style_of("mark" if code & MARKED else LOOKS[code & 15].style)

    def _text(self, code: int, share: int | None) -> str:
        look, cells = LOOKS[code & 15], self._zoom.cells
        glyph = _MARK_GLYPH if code & MARKED else _UNDER_CURSOR.get(look.glyph, look.glyph) if code & CURSOR else look.glyph
        if self._zoom.unit == "year":
            return fit(glyph if share is None else f"{glyph} {share} %", cells)
        if self._zoom.unit != "day" and cells > 2:
            return fit(glyph if share in (None, 100) else f"{glyph}{share}", cells)
        if self._zoom.unit != "day" and cells == 2:
            bar = glyph if share == 100 else _EIGHTHS[share * 7 // 100] if share is not None else " "
            return glyph + (bar if STATES[code & 15] is not CellState.NOT_READY else " ")
        if cells == 1:
            # One glyph for several days: how much is there, unless the state itself says more than that.
            is_shade = STATES[code & 15] in _SHADED and share and not code & MARKED
            return _EIGHTHS[max(1, share * 7 // 100)] if is_shade and share else glyph
        if cells > 2:
            return fit(f"{glyph} {look.word}", cells)
        plain = _UNDER_CURSOR.get(look.glyph, look.glyph) if code & CURSOR else look.glyph
        return plain + (_MARK_GLYPH if code & MARKED else plain if plain in _SOLID else " ")

    def corner(self, line: int, place: int, *, marking: bool) -> tuple[str, tuple[str, Style]]:
        """The two lines over the labels: which day or column, and what the cursor is on."""
        zoom, code = self._zoom, self._grid.code(line, place)
        look, style = LOOKS[code], self._style_of(LOOKS[code].style)
        words = f"{look.glyph} {look.word}"
        if zoom.unit != "day" and (share := self._grid.share(line, self._grid.axis.column(place, zoom), zoom)) is not None:
            words += f" {share} %"
        return self._grid.axis.title(place, zoom) + ("  marking" if marking else ""), (words, style)

    def ruler(self, y: int, start: int, stop: int, place: int) -> list[Segment]:
        """One line of the ruler, with a pointer over the column of a day."""
        zoom, style = self._zoom, self._style_of("ruler")
        text = self._grid.axis.ruler(start, stop, zoom)[y]
        column = self._grid.axis.column(place, zoom) - start
        if y != 1 or not 0 <= column < stop - start:
            return [Segment(text, style)]
        x = column * zoom.cells
        text = _without_word_at(text, x)
        return [Segment(text[:x], style), Segment(fit("▼", zoom.cells), self._style_of("mark")), Segment(text[x + zoom.cells :], style)]


def _without_word_at(line: str, x: int) -> str:
    """The ruler without the label that the pointer would cut in two."""
    start, stop = line.rfind(" ", 0, x + 1) + 1, line.find(" ", x)
    stop = len(line) if stop < 0 else stop
    return line[:start] + " " * max(0, stop - start) + line[max(start, stop) :]
