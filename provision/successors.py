"""A VM that takes over shards: from one that was lost or that a person gives up, or from the queue of one that has more to do than others.

A type of its own because proposals carry it (`provision.actions`) and orders are made of it (`provision.reconcile`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Successor:
    """What would be asked for, and in whose place."""

    run: str
    vm: str
    """Whose place it takes; empty: nobody's."""
    shards: tuple[int, ...]
    """Unfinished ones, in the order of work."""
    attempt: int
    name: str
    replaces: tuple[str, ...]
    """All VMs before it, newest first: their claims may be taken at once."""
    cause: str
    model: str
    """What it would be: SPOT, or STANDARD after enough losses."""
