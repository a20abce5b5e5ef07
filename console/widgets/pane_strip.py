"""One line that names the panes of a screen with their keys and what each has to say, the open one set off. Clicking one opens it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from console.widgets.tones import GLYPHS, Tone


@dataclass(frozen=True, slots=True)
class PaneTab:
    """One pane's entry."""

    name: str
    key: str
    title: str
    badge: str = ""
    """What it has to say, a few words."""
    tone: Tone = Tone.QUIET
    """Of the badge; anything but quiet also gets its glyph."""


class PaneStrip(Widget):
    """The tabs that fit, first come first."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    PaneStrip { height: 1; background: $panel; color: $foreground; text-wrap: nowrap; }
    """

    class Picked(Message):
        """A tab was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._tabs: tuple[PaneTab, ...] = ()
        self._open = ""

    @property
    def text(self) -> str:
        """The line without colours."""
        return self.render().plain

    def set_tabs(self, tabs: Iterable[PaneTab], open_name: str) -> None:
        """Show these; `open_name` is the one that is open."""
        new = tuple(tabs)
        if (new, open_name) != (self._tabs, self._open):
            self._tabs, self._open = new, open_name
            self.refresh()

    def render(self) -> Content:
        return Content.assemble(*(part for _, part in self._parts()))

    def on_click(self, event: events.Click) -> None:
        place = 0
        for name, part in self._parts():
            place += cell_len(part.plain)
            if event.x < place:
                self.post_message(self.Picked(name))
                return

    def _parts(self) -> list[tuple[str, Content]]:
        """Badges give way first, the least alarming before the others."""
        parts: list[tuple[str, Content]] = []
        for tones in (set(Tone), {Tone.BAD, Tone.WARN, Tone.GOOD}, {Tone.BAD, Tone.WARN}, {Tone.BAD}, set()):
            parts = [(tab.name, self._part(tab, badge=tab.tone in tones)) for tab in self._tabs]
            if sum(cell_len(part.plain) for _, part in parts) <= self.size.width:
                break
        return parts

    def _part(self, tab: PaneTab, *, badge: bool) -> Content:
        style = "bold $background on $accent" if tab.name == self._open else ""
        parts: list[tuple[str, str]] = [(f" {tab.key}", style or "bold $accent"), (f" {tab.title} ", style)]
        if badge and tab.badge:
            glyph = "" if tab.tone is Tone.QUIET else f"{GLYPHS[tab.tone]} "
            parts.append((f" {glyph}{tab.badge} ", tab.tone.css))
        return Content.assemble(*parts)
