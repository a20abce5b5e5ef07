"""A shard's share of each UTC day's cap on source bytes: never more, whoever works on it, and without asking anybody else.

The plan divides the account's daily cap among its shards (`engine.packing.share_cap`). What a shard has taken of a day's share stands
in one object of the run, written by compare-and-swap *before* the bytes are asked for. So a worker that dies has at most counted
bytes that never came, a worker that takes over the shard takes over what is left of the share, and two workers that both believe to
hold the shard draw from the same count. At the end of the share a worker waits for 00:00 UTC.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import msgspec

from engine.clock import Clock, format_bytes
from engine.documents import JSON, decode, encode
from engine.errors import AlreadyExists, EngineError, GenerationMismatch
from engine.model import day_start, require_aware
from engine.paths import allowance_object
from engine.store import Store

STEPS = 64
"""Into how many pieces a share is drawn at most, beside large files: each is one small write."""

LEAST_BYTES = 1 << 20
"""Reserved for every request at least: what a source may have sent of a body before a refusal to read it arrives."""

LOOK_SECONDS = 5.0
"""How often a waiting worker looks at the clock: a machine that slept must not oversleep midnight by as much."""

LOST_RACES = 20
"""So many compare-and-swaps in a row may be lost to another worker of the same shard."""


class OverShare(EngineError):
    """A file is larger than the whole of its shard's daily share: no day will ever hold it."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard has taken of the share of its last day."""

    schema: int = 1
    run: str
    shard: int
    day: date
    """UTC."""
    bytes: int


@dataclass(slots=True)
class Transfer:
    """Bytes that one download may still receive; they were taken from the share before."""

    left: int = 0


class Allowance:
    """The share of one shard, for the time that this process works on it. Use on one event loop."""

    def __init__(
        self, store: Store, run: str, shard: int, share: int, *, clock: Clock, on_wait: Callable[[datetime], None] = lambda _until: None
    ) -> None:
        """`share`: source bytes that the shard may receive on any UTC day; positive. `on_wait` hears, once a day, until when is waited."""
        self._on_wait = on_wait
        self._told: date | None = None
        self._store, self._run, self._shard, self._clock = store, run, shard, clock
        self.share = share
        self.least = min(LEAST_BYTES, share // STEPS)
        self._day: date | None = None
        self._drawn = 0
        """Bytes of this day that are written down as taken and not given to a transfer yet."""
        self._rest = 0
        """Bytes of the day that nobody had taken, when we last looked."""
        self._room = asyncio.Event()
        """Set, and replaced, when a download gives back what it did not use."""
        self._late = 0
        """Bytes that came after midnight of what was reserved the day before, not written down yet."""
        self._open: dict[int, Transfer] = {}
        self._lock = asyncio.Lock()
        self.waiting = 0
        """Downloads that wait for room, or for the next day."""

    def _today(self) -> date:
        return require_aware(self._clock()).date()

    def open(self) -> Transfer:
        """Begin a download. It may receive nothing until it has reserved."""
        transfer = Transfer()
        self._open[id(transfer)] = transfer
        return transfer

    def close(self, transfer: Transfer) -> None:
        """End a download; what it reserved and did not receive goes to the next one of the same day."""
        if self._open.pop(id(transfer), None) is not None:
            self._give_back(transfer)

    def _give_back(self, transfer: Transfer) -> None:
        """Let others of the same day have what `transfer` reserved, those that wait for room first of all."""
        if transfer.left and self._day == self._today():
            self._drawn += transfer.left
            room, self._room = self._room, asyncio.Event()
            room.set()
        transfer.left = 0

    def receive(self, transfer: Transfer, count: int) -> None:
        """Count bytes that came."""
        transfer.left = max(0, transfer.left - count)
        if self._day is not None and self._today() != self._day:
            self._late += count

    async def reserve(self, transfer: Transfer, count: int) -> None:
        """Let `transfer` receive `count` bytes in all from now on, waiting for room as often as needed: for what another download
        does not use, or for the next UTC day. While it waits it holds nothing back from smaller ones.

        Raises:
            OverShare: if not even a whole day's share is so much.
            StoreError: if the count cannot be written down; nothing may be received then.
        """
        if count > self.share:
            raise OverShare(
                f"the file has {format_bytes(count)}, the shard's share of a day's cap is {format_bytes(self.share)}",
                hint="plan again with fewer shards or a larger --daily-bytes",
            )
        while not await self.try_reserve(transfer, count):
            self._give_back(transfer)
            await self._wait_for_room(count)

    async def try_reserve(self, transfer: Transfer, count: int) -> bool:
        """As `reserve`, but says False at once if today's share does not hold it. The transfer keeps what it had then."""
        async with self._lock:
            today = self._today()
            if today != self._day:
                self._day, self._drawn = today, 0
                # What is under way comes in on the new day: it is taken from the new day's share as well.
                transfer.left = 0
                under_way = self._late + sum(other.left for other in self._open.values())
                if under_way and not await asyncio.to_thread(self._draw, today, under_way, under_way):
                    self._day, self._rest = None, 0
                    return False
                self._late = 0
            missing = count - transfer.left
            if missing > self._drawn:
                needed = missing - self._drawn
                drawn = await asyncio.to_thread(self._draw, today, needed, max(needed, self.share // STEPS))
                if not drawn:
                    return False
                self._drawn += drawn
            self._drawn -= missing
            transfer.left = count
            return True

    def _draw(self, day: date, least: int, wanted: int) -> int:
        """Write down `wanted` bytes as taken, or as many as are left if that is at least `least`; 0 if it is not."""
        self._rest = 0
        name = allowance_object(self._run, self._shard)
        for _ in range(LOST_RACES):
            found = self._store.get(name)
            taken = decode(found.data, Taken, name=name) if found is not None else None
            used = taken.bytes if taken is not None and taken.day == day else 0
            # A clock that steps back over midnight must not open yesterday's share again.
            if taken is not None and taken.day > day:
                return 0
            count = min(wanted, self.share - used)
            if count < least:
                self._rest = self.share - used
                return 0
            record = Taken(run=self._run, shard=self._shard, day=day, bytes=used + count)
            generation = found.generation if found is not None else 0
            try:
                self._store.put(name, encode(record), if_generation=generation, content_type=JSON)
            except (AlreadyExists, GenerationMismatch):
                # Another worker of this shard, or our own write whose reply was lost: then its bytes stay counted.
                continue
            self._rest = self.share - used - count
            return count
        return 0

    async def _wait_for_room(self, count: int) -> None:
        """Return when `count` bytes may fit: on another day, or as soon as others have given back enough."""
        today = self._today()
        if self._told != today:
            self._told = today
            self._on_wait(day_start(today + timedelta(days=1)))
        self.waiting += 1
        try:
            while (now := require_aware(self._clock())).date() == today and count > self._drawn + self._rest:
                left = (day_start(today + timedelta(days=1)) - now).total_seconds()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._room.wait(), min(max(left, 0.001), LOOK_SECONDS))
        finally:
            self.waiting -= 1


def taken_today(store: Store, run: str, shard: int, day: date) -> int:
    """Bytes that a shard has taken of that UTC day's share so far."""
    name = allowance_object(run, shard)
    found = store.get(name)
    taken = decode(found.data, Taken, name=name) if found is not None else None
    return taken.bytes if taken is not None and taken.day == day else 0
