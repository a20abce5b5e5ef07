"""A console killed at every step of a launch: whoever comes next finishes it, and there is never a second fleet."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.clock import utc_now
from engine.plan import Plan
from engine.run import new_run
from provision.launch import launch
from provision.orders import read_operation, read_order
from provision.reconcile import reconcile
from tests.provision.conftest import Wired
from tests.provision.test_launch_canary import commit

PROGRAM = Path(__file__).with_name("killed_console.py")
LATER = timedelta(seconds=60)
"""After so long an order without an answer counts as cut off."""


def kill_consoles(wired: Wired, plan: Plan, cases: list[dict[str, Any]]) -> list[int]:
    """Run the cases; how each process ended."""
    endpoints = wired.profile.endpoints
    document = {
        "storage": endpoints.storage,
        "compute": endpoints.compute,
        "project": wired.profile.project,
        "bucket": wired.profile.data_bucket,
        "plan": plan.id,
        "cases": cases,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "tests.provision.killed_console"], input=json.dumps(document), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return list(json.loads(ended.stdout))


def moments(steps: int) -> list[tuple[int, str]]:
    """Before and after each of so many changes."""
    return [(number, when) for number in range(1, steps + 1) for when in ("before", "after")]


def make_runs(count: int) -> list[str]:
    """Distinct names: the two characters of chance are meant for launches seconds apart."""
    runs: dict[str, None] = {}
    while len(runs) < count:
        runs[new_run(utc_now())] = None
    return list(runs)


def kill_at(wired: Wired, plan: Plan, verb: str, runs: list[str], kills: list[tuple[int, str]]) -> None:
    """Let one console die at each of these moments."""
    cases = [{"verb": verb, "run": run, "number": number, "when": when} for run, (number, when) in zip(runs, kills, strict=True)]
    assert kill_consoles(wired, plan, cases) == [-signal.SIGKILL] * len(kills)


def finish(wired: Wired) -> None:
    """What another console does with all runs a minute later, twice."""
    for _ in range(2):
        reconcile(wired.profile, wired.clients, wired.state, wired.look(at=utc_now() + LATER))


def made_vms(wired: Wired, run: str) -> list[str]:
    return sorted(vm.name for vm in wired.vms() if vm.labels["td-run"] == run)


LAUNCH_STEPS = 9
"""Plan, intent, order, request, operation, wait, operation again (refused, then swapped), receipt."""

FOLLOW_STEPS = LAUNCH_STEPS - 1
"""The plan is there."""


@pytest.mark.parametrize("kills", [[(4, "before"), (4, "after")], pytest.param(moments(LAUNCH_STEPS), marks=pytest.mark.slow)])
def test_a_console_killed_at_any_change_of_a_launch_leaves_nothing_or_one_fleet(wired: Wired, kills: list[tuple[int, str]]) -> None:
    plan = wired.plan(2)
    runs = make_runs(len(kills))
    kill_at(wired, plan, "launch", runs, kills)
    orders = {run: read_order(wired.state, run, 1) for run in runs}
    # Killed before the order stood in the bucket: by plan, by intent, and before the order itself.
    early = [run for run, (number, when) in zip(runs, kills, strict=True) if number < 3 or (number, when) == (3, "before")]
    assert [run for run, order in orders.items() if order is None] == early
    finish(wired)
    for run, order in orders.items():
        if order is None:
            assert made_vms(wired, run) == []
            continue
        assert made_vms(wired, run) == sorted(order.vms)
        answer = read_operation(wired.state, run, 1)
        assert answer is not None
        assert (answer.request_id, sorted(answer.created), answer.failures) == (order.request_id, sorted(order.vms), ())
        assert answer.ended is not None
        assert read_order(wired.state, run, 2) is None


@pytest.mark.parametrize("kills", [[(3, "before"), (3, "after")], pytest.param(moments(FOLLOW_STEPS), marks=pytest.mark.slow)])
def test_a_console_killed_at_any_change_when_the_rest_follows_leaves_one_fleet(wired: Wired, kills: list[tuple[int, str]]) -> None:
    plan = wired.plan(2)
    runs = make_runs(len(kills))
    for run in runs:
        intent = wired.intent(2, plan=plan, run=run)
        (first, own), (second, other) = intent.order.vms.items()
        order = msgspec.structs.replace(intent.order, vms={first: own}, follows={second: other})
        launch(wired.profile, wired.clients, wired.state, replace(intent, order=order))
        wired.work(run, first, 0)
    commit(wired, plan, 0)
    kill_at(wired, plan, "advance", runs, kills)
    finish(wired)
    for run in runs:
        canary, following = read_order(wired.state, run, 1), read_order(wired.state, run, 2)
        assert canary is not None
        assert following is not None
        assert following.after_canary == 1
        assert made_vms(wired, run) == sorted([*canary.vms, *canary.follows])
        answer = read_operation(wired.state, run, 2)
        assert answer is not None
        assert (answer.request_id, sorted(answer.created), answer.failures) == (following.request_id, sorted(canary.follows), ())
        assert read_order(wired.state, run, 3) is None
