"""What a run has cost, what is still to come, and whether another VM fits under its limit. Pure.

Separate from `provision.costs`, which tells people what was spent: this decides about money that is not spent yet, so it would rather
say no. What has no price does not fit under any limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.estimate import VM_SPEED
from engine.plan import Plan
from provision.prices import find_hourly
from provision.profile import Profile
from provision.vm_state import FleetVm

MARGIN = 1.5
"""Work takes longer than planned more often than it takes less; nobody wants to hear of a limit afterwards."""


@dataclass(frozen=True, slots=True)
class Purse:
    """The money of one run, in US dollars."""

    limit: float
    """0: none."""
    spent: float
    rest: float
    """What its living VMs are expected to cost from now on."""

    @property
    def is_used_up(self) -> bool:
        """Whether the run has to stop."""
        return 0 < self.limit <= self.spent

    def allows(self, dollars: float | None) -> bool:
        """Whether something that may cost so much fits; what has no price (None) fits only where there is no limit."""
        return not self.limit or (dollars is not None and self.spent + self.rest + dollars <= self.limit)

    def __str__(self) -> str:
        return f"${self.spent:.2f} spent, ${self.rest:.2f} expected of the VMs that work, limit ${self.limit:.2f}"


def limit_of(profile: Profile, plan: Plan, override: float = 0.0) -> float:
    """The limit of a run: what was just said, else the plan's, else the profile's; 0: none."""
    return override or plan.request.max_cost or profile.max_cost


def judge_purse(profile: Profile, plan: Plan, rows: Iterable[FleetVm], *, override: float = 0.0) -> Purse:
    """The money of a run by its VMs, those that are gone included.

    Args:
        rows: all VMs of the run.
        override: a limit that replaces the plan's and the profile's; 0: none.
    """
    rows = list(rows)
    living = [row for row in rows if not row.dead]
    rest = sum(expected_cost(profile, plan, row.shards, row.machine_type, row.model, done=row.progress) or 0.0 for row in living)
    return Purse(limit_of(profile, plan, override), sum(row.cost for row in rows), rest)


def expected_cost(profile: Profile, plan: Plan, shards: Iterable[int], machine_type: str, model: str, *, done: float = 0.0) -> float | None:
    """US dollars of a VM that works through these shards; None if it has no price.

    Args:
        done: the share of them that is behind it, 0..1.
    """
    hourly = find_hourly(profile, machine_type, model)
    if hourly is None:
        return None
    seconds = VM_SPEED.boot_seconds + MARGIN * (1 - done) * sum(plan.shard(shard).seconds for shard in shards)
    return hourly * min(seconds, profile.max_run_seconds) / 3600
