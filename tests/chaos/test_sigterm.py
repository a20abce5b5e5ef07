"""SIGTERM at any moment: what is on its way lands, what is known is written down, and the next attempt does the rest."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.fault_points import FaultPoint
from engine.heartbeat import read_heartbeat
from engine.paths import manifest_prefix
from tests.chaos.conftest import Calm, MakeRun
from tests.chaos.shard_run import LIMIT, ShardRun, assert_finished, assert_not_fetched_again, finish, now
from tests.local_servers import LocalServer

TEMPORARY = 75

AFTER_THE_END = (FaultPoint.LOG_WRITTEN, FaultPoint.GOODBYE_SAID)
"""Points that a worker passes when its exit code is decided already."""

WHILE_STOPPING = (FaultPoint.STOP_HEARD, FaultPoint.OPEN_MANIFEST_WRITTEN)
"""Points that only a worker passes that has been told to stop already."""

HOW_OFTEN = {
    FaultPoint.CELL_LISTED: 3,
    FaultPoint.FETCH_STARTED: 11,
    FaultPoint.BODY_RECEIVED: 10,
    FaultPoint.CONVERTED: 10,
    FaultPoint.OBJECT_CREATED: 7,
    FaultPoint.OUTCOME_RECORDED: 11,
    FaultPoint.QUARANTINE_WRITTEN: 2,
    FaultPoint.MANIFEST_STARTED: 3,
    FaultPoint.MANIFEST_WRITTEN: 3,
}
"""How many times at least an undisturbed worker passes a point; once where nothing is said."""


def arm(run: ShardRun, **fault: Any) -> None:
    run.lake.source.post("/_tickdeck/faults", {"match": ".csv.gz", "count": 10_000, **fault})


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    ends = time.monotonic() + LIMIT
    while not holds():
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < ends
        time.sleep(0.02)


def struck(server: LocalServer) -> bool:
    """Whether the armed fault has struck."""
    return bool(server.get("/_tickdeck/faults")["faults"][0]["struck"])


def assert_stopped_well(run: ShardRun, vm: str, output: str) -> None:
    """The worker has said goodbye, nothing that landed is unrecorded, and nothing lies about."""
    assert "Traceback" not in output
    beat = run.heartbeat(vm)
    assert (beat.state, beat.exit_code) == ("stopped", TEMPORARY)
    assert run.logs(vm)
    recorded = {
        f"{name.rpartition('/')[0].replace('manifests/', 'raw_tick_data/')}/{entry['symbol']}.parquet"
        for _, name, content in run.manifests()
        for entry in content["entries"]
        if entry["outcome"] == "ok"
    }
    assert recorded == set(run.committed())
    # Told to stop before it had a shard, it took none.
    assert run.claim_state() in (("stopped", "done") if run.manifests() or run.committed() else ("stopped", "none"))
    assert list(run.folder.iterdir()) == []


def go_on(run: ShardRun, calm: Calm, vm: str) -> None:
    """The restart does what is left, and only that."""
    before, since = run.committed(), now()
    code, output = run.work(vm)
    assert code == calm.exit_code, output
    assert_not_fetched_again(run, before, since)
    assert_finished(run, calm.picture)


def stop_at(run: ShardRun, calm: Calm, point: FaultPoint, times: int) -> None:
    run.launch("w-1")
    code, output = run.work("w-1", f"{point}:{times}:TERM")
    if point in AFTER_THE_END:
        assert code == calm.exit_code, output
        beat = run.heartbeat("w-1")
        assert (beat.state, beat.exit_code) == ("done", calm.exit_code)
    else:
        assert code == TEMPORARY, output
        assert_stopped_well(run, "w-1", output)
    go_on(run, calm, "w-1")


def draw(seed: int) -> tuple[FaultPoint, int]:
    """A point and a number of passes, at random."""
    chance = random.Random(seed)
    point = chance.choice([point for point in FaultPoint if point not in (*WHILE_STOPPING, *AFTER_THE_END)])
    return point, chance.randint(1, HOW_OFTEN.get(point, 1))


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.slow] if seed > 1 else []) for seed in range(40)])
def test_a_worker_that_is_told_to_stop_at_some_point_leaves_the_rest_to_the_next(make_run: MakeRun, calm: Calm, seed: int) -> None:
    stop_at(make_run(), calm, *draw(seed))


@pytest.mark.parametrize("point", AFTER_THE_END)
def test_a_stop_that_comes_after_the_end_changes_nothing(make_run: MakeRun, calm: Calm, point: FaultPoint) -> None:
    stop_at(make_run(), calm, point, 1)


def test_a_stop_while_the_last_log_is_on_its_way_changes_nothing(make_run: MakeRun, calm: Calm) -> None:
    run = make_run()
    run.launch("w-1")
    storage = run.lake.storage
    storage.post("/_tickdeck/faults", {"fault": "status", "status": 503, "match": f"{run.run}/logs/"})
    process = run.start("w-1")
    wait_until(lambda: struck(storage), process)
    process.terminate()
    storage.disarm()
    code, output = finish(process)
    assert code == calm.exit_code, output
    beat = run.heartbeat("w-1")
    assert (beat.state, beat.exit_code) == ("done", calm.exit_code)
    assert run.logs("w-1")
    assert_finished(run, calm.picture)


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.slow] if seed > 0 else []) for seed in range(30)])
def test_a_worker_that_is_told_to_stop_at_some_moment_leaves_the_rest_to_the_next(make_run: MakeRun, calm: Calm, seed: int) -> None:
    run = make_run()
    run.launch("w-1")
    arm(run, fault="slow", bytes_per_second=400_000)
    process = run.start("w-1")
    time.sleep(random.Random(seed).uniform(0.0, 4.0))
    process.terminate()
    code, output = finish(process)
    run.lake.source.disarm()
    if read_heartbeat(run.lake.state, run.run, "w-1") is None:
        # Before a worker was there. The very first moment belongs to the interpreter, which knows no exit codes.
        assert code in (TEMPORARY, -signal.SIGTERM), output
        assert not run.committed()
    elif code != calm.exit_code:
        assert code == TEMPORARY, output
        assert_stopped_well(run, "w-1", output)
    go_on(run, calm, "w-1")


def test_a_worker_may_be_told_to_stop_again_and_again(make_run: MakeRun, calm: Calm) -> None:
    run = make_run()
    run.launch("w-1")
    wishes = ["fetch_started:3:TERM", "stop_heard:1:TERM", "outcome_recorded:3:TERM", "log_written:1:TERM", "goodbye_said:1:TERM"]
    code, output = run.work("w-1", ",".join(wishes))
    assert code == TEMPORARY, output
    assert_stopped_well(run, "w-1", output)
    go_on(run, calm, "w-1")


def test_a_pause_that_the_source_asked_for_does_not_hold_back_a_stop(make_run: MakeRun, calm: Calm) -> None:
    run = make_run()
    run.launch("w-1")
    arm(run, fault="status", status=429, retry_after=3600)
    process = run.start("w-1")
    wait_until(lambda: (beat := read_heartbeat(run.lake.state, run.run, "w-1")) is not None and beat.state == "paused", process)
    process.terminate()
    code, output = finish(process)
    assert code == TEMPORARY, output
    assert_stopped_well(run, "w-1", output)
    run.lake.source.disarm()
    go_on(run, calm, "w-1")


def test_a_bucket_that_does_not_answer_at_the_start_does_not_hold_back_a_stop(make_run: MakeRun, calm: Calm) -> None:
    run = make_run()
    run.launch("w-1")
    storage = run.lake.storage
    storage.post("/_tickdeck/faults", {"fault": "status", "status": 503, "match": f"plans/{run.plan.id}"})
    process = run.start("w-1")
    wait_until(lambda: struck(storage), process)
    process.terminate()
    code, output = finish(process)
    storage.disarm()
    assert code == TEMPORARY
    assert output == "engine: stopped by SIGTERM -> run the same command again, it goes on where it stopped\n"
    go_on(run, calm, "w-1")


def test_one_open_manifest_that_the_bucket_does_not_take_does_not_hold_back_the_others(make_run: MakeRun, calm: Calm) -> None:
    run = make_run()
    run.launch("w-1")
    first, *others = (manifest_prefix(work.cell) for work in run.plan.shards[0].work)
    for file in ("ETHUSDT", "SOL_USDC-PERPETUAL"):  # one file of each cell does not come
        arm(run, fault="stall", seconds=600, match=file, count=2)
    storage = run.lake.storage
    storage.post("/_tickdeck/faults", {"fault": "status", "status": 503, "match": f"{first}{run.run}", "method": "POST"})
    process = run.start("w-1", "outcome_recorded:8:TERM", MAX_CONCURRENT="11")
    wait_until(lambda: {f"{name.rpartition('/')[0]}/" for _, name, _ in run.manifests()} == set(others), process)
    process.kill()
    finish(process)
    for server in (storage, run.lake.source):
        server.disarm()
    go_on(run, calm, "w-1")


@pytest.mark.slow  # the grace of a landing file has to pass
def test_a_commit_that_the_bucket_does_not_take_does_not_hold_back_a_stop(make_run: MakeRun, calm: Calm) -> None:
    run = make_run()
    run.launch("w-1")
    storage = run.lake.storage
    # The only thread of the uploads is stuck, and what is known must be written down all the same.
    storage.post("/_tickdeck/faults", {"fault": "status", "status": 503, "match": "raw_tick_data/", "method": "POST"})
    process = run.start("w-1", MAX_UPLOADS="1", MAX_CONCURRENT="11")
    wait_until(lambda: struck(storage) and run.heartbeat("w-1").files_done > 0, process)
    process.terminate()
    code, output = finish(process)
    storage.disarm()
    assert code == TEMPORARY, output
    assert not run.committed()
    assert run.manifests()
    assert_stopped_well(run, "w-1", output)
    go_on(run, calm, "w-1")


STOPPED_IN_AN_IMPORT = """
import signal, sys
from engine.cli import _stop_early
signal.signal(signal.SIGTERM, _stop_early)
sys.path.insert(0, sys.argv[1])
import begins_slowly
while True:
    pass
"""


def test_a_stop_in_the_midst_of_an_import_waits_for_its_end(tmp_path: Path) -> None:
    """An exception there makes some native modules crash."""
    (tmp_path / "begins_slowly.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nsum(range(1_000))\nprint('whole')\n"
    )
    words = [sys.executable, "-c", STOPPED_IN_AN_IMPORT, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (TEMPORARY, "whole\n"), done.stderr
    assert done.stderr == "engine: stopped by SIGTERM -> run the same command again, it goes on where it stopped\n"
