"""A plan that this process works on by itself, and what it says of it: a status line, a table at the end, one JSON object.

Shared by the verbs that do by hand what VMs do: `engine download`, `engine candles`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import click

from engine.clock import format_bytes
from engine.errors import ExitCode, UsageError
from engine.logbook import Logbook
from engine.manifest import Entry
from engine.model import BAD_OUTCOMES, DONE_OUTCOMES, DayRange, File, Outcome
from engine.plan import Plan, save_plan
from engine.settings import Settings
from engine.source import Source
from engine.verbs.options import Day, Words
from engine.verbs.printing import print_json, print_table, say_not_ready
from engine.verbs.status_line import StatusLine
from engine.worker import Identity, Places, Report, Worker, describe


def range_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The days, and which of their symbols."""
    for option in (
        click.option("--universe", envvar="UNIVERSE", default="", help="A named symbol list, e.g. tier1."),
        click.option("--symbols", envvar="SYMBOLS", type=Words(), help="Only these dataset symbols [all there are]."),
        click.option("--day", type=Day(), help="Just this day; `latest` is the newest that is over, exit code 75 until it is published."),
        click.option("--end-date", "--end", "end", envvar="END_DATE", type=Day(), help="Last day, inclusive [the first]."),
        click.option("--start-date", "--start", "start", envvar="START_DATE", type=Day(), help="First day, UTC."),
    ):
        function = option(function)
    return function


def work_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """How much of the work this process does, under which name, and how it reports."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the report as JSON."),
        click.option("--dry-run", is_flag=True, help="Say exactly what would be done, with bytes; do nothing."),
        click.option("--converters", "--max-workers", type=int, help="Files worked on by the processor at once."),
        click.option("--run", envvar="TICKDECK_RUN", help="Go on with this run [a new one]."),
        click.option("--total-shards", envvar="TOTAL_SHARDS", type=click.IntRange(min=1), help="How many shards there are."),
        click.option("--shard-index", envvar="SHARD_INDEX", type=click.IntRange(min=0), help="Do one shard of several."),
    ):
        function = option(function)
    return function


def choose_shards(plan: Plan, shard_index: int | None) -> tuple[int, ...]:
    """The shards to work on; empty if that one has no work."""
    if shard_index is None:
        return tuple(shard.index for shard in plan.shards)
    return (shard_index,) if shard_index < len(plan.shards) else ()


def require_shard(shard_index: int | None, total_shards: int | None) -> None:
    """Both or neither.

    Raises:
        UsageError: otherwise, or if there is no such shard.
    """
    if (shard_index is None) != (total_shards is None):
        given, other = ("--total-shards", "--shard-index") if shard_index is None else ("--shard-index", "--total-shards")
        raise UsageError(f"{given} without {other}", hint="give both, or neither to do all the work")
    if total_shards and shard_index is not None and shard_index >= total_shards:
        raise UsageError(f"--shard-index {shard_index} of --total-shards {total_shards}", hint=f"indexes are 0..{total_shards - 1}")


async def work_by_hand(
    plan: Plan,
    shards: tuple[int, ...],
    places: Places,
    source: Source | None,
    settings: Settings,
    logbook: Logbook,
    *,
    run: str,
    shard_index: int | None,
    terminal: bool,
    as_json: bool,
) -> ExitCode:
    """Save the plan, work on these shards here, and print the report.

    Args:
        source: None for work that asks no source.
        shard_index: the one shard of several that this process was given; None: all.
        terminal: whether a person watches: a status line shows how far it is.

    Raises:
        EngineError: if the work had to end early.
    """
    save_plan(places.state, plan)
    line = StatusLine(terminal and not as_json)
    totals = Totals()

    def hear(file: File, entry: Entry) -> None:
        totals.add(file, entry)
        line.say(lambda: _how_far(worker, file, line.took))

    worker = Worker(
        Identity(run, _worker_name(run, shard_index), shards),
        plan,
        places,
        source,
        settings,
        logbook,
        heal=False,
        again=True,
        on_outcome=hear,
    )
    worker.install_signals()
    try:
        report = await worker.run()
    finally:
        line.end()
    return _show_report(run, plan, report, totals, as_json=as_json, to_stderr=terminal)


def _worker_name(run: str, shard_index: int | None) -> str:
    """Processes that share a run must not write over each other's heartbeats."""
    return f"hand-{run}" if shard_index is None else f"hand-{run}-{shard_index}"


def read_days(start: date | None, end: date | None, day: date | None) -> DayRange:
    """The days that the options mean.

    Raises:
        UsageError: if they mean none, or two things.
    """
    if day is not None:
        if start or end:
            raise UsageError("--day and --start or --end exclude each other", hint="give the one you mean")
        return DayRange(day, day)
    if start is None:
        raise UsageError("no day given", hint="--start 2024-05-01 [--end 2024-05-31], or --day latest")
    return DayRange(start, end or start)


