"""One committed object against its manifest entry: as a listing shows it, by its footer, by its rows.

Each comparison gives the first thing that is wrong, or None. Separate from `comparing`, which decides what is compared and
keeps what was found: here are no cells, no manifests and no documents.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.adoption.footer_check import check_footer, check_same, find_bounds
from engine.adoption.refusal import Reason, Refused
from engine.clock import format_time
from engine.conversion.outcome import to_datetime
from engine.datatypes import GROUPED_SYMBOLS, require_data_type
from engine.manifest import Entry
from engine.model import File
from engine.object_copy import copy_object
from engine.parquet_footer import Footer, FooterFlaw, FooterReader
from engine.store import ObjectInfo, Store
from engine.validation.verification import Finding, Kind

_TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MINUTE = 60


def compare_listing(entry: Entry, info: ObjectInfo | None) -> Finding | None:
    """Whether the object is there with the committed bytes and what identifies them.

    The same bytes under a newer generation are right: an object that was deleted and restored is what was committed.
    """
    if info is None:
        return Finding(Kind.MISSING, entry.symbol, entry.generation, "the object is gone")
    newest = max(info.generation, entry.generation)
    if entry.object_bytes and info.size != entry.object_bytes:
        return Finding(Kind.ALTERED, entry.symbol, newest, f"{info.size:,} bytes, {entry.object_bytes:,} were committed")
    if entry.crc32c and info.crc32c != entry.crc32c:
        return Finding(Kind.ALTERED, entry.symbol, newest, f"CRC-32C {info.crc32c}, {entry.crc32c} was committed")
    if info.generation < entry.generation:
        return Finding(Kind.ALTERED, entry.symbol, newest, f"generation {info.generation} is older than what was committed")
    if entry.fingerprint:
        for key, wanted in _metadata_of(entry).items():
            if (found := info.metadata.get(key)) != wanted:
                shown = "missing" if found is None else found
                return Finding(Kind.METADATA, entry.symbol, newest, f"its metadata says {key} {shown}, the manifest {wanted}")
    return None


def is_suspect(entry: Entry, recorded: Iterable[Entry]) -> bool:
    """Whether nobody fetched what `entry` records, and older records of the same source file know other bytes.

    Args:
        entry: the newest record of a committed file.
        recorded: all records of it.
    """
    alike = [other for other in recorded if other.fingerprint == entry.fingerprint]
    if any(other.requests for other in alike if other.generation == entry.generation):
        return False
    return any(other.generation < entry.generation and other.crc32c != entry.crc32c for other in alike)


def _metadata_of(entry: Entry) -> dict[str, str]:
    """What the metadata of a committed object must say, as `engine.commit.metadata_of` writes it."""
    return {
        "source-fingerprint": entry.fingerprint,
        "source-length": str(entry.source_bytes),
        "rows": str(entry.rows),
        "first-us": "" if entry.first_us is None else str(entry.first_us),
        "last-us": "" if entry.last_us is None else str(entry.last_us),
    }


def compare_footer(footers: FooterReader, file: File, entry: Entry, info: ObjectInfo) -> Finding | None:
    """Whether the Parquet footer, read by range, says what the manifest says.

    Raises:
        StoreError, NotPermitted, ConfigurationError: of the bucket.
    """
    try:
        data_type = require_data_type(file.cell.data_type)
        footer = footers.read(info, data_type.name)
        facts = check_footer(footer, data_type, file)
    except (FooterFlaw, Refused) as error:
        return Finding(Kind.FOOTER, file.symbol, info.generation, str(error))
    found = Facts(facts.rows, facts.first_us, facts.last_us)
    wrong = _contradiction(entry, found) or _metadata_contradiction(footer, file, entry)
    return Finding(Kind.FOOTER, file.symbol, info.generation, f"its footer says {wrong}") if wrong else None


def _metadata_contradiction(footer: Footer, file: File, entry: Entry) -> str:
    """What the key-value metadata says differently; another writer's has none of these keys."""
    wanted = {
        "venue": file.cell.venue,
        "data_type": file.cell.data_type,
        "day": file.cell.day.isoformat(),
        "symbol": file.symbol,
        "rows": str(entry.rows),
        "min_local_timestamp_us": str(entry.first_us),
        "max_local_timestamp_us": str(entry.last_us),
    }
    for key, value in wanted.items():
        if (found := footer.metadata.get(key, value)) != value:
            return f"{key} {found}, the manifest {value}"
    return ""


