"""The table of all actions, and what is made from it: key bindings, help, and what is off now.

The footer, `?`, the command palette and the keys themselves are all made from it, so they cannot disagree. A screen
takes `bindings_for(mode)` and has one method `action_<id>` per row; widgets take their own rows with `bindings_of`.

Digits always switch modes, also in Logs: a key that means Fleet in three screens must not hide lines in the fourth.
So the severity there follows `+` and `-`, which everywhere mean more and less detail. Only keys that every terminal
and tmux pass on are used: letters, digits, marks, arrows, Enter, ctrl+letter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from textual.binding import Binding

from console.actions import audit, costs, coverage, doctor, everywhere, fleet, logs, plan
from console.actions.action import Action, Danger, HelpRow
from console.modes import Mode

_OF_MODE: Final = {
    Mode.PLAN: plan,
    Mode.FLEET: fleet,
    Mode.LOGS: logs,
    Mode.COVERAGE: coverage,
    Mode.COSTS: costs,
    Mode.AUDIT: audit,
    Mode.DOCTOR: doctor,
}

ACTIONS: Final[tuple[Action, ...]] = (*(each for module in _OF_MODE.values() for each in module.ACTIONS), *everywhere.ACTIONS)
"""All actions: those of a mode before the common ones, as `?` and the footer list them."""

WIDGET_KEYS: Final[dict[Mode, tuple[HelpRow, ...]]] = {mode: module.WIDGET_KEYS for mode, module in _OF_MODE.items()}
"""Keys of the widgets of a screen, which are no actions."""

_BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}
"""As they are now: with a person's own keys and commands, see `use`."""


def use(actions: Iterable[Action]) -> None:
    """From now on these are the actions: the table with a person's own keys, and commands of their own."""
    table = {each.id: each for each in actions}
    _BY_ID.clear()
    _BY_ID.update(table)


def action(action_id: str) -> Action:
    """The action of that id.

    Raises:
        KeyError: if there is none.
    """
    return _BY_ID[action_id]


def actions_for(mode: Mode | None) -> list[Action]:
    """What can be done in `mode`, its own actions first; None gives the common ones only."""
    own = [each for each in _BY_ID.values() if mode is not None and mode in each.modes]
    return own + [each for each in _BY_ID.values() if not each.modes]


def binding(each: Action) -> Binding:
    """The key binding of one action; its id lets a keymap in the settings move the key."""
    shown = each.key_text.split(" / ")[0]
    return Binding(each.key, each.call, each.label, show=each.footer, key_display=shown, tooltip=each.help, id=each.id)


def bindings_for(mode: Mode) -> list[Binding]:
    """The keys of a mode's own actions. The common ones belong to the app: see `app_bindings`."""
    return [binding(each) for each in ACTIONS if mode in each.modes]


def app_bindings() -> list[Binding]:
    """The keys that work everywhere."""
    return [binding(each) for each in ACTIONS if not each.modes]


def bindings_of(*action_ids: str) -> list[Binding]:
    """The keys of some actions, for a widget that does them itself when it has the focus."""
    return [binding(action(action_id)) for action_id in action_ids]


def disabled_reason(each: Action, *, read_only: bool = False, link_down: str = "") -> str | None:
    """Why the action is off now, or None if it is on.

    Args:
        read_only: The profile is protected and not armed.
        link_down: What is unreachable, e.g. "compute"; empty if all answers.
    """
    if not each.writes:
        return None
    if read_only:
        return "read-only; arm it with :write 15m"
    return f"no link to {link_down}" if link_down else None


def check_action(action_id: str, *, read_only: bool = False, link_down: str = "") -> bool | None:
    """For `check_action` of a screen: True is on, None is greyed out. What is not in the table is not ours to refuse."""
    each = _BY_ID.get(action_id)
    return None if each is not None and disabled_reason(each, read_only=read_only, link_down=link_down) else True


def help_rows(mode: Mode, *, read_only: bool = False, link_down: str = "") -> list[HelpRow]:
    """The lines of `?`: this mode's keys first."""
    return [
        HelpRow(
            each.key_text,
            each.label,
            describe(each),
            not each.modes,
            disabled_reason(each, read_only=read_only, link_down=link_down) or "",
        )
        for each in actions_for(mode)
    ]


def describe(each: Action) -> str:
    """What it does, and what it asks first."""
    match each.danger:
        case Danger.CONFIRM:
            return f"{each.help} (asks first)"
        case Danger.TYPED:
            return f"{each.help} (type the number)"
        case _:
            return each.help


def key_conflicts(actions: Iterable[Action] = ACTIONS) -> list[str]:
    """Keys that two actions of one mode share: none in our table; a user's keymap may bring some."""
    problems = []
    table = list(actions)
    for mode in Mode:
        taken: dict[str, str] = {}
        for each in table:
            if each.modes and mode not in each.modes:
                continue
            for key in filter(None, each.key.split(",")):
                if key in taken:
                    problems.append(f"{mode}: {key} is both {taken[key]} and {each.id}")
                taken[key] = each.id
    return problems
