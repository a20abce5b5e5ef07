"""The lease on a run: of several consoles that look after it, one acts at a time. One object, compare-and-swap by generation.

It keeps consoles out of each other's way. What keeps them from harm if it fails are the create-once numbers of orders and the guard,
so a holder that was asleep for an hour and wakes up does nothing twice.

Whether a lease is stale is judged by the bucket's clock alone: when it wrote the lease down, and what time it is there now. The clocks
of the consoles do not matter. Only the lease of a process of this machine that is gone is nobody's at once: a console that crashed is
started again by the same person.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import msgspec
import psutil

from engine.clock import Clock, monotonic, utc_now
from engine.documents import JSON, Moment, decode, encode, encode_compact
from engine.errors import AlreadyExists, EngineError, GenerationMismatch
from engine.paths import lease_object, probe_object
from engine.store import ObjectInfo, Store

LEASE_SECONDS = 60.0
"""A lease that was not renewed for so long is anybody's (reference: runs/<run>/lease.json, DESIGN 6)."""

RENEW_SECONDS = 20.0
"""While work is done under a lease: two renewals may fail."""

SAME_PROCESS_SECONDS = 2.0
"""The system tells the same start of a process slightly differently."""

TRIES = 3
"""To take a lease that changes hands while we look."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a lease object."""

    schema: int = 1
    run: str
    holder: str
    """Of no other process, ever."""
    who: str
    """For people: who runs it, and where."""
    since: Moment
    """When this holder took it, by the holder's clock."""
    host: str = ""
    pid: int = 0
    started: float = 0.0
    """When the process began, by its machine's clock: a number of a process alone may be another's by now."""


@dataclass(frozen=True, slots=True)
class Holder:
    """One console, or one `tickdeck reconcile`."""

    id: str
    who: str
    host: str = ""
    pid: int = 0
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Held:
    """A lease as it stands in the bucket."""

    lease: Lease
    generation: int
    renewed: datetime
    """By the bucket's clock."""

    def is_of(self, holder: Holder) -> bool:
        """Whether it is this holder's."""
        return self.lease.holder == holder.id

    def is_stale(self, now: datetime) -> bool:
        """Whether anybody may take it at `now`; to decide and not only to show, `now` is of the bucket's clock."""
        return (now - self.renewed).total_seconds() > LEASE_SECONDS


@dataclass(slots=True)
class Keeping:
    """A lease that is renewed while work is done under it."""

    held: Held
    lost: bool = False
    """Somebody else has it by now, or may have: start nothing more."""


def new_holder(owner: str) -> Holder:
    """A holder for this process; another one each time."""
    host, pid = socket.gethostname(), os.getpid()
    who = f"{owner}@{host}, process {pid}"
    return Holder(secrets.token_hex(8), who[:120].encode("ascii", "replace").decode(), host, pid, psutil.Process().create_time())


def read_lease(state: Store, run: str) -> Held | None:
    """Who has the lease on a run, stale or not; None if nobody."""
    info = state.stat(lease_object(run))
    return None if info is None else _held(info)


def take_lease(state: Store, run: str, holder: Holder, *, clock: Clock = utc_now) -> Held | None:
    """Take or renew the lease on a run. Returns the lease that stands then: ours, or that of whoever is faster.

    None: it changed hands each time we looked.

    Raises:
        StoreError, NotPermitted: from the bucket.
    """
    for _ in range(TRIES):
        standing = read_lease(state, run)
        ours = standing is not None and standing.is_of(holder)
        if standing is not None and not ours and not _is_free(state, standing, holder, clock):
            return standing
        lease = standing.lease if standing and ours else _new_lease(run, holder, clock())
        try:
            return _write(state, lease, generation=standing.generation if standing else 0)
        except (AlreadyExists, GenerationMismatch):
            continue
    return None


def release_lease(state: Store, run: str, holder: Holder) -> None:
    """Give the lease back, if it is ours, so that the next one need not wait for its end. A bucket that is away is no reason to fail."""
    with suppress(EngineError):
        standing = read_lease(state, run)
        if standing is not None and standing.is_of(holder):
            state.delete(lease_object(run), if_generation=standing.generation)


@contextmanager
def keep_lease(state: Store, held: Held, holder: Holder, *, clock: Clock = utc_now, every: float = RENEW_SECONDS) -> Iterator[Keeping]:
    """Renew a lease of ours in a thread, for the time of the block. It stays when the block ends.

    Args:
        every: seconds between two renewals.
    """
    keeping, ended = Keeping(held), threading.Event()

    def renew() -> None:
        renewed = monotonic()
        while not ended.wait(every):
            try:
                standing = take_lease(state, held.lease.run, holder, clock=clock)
            except EngineError:
                keeping.lost = monotonic() - renewed > LEASE_SECONDS
                continue
            if standing is None or not standing.is_of(holder):
                keeping.lost = True
                return
            keeping.held, keeping.lost, renewed = standing, False, monotonic()

    thread = threading.Thread(target=renew, name=f"lease-{held.lease.run}", daemon=True)
    thread.start()
    try:
        yield keeping
    finally:
        ended.set()
        thread.join(RENEW_SECONDS)  # or a last renewal might undo that the lease is given back


def _write(state: Store, lease: Lease, *, generation: int) -> Held:
    metadata = {"lease": encode_compact(lease).decode()}
    return _held(state.put(lease_object(lease.run), encode(lease), if_generation=generation, metadata=metadata, content_type=JSON))


def _held(info: ObjectInfo) -> Held:
    return Held(decode(info.metadata["lease"].encode(), Lease, name=info.name), info.generation, info.updated)


def _new_lease(run: str, holder: Holder, now: datetime) -> Lease:
    return Lease(run=run, holder=holder.id, who=holder.who, since=now, host=holder.host, pid=holder.pid, started=holder.started)


def _is_free(state: Store, standing: Held, holder: Holder, clock: Clock) -> bool:
    """Whether a lease of somebody else may be taken."""
    return _is_gone(standing.lease, holder) or standing.is_stale(_bucket_time(state, clock))


def _is_gone(lease: Lease, holder: Holder) -> bool:
    """Whether the lease is of a process of the holder's machine that does not live any more."""
    if not lease.pid or lease.host != holder.host:
        return False
    try:
        return abs(psutil.Process(lease.pid).create_time() - lease.started) > SAME_PROCESS_SECONDS
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _bucket_time(state: Store, clock: Clock) -> datetime:
    """What time it is in the bucket: when it says that it wrote an object just now."""
    info = state.put(probe_object(clock(), secrets.token_hex(4)), b"", if_generation=0)
    state.delete(info.name, if_generation=info.generation)
    return info.updated
