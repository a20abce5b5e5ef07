"""Launching although checks fail: what fails is listed, and a reason has to be written, which goes onto the audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from engine.doctor.finding import Finding

_SHOWN = 6


class SkipChecksScreen(ModalScreen[str | None]):
    """A modal; its result is the reason, or None: it is not launched. Enter without a reason does nothing."""

    # CSS, not DEFAULT_CSS: it must win over the defaults of the boxes inside.
    CSS = """
    SkipChecksScreen { align: center middle; background: $background 60%; }
    SkipChecksScreen > Vertical { width: 100; max-width: 96%; height: auto; padding: 1 2; background: $surface; border: round $state-bad; }
    SkipChecksScreen .skip--title { text-style: bold; color: $state-bad; height: auto; }
    SkipChecksScreen .skip--text { height: auto; margin: 1 0; }
    SkipChecksScreen Horizontal { height: 1; }
    SkipChecksScreen .skip--label { width: auto; padding-right: 1; }
    SkipChecksScreen Input, SkipChecksScreen Input:focus { width: 1fr; height: 1; border: none; padding: 0 1; background: $panel; }
    SkipChecksScreen .skip--hint { color: $quiet; margin-top: 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "Cancel")]

    def __init__(self, title: str, wrong: Sequence[Finding], text: str) -> None:
        """
        Args:
            title: one line.
            wrong: what fails.
            text: what the launch would cost.
        """
        super().__init__()
        self._title_text = title
        self._wrong = tuple(wrong)
        self._text = text

    def compose(self) -> ComposeResult:
        lines = [f"× {finding.check}: {finding.line.replace(' -> ', ' → ')}" for finding in self._wrong[:_SHOWN]]
        lines += [f"and {len(self._wrong) - _SHOWN} more"] if len(self._wrong) > _SHOWN else []
        with Vertical():
            yield Static(f"× {self._title_text}", classes="skip--title", markup=False)
            yield Static("\n".join([*lines, self._text]), classes="skip--text", markup=False)
            with Horizontal():
                yield Static("Launch nevertheless, because:", classes="skip--label", markup=False)
                yield Input(id="skip-reason", compact=True)
            yield Static("the reason goes onto the audit trail · esc: do not launch", classes="skip--hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if reason := event.value.strip():
            self.dismiss(reason)

    def action_close(self) -> None:
        self.dismiss(None)
