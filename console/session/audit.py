"""Who changed what: the audit trail of a session."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.session.session import Session
    from provision.audit import AuditReader, Deed


class Audit:
    """The trail, read again and again. Every method blocks; for one thread at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def deeds(self, days: int) -> tuple[Deed, ...]:
        """What was changed in the last so many UTC days, today included; unfinished changes too."""
        from provision.audit import pair_records

        now = self._session.clock()
        today = now.date()
        return tuple(pair_records(self._reader.read(today - timedelta(days=days - 1), today), now=now))

    @cached_property
    def _reader(self) -> AuditReader:
        """An object of the trail never changes: each is fetched once."""
        from provision.audit import AuditReader

        return AuditReader(self._session.buckets.state)
