"""`engine candles`: candles of a range of days by hand, in this process; `engine candles show`: the first bars of one day."""

from __future__ import annotations

import asyncio
import io
import sys
from datetime import date
from typing import Any

import click

from engine.bucket import require_bucket
from engine.candles.timeframes import TIMEFRAMES, bars_of, require_timeframes
from engine.clock import format_bytes, format_time, utc_now
from engine.errors import ConfigurationError, EngineError, ExitCode, UsageError
from engine.inventory import Inventory, Means, plan_request
from engine.logbook import Logbook
from engine.model import require_symbol, require_venue
from engine.paths import candle_object, candle_prefix, parse_candle_object
from engine.plan import CANDLES, Plan, Request
from engine.planner import NOTHING_TO_DO
from engine.run import new_run, run_started
from engine.settings import resolve
from engine.spelling import nearest
from engine.verbs.by_hand import choose_shards, range_options, read_days, require_shard, say_nothing_to_do, work_by_hand, work_options
from engine.verbs.opening import open_places
from engine.verbs.options import Day, OneOf, Words, bucket_options, candle_options
from engine.verbs.printing import print_json, print_table

LISTED_FILES = 200
"""A dry run for people names so many symbols one by one; beyond that it counts them by day."""

SHOWN_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume", "trade_count", "price_vwap", "buy_volume_sum", "sell_volume_sum")


class NothingCommitted(EngineError):
    """There is nothing yet that candles could be made of."""

    exit_code = ExitCode.TEMPORARY


class _Group(click.Group):
    """`engine candles --venues ...` makes candles, `engine candles show ...` shows some."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            raise UsageError(f"there is no verb {args[0]!r} of candles", hint=nearest(args[0], list(self.commands), what="verbs"))
        return super().resolve_command(ctx, args)


@click.group("candles", cls=_Group, invoke_without_command=True)
@click.option("--venues", envvar="VENUES", type=Words(), help="Tardis exchange ids.")
@range_options
@candle_options
@work_options
@bucket_options
def candles_group(**options: Any) -> int | None:
    """Make candles of all timeframes, with features, from committed ticks.

    Bars are labelled by their start, UTC, and end before the next; every bar of a day is there, empty ones too. A day's candles are
    made of that day's files alone.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return None
    return asyncio.run(make(**options))


async def make(
    *,
    venues: tuple[str, ...] | None,
    start: date | None,
    end: date | None,
    day: date | None,
    symbols: tuple[str, ...] | None,
    universe: str,
    timeframes: tuple[str, ...] | None,
    bucket_by: str,
    rebuild: bool,
    shard_index: int | None,
    total_shards: int | None,
    run: str | None,
    converters: int | None,
    dry_run: bool,
    as_json: bool,
    data_bucket: str | None,
    state_bucket: str | None,
) -> int:
    """Plan the range and make its candles in this process.

    Raises:
        UsageError: if the options cannot be meant.
        EngineError: if the work had to end early.
    """
    if not venues:
        raise UsageError("no venue given", hint="--venues binance,deribit; or: engine candles show --help")
    days = read_days(start, end, day)
    require_shard(shard_index, total_shards)
    request = Request(
        mode=CANDLES,
        venues=tuple(map(require_venue, venues)),
        data_types=(CANDLES,),
        start=days.start,
        end=days.end,
        symbols=tuple(map(require_symbol, symbols or ())),
        universe=universe,
        strategy="by-date" if total_shards else "balanced",
        shards=total_shards or 1,
        bucket_by=bucket_by,
        timeframes=require_timeframes(timeframes) if timeframes else (),
        rebuild=rebuild,
    )
    settings = resolve(flags={"data_bucket": data_bucket, "state_bucket": state_bucket, "converters": converters})
    places = open_places(settings)
    await asyncio.gather(*(asyncio.to_thread(require_bucket, store) for store in (places.state, places.data)))
    run = run or new_run(utc_now())
    run_started(run)
    terminal = sys.stderr.isatty()
    means = Means(places.data.bucket, places.state.bucket, default_shards=1)
    plan = await asyncio.to_thread(plan_request, Inventory(places.state), request, means, now=utc_now())
    if not plan.shards and not plan.already_done:
        where = f"--venues {','.join(venues)} --data-types trades --start {days.start} --end {days.end}"
        raise NothingCommitted(plan.warnings[0].removeprefix(f"{NOTHING_TO_DO}: "), hint=f"fetch them first: engine download {where}")
    if not plan.shards:
        return say_nothing_to_do(plan, as_json=as_json)
    shards = choose_shards(plan, shard_index)
    if not shards:
        click.echo(f"shard {shard_index} of {total_shards} has no work")
        return ExitCode.DONE
    if dry_run:
        return _show_dry_run(plan, shards, as_json=as_json)
    logbook = Logbook(
        stream=sys.stderr if terminal or as_json else sys.stdout,
        secrets=(settings.text("api_key"),),
        context={"run": run},
        minimum="WARNING" if terminal or as_json else settings.text("log_level"),
        as_text=terminal,
    )
    return await work_by_hand(
        plan, shards, places, None, settings, logbook, run=run, shard_index=shard_index, terminal=terminal, as_json=as_json
    )


