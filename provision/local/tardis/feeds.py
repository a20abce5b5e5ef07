"""Raw feeds: what a collector would have received from an exchange in one minute, as `GET /v1/data-feeds/{exchange}` serves it.

A slice is NDJSON in gzip. A line is the local time at 100 ns, a space and the exchange's own message; an empty line says that the
collector lost its connection there. Slices depend on scenario, venue, channel, symbol and minute alone, so that two requests,
or two servers, agree on every byte. Apart from the routes because none of this needs a server, and apart from `native` because this
knows when messages come and that knows what they look like.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from provision.local.tardis.access import key_state, refusal
from provision.local.tardis.delivery import Body, json_error
from provision.local.tardis.listings import Listed, Listings
from provision.local.tardis.native import Channel, Event, channels_of
from provision.local.tardis.packing import GZIP_LEVEL
from provision.local.tardis.paths import AssetDay, asset_day
from provision.local.tardis.scenario import SymbolSpec, VenueSpec, start_of
from provision.local.tardis.truth import is_denied

FEED = "raw_feed"
"""Stands for the data type where a scenario names what the key's plan leaves out, e.g. "deribit/raw_feed"."""

DELAY = timedelta(minutes=15)
"""How long after its end a minute can be asked for (the vendor's pages say 6 and 15 minutes)."""

MAX_SLICE_MINUTES = 10
SUGGESTED_SLICE_MINUTES = 10

_MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICKS = 600_000_000
"""100 ns steps in a minute."""
_IDS = 10_000
"""Numbers that a channel and symbol spends in a minute, however many messages share them."""
_LEAST = {"trades": 1.5, "book": 2.0, "ticker": 1.0, "liquidations": 0.05}
"""Messages a minute of the quietest symbol."""
_ROWS = {"trades": "trades", "book": "book_snapshot_5", "ticker": "derivative_ticker", "liquidations": "liquidations"}
_OF_AN_OPTION = 0.02
_DISCONNECTS = 1 / 25
"""Share of the minutes in which the collector loses its connection."""


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class FeedRequest:
    """One request, understood."""

    venue: VenueSpec
    start: datetime
    minutes: int
    filters: tuple[tuple[Channel, frozenset[str]], ...]
    """Channels with the symbols wanted of them; no symbols means all."""


def answer(
    listings: Listings, venue: str, query: Mapping[str, str], headers: Mapping[str, str], api_key: str | None, now: datetime
) -> Body:
    """The reply to a request for a slice, or the refusal in the API's words.

    Args:
        listings: what the venues list.
        venue: exchange id out of the path.
        query: `from` (UTC), `offset` in minutes, `filters` as JSON, `sliceSize`.
        headers: of the request.
        api_key: the key that is accepted; None asks for no key.
        now: UTC; younger minutes than `DELAY` are refused.
    """
    try:
        wanted = _understand(listings, venue, query, headers)
        _admit(listings, wanted, headers, api_key, now)
    except _Refused as refused:
        return json_error(refused.status, str(refused))
    text = b"".join(slice_text(listings, wanted.venue, wanted.start + n * _MINUTE, wanted.filters) for n in range(wanted.minutes))
    told = {
        "Content-Encoding": "gzip",
        "x-slice-size": str(wanted.minutes),
        "x-suggested-slice-size": str(SUGGESTED_SLICE_MINUTES if "filters" in query else 1),
    }
    return Body(gzip.compress(text, GZIP_LEVEL, mtime=0), "application/x-ndjson", headers=told)


