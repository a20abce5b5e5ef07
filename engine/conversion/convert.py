"""Conversion of one Tardis `.csv.gz` into one Parquet file, streaming, in bounded memory, and the same bytes every time.

gzip members -> blocks of whole lines -> Arrow tables -> row groups -> Parquet. Each step is a module; this one joins them, and
turns what they object to into an outcome. What cannot be trusted is never an exception and never leaves a file behind.

Conversions may run beside each other in threads: they share nothing, and decompressing, parsing, encoding and compressing all
happen outside the GIL. pyarrow is loaded by the first one.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from engine.clock import monotonic
from engine.conversion.gzip_members import GzipError, GzipMembers
from engine.conversion.outcome import ContentFlaw as ContentFlaw
from engine.conversion.outcome import Conversion as Conversion
from engine.conversion.outcome import ConvertSettings as ConvertSettings
from engine.conversion.outcome import Flag as Flag
from engine.conversion.outcome import Reason as Reason
from engine.datatypes import DataType
from engine.errors import NotPermitted, SourceError, StoreError, UsageError
from engine.model import File, Outcome

if TYPE_CHECKING:
    from engine.conversion.csv_blocks import BlockParser
    from engine.conversion.parquet_file import ParquetFile

# pyarrow brings numpy, and that a pool of threads with their memory that nothing here uses.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Its allocator would ask for huge pages: memory given back is cleared by 2 MB when it is taken again, a tenth of a conversion's CPU.
os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")
# The C library keeps as much as it has once seen freed (mallopt(3), M_MMAP_THRESHOLD); else it would give back every block, too.
bytes(16 << 20)


def only_convert() -> None:
    """Say that this process will only convert: pyarrow then comes without numpy, 0.1 s of CPU and 12 MB less.

    Whoever makes candles needs both. Nothing happens where one of them is loaded already.
    """
    if "numpy" not in sys.modules and "pyarrow" not in sys.modules:
        sys.modules["numpy"] = None  # type: ignore[assignment] # as `import` has it: looked for, and not there
        try:
            importlib.import_module("engine.conversion.kernels")  # brings all of pyarrow that looks for it
        finally:
            del sys.modules["numpy"]


def convert(
    source: Path | BinaryIO,
    sink: Path | None,
    *,
    data_type: DataType,
    file: File | None,
    settings: ConvertSettings | None = None,
    expected_bytes: int | None = None,
) -> Conversion:
    """Convert one source file.

    Args:
        source: a path, or a binary file object at its beginning, read in small pieces and left open. It may give short reads. What can
            be read a second time (`seekable`) is inflated by the quicker library first.
        sink: where the Parquet goes, overwriting; None keeps it in `Conversion.parquet`. Only `ok` leaves a file that we wrote.
        data_type: what the columns must be.
        file: what the rows must be of: venue, symbol (unless it is a grouped id) and UTC day are checked in every row, and go
            into the metadata. None takes them as they come.
        settings: buffer sizes; they never change the result.
        expected_bytes: announced length of the source, e.g. Content-Length. A file cut at the border of a gzip member is
            sound in every other respect.

    Returns:
        `ok`, `empty` or `quarantined`, never anything else.

    Raises:
        UsageError: if `file` is of another data type, or the source path does not exist.
        NotPermitted: if the source may not be read, or the sink not be written.
        SourceError: if the source cannot be read to its end.
        StoreError: if the sink cannot be written, e.g. because the disk is full. No sink file is left then either.
    """
    if file is not None and file.cell.data_type != data_type.name:
        raise UsageError(f"{file} is not of type {data_type.name}")
    if not isinstance(source, Path):
        return _convert_stream(source, "the source stream", sink, data_type, file, settings, expected_bytes)
    with _reading(str(source)):
        opened = source.open("rb", buffering=0)
    with opened:
        return _convert_stream(opened, str(source), sink, data_type, file, settings, expected_bytes)


def _convert_stream(
    source: Any,
    source_name: str,
    sink: Path | None,
    data_type: DataType,
    file: File | None,
    settings: ConvertSettings | None,
    expected_bytes: int | None,
) -> Conversion:
    def read_source(size: int) -> bytes:
        with _reading(source_name):
            data: bytes = source.read(size)
            return data

    started = monotonic()
    settings = settings or ConvertSettings()
    is_seekable = source.seekable()
    for quick in (True, False) if is_seekable else (False,):
        if is_seekable:
            source.seek(0)
        members = GzipMembers(read_source, read_bytes=settings.read_bytes, chunk_bytes=settings.block_bytes, quick=quick)
        conversion = _convert_once(members, sink, data_type, file, settings, expected_bytes)
        if members.fingerprint is not None:
            break
    return replace(
        conversion,
        fingerprint=members.fingerprint,
        source_bytes=members.source_bytes,
        csv_bytes=members.inflated_bytes,
        seconds=monotonic() - started,
    )


def _convert_once(
    members: GzipMembers,
    sink: Path | None,
    data_type: DataType,
    file: File | None,
    settings: ConvertSettings,
    expected_bytes: int | None,
) -> Conversion:
    """Convert, or say what is wrong. `members` has a fingerprint afterwards if its gzip is sound."""
    from engine.conversion.parquet_file import ParquetFile

    parquet = ParquetFile(sink, data_type)
    try:
        return _convert_members(members, parquet, sink, data_type, file, settings, expected_bytes)
    except ContentFlaw as flaw:
        parquet.abandon()
        # A broken gzip is the better explanation of broken content: look for it to the end of the stream.
        try:
            for _ in members:
                pass
        except GzipError as error:
            return _quarantined(Reason(error.flaw.value), str(error))
        return _quarantined(flaw.reason, str(flaw))
    except GzipError as error:
        parquet.abandon()
        return _quarantined(Reason(error.flaw.value), str(error))
    except BaseException:
        parquet.abandon()
        raise


def _convert_members(
    members: GzipMembers,
    parquet: ParquetFile,
    sink: Path | None,
    data_type: DataType,
    file: File | None,
    settings: ConvertSettings,
    expected_bytes: int | None,
) -> Conversion:
    from engine.conversion.csv_blocks import BlockParser, line_blocks, read_header
    from engine.conversion.finished_file import Shape, finish_file
    from engine.conversion.row_groups import RowGroups

    with _writing(sink):
        groups = RowGroups(data_type, file, parquet.write)
        parser: BlockParser | None = None
        line = 1
        final_newline = True
        for block in line_blocks(members, settings.block_bytes):
            rows = block
            if parser is None:
                header, _, rows = block.partition(b"\n")
                parser = BlockParser(data_type, read_header(header))
                line = 2
            if rows:
                final_newline = rows.endswith(b"\n")
                arrays = parser.parse(rows, line)
                groups.add(arrays, len(rows))
                line += len(arrays[0])
        groups.finish()
        if expected_bytes is not None and members.source_bytes != expected_bytes:
            raise ContentFlaw(Reason.WRONG_LENGTH, f"{members.source_bytes} bytes came instead of {expected_bytes}")
        if parser is None:
            return Conversion(Outcome.EMPTY, Reason.NO_DATA, "the source has no data: one gzip of zero bytes")
        if not groups.tally.rows:
            return Conversion(Outcome.EMPTY, Reason.HEADER_ONLY, "the file has a header but no rows")
        shape = Shape(dropped=parser.extra, reordered=parser.reordered, final_newline=final_newline)
        return finish_file(parquet, sink, groups.tally, shape, data_type=data_type, file=file)


def _quarantined(reason: Reason, detail: str) -> Conversion:
    return Conversion(Outcome.QUARANTINED, reason, detail)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UsageError(f"{name} does not exist", hint="name a .csv.gz file that is there") from None
    except IsADirectoryError:
        raise UsageError(f"{name} is a folder", hint="give a .csv.gz file") from None
    except PermissionError as error:
        raise NotPermitted(f"{name} cannot be read: {error.strerror}", hint="let this user read it") from error
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error}", hint="fetch it again") from error


@contextmanager
def _writing(sink: Path | None) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise NotPermitted(f"{sink} cannot be written: {error.strerror}", hint="let this user write there") from error
    except OSError as error:
        raise StoreError(f"{sink or 'memory'} cannot be written: {error}", hint="free or choose another disk") from error
