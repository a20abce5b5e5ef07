"""The two questions before anything destructive: a button that is not the default for one thing, a typed number for many.

Enter alone never destroys: it presses Cancel in the first and does nothing in the second. Both say what would happen, to
what, and what it costs or saves, before they ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from console.widgets.columns import Column, Toned
from console.widgets.figures import format_age, format_money, plural
from console.widgets.table import LineTable
from console.widgets.tones import Tone

_AROUND_LIST = 9
"""Lines of the dialog beside its title, text and list."""
_LONGEST_LIST = 20


CRAMPED: Final = [(0, "-cramped"), (16, "-roomy")]
"""Breakpoints of a screen that gives up what can be done without in a terminal of a few rows."""


@dataclass(frozen=True, slots=True)
class ConfirmItem:
    """One of the things an action would hit."""

    name: str
    why: str = ""
    """Why it is on the list, e.g. "finished 3 h ago, label td-run=r7"."""
    age_seconds: float | None = None
    cost_per_day_usd: float | None = None


class ConfirmOne(ModalScreen[bool]):
    """Ask about one thing. True: do it. Cancel has the focus, so doing it takes two different keys."""

    # CSS, not DEFAULT_CSS: it must win over the defaults of the buttons and boxes inside.
    CSS = """
    ConfirmOne { align: center middle; background: $background 60%; }
    ConfirmOne > Vertical {
        width: 70;
        max-width: 92%;
        height: auto;
        padding: 1 2;
        background: $surface;
        border: round $state-warn;
    }
    ConfirmOne.-cramped > Vertical { padding: 0 1; }
    ConfirmOne .confirm--title { text-style: bold; color: $state-warn; height: auto; }
    ConfirmOne .confirm--text { height: auto; margin: 1 0; }
    ConfirmOne.-cramped .confirm--text { margin: 0; }
    ConfirmOne Horizontal { height: 1; align-horizontal: right; }
    ConfirmOne Button { margin-left: 2; min-width: 14; background: $panel; color: $foreground; }
    ConfirmOne #confirm-yes { color: $state-bad; }
    ConfirmOne Button:focus { background: $cursor; color: $cursor-text; text-style: bold; background-tint: transparent; }
    ConfirmOne #confirm-yes:focus { background: $state-bad; color: $background; }
    """

    VERTICAL_BREAKPOINTS = CRAMPED

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,n,backspace", "cancel", "Cancel"),
        Binding("left,right,up,down", "other", "Other button", show=False),
    ]

    def __init__(self, title: str, text: str, *, verb: str = "Delete") -> None:
        """
        Args:
            title: The question, with the name of the thing.
            text: What would happen, and whether it can be undone.
            verb: On the button that does it.
        """
        super().__init__()
        self._title_text = title
        self._text = text
        self._verb = verb

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(f"! {self._title_text}", classes="confirm--title", markup=False)
            yield Static(self._text, classes="confirm--text", markup=False)
            with Horizontal():
                yield Button(self._verb, id="confirm-yes", compact=True)
                yield Button("Cancel", id="confirm-no", compact=True)

    def on_mount(self) -> None:
        self.query_one("#confirm-no", Button).focus()

    def action_cancel(self) -> None:
        self.dismiss(False)

    def action_other(self) -> None:
        self.focus_next(Button)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "confirm-yes")


class ConfirmMany(ModalScreen[bool]):
    """List many things and ask for their number. True: it was typed. Arrows scroll the list while the box has the focus."""

    # CSS, not DEFAULT_CSS: it must win over the defaults of the buttons and boxes inside.
    CSS = """
    ConfirmMany { align: center middle; background: $background 60%; }
    ConfirmMany > Vertical {
        width: 110;
        max-width: 96%;
        height: auto;
        max-height: 100%;
        padding: 1 2;
        background: $surface;
        border: round $state-bad;
    }
    ConfirmMany .confirm--title { text-style: bold; color: $state-bad; height: auto; }
    ConfirmMany .confirm--text { height: auto; }
    ConfirmMany LineTable { margin: 1 0; background: $surface; }
    ConfirmMany .confirm--total { height: auto; color: $foreground; text-style: bold; }
    ConfirmMany Horizontal { height: 1; margin-top: 1; }
    ConfirmMany .confirm--ask { width: auto; }
    ConfirmMany Input, ConfirmMany Input:focus {
        width: 16;
        height: 1;
        border: none;
        padding: 0 1;
        margin: 0 1;
        background: $panel;
    }
    ConfirmMany #confirm-note { width: 1fr; color: $quiet; }
    ConfirmMany #confirm-note.-wrong { color: $state-bad; text-style: bold; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("up", "scroll(-1)", "Up", show=False),
        Binding("down", "scroll(1)", "Down", show=False),
        Binding("pageup", "scroll(-10)", "Page up", show=False),
        Binding("pagedown", "scroll(10)", "Page down", show=False),
    ]

    def __init__(
        self,
        title: str,
        items: Sequence[ConfirmItem],
        *,
        noun: str = "VM",
        text: str = "This cannot be undone.",
        expected: str | None = None,
    ) -> None:
        """
        Args:
            title: What would be done, e.g. "Delete 4 VMs of run r7".
            items: All it would hit, at least one.
            noun: What one of them is called.
            text: Consequences.
            expected: What must be typed; None: the number of items.

        Raises:
            ValueError: if there is nothing to confirm.
        """
        if not items:
            raise ValueError(f"nothing to confirm: {title}")
        super().__init__()
        self._title_text = title
        self._items = tuple(items)
        self._noun = noun
        self._text = text
        self._expected = expected or str(len(items))

    def compose(self) -> ComposeResult:
        table: LineTable[ConfirmItem] = LineTable(_columns(self._items), lambda item: item.name)
        table.can_focus = False
        table.set_rows(self._items)
        with Vertical():
            yield Static(f"! {self._title_text}", classes="confirm--title", markup=False)
            yield Static(self._text, classes="confirm--text", markup=False)
            yield table
            yield Static(self._total(), classes="confirm--total", markup=False)
            with Horizontal():
                yield Static(f"Type {self._expected} and Enter:", classes="confirm--ask", markup=False)
                yield Input(id="confirm-input", compact=True)
                yield Static("esc cancels", id="confirm-note", markup=False)

    def on_mount(self) -> None:
        self._size_list()
        self.query_one(Input).focus()

    def on_resize(self) -> None:
        self._size_list()

    def action_cancel(self) -> None:
        self.dismiss(False)

    def action_scroll(self, step: int) -> None:
        self.query_one(LineTable).action_move(step)

    def on_input_changed(self) -> None:
        self._say("esc cancels", wrong=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.value.strip() == self._expected:
            self.dismiss(True)
        elif event.value.strip():
            # What is typed next takes its place, instead of standing behind it.
            event.input.select_all()
            self._say(f"not {self._expected}: nothing was done", wrong=True)

    def _size_list(self) -> None:
        """The list gives way to the question: on a low terminal it shows fewer rows and scrolls."""
        lines = self._text.count("\n") + 2 + (len(self._title_text) + len(self._text)) // max(20, self.size.width - 10)
        room = self.size.height - lines - _AROUND_LIST
        self.query_one(LineTable).styles.height = max(2, min(len(self._items) + 1, room, _LONGEST_LIST))

    def _say(self, text: str, *, wrong: bool) -> None:
        note = self.query_one("#confirm-note", Static)
        note.set_class(wrong, "-wrong")
        note.update(text)

    def _total(self) -> str:
        costs = [item.cost_per_day_usd for item in self._items if item.cost_per_day_usd is not None]
        return plural(len(self._items), self._noun) + (f", {format_money(sum(costs))} a day" if costs else "")


def _columns(items: Sequence[ConfirmItem]) -> list[Column[ConfirmItem]]:
    name = max(len(item.name) for item in items)
    columns: list[Column[ConfirmItem]] = [
        # What is beside it is the proof: a long name gives way, its end tells VMs apart.
        Column("Name", lambda item: item.name, min(name, 20), maximum=min(name, 50), rank=0, keep_end=True)
    ]
    if any(item.why for item in items):
        columns.append(Column("Why", lambda item: Toned(item.why, Tone.QUIET), 12, 44, 70, rank=1))
    if any(item.age_seconds is not None for item in items):
        columns.append(Column("Age", lambda item: format_age(item.age_seconds), 5, rank=2, right=True))
    if any(item.cost_per_day_usd is not None for item in items):
        columns.append(Column("$/day", lambda item: format_money(item.cost_per_day_usd), 7, rank=3, right=True))
    return columns
