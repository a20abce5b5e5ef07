"""A person's own keys and commands: what is refused and by which name, and that no value ever meets a shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import Static

from console.custom_commands import read_commands
from console.modes import Mode
from console.own_actions import OwnActions, read_own_actions
from console.screens.custom_command import OutputScreen
from console.screens.help import HelpScreen
from console.widgets.confirm import ConfirmOne
from engine.errors import ConfigurationError, UsageError, one_line
from provision.profile import load_profiles
from tests.console import recorded_fleet as recorded
from tests.console.fleet_session import FleetSession, console_on, in_mode, until


def own(tmp_path: Path, text: str) -> OwnActions:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return read_own_actions(load_profiles({"TICKDECK_CONFIG": str(path)}))


def command(**changes: Any) -> Any:
    (found,) = read_commands([{"name": "show", "run": ["printf", "%s", "{vm}"]} | changes], where="config.toml")
    return found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[keys]\nlunch = "L"', "there is no action 'lunch' -> did you mean launch"),
        ('[keys]\ncleanup = "d"', "fleet: d is both drain and cleanup"),
        ('[keys]\nlaunch = "2"', "2 is both launch and show_fleet"),
        ('[keys]\nlaunch = "alt+x"', "'alt+x' is no key that every terminal passes on"),
        ("[keys]\nlaunch = 3", "3 is no key"),
        ('[keys]\nlaunch = ""', "launch has no key"),
        ('[keys]\nback = "b"', "back cannot be moved"),
        ("keys = 3", "keys is not a table"),
        ('[[commands]]\nname = "x"', "run is no list of arguments"),
        ('[[commands]]\nrun = ["ls"]', "command 1 has no name"),
        ('[[commands]]\nname = "x"\nrun = ["ls", "{zome}"]', "there is no placeholder {zome} -> did you mean zone"),
        ('[[commands]]\nname = "x"\nrun = ["ls", "{vm.name}"]', "there is no placeholder {vm.name}"),
        ('[[commands]]\nname = "x"\nrun = ["ls", "{vm!r:>9}"]', "a placeholder is a name in braces"),
        ('[[commands]]\nname = "x"\nrun = ["ls", "{"]', "config.toml: command 1 (x): '{'"),
        ('[[commands]]\nname = "x"\nrun = ["ls"]\nmodes = ["flet"]', "there is no mode 'flet' -> did you mean fleet"),
        ('[[commands]]\nname = "x"\nrun = ["ls"]\nconfirm = "yes"', "confirm must be true or false"),
        ('[[commands]]\nname = "x"\nrun = ["ls"]\nshell = true', "there is no setting 'shell'"),
        ('[[commands]]\nname = "x"\nrun = ["ls"]\nkey = "d"', "d is both"),
        ('[[commands]]\nname = "x"\nrun = ["ls"]\n[[commands]]\nname = "X"\nrun = ["ls"]', "two commands are named 'X'"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        own(tmp_path, text)
    assert problem in one_line(caught.value)


def test_two_actions_may_change_keys(tmp_path: Path) -> None:
    found = own(tmp_path, '[keys]\ndrain = "D f5"\ncleanup = "d"\nfilter = "?"\nhelp = "/"')
    assert found.keymap == {"drain": "D,f5", "cleanup": "d", "filter": "question_mark", "help": "slash"}


values = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), min_size=1, max_size=12)


@given(values)
def test_a_value_is_one_argument_whatever_it_holds(value: str) -> None:
    found = command(run=["echo", "--vm={vm}", "{{{vm}}}"]).fill({"vm": value})
    assert found == ["echo", f"--vm={value}", f"{{{value}}}"]


def test_a_value_that_would_be_an_option_and_one_that_is_not_there_are_refused() -> None:
    with pytest.raises(UsageError, match="would be taken for an option"):
        command().fill({"vm": "--zone=x"})
    with pytest.raises(UsageError, match="there is no vm under the cursor"):
        command().fill({"run": "r1"})


async def test_a_moved_key_works_and_is_what_help_and_the_key_line_say(tmp_path: Path) -> None:
    keys = own(tmp_path, '[keys]\nshow_logs = "f5"\nhelp = "f1"')
    async with console_on(FleetSession(recorded.troubled()), own=keys).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("question_mark")
        assert not isinstance(pilot.app.screen, HelpScreen)
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        assert "f5" in str(pilot.app.screen.query_one("#help-rows", Static).visual)
        await pilot.press("escape", "f5")
        await until(pilot, lambda: pilot.app.current_mode == "logs")


async def test_help_is_searched_through_all_screens() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        await pilot.press("slash", *"hole list", "enter")
        rows = pilot.app.screen.query_one("#help-rows", Static)
        await until(pilot, lambda: "Coverage" in str(rows.visual) and "Hole list" in str(rows.visual))
        assert "Drain" not in str(rows.visual)
        await pilot.press("escape")
        await until(pilot, lambda: "Drain" in str(rows.visual))


async def test_a_command_gets_the_row_under_the_cursor_asks_and_shows_what_it_said(tmp_path: Path) -> None:
    text = '[[commands]]\nname = "say"\nkey = "f8"\nmodes = ["fleet"]\nrun = ["printf", "%s; $(id) %s", "{vm}", "{run}"]\nconfirm = true'
    async with console_on(FleetSession(recorded.troubled()), own=own(tmp_path, text)).run_test(size=(120, 40)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmOne))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, OutputScreen))
        said = str(pilot.app.screen.query_one("#output-text", Static).visual)
        assert said.strip() == f"{recorded.vm_name(0)}; $(id) {recorded.RUN}"


async def test_a_dangerous_command_is_off_in_read_only_mode_and_says_so(tmp_path: Path) -> None:
    text = '[[commands]]\nname = "boom"\nkey = "f8"\nmodes = ["fleet"]\nrun = ["false"]\ndangerous = true'
    async with console_on(FleetSession(recorded.troubled()), own=own(tmp_path, text), read_only=True).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        screen: Any = pilot.app.screen
        assert screen.check_action("custom_command", ("custom_boom",)) is None
        await pilot.press("f8")
        await until(pilot, lambda: any("boom is off: read-only" in each.message for each in pilot.app._notifications))
        assert Mode.FLEET.value == pilot.app.current_mode
