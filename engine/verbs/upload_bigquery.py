"""`engine upload-bigquery`: load days of the lake into BigQuery, or lay external tables over it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import click

from engine.bigquery.contents import TableDay, read_contents
from engine.bigquery.costs import Cost, cost_of
from engine.bigquery.tables import LAYERS, LakeTable, tables_of
from engine.bigquery.uploading import Outcome, Result, Upload, plan_upload, prepare, upload
from engine.bigquery.warehouse import Warehouse, open_client
from engine.bucket import read_rules, require_bucket
from engine.candles.timeframes import TIMEFRAMES, require_timeframes
from engine.catalogue import list_venues
from engine.clock import format_bytes
from engine.datatypes import require_data_type
from engine.errors import ConfigurationError, ExitCode, NotPermitted, UsageError
from engine.inventory import Inventory
from engine.model import DayRange, require_venue
from engine.settings import Settings, resolve
from engine.spelling import nearest
from engine.store import Store
from engine.verbs.by_hand import read_days
from engine.verbs.opening import open_places
from engine.verbs.options import Day, OneOf, Words, bucket_options
from engine.verbs.printing import print_json, print_table
from engine.verbs.status_line import StatusLine
from engine.worker import Places

SHOWN_FAILURES = 20


@click.command("upload-bigquery")
@click.option("--start-date", "--start", "start", envvar="START_DATE", type=Day(), help="First day, UTC.")
@click.option("--end-date", "--end", "end", envvar="END_DATE", type=Day(), help="Last day, inclusive [the first].")
@click.option("--day", type=Day(), help="Just this day.")
@click.option("--venues", envvar="VENUES", type=Words(), help="Only these, and those that a day holds already [all].")
@click.option("--layer", type=OneOf(LAYERS), default="candles", show_default=True, help="What is loaded.")
@click.option("--timeframes", type=Words(), help=f"Of candles, only these [{','.join(TIMEFRAMES)}].")
@click.option("--data-types", envvar="DATA_TYPES", type=Words(), help="Of ticks: trades,book_snapshot_5,...")
@click.option("--external", is_flag=True, help="Tables that read the bucket at each query; nothing is stored twice.")
@click.option("--dataset", help="Dataset [tickdeck].")
@click.option("--dry-run", is_flag=True, help="Say what would be loaded and what it costs; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@bucket_options
def upload_command(
    *,
    start: date | None,
    end: date | None,
    day: date | None,
    venues: tuple[str, ...] | None,
    layer: str,
    timeframes: tuple[str, ...] | None,
    data_types: tuple[str, ...] | None,
    external: bool,
    dataset: str | None,
    dry_run: bool,
    as_json: bool,
    data_bucket: str | None,
    state_bucket: str | None,
) -> int:
    """Load days of the lake into BigQuery by load jobs, and count the rows against manifests.

    A day of a table is loaded as a whole, and only if it has changed since it was loaded. Exit code 65 if a day failed.
    """
    tables = _tables(layer, timeframes, data_types, external=external)
    days = read_days(start, end, day)
    wanted = tuple(map(require_venue, venues or ()))
    settings = resolve(flags={"data_bucket": data_bucket, "state_bucket": state_bucket, "bigquery_dataset": dataset})
    _require_one_cloud(settings)
    places = open_places(settings)
    warehouse = open_warehouse(settings)
    for store in (places.state, places.data):
        require_bucket(store)
    warehouse.find_dataset()
    location = _location(settings, places.data, warehouse)
    plan = plan_upload(Inventory(places.state), places.data, warehouse, tables, days, venues=wanted)
    _require_known(plan, places.state, wanted)
    cost = cost_of(plan.todo, location, is_local=bool(settings.text("bigquery_endpoint")))
    if dry_run or not plan.todo:
        return _show_plan(plan, warehouse, days, location, cost, dry_run=dry_run, as_json=as_json)
    click.echo(f"{_size(plan.todo)} to {warehouse.dataset} in {location}; {cost}", err=True)
    outcome = _carry_out(plan, places, warehouse, location)
    return _show_outcome(outcome, plan, warehouse, cost, as_json=as_json)


def open_warehouse(settings: Settings) -> Warehouse:
    """The dataset as the settings say.

    Raises:
        ConfigurationError: if the server's address is not on this machine.
    """
    endpoint = settings.text("bigquery_endpoint")
    return Warehouse(open_client(project=settings.text("project"), endpoint=endpoint), settings.text("bigquery_dataset"))


def _require_one_cloud(settings: Settings) -> None:
    """A bucket on this machine goes with BigQuery on this machine, and the real one with the real one."""
    endpoint, storage = settings.text("bigquery_endpoint"), settings.text("storage_endpoint")
    if storage and not endpoint:
        raise ConfigurationError(
            "the bucket is on this machine, BigQuery is not", hint='set TICKDECK_BIGQUERY_ENDPOINT too: eval "$(tickdeck local env)"'
        )
    if endpoint and not storage:
        raise ConfigurationError("BigQuery is on this machine, the bucket is not", hint="unset TICKDECK_BIGQUERY_ENDPOINT")


def describe_cost(values: Mapping[str, Any], inventory: Inventory, data: Store, location: str, *, is_local: bool) -> str:
    """What an upload that a VM is asked for would store and cost, at most: as if nothing were loaded yet.

    Args:
        values: the options of the verb, by name, as `engine.job_plan.check_arguments` reads them.
        inventory: the state bucket.
        data: the data bucket.
        location: where the dataset lies.
        is_local: whether BigQuery is on this machine.
    """
    tables = _tables(values["layer"], values["timeframes"], values["data_types"], external=values["external"])
    days = read_days(values["start"], values["end"], values["day"])
    found = read_contents(inventory, data, tables, days, venues=values["venues"] or ()).days
    return f"{_size(found)}; {cost_of(found, location, is_local=is_local)}"


def _tables(layer: str, timeframes: tuple[str, ...] | None, data_types: tuple[str, ...] | None, *, external: bool) -> tuple[LakeTable, ...]:
    if layer == "ticks":
        if timeframes:
            raise UsageError("ticks have no timeframes", hint="--data-types trades; or --layer candles")
        if not data_types:
            raise UsageError("which ticks?", hint="--data-types trades,book_snapshot_5,...; see the cost first: --dry-run")
        return tables_of("ticks", [require_data_type(name).name for name in data_types], external=external)
    if data_types:
        raise UsageError("candles have no data types", hint="--layer ticks --data-types ...; or --timeframes 1m,5m")
    return tables_of("candles", require_timeframes(timeframes) if timeframes else TIMEFRAMES, external=external)


def _location(settings: Settings, data: Store, warehouse: Warehouse) -> str:
    """Where the dataset lies, or will: jobs can only read a bucket from the same place."""
    wanted = settings.text("bigquery_location")
    if warehouse.location:
        if wanted and wanted.lower() != warehouse.location.lower():
            raise ConfigurationError(
                f"dataset {warehouse.dataset} lies in {warehouse.location}, not in {wanted}",
                hint="unset BIGQUERY_LOCATION, or --dataset NAME",
            )
        return warehouse.location
    if wanted:
        return wanted
    try:
        return read_rules(data).location
    except NotPermitted as error:
        hint = "set BIGQUERY_LOCATION to the bucket's, or let this account read it (storage.buckets.get)"
        raise NotPermitted(f"where bucket {data.bucket} lies is not to be seen: {error}", hint=hint) from error


def _require_known(plan: Upload, state: Store, venues: tuple[str, ...]) -> None:
    """A misspelt name loads nothing, and nothing fails: say so."""
    known = list_venues(state)
    for venue in venues:
        if venue not in plan.contents.venues and venue not in known:
            raise UsageError(f"nothing is known of venue {venue!r}", hint=nearest(venue, known, what="venues"))


def _carry_out(plan: Upload, places: Places, warehouse: Warehouse, location: str) -> Outcome:
    line = StatusLine(sys.stderr.isatty())
    line.say(lambda: "tables")
    for name, columns in prepare(plan, warehouse, location).items():
        click.echo(f"table {name}: added {', '.join(columns)}", err=True)
    if all(day.table.external for day in plan.todo):
        return Outcome([Result(day, "loaded") for day in plan.todo])
    done: list[Result] = []

    def hear(result: Result) -> None:
        done.append(result)
        failed = sum(each.became == "failed" for each in done)
        line.say(lambda: f"{len(done):,} of {len(plan.todo):,} days of tables, {failed} failed, {line.took}; last {result.day}")

    try:
        return upload(plan, places.data, places.state, warehouse, on_day=hear)
    finally:
        line.end()


def _show_plan(plan: Upload, warehouse: Warehouse, days: DayRange, location: str, cost: Cost, *, dry_run: bool, as_json: bool) -> ExitCode:
    code = ExitCode.TEMPORARY if plan.left and not dry_run else ExitCode.DONE
    if as_json:
        counted = {"loaded": 0, "held": len(plan.held), "failed": 0, "left": len(plan.left)}
        print_json(
            {
                "dry_run": dry_run,
                **_head(warehouse, location, cost),
                **counted,
                "todo": [_document(day) for day in plan.todo],
                "adopted_left_out": plan.contents.strange,
            }
        )
        return code
    if plan.todo:
        rows = []
        for name, found in _by_table(plan.todo).items():
            objects, rows_of, size = sum(len(d.objects) for d in found), sum(d.rows for d in found), sum(d.bytes for d in found)
            span = str(DayRange(found[0].day, found[-1].day))
            rows.append((name, f"{len(found):,}", f"{objects:,}", f"{rows_of:,}", format_bytes(size), span))
        print_table(("table", "days", "objects", "rows", "bytes", "from"), rows, right=(1, 2, 3, 4))
        click.echo(f"dry run: {_size(plan.todo)} to {warehouse.dataset} in {location}; {cost}")
        click.echo(f"{len(plan.held):,} days of tables are loaded already; nothing was changed")
    elif plan.held:
        click.echo(f"nothing to do: {len(plan.held):,} days of tables are loaded, and nothing has changed since")
    else:
        click.echo(f"nothing to do: the lake has nothing committed of that in {days} -> candles are made by: engine candles")
    _warn(plan)
    return code


def _show_outcome(outcome: Outcome, plan: Upload, warehouse: Warehouse, cost: Cost, *, as_json: bool) -> ExitCode:
    failed = [result for result in outcome.results if result.became == "failed"]
    loaded = [result.day for result in outcome.results if result.became == "loaded"]
    if as_json:
        print_json(
            {
                "dry_run": False,
                **_head(warehouse, warehouse.location, cost),
                **{became: outcome.count(became) for became in ("loaded", "held", "failed", "left")},
                "days": [
                    {**_document(each.day), "became": each.became, "job": each.job, "reason": each.reason}
                    for each in outcome.results
                    if each.became in ("loaded", "failed")
                ],
                "adopted_left_out": plan.contents.strange,
            }
        )
    else:
        counts = Counter((result.day.table.name, result.became) for result in outcome.results)
        rows = [
            (
                name,
                *(f"{counts[(name, became)]:,}" for became in ("loaded", "held", "failed")),
                f"{sum(day.rows for day in loaded if day.table.name == name):,}",
            )
            for name in _in_order(plan, outcome)
        ]
        print_table(("table", "loaded", "held", "failed", "rows loaded"), rows, right=(1, 2, 3, 4))
        what = "read by external tables" if loaded and all(day.table.external for day in loaded) else "loaded"
        click.echo(f"{_size(loaded)} {what}; dataset {warehouse.project}.{warehouse.dataset}")
        _warn(plan)
    for result in failed[:SHOWN_FAILURES]:
        click.echo(f"engine: {result.day}: {result.reason}" + (f" -> {result.hint}" if result.hint else ""), err=True)
    if len(failed) > SHOWN_FAILURES:
        click.echo(f"engine: and {len(failed) - SHOWN_FAILURES:,} more days of tables failed -> see: --json", err=True)
    return outcome.exit_code


def _in_order(plan: Upload, outcome: Outcome) -> list[str]:
    """The tables that something became of, as they were asked for."""
    wanted = list(dict.fromkeys(day.table.name for day in plan.contents.days))
    return sorted({result.day.table.name for result in outcome.results}, key=wanted.index)


def _warn(plan: Upload) -> None:
    if plan.contents.strange:
        click.echo(f"! {plan.contents.strange:,} files of the system before have other columns and stay out")
    if plan.left:
        click.echo(f"! {len(plan.left):,} days of tables are left: BigQuery takes 1,500 load jobs a table and day; run again tomorrow")


def _head(warehouse: Warehouse, location: str, cost: Cost) -> dict[str, object]:
    return {"project": warehouse.project, "dataset": warehouse.dataset, "location": location, "cost": cost}


def _document(day: TableDay) -> dict[str, object]:
    return {
        "table": day.table.name,
        "day": day.day,
        "venues": day.venues,
        "objects": len(day.objects),
        "rows": day.rows,
        "bytes": day.bytes,
        "content": day.content,
    }


def _by_table(days: tuple[TableDay, ...]) -> dict[str, list[TableDay]]:
    found: dict[str, list[TableDay]] = {}
    for day in days:
        found.setdefault(day.table.name, []).append(day)
    return found


def _size(days: Sequence[TableDay]) -> str:
    tables = len({day.table.name for day in days})
    objects, size = sum(len(day.objects) for day in days), sum(day.bytes for day in days)
    rows = sum(day.rows for day in days)
    return (
        f"{rows:,} rows, {_counted(len(days), 'day')} of {_counted(tables, 'table')} ({_counted(objects, 'object')}, {format_bytes(size)})"
    )


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
