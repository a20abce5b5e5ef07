"""`engine download`: a range of days by hand: plan, fetch, convert and commit in this process."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import click

from engine.bucket import require_bucket
from engine.clock import format_bytes, utc_now
from engine.commit import list_committed
from engine.datatypes import require_data_type
from engine.errors import ExitCode
from engine.instruments.writing import fetch_catalogues
from engine.inventory import Inventory, Means, plan_request
from engine.logbook import Logbook
from engine.model import File, require_symbol, require_venue
from engine.plan import Plan, Request, Work
from engine.run import new_run, run_started
from engine.settings import resolve
from engine.store import Store
from engine.verbs.by_hand import (
    choose_shards,
    not_ready,
    range_options,
    read_days,
    require_shard,
    say_nothing_to_do,
    work_by_hand,
    work_options,
)
from engine.verbs.opening import open_places, open_source
from engine.verbs.options import Words, bucket_options, read_retries, retry_options
from engine.verbs.printing import print_json, print_table

LISTED_FILES = 200
"""A dry run for people names so many files one by one; beyond that it counts them by cell."""


@click.command("download")
@click.option("--venues", envvar="VENUES", type=Words(), required=True, help="Tardis exchange ids.")
@click.option("--data-types", envvar="DATA_TYPES", type=Words(), required=True, help="trades,book_snapshot_5,...")
@range_options
@click.option("--instrument-type", "instrument_types", envvar="INSTRUMENT_TYPE", type=Words(), help="Only these: spot,perpetual,...")
@click.option("--max-concurrent", type=int, help="Downloads at once.")
@click.option("--batch-size", type=int, help="Instruments in one batch.")
@retry_options
@work_options
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
    days = read_days(start, end, day)
    for data_type in data_types:
        require_data_type(data_type)
    for venue in venues:
        require_venue(venue)
    for symbol in symbols or ():
        require_symbol(symbol)
    require_shard(shard_index, total_shards)
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
            return say_nothing_to_do(plan, as_json=as_json)
        shards = choose_shards(plan, shard_index)
        if not shards:
            click.echo(f"shard {shard_index} of {total_shards} has no work")
            return ExitCode.DONE
        if dry_run:
            return show_dry_run(places.data, plan, shards, as_json=as_json)
        return await work_by_hand(
            plan,
            shards,
            places,
            source,
            settings,
            logbook,
            run=run,
            shard_index=shard_index,
            terminal=terminal,
            as_json=as_json,
        )


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
        warnings = {"warnings": plan.warnings, "not_ready": not_ready(plan)}
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
