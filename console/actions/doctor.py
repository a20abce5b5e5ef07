"""What can be done in Doctor."""

from __future__ import annotations

from typing import Final

from console.actions.action import Action, HelpRow
from console.modes import Mode

_HERE: Final = (Mode.DOCTOR,)

ACTIONS: Final = (
    Action("look_again", "r", "Look again", "Run all checks again", modes=_HERE),
    Action("open_check", "enter", "Details", "What the check means, what it found, and the next step", modes=_HERE),
    Action("copy_fix", "c", "Copy fix", "Copy the command that mends it", modes=_HERE),
)

WIDGET_KEYS: Final[tuple[HelpRow, ...]] = ()
