"""Everything a person can do at the console, in one table: its key, its words, how dangerous it is and where it works.

The footer, `?`, the command palette and the keys themselves are all made from it, so they cannot disagree. A screen
takes `bindings_for(mode)` and has one method `action_<id>` per row; widgets take their own rows with `bindings_of`.

Digits always switch modes, also in Logs: a key that means Fleet in three screens must not hide lines in the fourth.
So the severity there follows `+` and `-`, which everywhere mean more and less detail. Only keys that every terminal
and tmux pass on are used: letters, digits, marks, arrows, Enter, ctrl+letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.dom import DOMNode
from textual.types import IgnoreReturnCallbackType


class Mode(StrEnum):
    """A screen stack of the console."""

    PLAN = "plan"
    FLEET = "fleet"
    LOGS = "logs"
    COVERAGE = "coverage"


class Danger(StrEnum):
    """What stands between the key and the deed."""

    NONE = "none"
    CONFIRM = "confirm"
    """One thing: confirm on a button that is not the default."""
    TYPED = "typed"
    """Many things: type their number."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a person can do."""

    id: str
    """Unique; the method `action_<id>`, and the name in a keymap of the settings."""
    key: str
    """Textual key names; several with commas."""
    label: str
    """For the footer: one or two words."""
    help: str
    """For `?` and the palette: what happens, in one sentence."""
    danger: Danger = Danger.NONE
    modes: tuple[Mode, ...] = ()
    """Where it works; empty means everywhere."""
    palette: bool = True
    """Listed in the command palette: moving the cursor is not."""
    saves: bool = False
    """Writes something that harms nothing and needs no question."""
    footer: bool = True

    @property
    def writes(self) -> bool:
        """Changes something outside this terminal: refused in read-only mode and while the link is down."""
        return self.saves or self.danger is not Danger.NONE

    @property
    def key_text(self) -> str:
        """The keys as a person reads them: `space`, `+`, `enter / l`."""
        return " / ".join(_KEY_TEXT.get(key, key) for key in self.key.split(","))


_KEY_TEXT: Final = {"question_mark": "?", "slash": "/", "plus": "+", "minus": "-", "escape": "esc", "colon": ":"}


def _plan() -> tuple[Action, ...]:
    here = (Mode.PLAN,)
    return (
        Action("launch", "enter,l", "Launch", "Start the VMs of this plan; asks first if it costs money", modes=here, saves=True),
        Action("save_plan", "s", "Save", "Keep the plan in the state bucket, under its hash", modes=here, saves=True),
        Action("copy_command", "c", "Copy command", "Copy the command line that does the same without the console", modes=here),
        Action("replan", "p", "Re-plan", "Compute the plan again with what the lake holds now", modes=here),
        Action("dry_run", "d", "Dry run", "List what a launch would create, and create nothing", modes=here),
        Action("edit_request", "i", "Edit", "To the fields of the request; tab goes on, esc leaves them", modes=here),
        Action("preset_yesterday", "Y", "Yesterday", "Preset: the same request for yesterday, UTC", modes=here, footer=False),
        Action("preset_holes", "H", "All holes", "Preset: only what is missing, partial or failed in the range", modes=here, footer=False),
        Action("preset_tier1", "T", "Tier 1", "Preset: the symbols of universe tier1", modes=here, footer=False),
        Action("preset_last", "R", "Repeat last", "Preset: what the newest run was asked for", modes=here, footer=False),
    )


def _fleet() -> tuple[Action, ...]:
    here = (Mode.FLEET,)
    return (
        Action("open_row", "enter", "Details", "Everything known of this VM", modes=here, palette=False, footer=False),
        Action("mark", "space", "Mark", "Mark this VM for the next action", modes=here, palette=False, footer=False),
        Action("open_logs", "L", "Its logs", "The logs of this VM", modes=here),
        Action("drain", "d", "Drain", "No new work, finish what is in flight: stop spending, lose nothing", Danger.CONFIRM, here),
        Action("delete_vm", "x", "Delete VM", "Delete this VM, or the marked ones; it may be replaced", Danger.CONFIRM, here),
        Action("abort_run", "a", "Abort run", "Delete all VMs of the run, in any state", Danger.TYPED, here),
        Action("cleanup", "X", "Clean up", "Delete provable garbage: dead VMs, orphan disks, idle addresses", Danger.TYPED, here),
    )


def _logs() -> tuple[Action, ...]:
    here = (Mode.LOGS,)
    return (
        Action("toggle_follow", "f,space", "Follow/pause", "Hold the screen still; new lines are kept and counted", modes=here),
        Action("more_severities", "plus", "More", "Show less severe lines too", modes=here),
        Action("fewer_severities", "minus", "Fewer", "Only more severe lines: info, warning, error, critical", modes=here),
        Action("all_severities", "0", "All", "Show lines of every severity", modes=here, footer=False),
        Action("cycle_time", "t", "Time", "Write times as UTC clock, full UTC, or age", modes=here, footer=False),
        Action("search", "ctrl+f", "Search", "Highlight without hiding", modes=here),
        Action("next_match", "n", "Next hit", "To the next line that matches the search", modes=here, footer=False),
        Action("previous_match", "N", "Previous hit", "To the line before that matches the search", modes=here, footer=False),
        Action("open_entry", "enter", "Details", "All fields of this line", modes=here, palette=False),
    )


