"""What can be done in Logs."""

from __future__ import annotations

from typing import Final

from console.actions.action import Action, HelpRow
from console.modes import Mode

_HERE: Final = (Mode.LOGS,)

ACTIONS: Final = (
    Action("toggle_follow", "f,space", "Follow", "Hold the screen still; new lines are kept and counted", modes=_HERE),
    Action("focus_causes", "c", "Causes", "To the errors by cause; enter shows only the lines of one", modes=_HERE),
    Action("around", "a", "Around", "What all VMs said 30 s before and after this line", modes=_HERE),
    Action("go_to_time", "g", "Go to", "Jump to 03:15, -10m or 2024-05-01T03:15Z; reads it if it is not here", modes=_HERE),
    Action("older", "o", "Older", "Read older lines from log objects, Cloud Logging, serial port", modes=_HERE),
    Action("focus_histogram", "h", "Histogram", "To severity over time; arrows choose, enter jumps there, + and - zoom", modes=_HERE),
    Action("line_vm", "v", "VM", "To the VM of this line in Fleet", modes=_HERE, footer=False),
    Action("line_cell", "d", "Day", "To the day, venue and type of this line in Coverage", modes=_HERE, footer=False),
    Action("more_severities", "plus", "More", "Ask for less severe lines too", modes=_HERE),
    Action("fewer_severities", "minus", "Fewer", "Ask only for more severe lines: info, warning, error, critical", modes=_HERE),
    Action("all_severities", "0", "All", "Ask for lines of every severity", modes=_HERE, footer=False),
    Action("missing", "m", "Missing", "Lines that did not come: when, how many, the command that reads them", modes=_HERE, footer=False),
    Action("cycle_time", "t", "Time", "Write times as UTC, full UTC, local, age, or since the line above", modes=_HERE, footer=False),
    Action("search", "ctrl+f", "Search", "Highlight without hiding", modes=_HERE),
    Action("next_match", "n", "Next hit", "To the next line that matches the search", modes=_HERE, footer=False),
    Action("previous_match", "N", "Previous hit", "To the line before that matches the search", modes=_HERE, footer=False),
    Action("open_entry", "enter", "Details", "All fields of this line; enter there filters by one, - hides it", modes=_HERE, palette=False),
)

WIDGET_KEYS: Final[tuple[HelpRow, ...]] = ()
"""Keys of its widgets, which are no actions."""
