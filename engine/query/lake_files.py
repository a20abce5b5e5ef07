"""The views that a query may read, and the objects behind them: listed by folder, narrowed by what their names say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from engine.candles.columns import candle_schema
from engine.candles.timeframes import TIMEFRAMES
from engine.datatypes import DATA_TYPES, GROUPED_SYMBOLS
from engine.datatypes import schema as raw_schema
from engine.errors import UsageError
from engine.model import DayRange
from engine.paths import (
    candle_timeframe_prefix,
    data_type_prefix,
    instruments_day_prefix,
    parse_candle_object,
    parse_data_object,
    parse_instruments_object,
)
from engine.query.constraints import Constraint
from engine.spelling import nearest
from engine.store import ObjectInfo, Store

if TYPE_CHECKING:
    import pyarrow as pa

CANDLE_VIEWS = {f"candles_{timeframe}": timeframe for timeframe in TIMEFRAMES}
INSTRUMENTS_VIEW = "instruments"
VIEWS = (*DATA_TYPES, *CANDLE_VIEWS, INSTRUMENTS_VIEW)
"""Every view by name: raw data types, candles of each timeframe, definitions."""

_LISTINGS = 16


@dataclass(frozen=True, slots=True)
class LakeFile:
    """One object of a view, by what its name says."""

    day: date
    venue: str
    symbol: str
    """"" where one object holds all symbols."""
    info: ObjectInfo


def require_view(name: str) -> str:
    """The view of that name, in whatever case.

    Raises:
        UsageError: naming the nearest.
    """
    by_fold = {view.lower(): view for view in VIEWS}
    if name.lower() not in by_fold:
        raise UsageError(f"the lake has no {name!r}", hint=f"{nearest(name, VIEWS, what='views')} all of them: tickdeck query --views")
    return by_fold[name.lower()]


def list_files(store: Store, view: str, constraint: Constraint) -> list[LakeFile]:
    """The objects of a view that can matter, by day, venue and symbol: a listing for each day.

    Raises:
        UsageError: if the constraint names no days: years would be listed and read.
    """
    if constraint.first is None or constraint.last is None:
        raise UsageError(
            f"the query does not say which days of {view} it wants", hint="add WHERE day BETWEEN ... AND ..., or --start and --end"
        )
    if constraint.first > constraint.last:
        return []
    days = DayRange(constraint.first, constraint.last)
    with ThreadPoolExecutor(_LISTINGS) as pool:
        listed = pool.map(lambda day: list(_list_day(store, view, day)), days)
        found = [file for files in listed for file in files if _matters(file, constraint)]
    return sorted(found, key=lambda file: (file.day, file.venue, file.symbol))


def _matters(file: LakeFile, constraint: Constraint) -> bool:
    if constraint.venues is not None and file.venue not in constraint.venues:
        return False
    if constraint.symbols is None or not file.symbol or file.symbol in GROUPED_SYMBOLS:
        return True
    return file.symbol in constraint.symbols


def _list_day(store: Store, view: str, day: date) -> Iterator[LakeFile]:
    if view in CANDLE_VIEWS:
        for info in store.list(candle_timeframe_prefix(day, CANDLE_VIEWS[view])):
            _, _, venue, symbol = parse_candle_object(info.name)
            yield LakeFile(day, venue, symbol, info)
    elif view == INSTRUMENTS_VIEW:
        for info in store.list(instruments_day_prefix(day)):
            if info.name.endswith(".parquet"):
                yield LakeFile(day, parse_instruments_object(info.name)[1], "", info)
    else:
        yield from _raw_files(store.list(data_type_prefix(day, view)))


def _raw_files(infos: Iterable[ObjectInfo]) -> Iterator[LakeFile]:
    for info in infos:
        try:
            file = parse_data_object(info.name)
        except UsageError:
            continue  # of the system before, with columns of its own
        yield LakeFile(file.cell.day, file.cell.venue, file.symbol, info)


def view_schema(view: str) -> pa.Schema:
    """The columns of a view's files."""
    from engine.instruments.definitions import schema as instruments_schema

    if view in CANDLE_VIEWS:
        return candle_schema()
    return instruments_schema() if view == INSTRUMENTS_VIEW else raw_schema(DATA_TYPES[view])
