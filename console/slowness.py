"""Why a VM is where it is: its own words, and how it compares with the others of its run. Pure; one line for the eye, or its parts.

The cause of the slowest shard is what a person on call looks for first, and it is seldom in one column: the rate is low, or the shard
is large, or the VM began late because the one before it was taken away.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median

from console.widgets.figures import format_bytes, format_duration, format_rate, plural
from provision.fleet import FleetSnapshot
from provision.preemptions import find_lineages
from provision.vm_state import FleetVm, VmState

SLOW = 0.7
"""Of the median rate: below it a VM is called slow."""
LARGE = 1.3
"""Times the median of what is left: above it a shard is called large."""
LATE = 60.0
"""Seconds lost before it that are worth a word."""


def slowest(snapshot: FleetSnapshot) -> FleetVm | None:
    """The VM that ends last of those that work; without an end in sight the one that hangs, else the one with most left."""
    working = [row for row in snapshot.vms if row.managed and row.state is VmState.RUNNING]
    if rows := [row for row in working if row.ends is not None]:
        return max(rows, key=lambda row: row.ends or snapshot.taken)
    hangs = (row for row in snapshot.vms if row.managed and row.state in (VmState.STUCK, VmState.LOST) and not row.replaced_by)
    return next(hangs, None) or max(working, key=_left, default=None)


def moment_of_trouble(row: FleetVm) -> datetime | None:
    """When what a person wants to read about happened, UTC: the last progress of a stuck VM, the last word of one that ended badly.

    None where the newest lines are what is wanted.
    """
    if row.state is VmState.STUCK:
        return row.progressed
    if row.state in (VmState.PREEMPTED, VmState.LOST, VmState.FAILED, VmState.STOPPED) and row.heartbeat is not None:
        return row.heartbeat.written
    return None


def reasons(row: FleetVm, snapshot: FleetSnapshot) -> list[str]:
    """Why it is slow, stuck or lost, the strongest first; empty if nothing is odd."""
    found = []
    if row.state is VmState.DONE and not row.exists:
        found.append(f"gone: Compute Engine listed no such VM at {snapshot.taken.astimezone(UTC):%H:%M:%S} UTC")
    if row.note and row.state is not VmState.RUNNING:
        # The file it hangs on is said at the end of the line.
        found.append(row.note.removesuffix(f" on {row.heartbeat.current}") if row.heartbeat is not None else row.note)
    if row.state in (VmState.RUNNING, VmState.STUCK) and row.limited_by:
        found.append(f"limited by {row.limited_by}")
    lineages = find_lineages(snapshot, row.run) if row.attempt > 1 else ()
    line = next((line for line in lineages if any(life.vm == row.name for life in line.lives)), None)
    if line is not None and len(line.lives) > 1 and line.lost_seconds > LATE:
        before = line.lives[-2]
        found.append(f"began late: {before.end or 'lost'} before, {format_duration(line.lost_seconds)} lost")
    found += _against_others(row, snapshot)
    if row.heartbeat is not None and row.heartbeat.throttled and row.limited_by != "source 429":
        found.append(f"{plural(row.heartbeat.throttled, 'time')} refused by the source (429)")
    if row.last_error:
        found.append(f"last error: {row.last_error}")
    return found


def explain(row: FleetVm, snapshot: FleetSnapshot) -> str:
    """One line about the VM under the cursor: what it works on, until when, and why it is slow."""
    parts = []
    if row.heartbeat is not None and row.heartbeat.current and row.state in (VmState.RUNNING, VmState.STUCK, VmState.STOPPING):
        parts.append(f"at {row.heartbeat.current}")
    why = reasons(row, snapshot)
    if not why and row.ends is not None and row.state is VmState.RUNNING:
        parts.append(f"ends {row.ends.astimezone(UTC):%H:%M} UTC")
    if not why and row.note and not parts:
        parts.append(row.note)
    return " · ".join([*why, *parts]) or str(row.state)


def _against_others(row: FleetVm, snapshot: FleetSnapshot) -> list[str]:
    peers = _peers(row, snapshot)
    if row.state is not VmState.RUNNING or row.heartbeat is None or len(peers) < 2:
        return []
    found = []
    rate = median(peer.bytes_per_second for peer in peers)
    if rate > 0 and row.bytes_per_second < SLOW * rate:
        found.append(f"{format_rate(row.bytes_per_second)} where the others have {format_rate(rate)}")
    left = median(_left(peer) for peer in peers)
    if left > 0 and _left(row) > LARGE * left:
        found.append(f"{format_bytes(_left(row))} left where the others have {format_bytes(left)}")
    return found


def _peers(row: FleetVm, snapshot: FleetSnapshot) -> Sequence[FleetVm]:
    return [
        peer
        for peer in snapshot.of_run(row.run)
        if peer.name != row.name and peer.state is VmState.RUNNING and peer.heartbeat is not None and not peer.replaced_by
    ]


def _left(row: FleetVm) -> float:
    beat = row.heartbeat
    return max(0.0, beat.bytes_total - beat.bytes_done) if beat is not None else 0.0
