"""Transient faults: what a client sees, and that each strike is counted and then over."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import zlib
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

PATH = "/v1/binance/trades/2024/05/02/BTCUSDT.csv.gz"


async def _whole_again(source: Any, struck: str) -> None:
    assert gzip.decompress((await source.get(PATH)).body)
    faults = (await source.json("/_tickdeck/faults"))["faults"]
    assert [(fault["fault"], fault["struck"]) for fault in faults] == [(struck, 1)]
    assert (await source.json("/_tickdeck/requests"))["faults"] == {struck: 1}


async def test_a_status_comes_with_its_retry_after(start: Any) -> None:
    source = await start()
    await source.arm(fault="status", status=503, retry_after=7, count=1, match="BTCUSDT")
    reply = await source.get(PATH)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "7")
    assert set(json.loads(reply.body)) == {"code", "message"}
    await _whole_again(source, "status")


async def test_a_burst_of_429_begins_and_ends_by_count(start: Any) -> None:
    source = await start()
    await source.arm(fault="burst_429", after_requests=2, count=3, retry_after=1, match=".csv.gz")
    assert [(await source.get(PATH)).status for _ in range(7)] == [200, 200, 429, 429, 429, 200, 200]
    assert (await source.json("/_tickdeck/requests"))["faults"] == {"burst_429": 3}


async def test_a_truncated_body_ends_short_of_its_length(start: Any) -> None:
    source = await start()
    await source.arm(fault="truncated_body", share=0.25, count=1)
    with pytest.raises(aiohttp.ClientPayloadError):
        await source.get(PATH)
    size = len((await source.get(PATH)).body)
    entry = (await source.json("/_tickdeck/requests"))["requests"][0]
    assert (entry["status"], entry["bytes"], entry["fault"]) == (200, size // 4, "truncated_body")
    await _whole_again(source, "truncated_body")


async def test_a_corrupt_body_differs_in_one_byte(start: Any) -> None:
    source = await start()
    await source.arm(fault="corrupt", count=1)
    spoilt, good = (await source.get(PATH)).body, (await source.get(PATH)).body
    assert sum(a != b for a, b in zip(spoilt, good, strict=True)) == 1
    with pytest.raises((zlib.error, gzip.BadGzipFile, EOFError)):
        gzip.decompress(spoilt)


def _ask_once(url: str) -> int:
    """One request and no more: aiohttp's client asks a second time by itself when a connection ends without an answer."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    try:
        connection.request("GET", PATH, headers={"Authorization": "Bearer right-key"})
        return connection.getresponse().status
    finally:
        connection.close()


async def test_a_reset_ends_the_connection_without_an_answer(start: Any) -> None:
    source = await start()
    await source.arm(fault="reset", count=1, match=PATH)
    with pytest.raises(ConnectionResetError) as raised:
        await asyncio.to_thread(_ask_once, source.url)
    assert raised.type is ConnectionResetError  # from the kernel, not RemoteDisconnected
    await _whole_again(source, "reset")


async def test_a_lost_reply_ends_the_connection_without_an_answer(start: Any) -> None:
    source = await start()
    await source.arm(fault="lost_reply", count=1, match=PATH)
    with pytest.raises(http.client.RemoteDisconnected):
        await asyncio.to_thread(_ask_once, source.url)
    await _whole_again(source, "lost_reply")


async def test_a_stall_is_silence_in_the_middle_and_holds_up_nobody_else(start: Any) -> None:
    source = await start()
    await source.get(PATH)
    await source.arm(fault="stall", seconds=3600, count=1, match="BTCUSDT")
    async with source.session.get(source.url + PATH, headers={"Authorization": "Bearer right-key"}) as response:
        promised = int(response.headers["Content-Length"])
        assert len(await response.content.readexactly(promised // 2)) == promised // 2
        pending = asyncio.ensure_future(response.content.readexactly(promised - promised // 2))
        assert len((await source.get(PATH)).body) == promised
        assert not pending.done()
        pending.cancel()


async def test_a_slow_body_arrives_whole(start: Any) -> None:
    source = await start()
    size = len((await source.get(PATH)).body)
    await source.arm(fault="slow", bytes_per_second=size * 4, count=1)
    assert gzip.decompress((await source.get(PATH)).body)


async def test_a_key_in_use_strikes_only_who_carries_one(start: Any) -> None:
    source = await start()
    free = "/v1/binance/trades/2024/05/01/BTCUSDT.csv.gz"
    await source.arm(fault="key_in_use", count=1)
    assert (await source.get(free, key=None)).status == 200
    reply = await source.get(free)
    assert reply.status == 403
    assert "another IP address" in json.loads(reply.body)["message"]
    assert (await source.get(free)).status == 200


async def test_faults_strike_the_catalogue_too(start: Any) -> None:
    source = await start()
    await source.arm(fault="status", status=500, count=1, match="/v1/exchanges")
    assert (await source.get("/v1/exchanges")).status == 500
    assert (await source.get("/v1/exchanges")).status == 200


async def test_the_demo_arms_its_faults_when_it_starts(start: Any) -> None:
    source = await start("demo")
    faults = (await source.json("/_tickdeck/faults"))["faults"]
    assert [fault["fault"] for fault in faults] == ["burst_429", "truncated_body", "truncated_body"]
    assert (faults[0]["retry_after"], faults[0]["count"], faults[0]["skip"]) == (1, 8, 60)


async def test_a_client_that_goes_away_leaves_the_server_well_and_an_entry(start: Any) -> None:
    source = await start()
    await source.arm(fault="slow", bytes_per_second=2000, count=1)
    async with source.session.get(source.url + PATH, headers={"Authorization": "Bearer right-key"}) as response:
        await response.content.readexactly(10)
        response.close()
    told: dict[str, Any] = {"count": 0}
    while told["count"] == 0:
        told = await source.json("/_tickdeck/requests")
    assert told["requests"][0]["fault"] == "slow"
    assert (await source.get(PATH)).status == 200
