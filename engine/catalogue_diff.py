"""What changed between two answers of the source about a venue: who came, who went, and whose dates or data types are others now.

Separate from `engine.catalogue` because it compares: everything there is about one answer. It acts on nothing: what looks like a
new name for an old symbol is shown as that, for a person to judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.catalogue import Catalogue, Incident, Listing
from engine.clock import format_time, parse_time
from engine.errors import UsageError
from engine.instruments.keys import Parsed, parse_symbol

RENAME_WITHIN = timedelta(days=2)
"""So near in time an end and a beginning of the same instrument may be one rename."""
NAMED = 8
"""So many known times are named in an error."""
_MULTIPLIER = re.compile(r"^1000+(?=[^\W\d_])|(?<=[^\W\d_])1000+$")


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one symbol that is another now."""

    symbol: str
    field: str
    """`kind`, `since`, `until`, `data_types_added` or `data_types_removed`."""
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Rename:
    """A symbol that ended and one that began at nearly the same time, and both mean the same instrument: perhaps one rename."""

    old: str
    new: str
    ended: datetime
    began: datetime


@dataclass(frozen=True, slots=True)
class CatalogueDiff:
    """From an older to a newer catalogue of a venue."""

    venue: str
    old: datetime
    """When the older one was fetched, UTC."""
    new: datetime
    added: tuple[Listing, ...]
    removed: tuple[Listing, ...]
    """Listed before, and not at all now: the source should give them an end instead."""
    delisted: tuple[Listing, ...]
    """They have an end now, and had none."""
    changed: tuple[Change, ...]
    perhaps_renamed: tuple[Rename, ...]
    data_types_added: tuple[str, ...]
    """That no symbol of the venue had before."""
    data_types_removed: tuple[str, ...]
    published_until: tuple[datetime, datetime] | None
    """Before and now; None if it did not move."""
    incidents_added: tuple[Incident, ...]
    incidents_removed: tuple[Incident, ...]
    """Reports that are gone, or say another end or status now; their new text is among those added."""

    @property
    def is_empty(self) -> bool:
        """Whether the two catalogues say the same."""
        return not any(
            (
                self.added,
                self.removed,
                self.delisted,
                self.changed,
                self.published_until,
                self.incidents_added,
                self.incidents_removed,
            )
        )


def compare_catalogues(old: Catalogue, new: Catalogue) -> CatalogueDiff:
    """What is otherwise in `new`.

    Raises:
        UsageError: if they are of two venues.
    """
    if old.venue != new.venue:
        raise UsageError(f"catalogues of {old.venue} and {new.venue} cannot be compared", hint="take two of one venue")
    added, removed, pairs = _match_listings(old.listings, new.listings)
    delisted = tuple(now for before, now in pairs if before.until is None and now.until is not None)
    ended = [*delisted, *(listing for listing in removed if listing.until is not None)]
    return CatalogueDiff(
        venue=new.venue,
        old=old.fetched,
        new=new.fetched,
        added=added,
        removed=removed,
        delisted=delisted,
        changed=tuple(change for before, now in pairs for change in _changes(before, now)),
        perhaps_renamed=_renames(new.venue, ended, added),
        data_types_added=tuple(sorted(new.data_types() - old.data_types())),
        data_types_removed=tuple(sorted(old.data_types() - new.data_types())),
        published_until=(old.published_until, new.published_until) if old.published_until != new.published_until else None,
        incidents_added=_only_in_first(new, old),
        incidents_removed=_only_in_first(old, new),
    )


def _only_in_first(first: Catalogue, second: Catalogue) -> tuple[Incident, ...]:
    """Incident reports of one catalogue that the other does not have. One that goes on in both is the same report."""
    known = {_report(second, incident) for incident in second.incidents}
    return tuple(incident for incident in first.incidents if _report(first, incident) not in known)


def _report(catalogue: Catalogue, incident: Incident) -> tuple[object, ...]:
    goes_on = incident.end == max(incident.start, catalogue.fetched)
    return (incident.start, None if goes_on else incident.end, incident.status, incident.details)


def _match_listings(
    old: Iterable[Listing], new: Iterable[Listing]
) -> tuple[tuple[Listing, ...], tuple[Listing, ...], list[tuple[Listing, Listing]]]:
    """Added, removed, and those in both. A symbol that was listed twice has two listings; the n-th goes with the n-th."""
    before, now = _by_occurrence(old), _by_occurrence(new)
    added = tuple(now[place] for place in sorted(now.keys() - before.keys()))
    removed = tuple(before[place] for place in sorted(before.keys() - now.keys()))
    return added, removed, [(before[place], now[place]) for place in sorted(before.keys() & now.keys())]


