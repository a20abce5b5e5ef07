"""The transient faults the source can show: which kinds there are, and how each one strikes a reply.

Kept apart from traps: a trap is a property of a file and stays, a fault strikes some requests and passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from provision.local.faults import FaultKind, FaultSwitches
from provision.local.tardis.scenario import Scenario

FAULT_KINDS: Final[tuple[FaultKind, ...]] = (
    FaultKind("status", {"status": int}, {"retry_after": float}, "answers with that HTTP status"),
    FaultKind("burst_429", {}, {"retry_after": float}, "answers 429, too many requests"),
    FaultKind("key_in_use", {}, {"retry_after": float}, "answers 403, the key is used from another address; only to requests with a key"),
    FaultKind("truncated_body", {}, {"share": float}, "closes the connection after that share of the promised bytes (0.5)"),
    FaultKind("corrupt", does="changes one byte in the middle of the body"),
    FaultKind("stall", {"seconds": float}, does="falls silent for so long in the middle of the body"),
    FaultKind("slow", {"bytes_per_second": int}, does="sends the body at that pace"),
    FaultKind("reset", does="resets the connection before the first byte"),
    FaultKind("lost_reply", does="closes the connection without an answer"),
)
"""`status`: that status and a JSON error. `burst_429`: 429. `key_in_use`: 403, only for requests that carry a key.
`truncated_body`: the connection closes after `share` (default 0.5) of the promised bytes. `corrupt`: one byte in the middle
is another. `stall`: silence of `seconds` in the middle of the body. `slow`: so many bytes a second. `reset`: TCP reset
before the first byte. `lost_reply`: closed without an answer."""

KEY_FAULTS: Final = ("key_in_use",)
REPLACING_FAULTS: Final = ("status", "burst_429", "key_in_use", "reset", "lost_reply")
"""Those that leave nothing of the true reply, so that it need not be made."""

OPEN_FAULTS: Final = tuple(kind.name for kind in FAULT_KINDS if kind.name not in KEY_FAULTS)


class SourceFaults(FaultSwitches):
    """The switches of the stand-in. `after_requests` is understood as another word for `skip`."""

    def __init__(self) -> None:
        super().__init__(FAULT_KINDS)

    def arm(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """See `FaultSwitches.arm`."""
        renamed = dict(order)
        if "after_requests" in renamed:
            renamed.setdefault("skip", renamed.pop("after_requests"))
        return super().arm(renamed)


def armed_faults(scenario: Scenario) -> SourceFaults:
    """Switches with the scenario's faults armed.

    Raises:
        FaultError: if one cannot be armed.
    """
    faults = SourceFaults()
    for spec in scenario.faults:
        faults.arm(
            {
                "fault": spec.fault,
                "match": spec.match,
                "count": spec.count,
                "after_requests": spec.after_requests,
                **spec.settings,
            }
        )
    return faults
