"""Which cells are being worked on right now, or wait for a worker that was asked for: the overlay of running work.

Only what is alive may hide a hole. A claim counts while its holder's heartbeat is fresh; a shard that nobody has claimed counts as
queued while somebody can still take it: another worker of its run lives, or its VM was asked for and has not spoken yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from engine.claims import STALE_AFTER, Claim, list_claims
from engine.coverage import LiveShard
from engine.heartbeat import Heartbeat, list_heartbeats
from engine.launch import LaunchRecord, read_launches
from engine.model import require_aware
from engine.paths import drain_object
from engine.plan import Plan, Shard
from engine.store import Store

QUEUED_FOR = timedelta(minutes=15)
"""So long a shard waits for a VM to boot before it is a hole again."""

ENDED_STATES = frozenset({"done", "stopped", "failed"})


def live_shards(state: Store, run: str, find_plan: Callable[[str], Plan], *, now: datetime) -> tuple[list[tuple[LiveShard, Shard]], bool]:
    """The shards of a run that are worked on or queued, and whether the run is over: every shard that was launched is done."""
    require_aware(now)
    claims = {shard: held.claim for shard, held in list_claims(state, run).items()}
    records = read_launches(state, run)
    if not records:
        return [], False
    launched = {shard for record in records for vm in record.vms.values() for shard in vm.shards}
    unfinished = sorted(shard for shard in launched | claims.keys() if shard not in claims or claims[shard].state != "done")
    if not unfinished:
        return [], True
    beats = {beat.vm: beat for beat in list_heartbeats(state, run)}
    waiting = _waiting(state, run, records, beats, now)
    found = []
    for shard in unfinished:
        claim = claims.get(shard)
        beat = beats.get(claim.vm) if claim is not None else None
        if claim is not None and claim.state == "working" and _is_alive(claim, beat, now):
            found.append(LiveShard(run, shard, vm=claim.vm, current=beat.current if beat is not None else ""))
        elif shard in waiting:
            found.append(LiveShard(run, shard, queued=True))
    if not found:
        return [], False
    plan = find_plan(records[0].plan)
    return [(holder, plan.shard(holder.shard)) for holder in found], False


def _is_alive(claim: Claim, beat: Heartbeat | None, now: datetime) -> bool:
    last = claim.since if beat is None else beat.written
    return now - last < STALE_AFTER and (beat is None or beat.state not in ENDED_STATES)


def _waiting(state: Store, run: str, records: list[LaunchRecord], beats: Mapping[str, Heartbeat], now: datetime) -> set[int]:
    """Shards that would get a worker of this run, if nobody has them."""
    alive = any(now - beat.written < STALE_AFTER and beat.state not in ENDED_STATES for beat in beats.values())
    found = set()
    for record in records:
        for name, vm in record.vms.items():
            if alive or (name not in beats and now - record.created < QUEUED_FOR):
                found |= set(vm.shards)
    return found if found and state.get(drain_object(run)) is None else set()
