"""`engine instruments`: what venues offer, kept as catalogue and as the definitions of each day."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import date
from typing import Any

import click

from engine.catalogue import save_catalogue
from engine.errors import ExitCode, UsageError
from engine.instruments import fetch_catalogue, write_definitions
from engine.logbook import Logbook
from engine.model import DayRange, require_venue
from engine.settings import resolve
from engine.verbs.opening import open_places, open_source
from engine.verbs.options import Day, Words, bucket_options


@click.command("instruments")
@click.option("--venues", envvar="VENUES", type=Words(), help="Tardis exchange ids.")
@click.option("--start-date", "--start", "start", envvar="START_DATE", type=Day(), help="First day of definitions, UTC.")
@click.option("--end-date", "--end", "end", envvar="END_DATE", type=Day(), help="Last day, inclusive [the first].")
@click.option("--list-venues", is_flag=True, help="Print the venues the source knows.")
@bucket_options
def instruments_command(**options: Any) -> int:
    """Ask what venues offer; keep the catalogue and the definitions of each day."""
    return asyncio.run(instruments(**options))


async def instruments(
    *,
    venues: Sequence[str] | None,
    start: date | None,
    end: date | None,
    list_venues: bool,
    data_bucket: str | None,
    state_bucket: str | None,
) -> int:
    """`engine instruments`: keep what venues offer, and the definitions of each day."""
    settings = resolve(flags={"data_bucket": data_bucket, "state_bucket": state_bucket})
    logbook = Logbook(minimum="WARNING", stream=sys.stderr, as_text=sys.stderr.isatty(), secrets=(settings.text("api_key"),))
    async with open_source(settings, logbook) as source:
        if list_venues:
            for item in json.loads(await source.exchanges()):
                click.echo(f"{item['id']:<28} {item.get('name', ''):<36} since {str(item.get('availableSince', ''))[:10]}")
            return ExitCode.DONE
        if not venues:
            raise UsageError("no venue given", hint="--venues binance,deribit; list them with --list-venues")
        places = open_places(settings)
        for venue in venues:
            require_venue(venue)
            catalogue, body = await fetch_catalogue(source, venue)
            save_catalogue(places.state, catalogue, body)
            line = f"{venue}: {len(catalogue.listings)} symbols, published until {catalogue.published_until:%Y-%m-%d %H:%M} UTC"
            if start is not None:
                days = DayRange(start, end or start)
                written, before = write_definitions(places.data, catalogue, body, days)
                line += f"; definitions of {days}: {written} written, {before} there before"
            click.echo(line)
    return ExitCode.DONE
