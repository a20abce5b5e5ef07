"""One line that asks for one thing, e.g. a time to jump to: it says while it is typed what it understands, and takes nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from engine.errors import EngineError


class AskLine(Horizontal):
    """Hidden until `open`; Enter answers, Escape does not."""

    DEFAULT_CSS = """
    AskLine {
        height: 1;
        display: none;
        background: $panel;
        color: $foreground;
        padding: 0 1;
        &.-open { display: block; }
        & > #ask-lead { width: auto; color: $accent; text-style: bold; }
        & > Input, & > Input:focus { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
        & > #ask-note { width: auto; color: $quiet; text-align: right; padding: 0 0 0 1; }
        &.-wrong > Input, &.-wrong > Input:focus { color: $state-bad; }
        &.-wrong > #ask-note { color: $state-bad; text-style: bold; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]

    class Answered(Message):
        """Enter on what was understood."""

        def __init__(self, line: AskLine, text: str) -> None:
            super().__init__()
            self.line = line
            self.text = text

        @property
        def control(self) -> AskLine:
            return self.line

    class Closed(Message):
        """The line is gone, answered or not: give the focus back."""

        def __init__(self, line: AskLine) -> None:
            super().__init__()
            self.line = line

        @property
        def control(self) -> AskLine:
            return self.line

    def __init__(self, lead: str, placeholder: str, understand: Callable[[str], str], *, id: str | None = None) -> None:  # noqa: A002
        """
        Args:
            lead: What is asked for.
            placeholder: Examples.
            understand: What a text means, in words; raises EngineError if it means nothing.
        """
        super().__init__(id=id)
        self._lead = lead
        self._placeholder = placeholder
        self._understand = understand

    def compose(self) -> ComposeResult:
        yield Static(self._lead, id="ask-lead")
        yield Input(placeholder=self._placeholder, compact=True)
        yield Static("", id="ask-note")

    @property
    def note(self) -> str:
        """What stands at the right: what was understood, or why not."""
        return str(self.query_one("#ask-note", Static).content)

    @property
    def is_open(self) -> bool:
        return self.has_class("-open")

    def open(self) -> None:
        """Show the line, empty, and take the focus."""
        self.query_one(Input).value = ""
        self.add_class("-open")
        self.query_one(Input).focus()

    def action_cancel(self) -> None:
        self._close()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._check(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not event.value.strip():
            self._close()
        elif self._check(event.value):
            self.post_message(self.Answered(self, event.value))
            self._close()

    def _check(self, text: str) -> bool:
        problem = ""
        try:
            meaning = self._understand(text) if text.strip() else ""
        except EngineError as error:
            meaning, problem = "", error.hint or str(error)
        self.set_class(bool(problem), "-wrong")
        self.query_one("#ask-note", Static).update(problem or meaning)
        return not problem

    def _close(self) -> None:
        self.remove_class("-open", "-wrong")
        self.post_message(self.Closed(self))
