"""Which symbols a venue lists, from when to when, and how many rows each of their files has.

Pure arithmetic on the scenario, shared by the catalogue, the truth and the generator, so that a row count is known before a
file exists.
"""

from __future__ import annotations

import hashlib
from calendar import FRIDAY, monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from provision.local.tardis.columns import GROUPS
from provision.local.tardis.scenario import OptionsSpec, Scenario, SymbolSpec, SymbolType, VenueSpec, start_of

DAY = timedelta(days=1)
ONE_DAY_SECONDS = 86_400.0
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS_AHEAD = 2
_RIGHTS: tuple[Literal["call", "put"], ...] = ("call", "put")


@dataclass(frozen=True, slots=True)
class Contract:
    """What makes an option an option."""

    underlying: SymbolSpec
    """The perpetual that anchors it."""
    expiry: datetime
    strike: int
    right: Literal["call", "put"]

    @property
    def index(self) -> str:
        """The underlying as the venue names it, e.g. "SYN.BTC-31MAY24"."""
        return f"SYN.{self.underlying.base}-{_expiry_code(self.expiry.date())}"


@dataclass(frozen=True, slots=True)
class Listed:
    """One id of `datasets.symbols`: a symbol, an option, or a group of them."""

    venue: str
    id: str
    type: SymbolType
    since: datetime
    until: datetime | None
    """Exclusive; None while it trades."""
    data_types: tuple[str, ...]
    symbol: SymbolSpec | None = None
    contract: Contract | None = None
    members: tuple[Listed, ...] = ()
    """Of a group; empty for a single symbol."""

    @property
    def grouped(self) -> bool:
        """Whether this is SPOT, FUTURES, PERPETUALS or OPTIONS."""
        return bool(self.members)

    def window(self, day: date) -> tuple[datetime, datetime] | None:
        """The part of the UTC day in which it trades, or None."""
        start = max(start_of(day), self.since)
        end = min(start_of(day) + DAY, self.until or datetime.max.replace(tzinfo=UTC))
        return (start, end) if start < end else None


