"""The Tardis HTTP API as the engine uses it: what a venue offers, and one dataset file at a time.

A fetch ends in a body that is as long as it was announced, or in an outcome with a reason. Retries: capped exponential backoff
with full jitter, `Retry-After` honoured, a deadline per file. A body that breaks off is resumed by range when the source's
validator (ETag) is the same. A body whose end looks like a cut (neither a length nor chunks) is not taken: a gzip cut at the border
of a member is sound in itself. Nothing here looks inside the gzip: that is the conversion's work.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import date
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
from msgspec import structs

from engine import __version__
from engine.clock import utc_now
from engine.errors import NotPermitted, SourceError, UsageError
from engine.loopback import OutsideConnectionError
from engine.model import File, Outcome, require_aware
from engine.spool import Spool
from engine.throttle import Throttle

if TYPE_CHECKING:
    from tenacity import RetryCallState

API_URL = "https://api.tardis.dev/v1"
DATASETS_URL = "https://datasets.tardis.dev/v1"

CHUNK_BYTES = 256 << 10
UNKNOWN_LENGTH_STEP = 4 << 20
"""A body that does not say how long it is is let in by so many bytes at a time."""

Admit = Callable[[int], Awaitable[bool]]
"""Asked before a body comes, with its length: whether it may."""

ATTEMPTS = 8
"""Tries of one file before it counts as failed; 429 answers do not count, the deadline bounds them."""
BACKOFF_CAP_SECONDS = 30.0
SILENCE_SECONDS = 60.0
"""Without a byte for so long a transfer counts as stalled."""
SLOW_DOWN_SECONDS = 5.0
"""How long everybody waits after a 429 that does not say how long."""
LONGEST_WAIT_SECONDS = 3600.0
"""The most of a `Retry-After` that is believed."""
PAUSE_SECONDS = 60.0
"""How long the run waits when the source says that the key is in use elsewhere, or the allowance is spent, and not for how long."""
PAUSE_LIMIT_SECONDS = 25 * 3600.0
"""Pauses without an answer between them stop the run when they add up to this: the longest wait for a new day's allowance, and an hour."""
PAUSE_SIGNS = ("ip address", "in use", "another ip", "concurrent", "allowance", "transfer limit", "quota")
"""Words of a 403 that speak of the address or the allowance: the run waits. The vendor does not document its texts."""
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
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
    UNKNOWN_LENGTH = "unknown_length"
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
    """All that were sent: tries, redirects, and the probe of a free day."""
    retries: int = 0
    """How often the file was asked for again."""
    length: int = 0


