"""Reading and writing the JSON documents of the state bucket: typed, strict, and the same bytes for the same content.

Each document is a frozen `msgspec.Struct` in the module of its noun (`engine.plan`, `engine.manifest`, ...). Fields that this
version does not know (a newer one wrote them) are ignored; a missing or wrong field is an error that names it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec

from engine.errors import ConfigurationError, UsageError

T = TypeVar("T")

JSON = "application/json"

_types = threading.Lock()
"""Held while msgspec works a type out, at its first use: a second thread that meets it half done ends the process (msgspec 0.22:
`StructInfo_Convert` shows a struct's table before it is filled, and runs Python code in between)."""
_decoders: dict[tuple[Callable[[Any], Any], Any], Any] = {}

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
            json_decoder(type(document)).decode(data)
        except msgspec.DecodeError as error:
            raise UsageError(f"a {type(document).__name__} that cannot be read back is not written: {error}") from error
    return data


def decode(data: bytes, kind: type[T], *, name: str) -> T:
    """Read a document.

    Raises:
        ConfigurationError: naming the object and the field that is wrong.
    """
    try:
        return json_decoder(kind).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name} is not a valid {kind.__name__}: {error}") from error


def json_decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Reads JSON of a type. The one way to it: at first use several threads may ask."""
    decoder: msgspec.json.Decoder[T] = _decoder(msgspec.json.Decoder, kind)
    return decoder


def packed_decoder(kind: type[T]) -> msgspec.msgpack.Decoder[T]:
    """The same of MessagePack."""
    decoder: msgspec.msgpack.Decoder[T] = _decoder(msgspec.msgpack.Decoder, kind)
    return decoder


def convert(value: object, kind: type[T], *, strict: bool = True, text_keys: bool = False) -> T:
    """Plain values as a type.

    Args:
        value: made of dicts, lists, texts, numbers, times.
        kind: what it is to be.
        strict: False also takes numbers and truths out of texts.
        text_keys: the keys of dicts are texts that stand for something else.

    Raises:
        msgspec.ValidationError: naming the field that is wrong.
    """
    json_decoder(kind)
    return msgspec.convert(value, kind, strict=strict, str_keys=text_keys)


def _decoder(make: Callable[[Any], Any], kind: object) -> Any:
    found = _decoders.get((make, kind))
    if found is None:
        with _types:
            found = _decoders[make, kind] = make(kind)
    return found


def hash_symbols(symbols: Iterable[str]) -> str:
    """16 hex digits that stand for a set of symbol ids, whatever their order."""
    return hashlib.sha256("\n".join(sorted(set(symbols))).encode()).hexdigest()[:16]
