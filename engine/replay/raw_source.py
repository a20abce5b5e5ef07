"""The source's raw messages, hour by hour, through the vendor's own client (the package tardis-client).

The client fetches one-minute slices, 60 at once, tries each up to 5 times and waits 61 s on a 429; that is the only retry layer. This
module gives it what it lacks:

- It logs the key at DEBUG. Here no record of it reaches a handler.
- It keeps a cache that all its users share, for ever, and takes a slice that is there for a good one. Here it has a new folder for
  each hour, which is removed with the hour.
- Its fetching goes on when nobody reads any more, and it swallows a cancellation. Both end here, at once.
- It tries refusals again that no repetition can change (403, 404), for half a minute, in silence. Its log tells of each failed try;
  we listen there, and end the hour when the answer is final.
- It wants the API's address without `/v1`, dates without a zone (a `+` in its URL is not encoded), and sorts the lists it is given.
- It takes an empty body for an empty minute.

With `decode_response=False` it hands out time and message as the bytes of the slice, so no digit is lost on the way.
"""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import aiohttp

from engine.errors import ConfigurationError, EngineError, ExitCode, NotPermitted, SourceError, UsageError
from engine.loopback import OutsideConnectionError
from engine.model import require_aware
from engine.replay.raw_feed import HOUR, DamagedHour, FeedFile, FeedWriter, Selection
from engine.source import PAUSE_SIGNS

MINUTES = 60
"""Slices, and so requests, of an hour."""

SLICE_SECONDS = 300.0
"""How long one slice may take; a minute of all of a busy venue is tens of MB."""

_BATCH_BYTES = 256 << 10
_SMALLEST_GZIP = 20
_CLIENT_LOGGER = "tardis_client.tardis_client"
_DOWNLOAD_LOGGER = "tardis_client.data_downloader"
_FAILED_TRY = "_fetch_and_cache_slice error"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

Hear = Callable[[str], None]


class FeedNotReady(EngineError):
    """The source does not have these minutes yet."""

    exit_code = ExitCode.TEMPORARY


class RawSource:
    """Fetches hours of raw messages. One at a time."""

    def __init__(
        self,
        *,
        api_url: str,
        api_key: str,
        folder: Path,
        deadline: float,
        on_retry: Hear = lambda _text: None,
        on_batch: Hear = lambda _text: None,
    ) -> None:
        """
        Args:
            api_url: base of the API, ending in `/v1`.
            api_key: "" where there is none: then only first days of months are served.
            folder: for temporary files; the caller removes it.
            deadline: seconds for one hour of messages, retries included.
            on_retry: hears why a slice is tried again.
            on_batch: hears the local time of the newest message, as lines come.

        Raises:
            ConfigurationError: if the address does not end in `/v1`.
        """
        self._endpoint = endpoint_of(api_url)
        self._api_key, self._folder, self._deadline = api_key, folder, deadline
        self._on_retry, self._on_batch = on_retry, on_batch

    async def fetch(self, venue: str, selection: Selection, hour: datetime) -> FeedFile:
        """Fetch all messages whose local time lies in the UTC hour that begins at `hour`.

        Cancelling it ends all of its requests.

        Raises:
            NotPermitted: the source refuses the key, or the data is not in its plan.
            UsageError: the source does not know the venue, a channel or a symbol.
            FeedNotReady: the hour is too young.
            DamagedHour: what came is not whole.
            SourceError: no usable answer within the client's tries or the deadline.
            EngineError: the disk is full.
        """
        require_aware(hour)
        cache = self._folder / f"cache-{hour:%Y%m%dT%H}"
        path = self._folder / f"{hour:%Y%m%dT%H}.ndjson.gz"
        final: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        with _listening(final, self._on_retry):
            work = asyncio.create_task(self._write(venue, selection, hour, cache, path))
            try:
                either: tuple[asyncio.Future[Any], ...] = (work, final)
                await asyncio.wait(either, timeout=self._deadline, return_when=asyncio.FIRST_COMPLETED)
                if final.done():
                    raise final.result()
                if not work.done():
                    raise SourceError(f"{venue} {_label(hour)} is not complete within {self._deadline:.0f} s", hint="run again later")
                return work.result()
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise DamagedHour(f"{venue} {_label(hour)}: a slice is no whole gzip: {error}", hint="run again later") from error
            except (OSError, aiohttp.ClientError) as error:
                raise _explained(error, venue, hour) from error
            finally:
                await _end(work)
                shutil.rmtree(cache, ignore_errors=True)

    async def _write(self, venue: str, selection: Selection, hour: datetime, cache: Path, path: Path) -> FeedFile:
        from tardis_client import Channel, TardisClient  # type: ignore[import-untyped]

        client = TardisClient(endpoint=self._endpoint, cache_dir=str(cache), api_key=self._api_key, http_timeout=SLICE_SECONDS)
        filters = [Channel(name, list(selection.symbols)) for name in selection.channels]
        start, end = (f"{moment:%Y-%m-%dT%H:%M:%S}" for moment in (hour, hour + HOUR))
        lines = client.replay(venue, start, end, filters, decode_response=False, with_disconnects=True)
        with FeedWriter(path, hour) as writer:
            async with aclosing(lines):
                batch: list[tuple[bytes, bytes] | None] = []
                size = 0
                async for line in lines:
                    batch.append(line)
                    size += 1 if line is None else len(line[1])
                    if size >= _BATCH_BYTES:
                        writer.write(batch)
                        batch, size = [], 0
                        self._on_batch(writer.last)
                        await asyncio.sleep(0)  # the client reads a slice without letting anything else run
                writer.write(batch)
            _require_bodies(cache, venue, hour, filters)
            return writer.finish()


