"""CSV text to Arrow tables, one block of whole lines at a time, against a fixed list of columns.

Separate from the bytes before it and the row groups behind it. What is plain, nearly everything, is read by `plain_cells` where that
is built; the rest, and what is wrong, by pyarrow's parser, which alone decides. It only ever sees a native buffer that is complete in
memory: its threads never call into Python, which aborts the process when a conversion fails half-way.

What is a row must not depend on where a block ends, so a row is always exactly one line, in LF or CRLF:

- The source writes no quotes. Should it begin to, then as RFC 4180 has them: a cell in quotes loses them, `""` in it is one quote,
  a comma in it is text. A quoted cell must close in its own line, right in front of a comma or the end; elsewhere quotes are text.
- A carriage return anywhere but at the end of a line is refused: the parser would begin a row there.
- A number is decimal, `nan`, `inf` or `infinity`; a time is a decimal integer. Blanks and tabs around either are skipped. What the
  parser would take beyond that (hexadecimal times, `nan(...)`) is refused.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa
import pyarrow.csv

from engine.conversion.gzip_members import looks_like_html
from engine.conversion.kernels import compute, holds_text, is_surely_finite
from engine.conversion.leading_cells import LEADING, LeadingCells, first_cells
from engine.conversion.outcome import ContentFlaw, Reason
from engine.conversion.plain_cells import OtherPrefix, PlainCells
from engine.datatypes import Column, DataType, Kind

LINE_LIMIT = 65_536
"""No line of any type is near this many bytes; without a limit one endless line would fill the memory."""

_INT64 = range(-(2**63), 2**63)
_INT64_DIGITS = 19
_INTEGER = re.compile(r"[ \t]*(-?)([0-9]++)[ \t]*")
_DECIMAL = re.compile(r"[ \t]*[+-]?(([0-9]++(\.[0-9]*+)?|\.[0-9]++)(e[+-]?[0-9]++)?|nan|inf|infinity)[ \t]*", re.IGNORECASE)
_CELL = rb'(?:"(?:[^"]|"")*+"|[^",][^,]*+|)'
_QUOTED_LINE = re.compile(_CELL + b"(?:," + _CELL + b")*+")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def line_blocks(chunks: Iterable[bytes], block_bytes: int) -> Iterator[bytes]:
    """Join chunks and cut them again after the last newline of about every `block_bytes`. Only the last may lack a newline.

    Raises:
        ContentFlaw: if a line is longer than `LINE_LIMIT`.
    """
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size < block_bytes:
            held.append(chunk)
            continue
        cut = chunk.rfind(b"\n") + 1
        if not cut:  # the last newline may be in what is held
            chunk = b"".join([*held, chunk])
            held = []
            cut = chunk.rfind(b"\n") + 1
            _require_short_lines(chunk)
        if cut:
            block = b"".join([*held, memoryview(chunk)[:cut]])
            _require_short_lines(block)
            yield block
            chunk = chunk[cut:]
        held, size = [chunk], len(chunk)
    if size:
        text = b"".join(held)
        _require_short_lines(text)
        yield text


def _require_short_lines(text: bytes) -> None:
    if not _has_short_lines(text):
        raise ContentFlaw(Reason.BAD_VALUE, f"a line has more than {LINE_LIMIT} bytes")


def _has_short_lines(text: bytes) -> bool:
    start = 0
    while len(text) - start > LINE_LIMIT:
        # The last newline within reach is all it takes: lines in front of it are shorter still.
        start = text.rfind(b"\n", start, start + LINE_LIMIT + 1) + 1
        if not start:
            return False
    return True


def read_header(line: bytes) -> list[str]:
    """The column names in a header line.

    Raises:
        ContentFlaw: if it is no text, begins a web page, or is no line of CSV.
    """
    if looks_like_html(line):
        raise ContentFlaw(Reason.HTML_BODY, f"the gzip holds a web page, it begins {_shown(line.decode('utf-8', 'replace'))}")
    try:
        text = line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ContentFlaw(Reason.INVALID_UTF8, f"line 1 is not UTF-8 at byte {error.start}") from None
    _require_rows_are_lines(line, 1)
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
        self._convert = _convert_options(data_type, LEADING[:0])
        self._convert_rest = _convert_options(data_type, LEADING)
        self._counts = tuple(header[: len(LEADING)]) == tuple(known[: len(LEADING)]) == LEADING
        self._leading: LeadingCells | None = None
        kinds = [self._columns[name].kind if name in self._columns else None for name in header]
        self._plain, self._plain_rest = PlainCells(kinds), PlainCells(kinds[len(LEADING) :])
        wanted = [name for name in header if name in known]
        self._places = [wanted.index(name) for name in known]
        """Where each column of the data type stands among those of the file."""

    def parse(self, block: bytes, first_line: int) -> list[pa.Array[Any]]:
        """The rows of a block: an array a column of the data type, times as int64, categories as text (or as a dictionary of the one
        value that all have), empty cells as null.

        Args:
            block: whole lines.
            first_line: number of its first line in the file, counted from 1.

        Raises:
            ContentFlaw: naming line and column.
        """
        if not block.isascii():
            _require_utf8(block, first_line)
        if self._counts and self._leading is None:
            self._leading = first_cells(block)
            self._counts = self._leading is not None
        return self._parse_plain(block) or self._parse_any(block, first_line)

    def _parse_plain(self, block: bytes) -> list[pa.Array[Any]] | None:
        """The rows of a block in which nothing is odd, or None."""
        if b'"' in block or b"\r" in block:
            return None
        leading = self._leading if self._counts else None
        try:
            arrays = self._plain_rest.read(block, leading.text) if leading else self._plain.read(block)
        except OtherPrefix:
            self._counts = False
            arrays = self._plain.read(block)
            leading = None
        if arrays is None:
            return None
        found = [*leading.arrays(len(arrays[0])), *arrays] if leading else arrays
        ordered = [found[place] for place in self._places]
        return None if self._lacks_cells(ordered) else ordered

    def _lacks_cells(self, arrays: list[pa.Array[Any]]) -> bool:
        return any(array.null_count for column, array in zip(self._columns.values(), arrays, strict=True) if not column.nullable)

    def _parse_any(self, block: bytes, first_line: int) -> list[pa.Array[Any]]:
        _require_rows_are_lines(block, first_line)
        arrays = self._parse_counting(block, first_line) or self._parse_all(block, first_line)
        if self._lacks_cells(arrays):
            raise self._locate(block, first_line, "a cell that must not be empty is")
        in_every_row = partial(_count_in_every_row, arrays[: len(LEADING)])
        if _may_hold_hexadecimals(block, len(arrays[0]), in_every_row) and self._holds(block, Kind.TIME, "x"):
            raise self._locate(block, first_line, "a time is hexadecimal")
        if b"(" in block and self._holds(block, Kind.NUMBER, "("):
            raise self._locate(block, first_line, "a number has a bracket")
        return arrays

    def _parse_all(self, block: bytes, first_line: int) -> list[pa.Array[Any]]:
        arrays = self._read(block, first_line, self._convert)
        lines = _count(block, b"\n") + (not block.endswith(b"\n"))
        if len(arrays[0]) != lines:
            raise self._locate(block, first_line, f"{lines} lines hold {len(arrays[0])} rows")
        return arrays

    def _parse_counting(self, block: bytes, first_line: int) -> list[pa.Array[Any]] | None:
        """The same, with exchange and symbol proved by counting lines. None, and never again, where that does not prove all rows."""
        if self._counts and self._leading and (lines := self._leading.count(block)):
            arrays = self._read(block, first_line, self._convert_rest)
            if len(arrays[0]) == lines:
                return [*self._leading.arrays(lines), *arrays]
        self._counts = False
        return None

    def _read(self, block: bytes, first_line: int, convert: pyarrow.csv.ConvertOptions) -> list[pa.Array[Any]]:
        try:
            return _arrays(_read(block, self._header, convert))
        except pa.ArrowInvalid as error:
            raise self._locate(block, first_line, str(error)) from None

    def _holds(self, block: bytes, kind: Kind, sign: str) -> bool:
        """Whether a cell of that kind has `sign`, in either case, in its text: by a second reading, of the columns of that kind."""
        names = [name for name, column in self._columns.items() if column.kind is kind]
        texts = pa.csv.ConvertOptions(check_utf8=False, column_types=dict.fromkeys(names, pa.string()), include_columns=names)
        table = _read(block, self._header, texts)
        return any(holds_text(column, sign) for column in table.columns)

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


@dataclass(frozen=True, slots=True)
class ParsedTogether:
    """Several files out of one reading."""

    rows: list[list[pa.Array[Any]] | None]
    """For each file what `BlockParser.parse` returns for its rows. None for a file that is not as plain as nearly all are, or beside
    which another one in the reading is wrong: it is `BlockParser`'s then, which says what is wrong and where."""
    finite: bool = False
    """True: no number of any of them is NaN or infinite."""


