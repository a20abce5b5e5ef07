"""One feed a source: looks at it again and again without the screen waiting, and says so in messages to the app.

Polls run in threads that nobody waits for (see `console.blocking`); a failure keeps the last good value and backs off. The
log tail has a thread and an event loop of its own, so that neither the import of its client nor a burst of lines stops the keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from textual.message import Message

from console.blocking import in_thread
from console.state import Feed, retry_after
from engine.clock import Clock, utc_now
from engine.errors import one_line

if TYPE_CHECKING:
    from engine.coverage import Coverage
    from provision.fleet import FleetSnapshot
    from provision.logs import Batch

ValueT = TypeVar("ValueT")

FLEET_SECONDS: Final = {"local": 2.0, "gcp": 5.0}
"""Between two looks at the fleet, by the kind of profile."""
COVERAGE_SECONDS_LIVE: Final = 3.0
COVERAGE_SECONDS: Final = 15.0


class FleetUpdated(Message):
    """A look at the fleet, or a failed one."""

    def __init__(self, feed: Feed[FleetSnapshot]) -> None:
        super().__init__()
        self.feed = feed

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, FleetUpdated)


class CoverageUpdated(Message):
    """A look at the lake, or a failed one."""

    def __init__(self, feed: Feed[Coverage]) -> None:
        super().__init__()
        self.feed = feed

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, CoverageUpdated)


class LogsArrived(Message):
    """What the tail has to tell: lines, or that its link is down or back."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.batch = batch


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


class LogTail:
    """Follows the fleet's logs in a thread of its own, until stopped or told to follow something else."""

    def __init__(self, tell: Callable[[Batch], object], failed: Callable[[str], object]) -> None:
        """
        Args:
            tell: Hears of every batch, from the tail's thread.
            failed: Hears why the tail could not go on, from the tail's thread.
        """
        self._tell = tell
        self._failed = failed
        self._stop: Callable[[], None] = lambda: None

    def follow(self, batches: Callable[[], AsyncIterator[Batch]]) -> None:
        """Follow these from now on, and no others."""
        self.stop()
        loop = asyncio.new_event_loop()
        stopped = asyncio.Event()

        async def drain() -> None:
            reading = asyncio.ensure_future(self._read(batches))
            waiting = asyncio.ensure_future(stopped.wait())
            await asyncio.wait((reading, waiting), return_when=asyncio.FIRST_COMPLETED)
            for task in (reading, waiting):
                task.cancel()
            await asyncio.gather(reading, waiting, return_exceptions=True)

        def run() -> None:
            try:
                loop.run_until_complete(drain())
                loop.run_until_complete(loop.shutdown_asyncgens())
            finally:
                loop.close()

        def stop() -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(stopped.set)

        self._stop = stop
        threading.Thread(target=run, name="log tail", daemon=True).start()

    def stop(self) -> None:
        """Follow nothing any more."""
        self._stop()
        self._stop = lambda: None

    async def _read(self, batches: Callable[[], AsyncIterator[Batch]]) -> None:
        try:
            async for batch in batches():
                self._tell(batch)
        except Exception as error:  # noqa: BLE001 - the reason is shown, the console stays
            self._failed(one_line(error))
