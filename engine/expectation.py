"""Which symbols are expected on which day, for the data types of one venue over a range of days.

The catalogue answers for one day at a time, by walking all its listings. Coverage of years and large plans ask about thousands of
cells of a venue that may list 300,000 options; expectations change only where a listing begins or ends, so here they are computed
once per stretch between two such days.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime

import msgspec

from engine.catalogue import GROUPED_BY_DEFAULT, Catalogue, Listing
from engine.datatypes import GROUPED_SYMBOLS
from engine.documents import hash_symbols
from engine.model import DayRange, day_start

Scope = Mapping[str, frozenset[str]]
"""venue -> the dataset symbols that are asked for there. No scope at all (None) means every symbol the catalogue expects."""

DATED_KINDS = frozenset({"option", "future", "combo"})
"""Kinds that expire and are followed by the next one: their coming and going does not change what a cell amounts to."""


class Expected(msgspec.Struct, eq=False):
    """What a cell must hold, on every day of one stretch."""

    symbols: tuple[str, ...]
    """Sorted, reduced to the scope."""
    whole: tuple[str, ...]
    """Sorted, as the catalogue expects without a scope."""
    churn: int
    """How many undated symbols came or went since the first day: days of equal churn compare like with like."""
    _digests: dict[tuple[str, ...], str]
    """Of all days of the venue. To look there costs the length of the list, so what was found is kept here as well."""
    _own_digest: str = ""
    _whole_digest: str = ""

    def __contains__(self, symbol: str) -> bool:
        place = bisect_left(self.symbols, symbol)
        return place < len(self.symbols) and self.symbols[place] == symbol

    @property
    def digest(self) -> str:
        """The hash that a manifest of exactly these symbols carries."""
        if not self._own_digest:
            self._own_digest = self._digest(self.symbols)
        return self._own_digest

    @property
    def whole_digest(self) -> str:
        """The hash that a manifest of the whole cell carries."""
        if not self._whole_digest:
            self._whole_digest = self._digest(self.whole)
        return self._whole_digest

    @property
    def is_scoped(self) -> bool:
        """Whether a scope asks for less, or for something else, than the whole cell."""
        return self.symbols is not self.whole and self.symbols != self.whole

    def _digest(self, symbols: tuple[str, ...]) -> str:
        found = self._digests.get(symbols)
        if found is None:
            found = self._digests[symbols] = hash_symbols(symbols)
        return found


class Expectations(msgspec.Struct, frozen=True, eq=False):
    """What one venue and data type must hold on each day of a range."""

    days: DayRange
    by_day: tuple[Expected, ...]
    """One for each day of the range, the same object along a stretch."""
    partial: Mapping[date, frozenset[str]]
    """Symbols in scope that were listed or delisted in the course of that day, so that a full day cannot be asked of them."""
    kinds: Mapping[str, str]
    """Symbol -> its kind, for every symbol of the venue that is listed on some day of the range."""

    def at(self, day: date) -> Expected:
        """What that day must hold; `day` lies in the range."""
        return self.by_day[(day - self.days.start).days]


def expect(
    catalogue: Catalogue, data_types: Collection[str], days: DayRange, *, symbols: frozenset[str] | None = None
) -> dict[str, Expectations]:
    """Expectations of each data type, in one pass over the catalogue.

    Without `symbols` these are `Catalogue.expected` for each day. With them: whatever of them is listed, grouped ids and single
    options included, because they were asked for by name.
    """
    first, last = days.start.toordinal(), days.end.toordinal()
    events: dict[str, dict[int, list[tuple[Listing, int]]]] = {data_type: defaultdict(list) for data_type in data_types}
    partial: dict[str, dict[date, set[str]]] = {data_type: defaultdict(set) for data_type in data_types}
    kinds: dict[str, str] = {}
    for listing in catalogue.listings:
        begin, end = listing.days()
        if begin > last or end < first or begin > end:
            continue
        kinds[listing.symbol] = listing.kind
        cut = _cut_days(listing) if begin >= first or end <= last else ()
        for data_type in listing.data_types:
            if data_type not in events:
                continue
            events[data_type][max(begin, first)].append((listing, 1))
            if end < last:
                events[data_type][end + 1].append((listing, -1))
            if symbols is None or listing.symbol in symbols:
                for day in cut:
                    partial[data_type][day].add(listing.symbol)
    digests: dict[tuple[str, ...], str] = {}
    return {
        data_type: Expectations(
            days,
            _by_day(data_type, days, events[data_type], symbols, digests),
            {day: frozenset(names) for day, names in partial[data_type].items()},
            kinds,
        )
        for data_type in data_types
    }


def of_kinds(found: Expectations, kinds: Collection[str]) -> Expectations:
    """The same, reduced to symbols of some kinds (`spot`, `perpetual`, ...), as a scope reduces it to some symbols."""
    reduced: dict[int, Expected] = {}
    for expected in found.by_day:
        if id(expected) not in reduced:  # one object along a whole stretch of days
            symbols = tuple(symbol for symbol in expected.symbols if found.kinds.get(symbol) in kinds)
            reduced[id(expected)] = Expected(symbols, expected.whole, expected.churn, expected._digests)
    return Expectations(found.days, tuple(reduced[id(expected)] for expected in found.by_day), found.partial, found.kinds)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def _cut_days(listing: Listing) -> tuple[date, ...]:
    """Days that it overlaps, but not as a whole."""
    ends = (listing.since,) if listing.until is None else (listing.since, listing.until)
    return tuple(moment.date() for moment in map(_utc, ends) if moment != day_start(moment.date()))


def _by_day(
    data_type: str,
    days: DayRange,
    events: Mapping[int, list[tuple[Listing, int]]],
    scope: frozenset[str] | None,
    digests: dict[tuple[str, ...], str],
) -> tuple[Expected, ...]:
    """Sweep over the days on which something begins or ends."""
    grouped = GROUPED_BY_DEFAULT.get(data_type)
    listed: dict[str, int] = {}
    singles: list[str] = []
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    churn = 0
    stretches: list[Expected] = []
    first = days.start.toordinal()
    borders = sorted({first, *events})
    for border in borders:
        for listing, step in events.get(border, ()):
            symbol = listing.symbol
            before = listed.get(symbol, 0)
            listed[symbol] = before + step
            if symbol not in GROUPED_SYMBOLS:
                if before == 0:
                    insort(singles, symbol)
                elif before + step == 0:
                    del singles[bisect_left(singles, symbol)]
            if border > first and listing.kind not in DATED_KINDS and (scope is None or symbol in scope):
                churn += 1
        whole = (grouped,) if grouped is not None and listed.get(grouped) else tuple(singles)
        asked = whole if scope is None else tuple(sorted(symbol for symbol in scope if listed.get(symbol)))
        whole, asked = shared.setdefault(whole, whole), shared.setdefault(asked, asked)
        stretches.append(Expected(asked, whole, churn, digests))
    ends = [*borders[1:], days.end.toordinal() + 1]
    return tuple(
        expected for expected, border, end in zip(stretches, borders, ends, strict=True) for expected in (expected,) * (end - border)
    )
