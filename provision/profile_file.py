"""Writing one value of one profile into the configuration file. Every other line stays as the person wrote it, comments too.

Reading is `provision.profile`'s. There is no TOML writer among our packages, so this edits the one line and then reads the whole
again: unless exactly the one value differs, nothing is written.
"""

from __future__ import annotations

import json
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from engine.errors import ConfigurationError

_TABLE = re.compile(r"\s*\[")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def write_profile_value(path: Path, profile: str, key: str, value: str) -> bool:
    """Set `key` of a profile to a text; False if it was that already.

    Args:
        path: the configuration file; made, with this one profile, if it is not there.
        profile: its name.
        key: a bare key.
        value: the new text.

    Raises:
        ConfigurationError: if the file is no TOML, is written in a way that one line cannot be changed in, or cannot be written.
    """
    try:
        # As bytes: reading as text would lose how lines end.
        text = path.read_bytes().decode("utf-8") if path.exists() else ""
        before = tomllib.loads(text)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", hint="mend it first") from error
    if before.get("profiles", {}).get(profile, {}).get(key) == value:
        return False
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    after = _edit(text, profile, key, line)
    wanted = _with_value(before, profile, key, value)
    if _parsed(after) != wanted:
        raise ConfigurationError(f"{path} is written in a way that cannot be edited", hint=f"write into [profiles.{profile}]: {line}")
    _replace(path, after)
    return True


def _edit(text: str, profile: str, key: str, line: str) -> str:
    """The text with the line in the profile's table: in the place of the old one, else below the last line of the table."""
    lines = text.splitlines(keepends=True)
    start = next((index for index, each in enumerate(lines) if _is_header(each, profile)), None)
    if start is None:
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        return f"{text}{gap}[profiles.{_quoted(profile)}]\n{line}\n"
    end = next((index for index in range(start + 1, len(lines)) if _TABLE.match(lines[index])), len(lines))
    for index in range(start + 1, end):
        found = re.match(rf"(\s*){re.escape(key)}\s*=\s*(?:\"[^\"\n]*\"|'[^'\n]*')(\s*(?:#.*)?)$", lines[index].rstrip("\r\n"))
        if found:
            ending = lines[index][len(lines[index].rstrip("\r\n")) :]
            lines[index] = f"{found[1]}{line}{found[2]}{ending}"
            return "".join(lines)
    last = max((index for index in range(start, end) if lines[index].strip() and not lines[index].lstrip().startswith("#")), default=start)
    if not lines[last].endswith("\n"):
        lines[last] += "\n"
    lines.insert(last + 1, f"{line}\n")
    return "".join(lines)


def _is_header(line: str, profile: str) -> bool:
    return bool(re.fullmatch(rf"\s*\[\s*profiles\s*\.\s*{re.escape(_quoted(profile))}\s*\]\s*(?:#.*)?", line.rstrip("\r\n")))


def _quoted(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _with_value(document: dict[str, Any], profile: str, key: str, value: str) -> dict[str, Any]:
    profiles = dict(document.get("profiles", {}))
    profiles[profile] = {**profiles.get(profile, {}), key: value}
    return {**document, "profiles": profiles}


def _replace(path: Path, text: str) -> None:
    """All of the new text or none of it, with the rights that the file had."""
    try:
        place = path.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        mode = place.stat().st_mode & 0o777 if place.exists() else 0o600
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="", dir=place.parent, prefix=".tickdeck-", delete=False) as staged:
            staged.write(text)
        Path(staged.name).chmod(mode)
        Path(staged.name).replace(place)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}", hint="write the line by hand") from error