def _understand(listings: Listings, venue: str, query: Mapping[str, str], headers: Mapping[str, str]) -> FeedRequest:
    spec = next((spec for spec in listings.venues() if spec.id == venue), None)
    if spec is None:
        raise _Refused(404, f"Exchange '{venue}' is unknown")
    if not any(coding in headers.get("Accept-Encoding", "") for coding in ("gzip", "*")):
        raise _Refused(400, "'Accept-Encoding' header must allow gzip")
    minutes = _whole(query, "sliceSize", 1)
    if not 1 <= minutes <= MAX_SLICE_MINUTES or ("sliceSize" in query and "filters" not in query):
        raise _Refused(400, f"'sliceSize' must be 1 to {MAX_SLICE_MINUTES}, and needs 'filters'")
    try:
        start = datetime.fromisoformat(query.get("from", ""))
        start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
        start = start.replace(second=0, microsecond=0) + _whole(query, "offset", 0) * _MINUTE
    except (ValueError, OverflowError):
        raise _Refused(400, f"Invalid 'from' param: '{query.get('from', '')}': expected a date in ISO 8601 format") from None
    return FeedRequest(spec, start, minutes, tuple(_filters(listings, spec, query.get("filters", "[]"))))


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal():
        raise _Refused(400, f"Invalid '{name}' param: '{text}': expected a whole number")
    return int(text)


def _filters(listings: Listings, venue: VenueSpec, text: str) -> Iterator[tuple[Channel, frozenset[str]]]:
    channels = {channel.name: channel for channel in channels_of(venue.id)}
    try:
        asked = json.loads(text)
        pairs = [(str(item["channel"]), frozenset(map(str, item.get("symbols") or ()))) for item in asked]
    except (json.JSONDecodeError, TypeError, KeyError, AttributeError):
        raise _Refused(400, 'Invalid \'filters\' param: expected [{"channel": ..., "symbols": [...]}]') from None
    for name, symbols in pairs or [(name, frozenset()) for name in channels]:
        if name not in channels:
            raise _Refused(400, f"Invalid 'channel' filter: '{name}': {venue.id} has {', '.join(channels)}")
        known = {symbol for symbol, _ in _subjects(listings, venue, channels[name], None)}
        for symbol in sorted(symbols - known):
            raise _Refused(400, f"Invalid 'symbols' filter: '{symbol}' is not a symbol of {venue.id} {name}")
        yield channels[name], symbols


def _admit(listings: Listings, wanted: FeedRequest, headers: Mapping[str, str], api_key: str | None, now: datetime) -> None:
    end = wanted.start + wanted.minutes * _MINUTE
    day = wanted.start.date()
    refused = refusal(key_state(headers, api_key), day, is_denied(listings.scenario, wanted.venue.id, FEED, day))
    if refused is not None:
        raise _Refused(*refused)
    if wanted.start < start_of(wanted.venue.since):
        raise _Refused(400, f"Data of {wanted.venue.id} is available since {wanted.venue.since}")
    if end + DELAY > now:
        raise _Refused(400, f"Data until {end:%Y-%m-%dT%H:%M}Z is not available yet, try again in some minutes")


def slice_text(listings: Listings, venue: VenueSpec, minute: datetime, filters: tuple[tuple[Channel, frozenset[str]], ...]) -> bytes:
    """The lines of one minute (UTC), in the order in which they came, empty ones where the connection was lost."""
    lines = [
        line
        for channel, symbols in filters
        for native, listed in _subjects(listings, venue, channel, minute)
        if not symbols or native in symbols
        for line in _lines(listings, venue, channel, native, listed, minute)
    ]
    lines.sort()
    silent = [spec for spec in venue.incidents if spec.start < minute + _MINUTE and spec.end > minute]
    if silent:
        return b"\n" + b"".join(line for line in lines if not any(_time(spec.start) <= line < _time(spec.end) for spec in silent))
    rng = _random(listings.scenario.seed, "disconnect", venue.id, minute)
    if rng.random() < _DISCONNECTS:
        at = rng.randint(0, len(lines))
        lines[at:at] = [b"\n"] * rng.choice((1, 1, 1, 2))
    return b"".join(lines)


