"""`engine adopt`: take over a lake that exists already, so that it is not bought again."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click

from engine.adoption.adopting import Adoption, Choice, Counts, Left, adopt
from engine.adoption.existing_lake import Layout, list_lake
from engine.adoption.old_names import parse_meaning, venues_meant
from engine.adoption.refusal import Reason
from engine.catalogue import Catalogue, load_catalogue, save_catalogue
from engine.clock import format_bytes, utc_now
from engine.datatypes import require_data_type
from engine.errors import ExitCode, NotPermitted, SourceError, UsageError
from engine.instruments.writing import fetch_catalogue
from engine.logbook import Logbook
from engine.model import DayRange, require_venue
from engine.settings import Settings, resolve
from engine.source import Source
from engine.store import Store
from engine.verbs.opening import open_places, open_source
from engine.verbs.options import Day, Words, bucket_options
from engine.verbs.printing import print_json, print_table
from engine.verbs.status_line import StatusLine

CATALOGUE_AGE = timedelta(hours=1)
"""An older catalogue is asked for again, if the source answers."""

FEW_NAMES = 3
"""Objects named for each reason; `--json` and `--unmapped-file` name all."""


@click.command("adopt")
@click.option(
    "--layout",
    type=click.Choice([each.value for each in Layout]),
    default=Layout.OLD.value,
    show_default=True,
    help="old: VENUE:TYPE:SYMBOL.parquet from before Tickdeck; ours: our own objects whose manifests are lost.",
)
@click.option("--start-date", "--start", "start", envvar="START_DATE", type=Day(), required=True, help="First day, UTC.")
@click.option("--end-date", "--end", "end", envvar="END_DATE", type=Day(), help="Last day, inclusive [the first].")
@click.option("--venues", envvar="VENUES", type=Words(), help="Only these Tardis exchange ids [all].")
@click.option("--data-types", envvar="DATA_TYPES", type=Words(), help="Only these data types [all].")
@click.option(
    "--map", "said", multiple=True, metavar="KEY=VENUE/SYMBOL", help="What an old key means that fits no symbol; may be repeated."
)
@click.option("--verify", is_flag=True, help="Also read whole objects: checksum, rows, bounds, symbol; covered minutes become known.")
@click.option("--sample", type=click.IntRange(min=1), help="With --verify: only so many objects, spread over all names [every one].")
@click.option("--unmapped-file", type=click.Path(path_type=Path), help="Write every object that is not adopted into this CSV file.")
@click.option("--dry-run", is_flag=True, help="Write no manifest; print what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@bucket_options
def adopt_command(**options: Any) -> int:
    """Take over a lake that exists already: write manifests of what is found, so that plans do not buy it again.

    Reads listings and Parquet footers, no rows unless --verify asks for them, and changes no data object. Exit code 65 if an object
    could not be adopted: its file is bought again.
    """
    return run_adoption(**options)


def run_adoption(
    *,
    layout: str,
    start: date,
    end: date | None,
    venues: tuple[str, ...] | None,
    data_types: tuple[str, ...] | None,
    said: tuple[str, ...],
    verify: bool,
    sample: int | None,
    unmapped_file: Path | None,
    dry_run: bool,
    as_json: bool,
    data_bucket: str | None,
    state_bucket: str | None,
) -> int:
    """`engine adopt`: list, name, judge, record, report."""
    days = DayRange(start, end or start)
    if sample and not verify:
        raise UsageError("--sample says how many objects to verify", hint="add --verify")
    if unmapped_file is not None and (unmapped_file.is_dir() or not unmapped_file.parent.is_dir()):
        raise UsageError(f"{unmapped_file} cannot be a file", hint="give the name of a .csv file in a folder that exists")
    choice = Choice(
        venues=frozenset(require_venue(venue) for venue in venues or ()),
        data_types=frozenset(require_data_type(name).name for name in data_types or ()),
        verify=verify,
        sample=sample or 0,
        dry_run=dry_run,
        said=dict(map(parse_meaning, said)),
    )
    settings = resolve(flags={"data_bucket": data_bucket, "state_bucket": state_bucket})
    places = open_places(settings)
    lake = list_lake(places.data, days, Layout(layout))
    catalogues: dict[str, Catalogue] = {}
    if lake.layout is Layout.OLD:
        meant = venues_meant(name for name, _ in lake.old) | {meaning.venue for meaning in choice.said.values()}
        catalogues = asyncio.run(_read_catalogues(settings, places.state, meant, choice))
    progress = ProgressLine(sys.stderr.isatty() and not as_json)
    done = adopt(places.data, places.state, lake, choice, catalogues=catalogues, now=utc_now(), progress=progress.show)
    progress.end()
    if unmapped_file is not None:
        write_left(unmapped_file, done.left)
    code = ExitCode.PARTIAL if done.left else ExitCode.DONE
    if as_json:
        print_json(document_of(done, catalogues, code), one_line=True)
    else:
        show(done)
    if done.left:
        one = len(done.left) == 1
        objects = f"{len(done.left):,} object{' was' if one else 's were'} not adopted"
        where = unmapped_file or "--unmapped-file FILE"
        click.echo(f"engine: {objects} -> a plan buys {'its file' if one else 'their files'}; every name and reason: {where}", err=True)
    return code


async def _read_catalogues(settings: Settings, state: Store, meant: Collection[str], choice: Choice) -> dict[str, Catalogue]:
    """The catalogue of every venue that a name can mean, as far as the source has such a venue.

    Raises:
        UsageError: if a venue was asked for by name and the source does not know it.
        SourceError, NotPermitted: if the source cannot be asked about a venue that has no catalogue yet.
    """
    logbook = Logbook(minimum="ERROR", stream=sys.stderr, as_text=sys.stderr.isatty(), secrets=(settings.text("api_key"),))
    found = {}
    async with open_source(settings, logbook) as source:
        for venue in sorted({*meant, *choice.venues}):
            try:
                found[venue] = await _read_catalogue(source, state, venue, keep=not choice.dry_run)
            except UsageError:
                if venue in choice.venues:
                    raise
    return found


async def _read_catalogue(source: Source, state: Store, venue: str, *, keep: bool) -> Catalogue:
    """Ours if it is fresh, else the source's, else ours."""
    ours = await asyncio.to_thread(load_catalogue, state, require_venue(venue))
    if ours is not None and utc_now() - ours.fetched < CATALOGUE_AGE:
        return ours
    try:
        catalogue, body = await fetch_catalogue(source, venue)
    except (SourceError, NotPermitted):
        if ours is None:
            raise
        return ours
    if keep:
        await asyncio.to_thread(save_catalogue, state, catalogue, body)
    return catalogue


