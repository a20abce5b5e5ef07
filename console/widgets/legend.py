"""The heatmap's legend: one line that says what each glyph means. Apart, because a screen may have no room for it."""

from __future__ import annotations

from typing import Final

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from console.widgets.heat_looks import ADOPTED, COMMITTED, LOOKS, MOST_PARTIAL, QUEUED, VERIFIED

_ORDER: Final = (VERIFIED, COMMITTED, ADOPTED, 7, MOST_PARTIAL + 1, 14, 8, QUEUED, 6, 4, 0)
"""Codes: complete first, then what a person looks for. Of the partial looks one stands for all."""
_ALWAYS: Final = frozenset({COMMITTED, 7, MOST_PARTIAL + 1, 14, 8, 6, 4, 0})
_SHORT: Final = {0: "n/a"}
_SHORTER: Final = {0: "n/a", 4: "due", VERIFIED: "sure", 8: "none"}
"""Where more words have to fit into 80 cells."""


class HeatLegend(Widget):
    """`▇ complete  ≈ thin  ▄ partial ...`, closer together where the terminal is narrow."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    HeatLegend { height: 1; background: $background; color: $quiet; text-wrap: nowrap; }
    """

    shown: reactive[frozenset[int]] = reactive(frozenset())
    """Codes of the looks that are in the map: only then is there a word for those that are rare."""

    def render(self) -> Content:
        for short, gap in ((_SHORT, 2), (_SHORT, 1), (_SHORTER, 1)):
            entries = [
                (LOOKS[code].glyph, short.get(code, LOOKS[code].word), LOOKS[code].style)
                for code in _ORDER
                if code in _ALWAYS or code in self.shown
            ]
            if sum(len(word) + 2 + gap for _, word, _ in entries) - gap <= self.size.width:
                break
        parts: list[tuple[str, str] | str] = []
        for glyph, word, style in entries:
            parts += [(glyph, f"$heat-{style}"), f" {word}{' ' * gap}"]
        return Content.assemble(*parts)
