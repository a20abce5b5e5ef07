"""Datasets and tables in one DuckDB file: what they are, as BigQuery's resources say it, beside the rows themselves.

A dataset is a schema of DuckDB called `project:dataset`; the resources are rows of tables in the schema `tickdeck`, so that what a
table is and what it holds change in one transaction. One writer at a time, as many readers as ask.
"""

from __future__ import annotations

import fcntl
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from provision.local.bigquery.errors import BigQueryError, already_exists, invalid, not_found, not_implemented, refuse_unknown
from provision.local.bigquery.gcs_objects import require_uris
from provision.local.bigquery.schemas import Field, Json, read_schema, write_schema

FILE = "warehouse.duckdb"
DEFAULT_LOCATION = "US"

_DATASET_KEYS = frozenset(
    {"kind", "etag", "id", "selfLink", "datasetReference", "friendlyName", "description", "labels", "location", "creationTime"}
    | {"lastModifiedTime", "type", "access"}
)
_TABLE_KEYS = frozenset(
    {"kind", "etag", "id", "selfLink", "tableReference", "friendlyName", "description", "labels", "schema", "timePartitioning"}
    | {"clustering", "externalDataConfiguration", "numRows", "numBytes", "creationTime", "lastModifiedTime", "type", "location"}
)
_EXTERNAL_KEYS = frozenset({"sourceUris", "sourceFormat", "autodetect", "schema", "compression"})

_SETUP = """
CREATE SCHEMA IF NOT EXISTS tickdeck;
CREATE SCHEMA IF NOT EXISTS results;
CREATE TABLE IF NOT EXISTS tickdeck.datasets (project VARCHAR, dataset VARCHAR, body VARCHAR, PRIMARY KEY (project, dataset));
CREATE TABLE IF NOT EXISTS tickdeck.tables
    (project VARCHAR, dataset VARCHAR, name VARCHAR, body VARCHAR, PRIMARY KEY (project, dataset, name));
CREATE TABLE IF NOT EXISTS tickdeck.jobs (project VARCHAR, job VARCHAR, body VARCHAR, PRIMARY KEY (project, job));
CREATE TABLE IF NOT EXISTS tickdeck.streamed (place VARCHAR, insert_id VARCHAR, seen DOUBLE, PRIMARY KEY (place, insert_id));
"""


class RootInUseError(RuntimeError):
    """Another server has this folder."""


@dataclass(frozen=True, slots=True)
class TableName:
    """A table, or one day's partition of it."""

    project: str
    dataset: str
    table: str
    partition: str = ""
    """`YYYYMMDD`, or empty."""

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}.{self.table}{'$' + self.partition if self.partition else ''}"

    @property
    def sql(self) -> str:
        """Its name in DuckDB."""
        return f"{quoted(f'{self.project}:{self.dataset}')}.{quoted(self.table)}"

    @property
    def day(self) -> date | None:
        """The partition's UTC day."""
        return datetime.strptime(self.partition, "%Y%m%d").replace(tzinfo=UTC).date() if self.partition else None


