"""Looks at one source again and again without the screen waiting; a failure keeps the last good value and backs off.

Looks run in threads that nobody waits for (see `console.blocking`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from console.blocking import in_thread
from console.state import Feed, retry_after
from engine.clock import Clock, utc_now
from engine.errors import one_line

ValueT = TypeVar("ValueT")


@dataclass(slots=True)
class Poller(Generic[ValueT]):
    """Looks at one source for as long as it is wanted."""

    fetch: Callable[[], ValueT]
    """Blocking; called in a thread."""
    tell: Callable[[Feed[ValueT]], object]
    interval: Callable[[], float]
    """Seconds between two looks when all is well."""
    wanted: Callable[[], bool] = lambda: True
    """Whether anybody looks at it now."""
    clock: Clock = utc_now
    feed: Feed[ValueT] = field(default_factory=Feed)
    _poked: asyncio.Event | None = None

    def poke(self) -> None:
        """Look now: somebody came to see it, or it was changed."""
        if self._poked is not None:
            self._poked.set()

    def forget(self) -> None:
        """What is known answers another question than the one asked now."""
        self.feed = Feed()
        self.poke()

    async def run(self) -> None:
        """Poll until cancelled."""
        self._poked = asyncio.Event()
        while True:
            self._poked.clear()
            if self.wanted():
                before = self.feed
                after = await self._look()
                if self.feed is before:
                    self.feed = after
                    self.tell(self.feed)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(retry_after(self.feed.failures, self.interval())):
                    await self._poked.wait()

    async def _look(self) -> Feed[ValueT]:
        try:
            value = await in_thread(self.fetch, name="feed")
        except Exception as error:  # noqa: BLE001 - whatever a link raises, the console stays
            return self.feed.failed(one_line(error), self.clock(), self.interval())
        return self.feed.succeeded(value, self.clock())
