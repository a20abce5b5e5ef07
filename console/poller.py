"""Looks at one source again and again without the screen waiting: its breaker, its pauses and its age.

Looks run in threads that nobody waits for (see `console.blocking`). A failure keeps the last good value and backs off. A source that
does not answer at all counts as down after `patience` seconds; it is not asked again until that call has come back or was given up,
so that a dead link does not collect threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from console.blocking import in_thread
from console.state import Feed, Trouble, retry_after, trouble_of
from engine.clock import Clock, utc_now
from engine.errors import one_line

ValueT = TypeVar("ValueT")

PATIENCE: Final = 30.0
"""Seconds without an answer after which a source counts as down."""
GIVE_UP: Final = 120.0
"""Seconds after which a call that does not come back is left alone and the source is asked anew."""
MOST_HUNG: Final = 3
"""Calls that may hang at once; with so many the source is not asked again, whatever a person presses."""


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
    patience: float = PATIENCE
    give_up: float = GIVE_UP
    feed: Feed[ValueT] = field(default_factory=Feed)
    _poked: asyncio.Event = field(default_factory=asyncio.Event)
    _forced: asyncio.Event = field(default_factory=asyncio.Event)
    _calls: set[asyncio.Future[ValueT]] = field(default_factory=set)

    def poke(self, *, force: bool = False) -> None:
        """Look now: somebody came to see it, or it was changed.

        Args:
            force: A person asked: look although nobody seems to want it, and do not wait for a call that hangs.
        """
        if force:
            self._forced.set()
        self._poked.set()

    def forget(self) -> None:
        """What is known answers another question than the one asked now."""
        self.feed = Feed()
        self.poke()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            forced = self._forced.is_set()
            self._poked.clear()
            self._forced.clear()
            if forced or self.wanted():
                await self._look()
            await self._wait_for_poke(retry_after(self.feed.failures, self.interval()))

    async def _look(self) -> None:
        if len(self._calls) >= MOST_HUNG:
            return
        asked = self.feed
        call = asyncio.ensure_future(in_thread(self.fetch, name="feed"))
        self._calls.add(call)
        call.add_done_callback(self._back)
        if not await self._answered(call, self.patience):
            if self._forced.is_set():
                return
            if self.feed is asked:
                reason = f"no answer for {self.patience:.0f} s"
                asked = self._say(asked.failed(reason, self.clock(), self.give_up, trouble=Trouble.SILENT))
            if not await self._answered(call, self.give_up):
                return
        try:
            after = asked.succeeded(call.result(), self.clock())
        except Exception as error:  # noqa: BLE001 - whatever a link raises, the console stays
            after = asked.failed(one_line(error), self.clock(), self.interval(), trouble=trouble_of(error))
        if self.feed is asked:
            self._say(after)

    def _say(self, feed: Feed[ValueT]) -> Feed[ValueT]:
        self.feed = feed
        self.tell(feed)
        return feed

    async def _answered(self, call: asyncio.Future[ValueT], seconds: float) -> bool:
        """Wait for a call; False if it did not come back in time, or a person would rather ask anew."""
        forced = asyncio.ensure_future(self._forced.wait())
        try:
            await asyncio.wait((call, forced), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            forced.cancel()
        return call.done()

    def _back(self, call: asyncio.Future[ValueT]) -> None:
        """A call is over, perhaps long after it was given up: nobody asks what came of it then."""
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()

    async def _wait_for_poke(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._poked.wait()
        except TimeoutError:
            return
