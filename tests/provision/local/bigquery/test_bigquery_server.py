"""The local BigQuery, asked by the official client: jobs, partitions, columns, streaming, and what it refuses."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import BadRequest, Conflict, MethodNotImplemented, NotFound
from google.cloud import bigquery

from engine.bigquery.warehouse import open_client
from engine.storage_service import open_storage
from engine.store import Store
from tests.local_servers import LocalServer, started

PLACE = "asia-northeast1"
DAY, NEXT = datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC)
SCHEMA = [
    bigquery.SchemaField("timestamp", "TIMESTAMP", description="Start of the bar"),
    bigquery.SchemaField("symbol", "STRING"),
    bigquery.SchemaField("price", "FLOAT64"),
    bigquery.SchemaField("n", "INT64"),
]

_numbers = itertools.count(1)


@dataclass
class Place:
    """A dataset and a bucket of a test's own."""

    client: bigquery.Client
    server: LocalServer
    dataset: str
    bucket: Store

    def name(self, table: str) -> str:
        return f"local.{self.dataset}.{table}"

    def put(self, name: str, *rows: tuple[datetime, str, float, int], more: dict[str, list[Any]] | None = None) -> str:
        """A Parquet object; its URI."""
        times, symbols, prices, counts = zip(*rows, strict=True)
        columns: dict[str, Any] = {
            "timestamp": pa.array(times, pa.timestamp("us", tz="UTC")),
            "symbol": pa.array(symbols).dictionary_encode(),
            "price": pa.array(prices, pa.float64()),
            "n": pa.array(counts, pa.int64()),
        }
        output = io.BytesIO()
        pq.write_table(pa.table(columns | (more or {})), output)
        self.bucket.put(name, output.getvalue(), if_generation=None)
        return f"gs://{self.bucket.bucket}/{name}"

    def table(self, name: str = "t") -> bigquery.Table:
        made = bigquery.Table(self.name(name), schema=SCHEMA)
        made.time_partitioning = bigquery.TimePartitioning(field="timestamp")
        made.clustering_fields = ["symbol"]
        made.labels, made.description = {"layer": "candles"}, "bars"
        return self.client.create_table(made)

    def load(self, uris: str | list[str], table: str = "t", *, write: str = "WRITE_TRUNCATE", job: str | None = None, **more: Any) -> Any:
        configuration = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition=write, **more)
        return self.client.load_table_from_uri(uris, self.name(table), job_id=job, location=PLACE, job_config=configuration)

    def rows(self, sql: str, **more: Any) -> list[tuple[Any, ...]]:
        default = bigquery.DatasetReference("local", self.dataset)
        configuration = bigquery.QueryJobConfig(default_dataset=default, **more)
        return [tuple(row) for row in self.client.query(sql, location=PLACE, job_config=configuration).result()]


def make_place(server: LocalServer, storage: LocalServer) -> Place:
    number = next(_numbers)
    client = open_client(project="local", endpoint=server.url)
    dataset = bigquery.Dataset(f"local.d{number}")
    dataset.location = PLACE
    client.create_dataset(dataset)
    service = open_storage(project="local", endpoint=storage.url)
    bucket = f"bq-{os.getpid()}-{number}"
    service.client.create_bucket(bucket)
    return Place(client, server, f"d{number}", Store(service, bucket))


@pytest.fixture
def place(bigquery_server: LocalServer, storage_server: LocalServer) -> Iterator[Place]:
    yield make_place(bigquery_server, storage_server)
    bigquery_server.disarm()


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def at(day: datetime, hour: int) -> datetime:
    return day.replace(hour=hour)


