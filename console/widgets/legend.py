"""The heatmap's legend: one line that says what each glyph means. Apart, because a screen may have no room for it."""

from __future__ import annotations

from typing import Final

from textual.content import Content
from textual.widget import Widget

from console.widgets.heatgrid import GLYPHS, WORDS
from engine.model import CellState

_ORDER: Final = (
    CellState.COMPLETE,
    CellState.THIN,
    CellState.PARTIAL,
    CellState.FAILED,
    CellState.MISSING,
    CellState.RUNNING,
    CellState.NOT_READY,
    CellState.NOT_EXPECTED,
)
_SHORT: Final = {CellState.NOT_EXPECTED: "n/a"}


class HeatLegend(Widget):
    """`▇ complete  ▄ thin  ▚ partial ...`, closer together where the terminal is narrow."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    HeatLegend { height: 1; background: $background; color: $quiet; text-wrap: nowrap; }
    """

    def render(self) -> Content:
        words = [(state, _SHORT.get(state, WORDS[state])) for state in _ORDER]
        wide = sum(len(word) + 4 for _, word in words) - 2 <= self.size.width
        parts: list[tuple[str, str] | str] = []
        for state, word in words:
            parts += [(GLYPHS[state], f"$heat-{state.value.replace('_', '-')}"), f" {word}{'  ' if wide else ' '}"]
        return Content.assemble(*parts)
