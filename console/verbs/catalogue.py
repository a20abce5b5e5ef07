"""`tickdeck catalogue`: what venues offer, and what changed between two answers of the source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click

from console.verbs.options import headless_session, json_option, profile_option
from engine.catalogue import Catalogue, Incident, Listing, list_catalogues, list_venues, load_catalogue_table
from engine.catalogue_diff import CatalogueDiff, compare_catalogues, pick_moment
from engine.clock import format_time
from engine.errors import ConfigurationError, ExitCode, UsageError
from engine.model import require_venue
from engine.spelling import nearest
from engine.store import Store
from engine.verbs.options import Words
from engine.verbs.printing import print_json, print_table

LINES = 40
"""So many symbols of one sort are printed; JSON has all."""


@click.group("catalogue")
def catalogue_command() -> None:
    """What venues offer, as the source said it: every answer is kept with its time."""


@catalogue_command.command("list")
@click.option("--venue", "--venues", "venues", type=Words(), help="Tardis exchange ids [all that were asked about].")
@profile_option
@json_option
def list_command(venues: Sequence[str] | None, profile_name: str, as_json: bool) -> int:
    """The catalogues that are stored, with their times in UTC, newest first."""
    state = headless_session(profile_name).buckets.state
    rows = [(venue, moment, name) for venue in venues or list_venues(state) for moment, name in reversed(stored(state, venue))]
    if as_json:
        print_json({"catalogues": [{"venue": venue, "fetched": format_time(moment), "object": name} for venue, moment, name in rows]})
        return ExitCode.DONE
    print_table(("venue", "fetched (UTC)", "object"), [(venue, format_time(moment), name) for venue, moment, name in rows])
    return ExitCode.DONE


@catalogue_command.command("diff")
@click.argument("old", metavar="A", default="previous")
@click.argument("new", metavar="B", default="latest")
@click.option("--venue", required=True, help="Tardis exchange id.")
@profile_option
@json_option
def diff_command(old: str, new: str, venue: str, profile_name: str, as_json: bool) -> int:
    """What changed from catalogue A [previous] to catalogue B [latest].

    A and B are `latest`, `previous`, a time (2024-05-01T06:00Z: the newest of then or before), or the beginning of a stored one's.
    """
    state = headless_session(profile_name).buckets.state
    names = dict(stored(state, venue))
    before, now = (load_table(state, names[pick_moment(text, sorted(names), venue=venue)]) for text in (old, new))
    diff = compare_catalogues(before, now)
    if as_json:
        print_json(diff_document(diff))
    else:
        show_diff(diff)
    return ExitCode.DONE


def stored(state: Store, venue: str) -> tuple[tuple[datetime, str], ...]:
    """The stored catalogues of a venue.

    Raises:
        UsageError: if there is none, with the nearest venue that has one.
    """
    found = list_catalogues(state, require_venue(venue))
    if not found:
        hint = f"{nearest(venue, list_venues(state), what='venues')}; or fetch it: engine instruments --venues {venue}"
        raise UsageError(f"no catalogue of {venue} is stored", hint=hint)
    return found


def load_table(state: Store, name: str) -> Catalogue:
    """A stored catalogue.

    Raises:
        ConfigurationError: if somebody deleted it meanwhile.
    """
    table = load_catalogue_table(state, name)
    if table is None:
        raise ConfigurationError(f"{name} is gone", hint="list them again: tickdeck catalogue list")
    return table


def show_diff(diff: CatalogueDiff) -> None:
    """The differences for people."""
    click.echo(f"{diff.venue}: {when(diff.old)} -> {when(diff.new)}")
    if diff.is_empty:
        click.echo("the same")
    if diff.published_until is not None:
        click.echo(f"published until {when(diff.published_until[0])} -> {when(diff.published_until[1])}")
    for sign, types in (("new", diff.data_types_added), ("gone", diff.data_types_removed)):
        if types:
            click.echo(f"data types {sign}: {', '.join(types)}")
    show_some("listed", diff.added, lambda item: f"+ {item.symbol}  {item.kind}  since {when(item.since)}  {' '.join(item.data_types)}")
    show_some("delisted", diff.delisted, lambda item: f"- {item.symbol}  {item.kind}  until {when(item.until)}")
    show_some("gone from the list", diff.removed, lambda item: f"! {item.symbol}  {item.kind}  listed since {when(item.since)}")
    show_some(
        "changed", diff.changed, lambda item: f"~ {item.symbol}  {item.field.replace('_', ' ')}: {item.old or '-'} -> {item.new or '-'}"
    )
    show_some(
        "perhaps renamed",
        diff.perhaps_renamed,
        lambda item: f"? {item.old} until {when(item.ended)}, {item.new} since {when(item.began)}",
    )
    show_some("incidents reported", diff.incidents_added, incident_line)
    show_some("incident reports gone or replaced", diff.incidents_removed, incident_line)


def show_some(title: str, items: Sequence[Any], line: Callable[[Any], str]) -> None:
    """A heading and the first few lines; nothing where there is nothing."""
    if not items:
        return
    click.echo(f"{len(items)} {title}:")
    for item in items[:LINES]:
        click.echo(f"  {line(item)}")
    if len(items) > LINES:
        click.echo(f"  ... and {len(items) - LINES} more; --json has all")


def incident_line(incident: Incident) -> str:
    """An incident for people."""
    return f"{when(incident.start)}..{when(incident.end)}  {incident.status}  {incident.details}"


def when(moment: datetime | None) -> str:
    """A time for people, UTC, to the second where it has seconds."""
    if moment is None:
        return "-"
    return f"{moment:%Y-%m-%d %H:%M:%S}Z" if moment.second or moment.microsecond else f"{moment:%Y-%m-%d %H:%M}Z"


def diff_document(diff: CatalogueDiff) -> dict[str, object]:
    """The differences as JSON carries them."""
    moved = diff.published_until
    return {
        "venue": diff.venue,
        "old": format_time(diff.old),
        "new": format_time(diff.new),
        "same": diff.is_empty,
        "published_until": None if moved is None else {"old": format_time(moved[0]), "new": format_time(moved[1])},
        "data_types_added": diff.data_types_added,
        "data_types_removed": diff.data_types_removed,
        "added": [listing_document(item) for item in diff.added],
        "delisted": [listing_document(item) for item in diff.delisted],
        "removed": [listing_document(item) for item in diff.removed],
        "changed": [{"symbol": item.symbol, "field": item.field, "old": item.old, "new": item.new} for item in diff.changed],
        "perhaps_renamed": [
            {"old": item.old, "new": item.new, "ended": format_time(item.ended), "began": format_time(item.began)}
            for item in diff.perhaps_renamed
        ],
        "incidents_added": [incident_document(item) for item in diff.incidents_added],
        "incidents_removed": [incident_document(item) for item in diff.incidents_removed],
    }


def listing_document(listing: Listing) -> dict[str, object]:
    """A listing by names, not by places as the stored table has it."""
    return {
        "symbol": listing.symbol,
        "kind": listing.kind,
        "data_types": listing.data_types,
        "since": format_time(listing.since),
        "until": format_time(listing.until) if listing.until else None,
    }


def incident_document(incident: Incident) -> dict[str, object]:
    """An incident by names."""
    return {
        "start": format_time(incident.start),
        "end": format_time(incident.end),
        "status": incident.status,
        "details": incident.details,
    }
