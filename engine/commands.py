"""What the `engine` verbs do, once their arguments are read.

Kept apart from the command line so that `engine --help` imports neither pyarrow nor a cloud client.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date

import aiohttp
import click

from engine.catalogue import save_catalogue
from engine.clock import format_bytes, format_seconds, monotonic, utc_now
from engine.datatypes import require_data_type
from engine.errors import ConfigurationError, ExitCode, UsageError
from engine.instance import Instance, metadata_host
from engine.instruments import fetch_catalogue, fetch_catalogues, write_definitions
from engine.inventory import Inventory, Means, plan_request
from engine.logbook import Logbook
from engine.manifest import Entry
from engine.model import DayRange, File, require_symbol, require_venue
from engine.plan import Request, load_plan, save_plan
from engine.run import new_run, run_started
from engine.settings import Settings, resolve
from engine.source import Source
from engine.store import Store, open_client
from engine.throttle import Throttle
from engine.worker import Identity, Places, Worker, describe, find_identity


def open_places(settings: Settings, *, data_bucket: str = "", state_bucket: str = "") -> Places:
    """The two buckets, over one client."""
    client = open_client(project=settings.text("project"), endpoint=settings.text("storage_endpoint"))
    data = data_bucket or settings.text("data_bucket")
    state = state_bucket or settings.text("state_bucket") or f"{data}-state"
    return Places(data=Store(client, data), state=Store(client, state))


def open_source(settings: Settings, logbook: Logbook, *, throttle: Throttle | None = None) -> Source:
    """The source as the settings say, its retries in the log."""

    def on_retry(url: str, reason: str) -> None:
        path = url.split("/v1/", 1)[-1]
        logbook.warning("source_retry", f"{path}: {reason}, trying again", reason=reason)

    return Source(
        api_url=settings.text("api_url"),
        datasets_url=settings.text("datasets_url"),
        api_key=settings.text("api_key"),
        connections=settings.whole("max_concurrent"),
        throttle=throttle,
        on_retry=on_retry,
    )


async def work_command(
    *,
    run: str | None,
    vm: str | None,
    shards: tuple[int, ...],
    plan: str | None,
    data_bucket: str | None,
    state_bucket: str | None,
) -> int:
    """`engine work`: who am I, what is my plan, do it."""
    if shards and not plan:
        raise UsageError("--shard needs --plan", hint="the plan's id is in the launch record and in tickdeck fleet")
    on_vm = bool(metadata_host()) or not (run and vm)
    zone = instance_id = ""
    if on_vm:
        async with aiohttp.ClientSession() as session:
            instance = Instance(session)
            vm = vm or await instance.get("instance/name")
            zone = (await instance.get("instance/zone") or "").rsplit("/", 1)[-1]
            instance_id = await instance.get("instance/id") or ""
            run = run or await instance.attribute("td-run")
    if not run or not vm:
        raise ConfigurationError("this worker knows neither its run nor its name", hint="give --run and --vm, or start it on a VM")
    # A VM of the local cloud shares this machine with all others: it gets a laptop's defaults.
    has_machine = on_vm and not os.environ.get("STORAGE_EMULATOR_HOST")
    settings = resolve(flags={"data_bucket": data_bucket, "state_bucket": state_bucket}, on_vm=has_machine)
    places = open_places(settings)
    if shards and plan:
        identity, plan_id = Identity(run, vm, shards), plan
    else:
        identity, plan_id = find_identity(places.state, run, vm)
    document = load_plan(places.state, plan_id)
    settings = resolve(
        flags={"data_bucket": data_bucket, "state_bucket": state_bucket},
        on_vm=has_machine,
        plan=document.settings,
    )
    logbook = Logbook(
        secrets=(settings.text("api_key"),),
        context={"run": run, "vm": vm, "shard": identity.shards[0] if identity.shards else -1, "attempt": identity.attempt},
        minimum=settings.text("log_level"),
    )
    async with (
        _cloud_log(settings, logbook, run=run, vm=vm, shards=identity.shards, zone=zone, instance_id=instance_id),
        open_source(settings, logbook) as source,
        _preemption(on_vm) as preempted,
    ):
        worker = Worker(identity, document, places, source, settings, logbook)
        worker.install_signals()
        preempted.append(worker)
        report = await worker.run()
        logbook.info("report", describe(report))
    return report.exit_code


@asynccontextmanager
async def _cloud_log(
    settings: Settings, logbook: Logbook, *, run: str, vm: str, shards: tuple[int, ...], zone: str, instance_id: str
) -> AsyncIterator[None]:
    """Send the logbook's entries to Cloud Logging too, where the settings say so."""
    endpoint = settings.text("logging_endpoint")
    if not endpoint and (settings.text("cloud_logging") != "1" or settings.text("storage_endpoint")):
        yield
        return
    from engine.cloudlog import CloudLogWriter, GceInstance

    writer = CloudLogWriter(
        endpoint or None,
        settings.text("project"),
        labels={"run": run, "vm": vm, "shard": ",".join(map(str, shards))},
        resource=GceInstance(instance_id, zone) if instance_id else None,
    )
    logbook.add_sink(writer)
    try:
        yield
    finally:
        writer.close()


@asynccontextmanager
async def _preemption(on_vm: bool) -> AsyncIterator[list[Worker]]:
    """Stop the workers in the list when the machine is being preempted."""
    workers: list[Worker] = []

    async def watch() -> None:
        async with aiohttp.ClientSession() as session:
            await Instance(session).wait_for_preemption()
        for worker in workers:
            worker.stop("the machine is being preempted")

    task = asyncio.create_task(watch()) if on_vm else None
    try:
        yield workers
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def download_command(
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


async def instruments_command(
    *,
    venues: Sequence[str] | None,
    start: date | None,
    end: date | None,
    list_venues: bool,
    data_bucket: str | None,
    state_bucket: str | None,
) -> int:
    """`engine instruments`: keep what venues offer, and the definitions of each day."""
    settings = resolve(flags={"data_bucket": data_bucket, "state_bucket": state_bucket})
    logbook = Logbook(minimum="WARNING", stream=sys.stderr, as_text=sys.stderr.isatty(), secrets=(settings.text("api_key"),))
    async with open_source(settings, logbook) as source:
        if list_venues:
            for item in json.loads(await source.exchanges()):
                click.echo(f"{item['id']:<28} {item.get('name', ''):<36} since {str(item.get('availableSince', ''))[:10]}")
            return ExitCode.DONE
        if not venues:
            raise UsageError("no venue given", hint="--venues binance,deribit; list them with --list-venues")
        places = open_places(settings)
        for venue in venues:
            require_venue(venue)
            catalogue, body = await fetch_catalogue(source, venue)
            save_catalogue(places.state, catalogue, body)
            line = f"{venue}: {len(catalogue.listings)} symbols, published until {catalogue.published_until:%Y-%m-%d %H:%M} UTC"
            if start is not None:
                days = DayRange(start, end or start)
                written, before = write_definitions(places.data, catalogue, body, days)
                line += f"; definitions of {days}: {written} written, {before} there before"
            click.echo(line)
    return ExitCode.DONE
