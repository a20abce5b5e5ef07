"""Universes: named symbol lists, as text files, and what they mean at each venue.

A line names a coin and a kind, not an id, because every venue spells ids its own way: `perpetual BTC/USDT` is BTCUSDT at
binance-futures and BTC-USDT-SWAP at okex-swap. Lists that come with Tickdeck lie in `engine/universes/`; a folder of a user's own
may add to them and replace them.

    # a comment
    spot BTC/USDT
    perpetual BTC/USDT
    id BTC-27DEC24                 exactly this dataset id, wherever it is listed
    id OPTIONS deribit             exactly this dataset id, at this venue only
    include tier1
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from engine.catalogue import Catalogue
from engine.errors import UsageError
from engine.expectation import Scope
from engine.model import DayRange, require_symbol, require_venue
from engine.spelling import nearest

SUFFIX = ".txt"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PAIR = re.compile(r"([A-Z0-9]{1,20})/([A-Z0-9]{2,10})")
_KINDS = ("spot", "perpetual")


@dataclass(frozen=True, slots=True)
class Instrument:
    """A coin pair of a kind, e.g. the perpetual of BTC against USDT, whatever venues call it."""

    kind: str
    """`spot` or `perpetual`."""
    base: str
    quote: str

    def __str__(self) -> str:
        return f"{self.kind} {self.base}/{self.quote}"


@dataclass(frozen=True, slots=True)
class ExactId:
    """A dataset id, verbatim."""

    symbol: str
    venue: str = ""
    """Empty: wherever it is listed."""

    def __str__(self) -> str:
        return f"id {self.symbol} {self.venue}".rstrip()


@dataclass(frozen=True, slots=True)
class Universe:
    """A named list of what is wanted."""

    name: str
    members: tuple[Instrument | ExactId, ...]


def list_universes(folder: Path | None = None) -> tuple[str, ...]:
    """Names of all universes: those that come with Tickdeck and those in `folder`."""
    names = {entry.name.removesuffix(SUFFIX) for entry in _shipped().iterdir() if entry.name.endswith(SUFFIX)}
    if folder is not None and folder.is_dir():
        names |= {entry.stem for entry in folder.glob(f"*{SUFFIX}")}
    return tuple(sorted(names))


def load_universe(name: str, *, folder: Path | None = None) -> Universe:
    """Read a universe; one in `folder` wins over one of the same name that comes with Tickdeck.

    Raises:
        UsageError: if there is none of that name (with the nearest), or a line cannot be read.
    """
    return Universe(name, tuple(dict.fromkeys(_read(name, folder, ()))))


def resolve(universe: Universe, catalogue: Catalogue) -> frozenset[str]:
    """The dataset symbols of a universe at one venue: those that it lists at some time.

    At a venue whose perpetuals are all margined in coin or USDC (deribit, binance-delivery), a perpetual against USDT means the
    one against USD.
    """
    listed: dict[str, set[str]] = {kind: set() for kind in _KINDS}
    everything: set[str] = set()
    for listing in catalogue.listings:
        everything.add(listing.symbol)
        if listing.kind in listed:
            listed[listing.kind].add(listing.symbol)
    knows_usdt = any("USDT" in symbol for symbol in listed["perpetual"])
    found: set[str] = set()
    for member in universe.members:
        if isinstance(member, ExactId):
            if member.symbol in everything and member.venue in ("", catalogue.venue):
                found.add(member.symbol)
            continue
        quote = "USD" if member.kind == "perpetual" and member.quote == "USDT" and not knows_usdt else member.quote
        found |= listed[member.kind] & _spellings(member.kind, member.base, quote)
    return frozenset(found)


def resolve_scope(
    symbols: Sequence[str], universe: str, catalogues: Mapping[str, Catalogue], *, folder: Path | None = None
) -> Scope | None:
    """What symbols given by hand and a universe mean at each venue; None if neither is given, which means everything.

    Symbols given by hand are taken verbatim at every venue; the universe adds to them.

    Raises:
        UsageError: if a symbol given by hand was never listed at any of the venues (a mistyped one would be a question about nothing,
            and its answer would look like "all there"); if there is no such universe, or it means nothing at any of them.
    """
    if not symbols and not universe:
        return None
    by_hand = frozenset(require_symbol(symbol) for symbol in symbols)
    for symbol in sorted(by_hand):
        if not any(symbol == listing.symbol for catalogue in catalogues.values() for listing in catalogue.listings):
            raise not_listed(symbol, catalogues)
    if not universe:
        return dict.fromkeys(catalogues, by_hand)
    members = load_universe(universe, folder=folder)
    scope = {venue: by_hand | resolve(members, catalogue) for venue, catalogue in catalogues.items()}
    if not any(scope.values()):
        raise UsageError(
            f"no venue of {', '.join(catalogues)} lists anything of universe {universe}",
            hint="name a venue that does, or another universe",
        )
    return scope


def not_listed(
    symbol: str, catalogues: Mapping[str, Catalogue], data_types: Iterable[str] = (), days: DayRange | None = None
) -> UsageError:
    """The error about a symbol asked for by name that no venue lists, or none in these days; with the nearest that one lists."""
    known = {listing.symbol for catalogue in catalogues.values() for listing in catalogue.listings}
    there = f"it is listed, but not for {', '.join(data_types)} on these days"
    hint = there if symbol in known else nearest(symbol, known, what="symbols")
    when = f" in {days}" if days is not None else ""
    return UsageError(f"symbol {symbol!r} is not listed at {', '.join(catalogues)}{when}", hint=hint)


def _shipped() -> Path:
    return Path(str(files("engine") / "universes"))


def _read(name: str, folder: Path | None, within: tuple[str, ...]) -> list[Instrument | ExactId]:
    if name in within:
        raise UsageError(f"universe {name} includes itself by way of {' -> '.join((*within, name))}")
    path = _find(name, folder)
    members: list[Instrument | ExactId] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if words[0] == "include" and len(words) == 2:
            members += _read(words[1], folder, (*within, name))
        else:
            members.append(_member(words, where=f"{path.name}, line {number}"))
    return members


def _find(name: str, folder: Path | None) -> Path:
    if _NAME.fullmatch(name):
        for place in filter(None, (folder, _shipped())):
            path = place / f"{name}{SUFFIX}"
            if path.is_file():
                return path
    raise UsageError(f"there is no universe {name!r}", hint=nearest(name, list_universes(folder), what="universes"))


def _member(words: Sequence[str], *, where: str) -> Instrument | ExactId:
    kind, *rest = words
    if kind == "id" and len(rest) in (1, 2):
        return ExactId(require_symbol(rest[0]), require_venue(rest[1]) if len(rest) == 2 else "")
    pair = _PAIR.fullmatch(rest[0].upper()) if len(rest) == 1 else None
    if kind in _KINDS and pair is not None:
        return Instrument(kind, pair[1], pair[2])
    raise UsageError(f"{where}: {' '.join(words)!r} names no symbol", hint='write "spot BTC/USDT", "id BTC-27DEC24" or "include tier1"')


def _spellings(kind: str, base: str, quote: str) -> frozenset[str]:
    """How venues write an instrument as a dataset id (Tardis, "Naming"; small coins are listed by the thousand)."""
    if kind == "spot":
        return frozenset({f"{base}{quote}", f"{base}-{quote}", f"{base}_{quote}"})
    found = set()
    for coin in (base, f"1000{base}", f"{base}1000"):
        found |= {
            f"{coin}{quote}",  # binance-futures, bybit
            f"{coin}-{quote}-SWAP",  # okex-swap
            f"{coin}{quote}_PERP",  # binance-delivery
            f"{coin}_{quote}-PERPETUAL",  # deribit, linear
        }
    if quote == "USD":
        found.add(f"{base}-PERPETUAL")  # deribit, inverse
    return frozenset(found)
