"""Who may start: bytes in flight are bounded, and nobody starts while the process is near its memory limit.

The design wants a worker that stops admitting instead of dying. Bytes are counted by tokens of our own; the process's real memory
is looked at beside them, because buffers of native code are not in anybody's count.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import lru_cache

import psutil

from engine.clock import monotonic

MEMORY_CHECK_SECONDS = 0.25
MEMORY_LOOK_SECONDS = 0.02
"""The memory in use is looked at once in so long, however many ask: hundreds of small files start in that time."""


def memory_used() -> int:
    """Resident bytes of this process (page cache is not in it)."""
    return int(_process(os.getpid()).memory_info().rss)


@lru_cache(maxsize=1)
def _process(pid: int) -> psutil.Process:
    """Finding a process costs ten times what reading its memory does, and every file asks."""
    return psutil.Process(pid)


class Admission:
    """Bounds the bytes between the start of a download and the end of its commit."""

    def __init__(self, *, bytes_in_flight: int, memory_bytes: int, used: Callable[[], int] = memory_used) -> None:
        """`memory_bytes`: above so much resident memory nobody is admitted, unless nothing is in flight."""
        self._limit = bytes_in_flight
        self._memory_bytes = memory_bytes
        self._used = used
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()
        self.in_flight = 0
        self.held_by_memory = False
        self._next_look = 0.0

    @asynccontextmanager
    async def admit(self, count: int) -> AsyncIterator[None]:
        """Wait for room for `count` bytes, in turn, and hold it. A file larger than the whole room goes alone."""
        count = min(count, self._limit)
        # Hundreds may wait: only the first of them looks, the others stand behind it.
        async with self._turn:
            while not self._has_room(count):
                self._freed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._freed.wait(), MEMORY_CHECK_SECONDS)
            self.in_flight += count
        try:
            yield
        finally:
            self.in_flight -= count
            self._freed.set()

    def _has_room(self, count: int) -> bool:
        if self.in_flight == 0:
            self.held_by_memory, self._next_look = False, 0.0
            return True
        if (now := monotonic()) >= self._next_look:
            self._next_look = now + MEMORY_LOOK_SECONDS
            self.held_by_memory = self._used() > self._memory_bytes
        return not self.held_by_memory and self.in_flight + count <= self._limit
