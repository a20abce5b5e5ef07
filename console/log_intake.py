"""What has come and waits to become lines: bounded, and what does not fit is told with its time instead of being lost in silence."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from console.log_gaps import TOO_FAST, Gap
from console.widgets.logline import LogLine

MOST_WAITING: Final = 100_000
"""Ten seconds at ten thousand lines a second."""
CHUNK: Final = 100
"""Lines taken at a time: about two milliseconds."""


class Intake:
    """A queue of whatever lines are made of."""

    def __init__(self, line_of: Callable[[Any], LogLine]) -> None:
        """
        Args:
            line_of: Makes a line, when its turn comes.
        """
        self._line_of = line_of
        self._queue: deque[Any] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, items: Iterable[Any]) -> Gap | None:
        """Queue what has come; the gap that this makes, if it is too much. The newest are kept: they say what is wrong now."""
        self._queue.extend(items)
        surplus = len(self._queue) - MOST_WAITING
        if surplus <= 0:
            return None
        times = [self._line_of(self._queue.popleft()).time for _ in range(surplus)]
        return Gap(min(times), max(times), surplus, TOO_FAST)

    def take(self) -> list[LogLine]:
        """The next lines, in the order they came; none if nothing waits."""
        return [self._line_of(self._queue.popleft()) for _ in range(min(CHUNK, len(self._queue)))]

    def clear(self) -> None:
        """Forget what waits."""
        self._queue.clear()
