"""What can be done in Audit."""

from __future__ import annotations

from typing import Final

from console.actions.action import Action, HelpRow
from console.modes import Mode

_HERE: Final = (Mode.AUDIT,)

ACTIONS: Final = (
    Action("open_deed", "enter", "Details", "Both records, item by item, with the serial tails of deleted VMs", modes=_HERE),
    Action("copy_deed_command", "c", "Copy command", "Copy the command line that does the same without the console", modes=_HERE),
    Action("show_in_fleet", "f", "Fleet", "Its run, or its VM, in Fleet; [ comes back here", modes=(Mode.COSTS, Mode.AUDIT)),
)

WIDGET_KEYS: Final[tuple[HelpRow, ...]] = ()
