"""`tickdeck local drill`: practise an incident on this machine; the verdict compares the lake with an undisturbed one."""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import asdict
from typing import Any

import click

from console.drill import (
    Timeline,
    Trouble,
    arm_faults,
    count_faults,
    drill_request,
    drill_root,
    endure,
    fill_reference,
    launched,
    open_drill,
)
from console.drill_verdict import judge, read_story, reference_lake
from console.sentences import plan_sentence, plural
from console.session import Session
from console.verbs.costs import print_runs
from console.verbs.options import json_option
from engine.clock import format_seconds, monotonic
from engine.errors import ExitCode
from engine.verbs.printing import print_json
from provision.audit import RECEIPT
from provision.local import cloud as local_cloud


@click.command("drill")
@click.option("--vms", type=click.IntRange(2, 200), default=12, show_default=True, help="VMs, one shard each; above 10 two go ahead.")
@click.option("--seed", type=int, help="Strike the same shards in the same order again [a new seed].")
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
        report = run_drill(open_drill(vms), vms, chosen, timeline)
    finally:
        if not keep:
            local_cloud.down(root)
    if as_json:
        print_json(report | {"costs": [asdict(run) for run in report["costs"]]})
    else:
        show_verdict(report)
        if keep:
            click.echo(f"The drill's cloud goes on: TICKDECK_LOCAL_DIR={root} tickdeck fleet --run {report['run']}")
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
    trouble = Trouble(session, plan, random.Random(seed), timeline)
    asked = monotonic()
    with launched(session, plan, timeline) as console:
        endure(session, trouble, console, timeline)
        run, deaths = console.run, console.deaths
    worked = monotonic() - asked
    timeline.note(f"run {run} is done")
    left = clean_up(session, timeline)
    problems = judge(session, plan, run, trouble, left=left, deaths=deaths)
    view = session.runs.read(run)
    receipts = [record for record in read_story(session, view) if record.phase == RECEIPT]
    return {
        "seed": seed,
        "run": run,
        "shards": len(plan.shards),
        "vms": sum(len(order.vms) for order in view.orders),
        "preempted": list(trouble.preempted),
        "console_deaths": deaths,
        "faults": count_faults(session),
        "cells": plan.estimate.cells,
        "objects": len(wanted.objects),
        "audit": [f"{record.when:%H:%M:%S} {record.verb}: {record.message}" for record in receipts],
        "estimated_seconds": round(plan.estimate.makespan_seconds, 1),
        "actual_seconds": round(worked, 1),
        "costs": session.money.spending([run]).runs,
        "timeline": timeline.events,
        "problems": problems,
        "seconds": round(monotonic() - began, 1),
    }


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
    click.echo("\naudit, receipts only (all of it: tickdeck audit)")
    for line in report["audit"]:
        click.echo(f"  {line}")
    click.echo()
    print_runs(report["costs"])
    struck = ", ".join(f"{name} x {count}" for name, count in report["faults"].items() if count)
    click.echo(
        f"\nRun {report['run']}: {plural(report['shards'], 'shard')} by {plural(report['vms'], 'VM')}, {len(report['preempted'])} of them"
        f" preempted, the console killed {report['console_deaths']} times; {struck or 'no fault struck'}."
    )
    click.echo(f"Estimated {format_seconds(report['estimated_seconds'])}, took {format_seconds(report['actual_seconds'])}.")
    for problem in report["problems"]:
        click.echo(f"× {problem}")
    if report["problems"]:
        click.echo(f"{plural(len(report['problems']), 'problem')}. Look closer: the same drill with --seed {report['seed']} --keep")
    else:
        click.echo(
            f"All {report['cells']} cells are complete, the {report['objects']} objects are those of the undisturbed lake,"
            " no VM is left, and the audit trail tells how each came and went."
        )
