"""What the stand-in plays: venues, symbols, sizes, planted traps and faults, as data in a TOML file.

Kept apart from the server so that a test or the planner of a demo can read what will happen without starting anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Annotated, Literal

import msgspec

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
SymbolType = Literal["spot", "future", "perpetual", "option"]


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    """One tradable symbol of a venue."""

    id: str
    """Dataset id, upper case, e.g. "BTCUSDT"."""
    base: str
    price: float
    """Typical price; the path of a base asset is the same at every venue."""
    tick: float
    lot: float
    rows: Mapping[str, int]
    """Rows of a day of factor 1, by data type. The keys are the data types that the catalogue lists."""
    type: SymbolType = "spot"
    quote: str = "USDT"
    inverse: bool = False
    """Amounts count quote currency (USD contracts), not the base asset."""
    since: date | None = None
    """First day; None means that of the venue."""
    until: Instant | None = None
    """Delisted at this instant (exclusive)."""


@dataclass(frozen=True, slots=True)
class OptionsSpec:
    """A venue's option market: monthly expiries (last Friday, 08:00 UTC), each listed on the first of the month two before."""

    underlyings: tuple[str, ...]
    """Base assets; each needs a perpetual of that base at the venue, whose price anchors the strikes."""
    rows: int
    """Rows of the grouped OPTIONS file on a day of factor 1."""
    since: date
    """Day of the first listing."""
    strike_ratios: tuple[float, ...] = (0.7, 0.85, 1.0, 1.15, 1.3)


@dataclass(frozen=True, slots=True)
class IncidentSpec:
    """A stretch in which the vendor's collection failed; the files of the venue have no rows in it."""

    start: Instant
    end: Instant
    details: str
    status: Literal["resolved", "wontfix", "unresolved"] = "resolved"


@dataclass(frozen=True, slots=True)
class VenueSpec:
    """One exchange id of the source."""

    id: str
    name: str
    since: date
    symbols: tuple[SymbolSpec, ...]
    options: OptionsSpec | None = None
    incidents: tuple[IncidentSpec, ...] = ()
    native_case: Literal["lower", "same"] = "same"
    """How the exchange itself writes its symbols ("btcusdt")."""


Outcome = Literal["ok", "empty", "not_found", "not_entitled", "not_ready", "quarantined", "failed"]


@dataclass(frozen=True, slots=True)
class TrapSpec:
    """One file that is not what it should be."""

    kind: str
    venue: str
    data_type: str
    day: date
    symbol: str
    why: str
    expect: Outcome | None = None
    """What should become of the file; None means the usual outcome of this kind."""
    column: str | None = None
    """For kinds about a column; None means a typical one of the data type."""


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A transient fault, armed when the stand-in starts. It passes; no outcome depends on it."""

    fault: str
    """A kind of `strikes.FAULT_KINDS`."""
    match: str = ""
    """Part of the request path it strikes, e.g. "/binance/trades/2024/05/02/"."""
    count: int = 1
    """Requests it strikes."""
    after_requests: int = 0
    """Matching requests that pass first."""
    settings: Mapping[str, int | float] = field(default_factory=dict)
    """The kind's own, e.g. `{retry_after = 1}`."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that the stand-in plays."""

    name: str
    seed: int
    first_day: date
    """First day of the stretch the scenario is about; days outside it have `history_factor`."""
    last_day: date
    exported_until: date
    """Files of this day and later are not published yet."""
    venues: tuple[VenueSpec, ...]
    day_factors: Mapping[date, float] = field(default_factory=dict)
    history_factor: float = 1.0
    traps: tuple[TrapSpec, ...] = ()
    faults: tuple[FaultSpec, ...] = ()
    bytes_per_second: int = 0
    """What one connection carries; 0: as much as it can. A vendor far away is not a disk."""
    denied: tuple[str, ...] = ()
    """Shell patterns over "venue/data_type" outside the key's plan (403; free days stay free)."""

    def venue(self, venue: str) -> VenueSpec | None:
        """The venue of this id, or None."""
        return next((spec for spec in self.venues if spec.id == venue), None)


def start_of(day: date) -> datetime:
    """Midnight UTC at which `day` begins."""
    return datetime.combine(day, time(), UTC)
