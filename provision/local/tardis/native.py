"""Messages as the exchanges themselves send them: which channels a venue has, and the JSON of one message of each.

Kept apart from `feeds`, which knows when messages come: this knows only what they look like. Field names and value types follow
what the exchanges publish (decimal text at binance, okex and bybit, numbers at deribit); prices follow the stand-in's own paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Message: TypeAlias = dict[str, Any]
Pace = Literal["trades", "book", "ticker", "liquidations"]
"""What sets how often messages of a channel come."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, before an exchange puts it into words. Prices and amounts are decimal text, times milliseconds since the epoch."""

    symbol: str
    """As the exchange writes it."""
    type: str
    base: str
    ms: int
    first_id: int
    last_id: int
    """The numbers `first_id`..`last_id` belong to this message; the next one of its channel and symbol goes on from there."""
    price: str
    bid: str
    ask: str
    amount: str
    bid_amount: str
    ask_amount: str
    buy: bool
    """Whether the taker bought."""
    rate: float
    """A funding rate, or the distance of one price from another: small, of either sign."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a venue."""

    name: str
    pace: Pace
    message: Callable[[Event], Message]
    derivatives_only: bool = False
    by_index: bool = False
    """Its symbols are indices such as "btc_usd", not instruments."""


def channels_of(venue: str) -> tuple[Channel, ...]:
    """The channels that the stand-in records at a venue, in the order of the catalogue; one simple one where it knows no better."""
    return CHANNELS.get(venue, (Channel("trades", "trades", _plain_trade),))


def _plain_trade(event: Event) -> Message:
    side = "buy" if event.buy else "sell"
    return {"channel": "trades", "symbol": event.symbol, "id": event.last_id, "side": side, "price": event.price, "amount": event.amount}


# binance: one stream for each symbol and channel


def _binance(channel: str, data: Callable[[Event], Any], *, generated: bool = False) -> Callable[[Event], Message]:
    def message(event: Event) -> Message:
        head: Message = {"stream": f"{event.symbol}@{channel}"}
        return {**head, **({"generated": True} if generated else {}), "data": data(event)}

    return message


def _binance_trade(event: Event) -> Message:
    ids = {"t": event.last_id, "p": event.price, "q": event.amount}
    return {"e": "trade", "E": event.ms + 3, "s": event.symbol.upper(), **ids, "T": event.ms, "m": not event.buy}


