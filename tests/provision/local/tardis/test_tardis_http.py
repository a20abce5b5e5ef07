"""Status codes, key rules, ranges, the catalogue and the request log, over the wire."""

from __future__ import annotations

import asyncio
import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from provision.local.tardis.loading import load_scenario
from provision.local.tardis.truth import scenario_files

FREE = "/v1/binance/trades/2024/05/01/BTCUSDT.csv.gz"
PAID = "/v1/binance/trades/2024/05/02/BTCUSDT.csv.gz"


async def test_every_file_of_the_scenario_answers_as_its_truth_says(start: Any) -> None:
    for name in ("tiny", "traps"):
        source = await start(name, root=None)
        listed = await source.json("/_tickdeck/files")
        scenario = load_scenario(name)
        assert [file["url"] for file in listed] == [file.url for file in scenario_files(scenario, [scenario.first_day, scenario.last_day])]
        for file in listed:
            reply = await source.get(file["url"])
            if file["expect"] == "not_found":
                assert reply.status == 404
            elif file["expect"] == "ok":
                assert reply.status == 200
                assert len(gzip.decompress(reply.body).splitlines()) == file["rows"] + 1
            elif file["expect"] == "empty":
                assert gzip.decompress(reply.body) == b""


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/nowhere/trades/2024/05/02/BTCUSDT.csv.gz", 404),
        ("/v1/binance/candles/2024/05/02/BTCUSDT.csv.gz", 404),
        ("/v1/binance/trades/2024/05/02/BTCUSDT.csv", 404),
        ("/v1/binance/trades/2024/05/02", 404),
        ("/v1/binance/trades/2024/5/2/BTCUSDT.csv.gz", 400),
        ("/v1/binance/trades/2024/02/30/BTCUSDT.csv.gz", 400),
        ("/v1/binance/trades/yesterday/05/02/BTCUSDT.csv.gz", 400),
        ("/v1/binance/trades/2024/05/03/BTCUSDT.csv.gz", 404),
        ("/v1/exchanges/nowhere", 404),
        ("/v1/instruments/nowhere", 404),
        ("/v1/instruments/deribit/NOPE", 404),
        ("/v1/instruments/deribit?filter=[", 400),
    ],
)
async def test_what_does_not_exist_is_an_error_with_code_and_message(start: Any, path: str, status: int) -> None:
    reply = await (await start()).get(path)
    assert reply.status == status
    assert set(json.loads(reply.body)) == {"code", "message"}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/binance/trades/2024/05/02/MISTYPED.csv.gz",
        "/v1/binance/trades/2024/05/02/btcusdt.csv.gz",
        "/v1/binance/liquidations/2024/05/02/BTCUSDT.csv.gz",
        "/v1/binance/trades/2018/05/02/BTCUSDT.csv.gz",
        "/v1/deribit/options_chain/2024/05/02/BTC-26APR24-60000-C.csv.gz",
        "/v1/deribit/book_snapshot_5/2024/05/02/PERPETUALS.csv.gz",
    ],
)
async def test_no_data_is_a_good_status_and_twenty_bytes(start: Any, path: str) -> None:
    reply = await (await start()).get(path)
    assert (reply.status, len(reply.body)) == (200, 20)
    assert gzip.decompress(reply.body) == b""


async def test_only_the_first_day_of_a_month_needs_no_key(start: Any) -> None:
    source = await start()
    assert (await source.get(FREE, key=None)).status == 200
    assert (await source.get(PAID, key=None)).status == 401
    assert (await source.get(PAID)).status == 200


async def test_a_wrong_key_is_refused_even_on_a_free_day(start: Any) -> None:
    source = await start()
    for path in (FREE, PAID, "/v1/instruments/deribit", "/v1/api-key-info"):
        reply = await source.get(path, key="wrong")
        assert reply.status == 401
        assert b"wrong" not in reply.body


async def test_without_a_key_of_its_own_the_stand_in_asks_for_none(start: Any) -> None:
    source = await start(api_key=None)
    assert (await source.get(PAID, key=None)).status == 200
    assert (await source.get(PAID, key="anything")).status == 200
    assert (await source.get("/v1/instruments/deribit", key=None)).status == 200


