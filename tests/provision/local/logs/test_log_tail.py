"""TailLogEntries: what a session gets, what it is told it did not get, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.api_core.exceptions import GoogleAPICallError, InvalidArgument, ResourceExhausted, ServiceUnavailable
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2AsyncClient
from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcAsyncIOTransport
from google.cloud.logging_v2.types import TailLogEntriesRequest


class Tail:
    """One open session."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self._responses = aiter(call)

    async def response(self) -> Any:
        return await asyncio.wait_for(anext(self._responses), 10)

    async def ids(self, count: int) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            found += [entry.insert_id for entry in (await self.response()).entries]
        return found


@pytest.fixture
async def open_tail(logs: Any) -> AsyncIterator[Any]:
    channel = grpc.aio.insecure_channel(
        f"127.0.0.1:{logs.server.ports['grpc']}",
        options=[("grpc.enable_http_proxy", 0), ("grpc.http2.lookahead_bytes", 1024)],
    )
    client = LoggingServiceV2AsyncClient(transport=LoggingServiceV2GrpcAsyncIOTransport(channel=channel))

    @asynccontextmanager
    async def opened(query: str = "", window: float = 0.0, **values: Any) -> AsyncIterator[Tail]:
        async def requests() -> AsyncIterator[TailLogEntriesRequest]:
            request = {"resource_names": [logs.name], "filter": query, "buffer_window": timedelta(seconds=window)}
            yield TailLogEntriesRequest(request | values)
            await asyncio.Event().wait()

        call = await client.tail_log_entries(requests=requests(), retry=None)
        await call.initial_metadata()
        try:
            yield Tail(call)
        finally:
            call.cancel()

    yield opened
    await channel.close()


async def write(logs: Any, *entries: Any, **values: Any) -> None:
    await asyncio.to_thread(logs.write, *entries, **values)


async def test_a_session_gets_new_matching_entries_of_its_project_and_nothing_older(logs: Any, open_tail: Any) -> None:
    await write(logs, logs.entry("old", text_payload="x", severity=500))
    async with open_tail("severity>=WARNING") as tail:
        await write(logs, logs.entry("info", text_payload="x", severity=200))
        await write(logs, logs.entry("elsewhere", text_payload="x", severity=500, log_name="projects/other/logs/x"))
        await write(logs, logs.entry("first", text_payload="x", severity=500))
        await write(logs, logs.entry("first", text_payload="again", severity=500))
        await write(logs, logs.entry("second", text_payload="x", severity=400))
        assert await tail.ids(2) == ["first", "second"]


async def test_a_window_brings_late_entries_into_order(logs: Any, open_tail: Any) -> None:
    async with open_tail(window=1.5) as tail:
        for name in ("c", "a", "b"):
            await write(logs, logs.entry(name, ord(name), text_payload="x"))
        response = await tail.response()
        assert [entry.insert_id for entry in response.entries] == ["a", "b", "c"]


async def test_a_client_that_does_not_read_is_told_how_many_entries_it_lost(logs: Any, open_tail: Any) -> None:
    body = "x" * (100 << 10)
    sent = 0
    async with open_tail() as tail:
        for _ in range(12):
            batch = [logs.entry(f"{sent + n:04d}", sent + n, text_payload=body) for n in range(50)]
            await write(logs, *batch)
            sent += len(batch)
        received = suppressed = 0
        while received + suppressed < sent:
            response = await tail.response()
            received += len(response.entries)
            for info in response.suppression_info:
                assert info.reason.name == "NOT_CONSUMED"
                suppressed += info.suppressed_count
        assert received + suppressed == sent
        assert suppressed > 0


async def test_entries_beyond_the_quota_are_suppressed_and_counted(logs: Any, open_tail: Any) -> None:
    logs.arm("tail-quota", per_minute=5)
    async with open_tail() as tail:
        await write(logs, *(logs.entry(f"{n}", n, text_payload="x") for n in range(8)))
        response = await tail.response()
        assert [entry.insert_id for entry in response.entries] == list("01234")
        assert [(info.reason.name, info.suppressed_count) for info in response.suppression_info] == [("RATE_LIMIT", 3)]


async def test_a_cut_ends_open_sessions_and_the_next_one_works(logs: Any, open_tail: Any) -> None:
    async with open_tail() as tail, open_tail() as other:
        await asyncio.to_thread(logs.arm, "cut-tail", count=2)
        for session in (tail, other):
            with pytest.raises(ServiceUnavailable):
                await session.response()
    async with open_tail() as tail:
        await write(logs, logs.entry("a", text_payload="x"))
        assert await tail.ids(1) == ["a"]


async def test_the_eleventh_session_of_a_project_is_refused(logs: Any, open_tail: Any) -> None:
    async with AsyncExitStack() as sessions:
        for _ in range(9):
            await sessions.enter_async_context(open_tail())
        last = await sessions.enter_async_context(open_tail())
        refused = await sessions.enter_async_context(open_tail())
        with pytest.raises(ResourceExhausted, match="live-tailing"):
            await refused.response()
        await sessions.enter_async_context(open_tail(resource_names=["projects/another"]))
        await write(logs, logs.entry("a", text_payload="x"))
        assert await last.ids(1) == ["a"]


@pytest.mark.parametrize(
    "values",
    [{"filter": "a OR"}, {"resource_names": []}, {"buffer_window": timedelta(seconds=61)}],
)
async def test_a_malformed_session_is_refused(open_tail: Any, values: dict[str, Any]) -> None:
    with pytest.raises(GoogleAPICallError) as refused:
        async with open_tail(**values) as tail:
            await tail.response()
    assert isinstance(refused.value, InvalidArgument)
