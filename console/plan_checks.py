"""What the checks of a launch have found so far, as the Plan screen keeps it: for which fleet, how old, and what it means. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from engine.doctor.finding import Finding, Level

if TYPE_CHECKING:
    from engine.plan import Plan
    from provision.profile import Profile

FRESH_FOR: Final = timedelta(minutes=2)
"""A launch takes checks that are no older as its own; older ones are made again before any VM is asked for."""
SHOWN_FOR: Final = timedelta(minutes=10)
"""Older ones are made again when there is another plan."""

_ORDER: Final = {Level.BAD: 0, Level.WARN: 1, Level.OK: 2}


@dataclass(frozen=True, slots=True)
class FleetAsked:
    """What decides what the checks of a launch say."""

    vms: int
    machine_type: str
    model: str

    def holds(self, other: FleetAsked) -> bool:
        """Whether what is said of this fleet is also true of another: the same machines, and no more of them."""
        return (self.machine_type, self.model) == (other.machine_type, other.model) and other.vms <= self.vms


def fleet_asked(plan: Plan, profile: Profile) -> FleetAsked:
    """The fleet that a plan would be launched with."""
    request = plan.request
    return FleetAsked(min(len(plan.shards), profile.most_vms), request.machine_type, request.provisioning_model)


@dataclass(frozen=True, slots=True)
class Checks:
    """One pass of the checks."""

    fleet: FleetAsked
    begun: datetime
    findings: tuple[Finding, ...] = ()
    is_done: bool = False
    problem: str = ""
    """Why they could not be made; one line."""

    def with_finding(self, finding: Finding) -> Checks:
        """One more was found."""
        return replace(self, findings=(*self.findings, finding))

    @property
    def worst_first(self) -> tuple[Finding, ...]:
        """What is wrong, then warnings, then what is well; each in the order of the report."""
        return tuple(sorted(self.findings, key=lambda finding: _ORDER[finding.level]))

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """What would make the launch fail, what has to be mended first before the rest."""
        return tuple(sorted((each for each in self.findings if each.level is Level.BAD), key=lambda found: -found.code))

    def speaks_of(self, fleet: FleetAsked) -> bool:
        """Whether it need not be made again for this fleet: nothing wrong for as many VMs, or the very same fleet."""
        return self.fleet == fleet or (not self.wrong and self.fleet.holds(fleet))

    def passed(self, fleet: FleetAsked, now: datetime) -> bool:
        """Whether a launch of this fleet may go ahead on it."""
        return self.is_done and not self.wrong and not self.problem and self.fleet.holds(fleet) and now - self.begun <= FRESH_FOR

    @property
    def badge(self) -> str:
        """`16 ok`, `2 to note`, `1 wrong`, `checking …`: the worst, in two words."""
        if self.problem:
            return "not made"
        counts = Counter(finding.level for finding in self.findings)
        if not self.is_done:
            return f"{counts[Level.BAD]} wrong …" if counts[Level.BAD] else "checking …"
        if counts[Level.BAD]:
            return f"{counts[Level.BAD]} wrong"
        return f"{counts[Level.WARN]} to note" if counts[Level.WARN] else f"{counts[Level.OK]} ok"
