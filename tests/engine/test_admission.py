"""Who may start: bytes in flight never exceed the room, everybody gets a turn, and nothing starts near the memory limit."""

from __future__ import annotations

import asyncio

from engine.admission import Admission


async def test_bytes_in_flight_never_exceed_the_room_and_everybody_gets_a_turn() -> None:
    admission = Admission(bytes_in_flight=100, memory_bytes=1 << 40)
    most, order = 0, []

    async def work(number: int, count: int) -> None:
        nonlocal most
        async with admission.admit(count):
            order.append(number)
            most = max(most, admission.in_flight)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(number, 1 + number * 37 % 60) for number in range(200)))
    assert order == list(range(200)), "whoever came first goes first, so that large files are not passed for ever"
    assert most <= 100
    assert admission.in_flight == 0


async def test_what_is_larger_than_the_room_goes_alone() -> None:
    admission = Admission(bytes_in_flight=100, memory_bytes=1 << 40)
    together: list[int] = []

    async def work(count: int) -> None:
        async with admission.admit(count):
            await asyncio.sleep(0)
            together.append(admission.in_flight)

    await asyncio.gather(work(60), work(1_000), work(60))
    assert together == [60, 100, 60]


async def test_near_the_memory_limit_only_one_goes_on() -> None:
    admission = Admission(bytes_in_flight=100, memory_bytes=10, used=lambda: 11)
    running, most = 0, 0

    async def work() -> None:
        nonlocal running, most
        async with admission.admit(1):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(work() for _ in range(5)))
    assert most == 1


async def test_who_gives_up_waiting_holds_nothing_and_lets_the_next_one_in() -> None:
    admission = Admission(bytes_in_flight=100, memory_bytes=1 << 40)
    leave = asyncio.Event()

    async def work(count: int) -> None:
        async with admission.admit(count):
            await leave.wait()

    first = asyncio.create_task(work(80))
    waiting = asyncio.create_task(work(90))
    last = asyncio.create_task(work(20))
    await asyncio.sleep(0.01)
    assert admission.in_flight == 80
    waiting.cancel()
    await asyncio.sleep(0.01)
    assert admission.in_flight == 100
    leave.set()
    await asyncio.gather(first, last, waiting, return_exceptions=True)
    assert admission.in_flight == 0
