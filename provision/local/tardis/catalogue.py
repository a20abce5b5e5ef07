"""The catalogue the source publishes: exchanges, their symbols and data types, and instrument definitions, as JSON."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from provision.local.tardis.columns import COLUMNS
from provision.local.tardis.listings import Listed, Listings
from provision.local.tardis.native import channels_of
from provision.local.tardis.scenario import SymbolSpec, VenueSpec, start_of


def exchanges(listings: Listings) -> list[dict[str, Any]]:
    """Body of GET /v1/exchanges."""
    return [_summary(venue) for venue in listings.venues()]


def exchange(listings: Listings, venue: str) -> dict[str, Any] | None:
    """Body of GET /v1/exchanges/{id}, or None for an unknown one."""
    spec = next((spec for spec in listings.venues() if spec.id == venue), None)
    if spec is None:
        return None
    listed = listings.venue(venue).values()
    return {
        **_summary(spec),
        "availableSymbols": [_available(spec, entry) for entry in listed if not entry.grouped],
        "incidentReports": [
            {
                "from": instant_text(incident.start),
                "to": instant_text(incident.end),
                "status": incident.status,
                "details": incident.details,
            }
            for incident in spec.incidents
        ],
        "channelDetails": [{"name": channel.name, "description": ""} for channel in channels_of(venue)],
        "dataCollectionDetails": {"recorderDataCenter": {"host": "GCP", "regions": ["europe-west2"]}},
        "datasets": {
            "formats": ["csv"],
            "exportedFrom": _day_text(spec.since),
            "exportedUntil": _day_text(listings.exported_until(venue)),
            "dataTypes": [t for t in COLUMNS if any(t in entry.data_types for entry in listed)],
            "symbols": [_dataset_symbol(entry) for entry in listed],
        },
    }


def instruments(listings: Listings, venue: str) -> list[dict[str, Any]] | None:
    """Body of GET /v1/instruments/{id}, or None for an unknown exchange."""
    spec = next((spec for spec in listings.venues() if spec.id == venue), None)
    if spec is None:
        return None
    until = listings.exported_until(venue)
    first_day = listings.scenario.first_day
    return [_instrument(spec, entry, until, first_day) for entry in listings.venue(venue).values() if not entry.grouped]


def matches_filter(instrument: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether an instrument has all the wanted values; a list means any of them."""
    return all(instrument.get(key) in value if isinstance(value, list) else instrument.get(key) == value for key, value in wanted.items())


def instant_text(instant: datetime) -> str:
    """As the API writes instants: UTC with milliseconds and "Z"."""
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}Z"


def _day_text(day: date) -> str:
    return instant_text(start_of(day))


def _summary(venue: VenueSpec) -> dict[str, Any]:
    return {
        "id": venue.id,
        "name": venue.name,
        "enabled": True,
        "supportsDatasets": True,
        "availableSince": _day_text(venue.since),
        "availableChannels": [channel.name for channel in channels_of(venue.id)],
    }


def _native(venue: VenueSpec, symbol: str) -> str:
    return symbol.lower() if venue.native_case == "lower" else symbol


def _available(venue: VenueSpec, listed: Listed) -> dict[str, Any]:
    return {"id": _native(venue, listed.id), "type": listed.type, **_lifetime(listed)}


def _dataset_symbol(listed: Listed) -> dict[str, Any]:
    return {"id": listed.id, "type": listed.type, **_lifetime(listed), "dataTypes": list(listed.data_types)}


def _lifetime(listed: Listed) -> dict[str, str]:
    since = {"availableSince": instant_text(listed.since)}
    return since if listed.until is None else {**since, "availableTo": instant_text(listed.until)}


def _instrument(venue: VenueSpec, listed: Listed, until: date, first_day: date) -> dict[str, Any]:
    common: dict[str, Any] = {
        "id": _native(venue, listed.id),
        "datasetId": listed.id,
        "exchange": venue.id,
        "type": listed.type,
        "active": listed.until is None or listed.until > start_of(until),
        **_lifetime(listed),
        "listing": instant_text(listed.since),
    }
    if listed.contract is not None:
        contract = listed.contract
        base = contract.underlying.base
        return {
            **common,
            "baseCurrency": base,
            "quoteCurrency": base,
            "settlementCurrency": base,
            "contractType": f"{contract.right}_option",
            "expiry": instant_text(contract.expiry),
            "strikePrice": contract.strike,
            "optionType": contract.right,
            "underlyingIndex": f"{base.lower()}_usd",
            "priceIncrement": 0.0001,
            "amountIncrement": _text(0.1),
            "minTradeAmount": 0.1,
            "makerFee": 0.0003,
            "takerFee": 0.0003,
            "inverse": True,
            "contractMultiplier": 1,
        }
    return common if listed.symbol is None else {**common, **_symbol_fields(listed.symbol, first_day)}


def _symbol_fields(symbol: SymbolSpec, first_day: date) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "baseCurrency": f"1000{symbol.base}" if symbol.id.startswith("1000") else symbol.base,
        "quoteCurrency": symbol.quote,
        "priceIncrement": _number(symbol.tick),
        "amountIncrement": _number(symbol.lot),
        "minTradeAmount": _text(symbol.lot),
        "makerFee": 0.0002,
        "takerFee": 0.0005,
        "changes": _changes(symbol, first_day),
    }
    if symbol.type in ("perpetual", "future"):
        spec |= {
            "settlementCurrency": symbol.base if symbol.inverse else symbol.quote,
            "contractType": f"{'inverse' if symbol.inverse else 'linear'}_{symbol.type}",
            "contractMultiplier": 1,
            "inverse": symbol.inverse,
            "underlyingIndex": f"{symbol.base.lower()}_usd",
        }
    return spec


def _changes(symbol: SymbolSpec, first_day: date) -> list[dict[str, Any]]:
    """What was otherwise before: one change long ago, one in the middle of the first day, one at the start of the second."""
    start = start_of(first_day)
    return [
        {"until": "2021-06-08T04:30:00.000Z", "priceIncrement": _number(symbol.tick / 2)},
        {"until": instant_text(start + timedelta(hours=12)), "priceIncrement": _number(symbol.tick * 2)},
        {"until": instant_text(start + timedelta(days=1)), "minTradeAmount": _text(symbol.lot * 10), "makerFee": 0.0001},
    ]


def _number(value: float) -> int | float:
    exact = Decimal(repr(value))
    return int(exact) if exact == exact.to_integral_value() else value


def _text(value: float) -> str:
    """A number as text, which is how the vendor sends some of them."""
    return f"{Decimal(repr(value)):f}"