async def test_outside_the_plan_only_free_days_are_served(start: Any) -> None:
    source = await start(denied=("binance/trades",))
    assert (await source.get(PAID)).status == 403
    assert (await source.get(FREE)).status == 200
    assert (await source.get(PAID.replace("trades", "book_snapshot_5"))).status == 200
    files = scenario_files(load_scenario("tiny"), [date(2024, 5, 2)])
    assert {file.expect for file in files} == {"ok"}
    told = {file["url"]: file["expect"] for file in await source.json("/_tickdeck/files")}
    assert (told[PAID], told[FREE]) == ("not_entitled", "ok")


async def test_ranges_put_together_are_the_file(start: Any) -> None:
    source = await start()
    whole = await source.get(PAID)
    size = len(whole.body)
    assert whole.headers["Accept-Ranges"] == "bytes"
    first = await source.get(PAID, Range="bytes=0-999")
    rest = await source.get(PAID, Range="bytes=1000-", If_Range=whole.headers["ETag"])
    assert (first.status, first.headers["Content-Range"]) == (206, f"bytes 0-999/{size}")
    assert (rest.status, rest.headers["Content-Range"]) == (206, f"bytes 1000-{size - 1}/{size}")
    assert first.body + rest.body == whole.body
    assert (await source.get(PAID, Range="bytes=-10")).body == whole.body[-10:]


async def test_a_range_of_another_version_answers_with_the_whole_file(start: Any) -> None:
    source = await start()
    reply = await source.get(PAID, Range="bytes=1000-", If_Range='"of-yesterday"')
    assert reply.status == 200
    assert gzip.decompress(reply.body)


async def test_a_range_beyond_the_end_is_416_and_tells_the_size(start: Any) -> None:
    source = await start()
    size = len((await source.get(PAID)).body)
    reply = await source.get(PAID, Range=f"bytes={size}-")
    assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{size}")


async def test_head_tells_the_length_and_sends_nothing(start: Any) -> None:
    source = await start()
    size = len((await source.get(PAID)).body)
    reply = await source.get(PAID, method="HEAD")
    assert (reply.status, reply.headers["Content-Length"], reply.body) == (200, str(size), b"")


async def test_the_catalogue_has_the_vendors_shape(start: Any) -> None:
    source = await start("demo")
    listed = await source.json("/v1/exchanges")
    assert [entry["id"] for entry in listed] == ["binance", "binance-futures", "deribit", "okex-swap"]
    venue = await source.json("/v1/exchanges/deribit")
    assert set(listed[2]) <= set(venue)
    datasets = venue["datasets"]
    assert (datasets["formats"], datasets["exportedUntil"]) == (["csv"], "2024-05-04T00:00:00.000Z")
    symbols = {symbol["id"]: symbol for symbol in datasets["symbols"]}
    assert symbols["OPTIONS"]["dataTypes"] == ["options_chain"]
    assert symbols["PERPETUALS"]["dataTypes"] == ["trades", "derivative_ticker", "liquidations"]
    assert symbols["BTC-31MAY24-60000-C"]["availableTo"] == "2024-05-31T08:00:00.000Z"
    assert not any(symbol["id"] in ("OPTIONS", "PERPETUALS") for symbol in venue["availableSymbols"])
    futures = await source.json("/v1/exchanges/binance-futures")
    waves = next(symbol for symbol in futures["datasets"]["symbols"] if symbol["id"] == "WAVESUSDT")
    assert waves["availableTo"] == "2024-05-03T00:00:00.000Z"
    spot = await source.json("/v1/exchanges/binance")
    assert spot["incidentReports"][0]["status"] == "resolved"
    assert {"id": "btcusdt", "type": "spot", "availableSince": "2019-03-30T00:00:00.000Z"} in spot["availableSymbols"]


async def test_the_catalogue_has_the_fields_of_a_genuine_one(start: Any, genuine_data: Path) -> None:
    source = await start()
    genuine = json.loads((genuine_data / "api" / "v1_exchanges_2025-09-17.json").read_text())
    ours = {entry["id"]: entry for entry in await source.json("/v1/exchanges")}
    for entry in genuine:
        if entry["id"] in ours:
            assert set(ours[entry["id"]]) == set(entry)
    instruments = {entry["type"]: entry for entry in await source.json("/v1/instruments/deribit")}
    for kind, entry in instruments.items():
        real = json.loads((genuine_data / "api" / f"instrument_{kind}.json").read_text())
        assert set(real) - set(entry) <= {"changes"}


