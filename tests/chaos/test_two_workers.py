"""Two workers on one shard: every file is committed once, and both end well."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

from engine.claims import read_claim
from tests.chaos.conftest import Calm, MakeRun
from tests.chaos.shard_run import LIMIT, ShardRun, assert_finished, finish

SLOW = {"fault": "slow", "bytes_per_second": 900_000, "match": ".csv.gz", "count": 10_000}
BUSY = {"fault": "burst_429", "retry_after": 1, "match": "/ETHUSDT.csv.gz", "count": 10_000}
"""One file does not come until it is disarmed; a 429 is no failed try."""


def wait_until(reached: Callable[[], object], *workers: subprocess.Popen[Any]) -> None:
    """Return once it is reached, while all workers live."""
    ends = time.monotonic() + LIMIT
    while not reached():
        assert all(worker.poll() is None for worker in workers)
        assert time.monotonic() < ends
        time.sleep(0.02)


def attempt_of(run: ShardRun) -> int:
    held = read_claim(run.lake.state, run.run, 0)
    return held.claim.attempt if held is not None else 0


def test_two_runs_of_one_plan_at_the_same_time_commit_every_file_once(make_run: MakeRun, calm: Calm) -> None:
    one = make_run()
    other = ShardRun(one.lake, f"{one.run}x", one.plan, one.folder, one.processes)
    for run in (one, other):
        run.launch("w-1")
    one.lake.source.post("/_tickdeck/faults", SLOW)
    workers = [run.start("w-1") for run in (one, other)]
    seen: dict[str, set[int]] = {}
    while any(worker.poll() is None for worker in workers):
        for name, generation in one.committed().items():
            seen.setdefault(name, set()).add(generation)
        time.sleep(0.05)
    assert [finish(worker)[0] for worker in workers] == [calm.exit_code] * 2
    assert seen
    assert {name: {one.committed()[name]} for name in seen} == seen
    for run in (one, other):
        assert_finished(run, calm.picture)
    # Each of them recorded every file, whoever had committed it.
    for run in (one, other):
        ours = [content for _, _, content in run.manifests() if content["run"] == run.run]
        assert sum(len(content["entries"]) for content in ours) == calm.files


def test_a_worker_that_was_taken_for_dead_and_its_successor_commit_every_file_once(make_run: MakeRun, calm: Calm) -> None:
    run = make_run()
    run.launch("w-1")
    run.lake.source.post("/_tickdeck/faults", BUSY)
    first = run.start("w-1", HEAL_SECONDS="1")
    wait_until(run.committed, first)
    early = run.committed()
    run.launch("w-1-a2", number=2, replaces="w-1", attempt=2)
    second = run.start("w-1-a2", HEAL_SECONDS="1")
    # However slow this machine is: the first one is still at work when the second one has its shard.
    wait_until(lambda: attempt_of(run) == 2, first, second)
    run.lake.source.disarm()
    results = [finish(worker) for worker in (first, second)]
    assert [code for code, _ in results] == [calm.exit_code] * 2, results
    assert {name: run.committed()[name] for name in early} == early
    assert_finished(run, calm.picture)
    held = read_claim(run.lake.state, run.run, 0)
    assert held is not None
    assert (held.claim.vm, held.claim.attempt, held.claim.history) == ("w-1-a2", 2, ("w-1#1",))


def test_of_two_workers_that_want_a_shard_one_works_and_the_other_waits_for_it(make_run: MakeRun, calm: Calm) -> None:
    run = make_run()
    for number, vm in enumerate(("w-1", "w-2"), start=1):
        run.launch(vm, number=number)
    run.lake.source.post("/_tickdeck/faults", SLOW)
    workers = [run.start(vm, HEAL_SECONDS="1") for vm in ("w-1", "w-2")]
    assert [finish(worker)[0] for worker in workers] == [calm.exit_code] * 2
    assert_finished(run, calm.picture)
    # One attempt, one manifest of each cell, one GET of each file but the one that came broken.
    held = read_claim(run.lake.state, run.run, 0)
    assert held is not None
    assert held.claim.attempt == 1
    (vm,) = {content["vm"] for _, _, content in run.manifests()}
    assert vm == held.claim.vm
    assert sum(entry["requests"] for _, _, content in run.manifests() for entry in content["entries"]) == calm.files + 1
