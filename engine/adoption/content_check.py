"""Whether a Parquet object of another writer holds what its footer says: the whole object is read, as `engine adopt --verify` asks.

Separate from `engine.adoption.footer_check`, which needs two requests and no rows. What is found here and cannot be known from a footer
(covered minutes, bounds without statistics) goes into the manifest.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.adoption.footer_check import MICROSECONDS, FooterFacts, check_same, find_bounds
from engine.adoption.refusal import Reason, Refused
from engine.datatypes import GROUPED_SYMBOLS
from engine.model import File
from engine.store import ObjectInfo

_TICKS = {"s": 1, "ms": 1_000, "us": MICROSECONDS, "ns": 1_000 * MICROSECONDS}


@dataclass(frozen=True, slots=True)
class Content:
    """What the rows say."""

    first_us: int
    last_us: int
    covered_minutes: int
    """How many UTC minutes of the day have rows."""


def check_content(data: bytes, info: ObjectInfo, facts: FooterFacts, file: File) -> Content | None:
    """Read every row of every column, and compare with the bucket's checksum and the footer; None for a file without rows.

    Raises:
        Refused: `OTHER_CONTENT`, `UNREADABLE`, `WRONG_DAY` or `WRONG_SYMBOL`.
    """
    import google_crc32c
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    checksum = base64.b64encode(google_crc32c.Checksum(data).digest()).decode("ascii")
    if checksum != info.crc32c:
        raise Refused(Reason.OTHER_CONTENT, f"its checksum is {checksum}, the bucket says {info.crc32c}")
    times: list[Any] = []
    rows = 0
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as parquet:
            for index in range(parquet.num_row_groups):
                table: Any = parquet.read_row_group(index, use_threads=False)
                rows += table.num_rows
                times.append(table.column("local_timestamp"))
                _check_names(table, file)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise Refused(Reason.UNREADABLE, f"its rows cannot be read: {' '.join(str(error).split())[:200]}") from error
    if rows != facts.rows:
        raise Refused(Reason.OTHER_CONTENT, f"it has {rows:,} rows, its footer says {facts.rows:,}")
    if not rows:
        return None
    local: Any = pa.chunked_array([chunk for column in times for chunk in column.chunks])
    ticks = _TICKS[local.type.unit] if pa.types.is_timestamp(local.type) else 0
    raw = local.cast(pa.int64())
    bounds = find_bounds(
        "local_timestamp", pc.min(raw).as_py(), pc.max(raw).as_py(), nulls=local.null_count, ticks=ticks, day=file.cell.day
    )
    if bounds is None:
        raise Refused(Reason.OTHER_CONTENT, "no row has a local_timestamp")
    if facts.first_us is not None and (bounds.first_us, bounds.last_us) != (facts.first_us, facts.last_us):
        raise Refused(Reason.OTHER_CONTENT, f"its first and last row are at {bounds}, its footer says otherwise")
    return Content(bounds.first_us, bounds.last_us, len(pc.unique(pc.divide(raw, 60 * bounds.ticks))))


def _check_names(table: Any, file: File) -> None:
    for name, values in _texts(table):
        for value in values:
            if name == "exchange":
                check_same(name, value, value, file.cell.venue)
            elif file.symbol not in GROUPED_SYMBOLS:
                check_same(name, value, value, file.symbol)


def _texts(table: Any) -> Iterator[tuple[str, list[str]]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in ("exchange", "symbol"):
        if name in table.column_names:
            yield name, [value for value in pc.unique(table.column(name).cast(pa.string())).to_pylist() if value is not None]
