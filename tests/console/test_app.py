"""The console as a whole: how it opens, how one gets around in it, what it refuses, and how it ends."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.command import CommandList, CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input, Static

from console.app import ConsoleApp
from console.modes import MODES
from console.screens.help import HelpScreen
from console.screens.key_line import KeyLine
from console.screens.starting import StartingScreen
from console.screens.themes import ThemeScreen
from console.sources.fleet import runs_to_heal
from console.terminal import VanishingTerminal
from console.widgets.fleet_table import FleetTable
from console.widgets.progress_steps import ProgressSteps
from console.widgets.sentence import Sentence
from console.widgets.status_bar import StatusBar
from console.widgets.tones import GLYPHS
from console.widgets.trouble_line import TroubleLine
from engine.errors import ConfigurationError, StoreError
from tests.console import recorded_fleet
from tests.console.fleet_session import in_mode, until
from tests.console.recorded import REQUEST, RecordedSession, command, console_on


def said(app: Any) -> str:
    return "\n".join(f"{each.title}: {each.message}" for each in app._notifications)


async def in_plan(pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: pilot.app.current_mode == "plan" and pilot.app.screen.is_mounted)


# Opening


async def test_it_shows_numbered_steps_and_opens_on_plan() -> None:
    session = RecordedSession()
    reports: list[str] = []

    def opener(report: Callable[[str, str], None]) -> Any:
        for step in ("storage", "logs"):
            report(step, "running")
            report(step, "done")
            reports.append(step)
        session.gate.wait(10)
        return session

    session.gate.clear()
    async with ConsoleApp(opener, REQUEST, clock=recorded_fleet.clock).run_test() as pilot:
        assert isinstance(pilot.app.screen, StartingScreen)
        await until(pilot, lambda: "log server" in pilot.app.screen.query_one(ProgressSteps).text)
        steps = pilot.app.screen.query_one(ProgressSteps).text
        assert "✓ 2/3 bucket server" in steps
        session.gate.set()
        await in_plan(pilot)
    assert reports == ["storage", "logs"]


async def test_what_keeps_it_from_opening_is_said_with_the_remedy_and_can_be_tried_again() -> None:
    session = RecordedSession()
    attempts: list[int] = []

    def opener(report: Callable[[str, str], None]) -> Any:
        attempts.append(1)
        report("storage", "running")
        if len(attempts) == 1:
            raise ConfigurationError("the local cloud did not start (storage)", hint="see storage.log")
        return session

    async with ConsoleApp(opener, REQUEST, clock=recorded_fleet.clock).run_test() as pilot:
        screen = pilot.app.screen
        await until(pilot, lambda: "did not start" in str(screen.query_one(".starting--problem", Static).visual))
        assert "see storage.log" in str(screen.query_one(".starting--hint", Static).visual)
        assert "× 2/2 bucket server" in screen.query_one(ProgressSteps).text
        await pilot.press("r")
        await in_plan(pilot)
        assert len(attempts) == 2


async def test_giving_up_after_a_failed_start_has_an_exit_code() -> None:
    def opener(_report: Callable[[str, str], None]) -> Any:
        raise ConfigurationError("there is no profile 'prodd'")

    app = ConsoleApp(opener, REQUEST, clock=recorded_fleet.clock)
    async with app.run_test() as pilot:
        await until(pilot, lambda: "prodd" in str(pilot.app.screen.query_one(".starting--problem", Static).visual))
        await pilot.press("q")
    assert app.return_value == 69


async def test_with_a_live_run_it_opens_on_fleet() -> None:
    async with console_on(RecordedSession(live=True)).run_test() as pilot:
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and pilot.app.screen.is_mounted)
        await until(pilot, lambda: "4 fine" in pilot.app.screen.query_one(Sentence).text)
        assert recorded_fleet.RUN in pilot.app.screen.query_one(StatusBar).text


async def test_a_live_run_is_named_before_compute_has_answered() -> None:
    session = RecordedSession(live=True)
    session.snapshot = StoreError("not yet")
    async with console_on(session).run_test() as pilot:
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and pilot.app.screen.is_mounted)
        assert pilot.app.start.live_words.startswith(f"run {recorded_fleet.RUN} is live")  # type: ignore[attr-defined]


async def test_a_state_bucket_that_cannot_be_read_does_not_keep_it_from_opening() -> None:
    session = RecordedSession()

    def refuse() -> list[str]:
        raise StoreError("the state bucket does not answer", hint="see tickdeck local status")

    session.live_runs = refuse  # type: ignore[method-assign]
    async with console_on(session).run_test() as pilot:
        await in_plan(pilot)
        await until(pilot, lambda: "the state bucket does not answer" in said(pilot.app))


# Getting around


async def test_digits_switch_and_q_goes_back_through_the_screens_and_quits_from_the_first() -> None:
    async with console_on(RecordedSession()).run_test() as pilot:
        await in_plan(pilot)
        for key, mode in (("4", "coverage"), ("2", "fleet"), ("3", "logs"), ("2", "fleet")):
            await pilot.press(key)
            await until(pilot, lambda mode=mode: pilot.app.current_mode == mode and pilot.app.screen.is_mounted)  # type: ignore[misc]
        for mode in ("logs", "coverage", "plan"):
            await pilot.press("q")
            await until(pilot, lambda mode=mode: pilot.app.current_mode == mode)  # type: ignore[misc]
        await pilot.press("escape")
        await pilot.pause()
        assert "q quits" in said(pilot.app)
        await pilot.press("q")
    assert pilot.app.return_value == 0


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
async def test_the_way_out_and_to_help_is_always_in_sight(size: tuple[int, int]) -> None:
    async with console_on(RecordedSession()).run_test(size=size) as pilot:
        await in_plan(pilot)
        for key in "1234":
            await pilot.press(key)
            await pilot.pause()
            line = pilot.app.screen.query_one(KeyLine).text
            assert line.rstrip().endswith("? Help")
            assert ("1-7 screens" if size[0] < 120 else "/ Filter") in line


async def test_a_key_of_the_last_line_can_be_clicked() -> None:
    async with console_on(RecordedSession()).run_test(size=(80, 24)) as pilot:
        await in_plan(pilot)
        line = pilot.app.screen.query_one(KeyLine)
        await pilot.click(line, offset=(line.text.index("? Help"), 0))
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))


async def test_help_lists_the_keys_of_this_screen_and_says_what_is_off() -> None:
    async with console_on(RecordedSession(), read_only=True).run_test(size=(80, 24)) as pilot:
        await in_plan(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        text = str(pilot.app.screen.query_one("#help-rows", Static).visual)
        assert text.startswith("enter / l     Launch         off: read-only; arm it with :write 15m")
        assert "Repair plan" not in text
        assert "Everywhere" in text
        await pilot.press("escape")
        assert pilot.app.current_mode == "plan"


def _best(hits: CommandList) -> str:
    """The palette's first hit."""
    option = hits.get_option_at_index(0) if hits.option_count else None
    return str(option.prompt) if option is not None else ""


