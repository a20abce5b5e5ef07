"""What can be done in Logs."""

from __future__ import annotations

from typing import Final

from console.actions.action import Action, HelpRow
from console.modes import Mode

_HERE: Final = (Mode.LOGS,)

ACTIONS: Final = (
    Action("toggle_follow", "f,space", "Follow/pause", "Hold the screen still; new lines are kept and counted", modes=_HERE),
    Action("more_severities", "plus", "More", "Show less severe lines too", modes=_HERE),
    Action("fewer_severities", "minus", "Fewer", "Only more severe lines: info, warning, error, critical", modes=_HERE),
    Action("all_severities", "0", "All", "Show lines of every severity", modes=_HERE, footer=False),
    Action("cycle_time", "t", "Time", "Write times as UTC clock, full UTC, or age", modes=_HERE, footer=False),
    Action("search", "ctrl+f", "Search", "Highlight without hiding", modes=_HERE),
    Action("next_match", "n", "Next hit", "To the next line that matches the search", modes=_HERE, footer=False),
    Action("previous_match", "N", "Previous hit", "To the line before that matches the search", modes=_HERE, footer=False),
    Action("open_entry", "enter", "Details", "All fields of this line", modes=_HERE, palette=False),
)

WIDGET_KEYS: Final[tuple[HelpRow, ...]] = ()
"""Keys of its widgets, which are no actions."""
