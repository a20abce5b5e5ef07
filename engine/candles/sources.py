"""What candles are made of: the committed files of a venue and day, by symbol, as their manifests name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from engine.candles.columns import Input
from engine.candles.committing import Made, identify
from engine.candles.timeframes import Clock
from engine.instruments.keys import parse_symbol_as
from engine.manifest import Entry
from engine.model import Cell, File, Outcome
from engine.paths import data_object
from engine.tally import OpenCell
from engine.validation.verification import Finding, turn_back

OF_SYMBOL = (Input.TRADES, Input.BOOK, Input.TICKER, Input.LIQUIDATIONS)
"""Inputs that each symbol has a file of its own of."""

CHAIN = "OPTIONS"
"""The grouped file of all options of a venue and day."""

_UNDERLYINGS = ("spot", "perpetual", "future")
"""Kinds of symbols whose candles carry what the options on their base currency say."""


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One committed file."""

    name: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Sources:
    """The committed files of one symbol and day."""

    objects: Mapping[Input, SourceObject]

    @property
    def bytes(self) -> int:
        """Of the symbol's own objects; the options chain is read once for all symbols."""
        return sum(source.entry.object_bytes for name, source in self.objects.items() if name is not Input.OPTIONS)

    def made(self, clock: Clock) -> Made:
        """What candles of these files are."""
        return identify(
            {name: source.entry.crc32c or f"generation {source.entry.generation}" for name, source in self.objects.items()}, clock
        )


def read_sources(open_cell: OpenCell, day: date, venue: str, lost: Iterable[Finding] = ()) -> dict[str, Sources]:
    """The committed files of every symbol that has trades on that day, by symbol: one listing and the manifests for each data type.

    Args:
        open_cell: reads and merges all manifests of a cell.
        day: UTC.
        venue: exchange id.
        lost: what the last comparison of the trades with their manifests found wrong: of what is gone or altered no candles can be made.
    """
    names = (*OF_SYMBOL, Input.OPTIONS)
    found = {name: _committed(open_cell, Cell(day, name.value, venue), lost if name is Input.TRADES else ()) for name in names}
    chain = found[Input.OPTIONS].get(CHAIN)
    result = {}
    for symbol in found[Input.TRADES]:
        objects = {name: found[name][symbol] for name in OF_SYMBOL if symbol in found[name]}
        if chain is not None and base_with_options(venue, symbol):
            objects[Input.OPTIONS] = chain
        result[symbol] = Sources(objects)
    return result


def _committed(open_cell: OpenCell, cell: Cell, lost: Iterable[Finding] = ()) -> dict[str, SourceObject]:
    return {
        symbol: SourceObject(record.entry.object or data_object(File(cell, symbol)), record.entry)
        for symbol, record in turn_back(open_cell(cell), lost).items()
        if record.entry.outcome is Outcome.OK
    }


def base_with_options(venue: str, symbol: str) -> str:
    """The base currency of a spot pair, perpetual or future, by its symbol; "" of anything else, or if it cannot be read."""
    return next(filter(None, (_base(venue, kind, symbol) for kind in _UNDERLYINGS)), "")


def base_of_option(venue: str, symbol: str) -> str:
    """The base currency of an option, by its symbol; "" if it cannot be read."""
    return _base(venue, "option", symbol)


def _base(venue: str, kind: str, symbol: str) -> str:
    parsed = parse_symbol_as(venue, kind, symbol)
    return parsed.key.base if parsed else ""
