"""`tickdeck costs`: what runs cost beside what was estimated, the old budget computed again, and other fleets for a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import click

from console.amounts import forecast_line, format_dollars, format_hours, format_share
from console.sentences import plural
from console.session import Session
from console.verbs.options import headless_session, json_option, make_request, profile_option, range_options, request_options
from engine.clock import format_bytes
from engine.errors import ExitCode, UsageError
from engine.plan import Plan
from engine.verbs.options import Day, OneOf
from engine.verbs.printing import print_json, print_table
from provision.budget import VIEWS, Row, compare
from provision.costs import RunCost, Spending, VmUse, cost_warnings
from provision.prices import list_figures, machine_speed, plan_rates
from provision.profile import Profile, resolve_profile
from provision.what_if import Alternative, parse_choices

SHOWN_DAYS = 30
"""Runs that began in so many days are listed by default."""

VIEW_PROFILE = Profile(name="gcp defaults", kind="gcp")
"""Whose region and machines the views take where the active profile costs nothing."""

Function = Callable[..., Any]


def optional_request(function: Function) -> Function:
    """The options of `tickdeck plan`, none of them required: a plan's id, or runs, may stand in their place."""
    function = range_options(request_options(function))
    for parameter in function.__click_params__:  # type: ignore[attr-defined]  # click keeps them there until the command is made
        parameter.required = False
    return function


@click.command("costs")
@click.argument("runs", nargs=-1)
@click.option("--since", type=Day(), help="Runs that began on this UTC day or later [30d].")
@click.option("--until", type=Day(), help="Runs that began on this UTC day or earlier [today].")
@click.option("--view", type=OneOf((*VIEWS, "prices")), help="The old budget computed again, or the price table.")
@click.option("--what-if", "choices", multiple=True, help="Other fleets: vms=20/50,machine-type=T,spot=yes/no,strategy=by-date.")
@click.option("--plan", "plan_id", default="", help="Of a saved plan; without it, of the request that the other options make.")
@optional_request
@profile_option
@json_option
def costs_command(
    *,
    runs: tuple[str, ...],
    since: date | None,
    until: date | None,
    view: str | None,
    choices: tuple[str, ...],
    plan_id: str,
    profile_name: str,
    as_json: bool,
    **options: Any,
) -> int:
    """What runs cost beside what was estimated: money, time, bytes, files, what was done twice, retries by cause.

    With --what-if: the same work with other fleets; nothing is launched.
    """
    if view is not None:
        return _show_view(view, resolve_profile(profile_name or None), as_json=as_json)
    if choices:
        if runs:
            raise UsageError("--what-if is about a plan, not about runs", hint="give --plan, or a request")
        parsed = parse_choices(choices)
        session = headless_session(profile_name)
        plan = session.inventory.plan(plan_id) if plan_id else session.planning.plan(_request(options))
        return _show_alternatives(session, plan, session.planning.what_if(plan, parsed), as_json=as_json)
    if plan_id or any(options[key] for key in ("venues", "data_types", "start")):
        raise UsageError("a plan or a request is looked at with --what-if", hint="its own cost: tickdeck plan ...")
    session = headless_session(profile_name)
    if not runs and since is None:
        since = session.clock().date() - timedelta(days=SHOWN_DAYS)
    return _show_spending(session.profile, session.money.spending(runs, since=since, until=until), vms=bool(runs), as_json=as_json)


def _request(options: dict[str, Any]) -> Any:
    missing = [f"--{key.replace('_', '-')}" for key in ("venues", "data_types", "start") if not options[key]]
    if missing:
        raise UsageError(f"--what-if needs a plan, or a request: {', '.join(missing)} is missing", hint="or give --plan ID")
    return make_request(**options)


# Runs


def _show_spending(profile: Profile, spending: Spending, *, vms: bool, as_json: bool) -> int:
    warnings = cost_warnings(profile, spending)
    if as_json:
        print_json({"runs": spending.runs, "by_day": spending.by_day, "warnings": warnings, "notes": spending.notes})
        return ExitCode.DONE
    if not spending.runs:
        click.echo("no run began in this time")
        return ExitCode.DONE
    print_runs(spending.runs)
    if vms:
        for run in spending.runs:
            click.echo(f"\n{run.run}")
            print_table(("vm", "machine", "from (UTC)", "to", "hours", "known by", "cost"), map(_vm_row, run.vms), right=(4, 6))
    if len(spending.runs) > 1:
        click.echo(f"\n{plural(len(spending.runs), 'run')}: {_total(spending.runs)}")
    for run in spending.runs:
        if run.forecast is not None:
            click.echo(f"{run.run}: {forecast_line(run.forecast)}")
    for warning in warnings:
        click.echo(f"! {warning}")
    for note in spending.notes:
        click.echo(note, err=True)
    return ExitCode.DONE


def print_runs(runs: Sequence[RunCost]) -> None:
    """Print what runs came to, the estimate of each above its actual."""
    print_table(
        ("run", "began (UTC)", "", "VMs", "VM-hours", "minutes", "cost", "files", "source", "redone", "retries"),
        [row for run in runs for row in _run_rows(run)],
        right=(3, 4, 5, 6, 7, 8, 9),
    )


