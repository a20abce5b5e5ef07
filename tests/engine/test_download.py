"""`engine download` by hand, judged from outside: bucket listings, and the request log of the source."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import date

import pyarrow.parquet as pq
import pytest

from engine.manifest import read_cell
from engine.model import Cell, Outcome
from engine.paths import parse_data_object, parse_manifest_object
from engine.store import Store
from provision.local.tardis.loading import load_scenario
from provision.local.tardis.truth import ScenarioFile, scenario_files
from tests.local_servers import KEY, Lake

DAY = date(2024, 5, 1)
TYPES = "trades,book_snapshot_5,derivative_ticker,liquidations,options_chain"
ALL = ("download", "--venues", "binance,deribit", "--data-types", TYPES)


def truth_of(scenario: str) -> list[ScenarioFile]:
    return [file for file in scenario_files(load_scenario(scenario), [DAY]) if file.data_type in TYPES.split(",")]


def objects(store: Store, prefix: str = "raw_tick_data/") -> dict[str, int]:
    return {info.name: info.generation for info in store.list(prefix)}


def test_a_day_is_downloaded_and_every_expected_file_is_one_object(lake: Lake) -> None:
    done = lake.engine(*ALL, "--start", "2024-05-01", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads(done.stdout.splitlines()[-1])
    truth = truth_of("tiny")
    assert report["outcomes"] == {"ok": len(truth)}
    assert report["rows"] == sum(file.rows for file in truth)
    stored = {(file.cell.venue, file.cell.data_type, file.symbol) for file in map(parse_data_object, objects(lake.data))}
    assert stored == {(file.venue, file.data_type, file.symbol) for file in truth}
    manifests = [parse_manifest_object(info.name) for info in lake.state.list("manifests/")]
    assert Counter(name.cell for name in manifests) == Counter({Cell(DAY, file.data_type, file.venue): 1 for file in truth})


CLOUD_MODULES = """
import atexit, sys
from engine.cli import main
clients = ("google.cloud", "google.auth", "google.api_core", "grpc", "requests")
atexit.register(lambda: print([name for name in sys.modules if name.startswith(clients)]))
main()
"""


def test_a_download_of_small_files_needs_no_cloud_client(lake: Lake) -> None:
    """Importing one takes as long as all that happens until the first byte is fetched."""
    arguments = [sys.executable, "-c", CLOUD_MODULES, *ALL, "--start", "2024-05-01"]
    done = subprocess.run(arguments, env=os.environ | lake.environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_second_run_fetches_nothing_and_changes_no_object(lake: Lake) -> None:
    first = lake.engine(*ALL, "--start", "2024-05-01", "--json")
    assert first.returncode == 0, first.stderr
    before, gets = objects(lake.data), len(lake.requests())
    again = lake.engine(*ALL, "--start", "2024-05-01")
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stdout
    assert objects(lake.data) == before
    assert len(lake.requests()) == gets


def test_lost_manifests_are_rebuilt_from_the_bucket_without_fetching(lake: Lake) -> None:
    assert lake.engine(*ALL, "--start", "2024-05-01").returncode == 0
    before, gets = objects(lake.data), len(lake.requests())
    old = read_cell(lake.state, Cell(DAY, "trades", "binance"))
    for info in list(lake.state.list("manifests/")):
        lake.state.delete(info.name, if_generation=info.generation)
    again = lake.engine(*ALL, "--start", "2024-05-01", "--json")
    assert again.returncode == 0, again.stderr
    report = json.loads(again.stdout.splitlines()[-1])
    assert report["resumed"] == report["files"] == len(before)
    assert objects(lake.data) == before
    assert len(lake.requests()) == gets
    new = read_cell(lake.state, Cell(DAY, "trades", "binance"))
    for symbol, record in new.items():
        was = old[symbol].entry
        assert (record.entry.rows, record.entry.fingerprint, record.entry.generation) == (
            was.rows,
            was.fingerprint,
            was.generation,
        )
        assert record.entry.covered_minutes == was.covered_minutes


def test_a_day_that_is_not_published_is_not_fetched_and_asks_to_run_again(lake: Lake) -> None:
    gets = len(lake.requests())
    done = lake.engine(*ALL, "--start", "2024-05-03", "--end", "2024-05-04")
    assert done.returncode == 75
    assert "not published" in done.stdout + done.stderr
    assert len(lake.requests()) == gets
    assert not objects(lake.data)


def test_every_trap_of_the_source_has_its_outcome(traps_lake: Lake) -> None:
    lake = traps_lake
    done = lake.engine(*ALL, "--start", "2024-05-01", "--json")
    assert done.returncode == 65, done.stderr
    truth = {(file.venue, file.data_type, file.symbol): file for file in truth_of("traps")}
    found = {}
    for venue, data_type in {(venue, data_type) for venue, data_type, _ in truth}:
        for symbol, record in read_cell(lake.state, Cell(DAY, data_type, venue)).items():
            found[venue, data_type, symbol] = record.entry
    assert {key: entry.outcome.value for key, entry in found.items()} == {key: file.expect for key, file in truth.items()}
    for key, file in truth.items():
        assert found[key].rows == file.rows, key
    stored = {(file.cell.venue, file.cell.data_type, file.symbol) for file in map(parse_data_object, objects(lake.data))}
    assert stored == {key for key, file in truth.items() if file.expect == "ok"}
    kept = {info.name.split("/")[-2]: info.metadata["reason"] for info in lake.state.list("quarantine/")}
    assert kept.keys() == {key[2] for key, file in truth.items() if file.expect == "quarantined"}
    assert all(kept.values())


def test_what_is_odd_but_real_is_committed_and_flagged(traps_lake: Lake) -> None:
    assert traps_lake.engine(*ALL, "--start", "2024-05-01").returncode == 65
    entries = {symbol: record.entry for symbol, record in read_cell(traps_lake.state, Cell(DAY, "trades", "binance")).items()}
    assert "backward_local_timestamp" in entries["BACKWARDLOCALTIMESTAMPUSDT"].flags
    assert "previous_day_timestamp" in entries["PREVIOUSDAYFIRSTROWUSDT"].flags
    assert entries["EXTRACOLUMNUSDT"].dropped_columns
    assert entries["EXTRACOLUMNUSDT"].outcome is Outcome.OK


def test_an_empty_file_is_an_outcome_and_no_object_and_is_not_asked_for_again(traps_lake: Lake) -> None:
    lake = traps_lake
    assert lake.engine(*ALL, "--start", "2024-05-01").returncode == 65
    gets = len(lake.requests("EMPTYUSDT"))
    assert lake.engine(*ALL, "--start", "2024-05-01").returncode == 65
    assert len(lake.requests("EMPTYUSDT")) == gets
    assert not [name for name in objects(lake.data) if "EMPTYUSDT" in name]


def test_a_second_attempt_tries_only_what_is_not_done(traps_lake: Lake) -> None:
    lake = traps_lake
    assert lake.engine(*ALL, "--start", "2024-05-01").returncode == 65
    before, seen = objects(lake.data), len(lake.requests())
    assert lake.engine(*ALL, "--start", "2024-05-01").returncode == 65
    asked = {row["path"].rsplit("/", 1)[-1].removesuffix(".csv.gz") for row in lake.requests()[seen:]}
    bad = {file.symbol for file in truth_of("traps") if file.expect not in ("ok", "empty")}
    assert asked == bad
    assert objects(lake.data) == before


def test_another_file_under_a_committed_name_is_a_conflict_and_nothing_is_overwritten(lake: Lake) -> None:
    name = "raw_tick_data/by_date/day-2024-05-01/data_type-trades/venue-binance/BTCUSDT.parquet"
    lake.data.put(name, b"somebody else's", if_generation=0)
    before = objects(lake.data)
    done = lake.engine("download", "--venues", "binance", "--data-types", "trades", "--start", "2024-05-01", "--json")
    assert done.returncode == 65
    entry = read_cell(lake.state, Cell(DAY, "trades", "binance"))["BTCUSDT"].entry
    assert (entry.outcome, entry.reason) == (Outcome.FAILED, "conflict")
    assert objects(lake.data)[name] == before[name]


def test_the_committed_object_carries_the_identity_of_its_source(lake: Lake) -> None:
    assert lake.engine("download", "--venues", "binance", "--data-types", "trades", "--start", "2024-05-01").returncode == 0
    for info in lake.data.list("raw_tick_data/"):
        assert info.metadata["source-fingerprint"].startswith(info.metadata["source-length"] + ":")
        found = lake.data.get(info.name)
        assert found is not None
        table = pq.read_table(io.BytesIO(found.data))
        assert table.num_rows == int(info.metadata["rows"])


def test_the_key_is_in_no_log_and_no_object(lake: Lake) -> None:
    done = lake.engine(*ALL, "--start", "2024-05-01", LOG_LEVEL="DEBUG")
    assert KEY not in done.stdout + done.stderr
    for info in lake.state.list(""):
        found = lake.state.get(info.name)
        assert found is not None
        assert KEY.encode() not in found.data
        assert KEY not in str(info.metadata)


TRADES = ("--venues", "binance", "--data-types", "trades", "--start", "2024-05-01")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((*TRADES, "--end", "2024-04-30"), 64, "reversed"),
        ((*TRADES, "--data-types", "tradez"), 64, "trades"),
        ((*TRADES, "--venues", "binanse"), 64, "binanse"),
        ((*TRADES, "--start", "05/01/2024"), 64, "YYYY-MM-DD"),
        ((*TRADES, "--symbols", "BTCUSTD"), 64, "BTCUSDT"),
        ((*TRADES, "--batch-size", "20"), 78, "BATCH_SIZE"),
        ((*TRADES, "--data-bucket", "no-such-bucket"), 78, "no-such"),
        (("--venues", "binance", "--start", "2024-05-01"), 64, "--data-types"),
    ],
)
def test_bad_input_gets_one_line_and_its_exit_code(lake: Lake, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = lake.engine("download", *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "->" in done.stderr
    assert not objects(lake.data)


def test_a_refused_key_stops_the_run_at_once_with_its_own_exit_code(lake: Lake) -> None:
    before = len(lake.requests())
    done = lake.engine(*ALL, "--start", "2024-05-02", TARDIS_API_KEY="wrong", MAX_CONCURRENT="1")
    assert done.returncode == 77
    assert "TARDIS_API_KEY" in done.stderr
    assert len(lake.requests()) - before <= 3
    assert not objects(lake.data)


@pytest.mark.parametrize("mode", ["stream-ticks", "stream-candles"])
def test_modes_of_later_versions_say_not_yet(lake: Lake, mode: str) -> None:
    done = lake.engine(mode, "--symbol", "BTC-USDT")
    assert done.returncode == 64
    assert "not there yet" in done.stderr


def test_instruments_keeps_the_answer_and_writes_definitions_per_day(lake: Lake) -> None:
    done = lake.engine("instruments", "--venues", "deribit", "--start", "2024-05-01", "--end", "2024-05-02")
    assert done.returncode == 0, done.stderr
    names = [info.name for info in lake.data.list("instrument_availability/")]
    assert len(names) == 6
    table = pq.read_table(io.BytesIO(lake.data.get(names[0]).data))  # type: ignore[union-attr]
    assert "BTC-PERPETUAL" in table.column("symbol").to_pylist()
    assert [info.name for info in lake.state.list("catalogue/venue-deribit/")]