def test_datasets_are_made_once_listed_labelled_and_deleted_only_when_empty_or_with_their_tables(place: Place) -> None:
    found = place.client.get_dataset(f"local.{place.dataset}")
    assert found.location == PLACE
    with pytest.raises(Conflict, match=f"Already Exists: Dataset local:{place.dataset}"):
        place.client.create_dataset(found)
    found.labels, found.description = {"team": "data"}, "a lake"
    assert place.client.update_dataset(found, ["labels", "description"]).labels == {"team": "data"}
    assert place.dataset in {each.dataset_id for each in place.client.list_datasets()}
    place.table()
    with pytest.raises(BadRequest, match="is still in use"):
        place.client.delete_dataset(place.dataset)
    place.client.delete_dataset(place.dataset, delete_contents=True)
    with pytest.raises(NotFound, match="Not found: Dataset"):
        place.client.get_dataset(place.dataset)


def test_a_table_keeps_its_layout_and_words_and_takes_added_columns_only(place: Place) -> None:
    made = place.table()
    assert (made.time_partitioning.field, made.clustering_fields, made.labels) == ("timestamp", ["symbol"], {"layer": "candles"})
    assert made.schema[0].description == "Start of the bar"
    assert made.num_rows == 0
    with pytest.raises(Conflict, match="Already Exists: Table"):
        place.table()
    made.schema = [*made.schema, bigquery.SchemaField("spread", "FLOAT64")]
    assert [field.name for field in place.client.update_table(made, ["schema"]).schema][-1] == "spread"
    for change, says in (
        (
            [*SCHEMA[:3], bigquery.SchemaField("n", "STRING"), bigquery.SchemaField("spread", "FLOAT64")],
            "changed type from INTEGER to STRING",
        ),
        (SCHEMA[:3], "is missing in new schema"),
        ([*made.schema, bigquery.SchemaField("must", "INT64", mode="REQUIRED")], "Cannot add required fields"),
    ):
        made.schema = change
        with pytest.raises(BadRequest, match=says):
            place.client.update_table(made, ["schema"])
    assert [each.table_id for each in place.client.list_tables(place.dataset)] == ["t"]
    place.client.delete_table(place.name("t"))
    with pytest.raises(NotFound, match=f"Not found: Table local:{place.dataset}.t"):
        place.client.get_table(place.name("t"))


def test_a_job_is_pending_then_running_then_done_and_its_name_is_taken_for_ever(place: Place) -> None:
    place.table()
    uri = place.put("a.parquet", (DAY, "X", 1.0, 1))
    name = f"life-{place.dataset}"
    place.server.post("/_tickdeck/faults", {"fault": "hold_jobs", "state": "PENDING", "match": name})
    job = place.load(uri, job=name)
    assert (job.state, place.client.get_job(name, location=PLACE).state) == ("PENDING", "PENDING")
    place.server.post("/_tickdeck/faults", {"fault": "hold_jobs", "state": "RUNNING", "match": name})
    pending = [fault for fault in place.server.get("/_tickdeck/faults")["faults"] if fault["state"] == "PENDING"]
    assert pending[0]["struck"] > 0
    place.server.disarm()
    place.server.post("/_tickdeck/faults", {"fault": "hold_jobs", "state": "RUNNING", "match": name + "-2"})
    assert job.result().output_rows == 1
    assert job.state == "DONE"
    with pytest.raises(Conflict, match=f"Already Exists: Job local:{PLACE}.{name}"):
        place.load(uri, job=name)
    held = place.load(uri, write="WRITE_APPEND", job=name + "-2")
    wait_until(lambda: place.client.get_job(held.job_id, location=PLACE).state == "RUNNING")
    assert held.job_id in {each.job_id for each in place.client.list_jobs(state_filter="running")}
    held.cancel()
    with pytest.raises(Exception, match="Job execution was cancelled"):
        held.result()
    assert place.rows("SELECT count(*) FROM t") == [(1,)]
    with pytest.raises(NotFound, match="Not found: Job"):
        place.client.get_job(name, location="US")


