"""A plan in words: the sentence with its figures, what to look at before a launch, and the bars. Pure; the Plan screen shows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from console.sentences import money
from console.widgets.figures import format_bytes, format_duration, format_percent, plural
from console.widgets.sentence import Phrase
from console.widgets.shard_bars import ShardBar
from console.widgets.tones import Tone
from console.widgets.what_if_table import FleetChoice, FleetFigures
from engine.estimate import allowance_days
from engine.model import DayRange
from engine.plan import CANDLES, STRATEGIES, Plan, slowest_shard

if TYPE_CHECKING:
    from console.plan_comparison import FleetRow


@dataclass(frozen=True, slots=True)
class Notice:
    """One line that a person should read before launching."""

    text: str
    tone: Tone


def sentence_of(plan: Plan, now: datetime) -> list[Phrase]:
    """What the plan will do: files, bytes, VMs, when it ends against the deadline, what it costs, how much of the allowance it takes."""
    if not plan.shards:
        return [Phrase("Nothing to do", strong=True), Phrase(f" for {DayRange(plan.request.start, plan.request.end)}")]
    estimate = plan.estimate
    ends = now + timedelta(seconds=estimate.makespan_seconds)
    return [
        Phrase("Makes candles of " if plan.request.mode == CANDLES else "Downloads "),
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
        *_under_cap(plan),
        *_of_allowance(plan),
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
    """The second line: how even the shards are, what is left out."""
    parts = []
    if len(plan.shards) > 1:
        slowest = slowest_shard(plan.shards)
        parts.append(
            f"shard {slowest.index} ends last, {_above_ideal(plan)} over the ideal {format_duration(plan.estimate.lower_bound_seconds)}"
        )
    if plan.already_done:
        parts.append(f"{plural(plan.already_done, 'file')} there already")
    if plan.not_expected_cells:
        parts.append(f"{plural(plan.not_expected_cells, 'cell')} not offered")
    return " · ".join(parts)


def balance_of(plan: Plan) -> str:
    """How far the slowest shard is from what no packing can beat: `slowest 17, +8 %`."""
    return f"slowest {slowest_shard(plan.shards).index}, +{_above_ideal(plan)}"


def ideal_seconds(plan: Plan) -> float:
    """Work of a shard, without boot, if all ended together; 0 where a daily cap makes shards wait, and time says nothing of balance."""
    if any(allowance_days(shard.bytes, shard.daily_bytes) > 1 for shard in plan.shards) or not plan.shards:
        return 0.0
    boot = plan.estimate.makespan_seconds - slowest_shard(plan.shards).seconds
    return max(0.0, plan.estimate.lower_bound_seconds - boot)


def _above_ideal(plan: Plan) -> str:
    bound = plan.estimate.lower_bound_seconds
    return f"{max(0.0, plan.estimate.makespan_seconds / bound - 1) * 100:.0f} %" if bound > 0 else "0 %"


def choices_of(plan: Plan, rows: Iterable[FleetRow], seconds_left: float | None) -> list[FleetChoice]:
    """Other fleets as the table shows them.

    Args:
        seconds_left: to the deadline, from when the plan was made; None: there is none.
    """
    choices = []
    for row in rows:
        figures: list[FleetFigures | None] = []
        for strategy in STRATEGIES:
            one = row.of(strategy)
            if one is None:
                figures.append(None)
            elif one.minutes <= 0:
                figures.append(FleetFigures(0.0, 0.0, 0.0, "", note=one.note))
            else:
                in_time = None if seconds_left is None else one.minutes * 60 <= seconds_left
                figures.append(FleetFigures(one.minutes * 60, one.bound_minutes * 60, one.vm_hours, _brief_cost(one.cost), in_time))
        own = STRATEGIES.index(plan.request.strategy) if row.is_plan else -1
        choices.append(FleetChoice(row.vms, tuple(figures), own))
    return choices


def _brief_cost(cost: tuple[float, float, float] | None) -> str:
    if cost is None:
        return "?"
    if cost[2] == 0:
        return "free"
    return "<$0.01" if cost[1] < 0.01 else f"${cost[1]:,.2f}" if cost[1] < 100 else f"${cost[1]:,.0f}"


def notices_of(plan: Plan, now: datetime) -> list[Notice]:
    """Warnings first, then days that are not published yet, one line each moment they are due."""
    found = [Notice(text, Tone.QUIET if not plan.shards else Tone.WARN) for text in plan.warnings]
    if plan.shards and (cap := plan.request.max_cost):
        expected = plan.estimate.cost[1]
        if not plan.estimate.is_priced:
            found.insert(0, Notice(f"no price is known, and nothing without a price fits under the cap of {money(cap)}", Tone.BAD))
        elif expected > cap:
            found.insert(
                0, Notice(f"expected are {money(expected)}: VMs that could pass the cap of {money(cap)} are not asked for", Tone.BAD)
            )
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


def allowance_line(plan: Plan) -> str:
    """`12.4 GB, 5 % of a day's allowance of 250 GB`; empty if there is no allowance."""
    size, allowance = plan.estimate.bytes, plan.estimate.allowance_bytes
    if not allowance:
        return ""
    return f"{format_bytes(size)}, {format_percent(size, allowance)} of a day's allowance of {format_bytes(allowance)}"


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


def _of_allowance(plan: Plan) -> list[Phrase]:
    """How much of the account's daily transfer allowance it takes; days, where one does not hold it."""
    estimate = plan.estimate
    days = allowance_days(estimate.bytes, estimate.allowance_bytes)
    if not days:
        return []
    if days > 1:
        return [Phrase(", "), Phrase(f"{days} days of allowance", Tone.WARN, strong=True)]
    return [Phrase(f", {format_percent(estimate.bytes, estimate.allowance_bytes)} of a day's allowance")]


def _cost(plan: Plan) -> list[Phrase]:
    low, expected, high = plan.estimate.cost
    if not plan.estimate.is_priced:
        return [Phrase("at a price that is not known", Tone.WARN, strong=True)]
    if high == 0:
        return [Phrase("free", strong=True)]
    if high < 0.01:
        return [Phrase("under a cent", strong=True)]
    return [Phrase(money(expected), strong=True), Phrase(f" ({money(low)} to {money(high)})")]


def _under_cap(plan: Plan) -> list[Phrase]:
    """Whether the cost stays under the cap that was asked for."""
    cap, (_, expected, high) = plan.request.max_cost, plan.estimate.cost
    if not cap or not plan.estimate.is_priced:
        return []
    if expected > cap:
        return [Phrase(", "), Phrase(f"over the cap of {money(cap)}", Tone.BAD, strong=True)]
    if high > cap:
        return [Phrase(", "), Phrase(f"may pass the cap of {money(cap)}", Tone.WARN)]
    return [Phrase(f", under the cap of {money(cap)}")]
