"""A short list to choose from: a run, a column. Letters that begin a name jump to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from console.widgets.choice import Choice
from console.widgets.figures import one_line


class ChooseScreen(ModalScreen[str | None]):
    """Its result is the key of the choice, or None."""

    # CSS, not DEFAULT_CSS: it must win over the defaults of the list inside.
    CSS = """
    ChooseScreen { align: center middle; background: $background 60%; }
    ChooseScreen > Vertical {
        width: auto;
        min-width: 40;
        max-width: 94%;
        height: auto;
        max-height: 90%;
        padding: 0 1;
        background: $surface;
        border: round $primary;
    }
    ChooseScreen .choose--title { text-style: bold; width: auto; }
    ChooseScreen OptionList, ChooseScreen OptionList:focus {
        width: auto;
        height: auto;
        max-height: 17;
        border: none;
        padding: 0;
        background: $surface;
    }
    ChooseScreen .choose--hint { color: $quiet; width: auto; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,backspace", "cancel", "Back")]

    def __init__(self, title: str, choices: Sequence[Choice], *, present: str = "", hint: str = "enter chooses · esc goes back") -> None:
        """
        Args:
            title: What is chosen.
            choices: At least one.
            present: The key that holds now.
            hint: The last line.
        """
        super().__init__()
        self._title_text = title
        self._choices = tuple(choices)
        self._present = present
        self._hint = hint

    def compose(self) -> ComposeResult:
        wide = max(len(choice.label) for choice in self._choices)
        with Vertical():
            yield Static(Content(one_line(self._title_text)), classes="choose--title")
            yield OptionList(
                *(
                    Option(
                        Content.assemble(
                            ("● " if choice.key == self._present else "  ", "$accent"),
                            f"{one_line(choice.label):<{wide}}",
                            (f"  {one_line(choice.note)}" if choice.note else "", "$quiet"),
                        ),
                        id=f"choice-{number}",
                    )
                    for number, choice in enumerate(self._choices)
                )
            )
            yield Static(self._hint, classes="choose--hint", markup=False)

    def on_mount(self) -> None:
        keys = [choice.key for choice in self._choices]
        self.query_one(OptionList).highlighted = keys.index(self._present) if self._present in keys else 0

    def on_key(self, event: events.Key) -> None:
        letter = event.character
        if letter is None or not letter.isalnum() or event.key == "q":
            return
        options = self.query_one(OptionList)
        here = options.highlighted or 0
        count = len(self._choices)
        for step in range(1, count + 1):
            place = (here + step) % count
            if self._choices[place].label.lower().startswith(letter.lower()):
                options.highlighted = place
                event.stop()
                return

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Take it."""
        event.stop()
        self.dismiss(self._choices[event.option_index].key)

    def action_cancel(self) -> None:
        self.dismiss(None)
