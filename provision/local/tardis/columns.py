"""The columns of each data type's CSV, in file order, as the vendor's genuine files have them.

Kept here and not imported from the engine: a stand-in that shared the engine's schema could not find a mistake in it.
"""

from __future__ import annotations

from typing import Final

_EVENT = ("exchange", "symbol", "timestamp", "local_timestamp")


def _levels(depth: int) -> tuple[str, ...]:
    names = ("asks[{0}].price", "asks[{0}].amount", "bids[{0}].price", "bids[{0}].amount")
    return tuple(name.format(level) for level in range(depth) for name in names)


COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "trades": (*_EVENT, "id", "side", "price", "amount"),
    "book_snapshot_5": (*_EVENT, *_levels(5)),
    "book_snapshot_25": (*_EVENT, *_levels(25)),
    "derivative_ticker": (
        *_EVENT,
        "funding_timestamp",
        "funding_rate",
        "predicted_funding_rate",
        "open_interest",
        "last_price",
        "index_price",
        "mark_price",
    ),
    "liquidations": (*_EVENT, "id", "side", "price", "amount"),
    "options_chain": (
        *_EVENT,
        "type",
        "strike_price",
        "expiration",
        "open_interest",
        "last_price",
        "bid_price",
        "bid_amount",
        "bid_iv",
        "ask_price",
        "ask_amount",
        "ask_iv",
        "mark_price",
        "mark_iv",
        "underlying_index",
        "underlying_price",
        "delta",
        "gamma",
        "vega",
        "theta",
        "rho",
    ),
    "incremental_book_L2": (*_EVENT, "is_snapshot", "side", "price", "amount"),
    "quotes": (*_EVENT, "ask_amount", "ask_price", "bid_price", "bid_amount"),
    "book_ticker": (*_EVENT, "ask_amount", "ask_price", "bid_price", "bid_amount"),
}

GROUPS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "SPOT": {"spot": ("trades",)},
    "FUTURES": {"future": ("trades", "incremental_book_L2", "derivative_ticker", "liquidations")},
    "PERPETUALS": {"perpetual": ("trades", "derivative_ticker", "liquidations")},
    "OPTIONS": {"option": ("trades", "quotes", "options_chain", "liquidations")},
}
"""Grouped ids: which symbol type each one gathers, and for which data types. No grouped books exist."""
