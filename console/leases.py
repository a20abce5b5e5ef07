"""Which live runs another console looks after, in words."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from console.widgets.trouble_line import Trouble

if TYPE_CHECKING:
    from provision.fleet import FleetSnapshot
    from provision.lease import Holder


def looked_after_by_others(snapshot: FleetSnapshot | None, me: Holder) -> list[Trouble]:
    """For each live run whose lease somebody else holds: who, until when, and what that means here."""
    from provision.lease import LEASE_SECONDS
    from provision.runs import Phase

    if snapshot is None:
        return []
    found = []
    for view in snapshot.runs:
        held = view.lease
        if held is None or held.is_of(me) or held.is_stale(snapshot.taken):
            continue
        if view.phase(snapshot.taken) not in (Phase.RUNNING, Phase.DRAINING):
            continue
        until = (held.renewed + timedelta(seconds=LEASE_SECONDS)).astimezone(UTC)
        reason = f"{held.lease.who} looks after it until {until:%H:%M:%S}; here lost VMs are only looked at"
        found.append(Trouble(f"run {view.run}", reason, is_bad=False))
    return found
