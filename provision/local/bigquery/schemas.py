"""Columns: BigQuery's types beside those of DuckDB and Parquet, and how BigQuery writes values into its JSON."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from provision.local.bigquery.errors import invalid, not_implemented

if TYPE_CHECKING:
    import pyarrow as pa

Json = dict[str, Any]

_DUCKDB = {
    "STRING": "VARCHAR",
    "INTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "TIMESTAMP": "TIMESTAMPTZ",
    "DATE": "DATE",
    "BYTES": "BLOB",
    "NUMERIC": "DECIMAL(38, 9)",
}
_ALIASES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "DECIMAL": "NUMERIC"}
_MODES = ("NULLABLE", "REQUIRED")
_FIELD_KEYS = frozenset({"name", "type", "mode", "description"})

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Field:
    """One column."""

    name: str
    type: str
    """BigQuery's legacy name: INTEGER, FLOAT, BOOLEAN, ..."""
    mode: str = "NULLABLE"
    description: str = ""

    @property
    def duckdb(self) -> str:
        """Its type in DuckDB."""
        return _DUCKDB[self.type]

    def to_json(self) -> Json:
        """A TableFieldSchema."""
        described = {"description": self.description} if self.description else {}
        return {"name": self.name, "type": self.type, "mode": self.mode, **described}


def read_schema(schema: Json | None) -> tuple[Field, ...]:
    """The columns of a TableSchema.

    Raises:
        BigQueryError: 400 or 501, naming the column.
    """
    fields = []
    for item in (schema or {}).get("fields") or []:
        name, kind = str(item.get("name", "")), str(item.get("type", "")).upper()
        kind, mode = _ALIASES.get(kind, kind), str(item.get("mode") or "NULLABLE").upper()
        if not name:
            raise invalid("Missing required field name of a column.")
        if kind not in _DUCKDB:
            raise not_implemented(f"the type {kind or '(none)'} of column {name}")
        if mode not in _MODES:
            raise not_implemented(f"the mode {mode} of column {name}")
        for key in item:
            if key not in _FIELD_KEYS and item[key]:
                raise not_implemented(f"{key} of column {name}")
        fields.append(Field(name, kind, mode, str(item.get("description") or "")))
    seen: set[str] = set()
    for field in fields:
        if field.name.lower() in seen:
            raise invalid(f"Field {field.name} already exists in schema")
        seen.add(field.name.lower())
    return tuple(fields)


def write_schema(fields: Sequence[Field]) -> Json:
    """A TableSchema."""
    return {"fields": [field.to_json() for field in fields]}


def fields_of_arrow(schema: pa.Schema, where: str) -> tuple[Field, ...]:
    """The columns that BigQuery makes of a Parquet file or of a result.

    Raises:
        BigQueryError: 501, naming a column of a type that the server does not have.
    """
    return tuple(Field(field.name, _kind(field.type, f"{where}, column {field.name}")) for field in schema)


def _kind(kind: pa.DataType, where: str) -> str:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_decimal(kind) and kind.scale == 0:
        return "INTEGER"  # what DuckDB makes of a sum of integers
    for test, name in (
        (pa.types.is_timestamp, "TIMESTAMP"),
        (pa.types.is_floating, "FLOAT"),
        (pa.types.is_integer, "INTEGER"),
        (pa.types.is_string, "STRING"),
        (pa.types.is_large_string, "STRING"),
        (pa.types.is_boolean, "BOOLEAN"),
        (pa.types.is_date, "DATE"),
        (pa.types.is_binary, "BYTES"),
        (pa.types.is_decimal, "NUMERIC"),
        (pa.types.is_null, "INTEGER"),
    ):
        if test(kind):
            return name
    raise not_implemented(f"the type {kind} ({where})")


def write_rows(table: pa.Table, fields: Sequence[Field], *, whole_times: bool) -> list[Json]:
    """Rows as `tabledata.list` and `getQueryResults` write them: every value a string, or null.

    Args:
        table: the rows.
        fields: their columns.
        whole_times: times as whole microseconds (`useInt64Timestamp`), else as seconds in floating point.
    """
    import pyarrow as pa

    columns = []
    for field, column in zip(fields, table.columns, strict=True):
        values = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist() if field.type == "TIMESTAMP" else column.to_pylist()
        columns.append([None if value is None else _text(field.type, value, whole_times=whole_times) for value in values])
    return [{"f": [{"v": value} for value in row]} for row in zip(*columns, strict=True)]


def _text(kind: str, value: Any, *, whole_times: bool) -> str:
    if kind == "TIMESTAMP":
        return str(value) if whole_times else repr(value / 1e6)
    if kind == "BOOLEAN":
        return "true" if value else "false"
    if kind == "FLOAT":
        return "NaN" if math.isnan(value) else str(value).replace("inf", "Infinity")
    if kind == "BYTES":
        return base64.b64encode(value).decode()
    return str(value)


def read_value(field: Field, value: Any) -> Any:
    """A value of a streamed row, as DuckDB takes it.

    Raises:
        ValueError: if it is none of the column's type.
    """
    if value is None:
        if field.mode == "REQUIRED":
            raise ValueError(f"Missing required field: {field.name}.")
        return None
    try:
        return _READERS.get(field.type, str)(value)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"Cannot convert value to {field.type.lower()}: {value!r} (bad value)") from error


def _read_time(value: Any) -> str:
    if isinstance(value, int | float):
        moment = EPOCH + timedelta(microseconds=round(value * 1e6))
    else:
        text = str(value).strip().replace(" UTC", "Z")
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat()


def _read_flag(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError(value)
    return str(value).lower() == "true"


_READERS: dict[str, Callable[[Any], Any]] = {
    "INTEGER": int,
    "FLOAT": float,
    "BOOLEAN": _read_flag,
    "TIMESTAMP": _read_time,
    "DATE": lambda value: date.fromisoformat(value).isoformat(),
    "BYTES": base64.b64decode,
}
