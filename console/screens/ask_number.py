"""Ask for one number, with what it is about: how many VMs a run should have."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class AskNumberScreen(ModalScreen[int | None]):
    """Its result is the number, or None."""

    CSS = """
    AskNumberScreen { align: center middle; background: $background 60%; }
    AskNumberScreen > Vertical {
        width: 76;
        max-width: 94%;
        height: auto;
        padding: 1 2;
        background: $surface;
        border: round $primary;
    }
    AskNumberScreen .number--title { text-style: bold; height: auto; }
    AskNumberScreen .number--text { height: auto; margin: 1 0; }
    AskNumberScreen Horizontal { height: 1; }
    AskNumberScreen .number--ask { width: auto; }
    AskNumberScreen Input, AskNumberScreen Input:focus {
        width: 12;
        height: 1;
        border: none;
        padding: 0 1;
        margin: 0 1;
        background: $panel;
    }
    AskNumberScreen #number-note { width: 1fr; color: $quiet; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, title: str, text: str, *, ask: str, present: int) -> None:
        """
        Args:
            title: What the number changes.
            text: What it is now, and what a change does.
            ask: In front of the box.
            present: The number now; typing replaces it.
        """
        super().__init__()
        self._title_text = title
        self._text = text
        self._ask = ask
        self._present = present

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(self._title_text, classes="number--title", markup=False)
            yield Static(self._text, classes="number--text", markup=False)
            with Horizontal():
                yield Static(self._ask, classes="number--ask", markup=False)
                yield Input(str(self._present), type="integer", id="number-input", compact=True, select_on_focus=True)
                yield Static("enter shows what would be done · esc cancels", id="number-note", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        if text.isdigit():
            self.dismiss(int(text))
        else:
            self.query_one("#number-note", Static).update("a whole number, please")

    def action_cancel(self) -> None:
        self.dismiss(None)
