"""Jobs for kept workers: given once, begun at most once, and what the worker that stays makes of them."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.clock import utc_now
from engine.draining import told_to_end
from engine.errors import UsageError
from engine.heartbeat import Heartbeat, list_heartbeats, read_heartbeat, write_heartbeat
from engine.jobs import CUT_OFF, Job, begin, close_cut_off, finish, next_job, read_job, read_result, require_arguments, submit
from engine.keeping import Keeper
from engine.logbook import Logbook, LogObjects
from engine.paths import drain_object, log_prefix, vm_drain_object
from engine.store import Store
from tests.local_servers import KEY, Lake

RUN, VM = "r1tp8k5m2x", "market-data-single-20240501"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def give(state: Store, *arguments: str) -> Job:
    return submit(state, RUN, VM, arguments, who="alice", now=utc_now())


@pytest.mark.parametrize("arguments", [(), ("work",), ("sh", "-c", "reboot"), ("download; reboot",), ("--help",), ("validate", "a\x00b")])
def test_only_verbs_of_the_engine_that_a_vm_does_are_jobs(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        require_arguments(arguments)


def test_arguments_that_would_fill_the_bucket_are_refused() -> None:
    with pytest.raises(UsageError):
        require_arguments(("download", "x" * 9000))


def test_jobs_are_numbered_in_order_and_done_oldest_first(lake: Lake) -> None:
    first, second = give(lake.state, "validate", "--help"), give(lake.state, "download", "a b", "$HOME")
    assert (first.number, second.number) == (1, 2)
    assert read_job(lake.state, RUN, VM, 2) == second
    assert next_job(lake.state, RUN, VM) == first
    assert begin(lake.state, first, now=NOW)
    assert next_job(lake.state, RUN, VM) == second
    assert next_job(lake.state, RUN, "another-vm") is None


def test_a_job_begins_once_and_its_end_is_never_overwritten(lake: Lake) -> None:
    job = give(lake.state, "validate")
    assert begin(lake.state, job, now=NOW)
    assert not begin(lake.state, job, now=NOW + timedelta(seconds=1))
    finish(lake.state, job, exit_code=3, tail=[str(line) for line in range(100)], now=NOW + timedelta(minutes=1))
    finish(lake.state, job, exit_code=0, now=NOW + timedelta(minutes=2))
    result = read_result(lake.state, RUN, VM, 1)
    assert result is not None
    assert (result.state, result.exit_code, result.started, len(result.tail)) == ("ended", 3, NOW, 20)


def test_a_job_that_an_earlier_process_began_is_cut_off_and_not_run_again(lake: Lake) -> None:
    job = give(lake.state, "validate")
    begin(lake.state, job, now=NOW)
    assert close_cut_off(lake.state, RUN, VM, now=NOW) == (1,)
    assert close_cut_off(lake.state, RUN, VM, now=NOW) == ()
    result = read_result(lake.state, RUN, VM, 1)
    assert result is not None
    assert result.exit_code == CUT_OFF
    assert next_job(lake.state, RUN, VM) is None


def last_words(state: Store, exit_code: int = 0) -> None:
    now = utc_now()
    write_heartbeat(state, Heartbeat(run=RUN, vm=VM, sequence=7, written=now, started=now, state="done", exit_code=exit_code, files_done=3))


def keep(lake: Lake, seconds: float, *, then: Any = None) -> str:
    """Keep a worker for so long, or until `then(keeper)` stops it; what it wrote on stdout."""
    said = io.StringIO()
    book = Logbook(stream=said, secrets=(KEY,), context={"run": RUN, "vm": VM})

    async def stay() -> None:
        keeper = Keeper(
            lake.state,
            RUN,
            VM,
            utc_now() + timedelta(seconds=seconds),
            logbook=book,
            log_objects=LogObjects(lake.state, book, run=RUN, vm=VM, attempt=1),
            heartbeat_seconds=0.2,
            flush_seconds=0.5,
        )
        stopper = asyncio.create_task(then(keeper)) if then else None
        await keeper.run()
        if stopper is not None:
            await stopper

    asyncio.run(stay())
    return said.getvalue()


@pytest.fixture
def engine_environment(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TICKDECK_RUN", RUN)


async def until_ended(state: Store, number: int) -> None:
    while True:
        result = await asyncio.to_thread(read_result, state, RUN, VM, number)
        if result is not None and result.ended is not None:
            return
        await asyncio.sleep(0.05)


def stop_after(state: Store, number: int) -> Any:
    async def wait(keeper: Keeper) -> None:
        await until_ended(state, number)
        keeper.stop("enough")

    return wait


@pytest.mark.usefixtures("engine_environment")
def test_a_kept_worker_does_its_jobs_in_order_and_says_how_they_ended(lake: Lake) -> None:
    last_words(lake.state)
    day = ("--start-date", "2024-05-01")
    give(lake.state, "download", "--venues", "binance", "--data-types", "trades", *day)
    give(lake.state, "validate", "--venues", "binance", "--data-types", "trades", *day)
    give(lake.state, "validate", "--start-date", "no day")
    said = keep(lake, 120, then=stop_after(lake.state, 3))
    results = [read_result(lake.state, RUN, VM, number) for number in (1, 2, 3)]
    assert [result.exit_code for result in results if result] == [0, 0, 64]
    assert "no day" in " ".join(results[2].tail if results[2] else ())
    assert [info.name for info in lake.data.list("raw_tick_data/")]
    # The job is a run of its own: the worker's says nothing of it.
    manifests = [info.name for info in lake.state.list("manifests/")]
    assert manifests
    assert not any(RUN in name for name in manifests)
    events = [json.loads(line) for line in said.splitlines()]
    assert [event["job"] for event in events if event["event"] == "job_ended"] == [1, 2, 3]
    pieces = [lake.state.get(info.name) for info in lake.state.list(log_prefix(RUN, VM))]
    logged = "".join(gzip.decompress(piece.data).decode() for piece in pieces if piece)
    assert '"job_output"' in logged
    assert KEY not in said + logged
    heartbeat = read_heartbeat(lake.state, RUN, VM)
    assert heartbeat is not None
    assert (heartbeat.state, heartbeat.exit_code, heartbeat.job, heartbeat.job_exit_code, heartbeat.files_done) == ("kept", 0, 3, 64, 3)
    (listed,) = list_heartbeats(lake.state, RUN)
    assert listed == heartbeat


def test_a_kept_worker_ends_with_its_time_or_with_the_run(lake: Lake) -> None:
    last_words(lake.state)
    assert "its time is over" in keep(lake, 0.3)
    lake.state.put(drain_object(RUN), b"{}", if_generation=0)
    give(lake.state, "validate", "--help")
    assert "the run is drained" in keep(lake, 600)


def test_a_worker_alone_of_its_run_can_be_told_to_end(lake: Lake) -> None:
    lake.state.put(vm_drain_object(RUN, "another"), b"{}", if_generation=0)
    assert told_to_end(lake.state, RUN, VM) == ""
    lake.state.put(vm_drain_object(RUN, VM), b"{}", if_generation=0)
    assert told_to_end(lake.state, RUN, VM) == "this VM is drained"
    last_words(lake.state)
    assert "this VM is drained" in keep(lake, 600)


@pytest.fixture
def stalled(lake: Lake) -> Iterator[None]:
    """A source whose files stand still until the test is over."""
    lake.source.post("/_tickdeck/faults", {"fault": "stall", "seconds": 600, "match": "trades"})
    yield
    lake.source.disarm()


@pytest.mark.usefixtures("engine_environment", "stalled")
def test_a_stop_ends_the_job_in_flight_in_good_order_and_writes_down_how(lake: Lake) -> None:
    last_words(lake.state)
    give(lake.state, "download", "--venues", "binance", "--data-types", "trades", "--start-date", "2024-05-01")
    give(lake.state, "validate", "--help")

    async def stop(keeper: Keeper) -> None:
        while True:
            names = await asyncio.to_thread(lambda: [info.name for info in lake.state.list("runs/")])
            if any("/workers/" in name and RUN not in name for name in names):
                break
            await asyncio.sleep(0.05)
        keeper.stop("signal SIGTERM")

    said = keep(lake, 600, then=stop)
    result = read_result(lake.state, RUN, VM, 1)
    assert result is not None
    assert (result.state, result.exit_code) == ("ended", 75)
    assert read_result(lake.state, RUN, VM, 2) is None
    assert "signal SIGTERM" in said