def say_nothing_to_do(plan: Plan, *, as_json: bool) -> ExitCode:
    """Print why the plan has no shards."""
    code = ExitCode.TEMPORARY if plan.not_ready else ExitCode.DONE
    if as_json:
        document = {"run": None, "plan": plan.id, "exit_code": int(code), "warnings": plan.warnings, "not_ready": not_ready(plan)}
        print_json(document, one_line=True)
    else:
        click.echo(f"{DayRange(plan.request.start, plan.request.end)}: {'; '.join(plan.warnings)}")
    if plan.not_ready:
        say_not_ready(plan, program="engine")
    return code


def not_ready(plan: Plan) -> list[dict[str, str]]:
    """The days that are not published, as JSON-able objects."""
    return [{"venue": item.venue, "day": item.day.isoformat(), "due": item.due.isoformat()} for item in plan.not_ready]


@dataclass(slots=True)
class _Row:
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    resumed: int = 0
    rows: int = 0
    source_bytes: int = 0


class Totals:
    """What became of the files, by venue and data type."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Row] = {}

    def add(self, file: File, entry: Entry) -> None:
        """Count one file's end."""
        row = self._rows.setdefault((file.cell.venue, file.cell.data_type), _Row())
        row.outcomes[entry.outcome] += 1
        row.resumed += entry.outcome in DONE_OUTCOMES and not entry.requests
        row.rows += entry.rows
        row.source_bytes += entry.source_bytes

    def documents(self) -> list[dict[str, object]]:
        """One JSON-able object a row."""
        return [
            {
                "venue": venue,
                "data_type": data_type,
                "outcomes": _named(row.outcomes),
                "resumed": row.resumed,
                "rows": row.rows,
                "source_bytes": row.source_bytes,
            }
            for (venue, data_type), row in sorted(self._rows.items())
        ]

    def show(self) -> None:
        """Print the table; columns of outcomes that did not occur are left out, and bad ones come first."""
        if not self._rows:
            return
        seen = {outcome for row in self._rows.values() for outcome in row.outcomes}
        outcomes = sorted(seen, key=lambda outcome: (outcome not in BAD_OUTCOMES, list(Outcome).index(outcome)))
        head = ("venue", "data type", *(outcome.replace("_", " ") for outcome in outcomes), "there before", "rows", "source")
        rows = [
            (
                venue,
                data_type,
                *(row.outcomes[outcome] for outcome in outcomes),
                row.resumed,
                f"{row.rows:,}",
                format_bytes(row.source_bytes),
            )
            for (venue, data_type), row in sorted(self._rows.items())
        ]
        print_table(head, rows, right=range(2, len(head)))


def _named(outcomes: Mapping[Outcome, int]) -> dict[str, int]:
    return {str(outcome): count for outcome, count in sorted(outcomes.items())}


def _show_report(run: str, plan: Plan, report: Report, totals: Totals, *, as_json: bool, to_stderr: bool) -> ExitCode:
    code = ExitCode.TEMPORARY if report.exit_code == ExitCode.DONE and plan.not_ready else report.exit_code
    if as_json:
        print_json(
            {
                "run": run,
                "plan": plan.id,
                "exit_code": int(code),
                "outcomes": _named(report.outcomes),
                "files": report.files_done,
                "resumed": report.files_resumed,
                "rows": report.rows,
                "source_bytes": report.source_bytes,
                "table": totals.documents(),
                "reason": report.reason,
                "not_ready": not_ready(plan),
                "seconds": round(report.seconds, 3),
            },
            one_line=True,
        )
    else:
        totals.show()
        click.echo(f"run {run}: {describe(report)}", err=to_stderr)
        for item in plan.not_ready:
            click.echo(f"{item.venue} {item.day} is not published yet, due {item.due:%Y-%m-%d %H:%M} UTC", err=to_stderr)
    if report.exit_code is ExitCode.DONE and plan.not_ready:
        say_not_ready(plan, program="engine")
    else:
        say_end(
            report,
            again="the same command tries them again; their reasons: tickdeck check --detailed, and the log above",
            goes_on="the same command goes on; what is committed is not fetched again",
        )
    return code


def say_end(report: Report, *, again: str, goes_on: str) -> None:
    """Tell on stderr how work ended that is not all done, with the next step: after bad files, or after a stop."""
    if report.exit_code is ExitCode.PARTIAL:
        bad = sum(count for outcome, count in report.outcomes.items() if outcome in BAD_OUTCOMES)
        click.echo(f"engine: {bad} of {report.files_total} files failed -> {again}", err=True)
    elif report.exit_code is ExitCode.TEMPORARY:
        left = report.files_total - report.files_done
        click.echo(f"engine: stopped with {left} of {report.files_total} files left ({report.reason}) -> {goes_on}", err=True)


def _how_far(worker: Worker, file: File, took: str) -> str:
    progress = worker.progress
    return (
        f"{progress.files_done}/{progress.files_total} files, {format_bytes(progress.source_bytes)}, "
        f"{format_bytes(progress.rate())}/s, {progress.files_bad} bad, {took}, last {file}"
    )
