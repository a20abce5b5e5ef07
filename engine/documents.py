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

from engine.errors import ConfigurationError, UsageError

T = TypeVar("T")

JSON = "application/json"

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time in a document: one without a zone is refused when it is read."""


def encode(document: object) -> bytes:
    """Canonical JSON: keys in the order of the type, indented for people, ending in a newline.

    Raises:
        UsageError: as `encode_compact`.
    """
    return msgspec.json.format(encode_compact(document), indent=1) + b"\n"


def encode_compact(document: object) -> bytes:
    """The same on one line, without the newline.

    Raises:
        UsageError: if it could not be read back: a time in it has no zone, or a field holds what its type does not allow.
    """
    data = msgspec.json.encode(document, order="deterministic")
    if isinstance(document, msgspec.Struct):
        # A struct does not check what it is made of; a document that nobody can read must not get as far as the bucket.
        try:
            msgspec.json.decode(data, type=type(document))
        except msgspec.DecodeError as error:
            raise UsageError(f"a {type(document).__name__} that cannot be read back is not written: {error}") from error
    return data


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
