"""One slow-down for the whole process: when the source says 429 everybody waits, not only the request that heard it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.clock import monotonic


class Throttle:
    """Holds back requests until a moment, and remembers why."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._until = 0.0
        self.reason = ""
        self.hits = 0
        """How often the source asked us to slow down."""

    def slow_down(self, seconds: float, reason: str) -> None:
        """Let nobody through for `seconds` from now; a longer wait that is already on stays."""
        self.hits += 1
        until = self._now() + max(0.0, seconds)
        if until > self._until:
            self._until, self.reason = until, reason

    @property
    def remaining(self) -> float:
        """Seconds until requests may go on; 0 if they may now."""
        return max(0.0, self._until - self._now())

    async def wait(self) -> None:
        """Return once requests may go on."""
        while (remaining := self.remaining) > 0:  # noqa: ASYNC110 - a moment that may move, not an event
            await asyncio.sleep(remaining)
