"""The Tardis data types: their CSV columns and the Parquet schema that each becomes. Nothing here is ever inferred from data.

The table is plain Python, so that a planner that only needs names never pays for pyarrow; `schema` imports it on first use.
Encodings were measured on genuine files and on generated ones: times as deltas, but for the few expiries of options; what is
quoted in ticks or repeats as a dictionary (a third to a half of byte-stream split there); what is computed afresh in every row
(mark prices, greeks) as byte-stream split.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from engine.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION: Final = 1
"""Goes into every object. Raised when a column, a type or a name changes, never for a new data type."""

GROUPED_SYMBOLS: Final = frozenset({"SPOT", "FUTURES", "PERPETUALS", "OPTIONS"})
"""Dataset ids that stand for all symbols of a kind (Tardis docs, "Grouped symbols"): their files' symbol column varies."""


class Kind(StrEnum):
    """What a cell means."""

    TIME = "time"
    """Microseconds since the epoch, UTC."""
    NUMBER = "number"
    """A decimal as float64: the source writes the shortest text that gives the same float back."""
    TEXT = "text"
    """Verbatim: ids are integers on one venue and GUIDs on another."""
    CATEGORY = "category"
    """Text of few different values, a dictionary in memory and on disk."""
    FLAG = "flag"
    """`true` or `false`."""


class Encoding(StrEnum):
    """Parquet encodings, by the names pyarrow and the format use."""

    PLAIN = "PLAIN"
    DICTIONARY = "RLE_DICTIONARY"
    DELTA = "DELTA_BINARY_PACKED"
    DELTA_TEXT = "DELTA_BYTE_ARRAY"
    SPLIT = "BYTE_STREAM_SPLIT"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name at the source, and what it becomes."""

    source: str
    """Header cell in the CSV, e.g. "asks[0].price"."""
    name: str
    """Name in Parquet, legal in BigQuery, e.g. "ask_price_1"."""
    kind: Kind
    encoding: Encoding
    nullable: bool = True
    """False: an empty cell makes the whole file untrustworthy."""
    description: str = ""
    unit: str = ""
    filled: bool = False
    """True: documented as never empty. An empty cell becomes null all the same, and the file is flagged."""
    values: frozenset[str] | None = None
    """All values a category may have; None means any."""
    zstd_level: int = 1
    """Higher where it makes the column much smaller for little time: exchange times, prices, amounts."""


@dataclass(frozen=True, slots=True)
class DataType:
    """One Tardis data type: its columns in file order."""

    name: str
    columns: tuple[Column, ...]
    row_group_rows: int
    """Rows of every row group but the last. Chosen so that a group is 10 to 30 MB in memory, as DuckDB makes them: large enough to be
    scanned well, small enough that eight converters fit beside each other, and no dictionary of numbers outgrows its page of 1 MB."""
    grouped: frozenset[str] = frozenset()
    """Grouped symbol ids that the vendor offers for it."""

    def __hash__(self) -> int:
        return hash(self.name)  # of two dozen columns it would cost more than what is looked up by it

    def column(self, name: str) -> Column:
        """The column of that Parquet name.

        Raises:
            KeyError: if there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


_PRICE_UNIT = "quote currency of the symbol"
_AMOUNT_UNIT = "coins or contracts, as the exchange reports"
_IV_UNIT = "percent at deribit, fraction elsewhere"
_GREEK_UNIT = "as the exchange reports: USD at deribit, coin at okex-options"

USUAL_ROWS: Final = 122_880
WIDE_ROWS: Final = 81_920
BOOK_ROWS: Final = 65_536
WIDEST_ROWS: Final = 32_768


def _category(name: str, description: str, *, nullable: bool = True, values: frozenset[str] | None = None) -> Column:
    return Column(name, name, Kind.CATEGORY, Encoding.DICTIONARY, nullable, description, values=values)


def _time(name: str, description: str, *, nullable: bool = True, filled: bool = False, encoding: Encoding = Encoding.DELTA) -> Column:
    # Exchange times are whole milliseconds nearly everywhere: level 4 finds that in their deltas, and nothing in those of other times.
    level = 4 if name == "timestamp" else 1
    unit = "microseconds since 1970-01-01 UTC"
    return Column(name, name, Kind.TIME, encoding, nullable, description, unit, filled, zstd_level=level)


