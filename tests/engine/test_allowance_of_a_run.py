"""A capped download as it really runs: never more bytes a UTC day than the cap, judged by what the source sent."""

from __future__ import annotations

import asyncio
import io
import json
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from engine import allowance
from engine.allowance import taken_today
from engine.errors import ExitCode
from engine.instruments.writing import fetch_catalogues
from engine.inventory import Inventory, Means, plan_request
from engine.logbook import Logbook
from engine.model import Outcome
from engine.packing import share_cap
from engine.paths import parse_allowance_object
from engine.plan import Plan, Request, save_plan, seal
from engine.settings import resolve
from engine.source import Source, dataset_path
from engine.worker import Identity, Places, Report, Worker
from tests.local_servers import KEY, Lake

TYPES = ("trades", "book_snapshot_5", "derivative_ticker", "liquidations", "options_chain")
DAY = datetime(2024, 5, 1, tzinfo=UTC).date()
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Midnights:
    """A clock that goes to the next UTC day whenever all downloads wait for it, and notes what had been sent by then."""

    def __init__(self, sent: Callable[[], int]) -> None:
        self.now = NOW
        self._sent = sent
        self._marks = [0]

    def __call__(self) -> datetime:
        return self.now

    def strike(self) -> None:
        self._marks.append(self._sent())
        self.now = datetime.combine(self.now.date() + timedelta(days=1), datetime.min.time(), tzinfo=UTC)

    def by_day(self) -> list[int]:
        marks = [*self._marks, self._sent()]
        return [later - earlier for earlier, later in pairwise(marks)]


def sent(lake: Lake, since: int) -> int:
    return sum(int(row["bytes"]) for row in lake.requests()[since:] if row["path"].endswith(".csv.gz"))


async def catalogues(lake: Lake) -> None:
    async with Source(api_url=f"{lake.source.url}/v1", datasets_url=f"{lake.source.url}/v1", api_key=KEY) as source:
        await fetch_catalogues(source, ("binance", "deribit"), lake.state)


def plan_of(lake: Lake, *, prior_share: float = 0.05, **request: Any) -> Plan:
    wanted = Request(venues=("binance", "deribit"), data_types=TYPES, start=DAY, end=DAY, **request)
    means = Means(lake.data.bucket, lake.state.bucket, prior_share=prior_share)
    plan = plan_request(Inventory(lake.state), wanted, means, now=NOW)
    save_plan(lake.state, plan)
    return plan


async def work(lake: Lake, plan: Plan, clock: Midnights, run: str = "r1", said: io.StringIO | None = None) -> Report:
    settings = resolve({**lake.environment, "LOG_LEVEL": "ERROR"})
    async with Source(api_url=f"{lake.source.url}/v1", datasets_url=f"{lake.source.url}/v1", api_key=KEY) as source:
        shards = tuple(shard.index for shard in plan.shards)
        places = Places(lake.data, lake.state)
        logbook = Logbook(stream=said or io.StringIO(), minimum="WARNING")
        worker = Worker(Identity(run, "hand", shards), plan, places, source, settings, logbook, clock=clock, heal=False)
        running = asyncio.create_task(worker.run())
        while not running.done():
            await asyncio.wait({running}, timeout=0.05)
            share = worker._pipeline._allowance if worker._pipeline is not None else None
            if share is not None and share.waiting and not worker.progress.fetching:
                assert worker._pipeline is not None
                assert worker._pipeline.limited_by() == "allowance"
                clock.strike()
        return await running


def real_sizes(lake: Lake, plan: Plan) -> dict[str, int]:
    """What the source sends of each file, asked without the engine."""
    sizes = {}
    for file in (file for shard in plan.shards for item in shard.work for file in item.files()):
        request = urllib.request.Request(f"{lake.source.url}/v1/{dataset_path(file)}", headers={"Authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(request, timeout=30) as response:
            sizes[str(file)] = len(response.read())
    return sizes


def resized(lake: Lake, plan: Plan, factor: float, cap: int) -> Plan:
    """The plan with estimates of `factor` times the real sizes, capped."""
    sizes = real_sizes(lake, plan)
    shards = []
    for shard in plan.shards:
        work = tuple(replace(item, bytes=tuple(max(1, int(sizes[str(file)] * factor)) for file in item.files())) for item in shard.work)
        shards.append(replace(shard, work=work, bytes=sum(sum(item.bytes) for item in work)))
    made = seal(replace(plan, shards=share_cap(shards, cap)))
    save_plan(lake.state, made)
    return made


async def test_no_day_brings_more_than_the_cap_and_everything_comes_in_the_end(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "LOOK_SECONDS", 0.02)
    await catalogues(lake)
    whole = plan_of(lake)
    cap = 2 * max(real_sizes(lake, whole).values())
    plan, since = resized(lake, whole, 1.1, cap), len(lake.requests())
    clock, said = Midnights(lambda: sent(lake, since)), io.StringIO()
    report = await work(lake, plan, clock, said=said)
    assert report.exit_code is ExitCode.DONE
    assert report.outcomes[Outcome.OK] == sum(shard.files for shard in plan.shards)
    by_day = clock.by_day()
    assert sum(by_day) == sent(lake, since) > cap
    assert len(by_day) > 1
    assert all(count <= cap for count in by_day), (by_day, cap)
    waits = [line["until"] for line in map(json.loads, said.getvalue().splitlines()) if line["event"] == "allowance_spent"]
    midnights = {f"2026-05-{NOW.day + number:02d}T00:00:00.000000Z" for number in range(1, len(by_day))}
    assert midnights <= set(waits)
    assert sorted(set(waits)) == waits, "each day says so once"


async def test_files_larger_than_estimated_wait_for_a_day_that_holds_them(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "LOOK_SECONDS", 0.02)
    await catalogues(lake)
    whole = plan_of(lake)
    cap = 2 * max(real_sizes(lake, whole).values())
    plan = resized(lake, whole, 0.01, cap)
    clock = Midnights(lambda: 0)
    report = await work(lake, plan, clock)
    assert report.exit_code is ExitCode.DONE
    assert len(clock.by_day()) > 1
    [record] = [info.name for info in lake.state.list("runs/r1/allowance/")]
    assert parse_allowance_object(record) == ("r1", 0)
    assert 0 < taken_today(lake.state, "r1", 0, clock.now.date()) <= plan.shards[0].daily_bytes


async def test_a_restart_on_the_same_day_takes_over_what_is_left_of_the_share(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "LOOK_SECONDS", 0.02)
    await catalogues(lake)
    since = len(lake.requests())
    plan = plan_of(lake, daily_bytes=10**9)
    first = Midnights(lambda: sent(lake, since))
    await work(lake, plan, first)
    taken = taken_today(lake.state, "r1", 0, NOW.date())
    assert sent(lake, since) <= taken <= plan.shards[0].daily_bytes
    for info in list(lake.data.list("raw_tick_data/")):
        lake.data.delete(info.name, if_generation=info.generation)
    claim = next(iter(lake.state.list("runs/r1/claims/")))
    lake.state.delete(claim.name, if_generation=claim.generation)
    await work(lake, plan, Midnights(lambda: 0))
    assert taken_today(lake.state, "r1", 0, NOW.date()) >= sent(lake, since)


async def test_a_file_that_no_day_can_hold_is_failed_with_the_next_step(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "LOOK_SECONDS", 0.02)
    await catalogues(lake)
    plan = resized(lake, plan_of(lake), 0.0001, 200)
    report = await work(lake, plan, Midnights(lambda: 0))
    assert report.exit_code is ExitCode.PARTIAL
    assert report.outcomes[Outcome.FAILED] > 0
