"""The exchange and symbol that all rows of a file begin with, proved by counting lines instead of parsing two columns.

Separate from the parser because it is only a shortcut: where it does not prove every row of a block, the parser reads the columns.
"""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa

LEADING = ("exchange", "symbol")
"""What must stand in front for the shortcut, as all types of the source have it."""


class LeadingCells:
    """What the first row of a file begins with."""

    def __init__(self, cells: list[bytes]) -> None:
        """Look for rows that begin with `cells`: not empty, in UTF-8, without quotes."""
        self.text = b"".join(cell + b"," for cell in cells)
        """As it stands in every row."""
        self._line = b"\n" + self.text
        self._values = [_text_array(cell) for cell in cells]
        self._zeros = _zeros(0)

    def count(self, block: bytes) -> int:
        """How many lines begin with the cells; 0 if the first does not."""
        return 1 + block.count(self._line) if block.startswith(self.text) else 0

    def arrays(self, rows: int) -> list[pa.Array[Any]]:
        """The columns of `rows` rows, a dictionary of one value each."""
        if len(self._zeros) < rows:
            self._zeros = _zeros(rows)
        return [pa.DictionaryArray.from_arrays(self._zeros[:rows], value) for value in self._values]


def first_cells(block: bytes) -> LeadingCells | None:
    """Those of the first line of `block`, unless one is empty or in quotes."""
    end = block.find(b"\n")
    cells = block[: end if end >= 0 else len(block)].split(b",", len(LEADING))[: len(LEADING)]
    if len(cells) < len(LEADING) or not all(cells) or any(b'"' in cell for cell in cells):
        return None
    return LeadingCells(cells)


def _text_array(cell: bytes) -> pa.Array[Any]:
    """An array of one text without `pa.array`, which imports pandas wherever it is installed: a third of a second and 60 MB."""
    return pa.Array.from_buffers(pa.string(), 1, [None, _buffer(struct.pack("=ii", 0, len(cell))), _buffer(cell)])


def _zeros(rows: int) -> pa.Array[Any]:
    return pa.Array.from_buffers(pa.int32(), rows, [None, _buffer(bytes(4 * rows))])


def _buffer(content: bytes) -> pa.Buffer:
    """Memory of Arrow's, not of Python's: it may be let go by a native thread."""
    buffer = pa.allocate_buffer(len(content))
    memoryview(buffer).cast("B")[:] = content
    return buffer
