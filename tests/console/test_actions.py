"""The action registry: one table behind keys, footer, help and palette."""

from __future__ import annotations

import re

import pytest
from textual.app import ComposeResult
from textual.command import CommandPalette
from textual.screen import Screen
from textual.widgets import Footer, Static

from console.actions import (
    ACTIONS,
    Action,
    Danger,
    Mode,
    action,
    app_bindings,
    bindings_for,
    check_action,
    disabled_reason,
    help_rows,
    key_conflicts,
    palette_entries,
)
from console.modes import MODES
from tests.console.gallery import Gallery


def test_ids_are_unique_and_method_names() -> None:
    ids = [each.id for each in ACTIONS]
    assert len(set(ids)) == len(ids)
    assert all(each.isidentifier() for each in ids)


def test_no_two_actions_of_a_mode_share_a_key() -> None:
    assert key_conflicts() == []
    clash = (*ACTIONS, Action("other", "d", "Other", "", modes=(Mode.FLEET,)))
    assert key_conflicts(clash) == ["fleet: d is both drain and other"]


def test_only_keys_that_every_terminal_passes_are_used() -> None:
    marks = "question_mark|slash|plus|minus|asterisk|colon|comma|full_stop|(left|right)_square_bracket"
    passed = re.compile(rf"[A-Za-z0-9]|ctrl\+[a-z]|enter|space|escape|backspace|{marks}")
    # ctrl+i, ctrl+m and ctrl+h are tab, enter and backspace to a terminal.
    swallowed = {"ctrl+i", "ctrl+m", "ctrl+h", "ctrl+s", "ctrl+c"}
    keys = {key for each in ACTIONS for key in each.key.split(",")}
    assert {key for key in keys if not passed.fullmatch(key) or key in swallowed} == set()


def test_a_digit_switches_modes_in_every_mode() -> None:
    for mode in Mode:
        own = {binding.key for binding in bindings_for(mode)}
        assert not own & {row.key for row in MODES.values()}


def test_whatever_destroys_asks_first() -> None:
    assert {each.id: each.danger for each in ACTIONS if each.danger is not Danger.NONE} == {
        "drain": Danger.CONFIRM,
        "replace_vm": Danger.CONFIRM,
        "delete_vm": Danger.CONFIRM,
        "power": Danger.CONFIRM,
        "resize_run": Danger.CONFIRM,
        "abort_run": Danger.TYPED,
        "cleanup": Danger.TYPED,
    }


@pytest.mark.parametrize("each", ACTIONS, ids=lambda each: each.id)
def test_read_only_and_a_dead_link_turn_off_exactly_what_writes(each: Action) -> None:
    assert (disabled_reason(each, read_only=True) is not None) == each.writes
    assert (disabled_reason(each, link_down="compute") is not None) == each.writes
    assert disabled_reason(each) is None
    assert check_action(each.id, read_only=True) is (None if each.writes else True)


def test_what_is_not_in_the_table_is_not_refused() -> None:
    assert check_action("scroll_down", read_only=True) is True


def test_help_lists_the_keys_of_the_mode_first_and_says_why_some_are_off() -> None:
    rows = help_rows(Mode.FLEET, read_only=True)
    assert rows[0].common is False
    assert [row.common for row in rows] == sorted(row.common for row in rows)
    cleanup = next(row for row in rows if row.label == "Clean up")
    assert (cleanup.key, cleanup.off) == ("X", "read-only; arm it with :write 15m")
    assert cleanup.text.endswith("(type the number)")
    assert next(row for row in rows if row.label == "Help").key == "?"
    assert help_rows(Mode.PLAN, link_down="storage")[0].off == "no link to storage"


def test_the_palette_leaves_out_what_is_off_and_what_moves_the_cursor() -> None:
    ids = {entry.action_id for entry in palette_entries(Mode.FLEET)}
    assert {"drain", "cleanup", "show_logs"} <= ids
    assert not {"open_row", "launch", "command_palette"} & ids
    assert "drain" not in {entry.action_id for entry in palette_entries(Mode.FLEET, read_only=True)}


def test_a_keymap_can_move_every_key() -> None:
    for each in ACTIONS:
        assert action(each.id) is each
    bindings = [*app_bindings(), *(binding for mode in Mode for binding in bindings_for(mode))]
    assert {binding.id for binding in bindings} == {each.id for each in ACTIONS}


class FleetScreen(Screen[None]):
    """A screen that takes its keys from the table, as the real ones do."""

    BINDINGS = bindings_for(Mode.FLEET)

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self.read_only = False

    def compose(self) -> ComposeResult:
        yield Static("fleet")
        yield Footer()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return check_action(action, read_only=self.read_only)

    def action_drain(self) -> None:
        self.done.append("drain")

    def action_cleanup(self) -> None:
        self.done.append("cleanup")


class ModeApp(Gallery):
    MODES = {"fleet": FleetScreen}  # noqa: RUF012
    DEFAULT_MODE = "fleet"


async def test_a_screen_answers_the_keys_of_the_table_and_refuses_them_in_read_only_mode() -> None:
    app = ModeApp()
    async with app.run_test(size=(120, 24)) as pilot:
        screen = app.screen
        assert isinstance(screen, FleetScreen)
        await pilot.press("d", "X")
        assert screen.done == ["drain", "cleanup"]
        screen.read_only = True
        await pilot.press("d", "X")
        assert screen.done == ["drain", "cleanup"]


async def test_the_palette_runs_an_action_by_its_name() -> None:
    app = ModeApp()
    async with app.run_test(size=(120, 30)) as pilot:
        screen = app.screen
        assert isinstance(screen, FleetScreen)
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert isinstance(app.screen, CommandPalette)
        await pilot.press(*"drain")
        await app.workers.wait_for_complete()
        await pilot.press("enter")
        await pilot.press("enter")
        await pilot.pause()
        assert screen.done == ["drain"]
