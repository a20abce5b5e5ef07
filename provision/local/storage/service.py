"""What the handlers share: the index, the bodies, the fault switches, and the one place where an object is committed."""

from __future__ import annotations

import asyncio
import fcntl
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

from provision.local.faults import Fault, FaultKind, FaultSwitches
from provision.local.storage.bodies import Bodies, Digest, Incoming
from provision.local.storage.calls import Call
from provision.local.storage.errors import StorageError, bucket_not_found, object_not_found
from provision.local.storage.index import Index, StoredBucket, StoredObject
from provision.local.storage.preconditions import Preconditions
from provision.local.storage.resources import Draft

FAULT_KINDS = (
    FaultKind("status", {"status": int}, {"retry_after": float}, "answers with that HTTP status and executes nothing"),
    FaultKind("slow", {"seconds_per_mib": float}, does="moves bodies at that pace, both ways"),
    FaultKind("lost_reply", does="executes, then closes the connection without an answer"),
    FaultKind("reset_upload", {"after_bytes": int}, does="closes the connection after so many bytes of an upload"),
    FaultKind("deny_permission", {"permission": str}, does="says that this permission is lacking in the bucket"),
)
"""status: answered instead of being executed. slow: bodies move at that pace, both ways. lost_reply: executed and
committed, then the connection closes without an answer. reset_upload: the connection closes after so many body bytes.
deny_permission: whoever asks what is permitted in a bucket (`match`: its name) hears that this is not."""

SESSION_SECONDS = 7 * 86_400
"""How long a resumable upload may be resumed."""


class RootInUseError(RuntimeError):
    """Another server has this folder."""


@dataclass(slots=True)
class RequestCounts:
    """What was asked of the server, so that a test can count requests instead of trusting a client."""

    by_operation: Counter[str] = field(default_factory=Counter)
    by_status: Counter[int] = field(default_factory=Counter)
    bytes_received: int = 0
    bytes_sent: int = 0
    in_flight: int = 0
    most_in_flight: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "total": self.by_operation.total(),
            "counts": dict(sorted(self.by_operation.items())),
            "statuses": {str(status): count for status, count in sorted(self.by_status.items())},
            "bytes_received": self.bytes_received,
            "bytes_sent": self.bytes_sent,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
        }


class Service:
    """One storage server's state, in one folder that only it may use."""

    def __init__(self, root: Path, faults: FaultSwitches) -> None:
        """Open or create the folder.

        Raises:
            RootInUseError: if another server has it.
        """
        root.mkdir(parents=True, exist_ok=True)
        self._lock = (root / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise RootInUseError(f"{root} is in use by another storage server; stop that one or choose another folder") from None
        self._root = root
        self.index = Index(root / "index.sqlite")
        self.bodies = Bodies(root)
        self.faults = faults
        self.counts = RequestCounts()
        self.index.forget_sessions(self.index.tick() - SESSION_SECONDS * 1_000_000)
        self.bodies.sweep_incoming(self.index.open_sessions())

    async def sweep(self) -> None:
        """Remove bodies that a kill left without an object. Runs beside the requests."""
        before = self.index.tick()
        live = self.index.generations()
        await asyncio.to_thread(self.bodies.sweep, live, before)

    def close(self) -> None:
        """Close the index and give the folder free."""
        self.index.close()
        self._lock.close()

    def bucket(self, name: str) -> StoredBucket:
        """Raises:
        StorageError: 404.
        """
        bucket = self.index.bucket(name)
        if bucket is None:
            raise bucket_not_found()
        return bucket

    def object(self, bucket: str, name: str, generation: int | None = None) -> StoredObject:
        """The live version, which must be `generation` if one is given: older ones are not kept.

        Raises:
            StorageError: 404.
        """
        self.bucket(bucket)
        stored = self.index.object(bucket, name)
        if stored is None or generation not in {None, stored.generation}:
            raise object_not_found(bucket, name)
        return stored

    def open(self, stored: StoredObject) -> BinaryIO:
        """The body of an object just read from the index, with no other request in between."""
        return self.bodies.open(stored.generation)

    def commit(
        self,
        bucket: str,
        name: str,
        draft: Draft,
        digest: Digest,
        source: Incoming | StoredObject,
        conditions: Preconditions,
        *,
        components: int | None = None,
        session: str | None = None,
        show: Any = None,
    ) -> StoredObject:
        """Make a received or an existing body the live version of an object, if the preconditions hold.

        Nothing else runs between the check and the commit, so of several writers that demand the same generation one wins.

        Args:
            session: the resumable upload that this ends, in the same transaction.
            show: makes the answer that a finished session repeats from the stored object.

        Raises:
            StorageError: 404 or 412.
        """
        holder = self.bucket(bucket)
        replaced = self.index.object(bucket, name)
        conditions.check_write(replaced)
        generation = self.index.tick()
        stored = StoredObject(
            bucket,
            name,
            generation,
            1,
            generation,
            digest.size,
            digest.crc32c,
            digest.md5,
            components,
            draft.storage_class or holder.settings.get("storageClass", "STANDARD"),
            draft.settings,
        )
        if isinstance(source, Incoming):
            self.bodies.adopt(source.path, generation)
        else:
            self.bodies.link(source.generation, generation)
        ended = (session, int(HTTPStatus.OK), show(stored)) if session else None
        self.index.put_object(stored, ended)
        if replaced:
            self.bodies.discard(replaced.generation)
        return stored

    def change(self, stored: StoredObject, settings: Mapping[str, Any]) -> StoredObject:
        """Give an object other settings: a new metageneration of the same generation."""
        changed = replace(stored, settings=settings, metageneration=stored.metageneration + 1, updated=self.index.tick())
        self.index.put_object(changed)
        return changed

    def delete(self, stored: StoredObject) -> None:
        """Remove an object and its body."""
        self.index.delete_object(stored.bucket, stored.name)
        self.bodies.discard(stored.generation)

    def denies(self, permission: str, bucket: str) -> bool:
        """Whether a fault says that the caller lacks a permission in a bucket."""
        return self.faults.take("deny_permission", method="GET", target=bucket, having={"permission": permission}) is not None

    def strike(self, fault: str, call: Call) -> Fault | None:
        """The fault of that kind that strikes this call. Matched against operation, target and object name."""
        target = " ".join((call.operation, call.target, *call.names))
        return self.faults.take(fault, method=call.method, target=target)

    def refuse_if_struck(self, call: Call) -> None:
        """Apply an armed `status` fault.

        Raises:
            StorageError: as armed.
        """
        fault = self.strike("status", call)
        if fault is None:
            return
        status = fault.settings["status"]
        retry_after = fault.settings.get("retry_after")
        reason, message = _STATUS_TEXTS.get(status, ("backendError", "Backend Error"))
        headers = {"Retry-After": f"{retry_after:g}"} if retry_after is not None else {}
        raise StorageError(status, reason, message, headers=headers)

    def slow_or_cut(self, call: Call) -> None:
        """Apply armed `slow` and `reset_upload` faults to the body of an upload."""
        if slow := self.strike("slow", call):
            call.body.seconds_per_mib = float(slow.settings["seconds_per_mib"])
        if cut := self.strike("reset_upload", call):
            call.body.cut_after = cut.settings["after_bytes"]


_STATUS_TEXTS = {
    408: ("requestTimeout", "Request Timeout"),
    429: ("rateLimitExceeded", "The object exceeded the rate limit for object mutation operations."),
    403: ("forbidden", "The caller does not have storage access to the requested resource."),
    401: ("authError", "Invalid Credentials"),
    503: ("backendError", "We encountered an internal error. Please try again."),
}