def _coverage() -> tuple[Action, ...]:
    here = (Mode.COVERAGE,)
    return (
        Action("next_hole", "n", "Next hole", "To the next cell that is missing, partial or failed", modes=here),
        Action("previous_hole", "N", "Previous hole", "To the one before", modes=here, footer=False),
        Action("mark_cell", "space", "Mark", "Mark this cell; v and arrows mark a rectangle", modes=here, palette=False),
        Action("mark_holes", "m", "Mark holes", "Mark all holes; again: unmark everything", modes=here),
        Action("repair", "r", "Repair plan", "Plan the repair of the marked cells, or of all holes", modes=here),
        Action("open_cell", "enter", "Details", "Symbols of this cell, with the proof", modes=here, palette=False),
        Action("hole_list", "h", "Hole list", "All holes as a list, with reasons; enter goes to one", modes=here),
        Action("zoom_in", "plus", "Zoom in", "Weeks, days, wide days", modes=here, footer=False),
        Action("zoom_out", "minus", "Zoom out", "Wide days, days, weeks", modes=here, footer=False),
    )


def _everywhere() -> tuple[Action, ...]:
    return (
        Action("show_plan", "1", "Plan", "Say what to download; see files, hours and cost; launch"),
        Action("show_fleet", "2", "Fleet", "Watch the VMs, worst first"),
        Action("show_logs", "3", "Logs", "Errors by cause, then the live tail"),
        Action("show_coverage", "4", "Coverage", "Which days of the lake are complete; find and repair holes"),
        Action("help", "question_mark", "Help", "All keys of this screen, and why some are off now"),
        Action("filter", "slash", "Filter", 'Show what matches: words, -word, "phrase", /regex/, field:value, field>n, is:stuck'),
        Action("command_palette", "ctrl+p", "Palette", "Find any action by name", palette=False, footer=False),
        Action("export", "e", "Export", "Write all rows under the filter to a file", footer=False),
        Action("copy", "y", "Copy", "Copy the row under the cursor, also through ssh and tmux", footer=False),
        Action("theme", "ctrl+t", "Theme", "Choose a colour theme; each is shown while you move", footer=False),
        Action("command", "colon", "Command", "Type a command, or any action by its name", footer=False),
        Action("back", "q,escape,backspace", "Back", "One step back; from the first screen: quit", palette=False),
        Action("quit", "ctrl+q", "Quit", "Leave the console; the fleet goes on", footer=False),
    )


ACTIONS: Final[tuple[Action, ...]] = (*_plan(), *_fleet(), *_logs(), *_coverage(), *_everywhere())
"""All actions: those of a mode before the common ones, as `?` and the footer list them."""

_BY_ID: Final = {action.id: action for action in ACTIONS}


def action(action_id: str) -> Action:
    """The action of that id.

    Raises:
        KeyError: if there is none.
    """
    return _BY_ID[action_id]


def actions_for(mode: Mode | None) -> list[Action]:
    """What can be done in `mode`, its own actions first; None gives the common ones only."""
    own = [each for each in ACTIONS if mode is not None and mode in each.modes]
    return own + [each for each in ACTIONS if not each.modes]


def binding(each: Action) -> Binding:
    """The key binding of one action; its id lets a keymap in the settings move the key."""
    shown = each.key_text.split(" / ")[0]
    return Binding(each.key, each.id, each.label, show=each.footer, key_display=shown, tooltip=each.help, id=each.id)


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


@dataclass(frozen=True, slots=True)
class HelpRow:
    """One line of `?`."""

    key: str
    label: str
    text: str
    common: bool
    """Works everywhere, not only in this mode."""
    off: str = ""
    """Why it is off now; empty if it is on."""


def help_rows(mode: Mode, *, read_only: bool = False, link_down: str = "") -> list[HelpRow]:
    """The lines of `?`: this mode's keys first."""
    return [
        HelpRow(
            each.key_text,
            each.label,
            _help_text(each),
            not each.modes,
            disabled_reason(each, read_only=read_only, link_down=link_down) or "",
        )
        for each in actions_for(mode)
    ]


@dataclass(frozen=True, slots=True)
class PaletteEntry:
    """One line of the command palette."""

    title: str
    help: str
    action_id: str


def palette_entries(mode: Mode | None, *, read_only: bool = False, link_down: str = "") -> list[PaletteEntry]:
    """What the palette offers in `mode`; what is off now is left out."""
    return [
        PaletteEntry(f"{each.label} ({each.key_text})", _help_text(each), each.id)
        for each in actions_for(mode)
        if each.palette and disabled_reason(each, read_only=read_only, link_down=link_down) is None
    ]


class ActionProvider(Provider):
    """The command palette's source, for `App.COMMANDS`: the actions of the current mode that are on."""

    async def discover(self) -> Hits:
        for entry, run in self._entries():
            yield DiscoveryHit(entry.title, run, help=entry.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for entry, run in self._entries():
            if (score := matcher.match(f"{entry.title} {entry.help}")) > 0:
                yield Hit(score, matcher.highlight(entry.title), run, help=entry.help)

    def _entries(self) -> Iterator[tuple[PaletteEntry, IgnoreReturnCallbackType]]:
        current = self.app.current_mode
        for entry in palette_entries(Mode(current) if current in set(Mode) else None):
            node: DOMNode = self.screen if action(entry.action_id).modes else self.app
            if node.check_action(entry.action_id, ()):
                yield entry, partial(self.app.run_action, entry.action_id, node)


def _help_text(each: Action) -> str:
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
            for key in each.key.split(","):
                if key in taken:
                    problems.append(f"{mode}: {key} is both {taken[key]} and {each.id}")
                taken[key] = each.id
    return problems