async def test_the_palette_finds_actions_of_this_screen_and_themes() -> None:
    async with console_on(RecordedSession()).run_test(size=(120, 40)) as pilot:
        await in_plan(pilot)
        for words, first in (("theme light", "theme light"), ("Watch the VMs", "Fleet (2)")):
            await pilot.press("ctrl+p")
            await until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))
            pilot.app.screen.query_one(Input).value = words
            hits = pilot.app.screen.query_one(CommandList)
            await until(pilot, lambda hits=hits, first=first: _best(hits).startswith(first))  # type: ignore[misc]
            await pilot.press("down", "enter")
            await until(pilot, lambda: not isinstance(pilot.app.screen, CommandPalette))
        await until(pilot, lambda: pilot.app.theme == "light")
        await until(pilot, lambda: pilot.app.current_mode == "fleet")


async def test_a_theme_is_shown_while_the_cursor_is_on_it_and_escape_goes_back() -> None:
    async with console_on(RecordedSession()).run_test() as pilot:
        await in_plan(pilot)
        await pilot.press("ctrl+t", "down")
        await until(pilot, lambda: pilot.app.theme == "deuteranopia")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.theme == "dark")


async def test_the_theme_that_was_chosen_is_that_of_the_next_start_unless_one_is_named(tmp_path: Path) -> None:
    kept = tmp_path / "state" / "theme"
    async with console_on(RecordedSession(), theme_file=kept).run_test() as pilot:
        await in_plan(pilot)
        await pilot.press("ctrl+t", "down", "enter")
        await until(pilot, lambda: pilot.app.theme == "deuteranopia" and not isinstance(pilot.app.screen, ThemeScreen))
        assert "kept for the next start" in said(pilot.app)
    assert console_on(RecordedSession(), theme_file=kept).theme == "deuteranopia"
    assert console_on(RecordedSession(), theme_file=kept, theme="light").theme == "light"
    session = RecordedSession()
    session.profile = replace(session.profile, theme="high-contrast")
    async with console_on(session, theme_file=kept).run_test() as pilot:
        await in_plan(pilot)
        assert pilot.app.theme == "high-contrast"
        await command(pilot, "theme light")
        await until(pilot, lambda: 'the next start has theme = "high-contrast" of the settings' in said(pilot.app))
    assert kept.read_text() == "deuteranopia\n"
    kept.write_text("one-that-was-deleted\n")
    assert console_on(RecordedSession(), theme_file=kept).theme == "dark"


