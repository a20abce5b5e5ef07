"""`?`: every key of the screen it was asked on, what it does, and why it is off if it is. Made from the action registry."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from console.actions import WIDGET_KEYS, Mode, action, help_rows
from console.widgets.figures import fit

_KEY_WIDTH = 14
_LABEL_WIDTH = 15


class HelpScreen(ModalScreen[None]):
    """A table of keys."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > Vertical {
        width: 110;
        max-width: 96%;
        height: 92%;
        padding: 0 1;
        background: $surface;
        border: round $primary;
    }
    HelpScreen VerticalScroll { height: 1fr; scrollbar-size: 1 1; }
    HelpScreen #help-rows { height: auto; }
    HelpScreen .help--title { height: 1; text-style: bold; }
    HelpScreen .help--hint { height: 1; color: $quiet; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,backspace,question_mark", "close", "Close")]

    def __init__(self, mode: Mode, *, read_only: bool, link_down: str, off: Mapping[str, str]) -> None:
        """
        Args:
            mode: Whose keys.
            read_only: Nothing may be written now.
            link_down: What cannot be reached; empty if all answers.
            off: Actions that the screen itself has switched off: id -> why.
        """
        super().__init__()
        self._mode = mode
        reasons = {(action(each).key_text, action(each).label): reason for each, reason in off.items()}
        rows = help_rows(mode, read_only=read_only, link_down=link_down)
        own = [row for row in rows if not row.common]
        self._rows = [
            *((row, row.off or reasons.get((row.key, row.label), "")) for row in own),
            *((row, "") for row in WIDGET_KEYS.get(mode, ())),
            *((row, "") for row in rows if row.common),
        ]

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(f"Keys of {self._mode.value.capitalize()}", classes="help--title", markup=False)
            with VerticalScroll():
                yield Static(id="help-rows", markup=False)
            yield Static("arrows scroll · esc closes · ctrl+p finds any action by name", classes="help--hint", markup=False)

    def on_mount(self) -> None:
        self._fill()
        self.query_one(VerticalScroll).focus()

    def on_resize(self) -> None:
        self._fill()

    def action_close(self) -> None:
        self.dismiss()

    def _fill(self) -> None:
        """Whole sentences: what is too long goes on in the next line, under its own column."""
        width = min(112, self.app.size.width * 96 // 100) - 6
        lead = _KEY_WIDTH + _LABEL_WIDTH
        lines: list[Content] = []
        common = False
        for row, off in self._rows:
            if row.common and not common:
                common = True
                lines += [Content(""), Content.assemble(("Everywhere", "bold"))]
            text = f"off: {off}" if off else row.text
            first, *more = textwrap.wrap(text, max(20, width - lead)) or [""]
            tone = "$state-warn" if off else ""
            key, label = fit(row.key, _KEY_WIDTH - 2), fit(row.label, _LABEL_WIDTH - 2)
            lines.append(
                Content.assemble((f"{key}  ", "$quiet" if off else "bold $accent"), (f"{label}  ", "$quiet" if off else ""), (first, tone))
            )
            lines += [Content.assemble(" " * lead, (each, tone)) for each in more]
        self.query_one("#help-rows", Static).update(Content("\n").join(lines))