async def test_instruments_are_found_by_either_name_and_by_filter(start: Any) -> None:
    source = await start()
    for name in ("btcusdt", "BTCUSDT"):
        one = await source.json(f"/v1/instruments/binance/{name}")
        assert (one["id"], one["datasetId"], one["baseCurrency"]) == ("btcusdt", "BTCUSDT", "BTC")
    options = await source.json('/v1/instruments/deribit?filter={"type":"option","optionType":"put"}')
    assert options
    assert {entry["contractType"] for entry in options} == {"put_option"}


async def test_every_dataset_request_is_logged_with_what_was_sent(start: Any) -> None:
    source = await start()
    whole = await source.get(PAID, User_Agent="probe/1")
    await source.get(PAID, Range="bytes=0-9")
    await source.get(FREE, key="wrong")
    told = await source.json("/_tickdeck/requests?path=/binance/trades/2024/05/02/")
    assert told["count"] == 2
    first, second = told["requests"]
    assert (first["path"], first["status"], first["bytes"]) == (PAID, 200, len(whole.body))
    assert (first["user_agent"], first["keyed"], first["fault"]) == ("probe/1", True, None)
    assert (second["range"], second["status"], second["bytes"]) == ("bytes=0-9", 206, 10)
    lines = (source.root / "requests.jsonl").read_text()
    assert [json.loads(line)["status"] for line in lines.splitlines()] == [200, 206, 401]
    assert "right-key" not in lines
    assert "wrong" not in lines


async def test_a_second_start_finds_the_files_and_the_log_of_the_first(start: Any, tmp_path: Path) -> None:
    root = tmp_path / "kept"
    first = await start(root=root)
    before = await first.get(PAID)
    await first.stop()
    cached = [path for path in (root / "cache").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in cached] == [before.body]
    cached[0].write_bytes(b"as found on disk")
    with (root / "requests.jsonl").open("a") as log:
        log.write('{"half a line')
    second = await start(root=root)
    after = await second.get(PAID)
    assert (after.body, after.headers["ETag"]) == (b"as found on disk", before.headers["ETag"])
    assert (await second.json("/_tickdeck/requests"))["count"] == 2


async def test_many_requests_for_one_new_file_make_it_once(start: Any) -> None:
    source = await start()
    replies = await asyncio.gather(*(source.get(PAID) for _ in range(20)))
    assert len({reply.body for reply in replies}) == 1
    assert len([path for path in (source.root / "cache").rglob("*") if path.is_file()]) == 1


async def test_genuine_files_are_served_in_place_of_generated_ones(start: Any, tmp_path: Path) -> None:
    folder = tmp_path / "genuine"
    nested = folder / "bitmex" / "trades" / "2024" / "05" / "02"
    nested.mkdir(parents=True)
    (folder / "binance_trades_2024-05-02_BTCUSDT.csv.gz").write_bytes(gzip.compress(b"genuine\n"))
    (folder / "okex-options_options_chain_2024-05-09_OPTIONS.csv").write_bytes(b"plain\n")
    (nested / "XBTUSD.csv").write_bytes(b"nested\n")
    (folder / "notes.csv").write_bytes(b"not one of ours")
    source = await start(folder=folder)
    assert gzip.decompress((await source.get(PAID)).body) == b"genuine\n"
    assert gzip.decompress((await source.get(FREE)).body) != b"genuine\n"
    assert gzip.decompress((await source.get("/v1/bitmex/trades/2024/05/02/XBTUSD.csv.gz")).body) == b"nested\n"
    options = "/v1/okex-options/options_chain/2024/05/09/OPTIONS.csv.gz"
    assert gzip.decompress((await source.get(options)).body) == b"plain\n"
    assert (await source.get(options)).headers["ETag"] == (await source.get(options)).headers["ETag"]
    venue = await source.json("/v1/exchanges/okex-options")
    assert venue["datasets"]["exportedUntil"] == "2024-05-10T00:00:00.000Z"
    assert venue["datasets"]["symbols"] == [
        {
            "id": "OPTIONS",
            "type": "option",
            "availableSince": "2024-05-09T00:00:00.000Z",
            "availableTo": "2024-05-10T00:00:00.000Z",
            "dataTypes": ["options_chain"],
        }
    ]
    # A listed symbol on a day that the folder lacks is a quiet day.
    assert len((await source.get("/v1/bitmex/trades/2024/05/01/XBTUSD.csv.gz")).body) == 20
