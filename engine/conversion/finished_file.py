"""The end of a conversion: the Parquet file closed with its metadata, its checksum, and what is said of it.

Separate because files are converted one by one (`convert`) and together (`small_files`), and end in the same way.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from engine.conversion.outcome import Conversion, Flag
from engine.conversion.parquet_file import ParquetFile
from engine.conversion.row_groups import Tally
from engine.datatypes import SCHEMA_VERSION, DataType
from engine.model import File, Outcome

_CHECKSUM_STEP = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Shape:
    """How the text differs from what is documented."""

    dropped: tuple[str, ...] = ()
    """Columns that the data type does not have."""
    reordered: bool = False
    final_newline: bool = True


PLAIN = Shape()


def finish_file(
    parquet: ParquetFile, sink: Path | None, tally: Tally, shape: Shape, *, data_type: DataType, file: File | None
) -> Conversion:
    """Close the Parquet file of rows that are sound, and describe it; what depends on the source's bytes is left out.

    Args:
        parquet: with all its row groups, one at least.
        sink: where it is written; None: to memory.
        tally: of its rows.

    Raises:
        OSError: if the sink cannot be written.
    """
    written = parquet.finish(_metadata(data_type, file, tally), ordered=not tally.backward_rows)
    content = written.to_pybytes() if written is not None else None
    size, crc32c = _checksum(sink, content)
    return Conversion(
        Outcome.OK,
        rows=tally.rows,
        min_local_timestamp_us=tally.min_local,
        max_local_timestamp_us=tally.max_local,
        min_timestamp_us=tally.min_exchange,
        max_timestamp_us=tally.max_exchange,
        covered_minutes=len(tally.minutes),
        flags=_flags(tally, shape),
        backward_rows=tally.backward_rows,
        previous_day_rows=tally.previous_day_rows,
        next_day_rows=tally.next_day_rows,
        dropped_columns=shape.dropped,
        parquet_bytes=size,
        crc32c=crc32c,
        parquet=content,
    )


def _flags(tally: Tally, shape: Shape) -> tuple[Flag, ...]:
    seen = {
        Flag.BACKWARD_LOCAL_TIMESTAMP: tally.backward_rows > 0,
        Flag.PREVIOUS_DAY_TIMESTAMP: tally.previous_day_rows > 0,
        Flag.NEXT_DAY_TIMESTAMP: tally.next_day_rows > 0,
        Flag.EXTRA_COLUMNS: bool(shape.dropped),
        Flag.REORDERED_COLUMNS: shape.reordered,
        Flag.UNEXPECTED_EMPTY: tally.unexpected_empty,
        Flag.NON_FINITE_NUMBER: tally.non_finite,
        Flag.NO_FINAL_NEWLINE: not shape.final_newline,
    }
    return tuple(sorted(flag for flag, present in seen.items() if present))


def _metadata(data_type: DataType, file: File | None, tally: Tally) -> dict[str, str]:
    metadata = {"data_type": data_type.name, "schema_version": str(SCHEMA_VERSION), "rows": str(tally.rows)}
    if file is not None:
        metadata |= {"venue": file.cell.venue, "day": file.cell.day.isoformat(), "symbol": file.symbol}
    bounds = {
        "min_local_timestamp": tally.min_local,
        "max_local_timestamp": tally.max_local,
        "min_timestamp": tally.min_exchange,
        "max_timestamp": tally.max_exchange,
    }
    return metadata | {f"{name}_us": str(value) for name, value in bounds.items()}


def _checksum(sink: Path | None, content: bytes | None) -> tuple[int, str]:
    """Length and CRC-32C of the finished file; of one on disk, read back in pieces."""
    size, checksum = 0, google_crc32c.Checksum()
    if content is not None:
        size = len(content)
        checksum.update(content)
    elif sink is not None:
        with sink.open("rb") as file:
            while piece := file.read(_CHECKSUM_STEP):
                checksum.update(piece)
                size += len(piece)
    return size, base64.b64encode(checksum.digest()).decode("ascii")
