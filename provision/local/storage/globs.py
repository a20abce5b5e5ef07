"""Cloud Storage's glob language (`matchGlob`): `*` and `?` stay within a path segment, `**` crosses segments."""

from __future__ import annotations

import re
from dataclasses import dataclass

from provision.local.storage.errors import StorageError, invalid


@dataclass(frozen=True, slots=True)
class Glob:
    """A compiled pattern."""

    pattern: re.Pattern[str]
    literal_prefix: str
    """What every match starts with: it bounds the range scan."""

    def matches(self, name: str) -> bool:
        """Whether the whole of `name` matches."""
        return self.pattern.fullmatch(name) is not None


def compile_glob(glob: str) -> Glob:
    """Compile a glob.

    Raises:
        StorageError: 400 for a bracket or brace that is not closed, or a trailing backslash.
    """
    pieces: list[str] = []
    literal: list[str] = []
    bound = True  # still inside the literal beginning
    depth = 0
    position = 0
    while position < len(glob):
        char = glob[position]
        position += 1
        if char == "*":
            across = glob.startswith("*", position)
            while glob.startswith("*", position):
                position += 1
            pieces.append(".*" if across else "[^/]*")
        elif char == "?":
            pieces.append("[^/]")
        elif char == "[":
            piece, position = _compile_class(glob, position)
            pieces.append(piece)
        elif char == "{":
            depth += 1
            pieces.append("(?:")
        elif char == "}" and depth:
            depth -= 1
            pieces.append(")")
        elif char == "," and depth:
            pieces.append("|")
        else:
            if char == "\\":
                if position == len(glob):
                    raise _malformed(glob, "a backslash at the end escapes nothing")
                char = glob[position]
                position += 1
            pieces.append(re.escape(char))
            if bound:
                literal.append(char)
            continue
        bound = False
    if depth:
        raise _malformed(glob, "a '{' is not closed")
    return Glob(re.compile("".join(pieces), re.DOTALL), "".join(literal))


def _compile_class(glob: str, start: int) -> tuple[str, int]:
    """Compile the class that opened just before `start`; returns it and the position after its bracket."""
    position = start
    negated = glob[position : position + 1] in {"!", "^"}
    if negated:
        position += 1
    # A bracket in first place is a member, as in every shell.
    end = glob.find("]", position + 1)
    if end < 0:
        raise _malformed(glob, "a '[' is not closed")
    members = glob[position:end]
    escaped = "".join(char if char == "-" else re.escape(char) for char in members)
    try:
        re.compile(f"[{escaped}]")
    except re.error:
        raise _malformed(glob, f"'[{members}]' is no range") from None
    return (f"[^/{escaped}]" if negated else f"(?!/)[{escaped}]"), end + 1


def _malformed(glob: str, why: str) -> StorageError:
    return invalid(f"Invalid glob '{glob}': {why}", location=("parameter", "matchGlob"))
