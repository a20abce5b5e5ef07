"""`kill -9` at every named point of the work: the restart fetches nothing twice and ends equal to a run that nobody disturbed."""

from __future__ import annotations

import signal

import pytest

from engine.fault_points import FaultPoint
from tests.chaos.conftest import Calm, MakeRun
from tests.chaos.shard_run import DOWNLOAD, ShardRun, assert_fetched_once, assert_finished, assert_not_fetched_again, now

KILLED = -signal.SIGKILL

STOPPED = "outcome_recorded:2:TERM"

ONLY_WHILE_STOPPING = {FaultPoint.STOP_HEARD: STOPPED, FaultPoint.OPEN_MANIFEST_WRITTEN: STOPPED}
"""Points that a worker passes only when it is told to stop, and what tells it."""

MANY = 1000
"""More often than any point is passed."""


def die(run: ShardRun, vm: str, point: FaultPoint, times: int = 1) -> tuple[int, str]:
    """Let a worker die at the point; exit code and output."""
    before = ONLY_WHILE_STOPPING.get(point)
    if before is None:
        return run.work(vm, f"{point}:{times}")
    # A file that does not come keeps its cell open, however fast the others land.
    run.lake.source.post("/_tickdeck/faults", {"fault": "stall", "seconds": 600, "match": "ETHUSDT", "count": 1})
    try:
        return run.work(vm, f"{before},{point}:{times}")
    finally:
        run.lake.source.disarm()


def successor(run: ShardRun, *, replaced: bool) -> str:
    """Who goes on after `w-1`: the same VM, started again, or another that was launched in its place."""
    if not replaced:
        return "w-1"
    run.launch("w-1-a2", number=2, replaces="w-1", attempt=2)
    return "w-1-a2"


def restart(run: ShardRun, calm: Calm, vm: str) -> None:
    """Let a worker finish the run, and see that it only did what was left to do."""
    at_kill, killed = run.committed(), now()
    code, output = run.work(vm)
    assert code == calm.exit_code, output
    assert_not_fetched_again(run, at_kill, killed)
    assert_finished(run, calm.picture)
    beat = run.heartbeat(vm)
    assert (beat.state, beat.exit_code) == ("done", calm.exit_code)


def test_the_undisturbed_run_has_every_way_a_file_can_end(calm: Calm) -> None:
    outcomes = sorted(entry["outcome"] for entry in calm.picture.outcomes.values())
    assert outcomes == ["empty", "not_found", *["ok"] * (calm.files - 4), "quarantined", "quarantined"]
    (spooled,) = [meta for _, _, meta in calm.picture.objects.values() if int(dict(meta)["source-length"]) > 1 << 20]
    assert dict(spooled)["flags"] == "backward_local_timestamp"
    assert len(calm.picture.quarantine) == 2


@pytest.mark.parametrize("point", FaultPoint)
def test_a_worker_killed_at_a_point_starts_again_and_ends_like_an_undisturbed_one(make_run: MakeRun, calm: Calm, point: FaultPoint) -> None:
    run = make_run()
    run.launch("w-1")
    began = now()
    code, output = die(run, "w-1", point)
    assert code == KILLED, f"the worker did not die at {point}: {output}"
    at_kill = run.committed()
    restart(run, calm, successor(run, replaced=list(FaultPoint).index(point) % 2 == 1))
    assert_fetched_once(run, at_kill, began)


@pytest.mark.slow
@pytest.mark.parametrize("point", FaultPoint)
def test_whenever_a_worker_passes_a_point_it_may_be_killed_there(make_run: MakeRun, calm: Calm, point: FaultPoint) -> None:
    for times in range(1, MANY):
        run = make_run()
        run.launch("w-1")
        began = now()
        code, output = die(run, "w-1", point, times)
        if times > 1 and code != KILLED:
            break
        assert code == KILLED, f"the worker did not die at {point}: {output}"
        at_kill = run.committed()
        restart(run, calm, successor(run, replaced=(list(FaultPoint).index(point) + times) % 2 == 0))
        assert_fetched_once(run, at_kill, began)


@pytest.mark.parametrize("point", ["object_created", "claim_released"])
def test_a_download_by_hand_that_was_killed_goes_on_under_the_name_of_its_run(make_run: MakeRun, calm: Calm, point: str) -> None:
    run = make_run()
    command = (*DOWNLOAD, "--run", run.run)
    began = now()
    code, output = run.work("", f"{point}:1", arguments=command)
    assert code == KILLED, output
    at_kill, killed = run.committed(), now()
    code, output = run.work("", arguments=command)
    assert code == calm.exit_code, output
    assert_not_fetched_again(run, at_kill, killed)
    assert_fetched_once(run, at_kill, began)
    assert_finished(run, calm.picture)


def test_a_finished_download_asks_for_what_went_wrong_again_when_its_run_goes_on(make_run: MakeRun, calm: Calm) -> None:
    run = make_run()
    command = (*DOWNLOAD, "--run", run.run)
    bad = {symbol for (_, symbol), entry in calm.picture.outcomes.items() if entry["outcome"] in ("quarantined", "not_found")}
    assert run.work("", arguments=command)[0] == calm.exit_code
    # The second and the third plan are the same plan, and so are its shards.
    for _ in range(2):
        since = now()
        code, output = run.work("", arguments=command)
        assert code == calm.exit_code, output
        assert {row["path"].rsplit("/", 1)[-1].removesuffix(".csv.gz") for row in run.asked(since)} == bad
    assert_finished(run, calm.picture)
