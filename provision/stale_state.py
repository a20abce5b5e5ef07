"""What runs that are long over leave in the state bucket: claims, heartbeats and leases. Found here, and deleted by generation.

Plans, launch records, logs, manifests and the audit trail are history, and data is data: none of it is ever found or deleted here. The
claims of a run that finished stay too, because they are what says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.errors import GenerationMismatch, UsageError
from engine.paths import (
    PASSING_STATE,
    RUNS,
    claim_prefix,
    heartbeat_prefix,
    lease_object,
    parse_claim_object,
    parse_heartbeat_object,
    parse_lease_object,
    run_of,
    run_prefix,
)
from engine.run import run_started
from engine.store import ObjectInfo, Store
from provision.runs import Phase, RunReader

STALE_AFTER = timedelta(days=30)
"""By default state is kept for so long after a run was last heard of."""


@dataclass(frozen=True, slots=True)
class StaleState:
    """One kind of state of one run that is over."""

    run: str
    name: str
    """The folder, or the object where there is only one."""
    why: str
    newest: datetime
    """When the last of it was written, by the bucket's clock."""
    objects: tuple[tuple[str, int], ...]
    """Names and generations."""


def find_stale_state(
    state: Store, *, now: datetime, older_than: timedelta = STALE_AFTER, living: Collection[str] = ()
) -> tuple[StaleState, ...]:
    """State of runs that are over, and of which nothing was written for a while. One listing, and a look at each run that may be stale.

    Args:
        now: UTC.
        living: runs that have VMs.
    """
    by_run: dict[str, list[ObjectInfo]] = {}
    for info in state.list(RUNS, glob=PASSING_STATE):
        by_run.setdefault(run_of(info.name), []).append(info)
    reader = RunReader(state)
    found: list[StaleState] = []
    for run, objects in sorted(by_run.items()):
        newest = max(info.updated for info in objects)
        if run in living or now - newest <= older_than or not _began_before(run, now - older_than):
            continue
        phase = _phase_if_over(reader, run, now)
        if phase is not None:
            found += _state_of(run, phase, objects)
    return tuple(found)


def delete_state(state: Store, run: str, objects: Iterable[tuple[str, int]]) -> tuple[bool, str]:
    """Delete claims, heartbeats and the lease of a run, each only at the generation that was found.

    Returns:
        Whether all of them are gone, and one line about it. Nothing is deleted if a name is anything else.
    """
    objects = tuple(objects)
    for name, _ in objects:
        if not _is_passing(name, run):
            return False, f"{name} is no passing state of run {run}"
    changed = sum(not _delete(state, name, generation) for name, generation in objects)
    line = f"{len(objects) - changed} objects deleted"
    return (False, f"{line}, {changed} were written meanwhile and stay") if changed else (True, line)


def _delete(state: Store, name: str, generation: int) -> bool:
    try:
        state.delete(name, if_generation=generation)
    except GenerationMismatch:
        return False
    return True


def _state_of(run: str, phase: Phase, objects: Iterable[ObjectInfo]) -> Iterable[StaleState]:
    folders = {heartbeat_prefix(run): "heartbeats", lease_object(run): "the lease"}
    if phase is not Phase.FINISHED:
        folders[claim_prefix(run)] = "claims"
    for folder, what in folders.items():
        own = [info for info in objects if info.name.startswith(folder)]
        if own:
            newest = max(info.updated for info in own)
            why = f"run {run} is {phase}: {what}, {len(own)} object{'' if len(own) == 1 else 's'}"
            yield StaleState(run, folder, why, newest, tuple((info.name, info.generation) for info in own))


def _phase_if_over(reader: RunReader, run: str, now: datetime) -> Phase | None:
    """How a run that is over ended; None if it is not over, or was never launched: then nobody can say that it is."""
    try:
        view = reader.read(run)
    except UsageError:
        return None
    return view.phase(now) if view.is_over(now) else None


def _began_before(run: str, moment: datetime) -> bool:
    try:
        return run_started(run) < moment
    except UsageError:
        return False


def _is_passing(name: str, run: str) -> bool:
    parsers: tuple[Callable[[str], object], ...] = (parse_claim_object, parse_heartbeat_object, parse_lease_object)
    for parse in parsers:
        try:
            parse(name)
        except UsageError:
            continue
        return name.startswith(run_prefix(run))
    return False
