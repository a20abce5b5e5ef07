"""A person's own keys and commands, read from the configuration and checked against the table of actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from console.actions import ACTIONS, Action, key_conflicts
from console.custom_commands import CustomCommand, read_commands, with_commands
from console.keymap import read_keymap, remap
from engine.errors import ConfigurationError
from provision.profile import Configuration


@dataclass(frozen=True, slots=True)
class OwnActions:
    """What a console has beside our table."""

    keymap: Mapping[str, str] = field(default_factory=dict)
    """Keys by action id, as Textual names them."""
    commands: tuple[CustomCommand, ...] = ()

    @property
    def table(self) -> list[Action]:
        """All actions, with the person's keys and commands."""
        return remap(with_commands(ACTIONS, self.commands), self.keymap)


def read_own_actions(configuration: Configuration) -> OwnActions:
    """Check `[keys]` and `[[commands]]`.

    Raises:
        ConfigurationError: naming the key, the action or the command that is wrong.
    """
    where = str(configuration.path)
    commands = tuple(read_commands(configuration.commands, where=where))
    table = with_commands(ACTIONS, commands)
    own = OwnActions(read_keymap(configuration.keys, table, where=where), commands)
    if problems := key_conflicts(own.table):
        raise ConfigurationError(f"{where}: {problems[0]}", hint="give one of them another key")
    return own
