"""`tickdeck query "SQL"`: DuckDB over the lake, reading only the files whose names can matter."""

from __future__ import annotations

import contextlib
import csv
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from console.verbs.options import headless_session, json_option, profile_option
from engine.clock import format_bytes
from engine.errors import ExitCode, StoreError, UsageError
from engine.query.constraints import Constraint
from engine.query.lake_files import VIEWS, require_view, view_schema
from engine.query.running import Opened, explain, open_query
from engine.verbs.options import Day, Words
from engine.verbs.printing import print_json, print_table

SHOWN_ROWS = 200
"""Rows that a table shows unless `--limit` says otherwise; files and --json have all."""


@click.command("query")
@click.argument("sql", required=False)
@click.option("--file", "file", type=click.File(), help="Read the query from a file, - for standard input.")
@click.option("--start-date", "--start", "start", type=Day(), help="First day, UTC, where the query does not say.")
@click.option("--end-date", "--end", "end", type=Day(), help="Last day, inclusive [the first].")
@click.option("--venues", type=Words(), help="Only files of these venues.")
@click.option("--symbols", type=Words(), help="Only files of these symbols.")
@click.option("--limit", type=click.IntRange(min=0), help=f"Rows of the table; 0: all [{SHOWN_ROWS}].")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write all rows to a .parquet, .csv or .json file.")
@click.option("--dry-run", is_flag=True, help="Say which files could be read; read none.")
@click.option("--views", "list_views", is_flag=True, help="Say which views there are; with a name as SQL, its columns.")
@profile_option
@json_option
def query_command(
    *,
    sql: str | None,
    file: Any,
    start: date | None,
    end: date | None,
    venues: tuple[str, ...] | None,
    symbols: tuple[str, ...] | None,
    limit: int | None,
    as_csv: bool,
    out: Path | None,
    dry_run: bool,
    list_views: bool,
    profile_name: str,
    as_json: bool,
) -> int:
    """SQL over the lake, as DuckDB speaks it.

    Views: trades and every other data type, candles_15s to candles_24h, instruments. Each has `day` and `venue` beside its columns; what
    the query says of day, venue and symbol decides which files are read. Times are UTC.

    \b
    tickdeck query "SELECT symbol, count(*) FROM trades WHERE day = '2024-05-01' AND venue = 'binance' GROUP BY ALL"
    tickdeck query "SELECT * FROM candles_5m WHERE symbol = 'BTCUSDT'" --start 2024-05-01 --end 2024-05-03 --out btc.parquet
    """
    if list_views:
        return _show_views(sql, as_json=as_json)
    if (sql is None) == (file is None):
        raise UsageError("no query" if sql is None else "a query and --file", hint='tickdeck query "SELECT ...", or --file query.sql')
    if as_csv + as_json + (out is not None) > 1:
        raise UsageError("--csv, --json and --out exclude each other", hint="give one")
    if end is not None and start is None:
        raise UsageError("--end without --start", hint="give both, or the days in the query")
    limits = Constraint(start, end or start, None if venues is None else frozenset(venues), None if symbols is None else frozenset(symbols))
    form = _form_of(out) if out is not None else ""
    session = headless_session(profile_name)
    with open_query(session.buckets.data, sql if sql is not None else file.read(), limits) as opened:
        if dry_run:
            return _show_files(opened, as_json=as_json)
        rows = opened.run()
        with _explained():
            if out is not None:
                count = _write(rows, out, form)
                click.echo(f"{count:,} rows in {out}")
            elif as_json:
                print_json([row for batch in rows for row in batch.to_pylist()])
            elif as_csv:
                _write_csv(rows, sys.stdout)
            else:
                _show(rows, SHOWN_ROWS if limit is None else limit)
        click.echo(f"of {opened.considered} read {opened.read}", err=True)
    return ExitCode.DONE


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """What DuckDB says while rows come, as an error of ours."""
    import duckdb
    import pyarrow as pa

    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, pa.ArrowException):
            raise
        raise explain(error) from error