def parse_together(data_type: DataType, texts: Sequence[bytes]) -> ParsedTogether:
    """The rows of several files in one reading: of a small one the parser's start costs more than its rows.

    Args:
        data_type: of all of them.
        texts: whole files, the header first.
    """
    header = [column.source for column in data_type.columns]
    first_line = ",".join(header).encode() + b"\n"
    if tuple(header[: len(LEADING)]) != LEADING:
        return ParsedTogether([None] * len(texts))
    plain = {number: found for number, text in enumerate(texts) if (found := _plain_rows(text, first_line)) is not None}
    rest = data_type.columns[len(LEADING) :]
    arrays: list[Any] = []
    if plain:
        blocks = b"".join(block for block, _, _ in plain.values())
        arrays = PlainCells([None] * len(LEADING) + [column.kind for column in rest]).read(blocks) or []
        if not arrays:
            with suppress(pa.ArrowInvalid):
                arrays = _arrays(_read(blocks, header, _convert_options(data_type, LEADING)))
    if not arrays or len(arrays[0]) != sum(lines for _, _, lines in plain.values()):
        return ParsedTogether([None] * len(texts))
    if any(array.null_count for column, array in zip(rest, arrays, strict=True) if not column.nullable):
        return ParsedTogether([None] * len(texts))
    parsed: list[list[pa.Array[Any]] | None] = [None] * len(texts)
    start = 0
    for number, (_, leading, lines) in plain.items():
        parsed[number] = [*leading.arrays(lines), *(array.slice(start, lines) for array in arrays)]
        start += lines
    numbers = (array for column, array in zip(rest, arrays, strict=True) if column.kind is Kind.NUMBER)
    return ParsedTogether(parsed, finite=all(map(is_surely_finite, numbers)))


