"""Feeds: the last good look is never lost, failures back off, and nobody waits for a dead link."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from console.blocking import in_thread
from console.log_tail import LogTail
from console.poller import MOST_HUNG, Poller
from console.state import LONGEST_WAIT, Feed, Trouble, retry_after, trouble_of
from engine.errors import NotPermitted, StoreError, UsageError
from provision.logs import Batch

NOW = datetime(2024, 5, 23, 5, 36, tzinfo=UTC)


def test_a_failed_look_keeps_the_value_with_its_age() -> None:
    good = Feed[int]().succeeded(7, NOW)
    assert (good.is_stale, good.is_down) == (False, False)
    bad = good.failed("no route", NOW + timedelta(seconds=5), 2.0)
    assert (bad.value, bad.age(NOW + timedelta(seconds=9)), bad.error) == (7, 9.0, "no route")
    assert bad.is_down
    assert bad.next_try == NOW + timedelta(seconds=9)
    assert bad.succeeded(8, NOW) == Feed(8, NOW)


def test_nothing_seen_yet_is_stale_but_not_down() -> None:
    assert (Feed[int]().is_stale, Feed[int]().is_down, Feed[int]().age(NOW)) == (True, False, None)


def test_waiting_doubles_up_to_a_minute() -> None:
    assert [retry_after(failures, 2.0) for failures in (0, 1, 2, 5, 50)] == [2.0, 4.0, 8.0, LONGEST_WAIT, LONGEST_WAIT]


async def test_a_poller_tells_of_success_and_failure_and_looks_again_when_poked() -> None:
    answers: list[object] = [1, UsageError("no route", hint="plug it in"), 2]
    told: list[Feed[object]] = []
    heard = asyncio.Event()

    def fetch() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def tell(feed: Feed[object]) -> None:
        told.append(feed)
        heard.set()

    poller = Poller(fetch, tell, lambda: 1000.0, clock=lambda: NOW)
    task = asyncio.create_task(poller.run())
    for _ in range(3):
        await asyncio.wait_for(heard.wait(), 10)
        heard.clear()
        poller.poke()
    task.cancel()
    assert [(feed.value, feed.error) for feed in told] == [(1, ""), (1, "no route -> plug it in"), (2, "")]


async def test_an_answer_to_a_question_that_is_no_longer_asked_is_not_told() -> None:
    told: list[Feed[str]] = []
    asked, may_answer, heard = threading.Event(), threading.Event(), asyncio.Event()
    questions = ["old"]

    def fetch() -> str:
        question = questions[-1]
        asked.set()
        may_answer.wait(10)
        return question

    def tell(feed: Feed[str]) -> None:
        told.append(feed)
        heard.set()

    poller = Poller(fetch, tell, lambda: 1000.0, clock=lambda: NOW)
    task = asyncio.create_task(poller.run())
    assert await asyncio.to_thread(asked.wait, 10)
    questions.append("new")
    poller.forget()
    may_answer.set()
    await asyncio.wait_for(heard.wait(), 10)
    task.cancel()
    assert [feed.value for feed in told] == ["new"]


async def test_a_source_that_does_not_answer_counts_as_down_and_its_late_answer_is_taken() -> None:
    told: list[Feed[int]] = []
    heard, may_answer = asyncio.Event(), threading.Event()

    def fetch() -> int:
        may_answer.wait(10)
        return 7

    def tell(feed: Feed[int]) -> None:
        told.append(feed)
        heard.set()

    poller = Poller(fetch, tell, lambda: 1000.0, clock=lambda: NOW, patience=0.01)
    task = asyncio.create_task(poller.run())
    await asyncio.wait_for(heard.wait(), 10)
    assert (told[-1].trouble, told[-1].is_down) == (Trouble.SILENT, True)
    heard.clear()
    may_answer.set()
    await asyncio.wait_for(heard.wait(), 10)
    task.cancel()
    assert told[-1] == Feed(7, NOW)


async def test_a_person_need_not_wait_for_a_call_that_hangs_and_calls_that_hang_do_not_pile_up() -> None:
    asked, released = threading.Semaphore(0), threading.Event()
    calls: list[int] = []
    heard = asyncio.Event()

    def fetch() -> int:
        calls.append(len(calls))
        number = calls[-1]
        asked.release()
        released.wait(10)
        return number

    poller = Poller(fetch, lambda _feed: heard.set(), lambda: 1000.0, clock=lambda: NOW)
    task = asyncio.create_task(poller.run())
    for _ in range(MOST_HUNG):
        assert await asyncio.to_thread(asked.acquire, timeout=10)
        poller.poke(force=True)
        await asyncio.sleep(0)
    for _ in range(5):
        poller.poke(force=True)
        await asyncio.sleep(0)
    assert len(calls) == MOST_HUNG
    released.set()
    while poller.feed.value is None:
        poller.poke(force=True)
        await asyncio.sleep(0)
    task.cancel()


def test_credentials_that_expired_are_no_dead_link() -> None:
    assert trouble_of(NotPermitted("no access token", hint="gcloud auth application-default login")) is Trouble.REFUSED
    assert trouble_of(StoreError("reset by peer")) is Trouble.LINK
    assert trouble_of(KeyError("x")) is Trouble.BROKEN


async def test_giving_up_on_a_call_does_not_wait_for_it() -> None:
    hangs = threading.Event()
    task = asyncio.create_task(in_thread(lambda: hangs.wait(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    hangs.set()


async def test_an_error_in_the_thread_comes_to_whoever_waits() -> None:
    def fails() -> None:
        raise UsageError("no such run")

    with pytest.raises(UsageError, match="no such run"):
        await in_thread(fails)


def test_the_tail_follows_one_thing_at_a_time_and_says_why_it_stopped() -> None:
    seen: list[str] = []
    reasons: list[str] = []
    heard = threading.Semaphore(0)

    def batches(name: str) -> AsyncIterator[Batch]:
        async def make() -> AsyncIterator[Batch]:
            yield Batch(reason=name)
            if name == "broken":
                raise UsageError("the link is gone")
            await asyncio.Event().wait()

        return make()

    def tell(batch: Batch) -> None:
        seen.append(batch.reason)
        heard.release()

    def failed(reason: str) -> None:
        reasons.append(reason)
        heard.release()

    tail = LogTail(tell, failed)
    tail.follow(lambda: batches("first"))
    assert heard.acquire(timeout=10)
    tail.follow(lambda: batches("broken"))
    assert heard.acquire(timeout=10)
    assert heard.acquire(timeout=10)
    tail.stop()
    assert (seen, reasons) == (["first", "broken"], ["the link is gone"])
