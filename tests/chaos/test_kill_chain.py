"""One run whose workers die one after the other, each at another point and each replaced by the next."""

from __future__ import annotations

import pytest

from engine.claims import read_claim
from engine.fault_points import FaultPoint
from tests.chaos.conftest import Calm, MakeRun
from tests.chaos.shard_run import assert_not_fetched_again, now
from tests.chaos.test_kill_points import KILLED, ONLY_WHILE_STOPPING, die, restart


@pytest.mark.slow
def test_a_run_whose_workers_die_at_every_point_in_turn_ends_like_an_undisturbed_one(make_run: MakeRun, calm: Calm) -> None:
    run = make_run()
    vm = ""
    # Those that need an open cell come first: towards the end hardly a file is left to do.
    points = sorted(FaultPoint, key=lambda point: point not in ONLY_WHILE_STOPPING)
    for number, point in enumerate(points, start=1):
        vm, before = f"w-{number}", vm
        run.launch(vm, number=number, replaces=before, attempt=number)
        at_kill, since = run.committed(), now()
        code, output = die(run, vm, point)
        assert code == KILLED, f"{vm} did not die at {point}: {output}"
        assert_not_fetched_again(run, at_kill, since)
    run.launch("w-last", number=len(points) + 1, replaces=vm, attempt=len(points) + 1)
    restart(run, calm, "w-last")
    held = read_claim(run.lake.state, run.run, 0)
    assert held is not None
    # Who came after the shard was done had no reason to claim it.
    assert held.claim.attempt == 1 + points.index(FaultPoint.CLAIM_RELEASED)
