"""The list of themes: each is shown while the cursor is on it; Enter keeps it, Escape goes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

SAMPLE: Final = (
    (
        ("✓ done", "$state-good"), ("▶ at work", "$state-busy"), ("▲ late", "$state-warn"), ("× failed", "$state-bad"),
        ("· idle", "$state-idle"),
    ),
    (
        ("█", "$heat-complete"), ("█", "$heat-adopted"), ("▓", "$heat-thin"), ("▚", "$heat-partial"), ("×", "$heat-failed"),
        ("░", "$heat-missing"), ("▶", "$heat-running"), ("?", "$heat-not-ready"), ("·", "$heat-not-expected"),
    ),
)  # fmt: skip
"""What is judged by colour: states of VMs, cells of the heatmap."""


class ThemeScreen(ModalScreen[str | None]):
    """Its result is the name of the theme that was chosen, or None."""

    # CSS, not DEFAULT_CSS: it must win over the defaults of the list inside.
    CSS = """
    ThemeScreen { align: right middle; background: transparent; }
    ThemeScreen > Vertical {
        width: 50;
        height: auto;
        max-height: 90%;
        padding: 0 1;
        margin: 0 2;
        background: $surface;
        border: round $primary;
    }
    ThemeScreen OptionList { height: auto; max-height: 20; border: none; padding: 0; background: $surface; }
    ThemeScreen .themes--hint { color: $quiet; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,backspace", "cancel", "Back")]

    def __init__(self, names: Sequence[str], present: str) -> None:
        super().__init__()
        self._names = list(names)
        self._present = present

    def compose(self) -> ComposeResult:
        with Vertical():
            yield OptionList(*(Option(name, id=name) for name in self._names))
            for line in SAMPLE:
                yield Static(Content(" ").join(Content.styled(text, style) for text, style in line))
            yield Static("enter keeps it · esc goes back", classes="themes--hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = self._names.index(self._present) if self._present in self._names else 0

    @on(OptionList.OptionHighlighted)
    def preview(self, event: OptionList.OptionHighlighted) -> None:
        """Show it."""
        event.stop()
        if event.option.id is not None:
            self.app.theme = event.option.id

    @on(OptionList.OptionSelected)
    def keep(self, event: OptionList.OptionSelected) -> None:
        """Stay with it."""
        event.stop()
        self.dismiss(event.option.id)

    def action_cancel(self) -> None:
        self.app.theme = self._present
        self.dismiss(None)
