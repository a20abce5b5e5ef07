"""The Tardis HTTP API as the engine uses it: what a venue offers, and one dataset file at a time.

A fetch ends in a body that is as long as it was announced, or in an outcome with a reason. Retries: capped exponential backoff
with full jitter, `Retry-After` honoured, a deadline per file. A body that breaks off is resumed by range when the source's
validator (ETag) is the same. Nothing here looks inside the gzip: that is the conversion's work.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from urllib.parse import quote

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from engine import __version__
from engine.errors import NotPermitted, SourceError, UsageError
from engine.model import File, Outcome
from engine.spool import Spool
from engine.throttle import Throttle

API_URL = "https://api.tardis.dev/v1"
DATASETS_URL = "https://datasets.tardis.dev/v1"

CHUNK_BYTES = 256 << 10
ATTEMPTS = 8
"""Tries of one file before it counts as failed; 429 answers do not count, the deadline bounds them."""
BACKOFF_CAP_SECONDS = 30.0
SILENCE_SECONDS = 60.0
"""Without a byte for so long a transfer counts as stalled."""
PAUSE_SECONDS = 60.0
"""How long the run waits when the source says that the key is in use elsewhere, or the allowance is spent."""
PAUSE_SIGNS = ("ip address", "in use", "another ip", "concurrent", "allowance", "transfer limit", "quota")
"""Words of a 403 that speak of the address or the allowance: the run waits. The vendor does not document its texts."""
_FREE_DAY = re.compile(r"(?P<month>/\d{4}/\d{2})/\d{2}/")
UNKNOWN_REFUSALS = 3
"""So many unexplained 403 answers in a row stop the run."""


class Reason(StrEnum):
    """Why a fetch ended without a usable body."""

    NOT_FOUND = "http_404"
    BAD_REQUEST = "http_400"
    NOT_ENTITLED = "http_403"
    SERVER_ERROR = "http_5xx"
    THROTTLED = "http_429"
    SHORT_BODY = "short_body"
    STALL = "stall"
    CONNECTION = "connection"
    DEADLINE = "deadline"
    UNEXPECTED_STATUS = "unexpected_status"


@dataclass(frozen=True, slots=True)
class Fetched:
    """How a fetch ended. `outcome` is None when the spool holds a whole body."""

    outcome: Outcome | None
    reason: str = ""
    detail: str = ""
    status: int = 0
    requests: int = 0
    length: int = 0


class _Transient(Exception):
    """Worth another try."""

    def __init__(self, reason: Reason, detail: str, status: int = 0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.status = status


class _Throttled(_Transient):
    """The source said 429: try again after the pause, without counting a try."""


def dataset_path(file: File) -> str:
    """The path of a file below the datasets URL: upper case, `/` and `:` become `-` (Tardis docs, "Downloadable CSV files")."""
    day: date = file.cell.day
    symbol = quote(file.symbol.replace("/", "-").replace(":", "-").upper(), safe="")
    return f"{file.cell.venue}/{file.cell.data_type}/{day:%Y/%m/%d}/{symbol}.csv.gz"


class Source:
    """The vendor's two hosts behind one client. Use as an async context manager."""

    def __init__(
        self,
        *,
        api_url: str = API_URL,
        datasets_url: str = DATASETS_URL,
        api_key: str = "",
        connections: int = 50,
        throttle: Throttle | None = None,
        attempts: int = ATTEMPTS,
        backoff_cap: float = BACKOFF_CAP_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        on_retry: Callable[[str, str], None] | None = None,
    ) -> None:
        """`on_retry(url path, reason)` hears of each retry, for logs and counters."""
        self._api_url = api_url.rstrip("/")
        self._datasets_url = datasets_url.rstrip("/")
        self._api_key = api_key
        self._connections = connections
        self._attempts = attempts
        self._backoff_cap = backoff_cap
        self._silence_seconds = silence_seconds
        self._on_retry = on_retry or (lambda _path, _reason: None)
        self._session: aiohttp.ClientSession | None = None
        self._unknown_refusals = 0
        self.throttle = throttle or Throttle()

    async def __aenter__(self) -> Source:
        headers = {"User-Agent": f"tickdeck/{__version__}", "Accept-Encoding": "gzip"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=self._connections, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=self._silence_seconds),
        )
        # aiohttp would silently send an idempotent request again; there is one retry layer, and it is ours.
        self._session._retry_connection = False
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def exchange(self, venue: str) -> bytes:
        """The answer of `GET /v1/exchanges/{venue}`, decompressed, verbatim.

        Raises:
            UsageError: if the source knows no such venue.
            SourceError, NotPermitted: as named.
        """
        spool = Spool(memory_bytes=64 << 20)
        try:
            fetched = await self._get(f"{self._api_url}/exchanges/{quote(venue, safe='')}", spool, deadline=120.0)
            if fetched.outcome is Outcome.NOT_FOUND:
                raise UsageError(f"the source knows no venue {venue!r}", hint="list them: engine instruments --list-venues")
            if fetched.outcome is not None:
                raise SourceError(f"the source did not say what {venue} offers: {fetched.detail}", hint="run again later")
            return _decompressed(spool.read_all())
        finally:
            spool.close()

    async def exchanges(self) -> bytes:
        """The answer of `GET /v1/exchanges`, decompressed, verbatim."""
        spool = Spool(memory_bytes=64 << 20)
        try:
            fetched = await self._get(f"{self._api_url}/exchanges", spool, deadline=120.0)
            if fetched.outcome is not None:
                raise SourceError(f"the source did not list its venues: {fetched.detail}", hint="run again later")
            return _decompressed(spool.read_all())
        finally:
            spool.close()

    async def fetch(self, file: File, spool: Spool, *, deadline: float, on_bytes: Callable[[int], None] = lambda _count: None) -> Fetched:
        """Fetch one dataset file into `spool`, within `deadline` seconds, retries and pauses included.

        `on_bytes` hears how many bytes came, as they come.

        Raises:
            NotPermitted: on 401, or after several unexplained refusals in a row: the run must stop.
        """
        return await self._get(f"{self._datasets_url}/{dataset_path(file)}", spool, deadline=deadline, on_bytes=on_bytes)

    async def _get(self, url: str, spool: Spool, *, deadline: float, on_bytes: Callable[[int], None] = lambda _count: None) -> Fetched:
        state = _Transfer(url, spool, on_bytes)
        try:
            async with asyncio.timeout(deadline):
                return await self._try_until_done(state)
        except TimeoutError:
            last = f"; last: {state.last_reason}" if state.last_reason else ""
            detail = f"no complete answer within {deadline:.0f} s{last}"
            return Fetched(Outcome.FAILED, Reason.DEADLINE, detail, state.status, state.requests)

    async def _try_until_done(self, state: _Transfer) -> Fetched:
        while True:
            retrying = AsyncRetrying(
                retry=retry_if_exception(lambda error: isinstance(error, _Transient) and not isinstance(error, _Throttled)),
                wait=wait_random_exponential(multiplier=0.5, max=self._backoff_cap),
                stop=stop_after_attempt(self._attempts - state.failures),
                before_sleep=lambda call: self._note(state, call),
                reraise=True,
            )
            try:
                return await retrying(self._try_once, state)
            except _Throttled as error:
                state.last_reason = error.reason
                self._on_retry(state.url, error.reason)
            except _Transient as error:
                return Fetched(Outcome.FAILED, error.reason, str(error), error.status, state.requests)

    def _note(self, state: _Transfer, call: RetryCallState) -> None:
        error = call.outcome.exception() if call.outcome else None
        if isinstance(error, _Transient):
            state.failures += 1
            state.last_reason = error.reason
            self._on_retry(state.url, error.reason)

    async def _try_once(self, state: _Transfer) -> Fetched:
        assert self._session is not None, "use `async with Source(...)`"
        await self.throttle.wait()
        headers = {}
        if state.spool.length and state.validator:
            headers = {"Range": f"bytes={state.spool.length}-", "If-Range": state.validator}
        else:
            state.spool.restart()
        state.requests += 1
        try:
            async with self._session.get(state.url, headers=headers, allow_redirects=True) as response:
                state.status = response.status
                if response.status in (200, 206):
                    self._unknown_refusals = 0
                    return await self._receive(state, response)
                body = (await response.content.read(4096)).decode("utf-8", "replace")
                return await self._refused(state, response, body)
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise _Transient(Reason.STALL, f"no byte for {self._silence_seconds:.0f} s", state.status) from error
        except aiohttp.ClientPayloadError as error:
            raise _Transient(Reason.SHORT_BODY, f"the body broke off after {state.spool.length} bytes", state.status) from error
        except (aiohttp.ClientError, ConnectionError, OSError) as error:
            raise _Transient(Reason.CONNECTION, f"{type(error).__name__}: {error}", state.status) from error

    async def _receive(self, state: _Transfer, response: aiohttp.ClientResponse) -> Fetched:
        if response.status == 206:
            start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if start is None or int(start[1]) != state.spool.length:
                state.validator = ""
                raise _Transient(Reason.SHORT_BODY, "the source resumed at another byte than asked for", 206)
        else:
            state.spool.restart()
            etag = response.headers.get("ETag", "")
            state.validator = "" if etag.startswith("W/") else etag
        announced = response.content_length
        expected = None if announced is None else state.spool.length + announced
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            state.spool.write(chunk)
            state.on_bytes(len(chunk))
        if expected is not None and state.spool.length != expected:
            raise _Transient(Reason.SHORT_BODY, f"{state.spool.length} of {expected} bytes came", response.status)
        return Fetched(None, status=response.status, requests=state.requests, length=state.spool.length)

    async def _refused(self, state: _Transfer, response: aiohttp.ClientResponse, body: str) -> Fetched:
        status, said = response.status, " ".join(body.split())[:200]
        if status == 401:
            raise NotPermitted(f"the source refuses the key (401): {said}", hint="check TARDIS_API_KEY")
        if status == 429:
            self.throttle.slow_down(_retry_after(response, default=5.0), "source 429")
            raise _Throttled(Reason.THROTTLED, said, status)
        if status == 403:
            return await self._forbidden(state, said)
        if status == 404:
            return Fetched(Outcome.NOT_FOUND, Reason.NOT_FOUND, said, status, state.requests)
        if status >= 500 or status == 408:
            wait = _retry_after(response, default=0.0)
            if wait:
                self.throttle.slow_down(wait, f"source {status}")
            raise _Transient(Reason.SERVER_ERROR, f"HTTP {status}: {said}", status)
        reason = Reason.BAD_REQUEST if status == 400 else Reason.UNEXPECTED_STATUS
        return Fetched(Outcome.FAILED, reason, f"HTTP {status}: {said}", status, state.requests)

    async def _forbidden(self, state: _Transfer, said: str) -> Fetched:
        words = said.lower()
        if any(sign in words for sign in PAUSE_SIGNS):
            self.throttle.slow_down(PAUSE_SECONDS, f"source 403: {said[:80]}")
            raise _Throttled(Reason.NOT_ENTITLED, said, 403)
        if await self._serves_free_day(state):
            self._unknown_refusals = 0
            return Fetched(Outcome.NOT_ENTITLED, Reason.NOT_ENTITLED, said, 403, state.requests)
        self._unknown_refusals += 1
        if self._unknown_refusals >= UNKNOWN_REFUSALS:
            raise NotPermitted(f"the source refused {UNKNOWN_REFUSALS} files in a row (403): {said}", hint="ask the vendor")
        return Fetched(Outcome.NOT_ENTITLED, Reason.NOT_ENTITLED, said, 403, state.requests)

    async def _serves_free_day(self, state: _Transfer) -> bool:
        """Whether the first day of the file's month, free for everybody, is served: then only this file is refused."""
        free = _FREE_DAY.sub(r"\g<month>/01/", state.url)
        if free == state.url or self._session is None:
            return False
        state.requests += 1
        try:
            async with self._session.get(free, headers={"Range": "bytes=0-0"}) as response:
                return response.status in (200, 206)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


@dataclass(slots=True)
class _Transfer:
    """One file on its way, over all its tries."""

    url: str
    spool: Spool
    on_bytes: Callable[[int], None]
    validator: str = ""
    requests: int = 0
    failures: int = 0
    status: int = 0
    last_reason: str = ""


def _retry_after(response: aiohttp.ClientResponse, *, default: float) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), 3600.0) if re.fullmatch(r"\d+(\.\d+)?", text) else default


def _decompressed(body: bytes) -> bytes:
    import gzip

    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
