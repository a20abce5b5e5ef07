"""`engine upload-bigquery` over the wire: what BigQuery holds afterwards, whatever happened on the way, and what is recorded of it."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import pytest

from engine.bigquery.contents import LakeObject, TableDay, read_contents
from engine.bigquery.costs import cost_of
from engine.bigquery.coverage import check_loads
from engine.bigquery.loads import Load, VenueLoad, VenueMark, newest_loads, write_load
from engine.bigquery.tables import candle_table, tick_table
from engine.bigquery.warehouse import open_client
from engine.candles.columns import COLUMNS
from engine.cli import command, run_command
from engine.clock import utc_now
from engine.inventory import Inventory
from engine.job_plan import check_arguments
from engine.model import CellState, DayRange
from engine.paths import candle_object
from engine.store import Store
from engine.verbs.upload_bigquery import describe_cost
from tests.local_servers import Lake, LocalServer, make_lake

DAY, NEXT = date(2024, 5, 1), date(2024, 5, 2)
DAYS = DayRange(DAY, NEXT)
RANGE = ("--start", DAY.isoformat(), "--end", NEXT.isoformat())
BARS = {"1h": 24, "4h": 6}

_numbers = itertools.count(1)


@dataclass
class Office:
    """A lake, and a dataset of a test's own."""

    lake: Lake
    server: LocalServer
    dataset: str
    capsys: pytest.CaptureFixture[str]

    @property
    def environment(self) -> dict[str, str]:
        more = {"TICKDECK_BIGQUERY_ENDPOINT": self.server.url, "BIGQUERY_DATASET": self.dataset, "TICKDECK_LOOPBACK_ONLY": ""}
        return self.lake.environment | more

    def upload(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of the verb, called in this process."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (self.environment | environment).items():
                patch.setenv(name, value)
            self.capsys.readouterr()
            code = run_command(command, ["upload-bigquery", *arguments], program="engine")
            said = self.capsys.readouterr()
        return code, said.out, said.err

    def report(self, *arguments: str) -> dict[str, Any]:
        code, out, error = self.upload(*arguments, "--json")
        assert code == 0, error
        return dict(json.loads(out))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        client = open_client(project="local", endpoint=self.server.url)
        return [tuple(row) for row in client.query_and_wait(sql.replace("DATASET", self.dataset))]

    def jobs(self) -> list[str]:
        client = open_client(project="local", endpoint=self.server.url)
        return sorted(job.job_id for job in client.list_jobs() if f"-{self.dataset}-" in job.job_id)

    def records(self) -> dict[tuple[str, date], Any]:
        return dict(newest_loads(self.lake.state, DAYS, self.dataset))

    def arm(self, fault: str, **settings: Any) -> None:
        self.server.post("/_tickdeck/faults", {"fault": fault, "match": settings.pop("match", f"-{self.dataset}-"), **settings})


def fill(lake: Lake, types: str = "trades,book_snapshot_5") -> Lake:
    for verb in (("download", "--data-types", types), ("candles", "--timeframes", "1h,4h")):
        done = lake.engine(*verb, "--venues", "binance,deribit", *RANGE)
        assert done.returncode == 0, done.stderr
    return lake


@pytest.fixture(scope="module")
def filled(storage_server: LocalServer, tiny_source: LocalServer) -> Lake:
    """Two venues, two days, two symbols each, candles of 1h and 4h: nobody changes it."""
    return fill(make_lake(storage_server, tiny_source, f"loaded-{os.getpid()}"))


@pytest.fixture
def office(filled: Lake, bigquery_server: LocalServer, capsys: pytest.CaptureFixture[str]) -> Iterator[Office]:
    yield Office(filled, bigquery_server, f"office_{next(_numbers)}", capsys)
    bigquery_server.disarm()


def symbols(store: Store, day: date, venue: str) -> int:
    return len(list(store.list(f"processed_candles/by_date/day-{day}/timeframe-1h/venue-{venue}/")))


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_candles_of_every_day_and_timeframe_are_loaded_described_and_recorded_and_twice_is_once(office: Office) -> None:
    files = symbols(office.lake.data, DAY, "binance") + symbols(office.lake.data, DAY, "deribit")
    report = office.report(*RANGE)
    assert (report["loaded"], report["held"], report["failed"]) == (4, 0, 0)
    for timeframe, bars in BARS.items():
        sql = f"SELECT DATE(timestamp), COUNT(*), COUNT(DISTINCT symbol) FROM DATASET.candles_{timeframe} GROUP BY 1 ORDER BY 1"
        assert office.rows(sql) == [(DAY, bars * files, files), (NEXT, bars * files, files)]
    table = open_client(project="local", endpoint=office.server.url).get_table(f"local.{office.dataset}.candles_1h")
    assert (table.time_partitioning.type_, table.time_partitioning.field, table.clustering_fields) == (
        "DAY",
        "timestamp",
        ["venue", "symbol"],
    )
    assert [field.name for field in table.schema] == [column.name for column in COLUMNS]
    assert all(field.description for field in table.schema)
    assert table.labels["td-source"] == "1h"
    records, jobs = office.records(), office.jobs()
    assert {key: record.rows for key, record in records.items()} == {
        (f"candles_{timeframe}", day): bars * files for timeframe, bars in BARS.items() for day in DAYS
    }
    assert sorted(record.name.job for record in records.values()) == jobs
    again = office.report(*RANGE)
    assert (again["loaded"], again["held"]) == (0, 4)
    assert (office.records(), office.jobs()) == (records, jobs)


def test_a_record_says_by_listing_alone_whether_a_venue_of_the_lake_is_loaded_as_it_is(office: Office) -> None:
    office.report("--day", DAY.isoformat(), "--timeframes", "1h")
    [record] = office.records().values()
    lake = read_contents(Inventory(office.lake.state), office.lake.data, [candle_table("1h")], DayRange(DAY, DAY))
    [day] = lake.days
    assert record.content == day.content
    assert {venue: mark.content for venue, mark in record.venues.items()} == {
        venue: day.content_of(venue) for venue in ("binance", "deribit")
    }
    for timeframes, state in ((("1h",), CellState.COMPLETE), (("1h", "4h"), CellState.PARTIAL), (("4h",), CellState.MISSING)):
        check = partial(check_loads, Inventory(office.lake.state), DayRange(DAY, DAY), day.venues, now=utc_now(), dataset=office.dataset)
        assert set(check(timeframes=timeframes).counts) == {state}


def test_a_record_of_more_venues_than_metadata_holds_is_read_from_its_body(office: Office) -> None:
    venues = {f"venue-{number}": VenueLoad(1, 24, f"{number:016x}", "17") for number in range(200)}
    far = date(2030, 1, 1)
    load = Load(
        project="p",
        location="EU",
        dataset="many",
        table="candles_1h",
        day=far,
        job="j",
        content="c",
        rows=4800,
        objects=200,
        bytes=1,
        venues=venues,
        loaded=utc_now(),
    )
    write_load(office.lake.state, load)
    [record] = newest_loads(office.lake.state, DayRange(far, far), "many").values()
    assert record.venues == {venue: VenueMark(each.content, each.manifests) for venue, each in venues.items()}


def test_a_venue_that_is_in_a_partition_stays_in_it(office: Office) -> None:
    only = ("--day", DAY.isoformat(), "--timeframes", "4h")
    venues = "SELECT DISTINCT venue FROM DATASET.candles_4h ORDER BY 1"
    office.report(*only, "--venues", "deribit")
    assert office.rows(venues) == [("deribit",)]
    office.report(*only, "--venues", "binance")
    assert office.rows(venues) == [("binance",), ("deribit",)]
    assert office.report(*only)["held"] == 1


def test_a_dry_run_says_tables_days_objects_rows_and_cost_and_changes_nothing(office: Office) -> None:
    code, out, _ = office.upload(*RANGE, "--dry-run")
    assert code == 0
    assert re.search(r"candles_4h +2 +8 +48 ", out)
    assert "16 objects" in out
    assert "free" in out
    report = office.report(*RANGE, "--dry-run")
    assert {(day["table"], day["day"], day["rows"]) for day in report["todo"]} == {
        (f"candles_{timeframe}", day.isoformat(), bars * 4) for timeframe, bars in BARS.items() for day in DAYS
    }
    assert office.dataset not in {row.dataset_id for row in open_client(project="local", endpoint=office.server.url).list_datasets()}
    assert not office.jobs()


def test_rows_that_are_missing_after_a_load_fail_it_and_the_next_upload_loads_that_day_anew(office: Office) -> None:
    only = ("--day", DAY.isoformat(), "--timeframes", "1h")
    office.arm("lose_rows", rows=3, count=1)
    code, _, error = office.upload(*only)
    assert code == 65
    assert "candles_1h 2024-05-01: BigQuery counts 93 rows, manifests 96 -> run again" in error
    assert not office.records()
    assert office.report(*only)["loaded"] == 1
    assert office.rows("SELECT COUNT(*) FROM DATASET.candles_1h") == [(96,)]
    assert [job[-2:] for job in office.jobs()] == ["-1", "-2"]


def test_a_partition_or_a_table_that_somebody_deleted_is_loaded_again(office: Office) -> None:
    only = (*RANGE, "--timeframes", "4h")
    office.report(*only)
    client = open_client(project="local", endpoint=office.server.url)
    client.delete_table(f"local.{office.dataset}.candles_4h$20240501")
    report = office.report(*only)
    assert (report["loaded"], report["held"]) == (1, 1)
    client.delete_dataset(office.dataset, delete_contents=True)
    assert office.report(*only)["loaded"] == 2
    assert office.rows("SELECT COUNT(*) FROM DATASET.candles_4h") == [(48,)]


@pytest.mark.parametrize(
    "faults",
    [
        [("lost_reply", {"method": "POST", "match": "/projects/local/jobs", "count": 1})],
        [("status", {"status": 503, "match": "/projects/local/jobs", "method": "POST", "count": 1})],
        [("fail_job", {"reason": "backendError", "count": 2})],
    ],
    ids=["reply lost", "503", "failed by no fault of its own"],
)
def test_an_upload_that_is_disturbed_ends_as_an_undisturbed_one(office: Office, faults: list[tuple[str, dict[str, Any]]]) -> None:
    for fault, settings in faults:
        office.arm(fault, **settings)
    assert office.report("--day", DAY.isoformat(), "--timeframes", "4h")["loaded"] == 1
    assert all(fault["struck"] for fault in office.server.get("/_tickdeck/faults")["faults"])
    assert office.rows("SELECT COUNT(*) FROM DATASET.candles_4h") == [(24,)]
    assert len(office.records()) == 1


def test_a_job_that_fails_is_told_in_bigquerys_words_and_the_other_days_are_loaded(office: Office) -> None:
    office.arm("fail_job", reason="invalid", message="Too many nested brackets", match=f"-{office.dataset}-candles_4h-20240502")
    code, out, error = office.upload(*RANGE, "--timeframes", "4h")
    assert (code, "Too many nested brackets" in error) == (65, True)
    assert re.search(r"candles_4h +1 +0 +1 +24\n", out)
    assert set(office.records()) == {("candles_4h", DAY)}


def test_who_is_stopped_while_a_job_runs_finds_that_job_again(office: Office) -> None:
    only = ("--day", DAY.isoformat(), "--timeframes", "4h")
    office.arm("hold_jobs", state="RUNNING")
    argv = [sys.executable, "-m", "engine.cli", "upload-bigquery", *only]
    process = subprocess.Popen(argv, env=os.environ | office.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: bool(office.jobs()))
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, "stopped by SIGTERM" in error) == (75, True)
    office.server.disarm()
    assert office.report(*only)["loaded"] == 1
    assert len(office.jobs()) == 1
    assert len(office.records()) == 1


