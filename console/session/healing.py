"""Looking after runs: one pass of reconcile, the lease that goes with it, and what of it a person should read."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from provision.notify import Event, Kind, tell

if TYPE_CHECKING:
    from console.reconcile_events import ReconcileEvent
    from console.session.session import Session
    from provision.lease import Holder
    from provision.reconcile import Outlook

RECONCILE_SECONDS: Final = 30.0
"""So long a pass of reconcile waits for VMs it has asked for; the next one finds what became of them."""


class Healing:
    """A session as one of those that look after runs. Every method blocks."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._looked_after: set[str] = set()
        self._said: set[ReconcileEvent] = set()

    @cached_property
    def holder(self) -> Holder:
        """Who we are to others that look after the same runs."""
        from provision.lease import new_holder

        return new_holder(self._session.profile.owner)

    def look_after(self, run: str, *, max_cost: float = 0.0) -> tuple[tuple[ReconcileEvent, ...], Outlook]:
        """One pass of reconcile over a run, and how the run stands. Keeps the lease for the next pass; `let_go` gives it back.

        Args:
            max_cost: a limit that replaces the plan's and the profile's, in US dollars; 0: theirs.
        """
        from console.reconcile_events import events_of
        from provision.reconcile import outlook, reconcile

        session = self._session
        snapshot = session.watching.fleet(run)
        done = reconcile(
            session.profile,
            session.compute,
            session.buckets.state,
            snapshot,
            run=run,
            holder=self.holder,
            find_plan=session.inventory.plan,
            max_cost=max_cost,
            armed=session.armed,
            wait_seconds=RECONCILE_SECONDS,
            clock=session.clock,
        )
        self._looked_after.add(run)
        events = events_of(done)
        for event in events:
            if event.kind == "drained" and session.watching.is_telling:
                tell(Event(Kind.CAP, run, event.text))
        return events, outlook(snapshot, run, done)

    def let_go(self) -> None:
        """Give back the leases of the runs that were looked after."""
        from provision.lease import release_lease

        while self._looked_after:
            release_lease(self._session.buckets.state, self._looked_after.pop(), self.holder)

    def reconcile(self, run: str) -> str:
        """Look after a run; says what was done, and once what a person has to decide; "" if there is nothing to say."""
        events, _ = self.look_after(run)
        lines = []
        for event in events:
            if event.kind in ("waiting", "elsewhere", "overtaken", "canary") or (event.is_state and event in self._said):
                continue
            self._said.add(event)
            lines.append(event.text)
        return "; ".join(lines)
