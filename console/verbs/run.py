"""`tickdeck run --vm NAME -- download ...`: another job of the engine on a VM that was kept after its work."""

from __future__ import annotations

import time
from typing import Any

import click

from console.confirming import ask_yes
from console.verbs.options import headless_session, json_option, profile_option
from engine.errors import EngineError, ExitCode, UsageError, describe_exit
from engine.jobs import CUT_OFF, VERBS, JobResult
from engine.verbs.printing import print_json

LOOK_SECONDS = 2.0


class JobFailed(EngineError):
    """The job ended, and not well."""


@click.command("run", context_settings={"ignore_unknown_options": False})
@click.option("--vm", "name", required=True, help="The VM: its name, or market-data-shard-7.")
@click.option("--no-wait", is_flag=True, help="Give the job and end; its log: tickdeck logs NAME.")
@click.option("--dry-run", is_flag=True, help="Show what would be done; do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--armed", is_flag=True, help="Write although the profile is protected.")
@profile_option
@json_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="-- VERB [ARGUMENT]...")
def run_command(
    *, name: str, no_wait: bool, dry_run: bool, yes: bool, armed: bool, profile_name: str, as_json: bool, arguments: tuple[str, ...]
) -> int:
    """Run a verb of the engine on a VM that was launched with --keep, and end with its exit code.

    The verb is download, instruments, replay or validate, with the arguments that it takes on a laptop. Nobody logs in anywhere: the
    job lies in the state bucket, the VM picks it up after its own work, and its output is in the VM's log.
    """
    if not arguments:
        raise UsageError("there is no job", hint=f"after --, one of {', '.join(VERBS)} with its arguments")
    session = headless_session(profile_name, armed=armed)
    proposal = session.jobs.propose_job(name, arguments)
    line = f"{proposal.vm} in {proposal.zone}: engine {' '.join(proposal.arguments)}"
    later = "; it is still at its own work, the job comes after" if proposal.waits else ""
    if not as_json:
        click.echo(f"{line}{later}; kept until {proposal.kept_until:%Y-%m-%d %H:%M} UTC")
    if dry_run:
        if as_json:
            print_json({"dry_run": True, "run": proposal.run, "vm": proposal.vm, "arguments": proposal.arguments})
        else:
            click.echo("dry run: nothing was done")
        return ExitCode.DONE
    if not yes and not ask_yes("", "Run this?"):
        return ExitCode.TEMPORARY
    job = session.jobs.give_job(proposal)
    if no_wait:
        _show({"run": job.run, "vm": job.vm, "job": job.number}, f"job {job.number} given; its log: tickdeck logs {job.vm}", as_json)
        return ExitCode.DONE
    while (result := session.jobs.job_result(job)) is None or result.ended is None:
        if session.clock() > proposal.kept_until:
            raise JobFailed(f"job {job.number} has no end, and {job.vm} was kept until now", hint=f"its log: tickdeck logs {job.vm}")
        time.sleep(LOOK_SECONDS)
    _show(_document(result), "\n".join(result.tail), as_json)
    if result.exit_code:
        what = "was cut off: its worker was stopped" if result.exit_code == CUT_OFF else f"ended with {describe_exit(result.exit_code)}"
        click.echo(f"tickdeck: job {result.number} {what} -> its log: tickdeck logs {result.vm}", err=True)
    return ExitCode.UNAVAILABLE if result.exit_code == CUT_OFF else result.exit_code


def _document(result: JobResult) -> dict[str, Any]:
    return {
        "run": result.run,
        "vm": result.vm,
        "job": result.number,
        "started": result.started,
        "ended": result.ended,
        "exit_code": result.exit_code,
        "tail": result.tail,
    }


def _show(document: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        click.echo(text)