async def test_the_palette_shows_a_theme_before_it_is_taken() -> None:
    async with console_on(RecordedSession()).run_test() as pilot:
        await in_plan(pilot)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))
        pilot.app.screen.query_one(Input).value = "theme tritanopia"
        hits = pilot.app.screen.query_one(CommandList)
        await until(pilot, lambda: _best(hits).startswith("theme tritanopia"))
        await pilot.press("down")
        await until(pilot, lambda: pilot.app.theme == "tritanopia")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: pilot.app.theme == "dark")


async def test_a_theme_of_the_users_is_read_again_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKDECK_CONFIG", str(tmp_path / "config.toml"))
    mine = tmp_path / "themes" / "mine.toml"
    mine.parent.mkdir()
    text = (Path(__file__).parents[2] / "themes" / "dark.toml").read_text()
    mine.write_text(text)
    async with console_on(RecordedSession(), theme="mine").run_test() as pilot:
        await in_plan(pilot)
        mine.write_text(text.replace('background = "#0f1319"', 'background = "#102030"'))
        await until(pilot, lambda: pilot.app.screen.styles.background.hex == "#102030")
        mine.write_text(text.replace('quiet = "#8c9aab"', 'quiet = "grayish"'))
        await until(pilot, lambda: "[variables] quiet: 'grayish' is no colour" in said(pilot.app))
        assert not any(each.markup for each in pilot.app._notifications)
        assert pilot.app.screen.styles.background.hex == "#102030"
        (mine.parent / "other.toml").write_text(text)
        await until(pilot, lambda: "other" in pilot.app.theme_names)  # type: ignore[attr-defined]


async def test_a_wrong_command_is_answered_and_stays_to_be_mended() -> None:
    async with console_on(RecordedSession()).run_test() as pilot:
        await in_plan(pilot)
        await command(pilot, "theme lite")
        assert "did you mean light?" in str(pilot.app.screen.query_one("#command-note", Static).visual)
        await pilot.press("escape")
        assert pilot.app.current_mode == "plan"


async def test_brackets_go_back_and_on_to_what_was_shown_with_its_filter_and_cursor() -> None:
    session = RecordedSession(live=True)
    session.snapshot = recorded_fleet.troubled()
    async with console_on(session).run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and pilot.app.screen.is_mounted)
        table = pilot.app.screen.query_one(FleetTable)
        await until(pilot, lambda: len(table.rows) > 4)
        await command(pilot, "vm -legacy")
        await until(pilot, lambda: len(table.rows) == 7)
        await pilot.press("down")
        before = (table.cursor_key, len(table.rows))
        await pilot.press("4")
        await until(pilot, lambda: pilot.app.current_mode == "coverage")
        await command(pilot, "vm is:stuck")
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and len(table.rows) != before[1])
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: pilot.app.current_mode == "coverage")
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and (table.cursor_key, len(table.rows)) == before)
        await pilot.press("right_square_bracket", "right_square_bracket")
        await until(pilot, lambda: len(table.rows) != before[1])
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "nothing was shown after this" in said(pilot.app))


async def test_a_view_is_saved_shared_and_shown_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TICKDECK_CONFIG", str(tmp_path / "config.toml"))
    session = RecordedSession(live=True)
    session.snapshot = recorded_fleet.troubled()
    async with console_on(session).run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and pilot.app.screen.is_mounted)
        table = pilot.app.screen.query_one(FleetTable)
        await until(pilot, lambda: len(table.rows) > 4)
        rows = len(table.rows)
        await command(pilot, "vm is:stuck")
        await until(pilot, lambda: len(table.rows) == 1)
        await command(pilot, "save stuck")
        await until(pilot, lambda: (tmp_path / "views.toml").exists())
        await pilot.press("escape")
        await until(pilot, lambda: len(table.rows) == rows)
        await pilot.press("4")
        await until(pilot, lambda: pilot.app.current_mode == "coverage")
        await command(pilot, "view stuck")
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and len(table.rows) == 1)


# Rights and dead links


