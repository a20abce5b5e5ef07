"""What can be done in Fleet."""

from __future__ import annotations

from typing import Final

from console.actions.action import Action, Danger, HelpRow
from console.modes import Mode

_HERE: Final = (Mode.FLEET,)

ACTIONS: Final = (
    Action("open_row", "enter", "Details", "Everything known of this VM", modes=_HERE, palette=False, footer=False),
    Action("mark", "space", "Mark", "Mark this VM for the next action", modes=_HERE, palette=False, footer=False),
    Action("open_logs", "L", "Logs", "The logs of this VM", modes=_HERE),
    Action("go_slowest", "g", "Slowest", "To the VM whose shard ends last; the line below says why", modes=_HERE),
    Action("drain", "d", "Drain", "No new work, finish what is in flight: the run, or the marked VMs", Danger.CONFIRM, _HERE),
    Action("replace_vm", "R", "Replace", "Another VM in the place of this one, or of the marked ones", Danger.CONFIRM, _HERE),
    Action("delete_vm", "x", "Delete", "Delete this VM, or the marked ones; it may be replaced", Danger.CONFIRM, _HERE),
    Action("abort_run", "a", "Abort run", "Delete all VMs of the run, in any state", Danger.TYPED, _HERE),
    Action("cleanup", "X", "Clean up", "Delete provable garbage: dead VMs, orphan disks, idle addresses", Danger.TYPED, _HERE),
    Action("power", "p", "Stop/start", "Power this VM, or the marked ones, off; on if it is off", Danger.CONFIRM, _HERE),
    Action("resize_run", "w", "Resize", "More or fewer VMs for the run; shows which before it asks", Danger.CONFIRM, _HERE),
    Action("open_shell", "s", "Shell", "Log in to this VM by gcloud compute ssh", modes=_HERE, saves=True),
    Action("open_timeline", "t", "Timeline", "When VMs were lost, what that cost, and which zone to leave", modes=_HERE),
    Action("choose_run", "r", "Runs", "Choose the run that is shown", modes=_HERE),
    Action("sort", "o", "Sort", "Sort by a column; the same again: the other way round", modes=_HERE),
    Action("reverse_sort", "O", "Reverse", "Sort the other way round", modes=_HERE, footer=False),
    Action("mark_range", "v", "Mark a range", "Mark from here to where the cursor goes; v ends it", modes=_HERE, footer=False),
    Action("mark_all", "m", "Mark all", "Mark all VMs under the filter; again: none", modes=_HERE, footer=False),
    Action("invert_marks", "i", "Invert marks", "Mark what is not marked, under the filter", modes=_HERE, footer=False),
)

WIDGET_KEYS: Final[tuple[HelpRow, ...]] = ()
"""Keys of its widgets, which are no actions."""
