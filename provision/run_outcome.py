"""What became of the files of a run, by its own manifests: the count that stays right when VMs were lost or took over from each other.

Heartbeats count what one process did; a VM that is gone took its count with it. Apart from `provision.runs`, which looks at every run
again and again: this is read once, when a run has ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.errors import ConfigurationError, UsageError
from engine.manifest import Summary, list_summaries
from engine.model import BAD_OUTCOMES, Cell, DayRange
from engine.paths import manifest_range
from engine.plan import load_plan
from engine.store import Store


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The files of a run that has ended."""

    files: int
    """With any outcome."""
    bad: int
    """Of these, those that leave a hole."""
    rows: int


def last_records(run: str, summaries: Iterable[Summary]) -> tuple[Summary, ...]:
    """The last record that a run wrote of each shard and cell: it holds every file of them, also those of earlier attempts."""
    latest: dict[tuple[int, Cell], Summary] = {}
    for summary in summaries:
        if summary.name.run != run:
            continue
        key = (summary.name.shard, summary.name.cell)
        held = latest.get(key)
        if held is None or (summary.name.attempt, summary.name.sequence) > (held.name.attempt, held.name.sequence):
            latest[key] = summary
    return tuple(latest.values())


def outcome_of(run: str, summaries: Iterable[Summary]) -> RunOutcome | None:
    """The sum of a run's last records; None if it wrote none, as a run that is another verb than download does."""
    recorded = last_records(run, summaries)
    if not recorded:
        return None
    return RunOutcome(
        files=sum(sum(one.counts.values()) for one in recorded),
        bad=sum(count for one in recorded for outcome, count in one.counts.items() if outcome in BAD_OUTCOMES),
        rows=sum(one.rows for one in recorded),
    )


def read_outcome(state: Store, run: str, plan: str) -> RunOutcome | None:
    """The same from the state bucket: one listing over the days of the plan.

    Returns:
        None also if the plan cannot be read: then nobody knows which days are meant.
    """
    try:
        request = load_plan(state, plan).request
    except (ConfigurationError, UsageError):
        return None
    start, end = manifest_range(DayRange(request.start, request.end))
    return outcome_of(run, list_summaries(state, start=start, end=end))
