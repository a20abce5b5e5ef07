"""One line on a terminal that is written over while a verb works."""

from __future__ import annotations

import sys
from collections.abc import Callable

from engine.clock import format_seconds, monotonic

WIDTH = 118
EVERY_SECONDS = 0.1


class StatusLine:
    """On stderr, at most ten times a second; nothing at all where `shown` is False."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._started = monotonic()
        self._next = 0.0

    @property
    def seconds(self) -> float:
        """Since the line was made."""
        return monotonic() - self._started

    @property
    def took(self) -> str:
        """The same, for people."""
        return format_seconds(self.seconds)

    def say(self, text: Callable[[], str]) -> None:
        """Write the line over; `text` is only asked when it is time for it."""
        now = monotonic()
        if not self._shown or now < self._next:
            return
        self._next = now + EVERY_SECONDS
        self._write(text()[:WIDTH])

    def end(self) -> None:
        """Leave the line empty."""
        if self._shown:
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{text}")
        sys.stderr.flush()
