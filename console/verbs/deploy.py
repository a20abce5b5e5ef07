"""`tickdeck deploy MODE`: plan and launch in one go, or launch a saved plan."""

from __future__ import annotations

from typing import Any

import click

from console.session import Session
from console.verbs.deploy_job import HELP, job_command, show_job
from console.verbs.launching import Launching, launch_options, launch_plan
from console.verbs.options import fleet_options, headless_session, json_option, make_request, profile_option, range_options, request_options
from console.verbs.plan import show_plan
from engine.errors import ExitCode, UsageError
from engine.plan import CANDLES, Request
from engine.verbs.options import Day, Words, candle_options
from engine.verbs.printing import print_json, say_not_ready


@click.group("deploy")
def deploy_command() -> None:
    """Launch a fleet for a job."""


@deploy_command.command("download")
@range_options
@request_options
@launch_options
@profile_option
@json_option
def download(*, profile_name: str, launching: Launching, as_json: bool, **options: Any) -> int:
    """Plan a range of days and launch VMs that download it."""
    session = headless_session(profile_name, armed=launching.armed)
    return _plan_and_launch(session, make_request(**options), launching, as_json=as_json)


def _plan_and_launch(session: Session, request: Request, launching: Launching, *, as_json: bool) -> int:
    plan = session.planning.plan(request)
    if not plan.shards:
        if as_json:
            print_json({"plan": plan.id, "run": None, "warnings": plan.warnings})
        else:
            show_plan(plan)
        if plan.not_ready:
            say_not_ready(plan, program="tickdeck")
        return ExitCode.TEMPORARY if plan.not_ready else ExitCode.DONE
    return launch_plan(session, plan, launching, as_json=as_json)


@deploy_command.command("candles")
@click.option("--venues", "--venue", "venues", type=Words(), required=True, help="Tardis exchange ids.")
@click.option("--start-date", "--start", "start", type=Day(), required=True, help="First day, UTC: 2024-05-01, yesterday, 7d.")
@click.option("--end-date", "--end", "end", type=Day(), help="Last day, inclusive [the first].")
@click.option("--symbols", type=Words(), help="Only these dataset symbols [all with committed trades].")
@click.option("--universe", default="", help="A named symbol list, e.g. tier1.")
@candle_options
@fleet_options
@launch_options
@profile_option
@json_option
def candles(
    *,
    profile_name: str,
    launching: Launching,
    as_json: bool,
    **options: Any,
) -> int:
    """Plan the candles of a range of days and launch VMs that make them from committed files."""
    session = headless_session(profile_name, armed=launching.armed)
    return _plan_and_launch(session, make_request(data_types=(CANDLES,), **options), launching, as_json=as_json)


@deploy_command.command("plan")
@click.argument("plan_id", metavar="PLAN")
@launch_options
@profile_option
@json_option
def deploy_plan(*, plan_id: str, profile_name: str, launching: Launching, as_json: bool) -> int:
    """Launch a plan that was saved with `tickdeck plan --save`."""
    session = headless_session(profile_name, armed=launching.armed)
    plan = session.inventory.plan(plan_id)
    return launch_plan(session, plan, launching, as_json=as_json, show=show_job if plan.job else show_plan)


def _later(name: str) -> None:
    @deploy_command.command(name, help="Not yet.", context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def later(arguments: tuple[str, ...]) -> int:  # noqa: ARG001
        raise UsageError(f"tickdeck deploy {name} is not there yet", hint=f"this version deploys: download, candles, {', '.join(HELP)}")


for _name in HELP:
    deploy_command.add_command(job_command(_name))
for _name in ("stream-ticks", "stream-candles"):
    _later(_name)
