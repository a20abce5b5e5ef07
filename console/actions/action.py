"""One thing a person can do: its key, its words, how dangerous it is and where it works."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from console.modes import Mode


class Danger(StrEnum):
    """What stands between the key and the deed."""

    NONE = "none"
    CONFIRM = "confirm"
    """One thing: confirm on a button that is not the default."""
    TYPED = "typed"
    """Many things: type their number."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a person can do."""

    id: str
    """Unique; the method `action_<id>`, and the name in a keymap of the settings."""
    key: str
    """Textual key names; several with commas."""
    label: str
    """For the footer: one or two words."""
    help: str
    """For `?` and the palette: what happens, in one sentence."""
    danger: Danger = Danger.NONE
    modes: tuple[Mode, ...] = ()
    """Where it works; empty means everywhere."""
    palette: bool = True
    """Listed in the command palette: moving the cursor is not."""
    saves: bool = False
    """Writes something that harms nothing and needs no question."""
    footer: bool = True
    runs: str = ""
    """What Textual runs if that is not the method `action_<id>`: with arguments, e.g. `show_mode('plan')`."""

    @property
    def call(self) -> str:
        """What Textual runs: `action_<call>`."""
        return self.runs or self.id

    @property
    def writes(self) -> bool:
        """Changes something outside this terminal: refused in read-only mode and while the link is down."""
        return self.saves or self.danger is not Danger.NONE

    @property
    def key_text(self) -> str:
        """The keys as a person reads them: `space`, `+`, `enter / l`."""
        return " / ".join(_KEY_TEXT.get(key, key) for key in self.key.split(","))


_KEY_TEXT: Final = {
    "question_mark": "?",
    "slash": "/",
    "plus": "+",
    "minus": "-",
    "escape": "esc",
    "colon": ":",
    "comma": ",",
    "full_stop": ".",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}


@dataclass(frozen=True, slots=True)
class HelpRow:
    """One line of `?`."""

    key: str
    label: str
    text: str
    common: bool
    """Works everywhere, not only in this mode."""
    off: str = ""
    """Why it is off now; empty if it is on."""
