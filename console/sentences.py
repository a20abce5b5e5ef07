"""Sentences that both front ends say about plans, runs and results. Pure text."""

from __future__ import annotations

from datetime import date, datetime

from engine.clock import format_bytes, format_seconds
from engine.model import DayRange
from engine.plan import CANDLES, Plan


def plural(count: int, word: str) -> str:
    """`1 file`, `2 files`, `1,200 files`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def not_ready_lines(plan: Plan) -> list[str]:
    """One line for each day that is left out because venues have not published it."""
    venues: dict[tuple[date, datetime], list[str]] = {}
    for item in plan.not_ready:
        venues.setdefault((item.day, item.due), []).append(item.venue)
    return [
        f"{day} is not published yet by {', '.join(names)}, due {due:%Y-%m-%d %H:%M} UTC: left out"
        for (day, due), names in sorted(venues.items())
    ]


def money(dollars: float) -> str:
    """`free`, `$0.40`, `$1,204`."""
    if dollars == 0:
        return "free"
    return f"${dollars:,.2f}" if dollars < 1000 else f"${dollars:,.0f}"


def shortest_number(number: float) -> str:
    """The shortest text that reads as this very number."""
    return repr(number).removesuffix(".0")


def plan_sentence(plan: Plan) -> str:
    """One sentence of what a plan will do."""
    request, estimate = plan.request, plan.estimate
    days = DayRange(request.start, request.end)
    if not plan.shards:
        return f"Nothing to do for {days}."
    low, expected, high = estimate.cost
    cost = "free" if high == 0 else f"{money(expected)} ({money(low)} to {money(high)})"
    if not estimate.is_priced:
        cost = "at a price that is not known"
    done = f"; {plural(plan.already_done, 'file')} there already" if plan.already_done else ""
    does = "Makes candles of" if request.mode == CANDLES else "Downloads"
    return (
        f"{does} {plural(estimate.files, 'file')} ({format_bytes(estimate.bytes)}) of {plural(estimate.cells, 'cell')} for {days} "
        f"with {plural(len(plan.shards), 'VM')} in about {format_seconds(estimate.makespan_seconds)}, {cost}{done}."
    )
