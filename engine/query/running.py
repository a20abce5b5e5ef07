"""A query from its text to its rows: read, narrowed, files listed, views made, run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.clock import format_bytes
from engine.errors import StoreError, UsageError
from engine.query.constraints import Constraint, read_query, within
from engine.query.lake_files import LakeFile, list_files, require_view, view_schema
from engine.query.lake_filesystem import LakeFilesystem
from engine.store import Store

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Opened:
    """A query whose views are there."""

    sql: str
    files: dict[str, list[LakeFile]]
    """By view."""
    connection: duckdb.DuckDBPyConnection
    filesystem: LakeFilesystem

    def run(self) -> Any:
        """Start it; gives a pyarrow RecordBatchReader.

        Raises:
            UsageError: if the query cannot be meant, in DuckDB's words.
            StoreError: if the bucket could not be read.
        """
        import duckdb

        try:
            return self.connection.sql(self.sql).to_arrow_reader(100_000)
        except duckdb.Error as error:
            raise explain(error) from error

    @property
    def considered(self) -> str:
        """How much of the lake can matter, in words."""
        count = sum(map(len, self.files.values()))
        size = sum(file.info.size for files in self.files.values() for file in files)
        return f"{count:,} file{'s' * (count != 1)}, {format_bytes(size)}"

    @property
    def read(self) -> str:
        """How much of it was read so far, in words."""
        return f"{format_bytes(self.filesystem.bytes_read)} in {self.filesystem.requests:,} requests"


@contextmanager
def open_query(store: Store, sql: str, limit: Constraint | None = None, *, threads: int = 0) -> Iterator[Opened]:
    """Read a query and make its views; nothing of a file is read yet but what a view needs.

    Args:
        store: the data bucket.
        sql: one query, as DuckDB speaks SQL. Days are UTC; times are shown in UTC.
        limit: what flags say, beside the query itself.
        threads: DuckDB's [all cores].

    Raises:
        UsageError: if it is no query, names a view that is none, or does not say which days.
    """
    import duckdb

    query = within(read_query(sql), limit or Constraint())
    files = {view: list_files(store, view, found) for view, found in ((require_view(name), found) for name, found in query.views.items())}
    filesystem = LakeFilesystem(store)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        if threads:
            connection.execute(f"SET threads = {int(threads)}")
        connection.register_filesystem(filesystem)
        for view, found in files.items():
            _make_view(connection, filesystem, view, found)
        yield Opened(query.sql, files, connection, filesystem)


def _make_view(connection: duckdb.DuckDBPyConnection, filesystem: LakeFilesystem, view: str, files: list[LakeFile]) -> None:
    if files:
        # Names are ours, from `engine.paths`: they hold no quote.
        paths = ", ".join(f"'{path}'" for path in filesystem.add(view, files))
        kinds = "hive_types = {'day': DATE, 'venue': VARCHAR}"
        files_of = f"read_parquet([{paths}], hive_partitioning = true, {kinds})"
        connection.execute(f'CREATE VIEW "{view}" AS SELECT * FROM {files_of}')  # noqa: S608
        return
    # Nothing there: the view has its columns and no rows.
    empty = view_schema(view).empty_table()
    connection.register(f"empty {view}", empty)
    added = "".join(f", NULL::{kind} AS {name}" for name, kind in (("day", "DATE"), ("venue", "VARCHAR")) if name not in empty.column_names)
    connection.execute(f'CREATE VIEW "{view}" AS SELECT *{added} FROM "empty {view}"')  # noqa: S608


def explain(error: Exception) -> UsageError | StoreError:
    """DuckDB's complaint as an error of ours: one line, and the next step."""
    text = str(error)
    words = " ".join(text.split("\n\n")[0].split())
    if "StoreError" in text or "NotPermitted" in text:
        return StoreError(f"the lake could not be read: {words}", hint="run the query again")
    return UsageError(f"the query cannot be run: {words}", hint="columns of a view: tickdeck query --views")
