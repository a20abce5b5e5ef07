"""The source's client against a scripted server: what each answer leads to, and how many requests it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date

import pytest
from aiohttp import web

from engine.errors import NotPermitted
from engine.model import Cell, File, Outcome
from engine.source import Fetched, Source, dataset_path
from engine.spool import Spool
from engine.throttle import Throttle
from provision.local.serving import listen

BODY = bytes(range(256)) * 400
FILE = File(Cell(date(2024, 5, 17), "trades", "binance"), "BTCUSDT")
ETAG = '"v1"'

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Script:
    """Answers in order; the last one goes on for ever. Remembers what was asked."""

    answers: list[Answer] = field(default_factory=list)
    seen: list[web.Request] = field(default_factory=list)
    free_day: Answer | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        if self.free_day is not None and "/2024/05/01/" in request.path:
            return await self.free_day(request)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return await answer(request)


@pytest.fixture
async def script() -> AsyncIterator[tuple[Script, str]]:
    scripted = Script()
    app = web.Application()
    app.router.add_get("/{path:.*}", scripted.handle)
    runner, port = await listen(app)
    yield scripted, f"http://127.0.0.1:{port}/v1"
    await runner.cleanup()


async def fetch(
    url: str, *, deadline: float = 20.0, silence: float = 5.0, attempts: int = 4, throttle: Throttle | None = None
) -> tuple[Fetched, bytes]:
    settings = {"attempts": attempts, "backoff_cap": 0.05, "silence_seconds": silence}
    with closing(Spool(memory_bytes=1 << 20)) as spool:
        async with Source(datasets_url=url, api_key="k", throttle=throttle, **settings) as source:  # type: ignore[arg-type]
            fetched = await source.fetch(FILE, spool, deadline=deadline)
        return fetched, spool.read_all()


def status(code: int, text: str = "", **headers: str) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=code, text=text, headers={key.replace("_", "-"): value for key, value in headers.items()})

    return answer


async def whole(request: web.Request) -> web.Response:
    wanted = request.headers.get("Range")
    if wanted and request.headers.get("If-Range") == ETAG:
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        headers = {"Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}", "ETag": ETAG}
        return web.Response(status=206, body=BODY[start:], headers=headers)
    return web.Response(body=BODY, headers={"ETag": ETAG})


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(BODY)), "ETag": ETAG})
    await response.prepare(request)
    await response.write(BODY[: len(BODY) // 2])
    assert request.transport is not None
    await asyncio.sleep(0)
    request.transport.close()
    return response


async def stall(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(BODY))})
    await response.prepare(request)
    await response.write(BODY[:100])
    await asyncio.sleep(60)
    return response


async def test_a_whole_body_takes_one_request(script: tuple[Script, str]) -> None:
    scripted, url = script
    scripted.answers = [whole]
    fetched, body = await fetch(url)
    assert (fetched.outcome, fetched.requests, body) == (None, 1, BODY)
    assert scripted.seen[0].path == "/v1/" + dataset_path(FILE) == "/v1/binance/trades/2024/05/17/BTCUSDT.csv.gz"
    assert scripted.seen[0].headers["Authorization"] == "Bearer k"


async def test_a_body_that_breaks_off_is_resumed_by_range(script: tuple[Script, str]) -> None:
    scripted, url = script
    scripted.answers = [cut, whole]
    fetched, body = await fetch(url)
    assert (fetched.outcome, fetched.requests, body) == (None, 2, BODY)
    assert scripted.seen[1].headers["If-Range"] == ETAG


async def test_a_body_that_changed_meanwhile_is_taken_from_the_start(script: tuple[Script, str]) -> None:
    scripted, url = script

    async def other(_request: web.Request) -> web.Response:
        return web.Response(body=BODY[::-1], headers={"ETag": '"v2"'})

    scripted.answers = [cut, other]
    fetched, body = await fetch(url)
    assert (fetched.outcome, body) == (None, BODY[::-1])


async def test_a_body_that_always_breaks_off_fails_after_the_attempts(script: tuple[Script, str]) -> None:
    scripted, url = script

    async def nothing(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        assert request.transport is not None
        request.transport.close()
        return response

    scripted.answers = [nothing]
    fetched, _ = await fetch(url)
    assert (fetched.outcome, fetched.reason, fetched.requests) == (Outcome.FAILED, "short_body", 4)
    assert len(scripted.seen) == 4


@pytest.mark.parametrize(
    ("code", "outcome", "reason", "requests"),
    [
        (404, Outcome.NOT_FOUND, "http_404", 1),
        (400, Outcome.FAILED, "http_400", 1),
        (500, Outcome.FAILED, "http_5xx", 4),
        (503, Outcome.FAILED, "http_5xx", 4),
        (418, Outcome.FAILED, "unexpected_status", 1),
    ],
)
async def test_each_status_has_its_outcome_and_number_of_requests(
    script: tuple[Script, str], code: int, outcome: Outcome, reason: str, requests: int
) -> None:
    scripted, url = script
    scripted.answers = [status(code, "why")]
    fetched, _ = await fetch(url)
    assert (fetched.outcome, fetched.reason, fetched.requests, fetched.status) == (outcome, reason, requests, code)
    assert len(scripted.seen) == requests


async def test_401_stops_the_run_at_once(script: tuple[Script, str]) -> None:
    scripted, url = script
    scripted.answers = [status(401, "bad key")]
    with pytest.raises(NotPermitted, match="401"):
        await fetch(url)
    assert len(scripted.seen) == 1


async def test_403_with_a_served_free_day_is_this_file_only(script: tuple[Script, str]) -> None:
    scripted, url = script
    scripted.answers, scripted.free_day = [status(403, "no")], whole
    fetched, _ = await fetch(url)
    assert (fetched.outcome, fetched.requests) == (Outcome.NOT_ENTITLED, 2)


async def test_403_that_nobody_explains_stops_the_run_the_third_time(script: tuple[Script, str]) -> None:
    scripted, url = script
    scripted.answers = [status(403, "no")]
    with closing(Spool(memory_bytes=1000)) as spool:
        async with Source(datasets_url=url, api_key="k", backoff_cap=0.05) as source:
            for _ in range(2):
                assert (await source.fetch(FILE, spool, deadline=5)).outcome is Outcome.NOT_ENTITLED
            with pytest.raises(NotPermitted, match="in a row"):
                await source.fetch(FILE, spool, deadline=5)


async def test_403_about_the_address_pauses_everybody(script: tuple[Script, str]) -> None:
    scripted, url = script
    scripted.answers = [status(403, "API key is already in use from another IP address")]
    throttle = Throttle()
    fetched, _ = await fetch(url, deadline=1.0, throttle=throttle)
    assert (fetched.outcome, fetched.reason) == (Outcome.FAILED, "deadline")
    assert "another IP" in throttle.reason
    assert len(scripted.seen) == 1


async def test_429_waits_as_told_and_counts_no_attempt(script: tuple[Script, str]) -> None:
    scripted, url = script
    scripted.answers = [*[status(429, "slow down", Retry_After="0.05")] * 6, whole]
    throttle = Throttle()
    fetched, body = await fetch(url, attempts=2, throttle=throttle)
    assert (fetched.outcome, body) == (None, BODY)
    assert fetched.requests == len(scripted.seen) == 7
    assert throttle.hits == 6


async def test_silence_is_a_stall_and_is_tried_again(script: tuple[Script, str]) -> None:
    scripted, url = script
    scripted.answers = [stall, whole]
    fetched, body = await fetch(url, silence=0.3)
    assert (fetched.outcome, fetched.requests, body) == (None, 2, BODY)


async def test_nobody_listening_is_a_failure_with_its_reason() -> None:
    fetched, _ = await fetch("http://127.0.0.1:9/v1")
    assert (fetched.outcome, fetched.reason, fetched.requests) == (Outcome.FAILED, "connection", 4)


async def test_the_deadline_of_a_file_bounds_all_its_tries(script: tuple[Script, str]) -> None:
    scripted, url = script
    scripted.answers = [stall]
    fetched, _ = await fetch(url, deadline=0.5)
    assert (fetched.outcome, fetched.reason) == (Outcome.FAILED, "deadline")
