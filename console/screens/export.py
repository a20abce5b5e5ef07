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

_KEYS = (("c", Form.CSV), ("j", Form.JSONL), ("m", Form.MARKDOWN))


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

    def __init__(self, rows: int, usual: Form) -> None:
        """
        Args:
            rows: How many there are under the filter.
            usual: What Enter takes.
        """
        super().__init__()
        self._rows = rows
        self._usual = usual

    def compose(self) -> ComposeResult:
        keys = [
            Content.assemble((f" {key} ", "bold $accent"), (form.value, "bold" if form is self._usual else ""), "  ") for key, form in _KEYS
        ]
        lead = Content.assemble("Export ", (plural(self._rows, "row"), "bold"), " as  ")
        tail = Content.assemble((f" enter {self._usual.value} · esc cancels", "$quiet"))
        yield Static(Content.assemble(lead, *keys, tail))

    def action_choose(self, form: str) -> None:
        self.dismiss(None if form == "none" else Form(form) if form else self._usual)