def _binance_aggregate(event: Event) -> Message:
    ids = {"a": event.last_id // 2, "p": event.price, "q": event.amount, "f": event.first_id, "l": event.last_id}
    return {"e": "aggTrade", "E": event.ms + 4, "s": event.symbol.upper(), **ids, "T": event.ms, "m": not event.buy}


def _spot(data: Callable[[Event], Message]) -> Callable[[Event], Message]:
    """Spot trades carry one more flag."""
    return lambda event: {**data(event), "M": True}


def _binance_recent(event: Event) -> list[Message]:
    return [{"id": event.last_id, "price": event.price, "qty": event.amount, "time": event.ms, "isBuyerMaker": not event.buy}]


def _binance_day(event: Event) -> Message:
    head = {"e": "24hrTicker", "E": event.ms, "s": event.symbol.upper(), "p": f"{event.rate:.8f}", "c": event.price, "Q": event.amount}
    return {**head, "b": event.bid, "B": event.bid_amount, "a": event.ask, "A": event.ask_amount, "n": event.last_id % 100_000}


def _binance_depth(event: Event) -> Message:
    ids = {"U": event.first_id, "u": event.last_id}
    levels = {"b": [[event.bid, event.bid_amount]], "a": [[event.ask, event.ask_amount], [event.price, "0.00000000"]]}
    return {"e": "depthUpdate", "E": event.ms, "s": event.symbol.upper(), **ids, **levels}


def _binance_futures_depth(event: Event) -> Message:
    ids = {"U": event.first_id, "u": event.last_id, "pu": event.first_id - 1}
    levels = {"b": [[event.bid, event.bid_amount]], "a": [[event.ask, event.ask_amount], [event.price, "0"]]}
    return {"e": "depthUpdate", "E": event.ms + 5, "T": event.ms, "s": event.symbol.upper(), **ids, **levels}


def _binance_snapshot(event: Event) -> Message:
    return {"lastUpdateId": event.last_id, "bids": [[event.bid, event.bid_amount]], "asks": [[event.ask, event.ask_amount]]}


def _binance_quote(event: Event) -> Message:
    levels = {"b": event.bid, "B": event.bid_amount, "a": event.ask, "A": event.ask_amount}
    return {"u": event.last_id, "s": event.symbol.upper(), **levels}


def _binance_futures_quote(event: Event) -> Message:
    return {"e": "bookTicker", **_binance_quote(event), "T": event.ms, "E": event.ms + 3}


def _binance_mark(event: Event) -> Message:
    due = event.ms - event.ms % 28_800_000 + 28_800_000
    prices = {"p": event.price, "P": event.ask, "i": event.bid}
    return {"e": "markPriceUpdate", "E": event.ms, "s": event.symbol.upper(), **prices, "r": f"{event.rate:.8f}", "T": due}


def _binance_liquidation(event: Event) -> Message:
    order = {"s": event.symbol.upper(), "S": "BUY" if event.buy else "SELL", "o": "LIMIT", "f": "IOC", "q": event.amount, "p": event.ask}
    return {"e": "forceOrder", "E": event.ms + 4, "o": {**order, "ap": event.price, "X": "FILLED", "l": event.amount, "T": event.ms}}


def _binance_interest(event: Event) -> Message:
    return {"symbol": event.symbol.upper(), "openInterest": f"{event.last_id % 90_000}.{event.first_id % 1000:03d}", "time": event.ms}


_BINANCE = (
    Channel("trade", "trades", _binance("trade", _spot(_binance_trade))),
    Channel("aggTrade", "trades", _binance("aggTrade", _spot(_binance_aggregate))),
    Channel("ticker", "ticker", _binance("ticker", _binance_day)),
    Channel("depth", "book", _binance("depth@100ms", _binance_depth)),
    Channel("depthSnapshot", "liquidations", _binance("depthSnapshot", _binance_snapshot, generated=True)),
    Channel("bookTicker", "book", _binance("bookTicker", _binance_quote)),
    Channel("recentTrades", "liquidations", _binance("recentTrades", _binance_recent, generated=True)),
)
_BINANCE_FUTURES = (
    Channel("trade", "trades", _binance("trade", _binance_trade)),
    Channel("aggTrade", "trades", _binance("aggTrade", _binance_aggregate)),
    Channel("ticker", "ticker", _binance("ticker", _binance_day)),
    Channel("depth", "book", _binance("depth@0ms", _binance_futures_depth)),
    Channel("depthSnapshot", "liquidations", _binance("depthSnapshot", _binance_snapshot, generated=True)),
    Channel("markPrice", "ticker", _binance("markPrice@1s", _binance_mark)),
    Channel("bookTicker", "book", _binance("bookTicker", _binance_futures_quote)),
    Channel("forceOrder", "liquidations", _binance("forceOrder", _binance_liquidation)),
    Channel("openInterest", "liquidations", _binance("openInterest", _binance_interest, generated=True)),
)


# deribit: JSON-RPC notifications, numbers as numbers


def _deribit(channel: str, data: Callable[[Event], Any], ending: str = ".raw") -> Callable[[Event], Message]:
    def message(event: Event) -> Message:
        params = {"channel": f"{channel}.{event.symbol}{ending}", "data": data(event)}
        return {"jsonrpc": "2.0", "method": "subscription", "params": params}

    return message


def _deribit_trades(event: Event) -> list[Message]:
    ids = {"trade_seq": event.last_id % 100_000_000, "trade_id": str(event.last_id), "timestamp": event.ms, "tick_direction": 2}
    what = {"price": float(event.price), "instrument_name": event.symbol, "index_price": float(event.bid)}
    return [{**ids, **what, "direction": "buy" if event.buy else "sell", "amount": float(event.amount)}]


def _deribit_book(event: Event) -> Message:
    head = {"type": "change", "timestamp": event.ms, "prev_change_id": event.first_id - 1, "instrument_name": event.symbol}
    bids = [["change", float(event.bid), float(event.bid_amount)]]
    asks = [["new", float(event.ask), float(event.ask_amount)], ["delete", float(event.price), 0.0]]
    return {**head, "change_id": event.last_id, "bids": bids, "asks": asks}


def _deribit_top(event: Event) -> Message:
    best_bid = {"best_bid_price": float(event.bid), "best_bid_amount": float(event.bid_amount)}
    return {**best_bid, "best_ask_price": float(event.ask), "best_ask_amount": float(event.ask_amount)}


def _deribit_quote(event: Event) -> Message:
    return {"timestamp": event.ms, "instrument_name": event.symbol, **_deribit_top(event)}


def _deribit_ticker(event: Event) -> Message:
    price = float(event.price)
    stats = {"volume": float(event.amount) * 400, "price_change": None, "low": price * 0.97, "high": price * 1.02}
    head = {"timestamp": event.ms, "stats": stats, "state": "open", "open_interest": event.last_id % 90_000_000, "mark_price": price}
    tail = {"last_price": price, "instrument_name": event.symbol, "index_price": float(event.bid), "estimated_delivery_price": price}
    if event.type == "option":
        greeks = {"vega": 0.20072, "theta": -1.64029, "rho": event.rate, "gamma": 0.0002, "delta": 0.5}
        return {**head, **tail, "greeks": greeks, "mark_iv": 62.89, "bid_iv": 0.0, **_deribit_top(event), "ask_iv": 63.4}
    return {**head, **tail, "funding_8h": event.rate, "current_funding": event.rate / 100, **_deribit_top(event)}


def _deribit_perpetual(event: Event) -> Message:
    return {"timestamp": event.ms, "interest": event.rate, "index_price": float(event.bid)}


def _deribit_index(event: Event) -> Message:
    return {"timestamp": event.ms, "price": float(event.price), "index_name": event.symbol}


def _deribit_marks(event: Event) -> list[Message]:
    return [{"instrument_name": f"{event.base}-PERPETUAL", "mark_price": float(event.price), "iv": 0.6289, "timestamp": event.ms}]


_DERIBIT = (
    Channel("book", "book", _deribit("book", _deribit_book)),
    Channel("deribit_price_index", "ticker", _deribit("deribit_price_index", _deribit_index, ""), by_index=True),
    Channel("markprice.options", "ticker", _deribit("markprice.options", _deribit_marks, ""), by_index=True),
    Channel("perpetual", "ticker", _deribit("perpetual", _deribit_perpetual), derivatives_only=True),
    Channel("trades", "trades", _deribit("trades", _deribit_trades)),
    Channel("ticker", "ticker", _deribit("ticker", _deribit_ticker)),
    Channel("quote", "book", _deribit("quote", _deribit_quote, "")),
)


# okex: the argument of the subscription, and a list


def _okex(channel: str, data: Callable[[Event], Message], **head: str) -> Callable[[Event], Message]:
    def message(event: Event) -> Message:
        return {"arg": {"channel": channel, "instId": event.symbol}, **head, "data": [data(event)]}

    return message


def _okex_trade(event: Event) -> Message:
    what = {"instId": event.symbol, "tradeId": str(event.last_id), "px": event.price, "sz": event.amount}
    return {**what, "side": "buy" if event.buy else "sell", "ts": str(event.ms)}


def _okex_book(event: Event) -> Message:
    levels = {"asks": [[event.ask, event.ask_amount, "0", "1"]], "bids": [[event.bid, event.bid_amount, "0", "2"]]}
    return {
        **levels,
        "ts": str(event.ms),
        "checksum": event.last_id % 2**31 - 2**30,
        "prevSeqId": event.first_id - 1,
        "seqId": event.last_id,
    }


def _okex_top(event: Event) -> Message:
    return {"asks": [[event.ask, event.ask_amount, "0", "1"]], "bids": [[event.bid, event.bid_amount, "0", "2"]], "ts": str(event.ms)}


def _okex_ticker(event: Event) -> Message:
    head = {"instType": event.type.upper(), "instId": event.symbol, "last": event.price, "lastSz": event.amount}
    return {**head, "askPx": event.ask, "askSz": event.ask_amount, "bidPx": event.bid, "bidSz": event.bid_amount, "ts": str(event.ms)}


def _okex_mark(event: Event) -> Message:
    return {"instId": event.symbol, "instType": "SWAP", "markPx": event.price, "ts": str(event.ms)}


def _okex_funding(event: Event) -> Message:
    due = event.ms - event.ms % 28_800_000 + 28_800_000
    rate = f"{event.rate:.16f}"
    return {"fundingRate": rate, "fundingTime": str(due), "instId": event.symbol, "instType": "SWAP", "nextFundingRate": ""}


def _okex_interest(event: Event) -> Message:
    return {"instId": event.symbol, "instType": "SWAP", "oi": str(event.last_id % 900_000), "oiCcy": event.amount, "ts": str(event.ms)}


def _okex_liquidation(event: Event) -> Message:
    detail = {"bkLoss": "0", "bkPx": event.price, "ccy": "", "posSide": "short" if event.buy else "long", "sz": event.amount}
    return {"details": [{**detail, "ts": str(event.ms)}], "instId": event.symbol, "instType": "SWAP"}


_OKEX = (
    Channel("trades", "trades", _okex("trades", _okex_trade)),
    Channel("bbo-tbt", "book", _okex("bbo-tbt", _okex_top)),
    Channel("books", "book", _okex("books", _okex_book, action="update")),
    Channel("tickers", "ticker", _okex("tickers", _okex_ticker)),
)
_OKEX_DERIVATIVES = (
    *_OKEX,
    Channel("open-interest", "ticker", _okex("open-interest", _okex_interest), derivatives_only=True),
    Channel("mark-price", "ticker", _okex("mark-price", _okex_mark), derivatives_only=True),
    Channel("funding-rate", "ticker", _okex("funding-rate", _okex_funding), derivatives_only=True),
    Channel("liquidation-orders", "liquidations", _okex("liquidation-orders", _okex_liquidation), derivatives_only=True),
)


# bybit: a topic with the symbol in it


def _bybit(topic: str, data: Callable[[Event], Any], kind: str) -> Callable[[Event], Message]:
    def message(event: Event) -> Message:
        return {"topic": f"{topic}.{event.symbol}", "ts": event.ms + 2, "type": kind, "data": data(event)}

    return message


def _bybit_trade(event: Event) -> list[Message]:
    what = {"T": event.ms, "s": event.symbol, "S": "Buy" if event.buy else "Sell", "v": event.amount, "p": event.price}
    return [{**what, "L": "PlusTick" if event.buy else "MinusTick", "i": f"{event.last_id:032x}", "BT": False}]


def _bybit_book(event: Event) -> Message:
    levels = {"b": [[event.bid, event.bid_amount]], "a": [[event.ask, event.ask_amount], [event.price, "0"]]}
    return {"s": event.symbol, **levels, "u": event.last_id, "seq": event.last_id * 2}


def _bybit_ticker(event: Event) -> Message:
    top = {"bid1Price": event.bid, "bid1Size": event.bid_amount, "ask1Price": event.ask, "ask1Size": event.ask_amount}
    return {"symbol": event.symbol, "lastPrice": event.price, **top, "fundingRate": f"{event.rate:.8f}"}


def _bybit_liquidation(event: Event) -> list[Message]:
    return [{"T": event.ms, "s": event.symbol, "S": "Buy" if event.buy else "Sell", "v": event.amount, "p": event.price}]


_BYBIT_SPOT = (
    Channel("orderbook.50", "book", _bybit("orderbook.50", _bybit_book, "delta")),
    Channel("publicTrade", "trades", _bybit("publicTrade", _bybit_trade, "snapshot")),
    Channel("tickers", "ticker", _bybit("tickers", _bybit_ticker, "snapshot")),
)
_BYBIT = (
    *_BYBIT_SPOT,
    Channel("allLiquidation", "liquidations", _bybit("allLiquidation", _bybit_liquidation, "snapshot"), derivatives_only=True),
)

CHANNELS: Mapping[str, tuple[Channel, ...]] = {
    "binance": _BINANCE,
    "binance-futures": _BINANCE_FUTURES,
    "binance-delivery": _BINANCE_FUTURES,
    "deribit": _DERIBIT,
    "okex": _OKEX,
    "okex-swap": _OKEX_DERIVATIVES,
    "okex-futures": _OKEX_DERIVATIVES,
    "bybit": _BYBIT,
    "bybit-spot": _BYBIT_SPOT,
}
"""By venue. The names are those that the vendor lists under `availableChannels`."""
