"""`engine doctor`: everything that can be wrong before a worker starts, in one report."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from engine.doctor.checkup import checks_of, examine, verdict
from engine.doctor.finding import Finding, Level
from engine.errors import ExitCode
from engine.settings import resolve
from engine.verbs.options import bucket_options


@click.command("doctor")
@click.option("--deep", is_flag=True, help="Also write: one small object in the state bucket, deleted again.")
@click.option("--vm", "on_vm", is_flag=True, help="With the defaults of a VM.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@bucket_options
def doctor_command(*, deep: bool, on_vm: bool, as_json: bool, data_bucket: str | None, state_bucket: str | None) -> int:
    """Check settings, source, key, clock, buckets, disk, memory and versions; one line each.

    Exits with 0 if work can begin; else with the code of what has to be mended first: 78 for a setting, 77 for a permission, 69
    for what does not answer.
    """
    settings = resolve(flags={"data_bucket": data_bucket, "state_bucket": state_bucket}, on_vm=on_vm)
    checks = checks_of(settings, deep=deep)
    width = max(len(check.name) for check in checks)
    findings: list[Finding] = []
    for finding in examine(checks):
        findings.append(finding)
        if not as_json:
            click.echo(f"{finding.level:<4}  {finding.check:<{width}}  {finding.line}")
    code = verdict(findings)
    if as_json:
        click.echo(json.dumps({"exit_code": int(code), "findings": [asdict(finding) for finding in findings]}, indent=1))
    if code is not ExitCode.DONE:
        wrong = [finding for finding in findings if finding.level is Level.BAD]
        first = next(finding for finding in wrong if finding.code is code)
        rest = f" ({len(wrong) - 1} more)" if len(wrong) > 1 else ""
        click.echo(f"engine: {first.check}{rest}: {first.line}", err=True)
    return code
