"""The tail of the logs, in a thread and an event loop of its own: neither the import of its client nor a burst stops the keys."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from engine.errors import one_line

if TYPE_CHECKING:
    from provision.logs import Batch


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
