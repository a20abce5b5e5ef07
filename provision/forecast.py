"""What a run will have cost when it is over: what was spent, and what is left by the plan and by its own pace. Pure.

Two guesses of the whole stand beside each other. The plan's: what was spent, and of the estimate the share that is not done. The
run's own: what was spent over the share that is done. Early the second is mostly boot time, late it knows better; so the expected
amount moves from the first to the second as work gets done, and the range holds both and the plan's low and high of the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from engine.plan import Plan
from provision.cost_limit import limit_of
from provision.prices import find_hourly
from provision.profile import Profile

if TYPE_CHECKING:
    from provision.costs import Actual, Expected, VmUse

LEAST_DONE = 0.02
"""Before this share is done the pace says nothing: VMs have hardly booted."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """A run that goes on, in US dollars."""

    spent: float
    per_hour: float
    """Of the VMs that run now."""
    done: float
    """Share of its bytes, 0..1."""
    low: float
    expected: float
    high: float
    """At the finish."""
    ends: datetime | None
    """By the pace so far, UTC; None: too early to say."""
    limit: float = 0.0
    """The run stops there; 0: nowhere."""
    warn: float = 0.0
    """The profile warns above; 0: never."""

    @property
    def passes_limit(self) -> bool:
        """Whether the expected amount is more than the run may cost."""
        return 0 < self.limit < self.expected

    @property
    def may_pass_limit(self) -> bool:
        """Whether even the high amount stays under the limit, or not."""
        return 0 < self.limit < self.high


def forecast(
    profile: Profile, plan: Plan | None, actual: Actual, expected: Expected | None, uses: Iterable[VmUse], *, began: datetime, now: datetime
) -> Forecast | None:
    """What a run that goes on will come to; None if something in it has no price, or its plan cannot be read.

    Args:
        actual: so far.
        expected: the plan's estimate for the shards that were launched.
        uses: its VMs.
        began: the first order, UTC.
        now: UTC.
    """
    if plan is None or expected is None or actual.dollars is None or not expected.is_priced:
        return None
    spent = actual.dollars
    done = min(1.0, max(actual.bytes, actual.received_bytes) / expected.bytes) if expected.bytes else 0.0
    rest_low, rest, rest_high = (amount * (1 - done) for amount in (expected.low, expected.dollars, expected.high))
    guesses = [spent + rest]
    ends = None
    if done >= LEAST_DONE:
        guesses.append(spent / done)
        ends = now + timedelta(seconds=(now - began).total_seconds() * (1 - done) / done)
    by_plan, by_pace = guesses[0], guesses[-1]
    return Forecast(
        spent=spent,
        per_hour=sum(find_hourly(profile, use.machine_type, use.model) or 0.0 for use in uses if use.running),
        done=done,
        low=min(spent + rest_low, *guesses) if len(guesses) > 1 else spent + rest_low,
        expected=(1 - done) * by_plan + done * by_pace,
        high=max(spent + rest_high, by_pace),
        ends=ends,
        limit=limit_of(profile, plan),
        warn=profile.warn_cost_run,
    )