def test_a_partition_is_replaced_as_a_whole_and_the_others_stay(place: Place) -> None:
    place.table()
    first = place.put("day-1/a.parquet", (at(DAY, 1), "X", 1.0, 1), (at(DAY, 2), "Y", 2.0, 2))
    second = place.put("day-2/a.parquet", (at(NEXT, 1), "X", 3.0, 3))
    place.load(first, "t$20240501").result()
    place.load(second, "t$20240502").result()
    again = place.put("day-1/b.parquet", (at(DAY, 5), "Z", 9.0, 9))
    done = place.load(again, "t$20240501").result()
    assert done.output_rows == 1
    assert place.rows("SELECT symbol, price FROM t ORDER BY timestamp") == [("Z", 9.0), ("X", 3.0)]
    assert place.client.get_table(place.name("t$20240501")).num_rows == 1
    with pytest.raises(BadRequest, match="Some rows belong to different partitions rather than destination partition 20240501"):
        place.load([again, second], "t$20240501").result()
    partitions = f"SELECT table_name, partition_id, total_rows FROM {place.dataset}.INFORMATION_SCHEMA.PARTITIONS ORDER BY 2"
    assert place.rows(partitions) == [("t", "20240501", 1), ("t", "20240502", 1)]
    place.client.delete_table(place.name("t$20240502"))
    assert place.rows("SELECT symbol FROM t") == [("Z",)]


def test_uris_are_lists_and_one_wildcard_that_crosses_slashes_and_a_missing_object_is_an_error(place: Place) -> None:
    place.table()
    place.put("x/day=1/venue-a/A.parquet", (at(DAY, 1), "A", 1.0, 1))
    place.put("x/day=1/venue-b/B.parquet", (at(DAY, 2), "B", 1.0, 1))
    lone = place.put("y/C.parquet", (at(DAY, 3), "C", 1.0, 1))
    wild = f"gs://{place.bucket.bucket}/x/*.parquet"
    done = place.load([wild, lone, lone], "t$20240501").result()
    assert (done.output_rows, done.input_files) == (3, 3)
    for uris, says in (
        (f"gs://{place.bucket.bucket}/x/nope-*", "Not found: URI"),
        ([lone, f"gs://{place.bucket.bucket}/no.parquet"], "Not found: URI"),
    ):
        with pytest.raises(NotFound, match=says):
            place.load(uris).result()
    with pytest.raises(BadRequest, match="Only one wildcard"):
        place.load(f"gs://{place.bucket.bucket}/*/*.parquet")
    place.bucket.put("bad.parquet", b"no parquet", if_generation=None)
    with pytest.raises(BadRequest, match="not in Parquet format"):
        place.load(f"gs://{place.bucket.bucket}/bad.parquet").result()
    assert place.rows("SELECT count(*) FROM t") == [(3,)]


def test_write_and_create_dispositions_and_added_columns_do_what_they_say(place: Place) -> None:
    uri = place.put("a.parquet", (DAY, "X", 1.0, 1))
    wider = place.put("b.parquet", (DAY, "Y", 2.0, 2), more={"spread": [0.5]})
    with pytest.raises(NotFound, match="Not found: Table"):
        place.load(uri, create_disposition="CREATE_NEVER").result()
    place.load(uri, write="WRITE_EMPTY", time_partitioning=bigquery.TimePartitioning(field="timestamp")).result()
    assert place.client.get_table(place.name("t")).time_partitioning.field == "timestamp"
    with pytest.raises(Conflict, match="Already Exists: Table"):
        place.load(uri, write="WRITE_EMPTY").result()
    with pytest.raises(BadRequest, match=r"Cannot add fields \(field: spread\)"):
        place.load(wider, write="WRITE_APPEND").result()
    place.load(wider, write="WRITE_APPEND", schema_update_options=["ALLOW_FIELD_ADDITION"]).result()
    assert place.rows("SELECT symbol, spread FROM t ORDER BY 1") == [("X", None), ("Y", 0.5)]
    wrong = place.put("c.parquet", (DAY, "Y", 2.0, 2), more={"spread": ["wide"]})
    with pytest.raises(BadRequest, match="changed type from FLOAT to STRING"):
        place.load(wrong, write="WRITE_APPEND").result()


