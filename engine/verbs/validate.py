"""`engine validate`: compare committed objects with the manifests that vouch for them, and with the source if asked."""

from __future__ import annotations

import asyncio
import sys
from datetime import date
from typing import Any

import click

from engine.catalogue import list_venues
from engine.datatypes import require_data_type
from engine.errors import ExitCode, UsageError
from engine.expectation import Scope
from engine.logbook import Logbook
from engine.model import DayRange, require_symbol, require_venue
from engine.settings import Settings, resolve
from engine.spelling import nearest
from engine.store import Store
from engine.validation.comparing import Question, Validation, validate
from engine.validation.verification import Depth
from engine.verbs.opening import open_places, open_source
from engine.verbs.options import Day, Words, bucket_options
from engine.verbs.printing import print_json
from engine.verbs.validation_report import ProgressLine, depth_options, document_of, last_line, show
from engine.worker import Places


@click.command("validate")
@click.option("--venues", envvar="VENUES", type=Words(), help="Tardis exchange ids [all that have manifests].")
@click.option("--data-types", envvar="DATA_TYPES", type=Words(), help="trades,book_snapshot_5,... [all that have manifests].")
@click.option("--start-date", "--start", "start", envvar="START_DATE", type=Day(), required=True, help="First day, UTC.")
@click.option("--end-date", "--end", "end", envvar="END_DATE", type=Day(), help="Last day, inclusive [the first].")
@click.option("--symbols", envvar="SYMBOLS", type=Words(), help="Only these dataset symbols [all].")
@depth_options
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@bucket_options
def validate_command(**options: Any) -> int:
    """Re-verify committed objects against manifests, and on request against the source. Changes no data object.

    Exit code 0 if all is proven, 65 if something is wrong, 69 if cells could not be compared. What is found is kept: coverage shows
    its age, and deleted or altered objects turn their cells back.
    """
    return run_validation(**options)


def run_validation(
    *,
    venues: tuple[str, ...] | None,
    data_types: tuple[str, ...] | None,
    start: date,
    end: date | None,
    symbols: tuple[str, ...] | None,
    depth: str,
    sample: int,
    as_json: bool,
    data_bucket: str | None,
    state_bucket: str | None,
) -> int:
    """`engine validate`: compare, keep what was found, report."""
    days = DayRange(start, end or start)
    settings = resolve(flags={"data_bucket": data_bucket, "state_bucket": state_bucket})
    places = open_places(settings)
    question = Question(
        days=days,
        venues=tuple(require_venue(venue) for venue in venues or ()),
        data_types=tuple(require_data_type(name).name for name in data_types or ()),
        scope=_scope(places.state, venues, symbols),
        depth=Depth(depth),
        sample=sample,
    )
    progress = ProgressLine(sys.stderr.isatty() and not as_json)
    try:
        found = _validate(settings, places, question, progress)
    finally:
        progress.end()
    _require_known(places.state, question, found)
    if as_json:
        print_json(document_of(found))
    else:
        show(found, places.data.bucket)
    if found.exit_code is not ExitCode.DONE:
        click.echo(f"engine: {last_line(found, places.data.bucket)}", err=True)
    return found.exit_code


def _scope(state: Store, venues: tuple[str, ...] | None, symbols: tuple[str, ...] | None) -> Scope | None:
    if not symbols:
        return None
    wanted = frozenset(require_symbol(symbol) for symbol in symbols)
    return dict.fromkeys(venues or list_venues(state), wanted)


def _validate(settings: Settings, places: Places, question: Question, progress: ProgressLine) -> Validation:
    if question.depth is not Depth.SOURCE:
        return validate(places.data, places.state, question, on_cell=progress.show)
    from engine.validation.source_comparison import validate_with_source

    logbook = Logbook(minimum="WARNING", stream=sys.stderr, as_text=sys.stderr.isatty(), secrets=(settings.text("api_key"),))
    source = open_source(settings, logbook)
    return asyncio.run(validate_with_source(source, places.data, places.state, question, on_cell=progress.show))


def _require_known(state: Store, question: Question, found: Validation) -> None:
    """A misspelt name finds nothing, and nothing wrong: say so instead of calling it proven."""
    if any(result.objects for result in found.cells):
        return
    known = list_venues(state)
    for venue in question.venues:
        if venue not in known and venue not in {result.cell.venue for result in found.cells}:
            raise UsageError(f"nothing is known of venue {venue!r}", hint=nearest(venue, known, what="venues"))
    if question.scope is not None:
        wanted = ", ".join(sorted(frozenset().union(*question.scope.values())))
        raise UsageError(f"no manifest of {question.days} has a committed file of {wanted}", hint="see: tickdeck check --detailed")
