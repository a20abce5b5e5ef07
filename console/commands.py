"""What can be typed after `:`, and what the palette offers beside the actions: a table of words, read without a screen.

The words are few on purpose: whatever has a key is an action, and any action can be typed by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from console.actions import Mode, actions_for
from console.views import View, read_view
from engine.errors import UsageError
from engine.spelling import nearest

_MINUTES = re.compile(r"(\d{1,4})(m|h)?")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
LONGEST_MINUTES = 8 * 60
"""A shift: whoever needs longer says so again."""


@dataclass(frozen=True, slots=True)
class Command:
    """One line that was typed, understood."""

    verb: str
    """A word of `WORDS`, or `action`."""
    argument: str = ""
    """As the word's reader made it: minutes, a theme's name, an action's id, ..."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a line may name."""

    mode: Mode
    themes: Sequence[str] = ()
    views: Sequence[str] = ()
    """Names of saved views."""
    is_protected: bool = False
    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """A command that is no action."""

    name: str
    takes: str
    """The argument, as help writes it."""
    help: str
    read: Callable[[str, Context], str]
    """From what was typed to the command's argument; raises UsageError."""
    offers: Callable[[Context], Iterable[str]] = field(default=lambda _context: ())
    """Arguments to complete."""
    palette: Callable[[Context], bool] = field(default=lambda _context: True)
    """Whether its offers stand in the palette, too."""


def read_command(text: str, context: Context) -> Command:
    """Understand a line.

    Raises:
        UsageError: naming the nearest command.
    """
    verb, _, rest = text.strip().partition(" ")
    if not verb:
        raise UsageError("nothing was typed", hint="write 15m, theme light, or an action's name")
    word = next((each for each in WORDS if each.name == verb), None)
    if word is not None:
        return Command(verb, word.read(rest.strip(), context))
    return Command("action", _action(text.strip(), context.mode))


def offered(context: Context) -> list[str]:
    """Lines that may be typed, for completion: those of this screen's actions last."""
    lines = [f"{word.name} {offer}".rstrip() for word in WORDS for offer in (*word.offers(context), "")]
    return [*lines, *sorted({each.id for each in actions_for(context.mode)})]


def palette_lines(context: Context) -> list[tuple[str, str]]:
    """Whole lines for the palette, with what they do."""
    return [(f"{word.name} {offer}", word.help) for word in WORDS if word.palette(context) for offer in word.offers(context)]


def _minutes(text: str, _context: Context) -> str:
    if text == "off":
        return "0"
    match = _MINUTES.fullmatch(text or "15m")
    if match is None or not 0 < (minutes := int(match[1]) * (60 if match[2] == "h" else 1)) <= LONGEST_MINUTES:
        raise UsageError(f"{text!r} is no time to write", hint="write 15m, write 2h (at most 8h), or write off")
    return str(minutes)


def _theme(text: str, context: Context) -> str:
    if text not in context.themes:
        raise UsageError(f"there is no theme {text!r}", hint=nearest(text, context.themes, what="themes"))
    return text


def _day(text: str, _context: Context) -> str:
    if not text:
        raise UsageError("which day?", hint="day 2024-05-01")
    return text


def _view(text: str, context: Context) -> str:
    if text in context.views:
        return text
    try:
        return read_view(text).line
    except UsageError as error:
        if " " in text or not context.views:
            raise
        raise UsageError(f"there is no view {text!r}", hint=nearest(text, context.views, what="views")) from error
    except ValueError as error:
        raise UsageError("which view?", hint="view stuck, or a line such as: view fleet filter='is:stuck'") from error


def _name(text: str, _context: Context) -> str:
    if not text or " " in text:
        raise UsageError("a view needs a name of one word", hint="save stuck")
    return text


def _moment(text: str, context: Context) -> str:
    if not context.is_replay:
        raise UsageError("time can only be moved in a recording", hint="tickdeck --replay FILE, or --replay last")
    if not _CLOCK.fullmatch(text):
        raise UsageError(f"{text!r} is no time", hint="at 05:31, UTC")
    return text


def _nothing(text: str, _context: Context) -> str:
    if text:
        raise UsageError(f"{text!r} is too much", hint="share takes no argument")
    return ""


def _needle(text: str, _context: Context) -> str:
    if not text:
        raise UsageError("which VM?", hint="vm europe, or any filter of the fleet")
    return text


WORDS: Final[tuple[Word, ...]] = (
    Word("vm", "WORDS", "Fleet, narrowed to the VMs that match a filter", _needle, palette=lambda _context: False),
    Word("day", "DAY", "Coverage: the cursor to that day", _day, palette=lambda _context: False),
    Word("view", "NAME or LINE", "A saved view: screen, filter and order", _view, lambda context: context.views),
    Word("save", "NAME", "Keep this screen with its filter and order as a view", _name, palette=lambda _context: False),
    Word("share", "", "Copy this view as one line that others can type after :view", _nothing),
    Word(
        "write",
        "15m",
        "A protected profile may be written to for a while; off ends it",
        _minutes,
        lambda _context: ("15m", "1h", "off"),
        lambda context: context.is_protected,
    ),
    Word("theme", "NAME", "Another colour theme", _theme, lambda context: context.themes),
    Word("at", "05:31", "In a recording: to that time, UTC", _moment, palette=lambda _context: False),
)
"""All words, the most useful first."""


def view_of(argument: str, views: dict[str, View]) -> View:
    """The view that a `view` command means."""
    return views[argument] if argument in views else read_view(argument)


def _action(text: str, mode: Mode) -> str:
    known = {each.label.lower(): each.id for each in actions_for(mode)} | {each.id: each.id for each in actions_for(mode)}
    found = known.get(text.lower()) or known.get(text.lower().replace(" ", "_").replace("-", "_"))
    if found is None:
        words = [word.name for word in WORDS]
        raise UsageError(f"there is no command {text!r} here", hint=nearest(text, [*known, *words], what="commands"))
    return found