def test_streamed_rows_are_added_once_for_each_insert_id_and_bad_rows_are_named(place: Place) -> None:
    place.table()
    rows = [{"timestamp": "2024-05-01T00:00:01Z", "symbol": "X", "price": 1.5, "n": 1}, {"timestamp": 1714521602.5, "symbol": "Y"}]
    assert place.client.insert_rows_json(place.name("t"), rows, row_ids=["1", "2"]) == []
    assert place.client.insert_rows_json(place.name("t"), rows, row_ids=["2", "3"]) == []
    assert place.rows("SELECT symbol, count(*) FROM t GROUP BY 1 ORDER BY 1") == [("X", 1), ("Y", 2)], "one row of each request was known"
    assert place.rows("SELECT max(timestamp) FROM t") == [(datetime(2024, 5, 1, 0, 0, 2, 500_000, tzinfo=UTC),)]
    errors = place.client.insert_rows_json(place.name("t"), [{"symbol": "Z"}, {"colour": "red"}, {"n": "many"}])
    told = {error["index"]: error["errors"][0] for error in errors}
    assert (told[0]["reason"], told[1]["message"], told[2]["location"]) == ("stopped", "no such field: colour.", "n")
    assert place.client.get_table(place.name("t")).num_rows == 3
    assert place.client.insert_rows_json(place.name("t"), [{"symbol": "Z"}, {"colour": "red"}], skip_invalid_rows=True)
    listed = list(place.client.list_rows(place.name("t"), page_size=2, selected_fields=[bigquery.SchemaField("symbol", "STRING")]))
    assert sorted(row["symbol"] for row in listed) == ["X", "Y", "Y", "Z"]


def test_queries_speak_googlesql_with_parameters_pages_and_changes_of_rows(place: Place) -> None:
    place.table()
    place.load(place.put("a.parquet", *((at(DAY, hour), "XY"[hour % 2], float(hour), hour) for hour in range(24)))).result()
    later = bigquery.ScalarQueryParameter("since", "TIMESTAMP", at(DAY, 20))
    symbols = bigquery.ArrayQueryParameter("symbols", "STRING", ["X", "Q"])
    sql = (
        "SELECT symbol, SUM(n), SAFE_DIVIDE(SUM(n), 0) AS ratio FROM t WHERE timestamp >= @since AND symbol IN UNNEST(@symbols) GROUP BY 1"
    )
    assert place.rows(sql, query_parameters=[later, symbols]) == [("X", 42, None)]
    assert place.rows("SELECT TIMESTAMP_TRUNC(timestamp, DAY), COUNTIF(n > 3) FROM t GROUP BY 1") == [(DAY, 20)]
    last = "SELECT n FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY symbol ORDER BY timestamp DESC) = 1 ORDER BY n"
    assert place.rows(last) == [(22,), (23,)]
    paged = place.client.query(f"SELECT n FROM {place.dataset}.t ORDER BY n", location=PLACE).result(page_size=5)
    assert [row["n"] for row in paged] == list(range(24))
    job = place.client.query(f"DELETE FROM {place.dataset}.t WHERE n < 20", location=PLACE)
    job.result()
    assert job.num_dml_affected_rows == 20
    dry = place.client.query(f"SELECT * FROM {place.dataset}.t", location=PLACE, job_config=bigquery.QueryJobConfig(dry_run=True))
    assert dry.total_bytes_processed == 4 * (8 + 3 + 8 + 8)
    external = bigquery.Table(place.name("outside"), schema=SCHEMA)
    reading = bigquery.ExternalConfig("PARQUET")
    reading.source_uris = [f"gs://{place.bucket.bucket}/*.parquet"]
    external.external_data_configuration = reading
    place.client.create_table(external)
    assert place.rows("SELECT count(*), count(DISTINCT symbol) FROM outside") == [(24, 2)]
    assert "f0_" in dict(next(iter(place.client.query_and_wait(f"SELECT COUNT(*) FROM {place.dataset}.t"))))


