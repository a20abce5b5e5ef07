"""`tickdeck fleet replace`, `resize` and `ssh`: other VMs for a run that goes on, and a login to one."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import click

from console.verbs.carrying_out import carry_out, change_options
from console.verbs.options import headless_session, json_option
from engine.errors import ConfigurationError, ExitCode
from engine.verbs.options import OneOf
from engine.verbs.printing import print_json


def _place_options(function: click.decorators.FC) -> click.decorators.FC:
    for option in (
        click.option("--model", type=OneOf(("SPOT", "STANDARD")), help="Of new VMs [as before]."),
        click.option("--zone", "zones", multiple=True, metavar="ZONE", help="Where new VMs may be; several times for several."),
    ):
        function = option(function)
    return function


@click.command("replace")
@click.argument("names", nargs=-1, required=True)
@_place_options
@change_options
@json_option
@click.pass_obj
def replace_command(
    profile_name: str,
    names: tuple[str, ...],
    zones: tuple[str, ...],
    model: str | None,
    dry_run: bool,
    yes: bool,
    armed: bool,
    as_json: bool,
) -> int:
    """Delete VMs and ask for others in their place, which take up their unfinished shards. Files in flight are lost."""
    session = headless_session(profile_name or "", armed=armed)
    return carry_out(
        session, session.changes.propose_replace(names, zones=zones, model=model or ""), dry_run=dry_run, yes=yes, as_json=as_json
    )


@click.command("resize")
@click.argument("run")
@click.option("--vms", type=click.IntRange(min=1), required=True, help="How many VMs are to work on it.")
@_place_options
@change_options
@json_option
@click.pass_obj
def resize_command(
    profile_name: str, run: str, vms: int, zones: tuple[str, ...], model: str | None, dry_run: bool, yes: bool, armed: bool, as_json: bool
) -> int:
    """Let so many VMs work on a run: more take shards that wait, fewer are drained and the others go on with their shards."""
    session = headless_session(profile_name or "", armed=armed)
    session.runs.read(run)
    return carry_out(
        session, session.changes.propose_resize(run, vms, zones=zones, model=model or ""), dry_run=dry_run, yes=yes, as_json=as_json
    )


@click.command("ssh")
@click.argument("vm")
@click.argument("command", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Show the command line; run nothing.")
@json_option
@click.pass_obj
def ssh_command(profile_name: str, vm: str, command: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Log in to a VM, or run a command there (after --), by gcloud; through Identity-Aware Proxy where the VM has no address."""
    shell = headless_session(profile_name or "").changes.shell(vm, command)
    if as_json:
        print_json({"vm": shell.vm, "argv": shell.argv, "local": shell.local})
        return ExitCode.DONE
    if dry_run:
        click.echo(shlex.join(shell.argv))
        return ExitCode.DONE
    if shell.local:
        raise ConfigurationError(
            f"{shell.vm} is a process of the local cloud: there is nothing to log in to",
            hint=f"what it says: tickdeck fleet serial {shell.vm}; on Google Cloud it would be: {shlex.join(shell.argv)}",
        )
    if shutil.which(shell.argv[0]) is None:
        raise ConfigurationError("gcloud is not installed here", hint=f"where it is: {shlex.join(shell.argv)}")
    return subprocess.run(shell.argv, check=False).returncode
