"""The audit trail as a source."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from console.feeds import FeedSource

if TYPE_CHECKING:
    from console.app import ConsoleApp
    from provision.audit import AuditReader, Deed

DAYS: Final = 30
"""So far back, today included."""
SECONDS: Final = 10.0


class AuditSource(FeedSource["Sequence[Deed]"]):
    """Reads what is new of the trail: its objects never change."""

    NAME = "audit"
    LABEL = "audit"

    def __init__(self, console: ConsoleApp) -> None:
        super().__init__(console)
        self._reader: AuditReader | None = None

    def fetch(self) -> Sequence[Deed]:
        from provision.audit import AuditReader, pair_records

        session, now = self.console.session, self.console.clock()
        self._reader = self._reader or AuditReader(session.buckets.state)
        today = now.date()
        return tuple(pair_records(self._reader.read(today - timedelta(days=DAYS - 1), today), now=now))

    def seconds(self) -> float:
        return SECONDS
