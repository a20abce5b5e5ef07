"""Rows of plain CSV read by our own small C library, where there is one: a quarter to a third of the time that Arrow's parser takes.

It is built with the package where there is a C compiler, and knows nothing of Python: no headers, no version, no reference that could
be counted wrongly. What it does not find plain it leaves, and then Arrow's parser reads the same block. So both must say the same of
every block that this reads, and everything works without it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from engine.datatypes import Kind

VERSION: Final = 1
"""Of what `plain_cells.c` is to be called with. A library of another version was built before the code changed: it is not used."""

LIBRARY: Final = Path(__file__).with_name("plain_cells.native")
"""Not `.so`: whoever looks for modules of Python would take it for one."""

_SKIPPED: Final = 0
_KINDS: Final = {Kind.TIME: 1, Kind.NUMBER: 2, Kind.TEXT: 3, Kind.CATEGORY: 3, Kind.FLAG: 4}
_OTHER_PREFIX: Final = -2
_SLACK: Final = 16
"""Bytes that may be written behind a text."""


class OtherPrefix(Exception):
    """A line does not begin as all should."""


class _Column(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int64),
        ("values", ctypes.c_void_p),
        ("validity", ctypes.c_void_p),
        ("text", ctypes.c_void_p),
        ("nulls", ctypes.c_int64),
        ("text_bytes", ctypes.c_int64),
    )


class PlainCells:
    """Reads blocks of one header. Not for two threads at once: it keeps the memory that texts are gathered in."""

    def __init__(self, kinds: Sequence[Kind | None]) -> None:
        """Read columns of these kinds, in the order of the file; None: nobody wants that one."""
        self._kinds = tuple(kinds)
        self._texts: list[pa.Buffer] = []

    def read(self, block: bytes, prefix: bytes = b"") -> list[pa.Array[Any]] | None:
        """The wanted columns of whole lines that all begin with `prefix`, behind which the columns stand: times as int64, categories as
        text, empty cells as null. None: the block is not plain, or there is no library.

        Args:
            block: UTF-8 without quotes and carriage returns.

        Raises:
            OtherPrefix: if a line begins otherwise.
        """
        library = _load()
        if library is None or not block.endswith(b"\n"):
            return None
        rows = library.plain_cells_lines(block, len(block))
        columns, buffers = self._columns(rows, len(block))
        done = library.plain_cells_read(block, len(block), prefix, len(prefix), columns, len(columns), rows)
        if done == _OTHER_PREFIX:
            raise OtherPrefix
        if done != rows:
            return None
        texts = iter(self._texts)
        arrays: list[pa.Array[Any]] = []
        for kind, column, (values, validity) in zip(self._kinds, columns, buffers, strict=True):
            if kind is None:
                continue
            known = validity if column.nulls else None
            if kind in _TEXTS:
                taken = _copied(next(texts), column.text_bytes)
                arrays.append(pa.Array.from_buffers(pa.string(), rows, [known, values, taken], column.nulls))
            else:
                arrays.append(pa.Array.from_buffers(_TYPES[kind], rows, [known, values], column.nulls))
        return arrays

    def _columns(self, rows: int, size: int) -> tuple[Any, list[tuple[Any, Any]]]:
        """What the library is given: buffers for so many rows out of `size` bytes."""
        columns = (_Column * len(self._kinds))()
        buffers: list[tuple[Any, Any]] = []
        texts = 0
        for column, kind in zip(columns, self._kinds, strict=True):
            if kind is None:
                column.kind = _SKIPPED
                buffers.append((None, None))
                continue
            values, validity = pa.allocate_buffer(_bytes_of(kind, rows)), pa.allocate_buffer((rows + 7) // 8)
            column.kind, column.values, column.validity = _KINDS[kind], values.address, validity.address
            buffers.append((values, validity))
            if kind in _TEXTS:
                column.text = self._text(texts, size + _SLACK).address
                texts += 1
        return columns, buffers

    def _text(self, number: int, size: int) -> pa.Buffer:
        if number == len(self._texts):
            self._texts.append(pa.allocate_buffer(size))
        elif self._texts[number].size < size:
            self._texts[number] = pa.allocate_buffer(size)
        return self._texts[number]


_TEXTS: Final = frozenset({Kind.TEXT, Kind.CATEGORY})
_TYPES: Final[dict[Kind, Any]] = {Kind.TIME: pa.int64(), Kind.NUMBER: pa.float64(), Kind.FLAG: pa.bool_()}


def is_built() -> bool:
    """Whether there is a library for this code."""
    return _load() is not None


@cache
def _load() -> Any:
    """The library, or None: not built, for another machine, or of another version. `TICKDECK_PLAIN_CELLS=0` says to do without."""
    if os.environ.get("TICKDECK_PLAIN_CELLS") == "0":
        return None
    try:
        library = ctypes.CDLL(str(LIBRARY))
        if ctypes.c_int32.in_dll(library, "plain_cells_version").value != VERSION:
            return None
    except (OSError, ValueError):
        return None
    number, data = ctypes.c_int64, ctypes.c_char_p
    library.plain_cells_lines.argtypes = [data, number]
    library.plain_cells_lines.restype = number
    library.plain_cells_read.argtypes = [data, number, data, number, ctypes.c_void_p, number, number]
    library.plain_cells_read.restype = number
    return library


def _bytes_of(kind: Kind, rows: int) -> int:
    if kind in _TEXTS:
        return 4 * (rows + 1)
    return (rows + 7) // 8 if kind is Kind.FLAG else 8 * rows


def _copied(scratch: pa.Buffer, size: int) -> pa.Buffer:
    buffer = pa.allocate_buffer(size)
    memoryview(buffer).cast("B")[:] = memoryview(scratch).cast("B")[:size]
    return buffer