def _by_occurrence(listings: Iterable[Listing]) -> dict[tuple[str, int], Listing]:
    found: dict[tuple[str, int], Listing] = {}
    counts: dict[str, int] = {}
    for listing in sorted(listings, key=lambda each: (each.symbol, each.since, each.kind, str(each.until), each.data_types)):
        number = counts.get(listing.symbol, 0)
        counts[listing.symbol] = number + 1
        found[listing.symbol, number] = listing
    return found


def _changes(before: Listing, now: Listing) -> list[Change]:
    changes = []
    if before.kind != now.kind:
        changes.append(Change(now.symbol, "kind", before.kind, now.kind))
    if before.since != now.since:
        changes.append(Change(now.symbol, "since", format_time(before.since), format_time(now.since)))
    if before.until != now.until and before.until is not None:
        changes.append(Change(now.symbol, "until", format_time(before.until), format_time(now.until) if now.until else ""))
    gone, come = set(before.data_types) - set(now.data_types), set(now.data_types) - set(before.data_types)
    if come:
        changes.append(Change(now.symbol, "data_types_added", "", " ".join(sorted(come))))
    if gone:
        changes.append(Change(now.symbol, "data_types_removed", " ".join(sorted(gone)), ""))
    return changes


def _renames(venue: str, ended: Sequence[Listing], began: Sequence[Listing]) -> tuple[Rename, ...]:
    """Ends and beginnings that may be one rename: all pairs, as only a person can tell which is meant."""
    by_meaning: dict[tuple[object, ...], list[Listing]] = {}
    for listing in began:
        if meaning := _meaning(parse_symbol(venue, listing)):
            by_meaning.setdefault(meaning, []).append(listing)
    return tuple(
        Rename(listing.symbol, other.symbol, listing.until, other.since)
        for listing in ended
        for other in by_meaning.get(_meaning(parse_symbol(venue, listing)) or (), ())
        if listing.until is not None and listing.symbol != other.symbol and abs(other.since - listing.until) <= RENAME_WITHIN
    )


def _meaning(parsed: Parsed | None) -> tuple[object, ...] | None:
    """What two names of one instrument share. 1000SHIB and SHIB1000 mean SHIB: a change of the multiplier renames the symbol."""
    if parsed is None:
        return None
    key = parsed.key
    return (key.type, _MULTIPLIER.sub("", key.base), key.quote, parsed.settle, key.expiry, key.strike, key.option_type, key.legs)


def pick_moment(text: str, known: Sequence[datetime], *, venue: str) -> datetime:
    """The catalogue that `text` means, out of the times of those that are stored, oldest first.

    `latest`, `previous`, the beginning of a time or of an object's stamp (`2024-05-01`, `20240501T06`) where only one begins so, or a
    whole time with its zone (`2024-05-01T06:00Z`), which means the newest of then or before.

    Raises:
        UsageError: naming the text and the known times.
    """
    if not known:
        raise UsageError(f"no catalogue of {venue} is stored", hint=f"fetch it: engine instruments --venues {venue}")
    words = {"latest": -1, "previous": -2}
    word = text.strip().lower()
    if word in words:
        if len(known) < -words[word]:
            raise UsageError(f"only one catalogue of {venue} is stored", hint=_list_times(known))
        return known[words[word]]
    wanted = _digits(word)
    begun = [moment for moment in known if wanted and _digits(format_time(moment)).startswith(wanted)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise UsageError(f"{text!r} means {len(begun)} catalogues of {venue}", hint=_list_times(begun))
    try:
        limit = parse_time(text.strip().upper())
    except UsageError:
        limit = None  # no time, or one without a zone: nobody knows which moment that is
    earlier = [moment for moment in known if limit is not None and moment <= limit]
    if not earlier:
        zone = ", and a time of day ends with Z" if limit is None and ":" in text else ""
        raise UsageError(f"no catalogue of {venue} is of {text!r}{zone}", hint=_list_times(known))
    return earlier[-1]


def _digits(text: str) -> str:
    """A time without what separates its parts, which is how object names write it."""
    return re.sub(r"[-:.]", "", text.lower())


def _list_times(known: Sequence[datetime]) -> str:
    more = f"{len(known) - NAMED} more, " if len(known) > NAMED else ""
    return f"known: {more}{', '.join(format_time(moment) for moment in known[-NAMED:])}"
