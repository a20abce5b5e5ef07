"""One call of the API, apart from the wire: what the handlers read and what they answer.

A call comes from a connection or out of a batch; the handlers cannot tell the difference.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote

import msgspec

from provision.local.storage.errors import StorageError, invalid, required

MAX_JSON_BYTES = 1 << 20


class Body:
    """The body of a request, read once. This one is already here: a part of a batch, or nothing."""

    def __init__(self, content: bytes = b"") -> None:
        self._content = content
        self.seconds_per_mib = 0.0
        """How slowly it is read: a fault."""
        self.cut_after: int | None = None
        """After how many bytes the connection is closed: a fault."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they arrive.

        Raises:
            BodyCut: if the connection ends first.
        """
        if self._content:
            yield self._content


class Params:
    """Query parameters. A repeated one counts by its last value, except where all are asked for."""

    def __init__(self, query: str) -> None:
        self._pairs = parse_qsl(query, keep_blank_values=True)
        self._last = dict(self._pairs)

    def __iter__(self) -> Iterator[str]:
        return iter(self._last)

    def get(self, name: str) -> str | None:
        return self._last.get(name)

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]

    def get_int(self, name: str) -> int | None:
        """A whole number that is not negative.

        Raises:
            StorageError: 400.
        """
        value = self._last.get(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit()):
            raise invalid(f"Invalid unsigned integer: '{value}'.", location=("parameter", name))
        return int(value)

    def get_bool(self, name: str) -> bool:
        """True only for "true"; absent means false.

        Raises:
            StorageError: 400.
        """
        value = self._last.get(name, "false").lower()
        if value not in {"true", "false"}:
            raise invalid(f"Invalid boolean value: '{value}'.", location=("parameter", name))
        return value == "true"


@dataclass(slots=True)
class Call:
    """One request."""

    method: str
    target: str
    """Path and query as they were sent."""
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    base_url: str
    """Where this server was reached, e.g. "http://127.0.0.1:4443"."""
    body: Body
    in_batch: bool = False
    path: str = field(init=False)
    segments: tuple[str, ...] = field(init=False)
    """The path's segments, decoded: an object name is one segment, whatever slashes it holds."""
    params: Params = field(init=False)
    names: tuple[str, ...] = ()
    """What the route's wildcards stand for: a bucket, an object."""
    operation: str = ""
    """Google's name of the operation, e.g. "objects.insert"."""

    def __post_init__(self) -> None:
        self.path, _, query = self.target.partition("?")
        try:
            self.segments = tuple(unquote(part, errors="strict") for part in self.path.split("/")[1:])
        except UnicodeDecodeError:
            raise invalid(f"The path is not valid UTF-8: {self.path}") from None
        self.params = Params(query)

    async def read_json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty object.

        Raises:
            StorageError: 400 if it is anything else, 413 beyond 1 MiB.
        """
        received = bytearray()
        async for chunk in self.body.chunks():
            received += chunk
            if len(received) > MAX_JSON_BYTES:
                raise StorageError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "uploadTooLarge", "The request's JSON exceeds 1 MiB.")
        return decode_object(bytes(received))


def decode_object(received: bytes) -> dict[str, Any]:
    """Decode a JSON object; nothing at all is an empty one.

    Raises:
        StorageError: 400.
    """
    if not received.strip():
        return {}
    try:
        decoded = msgspec.json.decode(received)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StorageError(HTTPStatus.BAD_REQUEST, "parseError", f"Parse Error: {error}") from None
    if not isinstance(decoded, dict):
        raise StorageError(HTTPStatus.BAD_REQUEST, "parseError", "Parse Error: a JSON object is required")
    return decoded


def need_text(source: Mapping[str, Any] | Params, name: str) -> str:
    """A parameter or field that must be there and be text.

    Raises:
        StorageError: 400.
    """
    value = source.get(name)
    if value is None or value == "":
        raise required(name)
    if not isinstance(value, str):
        raise invalid(f"Invalid value for {name}: a string is required.")
    return value


@dataclass(frozen=True, slots=True)
class Download:
    """Bytes of a stored body to be sent. The open file keeps them even if the object is deleted meanwhile."""

    file: BinaryIO
    start: int
    length: int
    seconds_per_mib: float = 0.0
    """How slowly it is sent: a fault."""
    gunzip: bool = False
    """Send the whole body decompressed: its length is then unknown beforehand."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers: a JSON resource, a download, raw text, or nothing but a status."""

    status: int = HTTPStatus.OK
    resource: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    download: Download | None = None
    text: str | None = None