class Listings:
    """All ids of a scenario, by venue."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._venues = {venue.id: _venue_listing(scenario, venue) for venue in scenario.venues}
        self._active_options: dict[tuple[str, date], int] = {}

        self._specs = {venue.id: venue for venue in scenario.venues}
        self._exported_until: dict[str, date] = {}

    def venue(self, venue: str) -> dict[str, Listed]:
        """The ids of a venue in catalogue order; nothing for an unknown one."""
        return self._venues.get(venue, {})

    def venues(self) -> list[VenueSpec]:
        """Every venue, in catalogue order."""
        return list(self._specs.values())

    def exported_until(self, venue: str) -> date:
        """The first day of the venue that is not published yet."""
        return self._exported_until.get(venue, self.scenario.exported_until)

    def add_genuine(self, listed: Listed, last_day: date) -> None:
        """List what a folder of genuine files has and the scenario does not know; it is never generated."""
        if listed.venue not in self._specs:
            self._specs[listed.venue] = VenueSpec(listed.venue, listed.venue, listed.since.date(), ())
            self._venues[listed.venue] = {}
            self._exported_until[listed.venue] = last_day + DAY
        elif listed.venue in self._exported_until:
            self._exported_until[listed.venue] = max(self._exported_until[listed.venue], last_day + DAY)
        self._venues[listed.venue].setdefault(listed.id, listed)

    def row_count(self, listed: Listed, data_type: str, day: date) -> int:
        """Rows of one file as generated, before any trap; 0 if it does not trade that day."""
        if data_type not in listed.data_types:
            return 0
        if listed.grouped:
            members = (member for member in listed.members if data_type in member.data_types)
            return sum(self.row_count(member, data_type, day) for member in members)
        window = listed.window(day)
        if window is None or (listed.symbol is None and listed.contract is None):
            return 0
        usual = self._usual_rows(listed, data_type, day)
        share = (window[1] - window[0]).total_seconds() / ONE_DAY_SECONDS
        jitter = 0.94 + 0.12 * _unit_hash(self.scenario.seed, listed.venue, listed.id, data_type, day.isoformat())
        return max(1, round(usual * share * jitter * day_factor(self.scenario, day)))

    def _usual_rows(self, listed: Listed, data_type: str, day: date) -> float:
        if listed.symbol is not None:
            return listed.symbol.rows[data_type]
        venue = self.scenario.venue(listed.venue)
        assert venue is not None
        assert venue.options is not None
        key = (listed.venue, day)
        if key not in self._active_options:
            self._active_options[key] = sum(
                1 for other in self._venues[listed.venue].values() if other.contract is not None and other.window(day)
            )
        return venue.options.rows / self._active_options[key]


def day_factor(scenario: Scenario, day: date) -> float:
    """How busy a day is; weekends of the history are quieter."""
    if day in scenario.day_factors:
        return scenario.day_factors[day]
    if scenario.first_day <= day <= scenario.last_day:
        return 1.0
    return scenario.history_factor * (0.75 if day.weekday() >= 5 else 1.0)


def _unit_hash(*parts: object) -> float:
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _venue_listing(scenario: Scenario, venue: VenueSpec) -> dict[str, Listed]:
    singles = [
        Listed(
            venue=venue.id,
            id=symbol.id,
            type=symbol.type,
            since=start_of(symbol.since or venue.since),
            until=symbol.until,
            data_types=tuple(symbol.rows),
            symbol=symbol,
        )
        for symbol in venue.symbols
    ]
    if venue.options is not None:
        singles += _options(scenario, venue, venue.options)
    groups = [group for name in GROUPS if (group := _group(venue, name, singles)) is not None]
    return {listed.id: listed for listed in [*groups, *singles]}


def _group(venue: VenueSpec, name: str, singles: list[Listed]) -> Listed | None:
    ((symbol_type, allowed),) = GROUPS[name].items()
    members = tuple(listed for listed in singles if listed.type == symbol_type)
    data_types = tuple(t for t in allowed if any(t in member.data_types for member in members))
    if not data_types:
        return None
    return Listed(
        venue=venue.id,
        id=name,
        type=members[0].type,
        since=min(member.since for member in members),
        until=None,
        data_types=data_types,
        members=members,
    )


def _options(scenario: Scenario, venue: VenueSpec, options: OptionsSpec) -> list[Listed]:
    month = options.since.replace(day=1)
    last = _month_after(scenario.exported_until.replace(day=1), _MONTHS_AHEAD)
    perpetuals = {symbol.base: symbol for symbol in venue.symbols if symbol.type == "perpetual"}
    listed: list[Listed] = []
    while month <= last:
        since = max(options.since, _month_after(month, -_MONTHS_AHEAD))
        expiry = start_of(_last_friday(month)) + timedelta(hours=8)
        for base in options.underlyings:
            strikes = [_round_strike(perpetuals[base].price * ratio) for ratio in options.strike_ratios]
            contracts = [Contract(perpetuals[base], expiry, strike, r) for strike in strikes for r in _RIGHTS]
            listed += [_option(venue, since, contract) for contract in contracts]
        month = _month_after(month, 1)
    return listed


def _option(venue: VenueSpec, since: date, contract: Contract) -> Listed:
    code = _expiry_code(contract.expiry.date())
    return Listed(
        venue=venue.id,
        id=f"{contract.underlying.base}-{code}-{contract.strike}-{contract.right[0].upper()}",
        type="option",
        since=start_of(since),
        until=contract.expiry,
        data_types=("options_chain",),
        contract=contract,
    )


def _expiry_code(day: date) -> str:
    return f"{day.day}{_MONTHS[day.month - 1]}{day.year % 100:02d}"


def _month_after(first: date, months: int) -> date:
    index = first.year * 12 + first.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def _last_friday(month: date) -> date:
    last = month.replace(day=monthrange(month.year, month.month)[1])
    return last - timedelta(days=(last.weekday() - FRIDAY) % 7)


def _round_strike(price: float) -> int:
    step = int(10 ** max(0, len(str(int(price))) - 2))
    return max(step, round(price / step) * step)
