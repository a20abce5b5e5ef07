"""The heatmap's legend: one line that says what each glyph means. Apart, because a screen may have no room for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from console.widgets.heatgrid import ADOPTED_GLYPH, ADOPTED_WORD, GLYPHS, WORDS
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
_SHORTER: Final = _SHORT | {CellState.NOT_READY: "due"}
"""Where an eighth word has to fit into 80 cells."""


class HeatLegend(Widget):
    """`▇ complete  ▄ thin  ▚ partial ...`, closer together where the terminal is narrow."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    HeatLegend { height: 1; background: $background; color: $quiet; text-wrap: nowrap; }
    """

    with_adopted: reactive[bool] = reactive(False)
    """Whether the map shows adopted cells: only then is there a word for them."""

    def render(self) -> Content:
        entries = self._entries(_SHORT)
        wide = sum(len(word) + 4 for _, word, _ in entries) - 2 <= self.size.width
        if not wide and sum(len(word) + 3 for _, word, _ in entries) - 1 > self.size.width:
            entries = self._entries(_SHORTER)
        parts: list[tuple[str, str] | str] = []
        for glyph, word, name in entries:
            parts += [(glyph, f"$heat-{name}"), f" {word}{'  ' if wide else ' '}"]
        return Content.assemble(*parts)

    def _entries(self, short: Mapping[CellState, str]) -> list[tuple[str, str, str]]:
        """Glyph, word and colour of each entry, in order."""
        entries = [(GLYPHS[state], short.get(state, WORDS[state]), state.value.replace("_", "-")) for state in _ORDER]
        if self.with_adopted:
            entries.insert(1, (ADOPTED_GLYPH, ADOPTED_WORD, ADOPTED_WORD))
        return entries
