"""What runs cost, beside what was estimated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.session.session import Session
    from provision.costs import Spending


class Money:
    """The money of a session. Every method blocks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def spending(self, runs: Sequence[str] = (), *, since: date | None = None, until: date | None = None) -> Spending:
        """What runs cost beside what was estimated; by default those that began on these UTC days, both inclusive.

        Raises:
            UsageError: if there is no such run.
        """
        from engine.launch import list_runs
        from provision.costs import began_between, read_spending

        session = self._session
        views = [session.runs.read(run) for run in runs]
        if not runs:
            views += session.runs.read_all(run for run in list_runs(session.buckets.state) if began_between(run, since, until))
        return read_spending(session.profile, session.inventory, views, now=session.clock(), compute=lambda: session.compute)