def test_a_day_whose_candles_were_made_anew_is_loaded_anew_and_no_other(
    storage_server: LocalServer, tiny_source: LocalServer, bigquery_server: LocalServer, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = fill(make_lake(storage_server, tiny_source, f"rebuilt-{os.getpid()}"), "trades")
    office = Office(lake, bigquery_server, f"office_{next(_numbers)}", capsys)
    only = (*RANGE, "--timeframes", "4h")
    assert office.report(*only)["loaded"] == 2
    spreads = "SELECT DATE(timestamp), COUNT(quoted_spread_bps) > 0 FROM DATASET.candles_4h GROUP BY 1 ORDER BY 1"
    assert office.rows(spreads) == [(DAY, False), (NEXT, False)]
    for verb in (("download", "--data-types", "book_snapshot_5"), ("candles", "--timeframes", "1h,4h", "--rebuild")):
        assert lake.engine(*verb, "--venues", "binance", "--start", DAY.isoformat()).returncode == 0
    report = office.report(*only)
    assert [(day["day"], day["became"]) for day in report["days"]] == [(DAY.isoformat(), "loaded")]
    assert report["held"] == 1
    assert office.rows(spreads) == [(DAY, True), (NEXT, False)]


def test_an_object_that_is_not_the_manifests_is_not_loaded(
    storage_server: LocalServer, tiny_source: LocalServer, bigquery_server: LocalServer, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = make_lake(storage_server, tiny_source, f"altered-{os.getpid()}")
    assert lake.engine("download", "--venues", "binance", "--data-types", "trades", "--start", DAY.isoformat()).returncode == 0
    name = next(info.name for info in lake.data.list("raw_tick_data/"))
    lake.data.put(name, b"something else", if_generation=None)
    office = Office(lake, bigquery_server, f"office_{next(_numbers)}", capsys)
    code, _, error = office.upload("--day", DAY.isoformat(), "--layer", "ticks", "--data-types", "trades")
    assert (code, f"{name} is not the object that its manifest records" in error) == (65, True)
    assert not office.jobs()


def test_a_table_of_an_older_schema_gets_the_columns_that_it_lacks(office: Office) -> None:
    from google.cloud import bigquery

    client = open_client(project="local", endpoint=office.server.url)
    client.create_dataset(office.dataset)
    old = bigquery.Table(
        f"local.{office.dataset}.candles_4h",
        schema=[
            bigquery.SchemaField("timestamp", "TIMESTAMP"),
            bigquery.SchemaField("symbol", "STRING"),
            bigquery.SchemaField("mine", "STRING"),
        ],
    )
    old.time_partitioning = bigquery.TimePartitioning(field="timestamp")
    client.create_table(old)
    code, _, error = office.upload("--day", DAY.isoformat(), "--timeframes", "4h")
    assert (code, "added venue, open" in error) == (0, True)
    names = [field.name for field in client.get_table(old).schema]
    assert names[:3] == ["timestamp", "symbol", "mine"]
    assert set(names) == {"mine", *(column.name for column in COLUMNS)}
    wrong = bigquery.Table(
        f"local.{office.dataset}.candles_1h",
        schema=[bigquery.SchemaField("timestamp", "TIMESTAMP"), bigquery.SchemaField("volume", "STRING")],
    )
    wrong.time_partitioning = bigquery.TimePartitioning(field="timestamp")
    client.create_table(wrong)
    code, _, error = office.upload("--day", DAY.isoformat(), "--timeframes", "1h")
    assert (code, "column volume is STRING, not FLOAT" in error) == (78, True)


def test_ticks_are_loaded_by_arrival_or_read_where_they_are_and_the_cost_is_said_first(office: Office) -> None:
    ticks = (*RANGE, "--layer", "ticks", "--data-types", "trades")
    code, _, error = office.upload(*ticks)
    assert (code, "free" in error) == (0, True)
    code, out, _ = office.upload(*ticks, "--external")
    assert (code, "read by external tables" in out) == (0, True)
    [(native, first, last)] = office.rows("SELECT COUNT(*), MIN(DATE(local_timestamp)), MAX(DATE(local_timestamp)) FROM DATASET.trades")
    assert (first, last) == (DAY, NEXT)
    assert office.rows("SELECT COUNT(*) FROM DATASET.trades_external") == [(native,)]
    assert {key[0] for key in office.records()} == {"trades"}, "an external table is not a load"


def test_a_cost_is_of_all_columns_at_dated_prices_and_unknown_where_nobody_knows_it(filled: Lake) -> None:
    contents = read_contents(Inventory(filled.state), filled.data, [tick_table("trades")], DAYS)
    known, unknown = cost_of(contents.days, "asia-northeast1"), cost_of(contents.days, "mars-1")
    rows = sum(day.rows for day in contents.days)
    assert known.logical_bytes == rows * (8 + 8 + 8 + 8 + 4 * 12)
    assert known.monthly == pytest.approx(known.logical_bytes / 2**30 * 0.023)
    assert "2026-11-23" in str(known)
    assert unknown.monthly is None
    assert "not known for mars-1" in str(unknown)
    outside = read_contents(Inventory(filled.state), filled.data, [tick_table("trades", external=True)], DAYS)
    assert cost_of(outside.days, "asia-northeast1").logical_bytes == 0


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "says"),
    [
        (("--day", "2024-05-01", "--layer", "ticks"), {}, 64, "which ticks? -> --data-types trades"),
        (("--day", "2024-05-01", "--timeframes", "2m"), {}, 64, "timeframe '2m' is not known"),
        (("--day", "2024-05-01", "--data-types", "trades"), {}, 64, "candles have no data types"),
        (("--day", "2024-05-01", "--venues", "binanse"), {}, 64, "nothing is known of venue 'binanse'"),
        (("--day", "2024-05-01", "--dataset", "a.b"), {}, 64, "'a.b' is no name of a dataset"),
        (("--day", "2024-05-01"), {"TICKDECK_BIGQUERY_ENDPOINT": ""}, 78, "the bucket is on this machine, BigQuery is not"),
        (("--day", "2024-05-01"), {"STORAGE_EMULATOR_HOST": ""}, 78, "BigQuery is on this machine, the bucket is not"),
        (("--day", "2024-05-01"), {"TICKDECK_BIGQUERY_ENDPOINT": "http://10.0.0.1:1"}, 78, "is not on this machine"),
    ],
)
def test_a_mistake_is_one_line_with_the_next_step(
    office: Office, arguments: tuple[str, ...], environment: dict[str, str], code: int, says: str
) -> None:
    found, out, error = office.upload(*arguments, **environment)
    assert (found, out) == (code, "")
    assert says in error
    assert " -> " in error
    assert error.count("\n") == 1