def _show(rows: Any, limit: int) -> None:
    names = rows.schema.names
    figures = [index for index, field in enumerate(rows.schema) if _is_figure(field.type)]
    shown: list[list[str]] = []
    total = 0
    for batch in rows:
        for row in batch.to_pylist() if not limit or len(shown) < limit else ():
            if not limit or len(shown) < limit:
                shown.append([_text(value) for value in row.values()])
        total += batch.num_rows
    print_table(names, shown, right=figures)
    if total > len(shown):
        click.echo(f"{len(shown):,} of {total:,} rows; all: --limit 0, or --out FILE")
    else:
        click.echo(f"{total:,} row{'s' * (total != 1)}")


def _is_figure(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.10g}"
    return str(value).replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def _form_of(out: Path) -> str:
    form = out.suffix.lstrip(".").lower()
    if form not in ("parquet", "csv", "json"):
        raise UsageError(f"{out.name!r} does not say what to write", hint="name it .parquet, .csv or .json")
    if not out.resolve().parent.is_dir():
        raise UsageError(f"there is no folder {out.resolve().parent}", hint="make it first")
    return form


def _write(rows: Any, out: Path, form: str) -> int:
    """All rows into a file that is there whole or not at all; how many."""
    half = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        count = _write_parquet(rows, half) if form == "parquet" else _write_text(rows, half, form)
        half.replace(out)
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error.strerror or error}", hint="free space there, or name another place") from error
    finally:
        half.unlink(missing_ok=True)
    return count


def _write_parquet(rows: Any, path: Path) -> int:
    import pyarrow.parquet as pq

    count = 0
    with pq.ParquetWriter(path, rows.schema, compression="zstd") as writer:
        for batch in rows:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def _write_text(rows: Any, path: Path, form: str) -> int:
    import msgspec

    with path.open("w", encoding="utf-8", newline="") as stream:
        if form == "csv":
            return _write_csv(rows, stream)
        count = 0
        for row in (row for batch in rows for row in batch.to_pylist()):
            stream.write(("[" if not count else ",") + "\n" + msgspec.json.encode(row, enc_hook=str).decode())
            count += 1
        stream.write("\n]\n" if count else "[]\n")
    return count


def _write_csv(rows: Any, stream: Any) -> int:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(rows.schema.names)
    count = 0
    for batch in rows:
        writer.writerows(_plain(row.values()) for row in batch.to_pylist())
        count += batch.num_rows
    return count


def _plain(values: Iterable[Any]) -> list[Any]:
    return ["" if value is None else value.isoformat() if hasattr(value, "isoformat") else value for value in values]


def _show_files(opened: Opened, *, as_json: bool) -> int:
    rows = [
        (view, file.day, file.venue, file.symbol, file.info.size, file.info.name) for view, files in opened.files.items() for file in files
    ]
    if as_json:
        print_json([dict(zip(("view", "day", "venue", "symbol", "bytes", "object"), row, strict=True)) for row in rows])
        return ExitCode.DONE
    shown = [(view, day, venue, symbol, format_bytes(size)) for view, day, venue, symbol, size, _ in rows[:SHOWN_ROWS]]
    print_table(("view", "day", "venue", "symbol", "size"), shown, right=(4,))
    more = f", {len(rows) - SHOWN_ROWS:,} more than shown" if len(rows) > SHOWN_ROWS else ""
    click.echo(f"dry run: {opened.considered} could be read{more}; nothing was")
    return ExitCode.DONE


def _show_views(name: str | None, *, as_json: bool) -> int:
    if name is None:
        if as_json:
            print_json(VIEWS)
        else:
            click.echo("\n".join(VIEWS))
        return ExitCode.DONE
    view = require_view(name)
    metadata = [(field, {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}) for field in view_schema(view)]
    rows = [(field.name, str(field.type), said.get("unit", ""), said.get("description", "")) for field, said in metadata]
    if as_json:
        print_json([dict(zip(("column", "type", "unit", "description"), row, strict=True)) for row in rows])
    else:
        print_table(("column", "type", "unit", "description"), rows)
    return ExitCode.DONE
