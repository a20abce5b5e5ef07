"""Open `TailLogEntries` sessions: who gets which new entry, and what a slow or greedy one does not get.

Each session has a bounded queue. What does not fit is counted, by Google's two reasons: NOT_CONSUMED when the client reads
too slowly, RATE_LIMIT when more entries match than the quota allows. The counts go out with the next response.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from provision.local.logs.entry_store import Record
from provision.local.logs.query_match import Predicate

MAX_SESSIONS = 10
"""Per project."""
ENTRIES_PER_MINUTE = 60_000
QUEUE_ENTRIES = 10_000
QUEUE_BYTES = 16 << 20
RESPONSE_ENTRIES = 1_000
RESPONSE_BYTES = 2 << 20
RATE_LIMIT, NOT_CONSUMED = 1, 2
"""Numbers of `SuppressionInfo.Reason`."""


class SessionCut(Exception):
    """A fault switch ended this session."""


@dataclass(slots=True, eq=False)
class TailSession:
    """One client's view of the new entries."""

    parents: tuple[str, ...]
    matches: Predicate
    window: float
    """Seconds to hold entries back, so that late ones can be sorted in."""
    queue: deque[Record] = field(default_factory=deque)
    queued_bytes: int = 0
    suppressed: dict[int, int] = field(default_factory=dict)
    minute: float = float("-inf")
    taken: int = 0
    """Entries queued since `minute`."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    async def responses(self) -> AsyncIterator[tuple[list[Record], dict[int, int]]]:
        """Batches of entries in time order, each with the counts of what was left out since the one before.

        Raises:
            SessionCut: when `cut` is set.
        """
        while True:
            await self.news.wait()
            if self.window and not self.cut.is_set():
                try:
                    await asyncio.wait_for(self.cut.wait(), self.window)
                except TimeoutError:
                    pass
            self.news.clear()
            if self.cut.is_set():
                raise SessionCut
            drained = sorted(self.queue, key=lambda record: record.key)
            # The queue counts as full until its entries are on their way, or a client that never reads would be
            # handed to without end.
            for batch in _batches(drained):
                suppressed, self.suppressed = self.suppressed, {}
                yield batch, suppressed
                for record in batch:
                    self.queued_bytes -= len(record.data)
                    self.queue.popleft()
                if self.cut.is_set():
                    raise SessionCut
            if not drained and self.suppressed:
                suppressed, self.suppressed = self.suppressed, {}
                yield [], suppressed

    def offer(self, record: Record, entry: Any, now: float, per_minute: int) -> None:
        """Queue an entry if it matches and fits, else count it."""
        if not record.key.log_name.startswith(self.parents) or not self.matches(entry):
            return
        if now - self.minute >= 60:
            self.minute, self.taken = now, 0
        if self.taken >= per_minute:
            self._suppress(RATE_LIMIT)
        elif len(self.queue) >= QUEUE_ENTRIES or self.queued_bytes >= QUEUE_BYTES:
            self._suppress(NOT_CONSUMED)
        else:
            self.taken += 1
            self.queue.append(record)
            self.queued_bytes += len(record.data)
        self.news.set()

    def _suppress(self, reason: int) -> None:
        self.suppressed[reason] = self.suppressed.get(reason, 0) + 1


def _batches(records: list[Record]) -> Iterable[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        if batch and (len(batch) >= RESPONSE_ENTRIES or size + len(record.data) > RESPONSE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record.data)
    if batch:
        yield batch


class TailHub:
    """All open sessions.

    Args:
        clock: monotonic seconds.
        per_minute: how many entries a session for these parents may get in a minute.
    """

    def __init__(self, clock: Callable[[], float], per_minute: Callable[[tuple[str, ...]], int]) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self.sessions: list[TailSession] = []

    def open_count(self, parents: tuple[str, ...]) -> int:
        """Sessions that share a project with `parents`."""
        return sum(1 for session in self.sessions if set(session.parents) & set(parents))

    def publish(self, entries: list[tuple[Record, Any]]) -> None:
        """Offer new entries to every session."""
        if not self.sessions or not entries:
            return
        now = self._clock()
        for session in self.sessions:
            per_minute = self._per_minute(session.parents)
            for record, entry in entries:
                session.offer(record, entry, now, per_minute)

    def cut(self, strikes: Callable[[TailSession], bool]) -> None:
        """End the sessions that `strikes` says so of."""
        for session in self.sessions:
            if not session.cut.is_set() and strikes(session):
                session.cut.set()
                session.news.set()