def test_a_range_of_which_nothing_is_committed_says_so(office: Office) -> None:
    code, out, _ = office.upload("--day", "2024-06-01")
    assert (code, "the lake has nothing committed" in out) == (0, True)


def test_a_day_of_more_objects_than_a_job_may_name_is_named_by_its_folders() -> None:
    table = candle_table("1h")
    names = [(venue, f"S{number}") for venue in ("binance", "deribit") for number in range(6_000)]
    objects = tuple(LakeObject(candle_object(DAY, "1h", venue, symbol), venue, 1, 1, "", 24) for venue, symbol in names)
    few, many = TableDay(table, DAY, "lake", objects[:3]), TableDay(table, DAY, "lake", objects)
    assert few.uris == tuple(f"gs://lake/{each.name}" for each in objects[:3])
    folders = "gs://lake/processed_candles/by_date/day-2024-05-01/timeframe-1h"
    assert many.uris == (f"{folders}/venue-binance/*.parquet", f"{folders}/venue-deribit/*.parquet")


def test_what_a_vm_would_store_of_ticks_is_priced_before_there_is_a_vm(filled: Lake) -> None:
    values = check_arguments(("upload-bigquery", *RANGE, "--layer", "ticks", "--data-types", "trades"))
    said = describe_cost(values, Inventory(filled.state), filled.data, "asia-northeast1", is_local=False)
    assert "2 days of 1 table (8 objects" in said
    assert "a month; loading is free" in said
