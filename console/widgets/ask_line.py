"""One line that asks for one thing, e.g. a time to jump to: it says while it is typed what it understands, and takes nothing else."""

from __future__ import annotations

from collections.abc import Callable

from textual.message import Message
from textual.widgets import Input

from console.widgets.typed_line import TypedLine
from engine.errors import EngineError


class AskLine(TypedLine):
    """Hidden until `open`; Enter answers, Escape does not."""

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
        super().__init__(lead, placeholder, id=id)
        self._understand = understand

    def open(self) -> None:
        """Show the line, empty, and take the focus."""
        self.show_line()

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
        self.say(problem or meaning, wrong=bool(problem))
        return not problem

    def _close(self) -> None:
        self.hide_line()
        self.post_message(self.Closed(self))
