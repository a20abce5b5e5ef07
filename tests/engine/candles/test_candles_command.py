"""`engine candles` over the wire: what is in the bucket afterwards, whatever happened on the way."""

from __future__ import annotations

import csv
import io
import json
import os
from datetime import date
from typing import Any

import pyarrow.parquet as pq
import pytest
from candle_oracle import Oracle

from engine.candles.coverage import check_candles
from engine.candles.timeframes import TIMEFRAMES, bars_of
from engine.clock import utc_now
from engine.coverage import CellReport
from engine.fault_points import VARIABLE, FaultPoint
from engine.inventory import Inventory
from engine.model import Cell, CellState, DayRange, File
from engine.paths import CANDLES, candle_object, data_object, parse_candle_object
from engine.store import Store
from tests.local_servers import Lake, LocalServer, make_lake

VENUE = "deribit"
DAY = date(2024, 5, 1)
WHOLE_DAY = ("--venues", VENUE, "--day", DAY.isoformat())
TYPES = "trades,book_snapshot_5,derivative_ticker,liquidations,options_chain"


def objects(store: Store) -> dict[str, tuple[str, int]]:
    """Checksum and generation of every candle object."""
    return {info.name: (info.crc32c, info.generation) for info in store.list(CANDLES)}


def checksums(store: Store) -> dict[str, str]:
    return {name: checksum for name, (checksum, _) in objects(store).items()}


def manifests(lake: Lake) -> list[dict[str, Any]]:
    found = [info.name for info in lake.state.list("manifests/") if "data_type-candles/" in info.name]
    return [json.loads(body.data) for name in found if (body := lake.state.get(name))]


def fill(lake: Lake, types: str = TYPES) -> Lake:
    """Download one venue and day."""
    done = lake.engine("download", "--venues", VENUE, "--data-types", types, "--start", DAY.isoformat())
    assert done.returncode == 0, done.stdout + done.stderr
    return lake


@pytest.fixture
def filled(lake: Lake) -> Lake:
    return fill(lake)


@pytest.fixture(scope="module")
def undisturbed(storage_server: LocalServer, tiny_source: LocalServer) -> dict[str, str]:
    """Name and checksum of every candle object that a run makes which nobody disturbs."""
    lake = fill(make_lake(storage_server, tiny_source, f"undisturbed-{os.getpid()}"))
    assert lake.engine("candles", *WHOLE_DAY).returncode == 0
    return checksums(lake.data)


def layer_of(lake: Lake) -> CellReport:
    """What coverage says of the candles of the day."""
    coverage = check_candles(Inventory(lake.state), DayRange(DAY, DAY), [VENUE], now=utc_now())
    return coverage.report(Cell(DAY, "candles", VENUE))


def symbols_with_trades(lake: Lake, day: date) -> set[str]:
    prefix = f"raw_tick_data/by_date/day-{day}/data_type-trades/venue-{VENUE}/"
    return {info.name.removeprefix(prefix).removesuffix(".parquet") for info in lake.data.list(prefix)}


def test_every_symbol_with_trades_gets_candles_of_every_timeframe_and_a_manifest(filled, tmp_path):
    day = DAY
    done = filled.engine("candles", *WHOLE_DAY, "--json")
    assert done.returncode == 0, done.stderr
    expected = {(day, timeframe, VENUE, symbol) for timeframe in TIMEFRAMES for symbol in symbols_with_trades(filled, day)}
    assert {parse_candle_object(name) for name in objects(filled.data)} == expected
    [manifest] = manifests(filled)
    assert {entry["symbol"] for entry in manifest["entries"]} == symbols_with_trades(filled, day)
    assert not manifest["open"]
    for entry in manifest["entries"]:
        assert [part["timeframe"] for part in entry["parts"]] == list(TIMEFRAMES)
        for part in entry["parts"]:
            info = filled.data.stat(candle_object(day, part["timeframe"], VENUE, entry["symbol"]))
            assert info is not None
            assert (part["bytes"], part["generation"], part["crc32c"]) == (info.size, info.generation, info.crc32c)
    # The bars are those of the ticks in the bucket, by SQL.
    symbol = manifest["entries"][0]["symbol"]
    ticks = tmp_path / "trades.parquet"
    body = filled.data.get(data_object(File(Cell(day, "trades", VENUE), symbol)))
    assert body is not None
    ticks.write_bytes(body.data)
    candles = filled.data.get(candle_object(day, "5m", VENUE, symbol))
    assert candles is not None
    table = pq.read_table(io.BytesIO(candles.data))
    oracle = Oracle(day, ticks).candles("5m")
    for name in ("open", "high", "low", "close", "trade_count", "delay_min", "delay_max"):
        assert table.column(name).to_pylist() == oracle[name]
    said = pq.read_metadata(io.BytesIO(candles.data)).metadata
    facts = {key.decode(): value.decode() for key, value in said.items() if key != b"ARROW:schema"}
    assert (facts["timeframe"], facts["bucket_by"], facts["symbol"]) == ("5m", "exchange", symbol)


