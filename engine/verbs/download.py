"""`engine download`: a range of days by hand: plan, fetch, convert and commit in this process."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import click

from engine.bucket import require_bucket
from engine.clock import format_bytes, utc_now
from engine.commit import list_committed
from engine.datatypes import require_data_type
from engine.errors import ExitCode, UsageError
from engine.instruments.writing import fetch_catalogues
from engine.inventory import Inventory, Means, plan_request
from engine.logbook import Logbook
from engine.manifest import Entry
from engine.model import DONE_OUTCOMES, DayRange, File, Outcome, require_symbol, require_venue
from engine.plan import Plan, Request, Work, save_plan
from engine.run import new_run, run_started
from engine.settings import resolve
from engine.shard_run import BAD_OUTCOMES
from engine.store import Store
from engine.verbs.opening import open_places, open_source
from engine.verbs.options import Day, Words, bucket_options, read_retries, retry_options
from engine.verbs.printing import print_json, print_table, say_not_ready
from engine.verbs.status_line import StatusLine
from engine.worker import Identity, Report, Worker, describe

LISTED_FILES = 200
"""A dry run for people names so many files one by one; beyond that it counts them by cell."""


@click.command("download")
@click.option("--venues", envvar="VENUES", type=Words(), required=True, help="Tardis exchange ids.")
@click.option("--data-types", envvar="DATA_TYPES", type=Words(), required=True, help="trades,book_snapshot_5,...")
@click.option("--start-date", "--start", "start", envvar="START_DATE", type=Day(), help="First day, UTC.")
@click.option("--end-date", "--end", "end", envvar="END_DATE", type=Day(), help="Last day, inclusive [the first].")
@click.option("--day", type=Day(), help="Just this day; `latest` is the newest that is over, exit code 75 until it is published.")
@click.option("--symbols", envvar="SYMBOLS", type=Words(), help="Only these dataset symbols [all that are expected].")
@click.option("--universe", envvar="UNIVERSE", default="", help="A named symbol list, e.g. tier1.")
@click.option("--instrument-type", "instrument_types", envvar="INSTRUMENT_TYPE", type=Words(), help="Only these: spot,perpetual,...")
@click.option("--shard-index", envvar="SHARD_INDEX", type=click.IntRange(min=0), help="Do one shard of several.")
@click.option("--total-shards", envvar="TOTAL_SHARDS", type=click.IntRange(min=1), help="How many shards there are.")
@click.option("--run", envvar="TICKDECK_RUN", help="Go on with this run [a new one].")
@click.option("--max-concurrent", type=int, help="Downloads at once.")
@click.option("--converters", "--max-workers", type=int, help="Conversions at once.")
@click.option("--batch-size", type=int, help="Instruments in one batch.")
@retry_options
@click.option("--dry-run", is_flag=True, help="Say exactly what would be fetched, with bytes; fetch nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@bucket_options
def download_command(**options: Any) -> int:
    """Download a range of days by hand: plan, fetch, convert and commit in this process."""
    return asyncio.run(download(**options))


async def download(
    *,
    venues: tuple[str, ...],
    data_types: tuple[str, ...],
    start: date | None,
    end: date | None,
    day: date | None,
    symbols: tuple[str, ...] | None,
    universe: str,
    instrument_types: tuple[str, ...] | None,
    shard_index: int | None,
    total_shards: int | None,
    run: str | None,
    max_concurrent: int | None,
    converters: int | None,
    batch_size: int | None,
    dry_run: bool,
    as_json: bool,
    data_bucket: str | None,
    state_bucket: str | None,
    **retries: Any,
) -> int:
    """Plan the range and work on it in this process.

    Raises:
        UsageError: if the options cannot be meant.
        EngineError: if the work had to end early.
    """
    days = _days(start, end, day)
    for data_type in data_types:
        require_data_type(data_type)
    for venue in venues:
        require_venue(venue)
    for symbol in symbols or ():
        require_symbol(symbol)
    if (shard_index is None) != (total_shards is None):
        given, other = ("--total-shards", "--shard-index") if shard_index is None else ("--shard-index", "--total-shards")
        raise UsageError(f"{given} without {other}", hint="give both, or neither to do all the work")
    if total_shards and shard_index is not None and shard_index >= total_shards:
        raise UsageError(f"--shard-index {shard_index} of --total-shards {total_shards}", hint=f"indexes are 0..{total_shards - 1}")
    flags = {
        "data_bucket": data_bucket,
        "state_bucket": state_bucket,
        "max_concurrent": max_concurrent,
        "converters": converters,
        "batch_size": batch_size,
    }
    settings = resolve(flags=flags)
    places = open_places(settings)
    await asyncio.gather(*(asyncio.to_thread(require_bucket, store) for store in (places.state, places.data)))
    run = run or new_run(utc_now())
    run_started(run)
    terminal = sys.stderr.isatty()
    logbook = Logbook(
        stream=sys.stderr if terminal or as_json or dry_run else sys.stdout,
        secrets=(settings.text("api_key"),),
        context={"run": run},
        minimum="WARNING" if terminal or as_json or dry_run else settings.text("log_level"),
        as_text=terminal,
    )
    request = Request(
        venues=venues,
        data_types=data_types,
        start=days.start,
        end=days.end,
        symbols=symbols or (),
        universe=universe,
        instrument_types=instrument_types or (),
        strategy="by-date" if total_shards else "balanced",
        shards=total_shards or 1,
        **read_retries(**retries),
    )
    async with open_source(settings, logbook) as source:
        await fetch_catalogues(source, venues, places.state)
        means = Means(places.data.bucket, places.state.bucket, default_shards=1)
        plan = await asyncio.to_thread(plan_request, Inventory(places.state), request, means, now=utc_now())
        if not plan.shards:
            return _nothing_to_do(plan, as_json=as_json)
        if shard_index is not None and shard_index >= len(plan.shards):
            click.echo(f"shard {shard_index} of {total_shards} has no work")
            return ExitCode.DONE
        shards = (shard_index,) if shard_index is not None else tuple(shard.index for shard in plan.shards)
        if dry_run:
            return show_dry_run(places.data, plan, shards, as_json=as_json)
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


def _days(start: date | None, end: date | None, day: date | None) -> DayRange:
    if day is not None:
        if start or end:
            raise UsageError("--day and --start or --end exclude each other", hint="give the one you mean")
        return DayRange(day, day)
    if start is None:
        raise UsageError("no day given", hint="--start 2024-05-01 [--end 2024-05-31], or --day latest")
    return DayRange(start, end or start)


def _nothing_to_do(plan: Plan, *, as_json: bool) -> ExitCode:
    code = ExitCode.TEMPORARY if plan.not_ready else ExitCode.DONE
    if as_json:
        document = {"run": None, "plan": plan.id, "exit_code": int(code), "warnings": plan.warnings, "not_ready": _not_ready(plan)}
        print_json(document, one_line=True)
    else:
        click.echo(f"{DayRange(plan.request.start, plan.request.end)}: {'; '.join(plan.warnings)}")
    if plan.not_ready:
        say_not_ready(plan, program="engine")
    return code


def _not_ready(plan: Plan) -> list[dict[str, str]]:
    return [{"venue": item.venue, "day": item.day.isoformat(), "due": item.due.isoformat()} for item in plan.not_ready]


def files_to_fetch(data: Store, plan: Plan, shards: tuple[int, ...]) -> list[tuple[File, int]]:
    """The files of these shards that are not in the bucket, with their estimated compressed bytes, in the order of work.

    Beyond the plan, which subtracts what manifests hold, this looks at the bucket itself, as the work will.
    """
    work = [item for index in shards for item in plan.shard(index).work]

    def missing(item: Work) -> list[tuple[File, int]]:
        held = list_committed(data, item.cell)
        return [(file, size) for file, size in zip(item.files(), item.bytes, strict=True) if file.symbol not in held]

    with ThreadPoolExecutor(16, "list") as pool:
        return [pair for found in pool.map(missing, work) for pair in found]


def show_dry_run(data: Store, plan: Plan, shards: tuple[int, ...], *, as_json: bool) -> ExitCode:
    """Print what would be fetched; nothing is fetched or stored but the catalogues that say it."""
    wanted = files_to_fetch(data, plan, shards)
    total = sum(size for _, size in wanted)
    if as_json:
        files = [
            {"venue": file.cell.venue, "data_type": file.cell.data_type, "day": file.cell.day, "symbol": file.symbol, "bytes": size}
            for file, size in wanted
        ]
        warnings = {"warnings": plan.warnings, "not_ready": _not_ready(plan)}
        print_json({"dry_run": True, "plan": plan.id, "files": files, "bytes": total, "held": plan.already_done, **warnings})
        return ExitCode.DONE
    if len(wanted) <= LISTED_FILES:
        rows = [(file.cell.venue, file.cell.data_type, file.cell.day, file.symbol, format_bytes(size)) for file, size in wanted]
        print_table(("venue", "data type", "day", "symbol", "about"), rows, right=(4,))
    else:
        cells: dict[Any, list[int]] = {}
        for file, size in wanted:
            cells.setdefault(file.cell, []).append(size)
        rows_by_cell = [
            (cell.venue, cell.data_type, cell.day, f"{len(sizes):,}", format_bytes(sum(sizes))) for cell, sizes in cells.items()
        ]
        print_table(("venue", "data type", "day", "files", "about"), rows_by_cell, right=(3, 4))
        click.echo("--json names every file")
    for warning in plan.warnings:
        click.echo(f"! {warning}")
    for item in plan.not_ready:
        click.echo(f"! {item.venue} {item.day} is not published yet, due {item.due:%Y-%m-%d %H:%M} UTC")
    click.echo(f"dry run: {len(wanted):,} files, about {format_bytes(total)}; nothing was fetched")
    return ExitCode.DONE


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
                "not_ready": _not_ready(plan),
                "seconds": round(report.seconds, 3),
            },
            one_line=True,
        )
        return code
    totals.show()
    click.echo(f"run {run}: {describe(report)}", err=to_stderr)
    for item in plan.not_ready:
        click.echo(f"{item.venue} {item.day} is not published yet, due {item.due:%Y-%m-%d %H:%M} UTC", err=to_stderr)
    if code is ExitCode.PARTIAL:
        bad = sum(count for outcome, count in report.outcomes.items() if outcome in BAD_OUTCOMES)
        step = "the same command tries them again; their reasons: tickdeck check --detailed, and the log above"
        click.echo(f"engine: {bad} of {report.files_total} files failed -> {step}", err=True)
    return code


def _how_far(worker: Worker, file: File, took: str) -> str:
    progress = worker.progress
    return (
        f"{progress.files_done}/{progress.files_total} files, {format_bytes(progress.source_bytes)}, "
        f"{format_bytes(progress.rate())}/s, {progress.files_bad} bad, {took}, last {file}"
    )