def _plain_rows(text: bytes, header: bytes) -> tuple[bytes, LeadingCells, int] | None:
    """Rows, what all of them begin with, and how many they are; None if anything about them has to be looked at more closely."""
    block = text[len(header) :]
    if not (text.startswith(header) and block.endswith(b"\n") and block.isascii()) or any(sign in block for sign in (b'"', b"\r", b"(")):
        return None
    leading = first_cells(block)
    lines = leading.count(block) if leading else 0
    if leading is None or lines != _count(block, b"\n") or not _has_short_lines(text):
        return None
    return None if _may_hold_hexadecimals(block, lines, leading.text.count) else (block, leading, lines)


@lru_cache(maxsize=64)
def _convert_options(data_type: DataType, without: tuple[str, ...]) -> pyarrow.csv.ConvertOptions:
    types = {
        Kind.TIME: pa.int64(),
        Kind.NUMBER: pa.float64(),
        Kind.TEXT: pa.string(),
        Kind.CATEGORY: pa.string(),  # made a dictionary with the row group: the parser's own are slow, and each block would have another
        Kind.FLAG: pa.bool_(),
    }
    column_types = {column.source: types[column.kind] for column in data_type.columns if column.source not in without}
    return pa.csv.ConvertOptions(
        check_utf8=False,  # checked here, with the line
        column_types=column_types,
        include_columns=list(column_types),
        null_values=[""],
        strings_can_be_null=True,
        true_values=["true"],
        false_values=["false"],
    )


