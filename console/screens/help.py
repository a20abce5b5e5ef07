"""`?`: every key of the screen it was asked on, what it does, and why it is off if it is. Made from the action registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from console.actions import HelpRow, Mode, action, help_rows
from console.widgets.table import Column, LineTable, Toned
from console.widgets.tones import Tone

WIDGET_KEYS: dict[Mode, tuple[HelpRow, ...]] = {
    Mode.PLAN: (
        HelpRow("tab / i", "Fields", "To the first field and on to the next; esc leaves the field, enter launches from any of them", False),
        HelpRow("→", "Complete", "Take the name that is offered behind the cursor", False),
        HelpRow("← / →", "Choose", "Another strategy, when it has the focus", False),
        HelpRow("o", "Order", "Shards by time or by number, when they have the focus", False),
    ),
    Mode.COVERAGE: (
        HelpRow("v", "Rectangle", "Start a rectangle at the cursor, arrows draw it; again: it stands", False),
        HelpRow("shift+arrows", "Mark", "Mark while moving", False),
        HelpRow("< / >", "Month", "To the first day of this month or the next", False),
        HelpRow("home / end", "Ends", "First and last day", False),
    ),
}
"""Keys of the widgets of a screen, which are no actions."""


class HelpScreen(ModalScreen[None]):
    """A table of keys."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > Vertical {
        width: 110;
        max-width: 96%;
        height: auto;
        max-height: 94%;
        padding: 0 1;
        background: $surface;
        border: round $primary;
    }
    HelpScreen LineTable { height: auto; background: $surface; }
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
        table: LineTable[tuple[HelpRow, str]] = LineTable(_columns(), lambda pair: f"{pair[0].key} {pair[0].label}")
        table.set_rows(self._rows)
        table.styles.height = min(len(self._rows) + 1, max(4, self.app.size.height * 94 // 100 - 4))
        with Vertical():
            yield Static(f"Keys of {self._mode.value.capitalize()}", classes="help--title", markup=False)
            yield table
            yield Static("arrows scroll · esc closes · ctrl+p finds any action by name", classes="help--hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(LineTable).focus()

    def action_close(self) -> None:
        self.dismiss()


def _columns() -> list[Column[tuple[HelpRow, str]]]:
    return [
        Column("Key", lambda pair: Toned(pair[0].key, Tone.QUIET if pair[1] else Tone.PLAIN), 12, maximum=22, rank=0),
        Column("Action", lambda pair: Toned(pair[0].label, Tone.QUIET if pair[1] else Tone.PLAIN), 10, maximum=16, rank=1),
        Column("", lambda pair: _what(*pair), 20, maximum=120, rank=2),
    ]


def _what(row: HelpRow, off: str) -> Toned:
    return Toned(f"off: {off}", Tone.WARN) if off else Toned(row.text, Tone.PLAIN)
