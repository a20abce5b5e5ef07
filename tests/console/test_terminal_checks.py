"""What the doctor says of a terminal, and the command that mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.doctor_view import CheckRow
from console.terminal_checks import terminal_checks
from engine.doctor.finding import Finding, Level


def look(environment: dict[str, str], *, size: tuple[int, int] = (80, 24), tmux: str = "/nowhere/tmux") -> dict[str, Finding]:
    return {check.name: check.look()[0] for check in terminal_checks(size, environment=environment, tmux=tmux)}


def answering(folder: Path, escape_time: str, set_clipboard: str) -> str:
    """A program that answers the two questions as tmux does."""
    program = folder / "tmux"
    program.write_text(f'#!/bin/sh\ncase "$3" in escape-time) echo {escape_time};; set-clipboard) echo {set_clipboard};; esac\n')
    program.chmod(0o755)
    return str(program)


def test_a_good_terminal_is_fine() -> None:
    found = look({"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "en_US.UTF-8"})
    assert {finding.level for finding in found.values()} == {Level.OK}
    assert "OSC 52" in found["clipboard"].message


@pytest.mark.parametrize(
    ("environment", "check", "fix"),
    [
        ({"TERM": "linux", "LANG": "C.UTF-8"}, "colours", ":theme ansi"),
        ({"TERM": "xterm-256color", "LANG": "C"}, "characters", "export LC_ALL=C.UTF-8"),
        ({"TERM": "xterm-256color", "TMUX": "x"}, "escape key", "tmux set -s escape-time 10"),
        ({"TERM": "xterm-256color", "TMUX": "x"}, "clipboard", "tmux set -s set-clipboard on"),
    ],
)
def test_what_is_odd_comes_with_a_command(environment: dict[str, str], check: str, fix: str) -> None:
    finding = look(environment)[check]
    assert finding.level is Level.WARN
    assert CheckRow(0, "terminal", check, finding).fix == fix


def test_a_small_terminal_and_no_colour_are_told() -> None:
    found = look({"NO_COLOR": "1", "TERM": "linux", "LANG": "C.UTF-8"}, size=(60, 20))
    assert (found["terminal size"].level, found["colours"].level) == (Level.WARN, Level.OK)
    assert "60x20" in found["terminal size"].message


def test_tmux_is_asked_how_long_it_holds_escape_and_where_copies_go(tmp_path: Path) -> None:
    inside = {"TERM": "tmux-256color", "TMUX": "/tmp/x,1,0", "LANG": "C.UTF-8"}
    slow = look(inside, tmux=answering(tmp_path, "500", "off"))
    assert slow["escape key"].message == "tmux holds Escape for 500 ms; q and backspace go back at once"
    assert "the desk gets nothing" in slow["clipboard"].message
    quick = look(inside, tmux=answering(tmp_path, "10", "external"))
    assert (quick["escape key"].level, quick["clipboard"].level) == (Level.OK, Level.OK)
