"""`engine download`: a range of days by hand: plan, fetch, convert and commit in this process."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import date
from typing import Any

import click

from engine.clock import format_bytes, format_seconds, monotonic, utc_now
from engine.datatypes import require_data_type
from engine.errors import ExitCode, UsageError
from engine.instruments import fetch_catalogues
from engine.inventory import Inventory, Means, plan_request
from engine.logbook import Logbook
from engine.manifest import Entry
from engine.model import DayRange, File, require_symbol, require_venue
from engine.plan import Request, save_plan
from engine.run import new_run, run_started
from engine.settings import resolve
from engine.verbs.opening import open_places, open_source
from engine.verbs.options import Day, Words, bucket_options
from engine.worker import Identity, Worker, describe


@click.command("download")
@click.option("--venues", envvar="VENUES", type=Words(), required=True, help="Tardis exchange ids.")
@click.option("--data-types", envvar="DATA_TYPES", type=Words(), required=True, help="trades,book_snapshot_5,...")
@click.option("--start-date", "--start", "start", envvar="START_DATE", type=Day(), required=True, help="First day, UTC.")
@click.option("--end-date", "--end", "end", envvar="END_DATE", type=Day(), help="Last day, inclusive [the first].")
@click.option("--symbols", envvar="SYMBOLS", type=Words(), help="Only these dataset symbols [all that are expected].")
@click.option("--universe", envvar="UNIVERSE", default="", help="A named symbol list, e.g. tier1.")
@click.option("--shard-index", envvar="SHARD_INDEX", type=click.IntRange(min=0), help="Do one shard of several.")
@click.option("--total-shards", envvar="TOTAL_SHARDS", type=click.IntRange(min=1), help="How many shards there are.")
@click.option("--run", envvar="TICKDECK_RUN", help="Go on with this run [a new one].")
@click.option("--max-concurrent", type=int, help="Downloads at once.")
@click.option("--converters", "--max-workers", type=int, help="Conversions at once.")
@click.option("--batch-size", type=int, help="Instruments in one batch.")
@click.option("--refetch-empty", is_flag=True, help="Ask again for files that were empty.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@bucket_options
def download_command(**options: Any) -> int:
    """Download a range of days by hand: plan, fetch, convert and commit in this process."""
    return asyncio.run(download(**options))


async def download(
    *,
    venues: tuple[str, ...],
    data_types: tuple[str, ...],
    start: date,
    end: date | None,
    symbols: tuple[str, ...] | None,
    universe: str,
    shard_index: int | None,
    total_shards: int | None,
    run: str | None,
    max_concurrent: int | None,
    converters: int | None,
    batch_size: int | None,
    refetch_empty: bool,
    as_json: bool,
    data_bucket: str | None,
    state_bucket: str | None,
) -> int:
    """`engine download`: plan the range and work on it in this process."""
    days = DayRange(start, end or start)
    for data_type in data_types:
        require_data_type(data_type)
    for venue in venues:
        require_venue(venue)
    for symbol in symbols or ():
        require_symbol(symbol)
    if (shard_index is None) != (total_shards is None) or (total_shards and shard_index is not None and shard_index >= total_shards):
        raise UsageError("--shard-index and --total-shards go together, and the index is below the total")
    settings = resolve(
        flags={
            "data_bucket": data_bucket,
            "state_bucket": state_bucket,
            "max_concurrent": max_concurrent,
            "converters": converters,
            "batch_size": batch_size,
        }
    )
    settings.whole("batch_size")
    places = open_places(settings)
    run = run or new_run(utc_now())
    run_started(run)
    terminal = sys.stderr.isatty()
    logbook = Logbook(
        stream=sys.stderr if terminal else sys.stdout,
        secrets=(settings.text("api_key"),),
        context={"run": run},
        minimum="WARNING" if terminal or as_json else settings.text("log_level"),
        as_text=terminal,
    )
    request = Request(
        venues=venues,
        data_types=data_types,
        start=days.start,
        end=days.end,
        symbols=symbols or (),
        universe=universe,
        strategy="by-date" if total_shards else "balanced",
        shards=total_shards or 1,
        refetch=refetch_empty,
    )
    async with open_source(settings, logbook) as source:
        await fetch_catalogues(source, venues, places.state)
        means = Means(places.data.bucket, places.state.bucket, default_shards=1)
        plan = await asyncio.to_thread(plan_request, Inventory(places.state), request, means, now=utc_now())
        if not plan.shards:
            code = ExitCode.TEMPORARY if plan.not_ready else ExitCode.DONE
            if as_json:
                not_ready = [f"{item.venue} {item.day}" for item in plan.not_ready]
                click.echo(
                    json.dumps({"run": None, "plan": plan.id, "exit_code": int(code), "warnings": plan.warnings, "not_ready": not_ready})
                )
            else:
                click.echo(f"{days}: {'; '.join(plan.warnings)}")
            return code
        save_plan(places.state, plan)
        shards = (shard_index,) if shard_index is not None else tuple(shard.index for shard in plan.shards)
        if shard_index is not None and shard_index >= len(plan.shards):
            click.echo(f"shard {shard_index} of {total_shards} has no work")
            return ExitCode.DONE
        progress = ProgressLine(terminal and not as_json)
        worker = Worker(
            Identity(run, f"hand-{run}", shards),
            plan,
            places,
            source,
            settings,
            logbook,
            heal=False,
            on_outcome=lambda file, entry: progress.show(worker, file, entry),
        )
        worker.install_signals()
        report = await worker.run()
        progress.end()
    code = ExitCode.TEMPORARY if report.exit_code == ExitCode.DONE and plan.not_ready else report.exit_code
    if as_json:
        click.echo(
            json.dumps(
                {
                    "run": run,
                    "plan": plan.id,
                    "exit_code": int(code),
                    "outcomes": {str(key): count for key, count in sorted(report.outcomes.items())},
                    "files": report.files_done,
                    "resumed": report.files_resumed,
                    "rows": report.rows,
                    "source_bytes": report.source_bytes,
                    "not_ready": [f"{item.venue} {item.day}" for item in plan.not_ready],
                    "seconds": round(report.seconds, 3),
                }
            )
        )
    else:
        click.echo(f"run {run}: {describe(report)}", err=terminal)
        for item in plan.not_ready:
            click.echo(f"{item.venue} {item.day} is not published yet, due {item.due:%Y-%m-%d %H:%M} UTC", err=terminal)
    return code


class ProgressLine:
    """One line on a terminal that is written over as files end."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._started = monotonic()
        self._next = 0.0

    def show(self, worker: Worker, file: File, _entry: Entry) -> None:
        """Say how far the worker is, at most ten times a second."""
        now = monotonic()
        if not self._shown or now < self._next:
            return
        self._next = now + 0.1
        progress = worker.progress
        text = (
            f"{progress.files_done}/{progress.files_total} files, {format_bytes(progress.source_bytes)}, "
            f"{format_bytes(progress.rate())}/s, {progress.files_bad} bad, {format_seconds(now - self._started)}, last {file}"
        )
        sys.stderr.write(f"\r\x1b[2K{text[:118]}")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
