"""Columns of committed Parquet files as numpy arrays, block by block: nothing of a file is in memory but one block.

Files of ours and adopted ones of the system before are read alike, by the names of columns; times may be in any unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.candles.columns import BOOK_LEVELS
from engine.candles.timeframes import Clock
from engine.errors import SourceError

if TYPE_CHECKING:
    from engine.candles.bars import Flags, Floats, Integers

BLOCK_ROWS = 524_288

_TIME_COLUMN = {"exchange": "timestamp", "local": "local_timestamp"}


@dataclass(frozen=True, slots=True)
class _Rows:
    time: Integers
    """By the chosen clock; microseconds since the epoch, UTC."""

    def take(self, rows: Integers | Flags) -> Self:
        """These rows, in this order."""
        return type(self)(*(getattr(self, each.name)[rows] for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Trades(_Rows):
    """A block of trades or liquidations, in the order of arrival."""

    exchange: Integers
    local: Integers
    price: Floats
    amount: Floats
    buys: Flags
    """Whether the taker bought. Neither it nor `sells` is true where the side is not known."""
    sells: Flags


@dataclass(frozen=True, slots=True)
class Books(_Rows):
    """A block of book snapshots, in the order of arrival; a level that is missing has NaN."""

    local: Integers
    ask_price: Floats
    bid_price: Floats
    ask_amounts: tuple[Floats, ...]
    bid_amounts: tuple[Floats, ...]


TICKER_COLUMNS = ("funding_rate", "predicted_funding_rate", "index_price", "mark_price", "open_interest")


@dataclass(frozen=True, slots=True)
class Tickers(_Rows):
    """A block of derivative tickers, in the order of arrival; a column that is empty has NaN."""

    values: dict[str, Floats]


def count_rows(path: Path) -> int:
    """How many rows a Parquet file has, by its footer.

    Raises:
        SourceError: if it is no Parquet file.
    """
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def read_trades(path: Path, clock: Clock) -> Iterator[Trades]:
    """Blocks of trades, or of liquidations."""
    for batch in _batches(path, ("timestamp", "local_timestamp", "side", "price", "amount")):
        exchange, local = _times(batch, "timestamp"), _times(batch, "local_timestamp")
        side = batch.column("side")
        yield Trades(
            exchange if clock == "exchange" else local,
            exchange,
            local,
            _floats(batch, "price"),
            _floats(batch, "amount"),
            _is(side, "buy"),
            _is(side, "sell"),
        )


def read_books(path: Path, clock: Clock) -> Iterator[Books]:
    """Blocks of book snapshots, five levels deep."""
    levels = range(1, BOOK_LEVELS + 1)
    amounts = [f"{side}_amount_{level}" for side in ("ask", "bid") for level in levels]
    time = _TIME_COLUMN[clock]
    for batch in _batches(path, tuple(dict.fromkeys((time, "local_timestamp", "ask_price_1", "bid_price_1", *amounts)))):
        yield Books(
            _times(batch, time),
            _times(batch, "local_timestamp"),
            _floats(batch, "ask_price_1"),
            _floats(batch, "bid_price_1"),
            tuple(_floats(batch, f"ask_amount_{level}") for level in levels),
            tuple(_floats(batch, f"bid_amount_{level}") for level in levels),
        )


def read_tickers(path: Path, clock: Clock) -> Iterator[Tickers]:
    """Blocks of derivative tickers."""
    for batch in _batches(path, (_TIME_COLUMN[clock], *TICKER_COLUMNS)):
        yield Tickers(_times(batch, _TIME_COLUMN[clock]), {name: _floats(batch, name) for name in TICKER_COLUMNS})


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path.name} cannot be read: {error}", hint="compare it with its manifest: engine validate") from error


def _batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with _opened(path) as file:
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            raise SourceError(f"{path.name} has no column {', '.join(missing)}", hint="fetch the file anew: --refetch-adopted")
        try:
            for batch in file.iter_batches(BLOCK_ROWS, columns=list(columns), use_threads=False):
                if batch.num_rows:
                    yield batch
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{path.name} cannot be read: {error}", hint="compare it with its manifest: engine validate") from error


def _times(batch: pa.RecordBatch, name: str) -> Integers:
    column = batch.column(name)
    if column.null_count:
        raise SourceError(f"a {name} is missing", hint="compare the file with its manifest: engine validate")
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
        return np.asarray(column.view(pa.int64()))
    if pa.types.is_integer(column.type):
        return np.asarray(column.cast(pa.int64()))
    raise SourceError(f"{name} is a {column.type}, no time", hint="fetch the file anew: --refetch-adopted")


def _floats(batch: pa.RecordBatch, name: str) -> Floats:
    column = batch.column(name)
    if column.type != pa.float64():
        column = column.cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _is(column: Any, value: str) -> Flags:
    if pa.types.is_dictionary(column.type):
        words = column.dictionary.to_pylist()
        if value not in words:
            return np.zeros(len(column), bool)
        codes = column.indices if not column.null_count else column.indices.fill_null(-1)
        found: Flags = np.asarray(codes) == words.index(value)
        return found
    return np.asarray(pc.fill_null(pc.equal(column, pa.scalar(value)), False))


@dataclass(frozen=True, slots=True, order=True)
class Option:
    """What one option of a chain is."""

    symbol: str
    is_call: bool
    strike: float
    expiration: int
    """Microseconds since the epoch, UTC."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A block of an options chain, in the order of arrival; what is not known has NaN."""

    time: Integers
    """By the chosen clock; microseconds since the epoch, UTC."""
    options: tuple[Option, ...]
    option: Integers
    """For each row the place of its option in `options`."""
    underlying_price: Floats
    delta: Floats
    mark_iv: Floats


def read_chain(path: Path, clock: Clock) -> Iterator[Chain]:
    """Blocks of an options chain. Rows that do not say what option they are of are left out."""
    time = _TIME_COLUMN[clock]
    columns = (time, "symbol", "type", "strike_price", "expiration", "underlying_price", "delta", "mark_iv")
    for batch in _batches(path, columns):
        expiration = batch.column("expiration")
        said = pc.and_(pc.is_valid(batch.column("type")), pc.and_(pc.is_valid(expiration), pc.is_valid(batch.column("strike_price"))))
        if not pc.all(said).as_py():
            batch = batch.filter(said)
        if not batch.num_rows:
            continue
        symbols: Any = batch.column("symbol")
        symbols = symbols if pa.types.is_dictionary(symbols.type) else symbols.dictionary_encode()
        code = np.asarray(symbols.indices).astype(np.int64)
        calls, strikes, expirations = _is(batch.column("type"), "call"), _floats(batch, "strike_price"), _times(batch, "expiration")
        # What an option is, is said by each of its rows alike: its first one here tells.
        seen, first, option = np.unique(code, return_index=True, return_inverse=True)
        words = symbols.dictionary.to_pylist()
        options = tuple(
            Option(words[number], bool(calls[row]), float(strikes[row]), int(expirations[row]))
            for number, row in zip(seen, first, strict=True)
        )
        yield Chain(
            _times(batch, time),
            options,
            option.astype(np.int64),
            _floats(batch, "underlying_price"),
            _floats(batch, "delta"),
            _floats(batch, "mark_iv"),
        )
