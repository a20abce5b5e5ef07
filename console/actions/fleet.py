"""What can be done in Fleet."""

from __future__ import annotations

from typing import Final

from console.actions.action import Action, Danger, HelpRow
from console.modes import Mode

_HERE: Final = (Mode.FLEET,)

ACTIONS: Final = (
    Action("open_row", "enter", "Details", "Everything known of this VM", modes=_HERE, palette=False, footer=False),
    Action("mark", "space", "Mark", "Mark this VM for the next action", modes=_HERE, palette=False, footer=False),
    Action("open_logs", "L", "Its logs", "The logs of this VM", modes=_HERE),
    Action("drain", "d", "Drain", "No new work, finish what is in flight: stop spending, lose nothing", Danger.CONFIRM, _HERE),
    Action("delete_vm", "x", "Delete VM", "Delete this VM, or the marked ones; it may be replaced", Danger.CONFIRM, _HERE),
    Action("abort_run", "a", "Abort run", "Delete all VMs of the run, in any state", Danger.TYPED, _HERE),
    Action("cleanup", "X", "Clean up", "Delete provable garbage: dead VMs, orphan disks, idle addresses", Danger.TYPED, _HERE),
)

WIDGET_KEYS: Final[tuple[HelpRow, ...]] = ()
"""Keys of its widgets, which are no actions."""