async def test_a_protected_profile_is_read_only_until_it_is_armed_and_again_after() -> None:
    session = RecordedSession()
    session.profile = replace(session.profile, protected=True)
    async with console_on(session).run_test() as pilot:
        await in_plan(pilot)
        assert "READ-ONLY" in pilot.app.screen.query_one(StatusBar).text
        await command(pilot, "write 15m")
        assert session.armed
        assert "WRITE 15 m" in pilot.app.screen.query_one(StatusBar).text
        await command(pilot, "write off")
        assert not session.armed
        assert "READ-ONLY" in pilot.app.screen.query_one(StatusBar).text


async def test_what_was_started_read_only_cannot_be_armed() -> None:
    session = RecordedSession()
    async with console_on(session, read_only=True).run_test() as pilot:
        await in_plan(pilot)
        await command(pilot, "write 15m")
        assert not session.armed
        assert "cannot be armed" in said(pilot.app)


async def test_with_the_link_down_navigation_goes_on_and_writing_is_off() -> None:
    session = RecordedSession()
    session.snapshot = StoreError("compute does not answer")
    async with console_on(session).run_test(size=(100, 30)) as pilot:
        await in_plan(pilot)
        await until(pilot, lambda: "compute does not answer" in pilot.app.screen.query_one(TroubleLine).text)
        assert "× fleet —, no link" in pilot.app.screen.query_one(StatusBar).text
        assert "ctrl+r now" in pilot.app.screen.query_one(TroubleLine).text
        await pilot.press("enter")
        await until(pilot, lambda: "Launch is off: no link to fleet" in said(pilot.app))
        assert session.names_of("launch") == []
        await pilot.press("4")
        await until(pilot, lambda: pilot.app.current_mode == "coverage")
        session.snapshot = recorded_fleet.nothing()
        await pilot.press("ctrl+r")
        await until(pilot, lambda: pilot.app.screen.query_one(TroubleLine).text == "")


async def test_held_nothing_is_asked_until_a_person_asks() -> None:
    session = RecordedSession(live=True)
    looks: list[str] = []
    seen = session.fleet

    def look(run: str = "") -> Any:
        looks.append(run)
        return seen(run)

    session.fleet = look  # type: ignore[method-assign]
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and bool(looks))
        await pilot.press("ctrl+o")
        assert "HELD" in pilot.app.screen.query_one(StatusBar).text
        await until(pilot, lambda: pilot.app.fleet.at is not None)  # type: ignore[attr-defined]
        before = len(looks)
        await pilot.press("1", "2")
        pilot.app.look_again()  # type: ignore[attr-defined]
        await pilot.pause()
        assert len(looks) == before
        await pilot.press("ctrl+r")
        await until(pilot, lambda: len(looks) == before + 1)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: len(looks) > before + 1)
        assert "HELD" not in pilot.app.screen.query_one(StatusBar).text


async def test_a_run_that_another_console_looks_after_says_who_and_until_when() -> None:
    session = RecordedSession(live=True)
    session.snapshot = recorded_fleet.leased_by_another()
    async with console_on(session).run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and pilot.app.screen.is_mounted)
        line = pilot.app.screen.query_one(TroubleLine)
        await until(pilot, lambda: "ann@desk-4, process 4711 looks after it until 05:37:02" in line.text)


async def test_an_error_nobody_expected_in_the_background_is_told_and_the_console_stays() -> None:
    session = RecordedSession()

    def broken(*_arguments: Any) -> Any:
        raise KeyError("surprise")

    session.save = broken  # type: ignore[method-assign]
    async with console_on(session).run_test() as pilot:
        await in_plan(pilot)
        await until(pilot, lambda: "51 files" in pilot.app.screen.query_one(Sentence).text)
        await pilot.press("s")
        await until(pilot, lambda: "KeyError: 'surprise'" in said(pilot.app))
        assert pilot.app.is_running


async def test_a_lost_vm_is_replaced_by_any_console_that_may_write() -> None:
    for read_only in (False, True):
        session = RecordedSession(live=True)
        session.snapshot = recorded_fleet.preempted()
        assert runs_to_heal(session.snapshot) == [recorded_fleet.RUN]
        async with console_on(session, read_only=read_only).run_test() as pilot:
            await until(pilot, lambda: pilot.app.current_mode == "fleet" and pilot.app.fleet.at is not None)  # type: ignore[attr-defined]
            assert session.names_of("reconcile") == ([] if read_only else [(recorded_fleet.RUN,)])


