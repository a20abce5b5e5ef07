"""Saved views: a screen with its filter, order and detail under a name, in a file of the config folder; each is one line to pass on.

stuck = "fleet filter='is:stuck' sort=eta"
"""

from __future__ import annotations

import json
import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from console.modes import Mode, is_mode
from console.query import QueryError, parse
from engine.errors import ConfigurationError, UsageError
from engine.spelling import nearest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class View:
    """What a screen shows, and how."""

    mode: Mode
    settings: Mapping[str, str] = field(default_factory=dict)
    """`filter` on every screen that has one; others as `ModeScreen.view_settings` names them."""

    @property
    def line(self) -> str:
        """The view as one line."""
        return " ".join([self.mode.value, *(f"{name}={shlex.quote(value)}" for name, value in sorted(self.settings.items()))])


def read_view(line: str) -> View:
    """Read a line.

    Raises:
        UsageError: naming what of it cannot be meant.
    """
    try:
        mode, *pairs = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"the view {line!r} cannot be read: {error}", hint="for example: fleet filter='is:stuck'") from error
    if not is_mode(mode):
        raise UsageError(f"there is no screen {mode!r}", hint=nearest(mode, [each.value for each in Mode], what="screens"))
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"{pair!r} is no part of a view", hint="name=value, for example filter='is:stuck'")
        settings[name] = value
    if "filter" in settings:
        try:
            parse(settings["filter"])
        except QueryError as error:
            raise UsageError(f"the filter of the view: {error}", hint="see ? for what a filter may say") from error
    return View(Mode(mode), settings)


def load_views(path: Path) -> dict[str, View]:
    """The saved views, by name; none if there is no such file.

    Raises:
        ConfigurationError: naming the line that is wrong.
    """
    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}", hint="mend it, or remove the file") from error
    views = {}
    for name, line in document.items():
        if not isinstance(line, str) or not line:
            raise ConfigurationError(f"{path}: {name} is no view", hint="""a view is a line: stuck = "fleet filter='is:stuck'" """.strip())
        try:
            views[name] = read_view(line)
        except UsageError as error:
            raise ConfigurationError(f"{path}: {name}: {error}", hint=error.hint) from error
    return views


def save_view(path: Path, name: str, view: View) -> None:
    """Keep a view under a name; one of that name is replaced, atomically.

    Raises:
        UsageError: if the name will not do.
        ConfigurationError: if the file as it is cannot be read.
        OSError: if it cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a view", hint="letters, digits, - and _")
    views = load_views(path) | {name: view}
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    # A JSON string is a TOML basic string.
    staged.write_text("".join(f"{each} = {json.dumps(found.line, ensure_ascii=False)}\n" for each, found in sorted(views.items())))
    staged.replace(path)
