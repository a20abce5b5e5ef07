"""Asking for a reason in one line: what is said here stands on the audit trail."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class ReasonScreen(ModalScreen[str | None]):
    """The reason that was typed; None: the person went back."""

    CSS = """
    ReasonScreen { align: center middle; background: $background 60%; }
    ReasonScreen > Vertical {
        width: 90;
        max-width: 96%;
        height: auto;
        padding: 1 2;
        background: $surface;
        border: round $state-warn;
    }
    ReasonScreen .reason--title { text-style: bold; color: $state-warn; height: auto; }
    ReasonScreen .reason--text { height: auto; margin: 1 0; }
    ReasonScreen Input, ReasonScreen Input:focus { height: 1; border: none; padding: 0 1; background: $panel; }
    ReasonScreen .reason--hint { height: auto; margin-top: 1; color: $quiet; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, title: str, text: str, *, example: str = "") -> None:
        """
        Args:
            title: What the reason is for.
            text: What will be done.
            example: A reason as it should read.
        """
        super().__init__()
        self._title_text = title
        self._text = text
        self._example = example

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(f"! {self._title_text}", classes="reason--title", markup=False)
            yield Static(self._text, classes="reason--text", markup=False)
            yield Input(placeholder=self._example, id="reason-input", compact=True)
            yield Static("enter goes on, nothing is written yet · esc cancels", classes="reason--hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            self.dismiss(event.value.strip())

    def action_cancel(self) -> None:
        self.dismiss(None)
