"""The fault switches of the local Cloud Logging.

| fault | what it does | settings |
|---|---|---|
| `cut-tail` | ends tail sessions with UNAVAILABLE: those that are open, then each new one, until `count` is used up | |
| `unavailable` | a call answers UNAVAILABLE and does nothing | |
| `slow` | a call waits first | `seconds` |
| `lost-reply` | a write is done and answers UNAVAILABLE | |
| `read-quota` | `ListLogEntries` beyond the quota answer RESOURCE_EXHAUSTED | `per_minute` (60) |
| `tail-quota` | a tail session gets no more than this many entries a minute, the rest is suppressed | `per_minute` |

`method` narrows a fault to one RPC (`"ListLogEntries"`), `match` to a project; `read-quota` counts every read as a strike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from provision.local.faults import FaultKind, FaultSwitches
from provision.local.logs.tail_sessions import ENTRIES_PER_MINUTE

READS_PER_MINUTE = 60
"""Google's fixed quota of read requests, per project."""

KINDS = (
    FaultKind("cut-tail", does="ends tail sessions, the open ones and each new one"),
    FaultKind("unavailable", does="answers UNAVAILABLE and does nothing"),
    FaultKind("slow", required={"seconds": float}, does="waits so long before it does anything"),
    FaultKind("lost-reply", does="writes, and answers UNAVAILABLE"),
    FaultKind("read-quota", optional={"per_minute": int}, does="refuses reads beyond so many a minute (60) with RESOURCE_EXHAUSTED"),
    FaultKind("tail-quota", required={"per_minute": int}, does="lets so many entries a minute into a tail, and suppresses the rest"),
)


class LogFaults(FaultSwitches):
    """The switches, with a signal: a cut must reach sessions that are waiting for entries that may never come."""

    def __init__(self) -> None:
        super().__init__(KINDS)
        self._cut: Callable[[], None] | None = None

    def on_cut(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a fault is armed."""
        self._cut = listener

    def arm(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Arm one fault, as `FaultSwitches.arm`; a cut strikes at once."""
        armed = super().arm(order)
        if self._cut is not None:
            self._cut()
        return armed

    def tail_entries_per_minute(self, parents: tuple[str, ...]) -> int:
        """The quota in force for a tail session."""
        fault = self.take("tail-quota", method="TailLogEntries", target=" ".join(parents))
        return ENTRIES_PER_MINUTE if fault is None else int(fault.settings["per_minute"])
