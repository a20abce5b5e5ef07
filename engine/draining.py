"""The word to a worker to take no new work: to all workers of a run, or to one of them. Its presence counts, not its content."""

from __future__ import annotations

from engine.paths import drain_object, vm_drain_object
from engine.store import Store


def told_to_end(state: Store, run: str, vm: str) -> str:
    """Why the worker on this VM is to end, or "" if it is not."""
    if state.stat(drain_object(run)) is not None:
        return "the run is drained"
    return "this VM is drained" if state.stat(vm_drain_object(run, vm)) is not None else ""
