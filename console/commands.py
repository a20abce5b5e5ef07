"""What can be typed after `:`, and what the palette offers beside the actions: a table of words, read without a screen.

write 15m        a protected profile may be written to for a quarter of an hour; `write off` ends it
theme light      another colour theme
day 2024-05-01   Coverage: the cursor to that day
launch, repair   any action of this screen, by its id or its label
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from console.actions import Mode, actions_for
from engine.errors import UsageError
from engine.universe import nearest

_MINUTES = re.compile(r"(\d{1,4})(m|h)?")
LONGEST_MINUTES = 8 * 60
"""A shift: whoever needs longer says so again."""


@dataclass(frozen=True, slots=True)
class Command:
    """One line that was typed, understood."""

    verb: str
    """`write`, `theme`, `day` or `action`."""
    argument: str = ""
    """Minutes, a theme's name, a day, or an action's id."""


def read_command(text: str, *, mode: Mode, themes: Sequence[str]) -> Command:
    """Understand a line.

    Raises:
        UsageError: naming the nearest command.
    """
    words = text.split()
    if not words:
        raise UsageError("nothing was typed", hint="write 15m, theme light, or an action's name")
    verb, *rest = words
    if verb == "write" and len(rest) <= 1:
        return Command("write", _minutes(rest[0] if rest else "15m"))
    if verb == "theme" and len(rest) == 1:
        if rest[0] not in themes:
            raise UsageError(f"there is no theme {rest[0]!r}", hint=nearest(rest[0], themes, what="themes"))
        return Command("theme", rest[0])
    if verb == "day" and len(rest) == 1:
        return Command("day", rest[0])
    return Command("action", _action(" ".join(words), mode))


def offered(mode: Mode, themes: Sequence[str]) -> list[str]:
    """Lines that may be typed, for completion."""
    names = sorted({each.id for each in actions_for(mode)})
    return ["write 15m", "write 1h", "write off", *(f"theme {name}" for name in themes), "day ", *names]


def _minutes(text: str) -> str:
    if text == "off":
        return "0"
    match = _MINUTES.fullmatch(text)
    if match is None or not 0 < (minutes := int(match[1]) * (60 if match[2] == "h" else 1)) <= LONGEST_MINUTES:
        raise UsageError(f"{text!r} is no time to write", hint="write 15m, write 2h (at most 8h), or write off")
    return str(minutes)


def _action(text: str, mode: Mode) -> str:
    known = {each.label.lower(): each.id for each in actions_for(mode)} | {each.id: each.id for each in actions_for(mode)}
    found = known.get(text.lower()) or known.get(text.lower().replace(" ", "_").replace("-", "_"))
    if found is None:
        raise UsageError(f"there is no command {text!r} here", hint=nearest(text, [*known, "write", "theme", "day"], what="commands"))
    return found
