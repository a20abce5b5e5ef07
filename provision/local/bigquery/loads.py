"""What a load job does: reads the objects of its URIs, compares their columns with the table's, and replaces or adds rows at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from provision.local.bigquery.errors import BigQueryError, invalid, not_found, not_implemented, refuse_unknown
from provision.local.bigquery.gcs_objects import LocalBucket, SourceObject, require_uris
from provision.local.bigquery.schemas import Field, Json, fields_of_arrow, read_schema, write_schema
from provision.local.bigquery.warehouse import TableName, Warehouse, first, quoted, read_name

_KEYS = frozenset(
    {"sourceUris", "destinationTable", "sourceFormat", "writeDisposition", "createDisposition", "schema", "schemaUpdateOptions"}
    | {"timePartitioning", "clustering", "autodetect", "maxBadRecords", "ignoreUnknownValues"}
)
_WRITES = ("WRITE_TRUNCATE", "WRITE_APPEND", "WRITE_EMPTY")
_CREATES = ("CREATE_IF_NEEDED", "CREATE_NEVER")
FIELD_ADDITION = "ALLOW_FIELD_ADDITION"

Finish = Callable[[duckdb.DuckDBPyConnection, Json], None]
"""Writes down, in the load's own transaction, that the job is done, with its statistics."""


def check_load(load: Json) -> TableName:
    """Read a load configuration; the table it is for.

    Raises:
        BigQueryError: 400 or 501, naming what is wrong or missing.
    """
    refuse_unknown(load, _KEYS, "configuration.load")
    if load.get("sourceFormat") != "PARQUET":
        raise not_implemented(f"load jobs of the format {load.get('sourceFormat') or 'CSV'}")
    require_uris(load.get("sourceUris") or [])
    for key, known in (("writeDisposition", _WRITES), ("createDisposition", _CREATES)):
        if load.get(key) not in (None, *known):
            raise invalid(f"Invalid value for {key}: {load[key]}")
    for option in load.get("schemaUpdateOptions") or []:
        if option != FIELD_ADDITION:
            raise not_implemented(f"the schema update option {option}")
    read_schema(load.get("schema"))
    return read_name(load.get("destinationTable") or {})


