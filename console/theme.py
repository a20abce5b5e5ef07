"""Colour themes: read from TOML, checked, and handed to Textual.

Apart from the app because two others need them: the tests measure the contrast of every pair of colours, and
`tickdeck config` lists the names. The files are data: `themes/*.toml` in the wheel, then the user's own folder.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from textual.app import App
from textual.color import Color, ColorParseError
from textual.theme import BUILTIN_THEMES, Theme

DEFAULT_THEME: Final = "dark"

_KEYS: Final = ("dark", "ansi", "colors", "variables")

COLORS: Final = (
    "primary", "secondary", "accent", "success", "warning", "error", "foreground", "background", "surface", "panel",
)  # fmt: skip
"""Keys of `[colors]`; all are required."""

VARIABLES: Final[Mapping[str, str]] = {
    "quiet": "secondary text: units, labels, hints",
    "rule": "lines and ticks that carry no words",
    "cursor": "the cell under the cursor, background",
    "cursor-text": "the cell under the cursor, glyph",
    "row-cursor": "the row under the cursor of the focused table",
    "row-cursor-blurred": "the same when another widget has the focus",
    "mark": "the mark of a selected row or cell",
    "hit": "background of a search hit",
    "state-good": "done, complete, fine",
    "state-busy": "at work",
    "state-warn": "wants a look",
    "state-bad": "wants a person now",
    "state-idle": "nothing to do, not ours, unknown",
    "bar-done": "the filled part of a bar",
    "bar-rest": "the empty part of a bar",
    "heat-complete": "heatmap: all there",
    "heat-adopted": "heatmap: all there, from before Tickdeck",
    "heat-thin": "heatmap: all there, suspiciously little",
    "heat-partial": "heatmap: some symbols lack",
    "heat-failed": "heatmap: attempted, nothing came",
    "heat-missing": "heatmap: expected, never attempted",
    "heat-running": "heatmap: a worker is on it",
    "heat-not-ready": "heatmap: not published yet",
    "heat-not-expected": "heatmap: the venue does not offer it; never a gap",
    "severity-default": "log lines without a severity",
    "severity-debug": "log severity",
    "severity-info": "log severity",
    "severity-warning": "log severity",
    "severity-error": "log severity",
    "severity-critical": "log severity",
}
"""Keys of `[variables]` that our widgets use, with what each colours; all are required. Textual's own may be added."""


_ANSI_VARIABLES: Final = {dark: BUILTIN_THEMES["ansi-dark" if dark else "ansi-light"].variables for dark in (True, False)}
"""What Textual's own widgets ask of a theme in the terminal's colours; a file may say otherwise."""

_TEXT_STYLES: Final = ("none", "not", "bold", "dim", "italic", "reverse", "strike", "underline")


class ThemeError(ValueError):
    """A theme file cannot be used. The text names the file, the key, and what would help."""


def parse_theme(name: str, text: str, *, origin: str) -> Theme:
    """Build a theme out of the text of its file.

    Args:
        name: What the user writes in the settings: the file's stem.
        text: TOML with `dark`, `[colors]` and `[variables]`; `ansi = true` where colours are the terminal's own (`ansi_bright_red`).
        origin: The file, for error texts.

    Raises:
        ThemeError: if a key is missing, unknown or no colour.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ThemeError(f"{origin}: not TOML: {error}") from error
    colors, variables = _table(document, "colors", origin), _table(document, "variables", origin)
    if unknown := next(iter(set(document) - set(_KEYS)), None):
        raise ThemeError(f"{origin}: unknown key {unknown!r}{_nearest(unknown, _KEYS)}")
    if unknown := next((key for key in colors if key not in COLORS), None):
        raise ThemeError(f"{origin}: unknown color {unknown!r}{_nearest(unknown, COLORS)}")
    dark, ansi = _flag(document, "dark", origin, usual=True), _flag(document, "ansi", origin, usual=False)
    for table, required in (("colors", COLORS), ("variables", tuple(VARIABLES))):
        given = colors if table == "colors" else variables
        if lacking := [key for key in required if key not in given]:
            raise ThemeError(f"{origin}: [{table}] lacks {', '.join(lacking)}")
        for key in required:
            _require_color(given[key], f"{origin}: [{table}] {key}")
    _check_textual_variables(variables, origin)
    return Theme(
        name=name,
        dark=dark,
        ansi=ansi,
        variables=_ANSI_VARIABLES[dark] | variables if ansi else variables,
        primary=colors["primary"],
        secondary=colors["secondary"],
        accent=colors["accent"],
        success=colors["success"],
        warning=colors["warning"],
        error=colors["error"],
        foreground=colors["foreground"],
        background=colors["background"],
        surface=colors["surface"],
        panel=colors["panel"],
    )


def read_themes(user_folder: Path | None = None) -> dict[str, Theme]:
    """All themes by name: those of the wheel, then `*.toml` of `user_folder`, which may replace one of ours.

    Raises:
        ThemeError: naming the first file that cannot be used.
    """
    return {name: parse_theme(name, _text(file, origin), origin=origin) for name, file, origin in _files(user_folder)}


def theme_names(user_folder: Path | None = None) -> list[str]:
    """Names of all theme files, sorted, without reading them."""
    return sorted({name for name, _, _ in _files(user_folder)})


def install_themes(app: App[object], user_folder: Path | None = None) -> list[str]:
    """Register all themes with `app` and return what could not be read of the user's own, one line each.

    A broken file of the user's must not keep the console from starting, so it is told and left out.
    """
    problems = []
    for name, file, origin in _files(user_folder):
        try:
            app.register_theme(parse_theme(name, _text(file, origin), origin=origin))
        except ThemeError as error:
            problems.append(str(error))
    return problems


class UserThemes:
    """The user's theme folder while the console runs: which files have changed since the last look."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen = self._look()

    def have_changed(self) -> bool:
        """Whether a file came, went or was written since this was asked last. Blocks: a home may be far away."""
        before, self._seen = self._seen, self._look()
        return before != self._seen

    def _look(self) -> dict[str, tuple[int, int]]:
        seen: dict[str, tuple[int, int]] = {}
        with suppress(OSError):
            for path in self.folder.glob("*.toml"):
                with suppress(OSError):
                    about = path.stat()
                    seen[path.name] = (about.st_mtime_ns, about.st_size)
        return seen


