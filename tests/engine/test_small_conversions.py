"""Small bodies on their way through threads and processes: each gets its own answer, also where a process is killed."""

from __future__ import annotations

import asyncio
import io
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psutil
import pytest

from engine import small_conversions
from engine.conversion.convert import Conversion, convert
from engine.conversion.converter_process import MEMORY_BYTES, ConverterGone, ConverterProcess
from engine.datatypes import DATA_TYPES
from engine.logbook import Logbook
from engine.model import Cell, File, Outcome
from engine.shard_run import Limits, Progress
from engine.small_conversions import SmallConversions, processes_for
from tests.engine.conversion.tardis_csv import DAY, packed, trades_csv

GIB = 1 << 30


def source(number: int) -> tuple[File, bytes]:
    """A file of its own length; every tenth is none."""
    symbol = f"COIN{number}USDT"
    text = trades_csv(3 + number).replace(b",BTCUSDT,", f",{symbol},".encode())
    return File(Cell(DAY, "trades", "binance"), symbol), b"no gzip" if number % 10 == 9 else packed(text)


def alone(file: File, body: bytes) -> Conversion:
    return replace(convert(io.BytesIO(body), None, data_type=DATA_TYPES["trades"], file=file), seconds=0.0)


@asynccontextmanager
async def conversions(most: int) -> AsyncIterator[tuple[SmallConversions, Progress, io.StringIO]]:
    log, progress = io.StringIO(), Progress()
    with ThreadPoolExecutor(2) as pool:
        small = SmallConversions(pool, progress, Logbook(stream=log), processes=most)
        try:
            yield small, progress, log
        finally:
            small.close()


async def all_of(small: SmallConversions, sources: list[tuple[File, bytes]]) -> list[Conversion]:
    return [replace(each, seconds=0.0) for each in await asyncio.gather(*(small.convert(*each) for each in sources))]


def running() -> list[psutil.Process]:
    """Processes that convert for this one."""
    return [each for each in psutil.Process().children() if "engine.conversion.converter_process" in " ".join(each.cmdline())]


@pytest.mark.parametrize("most", [0, 1, 2])
async def test_every_body_gets_its_own_answer(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_conversions, "MANY_FILES", 20)
    sources = [source(number) for number in range(150)]
    async with conversions(most) as (small, progress, log):
        assert await all_of(small, sources) == [alone(*each) for each in sources]
        assert len(running()) == most
        assert (progress.waiting_to_convert, progress.converting) == (0, 0)
        assert log.getvalue() == ""
    assert running() == []


@pytest.mark.parametrize("most", [0, 2])
async def test_a_body_that_comes_as_the_one_before_it_is_done_is_not_forgotten(most: int) -> None:
    async with conversions(most) as (small, progress, _), asyncio.timeout(60):

        async def one_by_one(first: int) -> None:
            for number in range(first, first + 30):
                await small.convert(*source(number))

        await asyncio.gather(one_by_one(0), one_by_one(100), one_by_one(200))
        assert (progress.waiting_to_convert, progress.converting) == (0, 0)


async def test_few_bodies_start_no_process() -> None:
    async with conversions(2) as (small, _, _):
        await all_of(small, [source(number) for number in range(20)])
        assert running() == []


async def test_processes_start_when_many_bodies_are_expected() -> None:
    sources = [source(number) for number in range(40)]
    async with conversions(2) as (small, _, _):
        small.expect(200)
        assert running() == []
        small.expect(201)
        assert len(small._processes) == 1
        small.expect(5_000)
        small.expect(5_000)
        assert await all_of(small, sources) == [alone(*each) for each in sources]
        assert len(running()) == 2


async def test_a_process_that_is_killed_costs_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_conversions, "MANY_FILES", 0)
    sources = [source(number) for number in range(200)]
    async with conversions(1) as (small, progress, log):
        waiting = asyncio.ensure_future(all_of(small, sources))
        while not running():  # noqa: ASYNC110 - the system starts it
            await asyncio.sleep(0.001)
        running()[0].send_signal(signal.SIGKILL)
        assert await waiting == [alone(*each) for each in sources]
        assert (progress.waiting_to_convert, progress.converting) == (0, 0)
        assert log.getvalue().count("converter_gone") == 1
        assert running() == []


async def test_a_file_that_is_given_up_does_not_hold_up_the_others() -> None:
    async with conversions(0) as (small, progress, _):
        tasks = [asyncio.ensure_future(small.convert(*source(number))) for number in range(60)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in done[::2])
        assert {each.outcome for each in done[1::2]} == {Outcome.OK, Outcome.QUARANTINED}
        assert (progress.waiting_to_convert, progress.converting) == (0, 0)


def test_a_process_answers_again_and_again_and_says_when_it_is_gone() -> None:
    process = ConverterProcess()
    for number in range(3):
        (done,) = process.convert("trades", [source(number)])
        assert replace(done, seconds=0.0) == alone(*source(number))
    process.close()
    with pytest.raises(ConverterGone):
        process.convert("trades", [source(1)])
    process.close()


def test_a_process_is_told_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARDIS_API_KEY", "TD.secret")
    process = ConverterProcess()
    try:
        process.convert("trades", [source(0)])
        told = psutil.Process(process.pid).environ()
        assert "PATH" in told
        assert "TD.secret" not in told.values()
    finally:
        process.close()


def test_a_process_ends_with_its_worker_however_that_ends() -> None:
    code = """
import signal
from engine.conversion.converter_process import ConverterProcess
process = ConverterProcess()
print(process.pid, flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        started = psutil.Process(int(worker.stdout.readline()))
        worker.kill()
    started.wait(timeout=30)


def test_a_process_takes_no_more_memory_than_is_reckoned_with() -> None:
    process = ConverterProcess()
    try:
        for _ in range(20):
            process.convert("trades", [source(number) for number in range(32)])
        assert psutil.Process(process.pid).memory_info().rss < MEMORY_BYTES
    finally:
        process.close()


@pytest.mark.parametrize(
    ("converters", "memory", "expected"), [(1, 8 * GIB, 1), (2, 8 * GIB, 2), (8, 8 * GIB, 3), (8, GIB, 0), (8, 3 * GIB, 2), (8, 0, 0)]
)
def test_processes_are_few_and_leave_most_of_the_memory(converters: int, memory: int, expected: int) -> None:
    limits = Limits(downloads=8, converters=converters, uploads=8, bytes_in_flight=GIB, memory_bytes=memory)
    assert processes_for(limits) == expected
