"""Small objects of one bucket, each created by one request on the event loop, without the official client.

Separate from `engine.store` because it costs a tenth of its CPU where thousands of small files are committed: no thread, and one
multipart request of the JSON API over connections that stay open. Nothing else differs: the retries and what an error becomes are
those of `Store`, so are credentials and endpoint; every object is created once (`ifGenerationMatch=0`) and carries the CRC-32C of its
bytes, which is compared with what the bucket says that it stored.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_writer import StreamWriter
from yarl import URL

from engine import __version__
from engine import store as limits
from engine.documents import Moment, convert
from engine.errors import AlreadyExists, StoreError
from engine.store import ObjectInfo, Store

SMALL_BYTES = 8 << 20
"""Larger objects are for `Store.put`, which sends them in pieces and repeats only the piece that was lost."""

PIECE_BYTES = 512 << 10
"""So much is sent between two looks at whether the bucket still takes it."""

UNWATCHED_BYTES = 32 << 10
"""Bytes that are sent without such a look: aiohttp waits for the bucket only once twice as many are on the way."""

REFRESHES = 2
"""How often one request is sent again with a fresh token after a 401, as the official client does."""

_CREATED = (200, 201)


class _Resource(msgspec.Struct):
    """What the bucket says of a new object, as far as it matters."""

    name: str
    size: int
    generation: int
    updated: Moment
    crc32c: str | None = None
    metadata: dict[str, str] = {}


class SmallObjects:
    """Creates objects in the bucket of a store. Use as an async context manager, within one event loop."""

    def __init__(self, store: Store, *, connections: int) -> None:
        """`connections` at most are open at once; what is more waits."""
        self.store = store
        self._connections = connections
        self._credentials = store._client._credentials
        base = store._client._connection.get_api_base_url_for_mtls().rstrip("/")
        self._place = urlsplit(base).netloc
        self._proxy = _proxy_to(base) if store._client._http.trust_env else None
        path = f"/upload/storage/v1/b/{quote(store.bucket, safe='')}/o"
        self._url = URL(f"{base}{path}?uploadType=multipart&ifGenerationMatch=0", encoded=True)
        self._refreshing = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> SmallObjects:
        connect, silence = limits.CALL_TIMEOUT
        self._session = aiohttp.ClientSession(
            headers={"User-Agent": f"tickdeck/{__version__}"},
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=self._connections, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=silence),
            proxy=self._proxy,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def takes(self, size: int) -> bool:
        """Whether an object of so many bytes is for this path; one behind a client certificate or a proxy of another kind never is."""
        plain = self._proxy is None or self._proxy.startswith(("http://", "https://"))
        return size <= SMALL_BYTES and plain and not getattr(self.store._client._http, "is_mtls", False)

    async def create(self, name: str, data: bytes, *, metadata: Mapping[str, str], content_type: str, crc32c: str) -> ObjectInfo:
        """Create an object.

        Args:
            name: object name, from `engine.paths`.
            data: at most `SMALL_BYTES`.
            metadata: custom metadata: at most 1 KiB a key, 4 KiB a value, 8 KiB in all.
            content_type: MIME type.
            crc32c: base64 of the big-endian CRC-32C that the bytes must have. The bucket refuses other bytes.

        Raises:
            AlreadyExists: the name is taken (also by an earlier try whose reply was lost).
            StoreError, NotPermitted, ConfigurationError: as for `Store.put`.
        """
        from google.api_core.exceptions import PreconditionFailed

        resource = {"name": name, "contentType": content_type, "crc32c": crc32c, "metadata": dict(metadata)}
        described = json.dumps(resource).encode()
        with self.store._errors(name):
            try:
                said = await self.store._retries.awaiting(lambda: self._send(described, data, content_type))
            except PreconditionFailed as error:
                raise AlreadyExists(f"gs://{self.store.bucket}/{name} was written by somebody else") from error
            created = _read(said)
        if created is None:
            raise StoreError(f"gs://{self.store.bucket}/{name}: the answer to an upload names no object", hint="run again")
        if created.crc32c != crc32c:
            raise StoreError(
                f"gs://{self.store.bucket}/{name} has checksum {created.crc32c}, sent {crc32c}", hint="look at the object, then run again"
            )
        return ObjectInfo(created.name, created.size, created.generation, crc32c, created.updated, created.metadata)

    async def _send(self, resource: bytes, data: bytes, content_type: str) -> bytes:
        """One try: the answer's body.

        Raises:
            GoogleAPICallError, ConnectionError, GoogleAuthError: as the official client, so that one rule says what is tried again.
        """
        from google.api_core.exceptions import from_http_status

        assert self._session is not None, "use `async with SmallObjects(...)`"
        silence = limits.CALL_TIMEOUT[1]
        for refreshes in range(REFRESHES + 1):
            token: dict[str, str] = await self._token(renew=refreshes > 0)
            body = _Multipart(resource, data, content_type, silence)
            try:
                async with self._session.post(self._url, data=body, headers=token, allow_redirects=False) as response:
                    status, said = response.status, await response.read()
            except TimeoutError as error:
                raise ConnectionError(f"no answer from {self._place} for {silence:.0f} s") from error
            except aiohttp.ClientConnectorError as error:
                raise ConnectionError(f"no connection to {self._place}: {error.os_error.strerror or error.os_error}") from error
            except (aiohttp.ClientError, OSError) as error:
                raise ConnectionError(f"the connection to {self._place} broke off: {type(error).__name__}") from error
            if status in _CREATED:
                return said
            if status != 401 or not token:
                break
        raise from_http_status(status, _message(said))

    async def _token(self, *, renew: bool) -> dict[str, str]:
        """The headers that say who we are; none on this machine. A token that ran out is renewed in a thread, by one for all."""
        from google.auth.credentials import AnonymousCredentials

        headers: dict[str, str] = {}
        credentials: Any = self._credentials
        if isinstance(credentials, AnonymousCredentials):
            return headers
        if renew or not credentials.valid:
            stale = credentials.token
            async with self._refreshing:
                if credentials.token == stale or not credentials.valid:
                    await asyncio.to_thread(_renew, credentials)
        credentials.apply(headers)
        return headers


class _Multipart(aiohttp.payload.Payload):
    """The description of an object and its bytes as one body, sent in pieces: without a copy, and never silent for longer than allowed."""

    _autoclose = True

    def __init__(self, resource: bytes, data: bytes, content_type: str, silence: float) -> None:
        boundary = os.urandom(16).hex()
        self._head = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n".encode()
            + resource
            + f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode()
        )
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._silence = silence
        super().__init__(data, content_type=f"multipart/related; boundary={boundary}")
        self._size = len(self._head) + len(data) + len(self._tail)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        return b"".join((self._head, self._value, self._tail)).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it."""
        if len(self._value) <= UNWATCHED_BYTES:
            await writer.write(b"".join((self._head, self._value, self._tail)))
            return
        await writer.write(self._head)
        data = memoryview(self._value)
        for start in range(0, len(data), PIECE_BYTES):
            await self._pass_on(writer, data[start : start + PIECE_BYTES])
        await writer.write(self._tail)

    async def _pass_on(self, writer: AbstractStreamWriter, piece: memoryview) -> None:
        # aiohttp begins to time the answer when the body is out; a bucket that takes no more of it would hold us for ever.
        try:
            async with asyncio.timeout(self._silence):
                await writer.write(piece)
        except TimeoutError:
            transport = writer.transport if isinstance(writer, StreamWriter) else None
            if transport is not None:
                transport.abort()  # closing would wait until the rest is sent
            raise


def _proxy_to(url: str) -> str | None:
    """The proxy that the environment names, as for the official client. Asked once: aiohttp would ask for each request, in a thread."""
    host = urlsplit(url).hostname
    if host is None or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(urlsplit(url).scheme, proxies.get("all"))


def _read(said: bytes) -> _Resource | None:
    """The object in an answer, or None if it is something else."""
    try:
        return convert(msgspec.json.decode(said), _Resource, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _renew(credentials: Any) -> None:
    from google.auth.transport.requests import Request

    credentials.refresh(Request())


def _message(said: bytes) -> str:
    """What the bucket said, out of its JSON where it is one."""
    try:
        return str(json.loads(said)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return said.decode("utf-8", "replace")