def test_a_second_run_makes_nothing_and_says_so(filled):
    assert filled.engine("candles", *WHOLE_DAY).returncode == 0
    before = objects(filled.data)
    again = filled.engine("candles", *WHOLE_DAY, "--json")
    assert again.returncode == 0
    assert "nothing to do" in json.loads(again.stdout)["warnings"][0]
    assert objects(filled.data) == before
    assert len(manifests(filled)) == 1


@pytest.mark.parametrize("point", [FaultPoint.BODY_RECEIVED, FaultPoint.CONVERTED, FaultPoint.OBJECT_CREATED, FaultPoint.MANIFEST_STARTED])
def test_killed_at_any_point_it_goes_on_and_ends_like_an_undisturbed_one(filled, undisturbed, point):
    killed = filled.engine("candles", *WHOLE_DAY, **{VARIABLE: f"{point}:1:KILL"})
    assert killed.returncode == -9, killed.stderr
    half = objects(filled.data)
    assert filled.engine("candles", *WHOLE_DAY).returncode == 0
    assert half.items() <= objects(filled.data).items(), "what was committed stays as it was"
    assert checksums(filled.data) == undisturbed


def test_candles_whose_inputs_changed_are_said_and_made_anew_only_on_request(lake):
    fill(lake, "trades")
    assert lake.engine("candles", *WHOLE_DAY).returncode == 0
    alone = objects(lake.data)
    assert layer_of(lake).state is CellState.COMPLETE
    fill(lake, "book_snapshot_5")
    stale = layer_of(lake)
    assert (stale.state, "book_snapshot_5 came since" in stale.reasons[0]) == (CellState.THIN, True)
    told = lake.engine("candles", *WHOLE_DAY)
    assert told.returncode == 0
    assert "--rebuild" in told.stdout
    assert objects(lake.data) == alone
    assert lake.engine("candles", *WHOLE_DAY, "--rebuild").returncode == 0
    rebuilt = objects(lake.data)
    assert rebuilt.keys() == alone.keys()
    with_books = {
        info.name.removesuffix(".parquet").rsplit("/", 1)[1]
        for info in lake.data.list(f"raw_tick_data/by_date/day-{DAY}/data_type-book_snapshot_5/venue-{VENUE}/")
    }
    changed = {parse_candle_object(name)[3] for name in rebuilt if rebuilt[name] != alone[name]}
    assert changed == with_books & symbols_with_trades(lake, DAY)
    assert layer_of(lake).state is CellState.COMPLETE
    # Trades that somebody deleted are no reason to make candles, nor to miss them.
    gone = min(symbols_with_trades(lake, DAY))
    name = data_object(File(Cell(DAY, "trades", VENUE), gone))
    info = lake.data.stat(name)
    assert info is not None
    lake.data.delete(name, if_generation=info.generation)
    assert lake.engine("validate", "--venues", VENUE, "--data-types", "trades", "--start", DAY.isoformat()).returncode == 65
    after = layer_of(lake)
    assert (after.state, after.expected) == (CellState.COMPLETE, stale.expected - 1)
    again = lake.engine("candles", *WHOLE_DAY, "--rebuild", "--json")
    assert "nothing to do" in json.loads(again.stdout)["warnings"][0]


def test_show_prints_the_first_bars_as_csv(filled):
    day = DAY
    symbol = min(symbols_with_trades(filled, day))
    assert filled.engine("candles", *WHOLE_DAY, "--symbols", symbol).returncode == 0
    shown = filled.engine(
        *("candles", "show", "--day", day.isoformat(), "--venue", VENUE, "--symbol", symbol, "--timeframe", "5m", "--head", "5", "--csv"),
        TZ="Asia/Tokyo",
    )
    rows = list(csv.DictReader(io.StringIO(shown.stdout)))
    assert [row["timestamp"][11:16] for row in rows] == ["00:00", "00:05", "00:10", "00:15", "00:20"]
    whole = filled.engine("candles", "show", "--day", day.isoformat(), "--venue", VENUE, "--symbol", symbol, "--timeframe", "5m", "--csv")
    rows = list(csv.DictReader(io.StringIO(whole.stdout)))
    assert len(rows) == bars_of("5m") == 288
    assert rows[-1]["timestamp"].startswith(f"{day}T23:55:00")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--venues", VENUE), 64, "no day given"),
        (("--day", "2024-05-01"), 64, "no venue given"),
        (("--venues", VENUE, "--day", "2024-05-01", "--timeframes", "2m"), 64, "did you mean"),
        (("--venues", VENUE, "--start", "2024-05-02", "--end", "2024-05-01"), 64, "reversed"),
        (("show", "--day", "2024-05-01", "--venue", VENUE, "--symbol", "NONE"), 78, "engine candles --venues"),
        (("sho",), 64, "did you mean show"),
        (("--venues", VENUE, "--day", "latest"), 75, "engine download --venues deribit"),
    ],
)
def test_a_mistake_is_one_line_with_the_next_step(lake, arguments, code, words):
    done = lake.engine("candles", *arguments)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