def _run_rows(run: RunCost) -> list[tuple[object, ...]]:
    """Three lines: estimate, actual, difference."""
    actual, expected = run.actual, run.expected
    began = f"{run.began:%Y-%m-%d %H:%M}"
    retries = ", ".join(f"{count} {cause}" for cause, count in sorted(run.retries.items()))
    rows: list[tuple[object, ...]] = [
        (
            "" if expected else run.run,
            "" if expected else began,
            "so far" if run.ended is None else "actual",
            len(run.vms),
            format_hours(actual.vm_hours),
            f"{actual.minutes:,.1f}",
            format_dollars(actual.dollars),
            f"{actual.files:,}",
            format_bytes(actual.bytes),
            format_bytes(run.redone_bytes) if run.redone_bytes is not None else "",
            retries,
        )
    ]
    if expected is None:
        return rows
    cost = (
        f"{format_dollars(expected.dollars)} ({format_dollars(expected.low)} to {format_dollars(expected.high)})"
        if expected.high
        else "free"
    )
    cost = cost if expected.is_priced else "unknown"
    size, files = format_bytes(expected.bytes), f"{expected.files:,}"
    rows.insert(0, (run.run, began, "estimate", "", format_hours(expected.vm_hours), f"{expected.minutes:,.1f}", cost, files, size, "", ""))
    money = format_share(actual.dollars, expected.dollars) if expected.is_priced else ""
    hours, minutes = format_share(actual.vm_hours, expected.vm_hours), format_share(actual.minutes, expected.minutes)
    rows.append(
        (
            "",
            "",
            "",
            "",
            hours,
            minutes,
            money,
            format_share(actual.files, expected.files),
            format_share(actual.bytes, expected.bytes),
            "",
            "",
        )
    )
    return rows


def _vm_row(use: VmUse) -> tuple[object, ...]:
    machine = f"{use.machine_type} {use.model.lower()}"
    ended = "still runs" if use.running else f"{use.ended:%Y-%m-%d %H:%M:%S}"
    return use.vm, machine, f"{use.began:%Y-%m-%d %H:%M:%S}", ended, format_hours(use.hours), use.known_by, format_dollars(use.dollars)


def _total(runs: Sequence[RunCost]) -> str:
    known = [run.actual.dollars for run in runs if run.actual.dollars is not None]
    unknown = len(runs) - len(known)
    return format_dollars(sum(known)) + (f", and {plural(unknown, 'run')} without a price" if unknown else "")


# What if


def _show_alternatives(session: Session, plan: Plan, found: Sequence[Alternative], *, as_json: bool) -> int:
    if as_json:
        print_json({"plan": plan.id, "alternatives": found})
        return ExitCode.DONE
    estimate = plan.estimate
    click.echo(f"plan {plan.id}: {plural(estimate.files, 'file')}, {format_bytes(estimate.bytes)}, profile {session.profile.name}")
    print_table(
        ("", "VMs", "strategy", "machine", "spot", "minutes", "VM-hours", "cost", "low", "high", "UTC days of allowance", "note"),
        map(_alternative_row, found),
        right=(1, 5, 6, 7, 8, 9, 10),
    )
    return ExitCode.DONE


def _alternative_row(one: Alternative) -> tuple[object, ...]:
    low, expected, high = map(format_dollars, one.cost) if one.cost else ("", "unknown", "")
    minutes, hours = (f"{one.minutes:,.1f}", format_hours(one.vm_hours)) if one.minutes else ("", "")
    spot = "yes" if one.model == "SPOT" else "no"
    days = one.allowance_days or ""
    return "plan" if one.is_plan else "", one.vms, one.strategy, one.machine_type, spot, minutes, hours, expected, low, high, days, one.note


# Views


def _show_view(view: str, profile: Profile, *, as_json: bool) -> int:
    if view == "prices":
        return _show_prices(as_json=as_json)
    if profile.kind == "local":
        profile = replace(VIEW_PROFILE, region=profile.region)
    machine_type = profile.machine_types[0]
    rates = plan_rates(profile)
    rows = compare(next(known for known in VIEWS if known == view), machine_speed(machine_type), rates)
    if as_json:
        print_json({"view": view, "region": profile.region, "machine": rates.machine, "unknown": rates.unknown, "rows": rows})
        return ExitCode.DONE
    click.echo(f"the standing job, {view}: {rates.unknown or rates.machine} in {profile.region}")
    if rates.unknown:
        click.echo(f"! no price is known for {rates.unknown}", err=True)
    head = ("", "old budget", "this model", "low", "high", "difference", "price from")
    print_table(head, map(_budget_row, rows), right=(1, 2, 3, 4, 5))
    return ExitCode.DONE


def _budget_row(row: Row) -> tuple[object, ...]:
    def show(amount: float | None) -> str:
        if amount is None:
            return ""
        if row.unit == "$":
            return format_dollars(amount)
        return f"{amount:,.1f}" if row.unit == "hours" else f"{amount:,.0f}"

    change = row.difference
    share = f" ({100 * change / row.old:+.0f} %)" if change and row.old else ""
    sign = "-" if change is not None and change < 0 else "+"
    difference = "" if not change else f"{sign}{show(abs(change))}{share}"
    ours = "unknown" if row.unit == "$" and row.ours is None else show(row.ours)
    return row.item, show(row.old), ours, show(row.low), show(row.high), difference, row.source


def _show_prices(*, as_json: bool) -> int:
    figures = list(list_figures())
    if as_json:
        print_json(figures)
        return ExitCode.DONE
    print_table(
        ("region", "what", "US dollars", "per", "source", "dated"),
        [(one.region, one.item, f"{one.dollars:g}", one.unit, one.source, one.dated) for one in figures],
        right=(2,),
    )
    return ExitCode.DONE
