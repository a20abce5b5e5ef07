"""Timeframes: how long bars are, how many make a day, and when each begins. Separate because paths, tables and queries share it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Literal

from engine.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

SECONDS: Final[dict[str, int]] = {"15s": 15, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "24h": 86_400}
"""Length of the bars of each timeframe. All divide a day, and each divides the next."""

TIMEFRAMES: Final = tuple(SECONDS)

BASE: Final = TIMEFRAMES[0]
"""The timeframe that ticks are gathered into; the others are rolled up from what its bars carry."""

DAY_SECONDS: Final = 86_400
MICROSECONDS: Final = 1_000_000
BASE_BARS: Final = DAY_SECONDS // SECONDS[BASE]
BASE_US: Final = SECONDS[BASE] * MICROSECONDS


Clock = Literal["exchange", "local"]
"""Which of a row's two times decides its bar."""
CLOCKS: Final[tuple[Clock, ...]] = ("exchange", "local")


def require_clock(name: str) -> Clock:
    """The clock of that name.

    Raises:
        UsageError: naming both.
    """
    for clock in CLOCKS:
        if clock == name:
            return clock
    raise UsageError(f"{name!r} is no clock", hint="bars are cut by exchange or by local time")


def bars_of(timeframe: str) -> int:
    """How many bars a UTC day has: 288 of 5m."""
    return DAY_SECONDS // SECONDS[timeframe]


def base_bars_of(timeframe: str) -> int:
    """How many base bars make one bar: 4 for 1m."""
    return SECONDS[timeframe] // SECONDS[BASE]


def starts_of(timeframe: str, day_start_us: int) -> np.ndarray:
    """The start of each bar of a day, microseconds since the epoch, UTC; int64, one for each bar."""
    import numpy as np

    return day_start_us + np.arange(bars_of(timeframe), dtype=np.int64) * (SECONDS[timeframe] * MICROSECONDS)


def require_timeframes(names: Iterable[str]) -> tuple[str, ...]:
    """Known timeframes, shortest first, each once.

    Raises:
        UsageError: naming the nearest known one, or if there is none.
    """
    wanted = set()
    for name in names:
        if name not in SECONDS:
            near = difflib.get_close_matches(name, TIMEFRAMES, n=1, cutoff=0.5)
            raise UsageError(
                f"timeframe {name!r} is not known", hint=f"did you mean {near[0]}?" if near else f"known are {', '.join(TIMEFRAMES)}"
            )
        wanted.add(name)
    if not wanted:
        raise UsageError("no timeframe", hint=f"known are {', '.join(TIMEFRAMES)}")
    return tuple(name for name in TIMEFRAMES if name in wanted)
