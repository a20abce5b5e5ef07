"""What can be done in Plan."""

from __future__ import annotations

from typing import Final

from console.actions.action import Action, HelpRow
from console.modes import Mode

_HERE: Final = (Mode.PLAN,)

ACTIONS: Final = (
    Action("launch", "enter,l", "Launch", "Start the VMs of this plan; asks first if it costs money", modes=_HERE, saves=True),
    Action("edit_request", "i", "Edit", "To the fields of the request; tab goes on, esc leaves them", modes=_HERE),
    Action(
        "more_fields",
        "a",
        "More fields",
        "Machine type, spot or on demand, caps on cost, bytes and failures, kinds, what is tried again",
        modes=_HERE,
        footer=False,
    ),
    Action("dry_run", "d", "Dry run", "List what a launch would create, and create nothing", modes=_HERE),
    Action(
        "launch_slice",
        "z",
        "Slice",
        "Launch some shards only (space marks them), on fewer VMs, with VMs that stay, or without canaries",
        modes=_HERE,
        saves=True,
    ),
    Action("copy_command", "c", "Copy command", "Copy the command line that does the same without the console", modes=_HERE),
    Action("save_plan", "s", "Save", "Keep the plan in the state bucket, under its hash", modes=_HERE, saves=True),
    Action("open_plan", "O", "Open", "The plans that were kept: open one, or compare the present one with it", modes=_HERE),
    Action("replan", "p", "Re-plan", "Compute the plan again with what the lake holds now", modes=_HERE),
    Action("pane_balance", "b", "Balance", "How evenly the shards share the work, the slowest first", modes=_HERE, footer=False),
    Action("pane_what_if", "w", "What if", "Every strategy for several numbers of VMs; enter takes one", modes=_HERE, footer=False),
    Action("pane_checks", "f", "Checks", "Whether a launch could begin: each check and the next step", modes=_HERE, footer=False),
    Action("pane_notes", "n", "Notes", "Warnings in full: other runs on the same cells, days not published yet", modes=_HERE, footer=False),
    Action("pane_changes", "x", "Changes", "What this plan does that the last one did not", modes=_HERE, footer=False),
    Action("pane_prices", "m", "Prices", "Each line of the cost, with where its price is from", modes=_HERE, footer=False),
    Action("check_again", "F", "Check again", "Make the checks of a launch anew", modes=_HERE, footer=False),
    Action("preset_yesterday", "Y", "Yesterday", "Preset: the same request for yesterday, UTC", modes=_HERE, footer=False),
    Action("preset_holes", "H", "All holes", "Preset: only what is missing, partial or failed in the range", modes=_HERE, footer=False),
    Action("preset_tier1", "T", "Tier 1", "Preset: the symbols of universe tier1", modes=_HERE, footer=False),
    Action("preset_last", "R", "Repeat last", "Preset: what the newest run was asked for", modes=_HERE, footer=False),
)

WIDGET_KEYS: Final = (
    HelpRow("tab / i", "Fields", "To the first field and on to the next; esc leaves the field, enter launches from any of them", False),
    HelpRow("→", "Complete", "Take the name that is offered behind the cursor", False),
    HelpRow("← / →", "Choose", "Another strategy, in its field and in What if", False),
    HelpRow("space", "Mark", "Mark a shard for a slice", False),
    HelpRow("o", "Order", "Shards by time or by number, when they have the focus", False),
)
"""Keys of its widgets, which are no actions."""
