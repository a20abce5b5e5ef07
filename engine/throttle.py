"""One slow-down for the whole process: when the source says 429 everybody waits, not only the request that heard it.

A pause is the longer kind: the source will answer nobody for a while (the key is in use elsewhere, the allowance is spent). What waits
for its end is told, because a pause is no file's fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from engine.clock import monotonic


class Throttle:
    """Holds back requests until a moment, and remembers why."""

    def __init__(self, now: Callable[[], float] = monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._now, self._sleep = now, sleep
        self._until = 0.0
        self._paused_until = 0.0
        self.reason = ""
        self.hits = 0
        """How often the source asked us to slow down."""

    def slow_down(self, seconds: float, reason: str) -> None:
        """Let nobody through for `seconds` from now; a longer wait that is already on stays."""
        self.hits += 1
        until = self._now() + max(0.0, seconds)
        if until > self._until:
            self._until, self.reason = until, reason

    def pause(self, seconds: float, reason: str) -> bool:
        """Slow down, and let whoever waits know that it is a pause; False if one is on already."""
        fresh = not self.paused
        self.slow_down(seconds, reason)
        self._paused_until = max(self._paused_until, self._now() + seconds)
        return fresh

    @property
    def remaining(self) -> float:
        """Seconds until requests may go on; 0 if they may now."""
        return max(0.0, self._until - self._now())

    @property
    def paused(self) -> float:
        """Seconds until the pause ends; 0 if there is none."""
        return max(0.0, self._paused_until - self._now())

    async def wait(self, on_pause: Callable[[float], None] = lambda _seconds: None) -> None:
        """Return once requests may go on. `on_pause` hears of each stretch of a pause, in seconds, before it is waited for."""
        while (remaining := self.remaining) > 0:
            if paused := self.paused:
                on_pause(paused)
            await self._sleep(remaining)
