"""A line that opens below the others to be typed into: what is asked for, the text, and at the right what is understood of it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.suggester import Suggester
from textual.widgets import Input, Static


class TypedLine(Horizontal):
    """Hidden until it is shown; subclasses say what Enter and Escape do."""

    DEFAULT_CSS = """
    TypedLine {
        height: 1;
        display: none;
        background: $panel;
        color: $foreground;
        padding: 0 1;
        &.-open { display: block; }
        & > .typed--lead { width: auto; color: $accent; text-style: bold; }
        & > Input, & > Input:focus { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
        & > .typed--note { width: auto; color: $quiet; text-align: right; padding: 0 0 0 1; }
        &.-wrong > Input, &.-wrong > Input:focus { color: $state-bad; }
        &.-wrong > .typed--note { color: $state-bad; text-style: bold; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]

    def __init__(
        self,
        lead: str,
        placeholder: str,
        *,
        suggester: Suggester | None = None,
        id: str | None = None,  # noqa: A002 - Textual's name
        classes: str | None = None,
    ) -> None:
        """
        Args:
            lead: What is asked for.
            placeholder: Examples.
            suggester: Completes what was begun.
        """
        super().__init__(id=id, classes=classes)
        self._lead = lead
        self._placeholder = placeholder
        self._suggester = suggester
        self._note = ""

    def compose(self) -> ComposeResult:
        yield Static(self._lead, classes="typed--lead", markup=False)
        yield Input(placeholder=self._placeholder, compact=True, suggester=self._suggester)
        yield Static("", classes="typed--note", markup=False)

    @property
    def note(self) -> str:
        """What stands at the right: what was understood, or what is wrong."""
        return self._note

    @property
    def is_open(self) -> bool:
        return self.has_class("-open")

    def show_line(self, text: str = "") -> None:
        """Show it with this text, and take the focus."""
        box = self.query_one(Input)
        box.value = text
        box.cursor_position = len(text)
        self.add_class("-open")
        box.focus()

    def hide_line(self) -> None:
        self.remove_class("-open", "-wrong")

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Write at the right."""
        self._note = text
        self.set_class(wrong, "-wrong")
        self.query_one(".typed--note", Static).update(text)
