"""What the console knows, and how old it is: one immutable `Feed` a source. No Textual here, so the headless verbs and tests share it.

A failed look never loses the last good one: the value stays with its age, beside what went wrong and when the next try is due.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Generic, TypeVar

from engine.errors import EngineError, ExitCode

ValueT = TypeVar("ValueT")


class Trouble(StrEnum):
    """What kind of thing is wrong with a source, in the words the status line has room for."""

    NONE = ""
    LINK = "no link"
    SILENT = "no answer"
    REFUSED = "not permitted"
    """Credentials that have expired, or a permission that is missing: trying again does not help, a person does."""
    SETTING = "wrong setting"
    BROKEN = "broken"
    """An error that nobody expected."""


_TROUBLE: Final = {
    ExitCode.UNAVAILABLE: Trouble.LINK,
    ExitCode.TEMPORARY: Trouble.LINK,
    ExitCode.NOT_PERMITTED: Trouble.REFUSED,
    ExitCode.CONFIGURATION: Trouble.SETTING,
}


def trouble_of(error: BaseException) -> Trouble:
    """The kind of an error."""
    return _TROUBLE.get(error.exit_code, Trouble.BROKEN) if isinstance(error, EngineError) else Trouble.BROKEN


LONGEST_WAIT: Final = 60.0
"""Seconds between two tries of a dead link."""


@dataclass(frozen=True)  # with slots, Python 3.11 cannot make a `Feed[int]()`
class Feed(Generic[ValueT]):
    """The last good look at one source, and how it goes with it now."""

    value: ValueT | None = None
    at: datetime | None = None
    """When `value` was seen, UTC; None: never."""
    error: str = ""
    """Why the last look failed, one line; empty if it did not."""
    failures: int = 0
    """Failed looks in a row."""
    trouble: Trouble = Trouble.NONE
    next_try: datetime | None = None
    """After a failure: when it is tried again, UTC."""

    @property
    def is_stale(self) -> bool:
        """Whether what we know is not what is: the last look failed, or there was none."""
        return self.failures > 0 or self.at is None

    @property
    def is_down(self) -> bool:
        """Whether the link is down: tried, and it failed."""
        return self.failures > 0

    def age(self, now: datetime) -> float | None:
        """Seconds since the last good look; None: never."""
        return None if self.at is None else max(0.0, (now - self.at).total_seconds())

    def succeeded(self, value: ValueT, now: datetime) -> Feed[ValueT]:
        """After a good look."""
        return Feed(value, now)

    def failed(self, error: str, now: datetime, interval: float, *, trouble: Trouble = Trouble.LINK) -> Feed[ValueT]:
        """After a failed look: the value stays, the next try is further off the more have failed.

        Args:
            interval: Seconds between looks when all is well.
        """
        failures = self.failures + 1
        wait = timedelta(seconds=retry_after(failures, interval))
        return replace(self, error=error, failures=failures, trouble=trouble, next_try=now + wait)


def retry_after(failures: int, interval: float) -> float:
    """Seconds to wait after `failures` failed looks in a row: doubling from `interval`, at most `LONGEST_WAIT`."""
    return float(min(max(interval, LONGEST_WAIT), interval * 2 ** min(failures, 16)))
