"""What of a run counts as being worked on, as queued, and as nobody's, read from a real bucket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from engine.claims import release, take
from engine.coverage import LiveShard
from engine.documents import encode
from engine.heartbeat import Heartbeat, write_heartbeat
from engine.instrument_coverage import list_definitions
from engine.launch import LaunchedVm, LaunchRecord
from engine.live_work import QUEUED_FOR, live_shards
from engine.model import Cell, DayRange
from engine.paths import drain_object, instruments_object, instruments_source_object, launch_object
from engine.plan import Plan, Shard
from tests.engine.made_up_lake import day
from tests.engine.test_planner import plan, request
from tests.local_servers import Lake

NOW = datetime(2024, 5, 23, 5, 36, tzinfo=UTC)
RUN = "r1tp8k5m2x"
PLAN = plan(request(0, 3, shards=3))


def launch(lake: Lake, *shards: int, at: datetime = NOW) -> None:
    record = LaunchRecord(
        run=RUN,
        number=1,
        plan=PLAN.id,
        created=at,
        owner="ops",
        request_id="9a7e0d6e-0000-4000-8000-000000000001",
        project="p",
        region="asia-northeast1",
        zones=(),
        machine_types=(),
        provisioning_model="SPOT",
        max_run_seconds=60,
        expires=at + timedelta(hours=1),
        data_bucket="d",
        state_bucket="s",
        labels={},
        vms={f"vm-{shard}": LaunchedVm(shards=(shard,)) for shard in shards},
    )
    lake.state.put(launch_object(RUN, 1), encode(record), if_generation=0)


def beat(lake: Lake, vm: str, *, at: datetime = NOW, state: str = "working") -> None:
    write_heartbeat(lake.state, Heartbeat(run=RUN, vm=vm, sequence=1, written=at, started=at, state=state, current="binance trades"))


def look(lake: Lake, now: datetime = NOW) -> list[LiveShard]:
    def find(_plan: str) -> Plan:
        return PLAN

    found, _ = live_shards(lake.state, RUN, find, now=now)
    assert all(isinstance(shard, Shard) and shard.index == holder.shard for holder, shard in found)
    return [holder for holder, _ in found]


def test_a_launch_is_queued_until_workers_take_its_shards_and_only_for_the_slice_that_was_launched(lake: Lake) -> None:
    launch(lake, 0, 2)
    assert look(lake) == [LiveShard(RUN, 0, queued=True), LiveShard(RUN, 2, queued=True)]
    take(lake.state, RUN, 0, "vm-0", now=NOW)
    beat(lake, "vm-0")
    assert look(lake) == [LiveShard(RUN, 0, vm="vm-0", current="binance trades"), LiveShard(RUN, 2, queued=True)]


def test_a_shard_nobody_can_take_any_more_is_a_hole_again(lake: Lake) -> None:
    launch(lake, 0, 1)
    later = NOW + QUEUED_FOR + timedelta(seconds=1)
    assert look(lake, later) == []
    beat(lake, "vm-0", at=later)
    assert [holder.queued for holder in look(lake, later)] == [True, True]
    lake.state.put(drain_object(RUN), b"{}", if_generation=0)
    assert look(lake, later) == []


def test_a_worker_that_is_silent_or_has_ended_hides_nothing(lake: Lake) -> None:
    launch(lake, 0)
    take(lake.state, RUN, 0, "vm-0", now=NOW)
    beat(lake, "vm-0", state="failed")
    assert look(lake) == []
    beat(lake, "vm-0", at=NOW - timedelta(minutes=4))
    assert look(lake) == []


def test_a_run_of_which_every_shard_is_done_is_over(lake: Lake) -> None:
    launch(lake, 1)
    held = take(lake.state, RUN, 1, "vm-1", now=NOW)
    assert held is not None
    release(lake.state, held, "done", now=NOW)
    assert live_shards(lake.state, RUN, lambda _plan: PLAN, now=NOW) == ([], True)


def test_definitions_are_found_by_listing_and_what_stands_beside_them_is_not(lake: Lake) -> None:
    lake.data.put(instruments_object(day(0), "binance"), b"definitions", if_generation=0, metadata={"rows": "12"})
    lake.data.put(instruments_object(day(3), "binance"), b"definitions", if_generation=0)
    lake.data.put(instruments_source_object(day(1), "binance"), b"{}", if_generation=0)
    found = list_definitions(lake.data, [DayRange(day(0), day(1)), DayRange(day(2), day(2))])
    assert {cell: (each.rows, each.size) for cell, each in found.items()} == {Cell(day(0), "instruments", "binance"): (12, 11)}
