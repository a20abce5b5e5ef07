"""Reading and writing the JSON documents of the state bucket: typed, strict, and the same bytes for the same content.

Each document is a frozen `msgspec.Struct` in the module of its noun (`engine.plan`, `engine.manifest`, ...). Fields that this
version does not know (a newer one wrote them) are ignored; a missing or wrong field is an error that names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

from engine.errors import ConfigurationError

T = TypeVar("T")

JSON = "application/json"

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time in a document: one without a zone is refused when it is read."""


def encode(document: object) -> bytes:
    """Canonical JSON: keys in the order of the type, indented for people, ending in a newline."""
    return msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=1) + b"\n"


def encode_compact(document: object) -> bytes:
    """The same on one line, without the newline."""
    return msgspec.json.encode(document, order="deterministic")


def decode(data: bytes, kind: type[T], *, name: str) -> T:
    """Read a document.

    Raises:
        ConfigurationError: naming the object and the field that is wrong.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name} is not a valid {kind.__name__}: {error}") from error


def hash_symbols(symbols: Iterable[str]) -> str:
    """16 hex digits that stand for a set of symbol ids, whatever their order."""
    return hashlib.sha256("\n".join(sorted(set(symbols))).encode()).hexdigest()[:16]
