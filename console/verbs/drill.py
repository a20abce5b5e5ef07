"""`tickdeck local drill`: practise an incident on this machine; the verdict compares the lake with an undisturbed one."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from typing import Any

import click

from console.drill import (
    SCENARIO,
    Timeline,
    Trouble,
    arm_faults,
    count_faults,
    differences,
    drill_request,
    drill_root,
    endure,
    fill_reference,
    healing,
    read_lake,
    reference_lake,
)
from console.sentences import plan_sentence, plural
from console.session import Session, open_session
from console.verbs.options import json_option
from engine.clock import format_seconds, monotonic
from engine.errors import ExitCode, SourceError
from engine.verbs.printing import print_json
from provision.audit import list_records
from provision.local import cloud as local_cloud


@click.command("drill")
@click.option("--vms", type=click.IntRange(2, 200), default=12, show_default=True, help="VMs, one shard each; above 10 two go ahead.")
@click.option("--seed", type=int, help="The same trouble again [a new seed].")
@click.option("--keep", is_flag=True, help="Leave the drill's local cloud running at the end.")
@json_option
def drill_command(vms: int, seed: int | None, keep: bool, as_json: bool) -> int:
    """Launch a fleet here, lose a third of it, a zone and the console twice; exit code 0 only if nothing of it shows in the lake."""
    chosen = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    timeline = Timeline((lambda _line: None) if as_json else click.echo)
    timeline.note(f"seed {chosen}: tickdeck local drill --vms {vms} --seed {chosen}")
    root = drill_root()
    local_cloud.down(root)
    shutil.rmtree(root, ignore_errors=True)
    try:
        session = open_session("local", root=root, source="stand-in", scenario=SCENARIO)
        report = run_drill(session, vms, chosen, timeline)
    finally:
        if not keep:
            local_cloud.down(root)
    if as_json:
        print_json(report)
    else:
        show_verdict(report)
    return ExitCode.PARTIAL if report["problems"] else ExitCode.DONE


def run_drill(session: Session, vms: int, seed: int, timeline: Timeline) -> dict[str, Any]:
    """The drill on an open local cloud; returns what it came to."""
    began = monotonic()
    fill_reference(session)
    wanted = reference_lake(session)
    timeline.note(f"undisturbed: {plural(len(wanted.objects), 'object')} by one process")
    plan = session.planning.plan(drill_request(vms))
    session.planning.save(plan)
    timeline.note(plan_sentence(plan))
    arm_faults(session, timeline)
    run = deploy(plan.id, timeline)
    launched = monotonic()
    trouble = Trouble(session, plan, run, random.Random(seed), timeline)
    with healing(run, timeline) as console:
        endure(session, run, trouble, console, timeline)
    worked = monotonic() - launched
    timeline.note(f"run {run} is done")
    left = clean_up(session, timeline)
    found = read_lake(session.buckets.data, session.buckets.state)
    problems = differences(found, wanted)
    if left:
        problems.append(f"{plural(left, 'VM')} left after cleanup")
    if len(trouble.preempted) < trouble.losses:
        problems.append(f"only {len(trouble.preempted)} of {trouble.losses} VMs were lost: the work was done before")
    today = session.clock().date()
    audit = [record for record in list_records(session.buckets.state, today, today) if record.run == run and record.phase == "receipt"]
    if not any(record.verb == "launch" for record in audit):
        problems.append("the audit trail has no launch of this run")
    view = session.runs.read(run)
    return {
        "seed": seed,
        "run": run,
        "vms": sum(len(order.vms) for order in view.orders),
        "preempted": trouble.preempted,
        "console_deaths": trouble.console_deaths,
        "faults": count_faults(session),
        "objects": len(found.objects),
        "audit": [f"{record.verb}: {record.message}" for record in audit],
        "estimated_seconds": round(plan.estimate.makespan_seconds, 1),
        "actual_seconds": round(worked, 1),
        "timeline": timeline.events,
        "problems": problems,
        "seconds": round(monotonic() - began, 1),
    }


def deploy(plan: str, timeline: Timeline) -> str:
    """Launch as a person would, in a process of its own; returns the run.

    Raises:
        SourceError: with what it said, if no VM was made.
    """
    import json
    import os

    words = [sys.executable, "-m", "console.cli", "deploy", "plan", plan, "--yes", "--json"]
    environment = os.environ | {"TICKDECK_LOCAL_DIR": str(drill_root()), "TICKDECK_PROFILE": "local"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise SourceError(f"the launch failed: {done.stderr.strip()[-500:]}")
    launched = json.loads(done.stdout)
    timeline.note(f"run {launched['run']}: {plural(len(launched['created']), 'VM')} asked for and made")
    return str(launched["run"])


def clean_up(session: Session, timeline: Timeline) -> int:
    """Delete what is garbage until no VM is left; how many are after two minutes."""
    deadline = monotonic() + 120
    while True:
        proposal = session.changes.propose_cleanup()
        if proposal.items:
            timeline.note(session.changes.apply(proposal).message)
        left = [vm for vm in session.watching.fleet().vms if vm.managed and vm.exists]
        if not left or monotonic() > deadline:
            return len(left)
        time.sleep(0.5)


def show_verdict(report: dict[str, Any]) -> None:
    """The end of a drill for a person."""
    click.echo()
    struck = ", ".join(f"{count} x {name}" for name, count in report["faults"].items() if count)
    click.echo(
        f"Run {report['run']}: {report['objects']} objects with {plural(report['vms'], 'VM')}; {len(report['preempted'])} preempted, "
        f"the console killed {report['console_deaths']} times; {struck or 'no fault struck'}."
    )
    click.echo(f"Estimated {format_seconds(report['estimated_seconds'])}, took {format_seconds(report['actual_seconds'])}.")
    for line in report["audit"]:
        click.echo(f"  audit: {line}")
    for problem in report["problems"]:
        click.echo(f"× {problem}")
    if not report["problems"]:
        click.echo("The lake is the same as the undisturbed one, object by object, and no VM is left.")
