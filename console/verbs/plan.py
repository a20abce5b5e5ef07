"""`tickdeck plan`: what a request would do, before anything is started; and the plans that were kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from console.sentences import not_ready_lines, plan_sentence
from console.verbs.options import cells_options, command_line, headless_session, json_option, make_request, profile_option, request_options
from engine.clock import format_bytes, format_seconds
from engine.errors import ExitCode, UsageError
from engine.plan import STRATEGIES, Plan, Price
from engine.spelling import nearest
from engine.verbs.options import candle_options
from engine.verbs.printing import print_json, print_table, say_not_ready

if TYPE_CHECKING:
    from console.session import Session
    from engine.plan_diff import PlanDiff
    from provision.preflight import Preflight
    from provision.what_if import Alternative

CELLS_SHOWN = 20
"""Of a diff, for a person."""


class PlanGroup(click.Group):
    """`tickdeck plan --venues ...` plans; `tickdeck plan list` and the other words are about plans that were kept."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; options without a word before them belong to the plan that is to be made."""
        if args and args[0] in ctx.help_option_names:
            return super().parse_args(ctx, args)
        if not args or args[0].startswith("-"):
            args = [MAKE, *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown word names the nearest."""
        if args[0] not in self.commands:
            words = [name for name in self.commands if name != MAKE]
            raise UsageError(f"there is no {ctx.command_path} {args[0]!r}", hint=nearest(args[0], words, what="words"))
        return super().resolve_command(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The form that makes a plan."""
        return self.commands[MAKE].collect_usage_pieces(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options of the plan that is to be made, then the words."""
        click.Command.format_options(self.commands[MAKE], ctx, formatter)
        with formatter.section("Plans that were kept"):
            formatter.write_dl([(f"{ctx.command_path} {each.name}", each.get_short_help_str(90)) for each in self.commands.values()][1:])


MAKE = "make"


class _MakeContext(click.Context):
    """Speaks of itself as people call it."""

    @property
    def command_path(self) -> str:
        return self.parent.command_path if self.parent is not None else super().command_path


class MakeCommand(click.Command):
    """The command behind the bare `tickdeck plan`."""

    context_class = _MakeContext


@click.group("plan", cls=PlanGroup)
def plan_command() -> None:
    """Show what a request would do: files, bytes, shards, time, cost. Starts nothing.

    Exit code 75 if there is nothing to do yet because the source has not published the days.
    """


@plan_command.command(MAKE, cls=MakeCommand, hidden=True)
@cells_options
@request_options
@candle_options
@click.option("--save", is_flag=True, help="Store the plan, so that it can be deployed by its id.")
@click.option("--compare-strategies", is_flag=True, help="Also every strategy side by side, for several numbers of VMs.")
@click.option("--compare-vms", metavar="N/M", default="", help="These numbers of VMs [around the plan's own].")
@click.option("--against", metavar="ID", default="", help="Also what changes against a kept plan: its id, or `last`.")
@click.option("--preflight", is_flag=True, help="Also look whether a launch could begin.")
@profile_option
@json_option
def make_command(
    *,
    profile_name: str,
    save: bool,
    compare_strategies: bool,
    compare_vms: str,
    against: str,
    preflight: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Show what a request would do."""
    request = make_request(**options)
    session = headless_session(profile_name)
    before = _kept(session, against) if against else None
    plan = session.planning.plan(request)
    extras: dict[str, object] = {}
    if save and plan.shards:
        session.planning.save(plan)
    if not as_json:
        show_plan(plan)
    if (compare_strategies or compare_vms) and plan.shards:
        extras["alternatives"] = _compare_fleets(session, plan, compare_vms, quiet=as_json)
    if before is not None:
        extras["diff"] = _compare_plans(before, plan, quiet=as_json)
    found = _look_ahead(session, plan, extras, quiet=as_json) if preflight and plan.shards else None
    if as_json:
        print_json({"plan": plan, **extras} if extras else plan)
    if not plan.shards and plan.not_ready:
        say_not_ready(plan, program="tickdeck")
        return ExitCode.TEMPORARY
    if not as_json and plan.shards:
        click.echo(f"\nplan {plan.id}{' saved' if save else ''}; to do it:\n  {command_line(request)}")
    return found.code if found is not None else ExitCode.DONE


@plan_command.command("list")
@profile_option
@json_option
def list_command(*, profile_name: str, as_json: bool) -> int:
    """The plans that were kept, newest first."""
    from console.plan_comparison import cost_words, days_words, scope_words
    from console.widgets.figures import format_age

    session = headless_session(profile_name)
    plans = session.planning.kept()
    if as_json:
        print_json({"plans": plans})
        return ExitCode.DONE
    if not plans:
        click.echo("no plan is kept; keep one: tickdeck plan ... --save")
        return ExitCode.DONE
    now = session.clock()
    rows: list[tuple[object, ...]] = []
    for plan in plans:
        age, told = format_age((now - plan.saved).total_seconds()), plan.summary
        if told is None:
            rows.append((plan.id, age, "", "", "", "", "", "", f"cannot be read: {plan.problem}"))
            continue
        took, size = format_seconds(told.makespan_seconds), format_bytes(told.bytes)
        rows.append((plan.id, age, days_words(told), f"{told.files:,}", size, told.shards, took, cost_words(told.cost), scope_words(told)))
    print_table(("plan", "age", "days", "files", "bytes", "VMs", "takes", "cost", "of"), rows, right=(1, 3, 4, 5, 6, 7))
    return ExitCode.DONE


@plan_command.command("show")
@click.argument("plan_id", metavar="ID")
@profile_option
@json_option
def show_command(*, plan_id: str, profile_name: str, as_json: bool) -> int:
    """A kept plan: by its id, the beginning of it, or `last`."""
    plan = _kept(headless_session(profile_name), plan_id)
    if as_json:
        print_json(plan)
        return ExitCode.DONE
    if plan.job:
        click.echo(f"Runs `engine {' '.join(plan.job)}` on 1 VM.")
    else:
        show_plan(plan)
    click.echo(f"\nplan {plan.id}, made {plan.created:%Y-%m-%d %H:%M} UTC; to do it:\n  tickdeck deploy plan {plan.id}")
    if not plan.job:
        click.echo(f"to plan the same again:\n  {command_line(plan.request, 'plan')}")
    return ExitCode.DONE


@plan_command.command("diff")
@click.argument("before_id", metavar="BEFORE")
@click.argument("after_id", metavar="AFTER")
@profile_option
@json_option
def diff_command(*, before_id: str, after_id: str, profile_name: str, as_json: bool) -> int:
    """What one kept plan does that another does not."""
    session = headless_session(profile_name)
    diff = _compare_plans(_kept(session, before_id), _kept(session, after_id), quiet=as_json)
    if as_json:
        print_json(diff)
    return ExitCode.DONE


@plan_command.command("repeat")
@click.argument("run", required=False, default="")
@click.option("--save", is_flag=True, help="Store the plan, so that it can be deployed by its id.")
@profile_option
@json_option
def repeat_command(*, run: str, save: bool, profile_name: str, as_json: bool) -> int:
    """Plan again what a run was asked for [the newest run]: what is left of it."""
    from console.opening import last_request, request_of_run

    session = headless_session(profile_name)
    request = request_of_run(session, run) if run else last_request(session)
    if request is None:
        raise UsageError(f"there is no run {run} that downloads" if run else "there was no run yet", hint="see: tickdeck fleet status")
    plan = session.planning.plan(request)
    if save and plan.shards:
        session.planning.save(plan)
    if as_json:
        print_json(plan)
        return ExitCode.DONE
    show_plan(plan)
    if plan.shards:
        click.echo(f"\nplan {plan.id}{' saved' if save else ''}; to do it:\n  {command_line(request)}")
    return ExitCode.DONE


def _kept(session: Session, word: str) -> Plan:
    return session.planning.find_kept(word)


def _compare_fleets(session: Session, plan: Plan, vms: str, *, quiet: bool) -> Sequence[Alternative]:
    from console.plan_comparison import cost_words, side_by_side
    from provision.what_if import Choices, fleet_sizes, parse_choices

    sizes = parse_choices([f"vms={vms}"]).vms if vms else fleet_sizes(plan, session.profile.most_vms)
    found = session.planning.what_if(plan, Choices(vms=sizes, strategies=STRATEGIES))
    if quiet:
        return found
    click.echo("\nother ways to split it:")
    head, rows = ["", "VMs"], []
    for strategy in STRATEGIES:
        head += [strategy, "VM-hours", "cost"]
    for row in side_by_side(found, sizes):
        cells: list[object] = ["plan" if row.is_plan else "", f"{row.vms:,}"]
        for strategy in STRATEGIES:
            one = row.of(strategy)
            known = one is not None and one.minutes > 0
            cells += [format_seconds(one.minutes * 60), f"{one.vm_hours:,.1f}", cost_words(one.cost)] if one and known else ["", "", ""]
        rows.append(cells)
    print_table(head, rows, right=range(1, len(head)))
    for note in dict.fromkeys(f"{one.strategy} on {one.vms}: {one.note}" for one in found if one.note):
        click.echo(f"  {note}")
    return found


def _compare_plans(before: Plan, after: Plan, *, quiet: bool) -> PlanDiff:
    from console.plan_comparison import change_words, diff_figures, diff_sentence
    from engine.plan_diff import diff_plans

    diff = diff_plans(before, after)
    if quiet:
        return diff
    click.echo(f"\nplan {diff.before} -> {diff.after}: {diff_sentence(diff)}")
    for line in diff_figures(diff):
        click.echo(f"  {line}")
    if diff.changes:
        print_table(("cell", "change"), [(change.cell, change_words(change)) for change in diff.changes[:CELLS_SHOWN]])
    if len(diff.changes) > CELLS_SHOWN:
        click.echo(f"and {len(diff.changes) - CELLS_SHOWN:,} more cells: --json has them all")
    return diff


def _look_ahead(session: Session, plan: Plan, extras: dict[str, object], *, quiet: bool) -> Preflight:
    from console.verbs.doctor import show_preflight, to_json

    if not quiet:
        click.echo()
    found = show_preflight(session.launching.preflight(plan), quiet=quiet)
    extras["preflight"] = to_json(found)
    return found


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