def endpoint_of(api_url: str) -> str:
    """The address as the client wants it: without the `/v1` that it adds itself.

    Raises:
        ConfigurationError: if there is none to take off.
    """
    base = api_url.rstrip("/").removesuffix("/v1")
    if base == api_url.rstrip("/"):
        raise ConfigurationError(f"TARDIS_API_URL={api_url!r} does not end in /v1", hint="e.g. https://api.tardis.dev/v1")
    return base


def pass_proxies_by(api_url: str) -> None:
    """Let requests to a source on this machine go there, and not to a proxy: the client believes the environment's proxies."""
    host = urlsplit(api_url).hostname or ""
    if host != "localhost" and host != "::1" and not host.startswith("127."):
        return
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name, ""), host)))


def _require_bodies(cache: Path, venue: str, hour: datetime, filters: list[Any]) -> None:
    """The shortest true answer is a gzip of nothing; less than that is an answer that went wrong."""
    from tardis_client.handy import get_slice_cache_path  # type: ignore[import-untyped]

    for minute in (hour + timedelta(minutes=n) for n in range(MINUTES)):
        path = Path(get_slice_cache_path(str(cache), venue, minute, filters))
        if not path.exists() or path.stat().st_size < _SMALLEST_GZIP:
            raise DamagedHour(f"{venue} {minute:%Y-%m-%dT%H:%M}Z: the source sent an empty body", hint="run again later")


@contextmanager
def _listening(final: asyncio.Future[Exception], on_retry: Hear) -> Iterator[None]:
    """Hear of the client's failed tries; a final one goes into `final`. Nothing that the client logs goes anywhere else."""
    logging.getLogger(_CLIENT_LOGGER).addFilter(_drop)
    downloads = logging.getLogger(_DOWNLOAD_LOGGER)
    level, ear = downloads.level, _Ear(final, on_retry)
    downloads.addFilter(ear)
    downloads.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        downloads.removeFilter(ear)
        downloads.setLevel(level)


def _drop(_record: logging.LogRecord) -> bool:
    return False


class _Ear(logging.Filter):
    """Listens at the log of the client's downloads, the one place that tells of a failed try, and lets no record pass."""

    def __init__(self, final: asyncio.Future[Exception], on_retry: Hear) -> None:
        super().__init__()
        self._final, self._on_retry = final, on_retry

    def filter(self, record: logging.LogRecord) -> bool:
        """Judge a failed try."""
        error = record.args[0] if isinstance(record.args, tuple) and str(record.msg).startswith(_FAILED_TRY) else None
        if isinstance(error, Exception):
            if _is_worth_a_try(error):
                self._on_retry(_said(error))
            elif not self._final.done():
                self._final.set_result(error)
        return False


def _is_worth_a_try(error: Exception) -> bool:
    if isinstance(error, HTTPError):
        return error.code in (408, 429) or error.code >= 500 or _speaks_of_the_address(error)
    if isinstance(getattr(error, "os_error", error), OutsideConnectionError):
        return False
    return not (isinstance(error, OSError) and error.errno in _NO_ROOM)


def _speaks_of_the_address(error: HTTPError) -> bool:
    """Whether a 403 says that the key is in use elsewhere or its allowance is spent: that passes."""
    return error.code == 403 and any(sign in str(error.msg).lower() for sign in PAUSE_SIGNS)


def _said(error: Exception) -> str:
    """One line about an error; of the API's own errors their message."""
    if isinstance(error, HTTPError):
        try:
            message = str(json.loads(str(error.msg))["message"])
        except (ValueError, KeyError, TypeError):
            message = str(error.msg)
        return f"HTTP {error.code}: {' '.join(message.split())[:300]}"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _label(hour: datetime) -> str:
    return f"{hour:%Y-%m-%dT%H:%M}Z"


def _explained(error: Exception, venue: str, hour: datetime) -> EngineError:
    """What an error of the client means for us."""
    where, said = f"{venue} {_label(hour)}", _said(error)
    if isinstance(error, HTTPError):
        return _refused(error, where, said)
    if isinstance(getattr(error, "os_error", error), OutsideConnectionError):
        return ConfigurationError(f"{where}: {getattr(error, 'os_error', error)}", hint="set TARDIS_API_URL to a source on this machine")
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return EngineError(f"{where}: no room for temporary files: {error.strerror}", hint="free space, or set TMPDIR")
    return SourceError(f"{where}: the source cannot be reached: {said}", hint="check the network and TARDIS_API_URL, then run again")


def _refused(error: HTTPError, where: str, said: str) -> EngineError:
    if error.code == 401:
        return NotPermitted(f"{where}: the source refuses the key: {said}", hint="check TARDIS_API_KEY; first days of months need none")
    if _speaks_of_the_address(error):
        return FeedNotReady(f"{where}: {said}", hint="one key works from one address at a time; run again when the other is done")
    if error.code in (402, 403):
        return NotPermitted(f"{where}: the key's plan does not cover raw messages of this time: {said}", hint="ask the vendor")
    if error.code == 400 and "available" in str(error.msg):
        return FeedNotReady(f"{where}: {said}", hint="run again in some minutes")
    if error.code in (400, 404):
        return UsageError(f"{where}: the source does not accept the request: {said}", hint="check --venue, --channels and --symbols")
    return SourceError(f"{where}: {said}", hint="run again later; what is committed stays")


async def _end(work: asyncio.Task[FeedFile]) -> None:
    """Stop reading, and the fetching that the client leaves behind when its reader goes."""
    from tardis_client.data_downloader import fetch_data_to_replay  # type: ignore[import-untyped]

    left = {task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == fetch_data_to_replay.__name__}
    for task in (work, *left):
        task.cancel()
    await asyncio.gather(work, *left, return_exceptions=True)