class ProgressLine(StatusLine):
    """Counts objects as they are judged."""

    def show(self, done: int, total: int) -> None:
        """Say how far the adoption is."""
        self.say(lambda: f"{done:,}/{total:,} objects judged, {done / max(0.001, self.seconds):,.0f} a second")


# The report


def document_of(done: Adoption, catalogues: dict[str, Catalogue], code: ExitCode) -> dict[str, object]:
    """The report as JSON carries it."""
    return {
        "run": None if done.dry_run or not done.cells else done.run,
        "layout": done.layout.value,
        "start": done.days.start.isoformat(),
        "end": done.days.end.isoformat(),
        "dry_run": done.dry_run,
        "exit_code": int(code),
        "cells": done.cells,
        "verified": done.verified,
        "read": {
            "requests": done.footer_reads.requests,
            "bytes": done.footer_reads.bytes,
            "footer_bytes": done.footer_reads.footers,
            "verified_bytes": done.bytes_verified,
        },
        "total": _counts(done.total),
        "rows": [{"venue": venue, "data_type": data_type, **_counts(counts)} for (venue, data_type), counts in done.counts.items()],
        "not_adopted": [{"object": left.object, "reason": left.reason.value, "detail": left.detail} for left in done.left],
        "not_tick_data": {"candles": len(done.candles), "other": len(done.other), "names": [*done.candles[:10], *done.other[:10]]},
        "catalogues": {venue: catalogue.fetched.isoformat() for venue, catalogue in sorted(catalogues.items())},
    }


def _counts(counts: Counts) -> dict[str, int]:
    return {
        "objects": counts.objects,
        "adopted": counts.adopted,
        "empty": counts.empty,
        "recorded": counts.recorded,
        "not_adopted": counts.left,
        "row_count": counts.rows,
        "bytes": counts.bytes,
    }


def show(done: Adoption) -> None:
    """The report for a person: a sentence, a table, and why what is left is left."""
    total = done.total
    verb = "would be adopted" if done.dry_run else "adopted"
    click.echo(
        f"{done.days}, layout {done.layout}: {total.adopted + total.empty:,} of {total.objects:,} objects {verb}"
        f" ({format_bytes(total.bytes)}, {total.rows:,} rows) in {done.cells:,} cells,"
        f" {total.recorded:,} known already, {total.left:,} not adopted"
    )
    click.echo(_read_sentence(done))
    if done.counts:
        click.echo()
        _show_table(done)
    by_reason: dict[Reason, list[Left]] = defaultdict(list)
    for left in done.left:
        by_reason[left.reason].append(left)
    for reason, lefts in by_reason.items():
        click.echo(f"\nnot adopted, {reason.value.replace('_', ' ')}: {len(lefts):,}")
        for left in lefts[:FEW_NAMES]:
            click.echo(f"  {left.object}: {left.detail}")
        if len(lefts) > FEW_NAMES:
            click.echo(f"  and {len(lefts) - FEW_NAMES:,} more")
    for what, names in (("candles of the old system", done.candles), ("no data objects", done.other)):
        if names:
            click.echo(
                f"\nnot tick data, {what}: {len(names):,}, {', '.join(names[:FEW_NAMES])}{', ...' if len(names) > FEW_NAMES else ''}"
            )
    if not done.dry_run and done.cells:
        click.echo(f"\nrecorded as {done.run}")


def _read_sentence(done: Adoption) -> str:
    """How much of the lake was read for this."""
    reads = done.footer_reads
    if not reads.requests and not done.verified:
        return "read: nothing of them"
    said = f"read: {format_bytes(reads.bytes)} in {reads.requests:,} requests"
    if reads.requests:
        beyond = reads.bytes - reads.footers
        said += f", {format_bytes(beyond)} of it beyond footers" if beyond else ", nothing but footers"
    if done.verified:
        said += f"; {done.verified:,} objects as a whole, {format_bytes(done.bytes_verified)}"
    return said


def _show_table(done: Adoption) -> None:
    rows = [
        (venue, data_type, *(f"{figure:,}" for figure in _figures(each)), format_bytes(each.bytes))
        for (venue, data_type), each in done.counts.items()
    ]
    heads = ("venue", "data type", "objects", "adopted", "empty", "known", "left", "rows", "size")
    print_table(heads, rows, right=range(2, len(heads)))


def _figures(counts: Counts) -> tuple[int, ...]:
    return counts.objects, counts.adopted, counts.empty, counts.recorded, counts.left, counts.rows


def write_left(path: Path, left: Sequence[Left]) -> None:
    """Every object that is not adopted, with the reason, as CSV.

    Raises:
        NotPermitted: if the file may not be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("object", "reason", "detail"))
            writer.writerows((each.object, each.reason.value, each.detail) for each in left)
    except PermissionError as error:
        raise NotPermitted(f"{path} cannot be written: {error.strerror}") from error
