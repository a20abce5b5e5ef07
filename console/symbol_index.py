"""Which symbols a venue may be asked for, indexed for typing: completion and checks stay instant with 300,000 options. No Textual."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import islice

from engine.catalogue import Catalogue
from engine.model import DayRange
from engine.spelling import nearest
from engine.universe import load_universe, resolve

PREFERRED_UNIVERSE = "tier2"
"""Its symbols are offered before others that begin the same way."""
_LOOKED_AT = 2_000
"""Ids of one beginning that are ranked; of more the first by name."""


class SymbolIndex:
    """Ids by their beginnings.

    Args:
        offered: ids that may be typed.
        listed: every id that the venues ever listed, whatever the type and day; what is not among them is a mistake.
        preferred: offered first.
        venues: whose they are.
    """

    def __init__(
        self,
        offered: Iterable[str] = (),
        *,
        listed: Iterable[str] = (),
        preferred: Iterable[str] = (),
        venues: tuple[str, ...] = (),
    ) -> None:
        pairs = sorted((symbol.casefold(), symbol) for symbol in set(offered))
        self._folded = [folded for folded, _ in pairs]
        self._names = [name for _, name in pairs]
        self._listed = frozenset(listed)
        self._preferred = frozenset(preferred)
        self.venues = venues

    def __len__(self) -> int:
        return len(self._names)

    def starting_with(self, beginning: str) -> list[str]:
        """Ids that begin so, whatever the case: preferred ones, then short ones, first."""
        folded = beginning.casefold()
        start = bisect_left(self._folded, folded)
        found = []
        for at in islice(range(start, len(self._folded)), _LOOKED_AT):
            if not self._folded[at].startswith(folded):
                break
            found.append(self._names[at])
        return sorted(found, key=lambda name: (name not in self._preferred, len(name), name))

    def is_unknown(self, symbol: str, venues: Iterable[str]) -> bool:
        """Whether none of these venues ever listed it; False where their catalogues have not been read."""
        return bool(self._listed) and set(venues) == set(self.venues) and symbol not in self._listed

    def nearest(self, symbol: str) -> str:
        """A hint: the id that was probably meant."""
        return nearest(symbol, self._names or self._listed, what="symbols")


def index_symbols(catalogues: Mapping[str, Catalogue], data_types: Iterable[str], days: DayRange) -> SymbolIndex:
    """What may be asked for of these venues, types and days."""
    wanted = frozenset(data_types)
    offered: set[str] = set()
    listed: set[str] = set()
    preferred: set[str] = set()
    universe = load_universe(PREFERRED_UNIVERSE)
    for catalogue in catalogues.values():
        preferred |= resolve(universe, catalogue)
        for listing in catalogue.listings:
            listed.add(listing.symbol)
            begins = listing.since.date() <= days.end
            if begins and (listing.until is None or listing.until.date() >= days.start) and not wanted.isdisjoint(listing.data_types):
                offered.add(listing.symbol)
    return SymbolIndex(offered, listed=listed, preferred=preferred, venues=tuple(catalogues))
