"""Columns of numbers to CSV text, many rows at a time.

Kept apart from the market because it knows nothing of markets: it writes scaled integers as the shortest decimal, as the
genuine files have them, and never goes through a float. Each column fills a fixed-width slice of one byte matrix, unused
bytes stay NUL, and one pass drops the NULs. That is about ten times as fast as formatting row by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.uint8]

_GROUP = 10_000
_EXPONENT_BELOW_DECIMALS = 6
"""Like JavaScript, which wrote the genuine files: below 1e-6 a number is written with an exponent."""


def _group_tables() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Four digits at a time: texts of 0..9999 as 4-byte words.

    Returns:
        Tables of 20,000: the first half strips zeros at the edge of the number (a leading group, the unit group, a trailing
        group of a fraction), the second half keeps all four digits.
    """
    values = np.arange(_GROUP)
    full = np.stack([values // 1000, values // 100 % 10, values // 10 % 10, values % 10], axis=1).astype(np.uint8) + ord("0")
    leading, units, trailing = full.copy(), full.copy(), full.copy()
    for position, limit in enumerate((1000, 100, 10, 1)):
        leading[values < limit, position] = 0
        if position < 3:
            units[values < limit, position] = 0
        trailing[values % (limit * 10) == 0, position] = 0
    tables = [np.concatenate([table, full]).view(np.uint32).ravel() for table in (leading, units, trailing)]
    return tables[0], tables[1], tables[2]


_LEADING, _UNITS, _TRAILING = _group_tables()


class Column(Protocol):
    """One CSV column of a block of rows."""

    def width(self) -> int:
        """Bytes that the longest cell may take."""

    def write(self, matrix: Matrix, at: int) -> None:
        """Fill `matrix[:, at:at + width()]`, NUL where a cell is shorter."""

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Column:
        """The same column, of these rows only."""


def _words(matrix: Matrix, at: int) -> npt.NDArray[np.uint32]:
    return np.ndarray((matrix.shape[0],), np.uint32, buffer=matrix.data, offset=at, strides=(matrix.shape[1],))


@dataclass(frozen=True, slots=True)
class Decimals:
    """Numbers `values * 10**-decimals`, written as the shortest decimal."""

    values: Ints
    decimals: int = 0
    fixed: bool = False
    """Keep trailing zeros ("0.0080", "15.0"), as deribit's option summaries do."""
    empty: Mask | None = None
    """Where the cell is empty (null)."""

    def _shape(self) -> tuple[bool, int, int]:
        if not len(self.values):
            return False, 1, 0
        low, high = int(self.values.min()), int(self.values.max())
        whole = max(abs(low), abs(high)) // 10**self.decimals
        return low < 0, -(-len(str(whole)) // 4), -(-self.decimals // 4)

    def width(self) -> int:
        signed, whole, fraction = self._shape()
        return signed + 4 * whole + (1 + 4 * fraction if self.decimals else 0)

    def write(self, matrix: Matrix, at: int) -> None:
        start = at
        signed, whole_groups, fraction_groups = self._shape()
        values = self.values
        if signed:
            matrix[:, at] = np.where(values < 0, np.uint8(ord("-")), np.uint8(0))
            values = np.abs(values)
            at += 1
        unit = 10**self.decimals
        whole = values // unit if self.decimals else values
        fraction = values - whole * unit
        at = self._write_whole(matrix, at, whole, whole_groups)
        if self.decimals:
            at = self._write_fraction(matrix, at, fraction, fraction_groups)
            self._write_exponents(matrix, start + signed, at, values)
        if self.empty is not None:
            matrix[self.empty, start:at] = 0

    @staticmethod
    def _write_whole(matrix: Matrix, at: int, whole: Ints, groups: int) -> int:
        above = np.zeros(len(whole), np.int64)
        for group in range(groups):
            upto = whole // _GROUP ** (groups - 1 - group) if group < groups - 1 else whole
            table = _UNITS if group == groups - 1 else _LEADING
            index = upto - above * _GROUP
            _words(matrix, at)[:] = table.take(index + _GROUP * (above > 0))
            above = upto
            at += 4
        return at

    def _write_fraction(self, matrix: Matrix, at: int, fraction: Ints, groups: int) -> int:
        matrix[:, at] = ord(".") if self.fixed else np.where(fraction > 0, np.uint8(ord(".")), np.uint8(0))
        at += 1
        rest = fraction * 10 ** (4 * groups - self.decimals)
        for group in range(groups):
            scale = _GROUP ** (groups - 1 - group)
            index = rest // scale
            rest = rest - index * scale
            keep = np.int64(_GROUP) if self.fixed else _GROUP * (rest > 0)
            _words(matrix, at)[:] = _TRAILING.take(index + keep)
            at += 4
        if self.fixed:
            matrix[:, at - (4 * groups - self.decimals) : at] = 0
        return at

    def _write_exponents(self, matrix: Matrix, at: int, end: int, values: Ints) -> None:
        if self.fixed or self.decimals <= _EXPONENT_BELOW_DECIMALS:
            return
        tiny = np.flatnonzero((values > 0) & (values < 10 ** (self.decimals - _EXPONENT_BELOW_DECIMALS)))
        if not len(tiny):
            return
        texts = []
        for value in values[tiny].tolist():
            digits = str(value)
            exponent = self.decimals - len(digits) + 1
            tail = digits[1:].rstrip("0")
            texts.append(f"{digits[0]}{'.' + tail if tail else ''}e-{exponent}")
        matrix[tiny, at:end] = np.array(texts, dtype=f"S{end - at}").view(np.uint8).reshape(len(tiny), end - at)

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Decimals:
        return Decimals(self.values[rows], self.decimals, self.fixed, None if self.empty is None else self.empty[rows])

    def rescaled(self, decimals: int) -> Decimals:
        """The same numbers over a finer unit: columns of several symbols can then be joined."""
        return Decimals(self.values * 10 ** (decimals - self.decimals), decimals, self.fixed, self.empty)


@dataclass(frozen=True, slots=True)
class Labels:
    """Each row one of a few texts."""

    indexes: npt.NDArray[np.intp]
    texts: tuple[str, ...]

    def width(self) -> int:
        return max(1, *(len(text.encode()) for text in self.texts)) if self.texts else 1

    def write(self, matrix: Matrix, at: int) -> None:
        width = self.width()
        if len(self.texts) == 1:
            padded = self.texts[0].encode().ljust(width, b"\0")
            matrix[:, at : at + width] = np.frombuffer(padded, np.uint8)
            return
        table = np.array([text.encode() for text in self.texts], dtype=f"S{width}")
        matrix[:, at : at + width] = table.view(np.uint8).reshape(len(self.texts), width)[self.indexes]

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Labels:
        return Labels(self.indexes[rows], self.texts)


@dataclass(frozen=True, slots=True)
class Texts:
    """Each row its own short ASCII text."""

    values: npt.NDArray[np.bytes_]

    def width(self) -> int:
        return self.values.dtype.itemsize

    def write(self, matrix: Matrix, at: int) -> None:
        width = self.width()
        flat = np.ascontiguousarray(self.values)
        matrix[:, at : at + width] = flat.view(np.uint8).reshape(len(flat), width)

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Texts:
        return Texts(self.values[rows])


def constant(text: str, rows: int) -> Labels:
    """`rows` times the same text."""
    return Labels(np.zeros(rows, np.intp), (text,))


@dataclass(frozen=True, slots=True)
class Table:
    """A block of rows, columns in file order."""

    rows: int
    columns: Mapping[str, Column]

    def take(self, rows: npt.NDArray[np.intp] | slice, count: int) -> Table:
        """Some of the rows, `count` of them, in the given order."""
        return Table(count, {name: column.take(rows) for name, column in self.columns.items()})


def header_text(names: Sequence[str]) -> bytes:
    """The first line of a file."""
    return ",".join(names).encode() + b"\n"


def rows_text(table: Table) -> bytes:
    """The lines of a block, each ended by LF."""
    if not table.rows:
        return b""
    columns = list(table.columns.values())
    widths = [column.width() for column in columns]
    matrix = np.empty((table.rows, sum(widths) + len(widths)), np.uint8)
    at = 0
    for column, width in zip(columns, widths, strict=True):
        column.write(matrix, at)
        at += width
        matrix[:, at] = ord(",")
        at += 1
    matrix[:, at - 1] = ord("\n")
    return matrix.tobytes().translate(None, b"\0")


def joined(tables: Sequence[Table]) -> Table:
    """Rows of several tables of the same columns, one after another.

    Raises:
        TypeError: if a column is of one kind in one table and of another kind in the next.
    """
    if len(tables) == 1:
        return tables[0]
    columns = {name: _joined_column([table.columns[name] for table in tables]) for name in tables[0].columns}
    return Table(sum(table.rows for table in tables), columns)


def _joined_column(parts: Sequence[Column]) -> Column:
    numbers = [part for part in parts if isinstance(part, Decimals)]
    if len(numbers) == len(parts):
        decimals = max(part.decimals for part in numbers)
        scaled = [part.rescaled(decimals) for part in numbers]
        empty = None
        if any(part.empty is not None for part in scaled):
            empty = np.concatenate([np.zeros(len(p.values), np.bool_) if p.empty is None else p.empty for p in scaled])
        return Decimals(np.concatenate([part.values for part in scaled]), decimals, numbers[0].fixed, empty)
    labels = [part for part in parts if isinstance(part, Labels)]
    if len(labels) == len(parts):
        texts = tuple(dict.fromkeys(text for part in labels for text in part.texts))
        places = {text: index for index, text in enumerate(texts)}
        moved = [np.array([places[text] for text in part.texts], np.intp)[part.indexes] for part in labels]
        return Labels(np.concatenate(moved), texts)
    kinds = sorted({type(part).__name__ for part in parts})
    raise TypeError(f"columns of kinds {', '.join(kinds)} cannot be joined")
