"""GoogleSQL on DuckDB: what a query job does. sqlglot reads the SQL; every table in it is looked up here, so nothing else is reachable."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from provision.local.bigquery.errors import BigQueryError, invalid, invalid_query, not_found, not_implemented, refuse_unknown
from provision.local.bigquery.gcs_objects import LocalBucket
from provision.local.bigquery.schemas import Field, Json, fields_of_arrow, read_schema, write_rows, write_schema
from provision.local.bigquery.warehouse import TableName, Warehouse, first, quoted

KEPT_MS = 24 * 3_600_000
"""How long results can be read ("Using cached query results": about 24 hours)."""

PARTITIONS = "INFORMATION_SCHEMA.PARTITIONS"

_KEYS = frozenset(
    {"query", "useLegacySql", "parameterMode", "queryParameters", "defaultDataset", "useQueryCache", "priority", "destinationTable"}
    | {"writeDisposition", "createDisposition"}
)
_PARAMETER_TYPES = {
    **dict.fromkeys(("INT64", "INTEGER"), "BIGINT"),
    **dict.fromkeys(("FLOAT64", "FLOAT"), "DOUBLE"),
    **dict.fromkeys(("BOOL", "BOOLEAN"), "BOOLEAN"),
    "STRING": "VARCHAR",
    "TIMESTAMP": "TIMESTAMPTZ",
    "DATE": "DATE",
    "NUMERIC": "DECIMAL(38, 9)",
}

Statement = exp.Query | exp.Insert | exp.Update | exp.Delete | exp.Merge

Finish = Callable[[duckdb.DuckDBPyConnection, Json], None]


class Queries:
    """Runs queries and keeps their results, each as a table of its own."""

    def __init__(self, warehouse: Warehouse, bucket: LocalBucket) -> None:
        self._warehouse, self._bucket = warehouse, bucket

    def expire(self, jobs: Mapping[tuple[str, str], Json]) -> None:
        """Drop the results of jobs that are not known, or older than a day."""
        oldest = time.time_ns() // 1_000_000 - KEPT_MS
        kept = {_result(*key) for key, job in jobs.items() if int(job["statistics"]["creationTime"]) > oldest}
        with self._warehouse.writing() as cursor:
            for (name,) in cursor.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'results'").fetchall():
                if f"results.{quoted(name)}" not in kept:
                    cursor.execute(f"DROP TABLE results.{quoted(name)}")

    def check(self, query: Json) -> Statement:
        """Read the SQL of a configuration.

        Raises:
            BigQueryError: 400 for SQL that cannot be read, 501 for what is not there.
        """
        refuse_unknown(query, _KEYS, "configuration.query")
        if query.get("destinationTable"):
            raise not_implemented("configuration.query.destinationTable")
        if query.get("useLegacySql", True):
            raise not_implemented("legacy SQL")
        try:
            statements = [each for each in sqlglot.parse(str(query.get("query") or ""), read="bigquery") if each is not None]
        except SqlglotError as error:
            raise invalid_query(_syntax_error(error)) from error
        if not statements:
            raise invalid_query("Syntax error: Unexpected end of script")
        if len(statements) > 1:
            raise not_implemented("scripts of several statements")
        [statement] = statements
        if not isinstance(statement, Statement):
            raise not_implemented(f"the statement {type(statement).__name__.upper()}")
        return statement

    def dry_run(self, project: str, query: Json) -> Json:
        """What a query would read: the logical bytes of the tables it names, all columns."""
        statement = self.check(query)
        reading = _Reading(self._warehouse, self._bucket, self._warehouse.reader(), project, query, None)
        reading.bind(statement)
        return {"totalBytesProcessed": str(reading.bytes), "statementType": _kind(statement)}

    def run(self, project: str, job: str, query: Json, *, finish: Finish) -> None:
        """Do a query job; its result, or its change of rows, and its being done are one transaction.

        Raises:
            BigQueryError: what the job's error result is to say.
        """
        statement = self.check(query)
        place = self._warehouse.root / "reading" / f"{project}.{job}"
        try:
            with self._warehouse.writing() as cursor:
                reading = _Reading(self._warehouse, self._bucket, cursor, project, query, place)
                sql = reading.bind(statement)
                statistics: Json = {"statementType": _kind(statement), "cacheHit": False, "totalBytesProcessed": str(reading.bytes)}
                try:
                    if isinstance(statement, exp.Query):
                        cursor.execute(f"CREATE OR REPLACE TABLE {_result(project, job)} AS {sql}")
                    else:
                        changed = first(cursor, sql)
                        statistics["numDmlAffectedRows"] = str(changed[0] if changed else 0)
                        for name, resource in reading.native:
                            self._warehouse.save(cursor, name, resource)
                except duckdb.Error as error:
                    raise invalid_query(_refusal(error)) from error
                statistics["totalBytesBilled"] = statistics["totalBytesProcessed"]
                if isinstance(statement, exp.Query):
                    statistics["schema"] = write_schema(self._result_fields(cursor, project, job))
                finish(cursor, statistics)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def rows(self, project: str, job: str, *, start: int, limit: int, whole_times: bool) -> tuple[list[Json], int]:
        """A page of a result, and how many rows it has in all.

        Raises:
            BigQueryError: 404 if the result is not kept any more.
        """
        cursor = self._warehouse.reader()
        try:
            counted = first(cursor, f"SELECT count(*) FROM {_result(project, job)}")
        except duckdb.CatalogException as error:
            raise not_found("Table", f"{project}:_anonymous.{job}") from error
        total = int(counted[0]) if counted else 0
        if limit == 0 or start >= total:
            return [], total
        return page_of(cursor, f"SELECT * FROM {_result(project, job)}", start=start, limit=limit, whole_times=whole_times), total

    def _result_fields(self, cursor: duckdb.DuckDBPyConnection, project: str, job: str) -> tuple[Field, ...]:
        schema = cursor.sql(f"SELECT * FROM {_result(project, job)} LIMIT 0").to_arrow_table().schema
        return fields_of_arrow(schema, "the query's result")


def page_of(cursor: duckdb.DuckDBPyConnection, sql: str, *, start: int, limit: int, whole_times: bool) -> list[Json]:
    """Some rows of a table, in the order in which they were written."""
    table = cursor.sql(f"{sql} LIMIT {int(limit)} OFFSET {int(start)}").to_arrow_table()
    return write_rows(table, fields_of_arrow(table.schema, "the rows"), whole_times=whole_times)


def _result(project: str, job: str) -> str:
    return f"results.{quoted(f'{project}.{job}')}"


def _kind(statement: Statement) -> str:
    return "SELECT" if isinstance(statement, exp.Query) else type(statement).__name__.upper()


class _Reading:
    """One statement, its tables and parameters bound."""

    def __init__(
        self,
        warehouse: Warehouse,
        bucket: LocalBucket,
        cursor: duckdb.DuckDBPyConnection,
        project: str,
        query: Json,
        place: Path | None,
    ) -> None:
        self._warehouse, self._bucket, self._cursor, self._project, self._query = warehouse, bucket, cursor, project, query
        self._place = place
        """Where objects of external tables are fetched to; None: nothing is fetched."""
        self.bytes = 0
        self.native: list[tuple[TableName, Json]] = []

    def bind(self, statement: Statement) -> str:
        """The statement in DuckDB's SQL."""
        bound = statement.copy()
        common = {cte.alias for cte in bound.find_all(exp.CTE)}
        for table in list(bound.find_all(exp.Table)):
            self._bind_table(table, common)
        self._bind_parameters(bound)
        if isinstance(bound, exp.Select):
            _name_columns(bound)
        try:
            return bound.sql(dialect="duckdb")
        except SqlglotError as error:
            raise not_implemented(f"this SQL ({error})") from error

    def _bind_table(self, table: exp.Table, common: Collection[str]) -> None:
        if not isinstance(table.this, exp.Identifier | exp.Dot):
            raise not_implemented(f"table functions ({table.sql(dialect='bigquery')})")
        parts = [part.name for part in table.parts]
        if len(parts) == 1 and parts[0] in common:
            return
        default = self._query.get("defaultDataset") or {}
        if len(parts) == 1 and default.get("datasetId"):
            parts = [default.get("projectId") or self._project, default["datasetId"], *parts]
        if len(parts) == 2:
            parts = [self._project, *parts]
        if len(parts) != 3:
            raise invalid(f'Table "{".".join(parts)}" must be qualified with a dataset (e.g. dataset.table).')
        project, dataset, last = parts
        if last.upper().startswith("INFORMATION_SCHEMA"):
            if last.upper() != PARTITIONS:
                raise not_implemented(f"the view {last}")
            self._replace(table, self._partitions(project, dataset), "PARTITIONS")
            return
        name = TableName(project, dataset, last)
        resource = self._warehouse.require(name, cursor=self._cursor)
        if resource["type"] == "EXTERNAL":
            self._replace(table, self._external(resource), last)
            return
        if not read_schema(resource["schema"]):
            raise invalid(f"Table {name} does not have a schema.")
        self.bytes += self._warehouse.figures(name, resource, cursor=self._cursor)[1]
        self.native.append((name, resource))
        table.set("catalog", None)
        table.set("db", exp.to_identifier(f"{project}:{dataset}", quoted=True))
        table.set("this", exp.to_identifier(last, quoted=True))

    def _replace(self, table: exp.Table, sql: str, alias: str) -> None:
        inner = sqlglot.parse_one(sql, read="duckdb")
        assert isinstance(inner, exp.Query)
        table.replace(inner.subquery(table.alias or alias))

    def _external(self, resource: Json) -> str:
        configuration = resource["externalDataConfiguration"]
        objects = self._bucket.find(configuration["sourceUris"])
        self.bytes += sum(each.size for each in objects)
        fields = read_schema(resource["schema"])
        if self._place is None:
            if not fields:
                raise not_implemented("dry runs over external tables without a schema")
            columns = ", ".join(f"CAST(NULL AS {field.duckdb}) AS {quoted(field.name)}" for field in fields)
            return f"SELECT {columns} LIMIT 0"
        self._place.mkdir(parents=True, exist_ok=True)
        files = []
        for each in objects:
            file = self._place / f"{len(list(self._place.iterdir()))}.parquet"
            self._bucket.fetch(each, file)
            files.append("'" + str(file).replace("'", "''") + "'")
        columns = ", ".join(quoted(field.name) for field in fields) or "*"
        return f"SELECT {columns} FROM read_parquet([{', '.join(files)}], union_by_name = true)"

    def _partitions(self, project: str, dataset: str) -> str:
        """INFORMATION_SCHEMA.PARTITIONS of a dataset: one row for each table and day."""
        pieces = []
        for resource in self._warehouse.tables(project, dataset):
            name = TableName(project, dataset, resource["tableReference"]["tableId"])
            column = (resource.get("timePartitioning") or {}).get("field")
            if resource["type"] != "TABLE" or not resource["schema"]["fields"]:
                continue
            day = f"strftime(CAST({quoted(column)} AS DATE), '%Y%m%d')" if column else "CAST(NULL AS VARCHAR)"
            pieces.append(
                f"SELECT {_literal(project)} AS table_catalog, {_literal(dataset)} AS table_schema, {_literal(name.table)} AS table_name, "
                f"coalesce({day}, {'NULL' if not column else _literal('__NULL__')}) AS partition_id, count(*) AS total_rows, "
                f"make_timestamp({int(resource['lastModifiedTime'])} * 1000) AT TIME ZONE 'UTC' AS last_modified_time FROM {name.sql} "
                f"GROUP BY partition_id"
            )
        columns = dict.fromkeys(("table_catalog", "table_schema", "table_name", "partition_id"), "VARCHAR")
        columns |= {"total_rows": "BIGINT", "last_modified_time": "TIMESTAMPTZ"}
        empty = "SELECT " + ", ".join(f"CAST(NULL AS {kind}) AS {column}" for column, kind in columns.items()) + " LIMIT 0"
        return " UNION ALL ".join(pieces) or empty

    def _bind_parameters(self, statement: Statement) -> None:
        given: Sequence[Json] = self._query.get("queryParameters") or []
        named = {str(each.get("name")): each for each in given if each.get("name")}
        positional = iter([each for each in given if not each.get("name")])
        for node in list(statement.find_all(exp.Parameter, exp.Placeholder)):
            name = node.name if isinstance(node, exp.Parameter) else ""
            each = named.get(name) if name else next(positional, None)
            if each is None:
                raise invalid_query(f"Query parameter '{name}' not found" if name else "Not enough query parameters")
            node.replace(_parameter(each))