@pytest.mark.parametrize(
    ("sql", "error", "says"),
    [
        ("SELECT nope FROM t", BadRequest, "Unrecognized name: nope"),
        ("SELEC 1", BadRequest, "Syntax error"),
        ("SELECT * FROM missing", NotFound, "Not found: Table"),
        ("SELECT * FROM elsewhere.t", NotFound, "Not found: Dataset local:elsewhere"),
        ("CREATE TABLE x (a INT64)", MethodNotImplemented, "the statement CREATE"),
        ("SELECT 1; SELECT 2", MethodNotImplemented, "scripts of several statements"),
        ("SELECT * FROM read_csv('/etc/passwd')", MethodNotImplemented, "table functions"),
        ("SELECT [1, 2] AS pair", MethodNotImplemented, "the type"),
    ],
)
def test_sql_that_cannot_be_answered_is_refused_in_words(place: Place, sql: str, error: type[Exception], says: str) -> None:
    place.table()
    with pytest.raises(error, match=says):
        place.rows(sql)


@pytest.mark.parametrize(
    ("method", "path", "body", "names"),
    [
        ("GET", "projects/local/datasets/d/models", None, "GET /bigquery/v2/projects/local/datasets/d/models"),
        (
            "POST",
            "projects/local/datasets",
            {"datasetReference": {"datasetId": "e"}, "defaultTableExpirationMs": "1"},
            "defaultTableExpirationMs",
        ),
        ("POST", "projects/local/jobs", {"configuration": {"extract": {"a": 1}}}, "configuration.extract"),
        ("POST", "projects/local/queries", {"query": "SELECT 1", "useLegacySql": True}, "legacy SQL"),
        ("POST", "projects/local/queries", {"query": "SELECT 1", "useLegacySql": False, "maximumBytesBilled": "1"}, "maximumBytesBilled"),
        (
            "POST",
            "projects/local/datasets/{d}/tables",
            {"tableReference": {"tableId": "v"}, "view": {"query": "SELECT 1"}},
            "tables.insert.view",
        ),
        (
            "POST",
            "projects/local/jobs",
            {"configuration": {"load": {"sourceFormat": "CSV", "destinationTable": {"datasetId": "{d}", "tableId": "t"}}}},
            "load jobs of the format CSV",
        ),
    ],
)
def test_what_it_lacks_it_refuses_by_name(place: Place, method: str, path: str, body: dict[str, Any] | None, names: str) -> None:
    text = None if body is None else json.dumps(body).replace("{d}", place.dataset).encode()
    url = f"{place.server.url}/bigquery/v2/{path.replace('{d}', place.dataset)}"
    request = urllib.request.Request(url, data=text, method=method, headers={"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    answer = json.load(caught.value)
    assert (caught.value.code, answer["error"]["status"]) == (501, "UNIMPLEMENTED")
    assert names in answer["error"]["message"]


def test_a_server_that_is_killed_in_a_load_comes_back_with_all_and_does_it_once(
    tmp_path: Path, storage_server: LocalServer, servers_root: Path
) -> None:
    arguments = ("bigquery", tmp_path / "bigquery", "--storage-ready", str(servers_root / "storage.ready"))
    with started(*arguments) as server:
        place = make_place(server, storage_server)
        place.table()
        uri = place.put("a.parquet", (at(DAY, 1), "X", 1.0, 1))
        place.load(uri, write="WRITE_APPEND", job="before").result()
        server.post("/_tickdeck/faults", {"fault": "hold_jobs", "state": "RUNNING", "match": "during"})
        place.load(uri, write="WRITE_APPEND", job="during")
        wait_until(lambda: place.client.get_job("during", location=PLACE).state == "RUNNING")
        with pytest.raises(Exception, match="bigquery"), started(*arguments):
            pass  # a second server does not get the folder
        os.kill(server.pid, signal.SIGKILL)
    with started(*arguments) as server:
        client = open_client(project="local", endpoint=server.url)
        assert client.get_job("during", location=PLACE).result().output_rows == 1
        assert client.get_table(f"local.{place.dataset}.t").num_rows == 2
        with pytest.raises(Conflict, match="Already Exists: Job"):
            client.load_table_from_uri(
                uri, place.name("t"), job_id="before", location=PLACE, job_config=bigquery.LoadJobConfig(source_format="PARQUET")
            )