def _show_dry_run(plan: Plan, shards: tuple[int, ...], *, as_json: bool) -> ExitCode:
    work = [item for index in shards for item in plan.shard(index).work]
    total, files = sum(sum(item.bytes) for item in work), sum(len(item.symbols) for item in work)
    if as_json:
        listed = [
            {"venue": item.venue, "day": item.day, "symbol": symbol, "bytes": size}
            for item in work
            for symbol, size in zip(item.symbols, item.bytes, strict=True)
        ]
        print_json(
            {"dry_run": True, "plan": plan.id, "files": listed, "bytes": total, "held": plan.already_done, "warnings": plan.warnings}
        )
        return ExitCode.DONE
    if files <= LISTED_FILES:
        rows = [
            (item.venue, item.day, symbol, format_bytes(size))
            for item in work
            for symbol, size in zip(item.symbols, item.bytes, strict=True)
        ]
        print_table(("venue", "day", "symbol", "inputs"), rows, right=(3,))
    else:
        by_day = [(item.venue, item.day, f"{len(item.symbols):,}", format_bytes(sum(item.bytes))) for item in work]
        print_table(("venue", "day", "symbols", "inputs"), by_day, right=(2, 3))
    for warning in plan.warnings:
        click.echo(f"! {warning}")
    click.echo(f"dry run: candles of {files:,} symbols and days from {format_bytes(total)}; nothing was made")
    return ExitCode.DONE


@candles_group.command("show")
@click.option("--day", type=Day(), required=True, help="UTC day.")
@click.option("--venue", required=True, help="Tardis exchange id.")
@click.option("--symbol", required=True, help="Dataset symbol.")
@click.option("--timeframe", type=OneOf(TIMEFRAMES), default="1m", show_default=True, help="Length of the bars.")
@click.option("--head", type=click.IntRange(min=1), help="Only so many bars from the start of the day.")
@click.option("--tail", type=click.IntRange(min=1), help="Only so many bars at the end of the day.")
@click.option("--columns", type=Words(), help="Only these columns [a few; with --csv or --json all].")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@bucket_options
def show_command(
    *,
    day: date,
    venue: str,
    symbol: str,
    timeframe: str,
    head: int | None,
    tail: int | None,
    columns: tuple[str, ...] | None,
    as_csv: bool,
    as_json: bool,
    data_bucket: str | None,
    state_bucket: str | None,
) -> int:
    """Show the candles of one symbol and day: the first bars, or all."""
    if head and tail:
        raise UsageError("--head and --tail exclude each other", hint="give the one you mean")
    store = open_places(resolve(flags={"data_bucket": data_bucket, "state_bucket": state_bucket})).data
    name = candle_object(day, timeframe, venue, symbol)
    found = store.get(name)
    if found is None:
        there = [parse_candle_object(info.name)[3] for info in store.list(candle_prefix(day, timeframe, venue))]
        hint = nearest(symbol, there, what="symbols") if there else f"make them: engine candles --venues {venue} --day {day}"
        raise ConfigurationError(f"there are no {timeframe} candles of {venue} {symbol} on {day} in bucket {store.bucket}", hint=hint)
    import pyarrow.parquet as pq

    table: Any = pq.read_table(io.BytesIO(found.data), use_threads=False)
    table = table.slice(0, head) if head else table.slice(table.num_rows - min(tail, table.num_rows)) if tail else table
    unknown = [column for column in columns or () if column not in table.column_names]
    if unknown:
        raise UsageError(f"candles have no column {unknown[0]!r}", hint=nearest(unknown[0], table.column_names, what="columns"))
    table = table.select(columns or (table.column_names if as_csv or as_json else SHOWN_COLUMNS))
    rows = [[_readable(value) for value in row.values()] for row in table.to_pylist()]
    if as_json:
        print_json([dict(zip(table.column_names, row, strict=True)) for row in rows])
    elif as_csv:
        import csv

        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows([["" if value is None else value for value in row] for row in rows])
    else:
        shown = [["" if value is None else f"{value:,.10g}" if isinstance(value, float) else value for value in row] for row in rows]
        print_table(table.column_names, shown, right=range(1, len(table.column_names)))
        click.echo(f"{venue} {symbol} {day}, {timeframe}: {len(rows)} of {bars_of(timeframe)} bars, labelled by their start, UTC")
    return ExitCode.DONE


def _readable(value: Any) -> Any:
    return format_time(value) if hasattr(value, "tzinfo") else value
