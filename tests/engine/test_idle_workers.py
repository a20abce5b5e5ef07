"""What a worker does when its own shards are done: the run completes without those that never came, and nobody waits for nothing."""

from __future__ import annotations

from datetime import date, timedelta

from engine.claims import list_claims
from engine.clock import utc_now
from engine.documents import JSON, encode
from engine.heartbeat import read_heartbeat
from engine.inventory import Inventory, Means, check_range, plan_request
from engine.launch import LaunchedVm, LaunchRecord
from engine.model import DayRange
from engine.paths import launch_object
from engine.plan import Plan, Request, save_plan
from engine.run import new_run
from tests.local_servers import Lake

DAY = DayRange(date(2024, 5, 1), date(2024, 5, 1))


def planned(lake: Lake) -> Plan:
    """Two shards of one cell."""
    assert lake.engine("instruments", "--venues", "binance", "--start-date", "2024-05-01", "--end-date", "2024-05-01").returncode == 0
    request = Request(venues=("binance",), data_types=("trades",), start=DAY.start, end=DAY.end, shards=2)
    means = Means(lake.data.bucket, lake.state.bucket, settings={"HEAL_SECONDS": "1", "STALE_SECONDS": "5"})
    plan = plan_request(Inventory(lake.state), request, means, now=utc_now())
    assert len(plan.shards) == 2
    save_plan(lake.state, plan)
    return plan


def launched(lake: Lake, plan: Plan, vms: dict[str, LaunchedVm]) -> str:
    run, now = new_run(utc_now()), utc_now()
    record = LaunchRecord(
        run=run,
        number=1,
        plan=plan.id,
        created=now,
        owner="test",
        request_id="1",
        project="local",
        region="local",
        zones=("local-a",),
        machine_types=("local-1",),
        provisioning_model="SPOT",
        max_run_seconds=3600,
        expires=now + timedelta(hours=1),
        data_bucket=lake.data.bucket,
        state_bucket=lake.state.bucket,
        labels={},
        vms=vms,
    )
    lake.state.put(launch_object(run, 1), encode(record), if_generation=0, content_type=JSON)
    return run


def test_the_shard_of_a_vm_that_never_came_is_done_by_who_is_left(lake: Lake) -> None:
    plan = planned(lake)
    run = launched(lake, plan, {"w-1": LaunchedVm((0,)), "w-2": LaunchedVm((1,))})
    done = lake.engine("work", "--run", run, "--vm", "w-1")
    assert done.returncode == 0, done.stderr
    claims = list_claims(lake.state, run)
    assert {shard: (held.claim.vm, held.claim.state) for shard, held in claims.items()} == {0: ("w-1", "done"), 1: ("w-1", "done")}
    coverage = check_range(Inventory(lake.state), DAY, ["binance"], ["trades"], now=utc_now())
    assert (coverage.complete_cells, coverage.expected_cells) == (1, 1)


def test_nobody_waits_for_shards_that_were_never_launched(lake: Lake) -> None:
    plan = planned(lake)
    run = launched(lake, plan, {"w-1": LaunchedVm((0,))})
    done = lake.engine("work", "--run", run, "--vm", "w-1")
    assert done.returncode == 0, done.stderr
    assert set(list_claims(lake.state, run)) == {0}
    heartbeat = read_heartbeat(lake.state, run, "w-1")
    assert heartbeat is not None
    assert heartbeat.progressed is not None
    assert heartbeat.started <= heartbeat.progressed <= heartbeat.written
