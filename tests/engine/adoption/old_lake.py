"""Objects as the system before Tickdeck left them: its names, its columns (books with volumes, times as plain whole numbers)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.catalogue import Catalogue, Listing
from engine.datatypes import DATA_TYPES, Column, Kind
from engine.documents import encode_compact
from engine.paths import OldDataName, old_data_object
from engine.store import Store

DAY = date(2024, 5, 1)
MINUTE_US = 60_000_000


def start_us(day: date) -> int:
    """The first microsecond of a UTC day."""
    return int(datetime.combine(day, time.min, tzinfo=UTC).timestamp()) * 1_000_000


def old_name(key: str, data_type: str = "trades", day: date = DAY) -> str:
    """Where the old system put a file."""
    return old_data_object(OldDataName(day, data_type, key))


def old_table(
    data_type: str = "trades", venue: str = "binance", symbol: str = "BTCUSDT", day: date = DAY, rows: int = 10, *, shift_hours: int = 0
) -> pa.Table[Any]:
    """A row a minute from 00:00 on."""
    first = start_us(day) + shift_hours * 3_600_000_000
    times = [first + number * MINUTE_US for number in range(rows)]
    columns = {}
    for column in DATA_TYPES[data_type].columns:
        columns[_old_column(column)] = _values(column, venue, symbol, times)
    return pa.table(columns)


def _old_column(column: Column) -> str:
    return column.name.replace("_amount_", "_volume_") if column.source != column.name else column.name


def _values(column: Column, venue: str, symbol: str, times: list[int]) -> pa.Array[Any]:
    if column.name in ("exchange", "symbol"):
        return pa.array([venue if column.name == "exchange" else symbol] * len(times), pa.string())
    if column.kind is Kind.TIME:
        return pa.array(times, pa.int64())
    if column.kind is Kind.NUMBER:
        return pa.array([1.5 + number for number in range(len(times))], pa.float64())
    return pa.array(["buy"] * len(times), pa.string())


def with_times(table: pa.Table[Any], kind: Any, scale: int = 1) -> pa.Table[Any]:
    """The same with both times as another type; `scale` multiplies the whole numbers first."""
    for name in ("timestamp", "local_timestamp"):
        numbers = pa.array([value * scale for value in table.column(name).to_pylist()], pa.int64())
        table = table.set_column(table.column_names.index(name), name, numbers.cast(kind))
    return table


def parquet(table: pa.Table[Any], **options: Any) -> bytes:
    """As the old system wrote files."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **{"compression": "snappy", "row_group_size": 100_000, **options})
    return sink.getvalue()


def put_all(store: Store, objects: Mapping[str, bytes]) -> None:
    """Upload, several at a time."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda item: store.put(item[0], item[1], if_generation=0), objects.items()))


def save_table(state: Store, venue: str, listings: Iterable[Listing], *, fetched: datetime) -> Catalogue:
    """Store a fresh catalogue of a venue, published until the day it was fetched."""
    import gzip

    midnight = fetched.replace(hour=0, minute=0, second=0, microsecond=0)
    catalogue = Catalogue(venue=venue, fetched=fetched, published_until=midnight, listings=tuple(listings))
    state.put(catalogue.object_name, gzip.compress(encode_compact(catalogue)), if_generation=0)
    return catalogue


def days_from(first: date, count: int) -> list[date]:
    """Consecutive days."""
    return [first + timedelta(days=number) for number in range(count)]
