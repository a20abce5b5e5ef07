"""Everything a person can do at the console: one table, a module for the rows of each mode. See `console.actions.registry`."""

from console.actions.action import Action, Danger, HelpRow
from console.actions.palette import ActionProvider, PaletteEntry, palette_entries
from console.actions.registry import (
    ACTIONS,
    WIDGET_KEYS,
    action,
    actions_for,
    app_bindings,
    bindings_for,
    bindings_of,
    check_action,
    disabled_reason,
    help_rows,
    key_conflicts,
    use,
)
from console.modes import Mode

__all__ = [
    "ACTIONS",
    "WIDGET_KEYS",
    "Action",
    "ActionProvider",
    "Danger",
    "HelpRow",
    "Mode",
    "PaletteEntry",
    "action",
    "actions_for",
    "app_bindings",
    "bindings_for",
    "bindings_of",
    "check_action",
    "disabled_reason",
    "help_rows",
    "key_conflicts",
    "palette_entries",
    "use",
]
