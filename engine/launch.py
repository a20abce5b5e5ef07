"""Launch records: which VM was asked for, for which shards. Written before any VM is asked for, looked up by the worker.

A worker finds its shards here by its instance name. Nothing is ever read out of the shape of a name: an unknown name stops.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from engine.documents import Moment, decode
from engine.errors import ConfigurationError
from engine.paths import RUNS, launch_object, parse_launch_object, run_prefix
from engine.store import Store


class LaunchedVm(msgspec.Struct, frozen=True):
    """One VM of a launch."""

    shards: tuple[int, ...]
    """Shards it owns, in the order of work."""
    attempt: int = 1
    """1 for the first VM of its shards, counted up by replacements."""
    replaces: str = ""
    """The VMs whose shards it took over, newest first, separated by commas."""
    cause: str = ""
    """Why the newest of them was lost. Along the line of replacements these are counted, cause by cause."""


class LaunchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request for VMs."""

    schema: int = 1
    run: str
    number: int
    plan: str
    created: Moment
    owner: str
    request_id: str
    """Idempotency key of the bulk insert: the same record sent twice makes one fleet."""
    project: str
    region: str
    zones: tuple[str, ...]
    machine_types: tuple[str, ...]
    """Ranked: the first that a zone can give."""
    provisioning_model: str
    """`SPOT` or `STANDARD`."""
    max_run_seconds: int
    expires: Moment
    data_bucket: str
    state_bucket: str
    labels: dict[str, str]
    vms: dict[str, LaunchedVm]
    reason: str = "launch"
    """`launch`, `preempted`, `unknown`: why these VMs were asked for."""


def read_launches(store: Store, run: str) -> list[LaunchRecord]:
    """All launch records of a run, oldest first; empty if there is no such run."""
    numbers = sorted(parse_launch_object(info.name)[1] for info in store.list(f"{run_prefix(run)}launch-") if info.name.endswith(".json"))
    records = []
    for number in numbers:
        name = launch_object(run, number)
        found = store.get(name)
        if found is not None:
            records.append(decode(found.data, LaunchRecord, name=name))
    return records


def list_runs(store: Store) -> list[str]:
    """Names of all runs, oldest first (a run's name begins with its time)."""
    return [folder.removeprefix(RUNS).rstrip("/") for folder in store.list_folders(RUNS)]


def find_vm(records: Iterable[LaunchRecord], vm: str) -> tuple[LaunchRecord, LaunchedVm]:
    """The record that asked for `vm`, the newest if it was asked for again.

    Raises:
        ConfigurationError: if no record knows the name; the worker must not guess a shard.
    """
    known: list[str] = []
    for record in sorted(records, key=lambda record: -record.number):
        if vm in record.vms:
            return record, record.vms[vm]
        known += record.vms
    raise ConfigurationError(
        f"VM {vm!r} is in no launch record of this run ({len(known)} other VMs are)",
        hint="start it through tickdeck deploy, or give --shard",
    )
