"""A lake of a few committed cells, filled in this process through the real commit path, for tests of what is done with it later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from engine.commit import commit, entry_of
from engine.conversion.convert import convert
from engine.conversion.outcome import Conversion
from engine.datatypes import require_data_type
from engine.manifest import Entry, Manifest, Origin, write_manifest
from engine.model import Cell, File, Outcome, day_start
from engine.store import Store
from tests.engine.conversion.tardis_csv import HEADERS, Reads, packed
from tests.local_servers import Lake

NOW = datetime(2024, 8, 1, 12, tzinfo=UTC)


def csv_of(file: File, rows: int, *, price: str = "60000.5") -> bytes:
    """One trade a minute from 00:00 on, as the source would serve it."""
    start = int(day_start(file.cell.day).timestamp()) * 1_000_000
    lines = [HEADERS["trades"]]
    for number in range(rows):
        moment = start + number * 60_000_000
        lines.append(f"{file.cell.venue},{file.symbol},{moment},{moment + 5},{number},buy,{price},0.25")
    return packed("".join(f"{text}\n" for text in lines).encode())


def conversion_of(file: File, rows: int = 3, *, price: str = "60000.5") -> Conversion:
    """That file, converted."""
    source = Reads(csv_of(file, rows, price=price))
    conversion = convert(source, None, data_type=require_data_type(file.cell.data_type), file=file)  # type: ignore[arg-type]
    assert conversion.outcome is Outcome.OK
    return conversion


def commit_file(data: Store, file: File, rows: int = 3, *, price: str = "60000.5") -> Entry:
    """Commit a file; returns what a worker's manifest says of it."""
    conversion = conversion_of(file, rows, price=price)
    assert conversion.parquet is not None
    entry = entry_of(file, commit(data, file, conversion, conversion.parquet).info)
    assert entry is not None
    return entry


def record(state: Store, cell: Cell, entries: Iterable[Entry], *, run: str = "r1", origin: Origin = "committed") -> str:
    """Write a closed manifest; returns its name."""
    manifest = Manifest(
        day=cell.day,
        data_type=cell.data_type,
        venue=cell.venue,
        run=run,
        shard=0,
        attempt=1,
        vm="vm",
        written=NOW,
        open=False,
        engine_version="0",
        origin=origin,
        catalogue="",
        entries=tuple(entries),
    )
    return write_manifest(state, manifest)


def fill(lake: Lake, cells: Mapping[Cell, Sequence[str]]) -> dict[File, Entry]:
    """Commit these symbols of these cells, with a manifest for each cell."""
    entries = {}
    for cell, symbols in cells.items():
        found = {File(cell, symbol): commit_file(lake.data, File(cell, symbol)) for symbol in symbols}
        record(lake.state, cell, found.values())
        entries |= found
    return entries
