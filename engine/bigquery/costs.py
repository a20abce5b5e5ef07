"""What tables in BigQuery cost, out of a small dated table: a VM that loads has no price list of its own.

Load jobs are free (they run in a shared pool of slots). Rows that are stored natively cost by logical size and month; external tables
store nothing twice, and cost by what each query reads, as native ones do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.bigquery.contents import TableDay
from engine.clock import format_bytes

GIB = 1 << 30
TIB = 1 << 40


@dataclass(frozen=True, slots=True)
class Prices:
    """Of one location, US dollars without tax."""

    storage: float
    """Active logical storage, a GiB and month."""
    query: float
    """On-demand queries, a TiB read."""
    source: str = "Google's list price as remembered, not looked up, 2026-11-23"


PRICES = {"asia-northeast1": Prices(storage=0.023, query=7.5)}
"""By location, in lower case. A location that is not here has no price: nobody puts a guess in its place."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What some days of tables take and cost. Prices are None where they are not known."""

    logical_bytes: int
    """As BigQuery counts them, at most: nulls are free. 0 for external tables."""
    monthly: float | None
    """US dollars a month for storing them; after 90 days without a change about half of it."""
    query_tib: float | None
    """US dollars for reading a TiB."""
    source: str

    def __str__(self) -> str:
        size = format_bytes(self.logical_bytes)
        if self.monthly == self.query_tib == 0:
            return f"free: {self.source}"
        if self.monthly is None or self.query_tib is None:
            return f"{size} at most in BigQuery, {self.source}"
        queries = f"queries ${self.query_tib:.2f} a TiB read"
        if not self.logical_bytes:
            return f"nothing is stored in BigQuery, {queries} ({self.source})"
        return f"{size} at most in BigQuery: ${self.monthly:,.2f} a month; loading is free, {queries} ({self.source})"


def cost_of(days: Iterable[TableDay], location: str, *, is_local: bool = False) -> Cost:
    """The cost of days of tables.

    Args:
        days: what would be loaded, or lies in external tables.
        location: of the dataset.
        is_local: the server on this machine: it costs nothing.
    """
    size = sum(day.rows * day.table.row_bytes for day in days if not day.table.external)
    if is_local:
        return Cost(size, 0.0, 0.0, "this machine's own server")
    prices = PRICES.get(location.lower())
    if prices is None:
        return Cost(size, None, None, f"at a price that is not known for {location or 'this location'}")
    return Cost(size, size / GIB * prices.storage, prices.query, prices.source)
