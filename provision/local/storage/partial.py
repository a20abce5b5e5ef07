"""Partial responses: the `fields` parameter, e.g. `items(name,metadata/run),nextPageToken`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from provision.local.storage.errors import StorageError, invalid

Mask = dict[str, Any]
"""Field name to the mask of what is below it; an empty mask means everything below."""

_TOKEN = re.compile(r"[^,()/\s]+|[,()/]")


@lru_cache(maxsize=64)
def parse_fields(fields: str) -> Mask:
    """Compile a `fields` parameter. `*` and the empty string mean everything.

    Raises:
        StorageError: 400 if it is not well-formed.
    """
    tokens = _TOKEN.findall(fields)
    mask, rest = _parse_list(tokens, 0, fields)
    if rest != len(tokens):
        raise _malformed(fields)
    return mask


def select(mask: Mask, value: Any) -> Any:
    """`value` with only the fields the mask names."""
    if not mask or "*" in mask:
        return value
    if isinstance(value, list):
        return [select(mask, item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: select(mask[key], item) for key, item in value.items() if key in mask}


def _parse_list(tokens: list[str], position: int, fields: str) -> tuple[Mask, int]:
    mask: Mask = {}
    while position < len(tokens):
        position = _parse_path(tokens, position, mask, fields)
        if position < len(tokens) and tokens[position] == ",":
            position += 1
            continue
        break
    return mask, position


def _parse_path(tokens: list[str], position: int, mask: Mask, fields: str) -> int:
    """Add one path, such as `a/b(c,d)`, to `mask`; returns the position after it."""
    if position >= len(tokens) or tokens[position] in {",", "(", ")", "/"}:
        raise _malformed(fields)
    name = tokens[position]
    position += 1
    known = name in mask
    below: Mask = {}
    if position < len(tokens) and tokens[position] == "/":
        position = _parse_path(tokens, position + 1, below, fields)
    elif position < len(tokens) and tokens[position] == "(":
        below, position = _parse_list(tokens, position + 1, fields)
        if position >= len(tokens) or tokens[position] != ")":
            raise _malformed(fields)
        position += 1
    if known and mask[name] and below:
        mask[name].update(below)
    else:
        # Asked for once as a whole, a field stays whole.
        mask[name] = {} if known else below
    return position


def _malformed(fields: str) -> StorageError:
    return invalid(f"Invalid field selection {fields}", location=("parameter", "fields"))
