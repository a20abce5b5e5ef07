"""A shard's share of a day's cap: never exceeded, whoever draws from it and whatever dies; fresh at 00:00 UTC."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import allowance as allowance_module
from engine.allowance import Allowance, OverShare, taken_today
from tests.local_servers import Lake

DAY = date(2024, 5, 1)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
SHARDS = itertools.count()
"""Every test takes a shard of its own, so that one bucket serves all."""


class Hands:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    monkeypatch.setattr(allowance_module, "LOOK_SECONDS", 0.005)
    return Hands()


@pytest.fixture
def opened(lake: Lake, hands: Hands) -> Callable[..., Allowance]:
    shard = next(SHARDS)

    def open_one(share: int = 1000, clock: Hands = hands) -> Allowance:
        return Allowance(lake.state, "r1", shard, share, clock=clock)

    return open_one


def taken(lake: Lake, allowance: Allowance, day: date = DAY) -> int:
    return taken_today(lake.state, "r1", allowance._shard, day)


def writes(lake: Lake) -> int:
    """Uploads that the storage server has seen so far."""
    counts = lake.storage.get("/_tickdeck/requests")["counts"]
    return sum(count for name, count in counts.items() if "insert" in name or "upload" in name)


async def test_bytes_are_written_down_before_they_may_come(lake: Lake, opened: Callable[..., Allowance]) -> None:
    one = opened()
    transfer = one.open()
    await one.reserve(transfer, 400)
    assert taken(lake, one) == 400
    assert not await one.try_reserve(one.open(), 601)
    assert await one.try_reserve(one.open(), 600)
    assert taken(lake, one) == 1000


async def test_what_a_transfer_did_not_use_goes_to_the_next_one_of_the_day(lake: Lake, opened: Callable[..., Allowance]) -> None:
    one = opened()
    broken = one.open()
    await one.reserve(broken, 1000)
    one.receive(broken, 300)
    one.close(broken)
    assert await one.try_reserve(one.open(), 700)
    assert not await one.try_reserve(one.open(), 1)
    assert taken(lake, one) == 1000


async def test_at_the_end_of_the_share_the_next_one_waits_for_midnight_utc(
    lake: Lake, opened: Callable[..., Allowance], hands: Hands
) -> None:
    one = opened()
    first = one.open()
    await one.reserve(first, 1000)
    one.receive(first, 1000)
    late = asyncio.create_task(one.reserve(one.open(), 10))
    for moment in (NOON, NOON.replace(hour=23, minute=59, second=59, microsecond=999_999)):
        hands.now = moment.astimezone(timezone(timedelta(hours=9)))
        done, _ = await asyncio.wait({late}, timeout=0.05)
        assert not done
        assert one.waiting == 1
        hands.now = moment
    hands.now = datetime(2024, 5, 2, tzinfo=UTC)
    await asyncio.wait_for(late, 10)
    assert one.waiting == 0
    assert taken(lake, one, DAY) == 0
    assert taken(lake, one, DAY + timedelta(days=1)) >= 10


async def test_what_a_download_leaves_over_goes_to_one_that_waits_the_same_day(lake: Lake, opened: Callable[..., Allowance]) -> None:
    one = opened()
    large = one.open()
    await one.reserve(large, 900)
    waits = asyncio.create_task(one.reserve(one.open(), 500))
    await asyncio.wait({waits}, timeout=0.05)
    assert one.waiting == 1
    one.receive(large, 450)
    one.close(large)
    await asyncio.wait_for(waits, 10)
    assert taken(lake, one) <= 1000


async def test_a_file_that_waits_for_the_next_day_holds_nothing_back_from_smaller_ones(
    lake: Lake, opened: Callable[..., Allowance]
) -> None:
    """It was estimated smaller than it is, so it had reserved something before it had to wait."""
    one = opened()
    await one.reserve(one.open(), 400)
    larger, small = one.open(), one.open()
    await one.reserve(larger, 500)
    waits_for_room = asyncio.create_task(one.reserve(small, 450))
    await asyncio.wait({waits_for_room}, timeout=0.05)
    waits_for_midnight = asyncio.create_task(one.reserve(larger, 700))
    await asyncio.wait_for(waits_for_room, 10)
    await asyncio.wait({waits_for_midnight}, timeout=0.05)
    assert (one.waiting, small.left, larger.left) == (1, 450, 0)
    assert taken(lake, one) <= 1000
    waits_for_midnight.cancel()


async def test_a_worker_that_takes_over_the_shard_takes_over_what_is_left(lake: Lake, opened: Callable[..., Allowance]) -> None:
    dead = opened()
    await dead.reserve(dead.open(), 640)
    heir = opened()
    assert not await heir.try_reserve(heir.open(), 361)
    assert await heir.try_reserve(heir.open(), 360)
    assert taken(lake, heir) == 1000


async def test_two_workers_that_both_hold_the_shard_draw_from_one_share(lake: Lake, opened: Callable[..., Allowance]) -> None:
    workers = [opened(), opened()]
    granted = await asyncio.gather(*(worker.try_reserve(worker.open(), 100) for worker in workers * 10))
    assert sum(granted) <= 10
    assert taken(lake, workers[0]) <= 1000


async def test_what_comes_in_after_midnight_is_taken_from_the_new_day(lake: Lake, opened: Callable[..., Allowance], hands: Hands) -> None:
    one = opened()
    large = one.open()
    await one.reserve(large, 900)
    one.receive(large, 100)
    hands.now = datetime(2024, 5, 2, tzinfo=UTC)
    one.receive(large, 300)
    assert not await one.try_reserve(one.open(), 201)
    assert await one.try_reserve(one.open(), 200)
    assert taken(lake, one, DAY + timedelta(days=1)) == 1000


async def test_a_file_larger_than_the_whole_share_is_refused_at_once(opened: Callable[..., Allowance]) -> None:
    one = opened()
    with pytest.raises(OverShare, match="share of a day's cap"):
        await one.reserve(one.open(), 1001)


async def test_a_clock_that_steps_back_over_midnight_opens_no_second_share(opened: Callable[..., Allowance], hands: Hands) -> None:
    one = opened()
    await one.reserve(one.open(), 1000)
    hands.now = NOON - timedelta(days=1)
    late = opened()
    assert not await late.try_reserve(late.open(), 1)


async def test_small_transfers_do_not_write_an_object_each(lake: Lake, opened: Callable[..., Allowance]) -> None:
    one = opened(share=64_000)
    before = writes(lake)
    for _ in range(640):
        transfer = one.open()
        await one.reserve(transfer, 100)
        one.receive(transfer, 100)
        one.close(transfer)
    assert not await one.try_reserve(one.open(), 1)
    assert 0 < writes(lake) - before <= 70


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["reserve", "receive", "close", "die", "midnight"]), st.integers(0, 2), st.integers(1, 600)), max_size=40
    )
)
def test_never_more_than_the_share_on_any_day_whatever_happens(lake: Lake, steps: list[tuple[str, int, int]]) -> None:
    """Three workers on one shard, dying and taking over, in any order: what came on a day is never above the share."""
    hands = Hands()
    shard = 1000 + next(SHARDS)
    received: dict[date, int] = {}

    async def play() -> None:
        workers = [Allowance(lake.state, "r2", shard, 1000, clock=hands) for _ in range(3)]
        transfers = [worker.open() for worker in workers]
        for what, which, count in steps:
            worker, transfer = workers[which], transfers[which]
            if what == "reserve":
                await worker.try_reserve(transfer, count)
            elif what == "receive":
                came = min(count, transfer.left)
                worker.receive(transfer, came)
                received[hands.now.date()] = received.get(hands.now.date(), 0) + came
            elif what == "close":
                worker.close(transfer)
                transfers[which] = worker.open()
            elif what == "die":
                workers[which] = Allowance(lake.state, "r2", shard, 1000, clock=hands)
                transfers[which] = workers[which].open()
            else:
                hands.now += timedelta(days=1)
                # What was reserved before midnight is on the wire; a worker notes it before it asks for more.
                for index, other in enumerate(workers):
                    if not await other.try_reserve(transfers[index], transfers[index].left or 1):
                        other.close(transfers[index])
                        transfers[index] = other.open()

    asyncio.run(play())
    assert all(count <= 1000 for count in received.values()), received