def _read(block: bytes, header: list[str], convert: pyarrow.csv.ConvertOptions) -> pa.Table:
    # The parser skips a byte order mark in front, here the beginning of a cell: it gets one to skip.
    text = _BYTE_ORDER_MARK + block if block.startswith(_BYTE_ORDER_MARK) else block
    buffer = pa.allocate_buffer(len(text))
    memoryview(buffer).cast("B")[:] = text
    # The streaming reader: it makes no thread of its own, half of what a small block costs.
    native: Any = pa.BufferReader(buffer)
    with pa.csv.open_csv(
        native,
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=header),
        # Looking for quotes costs speed where there are none: that is everywhere so far.
        parse_options=pa.csv.ParseOptions(quote_char='"' if b'"' in text else False, ignore_empty_lines=False),
        convert_options=convert,
    ) as reader:
        return reader.read_all()


def _arrays(table: pa.Table) -> list[Any]:
    """One array a column."""
    return [column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks) for column in table.columns]


def _may_hold_hexadecimals(block: bytes, rows: int, in_every_row: Callable[[bytes], int]) -> bool:
    """Whether `0x` or `0X` is anywhere but where every one of the rows has an x: `in_every_row` says how often."""
    # One byte is found a hundred times faster than two, and most blocks have no x beside that of their exchange or symbol.
    return any(
        letter in block and _count(block, letter) != rows * in_every_row(letter) and b"0" + letter in block for letter in (b"x", b"X")
    )


def _count(block: bytes, byte: bytes) -> int:
    """How often a byte occurs, in a third of the time of `count`: that looks at each byte, this for the next one of its kind."""
    return len(block) - len(block.replace(byte, b""))


def _count_in_every_row(leading: list[Any], letter: bytes) -> int:
    """How often a letter occurs in those of the columns that say the same in all rows."""
    texts = (array.dictionary if isinstance(array, pa.DictionaryArray) else array for array in leading)
    firsts = ((text, str(text[0]).encode().count(letter)) for text in texts)
    return sum(count for text, count in firsts if count and len(compute("unique", text)) == 1)


def _complaint(column: Column, cell: str) -> str:
    """Why `column` cannot hold `cell`, or nothing."""
    if not cell:
        return "" if column.nullable else "the cell is empty"
    if column.kind is Kind.TIME and not _is_time(cell):
        return f"{_shown(cell)} is no time in microseconds"
    if column.kind is Kind.NUMBER and not _DECIMAL.fullmatch(cell):
        return f"{_shown(cell)} is no number"
    if column.kind is Kind.FLAG and cell not in ("true", "false"):
        return f"{_shown(cell)} is neither true nor false"
    return ""


def _is_time(cell: str) -> bool:
    found = _INTEGER.fullmatch(cell)
    if found is None:
        return False
    digits = found[2].lstrip("0") or "0"
    return len(digits) <= _INT64_DIGITS and int(found[1] + digits) in _INT64


def _require_utf8(block: bytes, first_line: int) -> None:
    try:
        block.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first_line + block.count(b"\n", 0, error.start)
        raise ContentFlaw(Reason.INVALID_UTF8, f"line {line} is not UTF-8") from None


def _require_rows_are_lines(text: bytes, first_line: int) -> None:
    """Refuse what would end a row elsewhere than at the end of a line."""
    if b"\r" in text and text.count(b"\r") - text.endswith(b"\r") != text.count(b"\r\n"):
        stray = re.search(rb"\r(?!\n|\Z)", text)
        assert stray is not None
        line = first_line + text.count(b"\n", 0, stray.start())
        raise ContentFlaw(Reason.BAD_VALUE, f"line {line} has a carriage return before its end")
    if b'"' in text:
        for number, row in enumerate(text.split(b"\n"), first_line):
            if b'"' in row and not _QUOTED_LINE.fullmatch(row.removesuffix(b"\r")):
                raise ContentFlaw(Reason.BAD_VALUE, f"line {number}: a quoted cell is not closed, or more text follows it")


def _cells(line: str) -> list[str]:
    return next(csv.reader([line]), [])


def _shown(text: str, limit: int = 80) -> str:
    shown = repr(text[: limit + 1])
    return shown if len(shown) <= limit + 2 else f"{shown[:limit]}...{shown[0]}"
