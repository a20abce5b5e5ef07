"""`tickdeck deploy MODE`: plan and launch in one go, or launch a saved plan."""

from __future__ import annotations

from typing import Any

import click

from console.confirming import ask_yes
from console.sentences import plan_sentence, plural
from console.verbs.options import headless_session, json_option, make_request, profile_option, range_options, request_options
from console.verbs.plan import show_plan
from engine.errors import ExitCode, UsageError
from engine.plan import Plan
from engine.verbs.printing import print_json, say_not_ready


@click.group("deploy")
def deploy_command() -> None:
    """Launch a fleet for a job."""


def launch_options(function: Any) -> Any:
    """How a plan is launched."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Show the plan and the VMs; start nothing."),
        click.option("--armed", is_flag=True, help="Write although the profile is protected."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--shards-only", default="", help="Launch only these shards, e.g. 40-59,70."),
        click.option("--vms", type=click.IntRange(min=0), default=0, help="How many VMs [one a shard, at most the profile's]."),
    ):
        function = option(function)
    return function


@deploy_command.command("download")
@range_options
@request_options
@launch_options
@profile_option
@json_option
def download(*, profile_name: str, dry_run: bool, yes: bool, armed: bool, shards_only: str, vms: int, as_json: bool, **options: Any) -> int:
    """Plan a range of days and launch VMs that download it."""
    session = headless_session(profile_name, armed=armed)
    plan = session.plan(make_request(**options))
    if not plan.shards:
        if as_json:
            print_json({"plan": plan.id, "run": None, "warnings": plan.warnings})
        else:
            show_plan(plan)
        if plan.not_ready:
            say_not_ready(plan, program="tickdeck")
        return ExitCode.TEMPORARY if plan.not_ready else ExitCode.DONE
    return launch_plan(session, plan, dry_run=dry_run, yes=yes, shards_only=shards_only, vms=vms, as_json=as_json)


@deploy_command.command("plan")
@click.argument("plan_id", metavar="PLAN")
@launch_options
@profile_option
@json_option
def deploy_plan(
    *, plan_id: str, profile_name: str, dry_run: bool, yes: bool, armed: bool, shards_only: str, vms: int, as_json: bool
) -> int:
    """Launch a plan that was saved with `tickdeck plan --save`."""
    session = headless_session(profile_name, armed=armed)
    plan = session.inventory.plan(plan_id)
    return launch_plan(session, plan, dry_run=dry_run, yes=yes, shards_only=shards_only, vms=vms, as_json=as_json)


def _later(name: str) -> None:
    @deploy_command.command(name, help="Not yet.", context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def later(arguments: tuple[str, ...]) -> int:  # noqa: ARG001
        raise UsageError(f"tickdeck deploy {name} is not there yet", hint="this version deploys: download")


for _name in ("instruments", "candles", "upload-bigquery", "validate"):
    _later(_name)


def launch_plan(session: Any, plan: Plan, *, dry_run: bool, yes: bool, shards_only: str, vms: int, as_json: bool) -> int:
    """Show a plan, ask, launch it."""
    wanted = parse_shards(shards_only) if shards_only else None
    if not as_json:
        show_plan(plan)
        click.echo()
    if dry_run:
        if as_json:
            print_json({"plan": plan.id, "run": None, "dry_run": True, "estimate": plan.estimate})
        else:
            click.echo("dry run: nothing was started")
        return ExitCode.DONE
    if not yes and not ask_yes(plan_sentence(plan), "Launch?"):
        return ExitCode.TEMPORARY
    launched = session.launch(plan, shards_only=wanted, vms=vms, report=(lambda _line: None) if as_json else click.echo)
    if as_json:
        print_json(
            {
                "plan": plan.id,
                "run": launched.run,
                "created": launched.created,
                "failed": launched.failed,
                "messages": launched.messages,
            }
        )
    else:
        for line in launched.messages:
            click.echo(line)
        click.echo(f"run {launched.run}: {plural(len(launched.created), 'VM')}; watch: tickdeck fleet --run {launched.run} --watch")
    return ExitCode.UNAVAILABLE if not launched.created else ExitCode.DONE


def parse_shards(text: str) -> frozenset[int]:
    """`40-59,70` as a set.

    Raises:
        UsageError: naming the part that is no number or range.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
            raise UsageError(f"{part!r} is no shard and no range of shards", hint="write 40-59,70")
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)
