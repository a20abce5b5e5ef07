"""What lies in the data bucket already: objects of either layout over a range of days, told apart by their names alone.

Separate from `engine.adoption.adopting`, because the names decide which catalogues an adoption needs before it can begin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import chain
from typing import TypeVar

from engine.errors import UsageError
from engine.model import DayRange, File
from engine.paths import (
    OLD_CANDLES,
    RAW,
    OldDataName,
    data_range,
    old_candle_range,
    parse_data_object,
    parse_old_candle_object,
    parse_old_data_object,
)
from engine.store import ObjectInfo, Store

T = TypeVar("T")

PIECE_DAYS = 60
"""A longer range is listed in pieces of so many days, several at a time."""

LISTINGS_AT_ONCE = 8


class Layout(StrEnum):
    """Which objects are to be adopted."""

    OLD = "old"
    """At `.../VENUE:TYPE:SYMBOL.parquet`, from before Tickdeck."""
    OURS = "ours"
    """At our own places, without a manifest."""


@dataclass(frozen=True, slots=True)
class Lake:
    """What listings of the data bucket show of a range of days."""

    days: DayRange
    layout: Layout
    old: tuple[tuple[OldDataName, ObjectInfo], ...] = ()
    ours: tuple[tuple[File, ObjectInfo], ...] = ()
    candles: tuple[str, ...] = ()
    """Candles of the old system: no tick data, nothing to adopt."""
    other: tuple[str, ...] = ()
    """Names that follow no layout we know."""


def list_lake(data: Store, days: DayRange, layout: Layout) -> Lake:
    """What the data bucket has of these days: one request per thousand objects."""
    pieces = list(_pieces(days))
    with ThreadPoolExecutor(min(LISTINGS_AT_ONCE, len(pieces)), "list") as pool:
        listed = pool.map(lambda piece: list(_list_data(data, piece)), pieces)
        infos = list(chain.from_iterable(listed))
    old: list[tuple[OldDataName, ObjectInfo]] = []
    ours: list[tuple[File, ObjectInfo]] = []
    candles: list[str] = []
    other: list[str] = []
    for info in infos:
        if (key := _try(parse_old_data_object, info.name)) is not None:
            old.append((key, info))
        elif (file := _try(parse_data_object, info.name)) is not None:
            ours.append((file, info))
        elif _try(parse_old_candle_object, info.name) is not None:
            candles.append(info.name)
        else:
            other.append(info.name)
    return Lake(
        days,
        layout,
        tuple(old) if layout is Layout.OLD else (),
        tuple(ours) if layout is Layout.OURS else (),
        tuple(candles),
        tuple(other),
    )


def _list_data(data: Store, days: DayRange) -> Iterator[ObjectInfo]:
    start, end = data_range(days)
    yield from data.list(RAW, start=start, end=end)
    start, end = old_candle_range(days)
    yield from data.list(OLD_CANDLES, start=start, end=end)


def _pieces(days: DayRange) -> Iterator[DayRange]:
    start = days.start
    while start <= days.end:
        end = min(days.end, start + timedelta(days=PIECE_DAYS - 1))
        yield DayRange(start, end)
        start = end + timedelta(days=1)


def _try(parse: Callable[[str], T], name: str) -> T | None:
    try:
        return parse(name)
    except UsageError:
        return None
