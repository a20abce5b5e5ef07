"""Keys as a person wants them: the `[keys]` table of the configuration, `id = "key"`, refused by name where two would clash. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from textual.keys import _character_to_key

from console.actions.action import Action
from console.actions.registry import key_conflicts
from engine.errors import ConfigurationError
from engine.spelling import nearest

_NAMED: Final = frozenset(
    {"enter", "space", "tab", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown", "up", "down", "left", "right"}
)
_PASSED_ON: Final = re.compile(r"f([1-9]|1[0-2])|ctrl\+[a-z]|shift\+(up|down|left|right|tab)")
FIXED: Final = ("back",)
"""The way out stays where everybody expects it: q, Escape, Backspace."""


def read_key(text: object, where: str) -> str:
    """A key as it is written in the configuration, by Textual's name: `?` is `question_mark`.

    Raises:
        ConfigurationError: if no terminal would pass it on.
    """
    if isinstance(text, str):
        if len(text) == 1 and text.isprintable() and not text.isspace():
            return text if text.isalnum() else _character_to_key(text)
        if text in _NAMED or _PASSED_ON.fullmatch(text):
            return text
    raise ConfigurationError(
        f"{where}: {text!r} is no key that every terminal passes on",
        hint='one character, "f5", "ctrl+k", "enter", "space", "home", arrows',
    )


def read_keymap(table: Mapping[str, object], actions: Iterable[Action], *, where: str) -> dict[str, str]:
    """Keys by the id of their action, as Textual names them.

    Args:
        table: `[keys]`: action ids to a key, or to several with blanks between them.
        actions: all there are.
        where: the file, for error texts.

    Raises:
        ConfigurationError: for an unknown action (naming the nearest), a key that does not travel, or two actions on one key.
    """
    known = {each.id: each for each in actions}
    keymap: dict[str, str] = {}
    for name, value in table.items():
        if name not in known:
            raise ConfigurationError(f"{where}: [keys] there is no action {name!r}", hint=nearest(name, list(known), what="actions"))
        if name in FIXED:
            raise ConfigurationError(f"{where}: [keys] {name} cannot be moved", hint="q, Escape and Backspace are always the way back")
        words = value.split() if isinstance(value, str) else [value]
        keymap[name] = ",".join(read_key(word, f"{where}: [keys] {name}") for word in words)
        if not keymap[name]:
            raise ConfigurationError(f"{where}: [keys] {name} has no key", hint="leave the line out to keep the usual one")
    if problems := key_conflicts(remap(known.values(), keymap)):
        raise ConfigurationError(f"{where}: [keys] {problems[0]}", hint="give one of them another key")
    return keymap


def remap(actions: Iterable[Action], keymap: Mapping[str, str]) -> list[Action]:
    """The actions with the keys of a keymap."""
    return [replace(each, key=keymap[each.id]) if each.id in keymap else each for each in actions]
