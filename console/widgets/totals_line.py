"""One line of figures about a whole, as many as fit, behind chips that say what narrows or marks what is shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from textual.content import Content
from textual.widget import Widget

from console.widgets.figures import joined

_ROOMY: Final = 20
"""Lines of a terminal that has two to spare."""


class TotalsLine(Widget):
    """Figures about the whole fleet on one line, as many as fit."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    TotalsLine { height: 1; padding: 0 1; background: $surface; color: $quiet; text-wrap: nowrap; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._chips: list[str] = []
        self._parts: list[str] = []

    def set_parts(self, parts: Iterable[str]) -> None:
        """Show these, the most important first."""
        self._parts = list(parts)
        self.refresh()

    def set_chips(self, chips: Iterable[str]) -> None:
        """What narrows the table or is marked in it: before the figures, and set off."""
        self._chips = list(chips)
        self.refresh()

    @property
    def text(self) -> str:
        """The line without colours."""
        return self.render().plain

    def render(self) -> Content:
        chips = Content("").join(Content.assemble((f" {chip} ", "bold $background on $mark"), "  ") for chip in self._chips)
        room = max(0, self.content_size.width - chips.cell_length - 2)
        return Content.assemble("  ", chips, joined(self._parts, width=room))


class ReasonLine(Widget):
    """Why the row under the cursor is as it is: two lines, on a very low terminal one."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    ReasonLine { height: 1; padding: 0 1; background: $surface; color: $foreground; text-wrap: nowrap; text-overflow: ellipsis; }
    ReasonLine.-roomy { height: 2; text-wrap: wrap; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._lead = ""
        self._text = ""

    def set_reason(self, lead: str, text: str) -> None:
        """Say it of something else.

        Args:
            lead: Of what, a word or two; "" shows nothing.
        """
        if (lead, text) != (self._lead, self._text):
            self._lead, self._text = lead, text
            self.refresh()

    @property
    def text(self) -> str:
        """The line without colours."""
        return self.render().plain

    def on_resize(self) -> None:
        self.set_class(self.screen.size.height >= _ROOMY, "-roomy")

    def render(self) -> Content:
        return Content.assemble((f"{self._lead} ", "bold $accent"), self._text) if self._lead else Content("")