def _quoted(name: str, description: str, unit: str, *, source: str = "", filled: bool = False, deeper: int = 0) -> Column:
    """A number in ticks or lots: few different values in a row group. `deeper` is added to the level of compression."""
    level = (3 if unit == _AMOUNT_UNIT else 4) + deeper
    return Column(source or name, name, Kind.NUMBER, Encoding.DICTIONARY, True, description, unit, filled, zstd_level=level)


def _standing(name: str, description: str, unit: str) -> Column:
    """A number that stands for many rows, whatever its digits: the same eight bytes again, which zstd sees best as they are."""
    return Column(name, name, Kind.NUMBER, Encoding.PLAIN, True, description, unit)


def _computed(name: str, description: str, unit: str) -> Column:
    """A number with all its digits, different in every row."""
    return Column(name, name, Kind.NUMBER, Encoding.SPLIT, True, description, unit)


_EVENT = (
    _category("exchange", "Tardis exchange id", nullable=False),
    _category("symbol", "Instrument as the exchange names it, upper case", nullable=False),
    _time("timestamp", "Exchange time; equals local_timestamp where the exchange gives none", nullable=False),
    _time("local_timestamp", "Arrival at the recorder; decides the day and the order of rows", nullable=False),
)
_ID = Column("id", "id", Kind.TEXT, Encoding.DELTA_TEXT, True, "Id given by the exchange, empty where it gives none")
_TAKER = frozenset({"buy", "sell", "unknown"})


def _deal(side: str) -> tuple[Column, ...]:
    return (
        *_EVENT,
        _ID,
        _category("side", side, values=_TAKER),
        _quoted("price", "Price", _PRICE_UNIT, filled=True),
        _quoted("amount", "Amount", _AMOUNT_UNIT, filled=True),
    )


def _book(depth: int) -> tuple[Column, ...]:
    def level(side: str, index: int, what: str) -> Column:
        unit = _PRICE_UNIT if what == "price" else _AMOUNT_UNIT
        description = f"{what.capitalize()} of the {side} at level {index + 1}, 1 is the best; empty where the level is missing"
        # A book moves by whole levels, and a longer look finds again what stood a level beside: a twentieth for a sixteenth of the CPU.
        return _quoted(f"{side}_{what}_{index + 1}", description, unit, source=f"{side}s[{index}].{what}", deeper=1)

    levels = (level(side, index, what) for index in range(depth) for side in ("ask", "bid") for what in ("price", "amount"))
    return (*_EVENT, *levels)


_QUOTE = (
    *_EVENT,
    _quoted("ask_amount", "Amount at the best ask", _AMOUNT_UNIT),
    _quoted("ask_price", "Best ask", _PRICE_UNIT),
    _quoted("bid_price", "Best bid", _PRICE_UNIT),
    _quoted("bid_amount", "Amount at the best bid", _AMOUNT_UNIT),
)

_TICKER = (
    *_EVENT,
    _time("funding_timestamp", "Next funding"),
    _standing("funding_rate", "Funding rate of the next funding", "fraction"),
    _standing("predicted_funding_rate", "Estimate for the funding after that", "fraction"),
    _standing("open_interest", "Open interest", _AMOUNT_UNIT),
    _quoted("last_price", "Last trade", _PRICE_UNIT),
    _standing("index_price", "Index", _PRICE_UNIT),
    _standing("mark_price", "Mark", _PRICE_UNIT),
)