def test_nothing_is_healed_where_nothing_is_lost() -> None:
    assert runs_to_heal(recorded_fleet.healthy()) == []
    assert runs_to_heal(recorded_fleet.drained()) == []


# The terminal


async def test_without_colours_glyphs_and_words_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = console_on(RecordedSession())
    async with app.run_test(size=(80, 24)) as pilot:
        await in_plan(pilot)
        await pilot.press("4")
        await until(pilot, lambda: "9 holes" in pilot.app.screen.query_one(Sentence).text)
        assert app.no_color
        assert pilot.app.screen.query_one(Sentence).text.startswith("×")
        cell = pilot.app.screen.query_one("#coverage-cell", Static)
        await until(pilot, lambda: "▄" in str(cell.visual))
        assert "partial" in str(cell.visual)


def test_the_first_picture_waits_for_no_cloud_client() -> None:
    heavy = ("google", "pyarrow", "numpy", "grpc", "aiohttp")
    code = f"import sys, console.app; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def _in_terminal(*arguments: str, own: bool = True, errors: int | None = None) -> tuple[subprocess.Popen[bytes], int]:
    """The recorded console on a pseudo-terminal, and our end of it.

    Args:
        own: It is the controlling terminal: its end is a signal, too.
        errors: Where standard error goes instead.
    """
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    environment.pop("PYTHONUNBUFFERED", None)  # without buffers nothing could be left in them at the end
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.console.recorded_console", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs if errors is None else errors,
        start_new_session=True,
        env=environment,
        preexec_fn=_own_terminal if own else None,
    )
    os.close(theirs)
    return process, ours


def _own_terminal() -> None:
    """Make the pseudo-terminal the controlling one, so that its end is a hang-up."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read_until(terminal: int, word: bytes) -> None:
    seen = b""
    while word not in seen:
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, f"{word!r} never came"
        seen += os.read(terminal, 65_536)


@pytest.mark.parametrize("own", [True, False], ids=["with a signal", "without one"])
def test_a_terminal_that_is_gone_ends_the_console(own: bool) -> None:
    process, terminal = _in_terminal(own=own)
    try:
        _read_until(terminal, b"Launch")
        os.close(terminal)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_terminal_that_is_gone_is_not_taken_once_more() -> None:
    """A hang-up may bring SIGCONT behind it, at which Textual takes the terminal again: who reads keys from what is gone reads for ever."""
    ours, theirs = pty.openpty()
    left: list[object] = []
    driver = VanishingTerminal.__new__(VanishingTerminal)
    driver.fileno, driver.input_tty, driver._key_thread = theirs, True, None
    driver._app = SimpleNamespace(call_later=lambda *what: left.append(what), exit=None)  # type: ignore[assignment]
    try:
        assert not driver._is_gone(0)
        os.close(ours)
        driver.start_application_mode()
        assert driver._key_thread is None
        assert len(left) == 1
    finally:
        os.close(theirs)


def test_errors_that_go_to_a_file_do_not_take_the_picture_with_them(tmp_path: Path) -> None:
    with (tmp_path / "errors").open("wb") as errors:
        process, terminal = _in_terminal(errors=errors.fileno())
    try:
        _read_until(terminal, b"Launch")
        os.write(terminal, b"q")
        _read_until(terminal, b"\x1b[?1049l")
        assert process.wait(30) == 0
        assert (tmp_path / "errors").read_bytes() == b""
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def test_q_leaves_the_terminal_as_it_was() -> None:
    process, terminal = _in_terminal("live")
    try:
        _read_until(terminal, b"Fleet")
        os.write(terminal, b"q")
        _read_until(terminal, b"\x1b[?1049l")
        assert process.wait(30) == 0
    finally:
        with suppress(OSError):
            os.close(terminal)
        process.kill()
        process.wait()


async def test_without_colours_every_screen_is_grey_and_its_verdict_has_a_glyph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with console_on(RecordedSession(live=True)).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        for key, mode in zip("1234567", MODES, strict=True):
            await pilot.press(key)
            await in_mode(pilot, mode)
            await until(pilot, lambda: pilot.app.screen.is_mounted and bool(pilot.app.screen.query(Sentence)))
            strips = pilot.app.screen._compositor.render_strips()
            styles = [segment.style for line in strips for segment in line if segment.style is not None]
            colours = [colour.triplet for style in styles for colour in (style.color, style.bgcolor) if colour is not None]
            assert [each for each in colours if each is not None and max(each) - min(each) > 1] == []
            assert pilot.app.screen.query(Sentence).first().text[0] in GLYPHS.values()
