"""`engine instruments`: what venues offer, kept as catalogue and as the definitions of each day."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from itertools import groupby
from typing import Any

import click

from engine.catalogue import Catalogue, save_catalogue
from engine.clock import format_time
from engine.errors import ExitCode, UsageError
from engine.instruments.definitions import COLUMNS, Definition, count_kinds, without_key
from engine.instruments.keys import resolve_kinds
from engine.instruments.writing import DefinitionWriter, Kept, fetch_answers
from engine.logbook import Logbook
from engine.model import DayRange, require_venue
from engine.settings import resolve
from engine.verbs.opening import open_places, open_source
from engine.verbs.options import Day, Words, bucket_options
from engine.verbs.printing import print_json, print_table

NAMED = 5
"""So many symbols are named where only a few are."""
DAY_LINES = 20
"""So many lines of counts are printed for one venue; JSON has all."""
TABLE = (
    "symbol",
    "instrument_key",
    "settle",
    "expiry",
    "price_increment",
    "amount_increment",
    "available_since",
    "available_until",
    "source",
)
"""Columns of `--show table`: what fits a terminal. CSV and JSON have all."""


@click.command("instruments")
@click.option("--venues", "--venue", "venues", envvar="VENUES", type=Words(), help="Tardis exchange ids.")
@click.option("--start-date", "--start", "start", envvar="START_DATE", type=Day(), help="First day of definitions, UTC [catalogue only].")
@click.option("--end-date", "--end", "end", envvar="END_DATE", type=Day(), help="Last day, inclusive [the first].")
@click.option(
    "--instrument-type",
    "--instrument-types",
    "instrument_types",
    envvar="INSTRUMENT_TYPE",
    type=Words(),
    help="Count and show only these: spot,perpetual,future,option,combo. What is stored is always whole.",
)
@click.option("--api/--no-api", default=True, help="Ask the instruments API for increments and multipliers too [yes].")
@click.option(
    "--show", type=click.Choice(("table", "csv")), is_flag=False, flag_value="table", help="Print the definitions, as a table or as csv."
)
@click.option("--list-venues", is_flag=True, help="Print the venues the source knows.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON; with --show the definitions too.")
@bucket_options
def instruments_command(**options: Any) -> int:
    """Ask what venues offer; keep the catalogue and the definitions of each day.

    Definitions are written once, for days that the source has published. Exit code 75 if a day of the range is not published yet.
    """
    return asyncio.run(instruments(**options))


@dataclass
class VenueReport:
    """What became of one venue."""

    catalogue: Catalogue
    enriched: bool
    asked_api: bool
    days: list[DayReport] = field(default_factory=list)


@dataclass(frozen=True)
class DayReport:
    """What became of one day of a venue."""

    day: date
    state: str
    """`written`, `before` or `not_published`."""
    counts: dict[str, int]
    without_key: tuple[str, ...]
    differs: tuple[str, ...]
    rows: tuple[Definition, ...]
    """Only where they are to be shown."""


async def instruments(
    *,
    venues: Sequence[str] | None,
    start: date | None,
    end: date | None,
    instrument_types: Sequence[str] | None,
    api: bool,
    show: str | None,
    list_venues: bool,
    as_json: bool,
    data_bucket: str | None,
    state_bucket: str | None,
) -> int:
    """`engine instruments`: keep what venues offer, and the definitions of each day."""
    settings = resolve(flags={"data_bucket": data_bucket, "state_bucket": state_bucket})
    logbook = Logbook(minimum="WARNING", stream=sys.stderr, as_text=sys.stderr.isatty(), secrets=(settings.text("api_key"),))
    kinds = resolve_kinds(instrument_types) if instrument_types else None
    if start is None and (end is not None or show):
        raise UsageError(f"{'--end' if end else '--show'} without a first day", hint="add --start 2024-05-01")
    days = DayRange(start, end or start) if start is not None else ()
    reports = []
    async with open_source(settings, logbook) as source:
        if list_venues:
            print_venues(await source.exchanges(), as_json=as_json)
            return ExitCode.DONE
        if not venues:
            raise UsageError("no venue given", hint="--venues binance,deribit; list them with --list-venues")
        places = open_places(settings)
        for venue in map(require_venue, venues):
            answers = await fetch_answers(source, venue, api=api and bool(days))
            save_catalogue(places.state, answers.catalogue, answers.exchange)
            report = VenueReport(answers.catalogue, answers.instruments is not None, asked_api=api and bool(days))
            for kept in DefinitionWriter(places.data, answers).write_range(days) if days else ():
                report.days.append(report_day(kept, kinds, with_rows=bool(show)))
            reports.append(report)
            if not as_json:
                print_report(report, to_stderr=show == "csv")
                if show == "table":
                    print_rows(report)
    if as_json:
        print_json({"venues": [report_document(report, show=bool(show)) for report in reports]})
    elif show == "csv":
        click.echo(as_csv(row for report in reports for row in shown_rows(report)), nl=False)
    waiting = any(day.state == "not_published" for report in reports for day in report.days)
    if waiting:
        click.echo("engine: some days are not published yet -> run the same command again when they are", err=True)
    return ExitCode.TEMPORARY if waiting else ExitCode.DONE


def report_day(kept: Kept, kinds: frozenset[str] | None, *, with_rows: bool) -> DayReport:
    """What to say about a day, of the kinds that are asked about."""
    rows = tuple(row for row in kept.rows if kinds is None or row.kind in kinds)
    state = "written" if kept.written else "before" if kept.published else "not_published"
    return DayReport(kept.day, state, count_kinds(rows), without_key(rows), kept.differs, rows if with_rows else ())


def print_venues(body: bytes, *, as_json: bool) -> None:
    """The venues that the source knows."""
    venues = json.loads(body)
    if as_json:
        print_json(venues)
        return
    for item in venues:
        click.echo(f"{item['id']:<28} {item.get('name', ''):<36} since {str(item.get('availableSince', ''))[:10]}")


def print_report(report: VenueReport, *, to_stderr: bool) -> None:
    """A venue in a few lines."""
    catalogue = report.catalogue
    lines = [f"{catalogue.venue}: {len(catalogue.listings)} symbols, published until {catalogue.published_until:%Y-%m-%d %H:%M} UTC"]
    if report.days:
        states = [day.state for day in report.days]
        days = DayRange(report.days[0].day, report.days[-1].day)
        lines.append(f"  definitions of {days}: {states.count('written')} written, {states.count('before')} there before")
        lines += [f"  {line}" for line in (*count_lines(report.days), *remarks(report))]
    for line in lines:
        click.echo(line, err=to_stderr)


def count_lines(days: Sequence[DayReport]) -> list[str]:
    """Symbols by kind, one line for each stretch of days that are alike."""
    lines = []
    for counts, group in groupby(days, key=lambda day: day.counts):
        stretch = [day.day for day in group]
        when = f"{stretch[0]}" if len(stretch) == 1 else f"{stretch[0]}..{stretch[-1]}"
        lines.append(f"{when}: {', '.join(f'{count} {kind}' for kind, count in counts.items()) or 'nothing listed'}")
    hidden = len(lines) - DAY_LINES
    return lines if hidden <= 0 else [*lines[:DAY_LINES], f"... and {hidden} more lines; --json has all"]


def remarks(report: VenueReport) -> list[str]:
    """What a person should know about the definitions of a venue."""
    lines = []
    if report.asked_api and not report.enriched:
        lines.append("the key does not open the instruments API: definitions hold what the symbols say")
    nameless = list(dict.fromkeys(symbol for day in report.days for symbol in day.without_key))
    if nameless:
        lines.append(f"{few(nameless, 'symbol')} without a key, spelled in a way that is not known: {names(nameless)}")
    waiting = [day.day for day in report.days if day.state == "not_published"]
    if waiting:
        lines.append(f"{few(waiting, 'day')} not published yet, nothing written from {waiting[0]} on -> run again later")
    differing = [day for day in report.days if day.differs]
    if differing:
        columns = list(dict.fromkeys(column for day in differing for column in day.differs))
        step = "what is stored stays -> to have it anew delete its instruments.parquet, then run again"
        lines.append(f"{few(differing, 'day')} stored before would be other now, in {names(columns)}; {step}")
    return lines


def few(things: Sequence[object], noun: str) -> str:
    """`1 day`, `3 days`."""
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def names(words: Sequence[str]) -> str:
    """The first few words."""
    return ", ".join(words[:NAMED]) + (f", ... ({len(words) - NAMED} more)" if len(words) > NAMED else "")


def shown_rows(report: VenueReport) -> list[tuple[date, Definition]]:
    """All rows that are to be shown, with their days."""
    return [(day.day, row) for day in report.days for row in day.rows]


def print_rows(report: VenueReport) -> None:
    """The definitions as a table."""
    rows = [(day.isoformat(), *(cell_text(getattr(row, name)) for name in TABLE)) for day, row in shown_rows(report)]
    print_table(("day", *TABLE), rows)


def as_csv(rows: Iterable[tuple[date, Definition]]) -> str:
    """The definitions with all columns as CSV; data types are joined by spaces."""
    names_of_columns = [name for name, _, _ in COLUMNS]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("day", *names_of_columns))
    for day, row in rows:
        writer.writerow((day.isoformat(), *(cell_text(getattr(row, name)) for name in names_of_columns)))
    return text.getvalue()


def cell_text(value: object) -> str:
    """A value as a table shows it; nothing where there is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return format_time(value).replace(".000000", "")
    if isinstance(value, tuple):
        return " ".join(value)
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def report_document(report: VenueReport, *, show: bool) -> dict[str, object]:
    """A venue as JSON carries it."""
    days = []
    for day in report.days:
        entry: dict[str, object] = {
            "day": day.day.isoformat(),
            "state": day.state,
            "symbols": day.counts,
            "without_key": day.without_key,
            "differs": day.differs,
        }
        if show:
            entry["definitions"] = [
                {name: format_time(value) if isinstance(value, datetime) else value for name, value in asdict(row).items()}
                for row in day.rows
            ]
        days.append(entry)
    return {
        "venue": report.catalogue.venue,
        "catalogue": report.catalogue.object_name,
        "fetched": format_time(report.catalogue.fetched),
        "published_until": format_time(report.catalogue.published_until),
        "symbols": len(report.catalogue.listings),
        "instruments_api": report.enriched,
        "days": days,
    }
