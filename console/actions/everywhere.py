"""What can be done in every mode."""

from __future__ import annotations

from typing import Final

from console.actions.action import Action
from console.modes import MODES

ACTIONS: Final = (
    *(Action(f"show_{mode}", row.key, row.label, row.help, runs=f"show_mode('{mode}')") for mode, row in MODES.items()),
    Action("help", "question_mark", "Help", "All keys of this screen, and why some are off now"),
    Action("filter", "slash", "Filter", 'Show what matches: words, -word, "phrase", /regex/, field:value, field>n, is:stuck'),
    Action("command_palette", "ctrl+p", "Palette", "Find any action by name", palette=False, footer=False),
    Action("export", "e", "Export", "Write all rows under the filter to a file", footer=False),
    Action("copy", "y", "Copy", "Copy the row under the cursor, also through ssh and tmux", footer=False),
    Action("place_back", "left_square_bracket", "Go back", "To what was shown before, with its filter, cursor and scroll", footer=False),
    Action("place_on", "right_square_bracket", "Go on", "To what was shown after, where one came back from", footer=False),
    Action("look_now", "ctrl+r", "Look now", "Ask every source again now, without waiting for a retry", footer=False),
    Action("hold", "ctrl+o", "Hold", "Ask nothing by itself any more, nor replace lost VMs; again: go on", footer=False),
    Action("replay_back", "comma", "Step back", "In a recording: to the look at the fleet before", footer=False, palette=False),
    Action("replay_on", "full_stop", "Step on", "In a recording: to the next look at the fleet", footer=False, palette=False),
    Action("theme", "ctrl+t", "Theme", "Choose a colour theme; each is shown while you move", footer=False),
    Action("command", "colon", "Command", "Type a command, or any action by its name", footer=False),
    Action("back", "q,escape,backspace", "Back", "One step back; from the first screen: quit", palette=False),
    Action("suspend_process", "ctrl+z", "Suspend", "To the shell for a while; its `fg` comes back here", footer=False),
    Action("quit", "ctrl+q", "Quit", "Leave the console; the fleet goes on", footer=False),
)
