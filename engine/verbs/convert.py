"""`engine convert`: one source file on this machine to one Parquet file beside it, by hand.

Separate from `engine.conversion.convert`: it owns what only a command line has. The destination appears complete or not at all, nothing
is overwritten unasked, and the outcome becomes a line of text or of JSON and an exit code. Errors are raised for the program's
one place that reports them.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
from pathlib import Path

import click

from engine.clock import format_bytes, format_seconds, format_time, parse_day, utc_now
from engine.conversion.outcome import Conversion
from engine.datatypes import require_data_type
from engine.errors import EngineError, ExitCode, NotPermitted, UsageError
from engine.model import Cell, File, Outcome, require_symbol, require_venue

Report = dict[str, object]
"""JSON-able: what `engine convert` prints."""


def run(
    source: Path,
    destination: Path,
    data_type: str,
    venue: str | None,
    symbol: str | None,
    day: str | None,
    *,
    force: bool = False,
) -> tuple[Report, ExitCode]:
    """Convert `source` into `destination`.

    Args:
        source: a Tardis `.csv.gz`.
        destination: written only if the outcome is `ok`, under a temporary name first.
        data_type: e.g. "trades".
        venue: with `symbol` and `day`, what every row must be of; all three or none.
        symbol: dataset symbol id, or a grouped id.
        day: `YYYY-MM-DD`, `yesterday`, `today` or `7d`.
        force: overwrite `destination`.

    Returns:
        The report, and the exit code: 0 for `ok` and `empty`, 65 for `quarantined`.

    Raises:
        UsageError: (64) wrong or missing input, or the destination exists.
        NotPermitted: (77) a file may not be read or written.
        EngineError: (69) a file cannot be read or written.
    """
    from engine.conversion.convert import convert

    kind = require_data_type(data_type)
    file = _file(data_type, venue, symbol, day)
    if not destination.parent.is_dir():
        raise UsageError(f"the folder {destination.parent} does not exist", hint="make it first")
    if destination.is_dir():
        raise UsageError(f"{destination} is a folder", hint="give the name of a .parquet file")
    if destination.exists() and not force:
        raise UsageError(f"{destination} exists", hint="choose another name, or --force to overwrite it")
    temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.partial")
    try:
        conversion = convert(source, temporary, data_type=kind, file=file)
        sha256 = _commit(temporary, destination) if conversion.outcome is Outcome.OK else ""
    finally:
        temporary.unlink(missing_ok=True)
    code = ExitCode.PARTIAL if conversion.outcome is Outcome.QUARANTINED else ExitCode.DONE
    return _report(conversion, source, destination, data_type, file, sha256), code


def _file(data_type: str, venue: str | None, symbol: str | None, day: str | None) -> File | None:
    if venue is None and symbol is None and day is None:
        return None
    if venue is None or symbol is None or day is None:
        raise UsageError("--venue, --symbol and --day belong together", hint="give all three, or none to accept any rows")
    return File(Cell(parse_day(day, today=utc_now().date()), data_type, require_venue(venue)), require_symbol(symbol))


def _commit(temporary: Path, destination: Path) -> str:
    """Make the finished file durable under its name; give its SHA-256 in hex."""
    try:
        with temporary.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        temporary.replace(destination)
        folder = os.open(destination.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except PermissionError as error:
        raise NotPermitted(f"{destination} cannot be written: {error.strerror}", hint="let this user write there") from error
    except OSError as error:
        raise EngineError(f"{destination} cannot be written: {error}", hint="free or choose another disk") from error
    return digest


def _report(conversion: Conversion, source: Path, destination: Path, data_type: str, file: File | None, sha256: str) -> Report:
    times = {
        "min_local_timestamp": conversion.min_local_timestamp,
        "max_local_timestamp": conversion.max_local_timestamp,
        "min_timestamp": conversion.min_timestamp,
        "max_timestamp": conversion.max_timestamp,
    }
    return {
        "outcome": conversion.outcome.value,
        "reason": conversion.reason.value,
        "detail": conversion.detail,
        "source": str(source),
        "destination": str(destination) if sha256 else None,
        "data_type": data_type,
        "venue": file.cell.venue if file else None,
        "symbol": file.symbol if file else None,
        "day": file.cell.day.isoformat() if file else None,
        "rows": conversion.rows,
        **{name: format_time(moment) if moment else None for name, moment in times.items()},
        "covered_minutes": conversion.covered_minutes,
        "flags": [flag.value for flag in conversion.flags],
        "backward_rows": conversion.backward_rows,
        "previous_day_rows": conversion.previous_day_rows,
        "next_day_rows": conversion.next_day_rows,
        "dropped_columns": list(conversion.dropped_columns),
        "fingerprint": str(conversion.fingerprint) if conversion.fingerprint else None,
        "source_bytes": conversion.source_bytes,
        "csv_bytes": conversion.csv_bytes,
        "parquet_bytes": conversion.parquet_bytes,
        "crc32c": conversion.crc32c,
        "sha256": sha256,
        "seconds": round(conversion.seconds, 6),
    }


def describe(report: Report) -> str:
    """The report in one line for a person."""
    if report["outcome"] == Outcome.OK:
        size = format_bytes(float(str(report["parquet_bytes"])))
        flags = report["flags"]
        noted = f", flagged {', '.join(flags)}" if isinstance(flags, list) and flags else ""
        took = format_seconds(float(str(report["seconds"])))
        return f"ok: {report['rows']} rows, {size} in {report['destination']}, {took}{noted}"
    reason = f"{report['source']} is {report['outcome']}, {report['reason']}: {report['detail']}"
    advice = "nothing was written" if report["outcome"] == Outcome.EMPTY else "nothing was written; fetch it again or look inside"
    return f"{reason} -> {advice}"


@click.command("convert")
@click.argument("source", type=click.Path(path_type=Path, readable=False))
@click.argument("destination", type=click.Path(path_type=Path, readable=False))
@click.option("--data-type", required=True, help="What the columns are, e.g. trades.")
@click.option("--venue", help="Exchange id that every row must have, e.g. binance-futures.")
@click.option("--symbol", help="Dataset symbol id that every row must have, or a grouped one such as OPTIONS.")
@click.option("--day", help="UTC day of every local_timestamp: YYYY-MM-DD, yesterday, today, 7d.")
@click.option("--force", is_flag=True, help="Overwrite DESTINATION.")
@click.pass_context
def convert_command(
    context: click.Context,
    source: Path,
    destination: Path,
    data_type: str,
    venue: str | None,
    symbol: str | None,
    day: str | None,
    force: bool,
) -> None:
    """Convert SOURCE, a Tardis .csv.gz, into DESTINATION, a Parquet file.

    Prints the outcome as one JSON object; on a terminal, and where something is wrong, also a line for people on stderr.
    Exits with 0 if the file is ok or empty, with 65 if it is quarantined. With --venue, --symbol and --day every row is checked.
    """
    from engine.conversion.convert import only_convert

    only_convert()
    report, code = run(source, destination, data_type, venue, symbol, day, force=force)
    click.echo(json.dumps(report))
    if code is not ExitCode.DONE or sys.stderr.isatty():
        click.echo(describe(report), err=True)
    context.exit(code)
