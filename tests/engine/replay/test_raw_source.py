"""The vendor's client, tamed: a scripted server answers for each minute, and the hour ends in what its answers deserve."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from engine.errors import ConfigurationError, EngineError, ExitCode, NotPermitted, SourceError, UsageError
from engine.replay.raw_feed import DamagedHour, read_feed, select
from engine.replay.raw_source import FeedNotReady, RawSource, endpoint_of

# A request that is cancelled while the client opens its file leaves that file to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file .*unconfirmed:ResourceWarning")

HOUR = datetime(2024, 5, 2, 8, tzinfo=UTC)
SELECTION = select(["trade"], ["btcusdt", "ethusdt"])
KEY = "TD.a-key-of-this-test"
Answer = Callable[[int], web.Response]
Handle = Callable[[int], Awaitable[web.Response]]


def line(minute: int) -> bytes:
    return b'2024-05-02T08:%02d:30.1234567Z {"n": %d, "x": 1.10}\n' % (minute, minute)


def packed(text: bytes) -> web.Response:
    return web.Response(body=gzip.compress(text), headers={"Content-Encoding": "gzip"})


def good(minute: int) -> web.Response:
    return packed(line(minute))


def refused(status: int, message: str) -> Answer:
    return lambda _minute: web.json_response({"code": 1, "message": message}, status=status)


def except_minute(which: int, answer: Answer) -> Answer:
    return lambda minute: answer(minute) if minute == which else good(minute)


@dataclass
class Scripted:
    """What the server was asked, and the source that asks it."""

    source: RawSource
    folder: Path
    asked: Counter[int] = field(default_factory=Counter)
    seen: list[web.Request] = field(default_factory=list)
    retries: list[str] = field(default_factory=list)

    async def fetch(self) -> list[bytes | None]:
        feed = await self.source.fetch("binance", SELECTION, HOUR)
        return [found.message for found in read_feed(feed.path)]


@asynccontextmanager
async def scripted(folder: Path, answer: Answer | Handle, *, deadline: float = 30.0, key: str = KEY) -> AsyncIterator[Scripted]:
    async def handle(request: web.Request) -> web.StreamResponse:
        minute = int(request.query["offset"])
        script.asked[minute] += 1
        script.seen.append(request)
        answered = answer(minute)
        return answered if isinstance(answered, web.Response) else await answered

    app = web.Application()
    app.router.add_get("/v1/data-feeds/binance", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    retries: list[str] = []
    source = RawSource(api_url=f"http://{host}:{port}/v1", api_key=key, folder=folder, deadline=deadline, on_retry=retries.append)
    script = Scripted(source, folder, retries=retries)
    try:
        yield script
    finally:
        await runner.cleanup()


async def test_an_hour_is_sixty_requests_and_the_lines_come_unchanged(tmp_path: Path) -> None:
    async with scripted(tmp_path, good) as script:
        feed = await script.source.fetch("binance", SELECTION, HOUR)
    assert gzip.decompress(feed.path.read_bytes()) == b"".join(map(line, range(60)))
    assert script.asked == Counter(range(60))
    assert [path.name for path in tmp_path.iterdir()] == [feed.path.name], "the cache is still there"
    request = script.seen[0]
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.query["from"] == "2024-05-02T08:00:00"
    assert json.loads(request.query["filters"]) == [{"channel": "trade", "symbols": ["btcusdt", "ethusdt"]}]


async def test_without_a_key_none_is_sent(tmp_path: Path) -> None:
    async with scripted(tmp_path, good, key="") as script:
        await script.source.fetch("binance", SELECTION, HOUR)
    assert {request.headers["Authorization"] for request in script.seen} == {""}


async def test_empty_lines_and_silent_minutes_are_kept_as_they_are(tmp_path: Path) -> None:
    answers = {0: b"\n" + line(0), 1: line(1) + b"\n\n", 2: b"", 3: b"\n"}
    async with scripted(tmp_path, lambda minute: packed(answers.get(minute, b""))) as script:
        found = await script.fetch()
    assert [None if message is None else json.loads(message)["n"] for message in found] == [None, 0, 1, None, None, None]


@pytest.mark.parametrize(
    ("answer", "kind", "code", "says"),
    [
        (refused(401, "bad key"), NotPermitted, ExitCode.NOT_PERMITTED, "bad key"),
        (refused(403, "not in your plan"), NotPermitted, ExitCode.NOT_PERMITTED, "not in your plan"),
        (refused(400, "Invalid 'channel' filter"), UsageError, ExitCode.USAGE, "Invalid 'channel' filter"),
        (refused(400, "data is not available yet"), FeedNotReady, ExitCode.TEMPORARY, "not available yet"),
        (refused(404, "unknown exchange"), UsageError, ExitCode.USAGE, "unknown exchange"),
    ],
)
async def test_a_final_refusal_ends_the_hour_at_once(
    tmp_path: Path, answer: Answer, kind: type[EngineError], code: ExitCode, says: str
) -> None:
    async with scripted(tmp_path, answer) as script:
        with pytest.raises(kind, match=says) as caught:
            await script.source.fetch("binance", SELECTION, HOUR)
    assert caught.value.exit_code is code
    assert caught.value.hint
    assert KEY not in str(caught.value)
    assert max(script.asked.values()) == 1, "a refusal was asked for again"
    assert not [path for path in tmp_path.rglob("*") if path.suffix != ".gz"], "the cache is still there"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda _minute: web.Response(body=b""), "empty body"),
        (lambda _minute: web.Response(text="<!DOCTYPE html><title>Just a moment</title>", content_type="text/html"), "whole gzip"),
        (lambda minute: web.Response(body=gzip.compress(line(minute) * 50)[:-12]), "whole gzip"),
        (lambda minute: web.Response(body=gzip.compress(line(minute))[:-8] + b"\0" * 8), "whole gzip"),
        (lambda minute: packed(line(minute)[:-5]), "breaks off"),
        (lambda _minute: packed(line(1).replace(b"T08", b"T09")), "no time of that hour"),
    ],
    ids=["zero bytes", "web page", "cut gzip", "bad checksum", "half a line", "another hour"],
)
async def test_one_answer_that_is_not_whole_damages_the_hour(tmp_path: Path, answer: Answer, says: str) -> None:
    async with scripted(tmp_path, except_minute(17, answer)) as script:
        with pytest.raises(DamagedHour, match=says) as caught:
            await script.source.fetch("binance", SELECTION, HOUR)
    assert caught.value.exit_code is ExitCode.PARTIAL
    assert not list(tmp_path.rglob("*/*")), "the cache is still there"


async def test_a_busy_source_is_asked_again_and_the_reason_is_heard(tmp_path: Path) -> None:
    failures = iter([503])

    def answer(minute: int) -> web.Response:
        status = next(failures, 200) if minute == 3 else 200
        return good(minute) if status == 200 else refused(status, "try later")(minute)

    async with scripted(tmp_path, answer) as script:
        found = await script.fetch()
    assert len(found) == 60
    assert script.asked[3] == 2
    assert script.retries == ["HTTP 503: try later"]


async def test_a_key_in_use_elsewhere_is_not_final(tmp_path: Path) -> None:
    failures = iter([403])

    def answer(minute: int) -> web.Response:
        status = next(failures, 200) if minute == 3 else 200
        return good(minute) if status == 200 else refused(status, "API key is already in use from another IP address")(minute)

    async with scripted(tmp_path, answer) as script:
        assert len(await script.fetch()) == 60


async def test_an_hour_that_takes_too_long_fails_and_leaves_no_request_behind(tmp_path: Path) -> None:
    async with scripted(tmp_path, refused(503, "try later"), deadline=0.5) as script:
        with pytest.raises(SourceError, match="not complete within"):
            await script.source.fetch("binance", SELECTION, HOUR)
        assert _fetching() == []


@pytest.mark.parametrize("busy", [True, False], ids=["between two tries", "inside a request"])
async def test_cancelling_ends_every_request(tmp_path: Path, busy: bool) -> None:
    all_asked = asyncio.Event()

    async def handle(minute: int) -> web.Response:
        if len(script.asked) == 60:
            all_asked.set()
        if not busy:
            await asyncio.sleep(600)
        return refused(503, "try later")(minute)

    async with scripted(tmp_path, handle) as script:
        task = asyncio.create_task(script.source.fetch("binance", SELECTION, HOUR))
        await all_asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert _fetching() == []
        assert script.asked == Counter(range(60))
    assert not list(tmp_path.rglob("*/*")), "the cache is still there"


def _fetching() -> list[str]:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return [name for task in others if "fetch" in (name := getattr(task.get_coro(), "__qualname__", ""))]


async def test_nothing_that_the_client_logs_gets_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from tardis_client import TardisClient

    with caplog.at_level(logging.DEBUG):
        for name in ("tardis_client.tardis_client", "tardis_client.data_downloader"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        try:
            async with scripted(tmp_path, good) as script:
                await script.source.fetch("binance", SELECTION, HOUR)
                TardisClient(api_key=KEY)
        finally:
            for name in ("tardis_client.tardis_client", "tardis_client.data_downloader"):
                logging.getLogger(name).setLevel(logging.NOTSET)
    assert not [record for record in caplog.records if record.name.startswith("tardis_client")]
    assert KEY not in caplog.text


def test_the_address_of_the_api_has_its_version(tmp_path: Path) -> None:
    assert endpoint_of("https://api.tardis.dev/v1/") == "https://api.tardis.dev"
    with pytest.raises(ConfigurationError, match="/v1"):
        RawSource(api_url="https://api.tardis.dev", api_key="", folder=tmp_path, deadline=1)
