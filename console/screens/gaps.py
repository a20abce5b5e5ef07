"""Lines that Logs does not have: when, how many, why, the command that reads them, and reading them now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from console.log_gaps import Gap
from console.widgets.detail import DetailScreen
from console.widgets.figures import format_count


class GapScreen(ModalScreen[Gap | None]):
    """A modal; its result is the gap to read now, or None."""

    CSS = """
    GapScreen { align: center middle; background: $background 60%; }
    GapScreen > Vertical {
        width: 92%;
        max-width: 130;
        height: auto;
        max-height: 90%;
        padding: 0 1;
        background: $surface;
        border: round $primary;
    }
    GapScreen .gaps--title { height: 1; text-style: bold; text-wrap: nowrap; }
    GapScreen .gaps--hint { height: 1; color: $quiet; text-wrap: nowrap; }
    GapScreen OptionList { height: auto; max-height: 100%; border: none; padding: 0; background: $surface; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,backspace,m", "close", "Close"),
        Binding("y", "copy", "Copy the command"),
    ]

    def __init__(self, gaps: Sequence[tuple[Gap, str]]) -> None:
        """
        Args:
            gaps: Each with the command that reads its lines.
        """
        super().__init__()
        self._gaps = gaps

    def compose(self) -> ComposeResult:
        total = sum(gap.count for gap, _ in self._gaps)
        with Vertical():
            title = f"{format_count(total)} lines or more are not here" if total else "Some lines are not here"
            yield Static(title, classes="gaps--title", markup=False)
            yield OptionList(*(Option(_words(gap, command)) for gap, command in self._gaps), markup=False)
            yield Static("enter reads them now · y copies the command · esc closes", classes="gaps--hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    def action_close(self) -> None:
        self.dismiss(None)

    def action_copy(self) -> None:
        if (at := self.query_one(OptionList).highlighted) is not None:
            self.post_message(DetailScreen.CopyRequested(self._gaps[at][1]))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._gaps[event.option_index][0])


def _words(gap: Gap, command: str) -> str:
    count = format_count(gap.count) if gap.count else "some"
    return f"{gap.since:%m-%d %H:%M:%S}–{gap.until:%H:%M:%S} UTC  {count}  {gap.reason}\n  {command}"