_OPTIONS = (
    *_EVENT,
    _category("type", "put or call", values=frozenset({"put", "call"})),
    _quoted("strike_price", "Strike", "underlying's quote currency", filled=True),
    _time("expiration", "Expiry", filled=True, encoding=Encoding.DICTIONARY),
    _quoted("open_interest", "Open interest", _AMOUNT_UNIT),
    _quoted("last_price", "Last trade", _PRICE_UNIT),
    _quoted("bid_price", "Best bid", _PRICE_UNIT),
    _quoted("bid_amount", "Amount at the best bid", _AMOUNT_UNIT),
    _quoted("bid_iv", "Implied volatility of the best bid", _IV_UNIT),
    _quoted("ask_price", "Best ask", _PRICE_UNIT),
    _quoted("ask_amount", "Amount at the best ask", _AMOUNT_UNIT),
    _quoted("ask_iv", "Implied volatility of the best ask", _IV_UNIT),
    _computed("mark_price", "Mark", _PRICE_UNIT),
    _computed("mark_iv", "Implied volatility of the mark", _IV_UNIT),
    _category("underlying_index", "Name of the underlying's index or future"),
    _computed("underlying_price", "Price of the underlying", "underlying's quote currency"),
    *(_computed(greek, f"Greek: {greek}", _GREEK_UNIT) for greek in ("delta", "gamma", "vega", "theta", "rho")),
)

_LEVEL_CHANGE = (
    *_EVENT,
    Column("is_snapshot", "is_snapshot", Kind.FLAG, Encoding.PLAIN, True, "True: part of a whole book", filled=True),
    _category("side", "bid or ask", values=frozenset({"bid", "ask"})),
    _quoted("price", "Price of the level", _PRICE_UNIT, filled=True),
    _quoted("amount", "New amount at the level, 0 deletes it", _AMOUNT_UNIT, filled=True),
)

_PERPETUAL_GROUPS = frozenset({"FUTURES", "PERPETUALS"})

DATA_TYPES: Final[dict[str, DataType]] = {
    data_type.name: data_type
    for data_type in (
        DataType("trades", _deal("Taker's side"), USUAL_ROWS, GROUPED_SYMBOLS),
        DataType("book_snapshot_5", _book(5), BOOK_ROWS),
        DataType("derivative_ticker", _TICKER, USUAL_ROWS, _PERPETUAL_GROUPS),
        DataType(
            "liquidations",
            _deal("buy: a short was liquidated, sell: a long was liquidated"),
            USUAL_ROWS,
            _PERPETUAL_GROUPS | {"OPTIONS"},
        ),
        DataType("options_chain", _OPTIONS, WIDE_ROWS, frozenset({"OPTIONS"})),
        DataType("incremental_book_L2", _LEVEL_CHANGE, USUAL_ROWS, frozenset({"FUTURES"})),
        DataType("quotes", _QUOTE, USUAL_ROWS, frozenset({"OPTIONS"})),
        DataType("book_ticker", _QUOTE, USUAL_ROWS),
        DataType("book_snapshot_25", _book(25), WIDEST_ROWS),
    )
}
"""Every type we can convert, by name."""


def require_data_type(name: str) -> DataType:
    """The data type of that name.

    Raises:
        UsageError: naming the nearest known one.
    """
    if found := DATA_TYPES.get(name):
        return found
    by_fold = {known.lower(): known for known in DATA_TYPES}
    near = difflib.get_close_matches(name.strip().lower().replace("-", "_"), by_fold, n=1, cutoff=0.5)
    hint = f"did you mean {by_fold[near[0]]}?" if near else f"known are {', '.join(DATA_TYPES)}"
    raise UsageError(f"data type {name!r} is not known", hint=hint)


@lru_cache(maxsize=64)
def schema(data_type: DataType, *, described: bool = True) -> pa.Schema:
    """The Arrow schema of its Parquet files.

    Args:
        described: whether each field says its description, unit and source column in its metadata: 1.9 to 7.5 KB of a file.
    """
    import pyarrow as pa

    types = {
        Kind.TIME: pa.timestamp("us", tz="UTC"),
        Kind.NUMBER: pa.float64(),
        Kind.TEXT: pa.string(),
        Kind.CATEGORY: pa.dictionary(pa.int32(), pa.string()),
        Kind.FLAG: pa.bool_(),
    }
    return pa.schema(
        [
            pa.field(
                column.name,
                types[column.kind],
                nullable=column.nullable,
                metadata={"description": column.description, "unit": column.unit, "source": column.source} if described else None,
            )
            for column in data_type.columns
        ]
    )
