"""`tickdeck deploy instruments | validate | replay | upload-bigquery`: one verb of the engine on one VM of its own."""

from __future__ import annotations

import click

from console.sentences import money
from console.session import Session
from console.verbs.launching import Launching, launch_options, launch_plan
from console.verbs.options import headless_session, json_option, profile_option
from engine.clock import format_seconds
from engine.errors import UsageError
from engine.job_plan import check_arguments
from engine.plan import Plan

UPLOAD = "upload-bigquery"

HELP = {
    "instruments": "Keep what venues offer, and the definitions of each day, by one VM.",
    "replay": "Fetch raw messages by whole UTC hours, by one VM.",
    UPLOAD: "Load candles or ticks into BigQuery, by one VM.",
    "validate": "Re-verify committed objects, by one VM beside them.",
}


def job_command(verb: str) -> click.Command:
    """The command that launches a VM for a verb of the engine."""

    @click.command(
        verb,
        help=f"{HELP[verb]}\n\nTakes the options of `engine {verb}` too, as on a laptop; they are read before anything is launched.",
        context_settings={"ignore_unknown_options": True},
    )
    @click.option("--shards", type=int, default=1, help="One VM does it: 1.")
    @click.option("--machine-type", default="", help="Machine type [the profile's].")
    @click.option("--on-demand", is_flag=True, help="A VM that cannot be preempted [spot].")
    @click.option("--max-cost", type=click.FloatRange(min=0), default=0.0, help="US dollars that the run may cost [the profile's].")
    @launch_options
    @profile_option
    @json_option
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar=f"[ENGINE {verb.upper()} OPTIONS]...")
    def command(
        *,
        shards: int,
        machine_type: str,
        on_demand: bool,
        max_cost: float,
        launching: Launching,
        profile_name: str,
        as_json: bool,
        arguments: tuple[str, ...],
    ) -> int:
        if shards != 1 or launching.vms > 1:
            raise UsageError(f"engine {verb} is one job for one VM", hint="--shards 1; or several launches, each with a part of the days")
        session = headless_session(profile_name, armed=launching.armed)
        plan = session.planning.plan_job(
            (verb, *arguments),
            machine_type=machine_type,
            model="STANDARD" if on_demand else session.profile.provisioning_model,
            max_cost=max_cost,
        )
        if verb == UPLOAD:
            _say_cost(session, plan)
        return launch_plan(session, plan, launching, as_json=as_json, show=show_job)

    return command


def _say_cost(session: Session, plan: Plan) -> None:
    """What stays in BigQuery and costs by the month; of candles that is little, and the VM says it."""
    values = check_arguments(plan.job)
    if values["layer"] == "candles":
        return
    from engine.verbs.upload_bigquery import describe_cost

    profile = session.profile
    cost = describe_cost(values, session.inventory, session.buckets.data, profile.region, is_local=profile.kind == "local")
    click.echo(f"BigQuery: {cost}", err=True)


def show_job(plan: Plan) -> None:
    """The plan of a job for a person."""
    click.echo(job_sentence(plan))


def job_sentence(plan: Plan) -> str:
    """One sentence of what such a plan will do."""
    low, expected, high = plan.estimate.cost
    cost = "free" if high == 0 else f"{money(expected)} ({money(low)} to {money(high)})"
    cost = cost if plan.estimate.is_priced else "at a price that is not known"
    words = " ".join(plan.job)
    return f"Runs `engine {words}` on 1 VM, reckoned with {format_seconds(plan.estimate.makespan_seconds)}, {cost}."
