"""Raw feeds of the stand-in over the wire: slices, their headers, who may have them, and what they look like."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from provision.local.tardis.loading import load_scenario
from provision.local.tardis.native import CHANNELS
from provision.local.tardis.scenario import IncidentSpec

HOUR = "2024-05-02T08:00:00"
LINE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z [{\[].*[}\]]")


def feed(venue: str = "binance", *, start: str = HOUR, offset: int = 0, filters: Any = None, **more: object) -> str:
    query = f"from={start}&offset={offset}" + "".join(f"&{name}={value}" for name, value in more.items())
    if filters is not None:
        query += f"&filters={quote(json.dumps(filters))}"
    return f"/v1/data-feeds/{venue}?{query}"


async def slice_of(source: Any, path: str, **options: Any) -> bytes:
    reply = await source.get(path, Accept_Encoding="gzip", **options)
    assert reply.status == 200, reply.body
    assert reply.headers["Content-Encoding"] == "gzip"
    return gzip.decompress(reply.body)


async def test_a_slice_is_the_lines_of_one_minute_in_the_order_of_their_arrival(start: Any) -> None:
    source = await start()
    lines = [line for offset in range(60) for line in (await slice_of(source, feed(offset=offset))).splitlines()]
    messages = [line for line in lines if line]
    assert all(LINE.fullmatch(line) for line in messages)
    assert messages == sorted(messages)
    assert {line[:14] for line in messages} == {b"2024-05-02T08:"}
    assert {line[14:16] for line in messages} == {f"{minute:02d}".encode() for minute in range(60)}
    assert any(not line for line in lines), "the collector never lost its connection"
    assert any(line[26:27] != b"0" for line in messages), "no time has a seventh digit"


async def test_a_minute_is_the_same_bytes_whoever_asks_and_however(start: Any, tmp_path: Path) -> None:
    one, other = await start(), await start(root=tmp_path / "other")
    first = await one.get(feed(offset=7), Accept_Encoding="gzip")
    assert first.body == (await other.get(feed(start="2024-05-02T08:07:00.000Z"), Accept_Encoding="gzip")).body
    assert first.headers["x-slice-size"] == "1"
    assert first.body != (await one.get(feed(offset=8), Accept_Encoding="gzip")).body


async def test_several_minutes_come_in_one_slice_where_there_are_filters(start: Any) -> None:
    source = await start()
    filters = [{"channel": "trade", "symbols": ["btcusdt"]}]
    reply = await source.get(feed(filters=filters, sliceSize=3), Accept_Encoding="gzip")
    assert (reply.headers["x-slice-size"], int(reply.headers["x-suggested-slice-size"]) >= 1) == ("3", True)
    single = [await slice_of(source, feed(offset=offset, filters=filters)) for offset in range(3)]
    assert gzip.decompress(reply.body) == b"".join(single)
    assert (await source.get(feed(sliceSize=3), Accept_Encoding="gzip")).status == 400
    assert (await source.get(feed(filters=filters, sliceSize=11), Accept_Encoding="gzip")).status == 400


async def test_filters_choose_channels_and_symbols_and_no_symbols_means_all(start: Any) -> None:
    source = await start()

    async def streams(filters: Any) -> set[str]:
        found = set()
        for offset in range(5):
            for line in (await slice_of(source, feed(offset=offset, filters=filters))).splitlines():
                if line:
                    found.add(json.loads(line[29:])["stream"])
        return found

    assert await streams([{"channel": "trade", "symbols": ["btcusdt"]}]) == {"btcusdt@trade"}
    assert await streams([{"channel": "trade", "symbols": []}]) == {"btcusdt@trade", "pepeusdt@trade"}
    both = await streams([{"channel": "trade"}, {"channel": "depth", "symbols": ["pepeusdt"]}])
    assert both == {"btcusdt@trade", "pepeusdt@trade", "pepeusdt@depth@100ms"}
    assert {stream.split("@")[1] for stream in await streams(None)} >= {"trade", "aggTrade", "depth", "bookTicker"}


@pytest.mark.parametrize("venue", ["binance", "binance-futures", "deribit", "okex-swap"])
async def test_every_channel_of_the_catalogue_has_messages(start: Any, venue: str) -> None:
    source = await start("demo", denied=())
    offered = (await source.json(f"/v1/exchanges/{venue}"))["availableChannels"]
    assert offered == [channel.name for channel in CHANNELS[venue]]
    for name in offered:
        texts = [await slice_of(source, feed(venue, offset=offset, filters=[{"channel": name}])) for offset in range(30)]
        messages = [json.loads(line[29:]) for line in b"".join(texts).splitlines() if line]
        assert messages, name


async def test_update_ids_of_a_book_are_without_gaps_over_minutes(start: Any) -> None:
    source = await start()
    filters = [{"channel": "depth", "symbols": ["btcusdt"]}]
    lines = [line for offset in range(10) for line in (await slice_of(source, feed(offset=offset, filters=filters))).splitlines()]
    updates = [json.loads(line[29:])["data"] for line in lines if line]
    assert all(later["U"] == earlier["u"] + 1 for earlier, later in pairwise(updates))
    assert all(update["U"] <= update["u"] for update in updates)


async def test_no_message_comes_in_an_incident(start: Any) -> None:
    scenario = load_scenario("tiny")
    gap = IncidentSpec(datetime(2024, 5, 2, 8, 1, 30, tzinfo=UTC), datetime(2024, 5, 2, 8, 4, tzinfo=UTC), "collector restarted")
    venues = tuple(replace(venue, incidents=(gap,)) if venue.id == "binance" else venue for venue in scenario.venues)
    source = await start(replace(scenario, venues=venues))
    assert [await slice_of(source, feed(offset=offset)) for offset in (2, 3)] == [b"\n", b"\n"]
    before = (await slice_of(source, feed(offset=1))).splitlines()
    assert before[0] == b""
    assert before[1:]
    assert max(before) < b"2024-05-02T08:01:30"


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        (feed("nowhere"), 404, "nowhere"),
        (feed(start="yesterday"), 400, "ISO 8601 format"),
        (feed(start="2024-05-02T08:00:00+00:00"), 400, "ISO 8601 format"),
        (feed(filters=[{"channel": "trades"}]), 400, "trades"),
        (feed(filters=[{"channel": "trade", "symbols": ["BTCUSDT"]}]), 400, "BTCUSDT"),
        (feed(filters={"channel": "trade"}), 400, "filters"),
        ("/v1/data-feeds/binance?from=2024-05-02&offset=-1", 400, "offset"),
        (feed(start="2019-03-29"), 400, "2019-03-30"),
    ],
)
async def test_what_cannot_be_meant_is_refused_in_the_words_of_the_api(start: Any, path: str, status: int, says: str) -> None:
    source = await start()
    reply = await source.get(path, Accept_Encoding="gzip")
    assert reply.status == status
    error = json.loads(reply.body)
    assert set(error) == {"code", "message"}
    assert says in error["message"]


async def test_the_key_rules_are_those_of_files(start: Any) -> None:
    source = await start(denied=("deribit/*",))
    for venue, start_day, key, status in [
        ("binance", "2024-05-01", None, 200),
        ("binance", "2024-05-02", None, 401),
        ("binance", "2024-05-01", "wrong", 401),
        ("deribit", "2024-05-02", "right-key", 403),
        ("deribit", "2024-05-01", "right-key", 200),
    ]:
        reply = await source.get(feed(venue, start=start_day), key=key, Accept_Encoding="gzip")
        assert reply.status == status, (venue, start_day, key)


async def test_a_minute_can_be_asked_for_a_quarter_of_an_hour_after_its_end(start: Any) -> None:
    source = await start()
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    for minutes, status in ((17, 200), (14, 400)):
        moment = now - timedelta(minutes=minutes)
        reply = await source.get(feed(start=f"{moment:%Y-%m-%dT%H:%M:%S}"), Accept_Encoding="gzip")
        assert reply.status == status
    assert "not available yet" in json.loads(reply.body)["message"]


async def test_a_client_that_takes_no_gzip_is_refused(start: Any) -> None:
    source = await start()
    assert (await source.get(feed(), Accept_Encoding="identity")).status == 400


async def test_slices_are_logged_with_their_minute_and_struck_by_faults_on_it(start: Any) -> None:
    source = await start()
    await source.arm(fault="burst_429", match="offset=5", count=1, retry_after=7)
    struck = await source.get(feed(offset=5), Accept_Encoding="gzip")
    assert (struck.status, struck.headers["Retry-After"]) == (429, "7")
    assert (await source.get(feed(offset=5), Accept_Encoding="gzip")).status == 200
    assert (await source.get(feed(offset=4), Accept_Encoding="gzip")).status == 200
    seen = await source.json("/_tickdeck/requests?path=data-feeds")
    assert [(row["status"], "offset=5" in row["path"]) for row in seen["requests"]] == [(429, True), (200, True), (200, False)]
    assert all(row["keyed"] and row["bytes"] for row in seen["requests"])


@pytest.mark.parametrize(("venue", "session"), [("binance", "BINANCE"), ("binance-futures", "BINANCE_FUTURES"), ("deribit", "DERIBIT")])
async def test_messages_have_the_fields_of_recorded_ones(start: Any, genuine_data: Path, venue: str, session: str) -> None:
    """Of each kind of message in a recorded session ours is a subset of fields, each of the same JSON type."""
    source = await start("demo")
    recorded = _kinds(venue, [line.partition(b": ")[2] for line in _session(genuine_data, session)])
    ours: dict[str, Any] = {}
    for offset in range(8):
        text = await slice_of(source, feed(venue, offset=offset))
        ours |= _kinds(venue, [line[29:] for line in text.splitlines() if line])
    shared = recorded.keys() & ours.keys()
    assert len(shared) >= 2, (recorded.keys(), ours.keys())
    for kind in shared:
        theirs = recorded[kind]
        for name, value in ours[kind].items():
            assert name in theirs, (kind, name)
            assert _type(value) == _type(theirs[name]), (kind, name)


def _session(genuine_data: Path, name: str) -> list[bytes]:
    text = gzip.decompress((genuine_data / "raw-live" / f"cryptofeed_{name}.ws.1.0.gz").read_bytes())
    return [line for line in text.splitlines() if re.match(rb"\d+\.\d+: \{", line)]


def _kinds(venue: str, messages: list[bytes]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for text in messages:
        message = json.loads(text)
        if venue == "deribit":
            if message.get("method") != "subscription":
                continue
            channel, data = message["params"]["channel"], message["params"]["data"]
            kind = channel.split(".")[0] + (".option" if re.search(r"-[CP]\.", channel) else "")
            body = data[0] if isinstance(data, list) else data
        else:
            kind, body = message["stream"].split("@")[1], message["data"]
        if isinstance(body, dict):
            found.setdefault(kind, {}).update({name: value for name, value in body.items() if value is not None})
    return found


def _type(value: Any) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
