"""A person's own commands: `[[commands]]` of the configuration, each a list of arguments with {vm}, {run}, {day} and the like in it.

Never through a shell: what stands for a placeholder is one argument, or a part of one, whatever characters it has; and a value
that would make an argument an option of the program is refused. `dangerous` ones are off in read-only mode, like our own deeds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Final

from console.actions.action import Action, Danger
from console.keymap import read_key
from console.modes import Mode
from engine.errors import ConfigurationError, UsageError
from engine.spelling import nearest

PLACEHOLDERS: Final = (
    "vm", "run", "day", "zone", "venue", "data_type", "shard", "plan", "machine",
    "profile", "project", "region", "data_bucket", "state_bucket",
)  # fmt: skip
"""What is known of the row under the cursor, and of the profile."""
_SETTINGS: Final = ("name", "key", "run", "modes", "confirm", "dangerous", "terminal")


@dataclass(frozen=True, slots=True)
class CustomCommand:
    """One command."""

    name: str
    key: str
    """Textual's name; empty: from the palette only."""
    run: tuple[str, ...]
    modes: tuple[Mode, ...]
    confirm: bool = False
    dangerous: bool = False
    """Changes something: asks first, and is off in read-only mode."""
    terminal: bool = False
    """Gets the terminal, as ssh needs it; else its output is shown when it has ended."""

    @property
    def id(self) -> str:
        """As an action."""
        return "custom_" + re.sub(r"\W+", "_", self.name.lower()).strip("_")

    @property
    def action(self) -> Action:
        """Its row in the table of actions."""
        return Action(
            self.id,
            self.key,
            self.name,
            f"Your command: {' '.join(self.run)}",
            Danger.CONFIRM if self.dangerous else Danger.NONE,
            self.modes,
            runs=f"custom_command('{self.id}')",
        )

    def fill(self, values: Mapping[str, object]) -> list[str]:
        """The arguments for what is under the cursor.

        Raises:
            UsageError: if a value is not there, or would be taken for an option.
        """
        return [_fill(argument, values, self.name) for argument in self.run]


def read_commands(tables: object, *, where: str) -> list[CustomCommand]:
    """The commands of `[[commands]]`.

    Raises:
        ConfigurationError: naming the command and what is wrong with it.
    """
    if not isinstance(tables, Sequence) or isinstance(tables, str):
        raise ConfigurationError(f"{where}: commands is no list of tables", hint="write [[commands]]")
    commands = [_read(table, f"{where}: command {number}") for number, table in enumerate(tables, start=1)]
    for number, command in enumerate(commands):
        if any(command.id == other.id for other in commands[:number]):
            raise ConfigurationError(f"{where}: two commands are named {command.name!r}", hint="give one of them another name")
    return commands


def _read(table: object, where: str) -> CustomCommand:
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{where} is no table", hint="write [[commands]]")
    for key in table:
        if key not in _SETTINGS:
            raise ConfigurationError(f"{where}: there is no setting {key!r}", hint=nearest(str(key), list(_SETTINGS), what="settings"))
    name, run = table.get("name", ""), table.get("run", [])
    if not isinstance(name, str) or not re.search(r"\w", name):
        raise ConfigurationError(f"{where} has no name", hint='name = "ssh"')
    where = f"{where} ({name})"
    if not isinstance(run, list) or not run or not all(isinstance(word, str) for word in run):
        raise ConfigurationError(
            f"{where}: run is no list of arguments", hint='run = ["gcloud", "compute", "ssh", "{vm}", "--zone={zone}"]'
        )
    for word in run:
        _check_placeholders(word, where)
    for key in ("confirm", "dangerous", "terminal"):
        if not isinstance(table.get(key, False), bool):
            raise ConfigurationError(f"{where}: {key} must be true or false", hint=f"{key} = true")
    key = table.get("key", "")
    return CustomCommand(
        name=name,
        key=read_key(key, f"{where}: key") if key else "",
        run=tuple(run),
        modes=_modes(table.get("modes", []), where),
        confirm=table.get("confirm", False),
        dangerous=table.get("dangerous", False),
        terminal=table.get("terminal", False),
    )


def _modes(names: object, where: str) -> tuple[Mode, ...]:
    known = [mode.value for mode in Mode]
    if not isinstance(names, list):
        raise ConfigurationError(f"{where}: modes is no list", hint='modes = ["fleet"]')
    for name in names:
        if name not in known:
            raise ConfigurationError(f"{where}: there is no mode {name!r}", hint=nearest(str(name), known, what="modes"))
    return tuple(Mode(name) for name in names) or tuple(Mode)


def _check_placeholders(word: str, where: str) -> None:
    try:
        parts = [part for part in Formatter().parse(word) if part[1] is not None]
    except ValueError as error:
        raise ConfigurationError(f"{where}: {word!r}: {error}", hint="write a brace twice where it stands for itself: {{") from error
    for _, name, form, conversion in parts:
        if name not in PLACEHOLDERS:
            close = nearest(name or "", list(PLACEHOLDERS), what="placeholders")
            raise ConfigurationError(f"{where}: there is no placeholder {{{name}}}", hint=close)
        if form or conversion:
            raise ConfigurationError(f"{where}: {word!r}: a placeholder is a name in braces", hint="{vm}, without formats")


def _fill(argument: str, values: Mapping[str, object], name: str) -> str:
    parts = []
    for text, field, _, _ in Formatter().parse(argument):
        parts.append(text)
        if field is None:
            continue
        value = values.get(field)
        if value in (None, ""):
            raise UsageError(f"{name}: there is no {field} under the cursor", hint="go to a row that has one")
        if str(value).startswith("-") and not "".join(parts):
            raise UsageError(f"{name}: {field} {value!r} would be taken for an option", hint="this command is not for this row")
        if "\x00" in str(value):
            raise UsageError(f"{name}: {field} cannot be an argument", hint="this command is not for this row")
        parts.append(str(value))
    return "".join(parts)


def with_commands(actions: Iterable[Action], commands: Iterable[CustomCommand]) -> list[Action]:
    """The table of actions with a person's own: before the common ones, which have no mode."""
    table = list(actions)
    return [*(each for each in table if each.modes), *(command.action for command in commands), *(each for each in table if not each.modes)]
