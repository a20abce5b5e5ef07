"""CSV text to Arrow tables, one block of whole lines at a time, against a fixed list of columns.

Separate from the bytes before it and the row groups behind it. The parser is pyarrow's, but it only ever sees a native buffer
that is complete in memory: its threads never call into Python, which aborts the process when a conversion fails half-way.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv

from engine.conversion import ContentFlaw, Reason
from engine.datatypes import Column, DataType, Kind
from engine.gzip_members import looks_like_html

LINE_LIMIT = 65_536
"""No line of any type is near this many bytes; without a limit one endless line would fill the memory."""

_INT64 = range(-(2**63), 2**63)
_INTEGER = re.compile(r"\s*-?\d+\s*")
_DECIMAL = re.compile(r"\s*-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*|\s*-?(nan|inf|infinity)\s*", re.IGNORECASE)


def line_blocks(chunks: Iterable[bytes], block_bytes: int) -> Iterator[bytes]:
    """Join chunks and cut them again after the last newline of about every `block_bytes`. Only the last may lack a newline.

    Raises:
        ContentFlaw: if a line is longer than `LINE_LIMIT`.
    """
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size < block_bytes:
            continue
        text = b"".join(held)
        cut = text.rfind(b"\n") + 1
        _require_short_lines(text)
        if cut:
            yield text[:cut]
            text = text[cut:]
        held, size = [text], len(text)
    if size:
        text = b"".join(held)
        _require_short_lines(text)
        yield text


def _require_short_lines(text: bytes) -> None:
    start = 0
    while len(text) - start > LINE_LIMIT:
        # The last newline within reach is all it takes: lines in front of it are shorter still.
        start = text.rfind(b"\n", start, start + LINE_LIMIT + 1) + 1
        if not start:
            raise ContentFlaw(Reason.BAD_VALUE, f"a line has more than {LINE_LIMIT} bytes")


def read_header(line: bytes) -> list[str]:
    """The column names in a header line.

    Raises:
        ContentFlaw: if it is no text, or begins a web page.
    """
    if looks_like_html(line):
        raise ContentFlaw(Reason.HTML_BODY, f"the gzip holds a web page, it begins {_shown(line.decode('utf-8', 'replace'))}")
    try:
        text = line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ContentFlaw(Reason.INVALID_UTF8, f"line 1 is not UTF-8 at byte {error.start}") from None
    return _cells(text)


class BlockParser:
    """Parses blocks of one file, whose header has been read."""

    def __init__(self, data_type: DataType, header: list[str]) -> None:
        """Check `header` against the columns of `data_type`; their order does not matter.

        Raises:
            ContentFlaw: if a column is missing or named twice.
        """
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise ContentFlaw(Reason.DUPLICATE_COLUMN, f"the header names {', '.join(twice)} more than once")
        known = [column.source for column in data_type.columns]
        self.extra = tuple(name for name in header if name not in known)
        """Columns of the file that the data type does not have."""
        if missing := [name for name in known if name not in header]:
            instead = f"; it has {_shown(', '.join(self.extra))} instead" if self.extra else ""
            raise ContentFlaw(Reason.MISSING_COLUMN, f"the header lacks {_shown(', '.join(missing))}{instead}")
        self.reordered = [name for name in header if name in known] != known
        """Whether the columns come in another order than documented."""
        self._header = header
        self._columns = {column.source: column for column in data_type.columns}
        self._required = [index for index, column in enumerate(data_type.columns) if not column.nullable]
        types = {
            Kind.TIME: pa.int64(),
            Kind.NUMBER: pa.float64(),
            Kind.TEXT: pa.string(),
            Kind.CATEGORY: pa.dictionary(pa.int32(), pa.string()),
            Kind.FLAG: pa.bool_(),
        }
        self._convert = pa.csv.ConvertOptions(
            check_utf8=False,  # checked here, with the line
            column_types={column.source: types[column.kind] for column in data_type.columns},
            include_columns=known,
            null_values=[""],
            strings_can_be_null=True,
            true_values=["true"],
            false_values=["false"],
        )

    def parse(self, block: bytes, first_line: int) -> pa.Table:
        """The rows of a block: the schema's columns under their source names, times as int64, empty cells as null.

        Args:
            block: whole lines.
            first_line: number of its first line in the file, counted from 1.

        Raises:
            ContentFlaw: naming line and column.
        """
        if not block.isascii():
            _require_utf8(block, first_line)
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        buffer = pa.allocate_buffer(len(block))
        memoryview(buffer).cast("B")[:] = block
        reader: Any = pa.BufferReader(buffer)
        try:
            table = pa.csv.read_csv(
                reader,
                read_options=pa.csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=self._header),
                # RFC 4180 quotes are honoured, but cost speed where there are none: that is everywhere so far.
                parse_options=pa.csv.ParseOptions(quote_char='"' if b'"' in block else False, ignore_empty_lines=False),
                convert_options=self._convert,
            )
        except pa.ArrowInvalid as error:
            raise self._locate(block, first_line, str(error)) from None
        if table.num_rows != lines:
            raise self._locate(block, first_line, f"{lines} lines hold {table.num_rows} rows")
        if any(table.column(index).null_count for index in self._required):
            raise self._locate(block, first_line, "a cell that must not be empty is")
        return table

    def _locate(self, block: bytes, first_line: int, otherwise: str) -> ContentFlaw:
        """Find the cell that the parser stumbled over, by a second, slower reading."""
        lines = block.removesuffix(b"\n").decode("utf-8").split("\n")
        for number, line in enumerate(lines, first_line):
            cells = _cells(line.removesuffix("\r"))
            if cells == self._header:
                return ContentFlaw(Reason.BAD_VALUE, f"line {number} is the header again")
            if len(cells) != len(self._header):
                return ContentFlaw(Reason.BAD_VALUE, f"line {number} has {len(cells)} cells instead of {len(self._header)}")
            for name, cell in zip(self._header, cells, strict=True):
                column = self._columns.get(name)
                if column and (complaint := _complaint(column, cell)):
                    return ContentFlaw(Reason.BAD_VALUE, f"line {number}, column {name}: {complaint}")
        last_line = first_line + len(lines) - 1
        return ContentFlaw(Reason.BAD_VALUE, f"lines {first_line} to {last_line}: {_shown(otherwise, 160)}")


def _complaint(column: Column, cell: str) -> str:
    """Why `column` cannot hold `cell`, or nothing."""
    if not cell:
        return "" if column.nullable else "the cell is empty"
    if column.kind is Kind.TIME and not (_INTEGER.fullmatch(cell) and int(cell) in _INT64):
        return f"{_shown(cell)} is no time in microseconds"
    if column.kind is Kind.NUMBER and not _DECIMAL.fullmatch(cell):
        return f"{_shown(cell)} is no number"
    if column.kind is Kind.FLAG and cell not in ("true", "false"):
        return f"{_shown(cell)} is neither true nor false"
    return ""


def _require_utf8(block: bytes, first_line: int) -> None:
    try:
        block.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first_line + block.count(b"\n", 0, error.start)
        raise ContentFlaw(Reason.INVALID_UTF8, f"line {line} is not UTF-8") from None


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return line.split(",")


def _shown(text: str, limit: int = 80) -> str:
    return repr(text if len(text) <= limit else text[:limit] + "...")
