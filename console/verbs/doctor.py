"""`tickdeck doctor`: could a fleet be launched from here? The same checks that `tickdeck deploy` shows before it launches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING

import click

from console.terminal_checks import terminal_checks
from console.verbs.options import headless_session, json_option, profile_option
from engine.errors import one_line
from engine.verbs.printing import print_json

if TYPE_CHECKING:
    from engine.doctor.finding import Finding
    from provision.preflight import Preflight

WIDTH = len("worker permissions")
"""Of the column of names: the longest of them. Lines are printed as they come, so it cannot be measured."""


@click.command("doctor")
@click.option("--plan", "plan_id", metavar="ID", default="", help="For the fleet of this saved plan.")
@click.option("--vms", type=click.IntRange(min=0), default=0, help="For so many VMs [the plan's, or the most of the profile].")
@click.option("--machine-type", default="", help="Of this type [the plan's, or the profile's].")
@click.option("--on-demand", is_flag=True, help="VMs that cannot be preempted [the plan's, or the profile's].")
@click.option("--terminal", is_flag=True, help="Also what this terminal can do: size, colours, Escape, clipboard.")
@profile_option
@json_option
def doctor_command(*, profile_name: str, plan_id: str, vms: int, machine_type: str, on_demand: bool, terminal: bool, as_json: bool) -> int:
    """Check credentials, APIs, permissions, buckets, image, accounts, quotas, secret and clock; one line each. Changes nothing.

    Exits with 0 if a launch could begin; else with the code of what has to be mended first: 78 for a setting or a quota, 77 for a
    permission, 69 for what does not answer.
    """
    session = headless_session(profile_name)
    plan = session.inventory.plan(plan_id) if plan_id else None
    model = "STANDARD" if on_demand else ""
    findings = session.launching.preflight(plan, vms=vms, machine_type=machine_type, model=model)
    if terminal:
        from provision.preflight import run_checks

        findings = chain(findings, run_checks(terminal_checks()))
    found = show_preflight(findings, quiet=as_json)
    if as_json:
        print_json(to_json(found))
    if found.wrong:
        click.echo(f"tickdeck: {one_line(found.error())}", err=True)
    return found.code


def show_preflight(findings: Iterable[Finding], *, quiet: bool = False) -> Preflight:
    """Print the checks of a launch, each as soon as it is there; `quiet` only collects them."""
    from provision.preflight import Preflight

    collected = []
    for finding in findings:
        collected.append(finding)
        if not quiet:
            click.echo(f"{finding.level:<4}  {finding.check:<{WIDTH}}  {finding.line}")
    return Preflight(tuple(collected))


def require_passed(found: Preflight) -> None:
    """Make sure that nothing was found that would make a launch fail.

    Raises:
        PreflightFailed: naming the first of what is wrong.
    """
    if found.wrong:
        error = found.error()
        error.hint += "; launch nevertheless: --skip-preflight REASON"
        raise error


def to_json(found: Preflight) -> dict[str, object]:
    """The report as a document."""
    return {"exit_code": int(found.code), "findings": [asdict(finding) for finding in found.findings]}
