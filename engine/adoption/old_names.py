"""What the old system's object names stand for: from `VENUE:TYPE:SYMBOL` to the file of a venue's dataset symbol.

The key of every listing of the venues that the first word can mean is compared with the name's. Exactly one must fit, and be
listed on that day: what fits none or several is refused with the reason, because a wrong guess would pass one instrument's rows
off as another's. Which words the old system used for venues and types is data here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine.adoption.refusal import Reason, Refused
from engine.catalogue import Catalogue, Listing
from engine.datatypes import DATA_TYPES
from engine.errors import UsageError
from engine.instruments.keys import TYPE_OF_KIND, InstrumentType, canonical_strike, parse_symbol
from engine.model import Cell, File, require_symbol, require_venue
from engine.paths import OldDataName
from engine.thinness import few

_OKX = {
    InstrumentType.SPOT_PAIR: ("okex",),
    InstrumentType.PERPETUAL: ("okex-swap",),
    InstrumentType.FUTURE: ("okex-futures",),
    InstrumentType.OPTION: ("okex-options",),
}

FAMILIES: Mapping[str, Mapping[InstrumentType, tuple[str, ...]]] = {
    "BINANCE": {
        InstrumentType.SPOT_PAIR: ("binance",),
        InstrumentType.PERPETUAL: ("binance-futures", "binance-delivery"),
        InstrumentType.FUTURE: ("binance-futures", "binance-delivery"),
        InstrumentType.OPTION: ("binance-european-options", "binance-options"),
    },
    "BYBIT": {
        InstrumentType.SPOT_PAIR: ("bybit-spot",),
        InstrumentType.PERPETUAL: ("bybit",),
        InstrumentType.FUTURE: ("bybit",),
        InstrumentType.OPTION: ("bybit-options",),
    },
    "OKX": _OKX,
    "OKEX": _OKX,
}
"""An exchange's name, and which of its venues hold instruments of a type. Any other word is a venue's own id, in upper case."""

OKX_PREFIX = ("okx-", "okex-")
"""The exchange is called OKX today, its venues at the source are still `okex-...`."""

TYPE_WORDS: Mapping[str, InstrumentType] = {
    **{kind.value: kind for kind in InstrumentType},
    "PERP": InstrumentType.PERPETUAL,
    "SPOT": InstrumentType.SPOT_PAIR,
}


@dataclass(frozen=True, slots=True)
class OldKey:
    """An instrument key as the old system wrote it."""

    venue_word: str
    type: InstrumentType
    symbol: str
    """BASE-QUOTE and what follows; or the venue's own symbol."""

    @property
    def venues(self) -> tuple[str, ...]:
        """Tardis ids that the first word can mean for this type."""
        family = FAMILIES.get(self.venue_word)
        if family is not None:
            return family.get(self.type, ())
        word = self.venue_word.lower().replace("_", "-")
        old, new = OKX_PREFIX
        return (new + word.removeprefix(old) if word.startswith(old) else word,)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a person says that a key means."""

    venue: str
    symbol: str


def parse_meaning(text: str) -> tuple[str, Meaning]:
    """Read `KEY=VENUE/SYMBOL`, e.g. `DERIBIT:OPTION:BTC-USD=deribit/OPTIONS`: the key, and what it means.

    Raises:
        UsageError: naming the text.
    """
    key, _, meant = text.partition("=")
    venue, _, symbol = meant.partition("/")
    if key.count(":") < 2 or not venue or not symbol:
        raise UsageError(f"{text!r} gives no key a meaning", hint="write KEY=VENUE/SYMBOL, e.g. DERIBIT:OPTION:BTC-USD=deribit/OPTIONS")
    return key, Meaning(require_venue(venue), require_symbol(symbol))


def parse_old_key(text: str) -> OldKey:
    """Read the key of an old object's name.

    Raises:
        Refused: `NO_KEY` if the second word is no type of instrument.
    """
    venue, kind, symbol = text.split(":", 2)
    found = TYPE_WORDS.get(kind.upper())
    if found is None:
        raise Refused(Reason.NO_KEY, f"{kind!r} is no type of instrument")
    return OldKey(venue.upper(), found, symbol)


def venues_of(text: str) -> tuple[str, ...]:
    """Every venue that an old key can mean; none if it cannot be read."""
    try:
        return parse_old_key(text).venues
    except Refused:
        return ()


def venues_meant(names: Iterable[OldDataName]) -> frozenset[str]:
    """Every venue that one of these names can mean: their catalogues are needed to read the names."""
    return frozenset(venue for text in {name.instrument_key for name in names} for venue in venues_of(text))


class OldNames:
    """The dictionary of old names, out of the venues' catalogues."""

    def __init__(self, catalogues: Mapping[str, Catalogue], said: Mapping[str, Meaning] = MappingProxyType({})) -> None:
        """Args:
        catalogues: by venue; a venue without one is taken as unknown to the source.
        said: keys whose meaning a person has given.
        """
        self._catalogues, self._said = catalogues, said
        self._listings: dict[str, dict[tuple[InstrumentType, str], list[Listing]]] = {}

    def file_of(self, name: OldDataName) -> File:
        """The file that an old object holds.

        Raises:
            Refused: saying why the name stands for no file, or not for exactly one.
        """
        if name.data_type not in DATA_TYPES:
            raise Refused(Reason.UNKNOWN_DATA_TYPE, f"{name.data_type} has no columns here")
        fitting = self._said_listings(name.instrument_key) or self._fitting_listings(name.instrument_key)
        listed = [(venue, listing) for venue, listing in fitting if listing.overlaps(name.day)]
        if not listed:
            raise Refused(Reason.NOT_LISTED, f"{_named(fitting)} was not listed on {name.day}")
        if len({(venue, listing.symbol) for venue, listing in listed}) > 1:
            raise Refused(Reason.SEVERAL_LISTINGS, f"it may be {_named(listed)}")
        if not any(name.data_type in listing.data_types for _, listing in listed):
            raise Refused(Reason.NOT_OFFERED, f"{_named(listed)} has no {name.data_type}")
        venue, listing = listed[0]
        return File(Cell(name.day, name.data_type, venue), listing.symbol)

    def _said_listings(self, text: str) -> list[tuple[str, Listing]]:
        meaning = self._said.get(text)
        if meaning is None:
            return []
        catalogue = self._catalogues.get(meaning.venue)
        found = [] if catalogue is None else [each for each in catalogue.listings if each.symbol == meaning.symbol]
        if not found:
            raise Refused(Reason.NO_LISTING, f"{meaning.venue} has no symbol {meaning.symbol}")
        return [(meaning.venue, listing) for listing in found]

    def _fitting_listings(self, text: str) -> list[tuple[str, Listing]]:
        key = parse_old_key(text)
        venues = [venue for venue in key.venues if venue in self._catalogues]
        if not venues:
            meant = f" (it would be {' or '.join(key.venues)})" if key.venues else ""
            raise Refused(Reason.UNKNOWN_VENUE, f"the source has no venue for {key.venue_word} {key.type}{meant}")
        fitting = [(venue, listing) for venue in venues for listing in self._fitting(venue, key)]
        if not fitting:
            raise Refused(Reason.NO_LISTING, f"{', '.join(venues)}: no symbol has this key")
        return fitting

    def _fitting(self, venue: str, key: OldKey) -> list[Listing]:
        """Listings with this key, and those whose own symbol stands in the name instead of a pair."""
        index = self._index(venue)
        found = [*index.get((key.type, _canonical(key.symbol)), ()), *index.get((key.type, f"={key.symbol}"), ())]
        return list(dict.fromkeys(found))

    def _index(self, venue: str) -> dict[tuple[InstrumentType, str], list[Listing]]:
        if venue not in self._listings:
            index: dict[tuple[InstrumentType, str], list[Listing]] = defaultdict(list)
            for listing in self._catalogues[venue].listings:
                kind = TYPE_OF_KIND.get(listing.kind)
                if kind is None:
                    continue
                index[kind, f"={listing.symbol}"].append(listing)
                parsed = parse_symbol(venue, listing)
                if parsed is not None:
                    index[kind, str(parsed.key).split(":", 2)[2]].append(listing)
            self._listings[venue] = dict(index)
        return self._listings[venue]


def _canonical(symbol: str) -> str:
    """An option's strike without needless zeros, as keys have it; anything else verbatim."""
    parts = symbol.split("-")
    if len(parts) == 5 and parts[3].upper().replace("D", ".").replace(".", "", 1).isdecimal():
        parts[3] = canonical_strike(parts[3])
    return "-".join(parts)


def _named(listings: list[tuple[str, Listing]]) -> str:
    return few(sorted({f"{venue} {listing.symbol}" for venue, listing in listings}))