def variable_defaults() -> dict[str, str]:
    """Our variables in the colours of the dark theme, for `App.get_theme_variable_defaults`.

    With them Textual's built-in themes (nord, gruvbox, ansi-dark, ...) can be chosen too: the CSS of our widgets still resolves.
    """
    theme = read_themes()[DEFAULT_THEME]
    return {key: theme.variables[key] for key in VARIABLES}


def contrast(foreground: str, background: str) -> float:
    """Contrast ratio of two colours by WCAG 2, from 1 to 21. Text needs 4.5, shapes need 3."""
    lighter, darker = sorted((_luminance(Color.parse(foreground)), _luminance(Color.parse(background))), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: Color) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color.normalized]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _files(user_folder: Path | None) -> Iterator[tuple[str, Traversable, str]]:
    for entry in sorted(resources.files("themes").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".toml"):
            yield entry.name.removesuffix(".toml"), entry, f"themes/{entry.name}"
    if user_folder is not None and user_folder.is_dir():
        for path in sorted(user_folder.glob("*.toml")):
            yield path.stem, path, str(path)


def _text(file: Traversable, origin: str) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ThemeError(f"{origin}: {error}") from error


def _table(document: dict[str, object], key: str, origin: str) -> dict[str, str]:
    table = document.get(key)
    if not isinstance(table, dict):
        raise ThemeError(f"{origin}: no table [{key}]")
    for name, value in table.items():
        if not isinstance(value, str):
            raise ThemeError(f"{origin}: [{key}] {name} must be text, not {value!r}")
    return table


def _check_textual_variables(variables: Mapping[str, str], origin: str) -> None:
    """Whatever Textual cannot read would end the console when it paints."""
    usual = BUILTIN_THEMES["textual-dark"].to_color_system().generate() | _ANSI_VARIABLES[True]
    for key, value in variables.items():
        if key in VARIABLES:
            continue
        if key not in usual:
            raise ThemeError(f"{origin}: [variables] unknown {key!r}{_nearest(key, [*VARIABLES, *usual], all_known=False)}")
        if key.endswith("-style"):
            if unknown := next((word for word in value.split() if word not in _TEXT_STYLES), None):
                raise ThemeError(f"{origin}: [variables] {key}: {unknown!r} is no text style{_nearest(unknown, _TEXT_STYLES)}")
        else:
            color, _, share = value.partition(" ")
            if color not in ("auto", "initial"):
                _require_color(color, f"{origin}: [variables] {key}")
            if share and not re.fullmatch(r"\d{1,3}%", share):
                raise ThemeError(f'{origin}: [variables] {key}: {value!r} is no colour; write one like "#6cb2f0 35%"')


def _flag(document: dict[str, object], key: str, origin: str, *, usual: bool) -> bool:
    value = document.get(key, usual)
    if not isinstance(value, bool):
        raise ThemeError(f"{origin}: {key} must be true or false, not {value!r}")
    return value


def _require_color(value: str, where: str) -> None:
    try:
        Color.parse(value)
    except ColorParseError as error:
        raise ThemeError(f'{where}: {value!r} is no colour; write one like "#6cb2f0"') from error


def _nearest(key: str, known: Sequence[str], *, all_known: bool = True) -> str:
    close = get_close_matches(key, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(known)}" if all_known else "; themes/README.md lists what there is"
