"""The line for `e`: how many rows there are, and in what form they should be written."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from console.export import Form
from console.sentences import plural

_KEYS = (("c", Form.CSV), ("j", Form.JSONL), ("m", Form.MARKDOWN), ("t", Form.TEXT))


class ExportScreen(ModalScreen[Form | None]):
    """One line at the foot of the screen; its result is the form, or None."""

    DEFAULT_CSS = """
    ExportScreen { align: left bottom; background: transparent; }
    ExportScreen Static { height: 1; background: $panel; color: $foreground; padding: 0 1; text-wrap: nowrap; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"choose('{form}')", form.value) for key, form in _KEYS),
        Binding("enter", "choose('')", "As last time"),
        Binding("escape,q,backspace", "choose('none')", "Cancel"),
    ]

    def __init__(self, rows: int, usual: Form, *, text: bool = False) -> None:
        """
        Args:
            rows: How many there are under the filter.
            usual: What Enter takes.
            text: Whether the rows can be lines of text too.
        """
        super().__init__()
        self._rows = rows
        self._forms = tuple((key, form) for key, form in _KEYS if text or form is not Form.TEXT)
        self._usual = usual if text or usual is not Form.TEXT else Form.CSV

    def compose(self) -> ComposeResult:
        keys = [
            Content.assemble((f" {key} ", "bold $accent"), (form.value, "bold" if form is self._usual else ""), "  ")
            for key, form in self._forms
        ]
        lead = Content.assemble("Export ", (plural(self._rows, "row"), "bold"), " as  ")
        tail = Content.assemble((f" enter {self._usual.value} · esc cancels", "$quiet"))
        yield Static(Content.assemble(lead, *keys, tail))

    def action_choose(self, form: str) -> None:
        chosen = None if form == "none" else Form(form) if form else self._usual
        if chosen is None or any(each is chosen for _, each in self._forms):
            self.dismiss(chosen)
