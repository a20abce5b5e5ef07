"""What the planner's and the coverage tests share: small catalogues, and manifests as a bucket would list and open them.

A `Bucket` keeps manifests with generations, makes their summaries out of the metadata that would really be stored, and counts which
cells were opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from engine.catalogue import Catalogue, Incident, Listing
from engine.coverage import Coverage, LiveShard, assess
from engine.manifest import Entry, Manifest, Origin, Record, Summary, merge, metadata_of, summarize
from engine.model import Cell, DayRange, Outcome
from engine.paths import ManifestName, manifest_object
from engine.store import ObjectInfo
from engine.validation.verification import Depth, Finding, Verification, identify_manifests

START = date(2024, 5, 1)
NOW = datetime(2024, 8, 1, 12, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def day(number: int) -> date:
    """The day `number` days after the first of May 2024."""
    return START + timedelta(days=number)


def moment(number: int, hour: int = 0) -> datetime:
    """An hour of that day, UTC."""
    return datetime(START.year, START.month, START.day, hour, tzinfo=UTC) + timedelta(days=number)


def listing(
    symbol: str,
    *data_types: str,
    kind: str = "spot",
    since: datetime = LONG_AGO,
    until: datetime | None = None,
) -> Listing:
    """One dataset symbol; trades unless told otherwise."""
    return Listing(symbol, kind, data_types or ("trades",), since, until)


def catalogue(
    *listings: Listing,
    venue: str = "binance",
    published_until: datetime | None = None,
    incidents: tuple[Incident, ...] = (),
) -> Catalogue:
    """A venue that lists these."""
    return Catalogue(
        venue=venue,
        fetched=datetime(2024, 8, 1, tzinfo=UTC),
        published_until=published_until or datetime(2024, 8, 1, tzinfo=UTC),
        listings=listings,
        incidents=incidents,
    )


def ok(symbol: str, rows: int = 1000, minutes: int = 1440, *, size: int = 5000, generation: int = 1) -> Entry:
    """A committed file."""
    return Entry(symbol=symbol, outcome=Outcome.OK, rows=rows, covered_minutes=minutes, source_bytes=size, generation=generation)


def bad(symbol: str, outcome: Outcome = Outcome.FAILED) -> Entry:
    """A file that was tried in vain, or waived, or empty."""
    return Entry(symbol=symbol, outcome=outcome)


@dataclass
class Bucket:
    """Manifests of a state bucket."""

    held: dict[str, tuple[Manifest, int]] = field(default_factory=dict)
    opened: list[Cell] = field(default_factory=list)

    def put(
        self,
        cell: Cell,
        entries: Iterable[Entry],
        *,
        run: str = "r1",
        shard: int = 0,
        attempt: int = 1,
        unfinished: bool = False,
        origin: Origin = "committed",
    ) -> None:
        """Write a manifest, as `engine.manifest.write_manifest` would."""
        manifest = Manifest(
            day=cell.day,
            data_type=cell.data_type,
            venue=cell.venue,
            run=run,
            shard=shard,
            attempt=attempt,
            vm=f"market-data-shard-{run}-{shard}",
            written=NOW,
            open=unfinished,
            engine_version="0",
            origin=origin,
            catalogue="",
            entries=tuple(entries),
        )
        generation = 1000 + len(self.held)
        names = (manifest_object(ManifestName(cell, run, shard, attempt, number)) for number in range(100))
        self.held[next(name for name in names if name not in self.held)] = (manifest, generation)

    def summaries(self) -> list[Summary]:
        """What a listing shows."""
        return [
            summarize(ObjectInfo(name, 1, generation, "", manifest.written, metadata_of(manifest)))
            for name, (manifest, generation) in self.held.items()
        ]

    def verified(
        self,
        cell: Cell,
        *findings: Finding,
        at: datetime = NOW,
        depth: Depth = Depth.LISTING,
        proofs: Mapping[Depth, datetime] | None = None,
    ) -> Verification:
        """A comparison of all objects of a cell with the manifests that are there now."""
        generations = [summary.generation for summary in self.summaries() if summary.name.cell == cell]
        return Verification(
            day=cell.day,
            data_type=cell.data_type,
            venue=cell.venue,
            at=at,
            depth=depth,
            objects=1,
            manifests=identify_manifests(generations),
            proofs={} if findings else dict(proofs or {depth: at}),
            findings=findings,
        )

    def open_cell(self, cell: Cell) -> Mapping[str, Record]:
        """Read and merge a cell."""
        self.opened.append(cell)
        return merge(item for item in self.held.values() if item[0].cell == cell)

    def assess(
        self,
        offered: Catalogue | tuple[Catalogue, ...],
        days: DayRange,
        data_types: tuple[str, ...] = ("trades",),
        *,
        scope: Mapping[str, frozenset[str]] | None = None,
        live: Mapping[Cell, tuple[LiveShard, ...]] | None = None,
        verified: Mapping[Cell, Verification] | None = None,
        **more: Any,
    ) -> Coverage:
        """Coverage of this bucket."""
        offers = offered if isinstance(offered, tuple) else (offered,)
        return assess(
            days,
            [each.venue for each in offers],
            data_types,
            catalogues={each.venue: each for each in offers},
            summaries=self.summaries(),
            open_cell=self.open_cell,
            now=NOW,
            scope=scope,
            live=live or {},
            verified=verified or {},
            **more,
        )
