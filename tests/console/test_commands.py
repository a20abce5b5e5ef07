"""Lines after `:`."""

from __future__ import annotations

import pytest

from console.actions import Mode
from console.commands import Command, Context, offered, read_command
from engine.errors import UsageError

THEMES = ("dark", "light")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("write 15m", Command("write", "15")),
        ("write", Command("write", "15")),
        ("write 2h", Command("write", "120")),
        ("write off", Command("write", "0")),
        ("theme light", Command("theme", "light")),
        ("day 2024-05-01", Command("day", "2024-05-01")),
        ("view stuck", Command("view", "stuck")),
        ("view fleet filter='is:stuck -eu'", Command("view", "fleet filter='is:stuck -eu'")),
        ("save night", Command("save", "night")),
        ("vm europe state:stuck", Command("vm", "europe state:stuck")),
        ("Repair plan", Command("action", "repair")),
        ("mark-holes", Command("action", "mark_holes")),
        ("quit", Command("action", "quit")),
    ],
)
def test_a_line_is_understood(line: str, command: Command) -> None:
    assert read_command(line, Context(Mode.COVERAGE, THEMES, ("stuck",))) == command


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("write 9h", "at most 8h"),
        ("write soon", "write 15m"),
        ("theme lite", "light"),
        ("view stck", "stuck"),
        ("view fleet filter='a:", "for example"),
        ("save two words", "save stuck"),
        ("at 05:31", "--replay"),
        ("repiar plan", "repair plan"),
        ("launch", "did you mean"),
    ],
)
def test_what_is_no_command_here_is_answered_with_the_nearest(line: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_command(line, Context(Mode.COVERAGE, THEMES, ("stuck",)))
    assert hint in caught.value.hint


def test_completion_offers_the_actions_of_the_screen() -> None:
    assert "repair" in offered(Context(Mode.COVERAGE, THEMES))
    assert "launch" not in offered(Context(Mode.COVERAGE, THEMES))
    assert {"theme dark", "write 15m"} <= set(offered(Context(Mode.PLAN, THEMES)))
