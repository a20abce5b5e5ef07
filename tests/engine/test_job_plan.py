"""A plan that is a verb of the engine: read before anything costs money, worked by `engine work`, told in claim, heartbeat and log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date

import pytest

from engine.claims import list_claims
from engine.clock import utc_now
from engine.errors import ExitCode, UsageError
from engine.estimate import LOCAL_SPEED, Rates
from engine.heartbeat import read_heartbeat
from engine.job_plan import plan_job
from engine.launch import LaunchedVm
from engine.paths import log_prefix
from engine.plan import Plan, save_plan, seal
from tests.engine.test_idle_workers import launched
from tests.local_servers import Lake, LocalServer

VM = "market-data-single-20240501"


def job(lake: Lake | None, *arguments: str) -> Plan:
    buckets = (lake.data.bucket, lake.state.bucket) if lake else ("lake", "lake-state")
    return plan_job(arguments, data_bucket=buckets[0], state_bucket=buckets[1], speed=LOCAL_SPEED, rates=Rates(), now=utc_now())


def launch(lake: Lake, *arguments: str) -> str:
    plan = job(lake, *arguments)
    save_plan(lake.state, plan)
    return launched(lake, plan, {VM: LaunchedVm((0,))})


@pytest.fixture
def stalled(lake: Lake) -> Iterator[LocalServer]:
    yield lake.source
    lake.source.disarm()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("work",), "'work' is no job for a VM"),
        (("sh", "-c", "reboot"), "'sh' is no job for a VM"),
        (("instruments", "--bogus"), "No such option '--bogus'"),
        (("instruments", "--start-date", "2024-05-40"), "is not a day"),
        (("validate",), "Missing option '--start-date'"),
        (("validate", "--help"), "has nothing to do"),
        (("replay", "--venue", "binance"), "Missing option"),
        (("upload-bigquery", "--day", "2024-05-01", "--layer", "tics"), "'tics' is not known"),
    ],
)
def test_what_the_verb_would_refuse_is_refused_before_a_vm_costs_anything(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=says):
        job(None, *arguments)
    capsys.readouterr()  # what --help said


def test_the_plan_is_one_shard_with_days_and_venues_of_the_verb_and_its_arguments_are_in_the_hash() -> None:
    plan = job(None, "validate", "--venues", "binance,deribit", "--start-date", "2024-05-01", "--end-date", "2024-05-03")
    assert (len(plan.shards), plan.shards[0].work, plan.request.mode) == (1, (), "validate")
    assert (plan.request.venues, plan.request.start, plan.request.end) == (("binance", "deribit"), date(2024, 5, 1), date(2024, 5, 3))
    assert plan.estimate.is_priced
    assert seal(plan) == plan
    assert job(None, "validate", "--start-date", "2024-05-01").id != plan.id


def test_a_worker_runs_the_verb_and_the_run_is_done(lake: Lake) -> None:
    run = launch(lake, "instruments", "--venues", "binance", "--start-date", "2024-05-01")
    done = lake.engine("work", "--run", run, "--vm", VM)
    assert done.returncode == 0, done.stderr
    assert [info.name for info in lake.data.list("instrument_availability/by_date/day-2024-05-01/venue-binance/")]
    (held,) = list_claims(lake.state, run).values()
    assert (held.claim.vm, held.claim.state) == (VM, "done")
    heartbeat = read_heartbeat(lake.state, run, VM)
    assert heartbeat is not None
    assert (heartbeat.state, heartbeat.exit_code) == ("done", 0)
    assert "definitions of 2024-05-01" in done.stdout
    assert list(lake.state.list(log_prefix(run, VM)))
    again = lake.engine("work", "--run", run, "--vm", VM)
    assert (again.returncode, "job_started" in again.stdout) == (0, False), "what is done is not done again"


def test_a_verb_that_fails_ends_the_worker_with_its_code_and_its_last_word(lake: Lake) -> None:
    run = launch(lake, "instruments", "--venues", "nosuch")
    done = lake.engine("work", "--run", run, "--vm", VM)
    assert done.returncode == ExitCode.USAGE
    heartbeat = read_heartbeat(lake.state, run, VM)
    assert heartbeat is not None
    assert (heartbeat.state, heartbeat.exit_code) == ("failed", ExitCode.USAGE)
    assert "the source knows no venue 'nosuch'" in heartbeat.last_error
    assert [held.claim.state for held in list_claims(lake.state, run).values()] == ["stopped"]


def test_a_worker_that_is_told_to_stop_ends_its_verb_and_leaves_the_job_to_the_next(lake: Lake, stalled: LocalServer) -> None:
    stalled.post("/_tickdeck/faults", {"fault": "stall", "seconds": 600, "match": ".csv.gz"})
    run = launch(lake, "download", "--venues", "binance", "--data-types", "trades", "--start-date", "2024-05-01")
    worker = subprocess.Popen(
        [sys.executable, "-m", "engine.cli", "work", "--run", run, "--vm", VM],
        env=os.environ | lake.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    ends = time.monotonic() + 60
    while not any(fault["struck"] for fault in stalled.get("/_tickdeck/faults")["faults"]):
        assert time.monotonic() < ends
        time.sleep(0.1)
    worker.send_signal(signal.SIGTERM)
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == ExitCode.TEMPORARY, output
    assert "ended with exit code 75" in output
    assert [held.claim.state for held in list_claims(lake.state, run).values()] == ["stopped"]
