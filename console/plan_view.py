"""A plan in words: the sentence with its figures, what to look at before a launch, and the bars. Pure; the Plan screen shows it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from console.sentences import money
from console.widgets.figures import format_bytes, format_duration, format_percent, plural
from console.widgets.sentence import Phrase
from console.widgets.shard_bars import ShardBar
from console.widgets.tones import Tone
from engine.model import DayRange
from engine.plan import Plan


@dataclass(frozen=True, slots=True)
class Notice:
    """One line that a person should read before launching."""

    text: str
    tone: Tone


def sentence_of(plan: Plan, now: datetime) -> list[Phrase]:
    """What the plan will do: files, bytes, VMs, when it ends, what it costs."""
    if not plan.shards:
        return [Phrase("Nothing to do", strong=True), Phrase(f" for {DayRange(plan.request.start, plan.request.end)}")]
    estimate = plan.estimate
    ends = now + timedelta(seconds=estimate.makespan_seconds)
    return [
        Phrase("Downloads "),
        Phrase(plural(estimate.files, "file"), strong=True),
        Phrase(", "),
        Phrase(format_bytes(estimate.bytes), strong=True),
        Phrase(f", of {plural(estimate.cells, 'cell')} with "),
        Phrase(plural(len(plan.shards), "VM"), strong=True),
        Phrase(" in about "),
        Phrase(format_duration(estimate.makespan_seconds), strong=True),
        Phrase(f": ends {clock_times(ends, now)}"),
        *_against_deadline(plan, ends),
        Phrase(", "),
        *_cost(plan),
    ]


def clock_times(moment: datetime, now: datetime) -> str:
    """A moment in UTC and in the time zone of this machine: `05:40 UTC (14:40 JST)`; with the day if it is not today's."""
    utc = f"{moment:%H:%M}" if moment.date() == now.date() else f"{moment:%a %d %b %H:%M}"
    local = moment.astimezone()
    if local.utcoffset() == timedelta(0):
        return f"{utc} UTC"
    here = f"{local:%H:%M}" if local.date() == now.astimezone().date() else f"{local:%a %H:%M}"
    return f"{utc} UTC ({here} {local.tzname() or 'local'})"


def facts_of(plan: Plan) -> str:
    """The second line: what is left out, the lower bound, the allowance."""
    estimate, parts = plan.estimate, []
    if estimate.allowance_bytes:
        share = format_percent(estimate.bytes, estimate.allowance_bytes)
        parts.append(f"{share} of a day's allowance of {format_bytes(estimate.allowance_bytes)}")
    if plan.already_done:
        parts.append(f"{plural(plan.already_done, 'file')} there already")
    if plan.not_expected_cells:
        parts.append(f"{plural(plan.not_expected_cells, 'cell')} not offered")
    if plan.shards:
        parts.append(f"no packing is faster than {format_duration(estimate.lower_bound_seconds)}")
    return " · ".join(parts)


def notices_of(plan: Plan, now: datetime) -> list[Notice]:
    """Warnings first, then days that are not published yet, one line each moment they are due."""
    found = [Notice(text, Tone.QUIET if not plan.shards else Tone.WARN) for text in plan.warnings]
    due: dict[datetime, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for item in plan.not_ready:
        due[item.due][item.day.isoformat()].add(item.venue)
    for moment in sorted(due):
        days = sorted(due[moment])
        venues = sorted(set().union(*due[moment].values()))
        where = ", ".join(venues) if len(venues) <= 3 else plural(len(venues), "venue")
        when = f"{'due' if moment > now else 'was due'} {moment:%Y-%m-%d %H:%M} UTC"
        found.append(Notice(f"{', '.join(days)} not published yet at {where}: {when}, left out", Tone.WARN))
    return found


def prices_of(plan: Plan) -> list[str]:
    """Each cost line with where its price is from, dearest first; then what the data costs every month after."""
    lines = sorted(plan.estimate.costs, key=lambda line: -line.expected)
    if plan.estimate.storage is not None:
        lines.append(plan.estimate.storage)
    return [
        f"{money(line.expected)} ({money(line.low)} to {money(line.high)})  {line.item}  {line.source}, {line.dated}"
        for line in lines
        if line.high
    ]


def bars_of(plan: Plan) -> list[ShardBar]:
    """One bar a shard."""
    return [ShardBar(shard.index, shard.seconds, shard.bytes, shard.files) for shard in plan.shards]


def _against_deadline(plan: Plan, ends: datetime) -> list[Phrase]:
    deadline = plan.request.deadline
    if deadline is None:
        return []
    spare = (deadline - ends).total_seconds()
    if spare >= 0:
        return [Phrase(", "), Phrase(f"{format_duration(spare)} before the deadline", Tone.GOOD)]
    return [Phrase(", "), Phrase(f"{format_duration(-spare)} after the deadline", Tone.BAD, strong=True)]


def _cost(plan: Plan) -> list[Phrase]:
    low, expected, high = plan.estimate.cost
    if not plan.estimate.is_priced:
        return [Phrase("at a price that is not known", Tone.WARN, strong=True)]
    if high == 0:
        return [Phrase("free", strong=True)]
    if high < 0.01:
        return [Phrase("under a cent", strong=True)]
    return [Phrase(money(expected), strong=True), Phrase(f" ({money(low)} to {money(high)})")]
