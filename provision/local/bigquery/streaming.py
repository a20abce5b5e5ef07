"""Streaming inserts: `tabledata.insertAll` with de-duplication by `insertId`."""

from __future__ import annotations

import time

from provision.local.bigquery.errors import invalid, refuse_unknown
from provision.local.bigquery.schemas import Field, Json, read_schema, read_value
from provision.local.bigquery.warehouse import TableName, Warehouse, quoted

REMEMBERED_SECONDS = 600.0
"""How long an `insertId` is known. The real service promises a minute, at best."""

MOST_ROWS = 50_000
"""Of one request ("Quotas and limits", streaming inserts)."""

_KEYS = frozenset({"kind", "rows", "skipInvalidRows", "ignoreUnknownValues"})


def insert_all(warehouse: Warehouse, name: TableName, body: Json) -> Json:
    """Add rows; what was sent before under the same `insertId` is accepted and not added again.

    Raises:
        BigQueryError: if the request as a whole cannot be meant. Single bad rows are told in the answer.
    """
    refuse_unknown(body, _KEYS, "tabledata.insertAll")
    rows = body.get("rows") or []
    if not rows:
        raise invalid("No rows present in the request.")
    if len(rows) > MOST_ROWS:
        raise invalid(f"too many rows present in the request, limit: {MOST_ROWS}, row count: {len(rows)}.")
    with warehouse.writing() as cursor:
        resource = warehouse.require(name, cursor=cursor)
        fields = read_schema(resource["schema"])
        if resource["type"] != "TABLE" or name.partition or not fields:
            raise invalid(f"Cannot add rows to a table that is no table with columns: {name}")
        errors: list[Json] = []
        good: list[tuple[str, list[object]]] = []
        for index, row in enumerate(rows):
            try:
                values = _read_row(fields, row.get("json") or {}, ignore_unknown=bool(body.get("ignoreUnknownValues")))
            except _BadRow as bad:
                told = {"reason": "invalid", "location": bad.column, "debugInfo": "", "message": str(bad)}
                errors.append({"index": index, "errors": [told]})
            else:
                good.append((str(row.get("insertId") or ""), values))
        if errors and not body.get("skipInvalidRows"):
            wrong = {error["index"] for error in errors}
            stopped = [{"reason": "stopped", "location": "", "debugInfo": "", "message": ""}]
            errors += [{"index": index, "errors": stopped} for index in range(len(rows)) if index not in wrong]
            return {"kind": "bigquery#tableDataInsertAllResponse", "insertErrors": errors}
        now = time.time()
        cursor.execute("DELETE FROM tickdeck.streamed WHERE seen < ?", [now - REMEMBERED_SECONDS])
        known = {each for (each,) in cursor.execute("SELECT insert_id FROM tickdeck.streamed WHERE place = ?", [str(name)]).fetchall()}
        fresh = []
        for insert_id, values in good:
            if insert_id and insert_id in known:
                continue
            known.add(insert_id)
            fresh.append((insert_id, values))
        if fresh:
            places = ", ".join(f"CAST(? AS {field.duckdb})" for field in fields)
            names = ", ".join(quoted(field.name) for field in fields)
            cursor.executemany(f"INSERT INTO {name.sql} ({names}) VALUES ({places})", [values for _, values in fresh])
            named = [[str(name), insert_id, now] for insert_id, _ in fresh if insert_id]
            if named:
                cursor.executemany("INSERT INTO tickdeck.streamed VALUES (?, ?, ?)", named)
        warehouse.save(cursor, name, resource)
    return {"kind": "bigquery#tableDataInsertAllResponse", **({"insertErrors": errors} if errors else {})}


class _BadRow(ValueError):
    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


def _read_row(fields: tuple[Field, ...], row: Json, *, ignore_unknown: bool) -> list[object]:
    known = {field.name for field in fields}
    for column in row:
        if column not in known and not ignore_unknown:
            raise _BadRow(column, f"no such field: {column}.")
    values = []
    for field in fields:
        try:
            values.append(read_value(field, row.get(field.name)))
        except ValueError as error:
            raise _BadRow(field.name, str(error)) from error
    return values
