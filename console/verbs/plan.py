"""`tickdeck plan`: what a request would do, before anything is started."""

from __future__ import annotations

from typing import Any

import click

from console.sentences import not_ready_lines, plan_sentence
from console.verbs.options import cells_options, command_line, headless_session, json_option, make_request, profile_option, request_options
from engine.clock import format_bytes, format_seconds
from engine.errors import ExitCode
from engine.plan import Plan, Price
from engine.verbs.printing import print_json, print_table, say_not_ready


@click.command("plan")
@cells_options
@request_options
@click.option("--save", is_flag=True, help="Store the plan, so that it can be deployed by its id.")
@profile_option
@json_option
def plan_command(*, profile_name: str, save: bool, as_json: bool, **options: Any) -> int:
    """Show what a request would do: files, bytes, shards, time, cost. Starts nothing.

    Exit code 75 if there is nothing to do yet because the source has not published the days.
    """
    request = make_request(**options)
    session = headless_session(profile_name)
    plan = session.planning.plan(request)
    if save and plan.shards:
        session.planning.save(plan)
    if as_json:
        print_json(plan)
    else:
        show_plan(plan)
    if not plan.shards and plan.not_ready:
        say_not_ready(plan, program="tickdeck")
        return ExitCode.TEMPORARY
    if as_json or not plan.shards:
        return ExitCode.DONE
    click.echo(f"\nplan {plan.id}{' saved' if save else ''}; to do it:\n  {command_line(request)}")
    return ExitCode.DONE


def show_plan(plan: Plan) -> None:
    """A plan for a person."""
    click.echo(plan_sentence(plan))
    for warning in plan.warnings:
        click.echo(f"! {warning}")
    for line in not_ready_lines(plan):
        click.echo(f"! {line}")
    if not plan.shards:
        return
    click.echo()
    capped = any(shard.daily_bytes for shard in plan.shards)
    head = ("shard", "cells", "files", "bytes", "time", *(("a UTC day",) if capped else ()), "balance")
    print_table(head, _shard_rows(plan, capped=capped), right=range(len(head) - 1))
    estimate = plan.estimate
    click.echo(
        f"\nends {format_seconds(estimate.makespan_seconds)} after launch; no packing is faster than "
        f"{format_seconds(estimate.lower_bound_seconds)}"
    )
    if not estimate.is_priced:
        return
    if estimate.cost[2] == 0:
        click.echo(f"costs nothing: {estimate.costs[0].source}")
        return
    for price in estimate.costs:
        click.echo(f"  {_priced(price)}")
    if estimate.storage is not None:
        click.echo(f"and every month after:\n  {_priced(estimate.storage)}")


def _priced(price: Price) -> str:
    return f"${price.expected:,.2f} (${price.low:,.2f} to ${price.high:,.2f})  {price.item}  [{price.source}, {price.dated}]"


def _shard_rows(plan: Plan, *, capped: bool) -> list[tuple[object, ...]]:
    longest = max(shard.seconds for shard in plan.shards)
    rows: list[tuple[object, ...]] = []
    for shard in plan.shards:
        share = (format_bytes(shard.daily_bytes),) if capped else ()
        bar = "█" * max(1, round(24 * shard.seconds / longest)) if longest else ""
        rows.append((shard.index, len(shard.work), shard.files, format_bytes(shard.bytes), format_seconds(shard.seconds), *share, bar))
    return rows
