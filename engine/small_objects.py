"""Small objects of one bucket, each created by one request on the event loop.

Separate from `engine.store` because thousands of small files are committed: no thread, and one multipart request over connections of
the event loop. Nothing else differs: the retries and what an error becomes are those of `Store`, so are credentials and endpoint; every
object is created once (`ifGenerationMatch=0`) and carries the CRC-32C of its bytes, which is compared with what the bucket says that it
stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_writer import StreamWriter
from yarl import URL

from engine import store as limits
from engine.storage_service import REFRESHES, USER_AGENT, Answer, Multipart, refusal, upload_path, wrap
from engine.store import SMALL_BYTES, ObjectInfo, Store, describe


class SmallObjects:
    """Creates objects in the bucket of a store. Use as an async context manager, within one event loop."""

    def __init__(self, store: Store, *, connections: int) -> None:
        """`connections` at most are open at once; what is more waits."""
        self.store = store
        self._service = store.service
        self._connections = connections
        self._url = URL(f"{self._service.base}{upload_path(store.bucket)}?uploadType=multipart&ifGenerationMatch=0", encoded=True)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> SmallObjects:
        connect, silence = limits.CALL_TIMEOUT
        self._session = aiohttp.ClientSession(
            headers={"User-Agent": USER_AGENT},
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=self._connections, ttl_dns_cache=300, ssl=self._service.trust or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=silence),
            proxy=self._service.proxy,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def takes(self, size: int) -> bool:
        """Whether an object of so many bytes is for this path; one behind a client certificate or a proxy of another kind never is."""
        return size <= SMALL_BYTES and self._service.is_plain

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
        around = wrap(describe(name, content_type, crc32c, metadata), content_type)
        with self.store.errors(name):
            answer = await self.store.retries.awaiting(lambda: self._send(around, data))
            return self.store.read_written(name, answer, crc32c=crc32c, if_generation=0)

    async def _send(self, around: Multipart, data: bytes) -> Answer:
        """One try: an answer of 2xx, or 412.

        Raises:
            GoogleAPICallError, ConnectionError, GoogleAuthError: as the official client, so that one rule says what is tried again.
        """
        assert self._session is not None, "use `async with SmallObjects(...)`"
        place, silence, refused = self._service.place, limits.CALL_TIMEOUT[1], ""
        for _ in range(REFRESHES + 1):
            token = await self._identify(refused)
            body = _Body(around.pieces(data), around.content_type, silence)
            try:
                async with self._session.post(self._url, data=body, headers=token, allow_redirects=False) as response:
                    answer = Answer(response.status, response.headers, await response.read())
            except TimeoutError as error:
                raise ConnectionError(f"no answer from {place} for {silence:.0f} s") from error
            except aiohttp.ClientConnectorError as error:
                raise ConnectionError(f"no connection to {place}: {error.os_error.strerror or error.os_error}") from error
            except (aiohttp.ClientError, OSError) as error:
                raise ConnectionError(f"the connection to {place} broke off: {type(error).__name__}") from error
            refused = token.get("authorization", "")
            if answer.status != 401 or not refused:
                break
        if answer.is_done or answer.status == 412:
            return answer
        raise refusal(answer)

    async def _identify(self, refused: str) -> Mapping[str, str]:
        """The headers that say who we are. To renew a token is not for the event loop."""
        if self._service.must_renew(refused):
            return await asyncio.to_thread(self._service.identify, refused)
        return self._service.identify(refused)


class _Body(aiohttp.payload.Payload):
    """Pieces that are sent without a copy, and never silent for longer than allowed."""

    _autoclose = True

    def __init__(self, pieces: Sequence[bytes | memoryview], content_type: str, silence: float) -> None:
        self._silence = silence
        super().__init__(pieces, content_type=content_type)
        self._size = sum(map(len, pieces))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it. What is one piece is not watched: aiohttp waits for the bucket only once twice as much is on the way."""
        if len(self._value) == 1:
            await writer.write(self._value[0])
            return
        for piece in self._value:
            await self._pass_on(writer, piece)

    async def _pass_on(self, writer: AbstractStreamWriter, piece: bytes | memoryview) -> None:
        # aiohttp begins to time the answer when the body is out; a bucket that takes no more of it would hold us for ever.
        try:
            async with asyncio.timeout(self._silence):
                await writer.write(piece)
        except TimeoutError:
            transport = writer.transport if isinstance(writer, StreamWriter) else None
            if transport is not None:
                transport.abort()  # closing would wait until the rest is sent
            raise
