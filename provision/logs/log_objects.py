"""The workers' own logs from the state bucket: whole, without a read quota, and there after the VM is gone."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from engine.cloudlog import SEVERITIES, InsertIds
from engine.errors import UsageError
from engine.model import require_aware
from engine.paths import log_prefix, parse_log_object
from engine.store import ObjectData, ObjectInfo
from provision.logs.entries import LogEntry, entry_from_line, merge

PARALLEL = 8
"""Listings or objects read at once."""
CLOCKS_APART = timedelta(minutes=2)
"""The VM's clock may be ahead of the bucket's by this much."""

_STEP_BYTES = 512
"""Unzipped bit by bit, so that an object with a damaged end still gives what is before the damage."""


class LogStore(Protocol):
    """The state bucket, as far as log objects go; `engine.store.Store` is one."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects under `prefix`."""

    def get(self, name: str) -> ObjectData | None:
        """An object's bytes."""


def read_log_objects(
    store: LogStore,
    run: str,
    vm: str = "",
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    min_severity: str = "DEFAULT",
) -> list[LogEntry]:
    """The worker's own log, from the state bucket, in time order: whole, without a read quota, and there after the VM.

    A damaged object gives what can be read of it, and a WARNING entry that says so.

    Args:
        store: the state bucket.
        run: the run.
        vm: one VM; empty for all of the run.
        since: aware, inclusive.
        until: aware, exclusive.
        min_severity: a name from `SEVERITIES`.
    """
    for moment in filter(None, (since, until)):
        require_aware(moment)
    entries: list[LogEntry] = []
    ids: dict[str, InsertIds] = {}
    for info in store.list(log_prefix(run, vm)):
        if since is not None and info.updated < since:
            continue  # written before: holds only older lines
        try:
            _, owner, _, _ = parse_log_object(info.name)
        except UsageError:
            continue  # not ours: somebody left a file here
        data = store.get(info.name)
        if data is None:
            continue
        entries += _object_entries(info, data.data, run, owner, ids.setdefault(owner, InsertIds()))
    least = SEVERITIES[min_severity]
    return merge(
        entry
        for entry in entries
        if (since is None or entry.timestamp >= since)
        and (until is None or entry.timestamp < until)
        and SEVERITIES.get(entry.severity, 0) >= least
    )


@dataclass(frozen=True, slots=True)
class LogPieces:
    """The log objects of some VMs of some runs: found by listing, none opened yet."""

    pieces: tuple[tuple[ObjectInfo, str, str], ...]
    """(object, run, VM)."""

    def last(self) -> dict[str, datetime]:
        """When each VM's newest object was written."""
        found: dict[str, datetime] = {}
        for info, _, vm in self.pieces:
            found[vm] = max(found.get(vm, info.updated), info.updated)
        return found


def find_log_objects(store: LogStore, runs: Sequence[str], wanted: Callable[[str], bool]) -> LogPieces:
    """The log objects of these runs' VMs whose names are wanted: one listing a run, several at once."""

    def of(run: str) -> list[tuple[ObjectInfo, str, str]]:
        found = []
        for info in store.list(log_prefix(run)):
            try:
                _, vm, _, _ = parse_log_object(info.name)
            except UsageError:
                continue  # not ours: somebody left a file here
            if wanted(vm):
                found.append((info, run, vm))
        return found

    with ThreadPoolExecutor(max_workers=PARALLEL, thread_name_prefix="logs") as pool:
        return LogPieces(tuple(piece for found in pool.map(of, runs) for piece in found))


def read_newest(
    store: LogStore,
    pieces: LogPieces,
    lines: int,
    keep: Callable[[Sequence[LogEntry]], list[LogEntry]],
    *,
    since: datetime,
) -> list[LogEntry]:
    """The newest `lines` entries that `keep` lets through, in time order, opening as few objects as that takes.

    An object holds nothing newer than itself. So, from the newest object backwards, reading may end as soon as there are enough entries
    and the next object was written before the oldest of them.
    """
    require_aware(since)
    kept: list[LogEntry] = []
    newest_first = sorted((piece for piece in pieces.pieces if piece[0].updated >= since), key=lambda piece: piece[0].updated, reverse=True)

    def read(piece: tuple[ObjectInfo, str, str]) -> list[LogEntry]:
        info, run, vm = piece
        data = store.get(info.name)
        return list(_object_entries(info, data.data, run, vm, InsertIds())) if data is not None else []

    with ThreadPoolExecutor(max_workers=PARALLEL, thread_name_prefix="logs") as pool:
        for at in range(0, len(newest_first), PARALLEL):
            batch = newest_first[at : at + PARALLEL]
            if len(kept) >= lines and batch[0][0].updated + CLOCKS_APART < kept[0].timestamp:
                break
            found = [entry for entries in pool.map(read, batch) for entry in entries]
            kept = merge(kept, keep(found))[-lines:]
    return kept


def _object_entries(info: ObjectInfo, data: bytes, run: str, vm: str, ids: InsertIds) -> Iterator[LogEntry]:
    text, damage = _unzip(data)
    bad_lines = 0
    for line in text.split(b"\n"):
        if not line:
            continue
        try:
            yield entry_from_line(json.loads(line), run, vm, ids)
        except (ValueError, KeyError, TypeError, UsageError):
            bad_lines += 1
    if bad_lines and not damage:
        damage = f"{bad_lines} of its lines are no log entries"
    if damage:
        yield LogEntry(
            info.updated,
            "WARNING",
            vm,
            run,
            "",
            f"log object {info.name} cannot be read whole: {damage}",
            "log_object_damaged",
            {},
            info.name,
            "log-objects",
        )


def _unzip(data: bytes) -> tuple[bytes, str]:
    """What can be read of a gzip file, and what is wrong with it."""
    unzip = zlib.decompressobj(wbits=31)
    text = bytearray()
    try:
        for at in range(0, len(data), _STEP_BYTES):
            text += unzip.decompress(data[at : at + _STEP_BYTES])
    except zlib.error as error:
        return bytes(text), str(error)
    return bytes(text), "" if unzip.eof else "it ends early"