class Postponed(Exception):
    """The caller did not let the body come (see `Source.fetch`): nothing of it was read, and the connection is closed."""

    def __init__(self, count: int, requests: int) -> None:
        super().__init__(f"{count} bytes were not let in")
        self.count = count
        """Bytes that would have come."""
        self.requests = requests


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
        on_pause: Callable[[str, float], None] | None = None,
    ) -> None:
        """`on_retry(url, reason)` hears of each retry, `on_pause(reason, seconds)` of each pause of the whole run."""
        self._api_url = api_url.rstrip("/")
        self._datasets_url = datasets_url.rstrip("/")
        self._api_key = api_key
        self._connections = connections
        self._attempts = attempts
        self._backoff_cap = backoff_cap
        self._silence_seconds = silence_seconds
        self._on_retry = on_retry or (lambda _url, _reason: None)
        self._on_pause = on_pause or (lambda _reason, _seconds: None)
        self._session: aiohttp.ClientSession | None = None
        self._unknown_refusals = 0
        self._paused_seconds = 0.0
        self._stop: NotPermitted | None = None
        self.throttle = throttle or Throttle()

    async def __aenter__(self) -> Source:
        headers = {"User-Agent": f"tickdeck/{__version__}", "Accept-Encoding": "gzip"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=self._connections, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
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

    async def instruments(self, venue: str) -> bytes | None:
        """The answer of `GET /v1/instruments/{venue}`, decompressed, verbatim; None if the key does not open it (401, 403, 404).

        Raises:
            SourceError: if the source cannot answer now.
        """
        spool = Spool(memory_bytes=64 << 20)
        try:
            fetched = await self._get(f"{self._api_url}/instruments/{quote(venue, safe='')}", spool, deadline=300.0)
            if fetched.outcome in (Outcome.NOT_FOUND, Outcome.NOT_ENTITLED):
                return None
            if fetched.outcome is not None:
                raise SourceError(f"the source did not define {venue}'s instruments: {fetched.detail}", hint="run again later")
            return _decompressed(spool.read_all())
        except NotPermitted:
            return None
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

    async def fetch(
        self,
        file: File,
        spool: Spool,
        *,
        deadline: float,
        on_bytes: Callable[[int], None] = lambda _count: None,
        admit: Admit | None = None,
    ) -> Fetched:
        """Fetch one dataset file into `spool`, within `deadline` seconds, retries included; a pause of the run does not count.

        Args:
            file: what to fetch.
            spool: where it goes; empty at the start.
            deadline: seconds.
            on_bytes: hears how many bytes came, as they come.
            admit: asked with the length of each body before any of it is read.

        Raises:
            Postponed: if `admit` said no.
            NotPermitted: on 401, after several unexplained refusals in a row, or after a day of pauses: the run must stop. Every
                later fetch raises it too, and asks nothing.
        """
        return await self._get(self._url_of(file), spool, deadline=deadline, on_bytes=on_bytes, file=file, admit=admit)

    def _url_of(self, file: File) -> str:
        return f"{self._datasets_url}/{dataset_path(file)}"

    async def _get(
        self,
        url: str,
        spool: Spool,
        *,
        deadline: float,
        on_bytes: Callable[[int], None] = lambda _count: None,
        file: File | None = None,
        admit: Admit | None = None,
    ) -> Fetched:
        state = _Transfer(url, spool, on_bytes, file, admit)
        try:
            async with asyncio.timeout(deadline) as state.limit:
                fetched = await self._try_until_done(state)
        except TimeoutError:
            last = f"; last: {state.last_reason}" if state.last_reason else ""
            detail = f"no complete answer within {deadline:.0f} s{last}"
            fetched = Fetched(Outcome.FAILED, Reason.DEADLINE, detail, state.status)
        except NotPermitted as error:
            if file is not None:
                self._stop = error
            raise
        return replace(fetched, requests=state.requests, retries=max(0, state.tries - 1))

    async def _try_until_done(self, state: _Transfer) -> Fetched:
        # Nearly every file comes at the first try, and making ready for others costs as much as asking: it waits for a failure.
        failed: list[_Transient] = []
        try:
            return await self._try_once(state)
        except _Transient as error:
            failed.append(error)

        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

        async def try_again() -> Fetched:
            if failed:
                raise failed.pop()
            return await self._try_once(state)

        while True:
            retrying = AsyncRetrying(
                retry=retry_if_exception(lambda error: isinstance(error, _Transient) and not isinstance(error, _Throttled)),
                wait=wait_random_exponential(multiplier=0.5, max=self._backoff_cap),
                stop=stop_after_attempt(self._attempts - state.failures),
                before_sleep=lambda call: self._note(state, call),
                reraise=True,
            )
            try:
                return await retrying(try_again)
            except _Throttled as error:
                state.last_reason = error.reason
                self._on_retry(state.url, error.reason)
            except _Transient as error:
                return Fetched(Outcome.FAILED, error.reason, str(error), error.status)

    def _note(self, state: _Transfer, call: RetryCallState) -> None:
        error = call.outcome.exception() if call.outcome else None
        if isinstance(error, _Transient):
            state.failures += 1
            state.last_reason = error.reason
            self._on_retry(state.url, error.reason)

    async def _try_once(self, state: _Transfer) -> Fetched:
        assert self._session is not None, "use `async with Source(...)`"
        await self.throttle.wait(state.postpone)
        if self._stop is not None and state.file is not None:
            raise NotPermitted(str(self._stop), hint=self._stop.hint)
        headers = {}
        if state.spool.length and state.validator:
            headers = {"Range": f"bytes={state.spool.length}-", "If-Range": state.validator}
        else:
            state.spool.restart()
        state.requests += 1
        state.tries += 1
        try:
            async with self._session.get(state.url, headers=headers, allow_redirects=True) as response:
                state.status = response.status
                state.requests += len(response.history)
                if response.status in (200, 206):
                    self._unknown_refusals = 0
                    self._paused_seconds = 0.0
                    return await self._receive(state, response)
                body = (await response.content.read(4096)).decode("utf-8", "replace")
                return await self._refused(state, response, body)
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise _Transient(Reason.STALL, f"no byte for {self._silence_seconds:.0f} s", state.status) from error
        except aiohttp.TooManyRedirects as error:
            state.requests += len(error.history) - 1
            return Fetched(Outcome.FAILED, Reason.UNEXPECTED_STATUS, f"after {len(error.history)} redirects no answer", state.status)
        except aiohttp.ClientPayloadError as error:
            raise _Transient(Reason.SHORT_BODY, f"the body broke off after {state.spool.length} bytes", state.status) from error
        except (aiohttp.ClientError, ConnectionError, OSError) as error:
            if isinstance(error.__cause__, OutsideConnectionError):
                return Fetched(Outcome.FAILED, Reason.CONNECTION, str(error.__cause__), state.status)
            # The client's text may hold what the source sent, all of it.
            detail = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise _Transient(Reason.CONNECTION, detail, state.status) from error

    async def _receive(self, state: _Transfer, response: aiohttp.ClientResponse) -> Fetched:
        expected = _accept_part(state, response) if response.status == 206 else _accept_whole(state, response)
        await _let_in(state, response, UNKNOWN_LENGTH_STEP if expected is None else expected - state.spool.length)
        admitted = state.spool.length + UNKNOWN_LENGTH_STEP
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            state.spool.write(chunk)
            state.on_bytes(len(chunk))
            if expected is None and state.spool.length + CHUNK_BYTES > admitted:
                await _let_in(state, response, UNKNOWN_LENGTH_STEP)
                admitted = state.spool.length + UNKNOWN_LENGTH_STEP
        if expected is not None and state.spool.length != expected:
            raise _Transient(Reason.SHORT_BODY, f"{state.spool.length} of {expected} bytes came", response.status)
        return Fetched(None, status=response.status, length=state.spool.length)

    async def _refused(self, state: _Transfer, response: aiohttp.ClientResponse, body: str) -> Fetched:
        status, said = response.status, _message(body)
        if status == 401:
            if not self._api_key:
                raise NotPermitted(f"the source wants a key (401): {said}", hint="set TARDIS_API_KEY, or ask for first days only")
            raise NotPermitted(f"the source refuses the key (401): {said}", hint="check TARDIS_API_KEY")
        if status == 429:
            self.throttle.slow_down(_retry_after(response) or SLOW_DOWN_SECONDS, "source 429")
            raise _Throttled(Reason.THROTTLED, said, status)
        if status == 403:
            return await self._forbidden(state, response, said)
        if status == 404:
            return Fetched(Outcome.NOT_FOUND, Reason.NOT_FOUND, said, status)
        if status == 416 and state.validator:
            state.validator = ""
            raise _Transient(Reason.SHORT_BODY, "the source refuses to resume: the file is another one", status)
        if status >= 500 or status == 408:
            wait = _retry_after(response)
            if wait:
                self.throttle.slow_down(wait, f"source {status}")
            raise _Transient(Reason.SERVER_ERROR, f"HTTP {status}: {said}", status)
        reason = Reason.BAD_REQUEST if status == 400 else Reason.UNEXPECTED_STATUS
        return Fetched(Outcome.FAILED, reason, f"HTTP {status}: {said}", status)

    async def _forbidden(self, state: _Transfer, response: aiohttp.ClientResponse, said: str) -> Fetched:
        words = said.lower()
        if any(sign in words for sign in PAUSE_SIGNS):
            self._pause(_retry_after(response) or PAUSE_SECONDS, said)
            raise _Throttled(Reason.NOT_ENTITLED, said, 403)
        refused = Fetched(Outcome.NOT_ENTITLED, Reason.NOT_ENTITLED, said, 403)
        if state.file is None:
            return refused
        if await self._serves_free_day(state, state.file):
            self._unknown_refusals = 0
            return refused
        self._unknown_refusals += 1
        if self._unknown_refusals >= UNKNOWN_REFUSALS:
            raise NotPermitted(f"the source refused {UNKNOWN_REFUSALS} files in a row (403): {said}", hint="ask the vendor")
        return refused

    def _pause(self, seconds: float, said: str) -> None:
        """Hold the whole run; what was asked at the same time and is refused too belongs to the same pause."""
        reason = f"source 403: {said[:80]}"
        if not self.throttle.pause(seconds, reason):
            return
        if self._paused_seconds >= PAUSE_LIMIT_SECONDS:
            raise NotPermitted(
                f"the source has refused for a day (403): {said}", hint="free the key or raise the allowance, then run again"
            )
        self._paused_seconds += seconds
        self._on_pause(reason, seconds)

    async def _serves_free_day(self, state: _Transfer, file: File) -> bool:
        """Whether the first day of the file's month, free for everybody, is answered: then only this file is refused.

        A 404 is an answer too: the symbol was not there yet on that day, and we are not shut out.
        """
        free = File(structs.replace(file.cell, day=file.cell.day.replace(day=1)), file.symbol)
        if free == file or self._session is None:
            return False
        state.requests += 1
        try:
            async with self._session.get(self._url_of(free), headers={"Range": "bytes=0-0"}) as response:
                return response.status in (200, 206, 404)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


@dataclass(slots=True)
class _Transfer:
    """One file on its way, over all its tries."""

    url: str
    spool: Spool
    on_bytes: Callable[[int], None]
    file: File | None = None
    """None for what is no dataset file: then a refusal concerns only this request."""
    admit: Admit | None = None
    limit: asyncio.Timeout | None = None
    validator: str = ""
    requests: int = 0
    tries: int = 0
    failures: int = 0
    status: int = 0
    last_reason: str = ""

    def postpone(self, seconds: float) -> None:
        """Move the deadline: the run pauses for so long."""
        if self.limit is not None and (due := self.limit.when()) is not None:
            self.limit.reschedule(due + seconds)


async def _let_in(state: _Transfer, response: aiohttp.ClientResponse, count: int) -> None:
    if state.admit is not None and not await state.admit(count):
        response.close()
        raise Postponed(count, state.requests)


def _accept_whole(state: _Transfer, response: aiohttp.ClientResponse) -> int | None:
    """Prepare for a 200; returns how long the body must be, or None where its chunks tell its end."""
    state.spool.restart()
    etag = response.headers.get("ETag", "")
    state.validator = "" if etag.startswith("W/") else etag
    if response.content_length is None and "chunked" not in response.headers.get("Transfer-Encoding", "").lower():
        raise _Transient(
            Reason.UNKNOWN_LENGTH, "the source does not say how long the body is, so a cut could not be told from its end", 200
        )
    return response.content_length


def _accept_part(state: _Transfer, response: aiohttp.ClientResponse) -> int:
    """Prepare for a 206; returns how long the whole must be."""
    found = _RANGE.match(response.headers.get("Content-Range", ""))
    etag = response.headers.get("ETag", state.validator)
    if found is None or int(found[1]) != state.spool.length or (state.spool.length and etag != state.validator):
        state.validator = ""
        raise _Transient(Reason.SHORT_BODY, "the source resumed with other bytes than asked for", 206)
    return int(found[2])


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """Seconds that the answer asks us to wait, as a number or as a date (RFC 9110, 10.2.3); 0 if it does not."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return min(float(text), LONGEST_WAIT_SECONDS)
    try:
        until = require_aware(parsedate_to_datetime(text))
    except (ValueError, UsageError):
        return 0.0
    return min(max(0.0, (until - utc_now()).total_seconds()), LONGEST_WAIT_SECONDS)


def _message(body: str) -> str:
    """What a refusal says: the message of the vendor's JSON, else the text, on one line."""
    try:
        said = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        said = body
    return " ".join(str(said).split())[:200]


def _decompressed(body: bytes) -> bytes:
    import gzip

    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