def quoted(name: str) -> str:
    """An identifier for DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def read_name(reference: Json) -> TableName:
    """The table that a TableReference names, with its `$` decorator.

    Raises:
        BigQueryError: 400 or 501.
    """
    table, dollar, partition = str(reference.get("tableId", "")).partition("$")
    if not re.fullmatch(r"[\w -]{1,1024}", table):
        raise invalid(f'Invalid table ID "{table}".')
    if dollar and not re.fullmatch(r"\d{8}", partition):
        raise not_implemented(f"the partition decorator ${partition}")
    name = TableName(str(reference.get("projectId", "")), str(reference.get("datasetId", "")), table, partition)
    try:
        _ = name.day
    except ValueError:
        raise invalid(f"Invalid partition ID ${partition}") from None
    return name


def first(cursor: duckdb.DuckDBPyConnection, sql: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
    """The first row of a small answer, read to its end: a connection with an unfinished result does no other work."""
    rows = cursor.execute(sql, list(values)).fetchall()
    return rows[0] if rows else None


def now_ms() -> str:
    """Now, as BigQuery writes times of resources."""
    return str(time.time_ns() // 1_000_000)


class Warehouse:
    """The DuckDB file of one folder."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self._lock_file = (root / "lock").open("wb")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock_file.close()
            raise RootInUseError(f"another BigQuery server holds {root}") from None
        # Nothing is ever downloaded, and no file is read but those that the server names itself.
        closed = ("autoinstall_known_extensions", "autoload_known_extensions", "python_enable_replacements")
        settings: dict[str, Any] = {**dict.fromkeys(closed, "false"), "threads": 2, "memory_limit": "1GB"}
        self._connection = duckdb.connect(str(root / FILE), config=settings)
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self._connection.execute(_SETUP)
        self._writing = threading.RLock()

    def close(self) -> None:
        """Close the file and free the folder."""
        self._connection.close()
        self._lock_file.close()

    def reader(self) -> duckdb.DuckDBPyConnection:
        """A connection that sees what is committed."""
        return self._connection.cursor()

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction: everything in it, or nothing."""
        with self._writing, self._connection.cursor() as cursor:
            cursor.begin()
            try:
                yield cursor
            except BaseException:
                cursor.rollback()
                raise
            cursor.commit()

    # Datasets

    def insert_dataset(self, project: str, body: Json) -> Json:
        """datasets.insert."""
        refuse_unknown(body, _DATASET_KEYS, "datasets.insert")
        dataset = str((body.get("datasetReference") or {}).get("datasetId", ""))
        if not re.fullmatch(r"\w{1,1024}", dataset, re.ASCII):
            raise invalid(f'Invalid dataset ID "{dataset}". Dataset IDs must be alphanumeric (plus underscores) and at most 1024 long.')
        made = now_ms()
        resource = {
            **body,
            "kind": "bigquery#dataset",
            "id": f"{project}:{dataset}",
            "datasetReference": {"projectId": project, "datasetId": dataset},
            "location": body.get("location") or DEFAULT_LOCATION,
            "creationTime": made,
            "lastModifiedTime": made,
        }
        with self.writing() as cursor:
            if first(cursor, "SELECT 1 FROM tickdeck.datasets WHERE project = ? AND lower(dataset) = lower(?)", [project, dataset]):
                raise already_exists("Dataset", f"{project}:{dataset}")
            cursor.execute(f"CREATE SCHEMA {quoted(f'{project}:{dataset}')}")
            cursor.execute("INSERT INTO tickdeck.datasets VALUES (?, ?, ?)", [project, dataset, json.dumps(resource)])
        return resource

    def dataset(self, project: str, dataset: str, *, cursor: duckdb.DuckDBPyConnection | None = None) -> Json:
        """datasets.get."""
        found = first(cursor or self.reader(), "SELECT body FROM tickdeck.datasets WHERE project = ? AND dataset = ?", [project, dataset])
        if found is None:
            raise not_found("Dataset", f"{project}:{dataset}")
        return dict(json.loads(found[0]))

    def datasets(self, project: str) -> list[Json]:
        """datasets.list, by name."""
        rows = self.reader().execute("SELECT body FROM tickdeck.datasets WHERE project = ? ORDER BY dataset", [project]).fetchall()
        return [json.loads(body) for (body,) in rows]

    def patch_dataset(self, project: str, dataset: str, body: Json) -> Json:
        """datasets.patch."""
        refuse_unknown(body, _DATASET_KEYS, "datasets.patch")
        with self.writing() as cursor:
            resource = _merged(self.dataset(project, dataset, cursor=cursor), body, ("description", "friendlyName", "labels", "access"))
            cursor.execute(
                "UPDATE tickdeck.datasets SET body = ? WHERE project = ? AND dataset = ?", [json.dumps(resource), project, dataset]
            )
        return resource

    def delete_dataset(self, project: str, dataset: str, *, with_contents: bool) -> None:
        """datasets.delete."""
        with self.writing() as cursor:
            self.dataset(project, dataset, cursor=cursor)
            held = first(
                cursor,
                "SELECT 1 FROM tickdeck.tables WHERE project = ? AND dataset = ?",
                [project, dataset],
            )
            if held and not with_contents:
                raise BigQueryError(400, "resourceInUse", f"Dataset {project}:{dataset} is still in use")
            cursor.execute(f"DROP SCHEMA {quoted(f'{project}:{dataset}')} CASCADE")
            cursor.execute("DELETE FROM tickdeck.tables WHERE project = ? AND dataset = ?", [project, dataset])
            cursor.execute("DELETE FROM tickdeck.datasets WHERE project = ? AND dataset = ?", [project, dataset])

    # Tables

    def insert_table(self, project: str, dataset: str, body: Json) -> Json:
        """tables.insert."""
        name = read_name({**(body.get("tableReference") or {}), "projectId": project, "datasetId": dataset})
        with self.writing() as cursor:
            self.create(cursor, name, body)
        return self.table(name)

    def create(self, cursor: duckdb.DuckDBPyConnection, name: TableName, body: Json) -> Json:
        """Create a table in a transaction."""
        refuse_unknown(body, _TABLE_KEYS, "tables.insert")
        if name.partition:
            raise invalid(f'Invalid table ID "{name.table}${name.partition}".')
        location = self.dataset(name.project, name.dataset, cursor=cursor)["location"]
        if first(
            cursor,
            "SELECT 1 FROM tickdeck.tables WHERE project = ? AND dataset = ? AND lower(name) = lower(?)",
            [name.project, name.dataset, name.table],
        ):
            raise already_exists("Table", str(name))
        external = body.get("externalDataConfiguration")
        fields = read_schema(body.get("schema") or (external or {}).get("schema"))
        if external is not None:
            refuse_unknown(external, _EXTERNAL_KEYS, "externalDataConfiguration")
            if external.get("sourceFormat") != "PARQUET":
                raise not_implemented(f"external tables of the format {external.get('sourceFormat')}")
            require_uris(external.get("sourceUris") or [])
        _require_layout(body, fields)
        made = now_ms()
        resource = {
            **body,
            "kind": "bigquery#table",
            "id": str(name),
            "tableReference": {"projectId": name.project, "datasetId": name.dataset, "tableId": name.table},
            "type": "TABLE" if external is None else "EXTERNAL",
            "schema": write_schema(fields),
            "location": location,
            "creationTime": made,
            "lastModifiedTime": made,
        }
        if external is None and fields:
            self._create_rows(cursor, name, fields)
        cursor.execute("INSERT INTO tickdeck.tables VALUES (?, ?, ?, ?)", [name.project, name.dataset, name.table, json.dumps(resource)])
        return resource

    def _create_rows(self, cursor: duckdb.DuckDBPyConnection, name: TableName, fields: Sequence[Field]) -> None:
        columns = ", ".join(f"{quoted(field.name)} {field.duckdb}" for field in fields)
        cursor.execute(f"CREATE OR REPLACE TABLE {name.sql} ({columns})")

    def resource(self, name: TableName, *, cursor: duckdb.DuckDBPyConnection | None = None) -> Json | None:
        """A table as it was defined, without its figures; None if there is none."""
        found = first(
            cursor or self.reader(),
            "SELECT body FROM tickdeck.tables WHERE project = ? AND dataset = ? AND name = ?",
            [name.project, name.dataset, name.table],
        )
        return None if found is None else dict(json.loads(found[0]))

    def require(self, name: TableName, *, cursor: duckdb.DuckDBPyConnection | None = None) -> Json:
        """The same.

        Raises:
            BigQueryError: 404 for the dataset or the table.
        """
        resource = self.resource(name, cursor=cursor)
        if resource is None:
            self.dataset(name.project, name.dataset, cursor=cursor)
            raise not_found("Table", str(name))
        return resource

    def table(self, name: TableName) -> Json:
        """tables.get: with rows and logical bytes, of the table or of the partition that is named."""
        resource = self.require(name)
        if resource["type"] == "TABLE":
            rows, size = self.figures(name, resource)
            resource |= {"numRows": str(rows), "numBytes": str(size)}
        return resource

    def figures(self, name: TableName, resource: Json, *, cursor: duckdb.DuckDBPyConnection | None = None) -> tuple[int, int]:
        """Rows and logical bytes ("Data type sizes": 8 for a number or a time, 2 + length for a text, nothing for a null)."""
        fields = read_schema(resource["schema"])
        if not fields:
            return 0, 0
        sizes = []
        for field in fields:
            column = quoted(field.name)
            fixed = {"BOOLEAN": 1, "NUMERIC": 16}.get(field.type, 8)
            texts = {"STRING": f"strlen({column})", "BYTES": f"octet_length({column})"}.get(field.type)
            sizes.append(f"coalesce(sum({texts} + 2), 0)" if texts else f"count({column}) * {fixed}")
        where = f" WHERE {self.inside(name, resource)}" if name.partition else ""
        found = first(cursor or self.reader(), f"SELECT count(*), {' + '.join(sizes)} FROM {name.sql}{where}")
        assert found is not None
        return int(found[0]), int(found[1])

    def inside(self, name: TableName, resource: Json) -> str:
        """The condition in SQL that a row lies in the partition that is named.

        Raises:
            BigQueryError: 400 if the table has no partitions of days.
        """
        column = (resource.get("timePartitioning") or {}).get("field")
        if not column:
            raise invalid(f"Cannot use a partition decorator on the non-partitioned table {name}")
        return f"coalesce(CAST({quoted(column)} AS DATE) = DATE '{name.day}', false)"

    def tables(self, project: str, dataset: str) -> list[Json]:
        """tables.list, by name."""
        self.dataset(project, dataset)
        rows = (
            self.reader()
            .execute("SELECT body FROM tickdeck.tables WHERE project = ? AND dataset = ? ORDER BY name", [project, dataset])
            .fetchall()
        )
        return [json.loads(body) for (body,) in rows]

    def patch_table(self, name: TableName, body: Json) -> Json:
        """tables.patch: words, and added columns; nothing else can change."""
        refuse_unknown(body, _TABLE_KEYS, "tables.patch")
        with self.writing() as cursor:
            before = self.require(name, cursor=cursor)
            for key in ("timePartitioning", "clustering"):
                if key in body and (body[key] or None) != (before.get(key) or None):
                    raise not_implemented(f"a change of {key}")
            words = ("description", "friendlyName", "labels", "externalDataConfiguration")
            resource = _merged(before, body, words)
            if body.get("schema"):
                self.add_columns(cursor, name, resource, read_schema(body["schema"]))
            self.save(cursor, name, resource)
        return self.table(name)

    def add_columns(self, cursor: duckdb.DuckDBPyConnection, name: TableName, resource: Json, wanted: Sequence[Field]) -> None:
        """Make the columns of a table those that are wanted, changing `resource`: new ones at the end, words of old ones anew.

        Raises:
            BigQueryError: 400 in BigQuery's words, if a column would go, or change.
        """
        held = read_schema(resource["schema"])
        mismatch = f"Provided Schema does not match Table {name}."
        by_name = {field.name: field for field in wanted}
        for field in held:
            new = by_name.get(field.name)
            if new is None:
                raise invalid(f"{mismatch} Field {field.name} is missing in new schema")
            if new.type != field.type:
                raise invalid(f"{mismatch} Field {field.name} has changed type from {field.type} to {new.type}")
            if new.mode == "REQUIRED" and field.mode != "REQUIRED":
                raise invalid(f"{mismatch} Field {field.name} has changed mode from {field.mode} to {new.mode}")
        known = {field.name for field in held}
        added = [field for field in wanted if field.name not in known]
        for field in added:
            if field.mode == "REQUIRED":
                raise invalid(f"{mismatch} Cannot add required fields to an existing schema. (field: {field.name})")
        if resource["type"] == "TABLE":
            if not held and added:
                self._create_rows(cursor, name, added)
            else:
                for field in added:
                    cursor.execute(f"ALTER TABLE {name.sql} ADD COLUMN {quoted(field.name)} {field.duckdb}")
        resource["schema"] = write_schema([*(by_name[field.name] for field in held), *added])

    def replace_columns(self, cursor: duckdb.DuckDBPyConnection, name: TableName, resource: Json, fields: Sequence[Field]) -> None:
        """Empty a table and give it other columns, changing `resource`: what WRITE_TRUNCATE of a whole table does."""
        _require_layout(resource, fields)
        self._create_rows(cursor, name, fields)
        resource["schema"] = write_schema(fields)

    def save(self, cursor: duckdb.DuckDBPyConnection, name: TableName, resource: Json) -> None:
        """Write down what a table is now."""
        resource["lastModifiedTime"] = now_ms()
        cursor.execute(
            "UPDATE tickdeck.tables SET body = ? WHERE project = ? AND dataset = ? AND name = ?",
            [json.dumps(resource), name.project, name.dataset, name.table],
        )

    def delete_table(self, name: TableName) -> None:
        """tables.delete; of a partition only, where one is named."""
        with self.writing() as cursor:
            resource = self.require(name, cursor=cursor)
            if name.partition:
                cursor.execute(f"DELETE FROM {name.sql} WHERE {self.inside(name, resource)}")
                self.save(cursor, name, resource)
                return
            cursor.execute(f"DROP TABLE IF EXISTS {name.sql}")
            cursor.execute(
                "DELETE FROM tickdeck.tables WHERE project = ? AND dataset = ? AND name = ?", [name.project, name.dataset, name.table]
            )
            cursor.execute("DELETE FROM tickdeck.streamed WHERE place = ?", [str(name)])


def _merged(resource: Json, body: Json, words: Sequence[str]) -> Json:
    merged = {**resource, "lastModifiedTime": now_ms()}
    for key in words:
        if key not in body:
            continue
        if key == "labels" and body[key] is not None:
            labels = {**(resource.get("labels") or {}), **body[key]}
            merged[key] = {label: value for label, value in labels.items() if value is not None}
        elif body[key] is None:
            merged.pop(key, None)
        else:
            merged[key] = body[key]
    return merged


def _require_layout(body: Any, fields: Sequence[Field]) -> None:
    by_name = {field.name: field for field in fields}
    layout = body.get("timePartitioning")
    if layout is not None:
        refuse_unknown(layout, frozenset({"type", "field"}), "timePartitioning")
        if str(layout.get("type", "")).upper() != "DAY":
            raise not_implemented(f"partitions by {layout.get('type')}")
        column = layout.get("field")
        if not column:
            raise not_implemented("partitions by time of ingestion")
        if fields and (column not in by_name or by_name[column].type not in ("TIMESTAMP", "DATE")):
            raise invalid("The field specified for partitioning must be a top-level column of type TIMESTAMP or DATE: " + str(column))
    clustering = (body.get("clustering") or {}).get("fields") or []
    if len(clustering) > 4:
        raise invalid("Only up to 4 clustering columns are supported")
    for column in clustering:
        if fields and column not in by_name:
            raise invalid(f"The field specified for clustering cannot be found in the schema. Invalid field: {column}.")