def compare_content(data: Store, file: File, entry: Entry, info: ObjectInfo, folder: Path) -> Finding | None:
    """Whether all bytes have the committed checksum and all rows are those of the file.

    Args:
        data: the bucket.
        file: what the object holds.
        entry: what the manifest says of it.
        info: the object as a listing showed it; that generation is read.
        folder: for the bytes while they are looked at.

    Raises:
        StoreError, NotPermitted, ConfigurationError: of the bucket; StoreError also if the folder has no room for the bytes.
    """
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".parquet") as copy:
        checksum = copy_object(data, info.name, size=info.size, generation=info.generation, copy=copy)
        if checksum is None:
            return Finding(Kind.MISSING, file.symbol, info.generation, "it was deleted while it was read")
        if checksum != info.crc32c:
            return Finding(Kind.CONTENT, file.symbol, info.generation, f"its bytes have CRC-32C {checksum}, the bucket says {info.crc32c}")
        try:
            wrong = _contradiction(entry, read_facts(Path(copy.name), file))
        except Refused as error:
            wrong = error.detail
    return Finding(Kind.CONTENT, file.symbol, info.generation, wrong) if wrong else None


@dataclass(frozen=True, slots=True)
class Facts:
    """What an object says of itself."""

    rows: int
    first_us: int | None
    """Smallest `local_timestamp`, microseconds since the epoch, UTC; None where it is not known."""
    last_us: int | None
    covered_minutes: int = 0
    """How many UTC minutes of the day have rows; 0 where it is not known."""


def _contradiction(entry: Entry, facts: Facts) -> str:
    """The first thing that the manifest says differently; what either does not know is not compared."""
    if facts.rows != entry.rows:
        return f"{facts.rows:,} rows, the manifest {entry.rows:,}"
    bounds = (("local_timestamp from", facts.first_us, entry.first_us), ("local_timestamp to", facts.last_us, entry.last_us))
    for name, found, wanted in bounds:
        if found is not None and wanted is not None and found != wanted:
            return f"{name} {_show(found)}, the manifest {_show(wanted)}"
    if facts.covered_minutes and entry.covered_minutes and facts.covered_minutes != entry.covered_minutes:
        return f"{facts.covered_minutes:,} covered minutes, the manifest {entry.covered_minutes:,}"
    return ""


def _show(microseconds: int) -> str:
    moment = to_datetime(microseconds)
    return f"{microseconds} us" if moment is None else format_time(moment)


def read_facts(path: Path, file: File) -> Facts:
    """Read every value of every row, one row group at a time.

    Raises:
        Refused: if it cannot be read, or holds rows of another venue, symbol or day.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    lows: list[int] = []
    highs: list[int] = []
    minutes: set[int] = set()
    rows = nulls = ticks = 0
    try:
        with pa.OSFile(str(path), "rb") as opened, pq.ParquetFile(opened, pre_buffer=False) as parquet:
            for index in range(parquet.num_row_groups):
                table: Any = parquet.read_row_group(index, use_threads=False)
                _check_names(table, file)
                local = table.column("local_timestamp")
                rows += table.num_rows
                nulls += local.null_count
                ticks = _TICKS[local.type.unit] if pa.types.is_timestamp(local.type) else 0
                raw = local.cast(pa.int64())
                if local.null_count < table.num_rows:
                    lows.append(pc.min(raw).as_py())
                    highs.append(pc.max(raw).as_py())
                if ticks:
                    minutes.update(pc.unique(pc.divide(raw, _MINUTE * ticks)).to_pylist())
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise Refused(Reason.UNREADABLE, f"its rows cannot be read: {' '.join(str(error).split())[:200]}") from error
    low, high = min(lows, default=None), max(highs, default=None)
    bounds = find_bounds("local_timestamp", low, high, nulls=nulls, ticks=ticks, day=file.cell.day)
    return Facts(rows, bounds.first_us, bounds.last_us, len(minutes)) if bounds else Facts(rows, None, None)


def _check_names(table: Any, file: File) -> None:
    """Every row is of the venue, and of the symbol where the file is of a single one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = {"exchange": file.cell.venue}
    if file.symbol not in GROUPED_SYMBOLS:
        wanted["symbol"] = file.symbol
    for name, expected in wanted.items():
        if name in table.column_names:
            for value in pc.unique(table.column(name).cast(pa.string())).to_pylist():
                if value is not None:
                    check_same(name, value, value, expected)
