"""Following entries as they come: one session that mends itself, reads back what it missed, and repeats nothing."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from engine.clock import Clock, utc_now
from provision.logs.clients import LogClients
from provision.logs.entries import LogEntry, entry_from_api
from provision.logs.query import LogQuery
from provision.logs.reading import READ_SECONDS, list_request, read_error

BACKFILL_OVERLAP = timedelta(seconds=60)
"""Entries arrive late: writers batch and retry."""
BACKFILL_ENTRIES = 10_000
REMEMBERED_ENTRIES = 65_536
"""More than the tail quota lets through in the time that a backfill reads again."""
BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_MOST_SECONDS = 30.0
CONNECT_SECONDS = 1.0
"""How long to wait for the service to say that a session stands."""
STEADY_SECONDS = 60.0
"""A session that lived this long counts as healthy even if nothing came."""

_SUPPRESSION = {1: "rate limit", 2: "not consumed"}
"""`SuppressionInfo.Reason` for people."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a tail has to tell."""

    entries: tuple[LogEntry, ...] = ()
    suppressed: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Entries the service left out, by reason; a lower bound."""
    state: Literal["connected", "reconnecting"] = "connected"
    reason: str = ""
    """Why the link is down, or what could not be read back."""


async def tail(
    clients: LogClients,
    query: LogQuery,
    *,
    window: float = 0.0,
    now: Clock = utc_now,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
) -> AsyncGenerator[Batch, None]:
    """Follow the entries of a query until the caller stops; a dead link is told and mended, never raised.

    First come the newest `query.limit` entries there are, then new ones. No entry comes twice.

    Args:
        clients: see `make_clients`; must belong to the running loop.
        query: `until`, `newest_first` are ignored; `limit` bounds the first backfill only.
        window: seconds that the service holds entries back to bring late ones into order.
        now: current UTC time.
        sleep: waits between attempts and for the read budget.
        jitter: 0..1, spreads the attempts of several consoles.

    Raises:
        LogReadError: if the service refuses the query itself.
    """
    from google.api_core import exceptions

    session = _TailSession(clients, replace(query, until=None, newest_first=True), window, now, sleep)
    failures = 0
    while True:
        reason = "the service ended the session"
        began = time.monotonic()
        try:
            async with aclosing(session.run()) as batches:
                async for batch in batches:
                    yield batch
        except exceptions.InvalidArgument as error:
            raise read_error(error) from error
        except exceptions.GoogleAPICallError as error:
            reason = f"{error.code or ''} {error.message}".strip()
        healthy = session.received or time.monotonic() - began > STEADY_SECONDS
        failures = 0 if healthy else failures + 1
        yield Batch(state="reconnecting", reason=reason)
        delay = min(BACKOFF_FIRST_SECONDS * 2.0 ** min(failures, 10), BACKOFF_MOST_SECONDS)
        await sleep(delay * (0.5 + jitter() / 2))


class _TailSession:
    """One tail over many connections: what is known already, and up to when."""

    def __init__(
        self,
        clients: LogClients,
        query: LogQuery,
        window: float,
        now: Clock,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._clients = clients
        self._query = query
        self._window = window
        self._now = now
        self._sleep = sleep
        self._seen: dict[tuple[datetime, str], None] = {}
        self._last = query.since
        self._connected_before = False
        self.received = False
        """Whether the current connection brought anything by itself."""

    async def run(self) -> AsyncGenerator[Batch, None]:
        """One connection: backfill, then the stream, until it ends or fails."""
        self.received = False
        call = await self._clients.asynchronous.tail_log_entries(requests=self._requests(), retry=None, timeout=None)
        try:
            # The session must stand before the backfill is read, or an entry could fall between the two. The real
            # service may send nothing before the first entry: then the overlap of the next backfill has to do.
            try:
                await asyncio.wait_for(call.initial_metadata(), CONNECT_SECONDS)
            except TimeoutError:
                pass
            if not call.done():
                yield await self._backfill()
            async for response in call:
                self.received = True
                raw = type(response).pb(response)
                suppressed = {_SUPPRESSION.get(info.reason, "unknown"): info.suppressed_count for info in raw.suppression_info}
                fresh = self._fresh(entry_from_api(entry, self._query.instances) for entry in raw.entries)
                if fresh or suppressed:
                    yield Batch(fresh, suppressed)
        finally:
            call.cancel()

    async def _requests(self) -> AsyncIterator[Any]:
        from google.cloud.logging_v2.types import TailLogEntriesRequest

        yield TailLogEntriesRequest(
            resource_names=[f"projects/{self._query.project}"],
            filter=self._query.to_filter(),
            buffer_window=timedelta(seconds=self._window),
        )
        await asyncio.Event().wait()  # the session lives as long as the request stream is open

    async def _backfill(self) -> Batch:
        first = not self._connected_before
        most = self._query.limit if first else BACKFILL_ENTRIES
        since = self._query.since if first else max(self._query.since, self._last - BACKFILL_OVERLAP)
        query = replace(self._query, since=since)
        entries: list[LogEntry] = []
        token = ""
        while len(entries) < most:
            if delay := self._clients.reserve(query.project):
                await self._sleep(delay)
            request = list_request(query, most - len(entries), token)
            pager = await self._clients.asynchronous.list_log_entries(request=request, retry=None, timeout=READ_SECONDS)
            page = await anext(aiter(pager.pages))
            entries += [entry_from_api(entry, query.instances) for entry in type(page).pb(page).entries]
            token = page.next_page_token
            if not token:
                break
        self._connected_before = True
        cut = bool(token) and not first
        reason = f"more than {most} entries since the link was lost: the oldest are not shown" if cut else ""
        return Batch(self._fresh(reversed(entries)), reason=reason)

    def _fresh(self, entries: Iterable[LogEntry]) -> tuple[LogEntry, ...]:
        fresh: list[LogEntry] = []
        for entry in entries:
            if entry.identity in self._seen:
                continue
            self._seen[entry.identity] = None
            fresh.append(entry)
        while len(self._seen) > REMEMBERED_ENTRIES:
            del self._seen[next(iter(self._seen))]
        if fresh:
            # A VM whose clock is ahead must not move the start of the next backfill into the future.
            newest = min(max(entry.timestamp for entry in fresh), self._now())
            self._last = max(self._last, newest)
        return tuple(fresh)
