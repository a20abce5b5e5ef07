"""Claims: who works on a shard, and which attempt this is. Compare-and-swap by object generation.

A wrong guess that another worker is dead is harmless (files commit once), so a claim is a way to share work, not a lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from engine.documents import JSON, Moment, decode, encode, encode_compact
from engine.errors import AlreadyExists, GenerationMismatch
from engine.heartbeat import read_heartbeat
from engine.model import require_aware
from engine.paths import claim_object, claim_prefix, parse_claim_object
from engine.store import Store

HISTORY = 20
"""Earlier holders that are kept; the whole claim must fit into 4 KiB of metadata."""

STALE_AFTER = timedelta(minutes=3)
"""A worker whose heartbeat is older has lost its shard to whoever asks."""

State = Literal["working", "stopped", "done"]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a claim object."""

    schema: int = 1
    run: str
    shard: int
    vm: str
    attempt: int
    state: State
    since: Moment
    history: tuple[str, ...] = ()
    """Earlier holders, oldest first, as `vm#attempt`."""


@dataclass(frozen=True, slots=True)
class Held:
    """A claim as it stands in the bucket."""

    claim: Claim
    generation: int


def read_claim(store: Store, run: str, shard: int) -> Held | None:
    """The claim on a shard, or None if nobody ever took it."""
    name = claim_object(run, shard)
    found = store.get(name)
    return None if found is None else Held(decode(found.data, Claim, name=name), found.generation)


def list_claims(store: Store, run: str) -> dict[int, Held]:
    """All claims of a run by shard, from one listing: the claim is repeated in its object's metadata."""
    held = {}
    for info in store.list(claim_prefix(run)):
        shard = parse_claim_object(info.name)[1]
        held[shard] = Held(decode(info.metadata["claim"].encode(), Claim, name=info.name), info.generation)
    return held


def take(
    store: Store,
    run: str,
    shard: int,
    vm: str,
    *,
    now: datetime,
    gone: frozenset[str] = frozenset(),
    again: bool = False,
    stale_after: timedelta = STALE_AFTER,
) -> Held | None:
    """Claim a shard for `vm`: if it is free, was given back, was ours before a restart, or its holder is gone or silent.

    Args:
        gone: VMs that are known to be gone (the launch record of a replacement names them).
        again: take it also if it is done: a run that goes on by hand has planned anew what is missing.
        stale_after: a holder that was silent for longer has lost it.

    Returns:
        The claim we hold, or None if the shard is done or another live worker has it.
    """
    require_aware(now)
    held = read_claim(store, run, shard)
    if held is None:
        claim = Claim(run=run, shard=shard, vm=vm, attempt=1, state="working", since=now)
        return _swap(store, claim, generation=0)
    old = held.claim
    if old.state == "done" and not again:
        return None
    if old.state == "working" and old.vm != vm and old.vm not in gone and not _is_silent(store, run, old, now, stale_after):
        return None
    history = (*old.history, f"{old.vm}#{old.attempt}")[-HISTORY:]
    claim = Claim(run=run, shard=shard, vm=vm, attempt=old.attempt + 1, state="working", since=now, history=history)
    return _swap(store, claim, generation=held.generation)


def release(store: Store, held: Held, state: State, *, now: datetime) -> Held | None:
    """Say how the work on a shard ended. None if somebody else had taken it meanwhile, which is fine."""
    return _swap(store, msgspec.structs.replace(held.claim, state=state, since=now), generation=held.generation)


def _is_silent(store: Store, run: str, claim: Claim, now: datetime, stale_after: timedelta) -> bool:
    heartbeat = read_heartbeat(store, run, claim.vm)
    last = claim.since if heartbeat is None else max(heartbeat.written, claim.since)
    return now - last > stale_after


def _swap(store: Store, claim: Claim, *, generation: int) -> Held | None:
    name = claim_object(claim.run, claim.shard)
    try:
        metadata = {"claim": encode_compact(claim).decode()}
        info = store.put(name, encode(claim), if_generation=generation, metadata=metadata, content_type=JSON)
    except (AlreadyExists, GenerationMismatch):
        # Our own write may have arrived although its reply was lost: then the object says exactly what we wanted to say.
        found = read_claim(store, claim.run, claim.shard)
        return found if found is not None and found.claim == claim else None
    return Held(claim, info.generation)
