"""The workers' own logs from the state bucket: whole, without a read quota, and there after the VM is gone."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from engine.cloudlog import SEVERITIES, InsertIds
from engine.errors import UsageError
from engine.paths import log_prefix, parse_log_object
from engine.store import ObjectData, ObjectInfo
from provision.logs.entries import LogEntry, entry_from_line, merge

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