def _name_columns(select: exp.Select) -> None:
    """Columns without a name are called f0_, f1_, ... as BigQuery calls them."""
    for index, column in enumerate(list(select.expressions)):
        if not column.is_star and not column.output_name:
            column.replace(exp.alias_(column.copy(), f"f{index}_"))


def _refusal(error: duckdb.Error) -> str:
    text = " ".join(str(error).split("\n\nLINE")[0].split())
    unknown = re.search(r'Referenced column "([^"]+)" not found', text)
    return f"Unrecognized name: {unknown[1]}" if unknown else text


def _syntax_error(error: SqlglotError) -> str:
    at = (getattr(error, "errors", None) or [{}])[0]
    near = f" near {at['highlight']!r}" if at.get("highlight") else ""
    return f"Syntax error: {at.get('description') or 'unreadable'}{near} at [{at.get('line', 1)}:{at.get('col', 1)}]"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _parameter(each: Json) -> exp.Expression:
    kind, value = each.get("parameterType") or {}, each.get("parameterValue") or {}
    if str(kind.get("type")).upper() == "ARRAY":
        inner = (kind.get("arrayType") or {}).get("type")
        return exp.Array(expressions=[_scalar(inner, item.get("value")) for item in value.get("arrayValues") or []])
    return _scalar(kind.get("type"), value.get("value"))


def _scalar(kind: Any, value: Any) -> exp.Expression:
    duck = _PARAMETER_TYPES.get(str(kind).upper())
    if duck is None:
        raise not_implemented(f"query parameters of type {kind}")
    literal = exp.Null() if value is None else exp.Literal.string(str(value))
    return exp.Cast(this=literal, to=exp.DataType.build(duck, dialect="duckdb"))


def require_done(job: Json) -> None:
    """Refuse to give results of a job that failed: as its error.

    Raises:
        BigQueryError: the job's own error.
    """
    error = job["status"].get("errorResult")
    if error is not None:
        status = {"notFound": 404, "duplicate": 409, "accessDenied": 403, "notImplemented": 501}.get(error["reason"], 400)
        raise BigQueryError(status, error["reason"], error["message"], location=error.get("location", ""))
