"""The audit trail as a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from console.feeds import FeedSource

if TYPE_CHECKING:
    from provision.audit import Deed

DAYS: Final = 30
"""So far back, today included."""
SECONDS: Final = 10.0


class AuditSource(FeedSource["Sequence[Deed]"]):
    """Reads what is new of the trail: its objects never change."""

    NAME = "audit"
    LABEL = "audit"

    def fetch(self) -> Sequence[Deed]:
        return self.console.session.audit.deeds(DAYS)

    def seconds(self) -> float:
        return SECONDS