def run_load(warehouse: Warehouse, bucket: LocalBucket, load: Json, *, place: Path, lost_rows: int, finish: Finish) -> None:
    """Do a load: all of it, with its job's being done, in one transaction.

    Args:
        warehouse: where to.
        bucket: where from.
        load: the configuration, checked.
        place: a folder for the objects, which is removed again.
        lost_rows: how many rows a fault switch takes away.
        finish: hears of the transaction before it is committed.

    Raises:
        BigQueryError: what the job's error result is to say. Nothing has changed then.
    """
    name = check_load(load)
    objects = bucket.find(load["sourceUris"])
    place.mkdir(parents=True, exist_ok=True)
    try:
        files = [place / f"{number}.parquet" for number in range(len(objects))]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(bucket.fetch, objects, files))
        found = _fields_of_files(files, objects)
        with warehouse.writing() as cursor:
            _write(warehouse, cursor, name, load, found, files, objects, lost_rows, finish)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _fields_of_files(files: Sequence[Path], objects: Sequence[SourceObject]) -> tuple[Field, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[str, Field] = {}
    for file, source in zip(files, objects, strict=True):
        uri = f"gs://{source.bucket}/{source.name}"
        try:
            schema = pq.read_schema(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise invalid(f"Error while reading data, error message: Input file is not in Parquet format. File: {uri}") from error
        for field in fields_of_arrow(schema, uri):
            held = found.setdefault(field.name, field)
            if held.type != field.type:
                raise invalid(
                    f"Error while reading data, error message: Parquet column '{field.name}' has type {field.type} "
                    f"which does not match the target cpp_type {held.type}. File: {uri}"
                )
    return tuple(found.values())


def _write(
    warehouse: Warehouse,
    cursor: duckdb.DuckDBPyConnection,
    name: TableName,
    load: Json,
    found: Sequence[Field],
    files: Sequence[Path],
    objects: Sequence[SourceObject],
    lost_rows: int,
    finish: Finish,
) -> None:
    whole = TableName(name.project, name.dataset, name.table)
    truncates = load.get("writeDisposition") == "WRITE_TRUNCATE"
    wanted = read_schema(load.get("schema")) or found
    resource = warehouse.resource(name, cursor=cursor)
    if resource is None:
        warehouse.dataset(name.project, name.dataset, cursor=cursor)
        if load.get("createDisposition") == "CREATE_NEVER":
            raise not_found("Table", str(whole))
        layout = {key: load[key] for key in ("timePartitioning", "clustering") if load.get(key)}
        if name.partition and not layout:
            raise not_implemented("a new table partitioned by time of ingestion")
        resource = warehouse.create(cursor, whole, {"schema": write_schema(wanted), **layout})
    elif resource["type"] != "TABLE":
        raise invalid(f"{whole} is not allowed for this operation because it is currently a {resource['type']}.")
    elif truncates and not name.partition:
        warehouse.replace_columns(cursor, whole, resource, wanted)
    else:
        _fit_columns(warehouse, cursor, whole, load, resource, wanted)
    fields = read_schema(resource["schema"])
    if load.get("writeDisposition") == "WRITE_EMPTY" and warehouse.figures(name, resource, cursor=cursor)[0]:
        raise BigQueryError(409, "duplicate", f"Already Exists: Table {name}")
    if name.partition and truncates:
        cursor.execute(f"DELETE FROM {whole.sql} WHERE {warehouse.inside(name, resource)}")
    rows = _insert(warehouse, cursor, name, resource, fields, found, files, lost_rows)
    warehouse.save(cursor, whole, resource)
    _, size = warehouse.figures(name, resource, cursor=cursor)
    finish(
        cursor,
        {
            "inputFiles": str(len(objects)),
            "inputFileBytes": str(sum(source.size for source in objects)),
            "outputRows": str(rows),
            "outputBytes": str(size),
            "badRecords": "0",
        },
    )


def _fit_columns(
    warehouse: Warehouse, cursor: duckdb.DuckDBPyConnection, name: TableName, load: Json, resource: Json, wanted: Sequence[Field]
) -> None:
    held = {field.name: field for field in read_schema(resource["schema"])}
    added = [field for field in wanted if field.name not in held]
    if added and FIELD_ADDITION not in (load.get("schemaUpdateOptions") or []) and held:
        raise invalid(f"Provided Schema does not match Table {name}. Cannot add fields (field: {added[0].name})")
    for field in wanted:
        if field.name in held and held[field.name].type != field.type:
            raise invalid(
                f"Provided Schema does not match Table {name}. Field {field.name} has changed type "
                f"from {held[field.name].type} to {field.type}"
            )
    warehouse.add_columns(cursor, name, resource, [*held.values(), *added])


def _insert(
    warehouse: Warehouse,
    cursor: duckdb.DuckDBPyConnection,
    name: TableName,
    resource: Json,
    fields: Sequence[Field],
    found: Sequence[Field],
    files: Sequence[Path],
    lost_rows: int,
) -> int:
    by_name = {field.name: field for field in fields}
    for field in found:
        if field.name not in by_name:
            raise invalid(f"Error while reading data, error message: no such field: {field.name}.")
        if by_name[field.name].type != field.type:
            raise invalid(
                f"Error while reading data, error message: Parquet column '{field.name}' has type {field.type} which does not match "
                f"the target cpp_type {by_name[field.name].type}."
            )
    names = ", ".join(quoted(field.name) for field in found)
    listed = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    source = f"read_parquet([{listed}], union_by_name = true)"
    for field in fields:
        if field.mode == "REQUIRED":
            missing = field.name not in {each.name for each in found}
            if missing or first(cursor, f"SELECT 1 FROM {source} WHERE {quoted(field.name)} IS NULL LIMIT 1"):
                raise invalid(f"Error while reading data, error message: Required field {field.name} is missing.")
    if name.partition:
        strange = first(cursor, f"SELECT count(*) FROM {source} WHERE NOT {warehouse.inside(name, resource)}")
        if strange and strange[0]:
            raise invalid(f"Some rows belong to different partitions rather than destination partition {name.partition}")
    counted = first(cursor, f"SELECT count(*) FROM {source}")
    rows = max(0, (counted[0] if counted else 0) - lost_rows)
    limit = f" LIMIT {rows}" if lost_rows else ""
    cursor.execute(f"INSERT INTO {name.sql} ({names}) SELECT {names} FROM {source}{limit}")
    return rows
