"""Heartbeats: what a worker says of itself every few seconds. One listing of their metadata shows the whole fleet."""

from __future__ import annotations

from datetime import datetime

import msgspec

from engine.clock import format_time, parse_time
from engine.documents import JSON, Moment, convert, decode, encode
from engine.paths import heartbeat_object, heartbeat_prefix, parse_heartbeat_object
from engine.store import ObjectInfo, Store

INTERVAL_SECONDS = 10.0
"""Between two heartbeats; one object takes about one write a second at most."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's own account. All counts are of the shards it works on in this attempt."""

    run: str
    vm: str
    sequence: int
    written: Moment
    started: Moment
    progressed: Moment | None = None
    """When the worker last got on, by its own clock, so that one look is enough to see it stuck; None: an earlier version wrote this."""
    state: str
    """`starting`, `working`, `paused` (the source refuses for a while), `stopping`, `idle`, `done`, `stopped`, `failed`,
    `kept` (its work is over, it stays for jobs)."""
    shard: int = -1
    attempt: int = 0
    shards_done: int = 0
    shards_total: int = 0
    files_done: int = 0
    """Files with an outcome, those committed before included."""
    files_total: int = 0
    files_resumed: int = 0
    """Of `files_done`: found committed, not fetched."""
    files_bad: int = 0
    """Files quarantined, failed or not entitled."""
    rows: int = 0
    source_bytes: int = 0
    """Compressed bytes received."""
    bytes_total: int = 0
    """Compressed bytes expected by the plan."""
    bytes_done: int = 0
    """Of `bytes_total`, by the plan's estimates: files with an outcome, and what came of those on their way."""
    bytes_per_second: float = 0.0
    """Compressed bytes received, over the last minute."""
    limited_by: str = ""
    """What limits it now: `cpu`, `network`, `source 429`, `upload`, `memory`, or empty."""
    cpu_percent: float = 0.0
    rss_bytes: int = 0
    retries: int = 0
    throttled: int = 0
    """429 answers of the source."""
    errors: int = 0
    last_error: str = ""
    current: str = ""
    """The file it has worked on longest."""
    exit_code: int = -1
    """Set in the last heartbeat of the work; a kept worker goes on repeating it."""
    kept_until: Moment | None = None
    """Until when the worker stays for jobs; None: it does not."""
    job: int = 0
    """The job it does, or did last; 0: none yet."""
    job_exit_code: int = -1
    """Of that job, once it has ended."""
    engine_version: str = ""


def write_heartbeat(store: Store, heartbeat: Heartbeat) -> None:
    """Overwrite the worker's heartbeat object; its metadata repeats all fields."""
    store.put(
        heartbeat_object(heartbeat.run, heartbeat.vm),
        encode(heartbeat),
        if_generation=None,
        metadata=to_metadata(heartbeat),
        content_type=JSON,
    )


def to_metadata(heartbeat: Heartbeat) -> dict[str, str]:
    """All fields as short strings; texts are cut so that the whole stays well under the bucket's 8 KiB."""
    fields = msgspec.structs.asdict(heartbeat)
    metadata = {}
    for key, value in fields.items():
        if value is None:
            continue
        if isinstance(value, datetime):
            metadata[key] = format_time(value)
        elif isinstance(value, float):
            metadata[key] = f"{value:.1f}"
        else:
            metadata[key] = str(value)[:400].encode("ascii", "replace").decode()
    return metadata


def from_listing(info: ObjectInfo) -> Heartbeat:
    """A heartbeat out of a listing, without reading the object.

    Raises:
        UsageError: if the object's name is no heartbeat's.
        msgspec.ValidationError: if the metadata is not a heartbeat's.
    """
    run, vm = parse_heartbeat_object(info.name)
    known = {field.name for field in msgspec.structs.fields(Heartbeat)}
    fields: dict[str, object] = {key: value for key, value in info.metadata.items() if key in known}
    for key in ("written", "started"):
        fields[key] = parse_time(str(fields.get(key) or format_time(info.updated)))
    for key in ("progressed", "kept_until"):
        if key in fields:
            fields[key] = parse_time(str(fields[key]))
    return convert({"sequence": 0, "state": "", **fields, "run": run, "vm": vm}, Heartbeat, strict=False)


def list_heartbeats(store: Store, run: str) -> list[Heartbeat]:
    """All workers of a run, one request per thousand."""
    return [from_listing(info) for info in store.list(heartbeat_prefix(run))]


def read_heartbeat(store: Store, run: str, vm: str) -> Heartbeat | None:
    """One worker's heartbeat, or None if it never wrote one."""
    name = heartbeat_object(run, vm)
    found = store.get(name)
    return None if found is None else decode(found.data, Heartbeat, name=name)
