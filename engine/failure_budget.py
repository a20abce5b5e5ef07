"""How many files may end bad before the work stops: a wrong key or a renamed column should not cost a whole night."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.errors import UsageError

FAIL_FAST = "0"
"""The budget that stops at the first bad file."""

_COUNT = re.compile(r"\d{1,9}")
_SHARE = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%")


@dataclass(frozen=True, slots=True)
class FailureBudget:
    """A number of files, or a share of a worker's files."""

    count: int | None = None
    share: float | None = None
    """0 to 1, of all files that the worker has before it."""

    def allows(self, bad: int, total: int) -> bool:
        """Whether the work may go on with so many bad files out of a total."""
        if self.count is not None:
            return bad <= self.count
        return self.share is None or bad <= self.share * total


UNLIMITED = FailureBudget()


def parse_budget(text: str) -> FailureBudget:
    """Read `0`, `25` or `5%`; empty means no limit.

    Raises:
        UsageError: naming the text.
    """
    text = text.strip()
    if not text:
        return UNLIMITED
    if _COUNT.fullmatch(text):
        return FailureBudget(count=int(text))
    share = _SHARE.fullmatch(text)
    if share and float(share[1]) <= 100:
        return FailureBudget(share=float(share[1]) / 100)
    raise UsageError(f"{text!r} is no failure budget", hint="give a number of files such as 25, or a share such as 5%")
