"""The line for `:`: a command with completion, and what is wrong with it while it is typed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from console.commands import WORDS, Command, Context, offered, read_command
from engine.errors import UsageError, one_line


class CommandScreen(ModalScreen[Command | None]):
    """One line at the foot of the screen; its result is the command, or None."""

    DEFAULT_CSS = """
    CommandScreen { align: left bottom; background: transparent; }
    CommandScreen Horizontal { height: 1; background: $panel; padding: 0 1; }
    CommandScreen .command--lead { width: auto; color: $accent; text-style: bold; }
    CommandScreen Input, CommandScreen Input:focus { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
    CommandScreen #command-note { width: auto; max-width: 70%; color: $state-bad; padding: 0 0 0 1; text-wrap: nowrap; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]

    def __init__(self, context: Context) -> None:
        """
        Args:
            context: What a line may name.
        """
        super().__init__()
        self._may_name = context

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static(": ", classes="command--lead", markup=False)
            yield Input(
                placeholder=" · ".join(f"{word.name} {word.takes}".strip() for word in WORDS[:4]) + " · any action",
                suggester=SuggestFromList(offered(self._may_name), case_sensitive=False),
                compact=True,
            )
            yield Static("", id="command-note", markup=False)

    def action_cancel(self) -> None:
        self.dismiss(None)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.query_one("#command-note", Static).update("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not event.value.strip():
            self.dismiss(None)
            return
        try:
            command = read_command(event.value, self._may_name)
        except UsageError as error:
            self.query_one("#command-note", Static).update(f"× {one_line(error)}")
        else:
            self.dismiss(command)