def _subjects(listings: Listings, venue: VenueSpec, channel: Channel, minute: datetime | None) -> list[tuple[str, Listed]]:
    """What a channel speaks of, as the exchange names it; with a minute only what trades then."""
    found: dict[str, Listed] = {}
    for listed in listings.venue(venue.id).values():
        if listed.grouped or (listed.symbol is None and listed.contract is None):
            continue
        if minute is not None and not (listed.since <= minute and (listed.until is None or minute < listed.until)):
            continue
        if channel.by_index:
            if listed.type == "perpetual" and listed.symbol is not None:
                found.setdefault(f"{listed.symbol.base.lower()}_usd", listed)
        elif not channel.derivatives_only or listed.type in ("perpetual", "future"):
            found[listed.id.lower() if venue.native_case == "lower" else listed.id] = listed
    return list(found.items())


def _lines(listings: Listings, venue: VenueSpec, channel: Channel, native: str, listed: Listed, minute: datetime) -> Iterator[bytes]:
    seed = listings.scenario.seed
    symbol = listed.symbol or (listed.contract.underlying if listed.contract else None)
    assert symbol is not None
    rng = _random(seed, venue.id, channel.name, native, minute)
    asset = asset_day(seed, symbol.base, minute.date())
    count = _count(channel, listed, asset, minute, rng)
    arrivals = sorted(rng.randrange(_TICKS) for _ in range(count))
    offset = (minute - start_of(minute.date())) // timedelta(microseconds=1)
    prices = asset.prices(np.array([offset + ticks // 10 for ticks in arrivals], np.float64)) * symbol.price
    first = (minute - _EPOCH) // _MINUTE * _IDS
    for at, (ticks, price) in enumerate(zip(arrivals, prices.tolist(), strict=True)):
        ms = (minute - _EPOCH) // timedelta(milliseconds=1) + ticks // 10_000 - rng.randint(1, 150)
        ids = (first + at * _IDS // count, first + (at + 1) * _IDS // count - 1)
        event = _event(native, listed, symbol, price, ms, ids, rng)
        yield _line(minute, ticks, channel.message(event))


def _count(channel: Channel, listed: Listed, asset: AssetDay, minute: datetime, rng: random.Random) -> int:
    """Messages of a minute: more where the symbol's files have more rows, and when its market is busy."""
    mean = _LEAST[channel.pace] * _OF_AN_OPTION
    if listed.symbol is not None:
        share = float(asset.weight[minute.hour * 60 + minute.minute])
        mean = max(_LEAST[channel.pace], listed.symbol.rows.get(_ROWS[channel.pace], 0) * share)
    whole = int(mean)
    return whole + (rng.random() < mean - whole)


def _event(native: str, listed: Listed, symbol: SymbolSpec, price: float, ms: int, ids: tuple[int, int], rng: random.Random) -> Event:
    tick = Decimal("0.0001") if listed.contract else Decimal(repr(symbol.tick))
    lot = Decimal("0.1") if listed.contract else Decimal(repr(symbol.lot))
    steps = rng.randint(3, 900) if listed.contract else max(3, round(price / float(tick)))
    amounts = [f"{lot * rng.randint(1, 5000):f}" for _ in range(3)]
    return Event(
        symbol=native,
        type=listed.type,
        base=symbol.base,
        ms=ms,
        first_id=ids[0],
        last_id=ids[1],
        price=f"{tick * steps:f}",
        bid=f"{tick * (steps - rng.randint(1, 2)):f}",
        ask=f"{tick * (steps + rng.randint(1, 2)):f}",
        amount=amounts[0],
        bid_amount=amounts[1],
        ask_amount=amounts[2],
        buy=rng.random() < 0.5,
        rate=round(rng.gauss(0, 1e-5), 8),
    )


def _line(minute: datetime, ticks: int, message: Mapping[str, Any]) -> bytes:
    stamp = f"{minute:%Y-%m-%dT%H:%M}:{ticks // 10_000_000:02d}.{ticks % 10_000_000:07d}Z"
    return f"{stamp} {json.dumps(message, separators=(',', ':'))}\n".encode()


def _time(moment: datetime) -> bytes:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0Z".encode()


def _random(*parts: object) -> random.Random:
    text = "\x1f".join(part.isoformat() if isinstance(part, datetime) else str(part) for part in parts)
    return random.Random(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big"))
