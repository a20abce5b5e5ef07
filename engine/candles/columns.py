"""What a candle's columns are: name, unit, formula and where the formula comes from, as data.

The Parquet schema, the column descriptions in BigQuery and the documentation are all made of this table. The first block has the
names that readers of the system before Tickdeck already use; they never change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

CANDLE_SCHEMA_VERSION: Final = 1
"""Raised when a column, a formula or a convention changes. Objects of another version are never mixed up with ours."""


class ColumnKind(StrEnum):
    """How a column is stored."""

    TIME = "time"
    CATEGORY = "category"
    COUNT = "count"
    NUMBER = "number"


class Input(StrEnum):
    """The data type that a column needs."""

    NONE = ""
    TRADES = "trades"
    BOOK = "book_snapshot_5"
    TICKER = "derivative_ticker"
    LIQUIDATIONS = "liquidations"
    OPTIONS = "options_chain"


@dataclass(frozen=True, slots=True)
class CandleColumn:
    """One column. p, q: price and amount of a trade; a, b: best ask and bid; qa, qb: their amounts; m = (a + b) / 2."""

    name: str
    kind: ColumnKind
    needs: Input
    """Null where that input is not in the lake."""
    description: str
    unit: str = ""
    source: str = ""
    """Who defined it, where it is more than arithmetic."""


PRICE, AMOUNT, MILLISECONDS, BASIS_POINTS = (
    "quote currency of the symbol",
    "coins or contracts",
    "milliseconds",
    "1/10,000 of the mid price",
)

_HUANG = "Huang & Stoll 1996"
_STOIKOV = "Stoikov 2018, The micro-price"
_GOULD = "Gould & Bonart 2016, Queue imbalance as a one-tick-ahead price predictor"
_CONT = "Cont, Kukanov & Stoikov 2014, The price impact of order book events"
_ANDERSEN = "Andersen, Bollerslev, Diebold & Labys 2003"

BOOK_LEVELS: Final = 5


def _number(name: str, needs: Input, description: str, unit: str = "", source: str = "") -> CandleColumn:
    return CandleColumn(name, ColumnKind.NUMBER, needs, description, unit, source)


def _count(name: str, needs: Input, description: str) -> CandleColumn:
    return CandleColumn(name, ColumnKind.COUNT, needs, description, "rows")


_IDENTITY = (
    CandleColumn("timestamp", ColumnKind.TIME, Input.NONE, "Start of the bar, UTC; the bar ends before the next one starts"),
    CandleColumn("venue", ColumnKind.CATEGORY, Input.NONE, "Tardis exchange id"),
    CandleColumn("symbol", ColumnKind.CATEGORY, Input.NONE, "Instrument as the exchange names it, upper case"),
)

_TRADES = (
    _number("open", Input.TRADES, "Price of the first trade, by time and then by order of arrival", PRICE),
    _number("high", Input.TRADES, "Highest price", PRICE),
    _number("low", Input.TRADES, "Lowest price", PRICE),
    _number("close", Input.TRADES, "Price of the last trade, by time and then by order of arrival", PRICE),
    _number("volume", Input.TRADES, "sum q; 0 in an empty bar", AMOUNT),
    _count("trade_count", Input.TRADES, "Number of trades; 0 in an empty bar"),
    _number("price_vwap", Input.TRADES, "sum(p q) / sum(q), the volume-weighted average price", PRICE),
    _number("buy_volume_sum", Input.TRADES, "sum q of trades whose taker bought", AMOUNT),
    _number("sell_volume_sum", Input.TRADES, "sum q of trades whose taker sold", AMOUNT),
    _number("size_avg", Input.TRADES, "sum(q) / number of trades", AMOUNT),
    _number("delay_median", Input.TRADES, "Median of local_timestamp - timestamp; of an even number the mean of two", MILLISECONDS),
    _number("delay_mean", Input.TRADES, "Mean of local_timestamp - timestamp", MILLISECONDS),
    _number("delay_min", Input.TRADES, "Smallest local_timestamp - timestamp; may be negative", MILLISECONDS),
    _number("delay_max", Input.TRADES, "Largest local_timestamp - timestamp", MILLISECONDS),
)

_DERIVATIVES = (
    _number("funding_rate", Input.TICKER, "Last funding rate said in the bar", "fraction"),
    _number("predicted_funding_rate", Input.TICKER, "Last predicted funding rate said in the bar", "fraction"),
    _number("index_price", Input.TICKER, "Last index price said in the bar", PRICE),
    _number("mark_price", Input.TICKER, "Last mark price said in the bar", PRICE),
    _number("open_interest", Input.TICKER, "Last open interest said in the bar", AMOUNT),
    _number(
        "oi_change",
        Input.TICKER,
        "Open interest known at the end of the bar less that known at its start, or less the first of the day if none was known then",
        AMOUNT,
    ),
    _number("liquidation_buy_volume", Input.LIQUIDATIONS, "sum q of liquidations whose taker bought: shorts were closed", AMOUNT),
    _number("liquidation_sell_volume", Input.LIQUIDATIONS, "sum q of liquidations whose taker sold: longs were closed", AMOUNT),
    _count("liquidation_count", Input.LIQUIDATIONS, "Number of liquidations"),
    _number(
        "liquidation_with_rising_oi", Input.LIQUIDATIONS, "sum q of liquidations if oi_change > 0, else 0; null if that is null", AMOUNT
    ),
    _number(
        "liquidation_with_falling_oi",
        Input.LIQUIDATIONS,
        "sum q of liquidations if oi_change < 0, else 0; null if that is null",
        AMOUNT,
    ),
)

_OPTIONS = (
    _number(
        "skew_25d_put_call_ratio",
        Input.OPTIONS,
        "mark_iv of the put with delta nearest -0.25 over that of the call with delta nearest 0.25, as known at the end of the bar, of the"
        " nearest expiry 7 days or more away, options on the same base currency",
    ),
    _number(
        "atm_mark_iv",
        Input.OPTIONS,
        "Mean mark_iv of the put and the call whose strike is nearest the underlying's price, as known at the end of the bar, of the"
        " nearest expiry 7 days or more away, options on the same base currency",
        "percent at deribit, fraction elsewhere",
    ),
)

_BOOK = (
    _number("mid_price", Input.BOOK, "Last m = (a + b) / 2 of the bar", PRICE),
    _number("micro_price", Input.BOOK, "Last (a qb + b qa) / (qa + qb) of the bar", PRICE, _STOIKOV),
    _number("quoted_spread", Input.BOOK, "a - b, averaged over the time it stood", PRICE, _HUANG),
    _number("quoted_spread_bps", Input.BOOK, "10,000 (a - b) / m, averaged over the time it stood", BASIS_POINTS, _HUANG),
    _number(
        "effective_spread",
        Input.BOOK,
        "2 s (p - m), s = 1 if the taker bought and -1 if he sold, m of the last snapshot that arrived before the trade; mean over trades",
        PRICE,
        _HUANG,
    ),
    _number("effective_spread_bps", Input.BOOK, "20,000 s (p - m) / m, mean over trades", BASIS_POINTS, _HUANG),
    *(
        _number(
            f"book_imbalance_l{depth}",
            Input.BOOK,
            f"(sum qb - sum qa) / (sum qb + sum qa) of the best {depth} level{'s' * (depth > 1)}, averaged over the time it stood",
            "-1 to 1",
            _GOULD,
        )
        for depth in range(1, BOOK_LEVELS + 1)
    ),
    _number(
        "order_flow_imbalance",
        Input.BOOK,
        "sum over snapshots of 1{b >= b'} qb - 1{b <= b'} qb' - 1{a <= a'} qa + 1{a >= a'} qa', ' is the snapshot before",
        AMOUNT,
        _CONT,
    ),
    _count("book_count", Input.BOOK, "Number of book snapshots that arrived; 0 says that what stood is old"),
)

_RETURNS = (
    _number(
        "realized_variance",
        Input.TRADES,
        "sum r^2, r = ln(p / p') over successive trades in order of arrival; counted in the bar of the later trade; 0 in an empty bar",
        "squared log return",
        _ANDERSEN,
    ),
)

COLUMNS: Final = (*_IDENTITY, *_TRADES, *_DERIVATIVES, *_OPTIONS, *_BOOK, *_RETURNS)
"""All columns, in the order of the file."""


def candle_schema() -> pa.Schema:
    """The Arrow schema of candles, the same for every timeframe; each field says its description, unit and source."""
    import pyarrow as pa

    types = {
        ColumnKind.TIME: pa.timestamp("us", tz="UTC"),
        ColumnKind.CATEGORY: pa.dictionary(pa.int32(), pa.string()),
        ColumnKind.COUNT: pa.int64(),
        ColumnKind.NUMBER: pa.float64(),
    }
    return pa.schema(
        [
            pa.field(
                column.name,
                types[column.kind],
                nullable=column.needs is not Input.NONE,
                metadata={"description": column.description, "unit": column.unit, "source": column.source},
            )
            for column in COLUMNS
        ]
    )
