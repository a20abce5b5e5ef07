"""What can be done in Coverage."""

from __future__ import annotations

from typing import Final

from console.actions.action import Action, HelpRow
from console.modes import Mode

_HERE: Final = (Mode.COVERAGE,)

ACTIONS: Final = (
    Action("next_hole", "n", "Next hole", "To the next cell that is missing, partial or failed", modes=_HERE),
    Action("previous_hole", "N", "Previous hole", "To the one before", modes=_HERE, footer=False),
    Action("mark_cell", "space", "Mark", "Mark this cell; v and arrows mark a rectangle", modes=_HERE, palette=False),
    Action("mark_holes", "m", "Mark holes", "Mark all holes; again: unmark everything", modes=_HERE),
    Action("repair", "r", "Repair plan", "Plan the repair of the marked cells, or of all holes", modes=_HERE),
    Action("open_cell", "enter", "Details", "Symbols of this cell, with the proof", modes=_HERE, palette=False),
    Action("hole_list", "h", "Hole list", "All holes with age, size, cost and reason; s sorts, enter goes to one", modes=_HERE),
    Action(
        "next_layer",
        "L",
        "Layer",
        "Another layer of the lake: raw files, candles, what is loaded; r repairs in the one that is shown",
        modes=_HERE,
    ),
    Action(
        "whole_range",
        "z",
        "Whole range",
        "All days and rows in one look, rows gathered where they are many; again: to the days around the cursor",
        modes=_HERE,
        footer=False,
    ),
    Action("zoom_in", "plus", "Zoom in", "Years, months, weeks, days, wide days, days with words", modes=_HERE, footer=False),
    Action("zoom_out", "minus", "Zoom out", "The other way round", modes=_HERE, footer=False),
    Action("group_rows", "g", "Group", "Gather rows by venue, by type, or not", modes=_HERE, footer=False),
    Action(
        "fold",
        "c",
        "Open/close",
        "Open or close the group under the cursor; its line shows the worst of its rows",
        modes=_HERE,
        footer=False,
    ),
    Action("fold_all", "C", "All groups", "Open all groups, or close them", modes=_HERE, footer=False),
    Action(
        "arrivals",
        "Y",
        "Yesterday",
        "Is yesterday in yet: when each venue was published, and how far the lake is",
        modes=_HERE,
        footer=False,
    ),
)

WIDGET_KEYS: Final = (
    HelpRow("v", "Rectangle", "Start a rectangle at the cursor, arrows draw it; again: it stands", False),
    HelpRow("shift+arrows", "Mark", "Mark while moving", False),
    HelpRow("< / >", "Month", "To the first day of this month or the next", False),
    HelpRow("home / end", "Ends", "First and last day", False),
)
"""Keys of its widgets, which are no actions."""
