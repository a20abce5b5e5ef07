"""One Parquet file being written: to a path or to memory, natively, and gone again if it does not get finished.

Separate because it alone knows how our Parquet is laid out:

- zstd; encodings and levels per column from `engine.datatypes`, simpler ones where there are few rows; data pages version 1.0, which
  every reader knows (2.0 gave the same sizes).
- Statistics and page index of times, so that a reader finds minutes of a day without scanning it, and of exchange and symbol, by which
  `engine validate` proves a footer. Rows are in no other order: those of other columns would let no reader skip anything, and they
  cost a sixth of the writing.
- `sorting_columns` promises `local_timestamp` order. pyarrow takes that promise before the first row is known, so a file in which
  a row steps back is copied, group by group, into one without the promise: such files are rare, a wrong promise loses rows.
- Few rows get neither what describes the columns nor a page index, which would be a third of the file, and categories of
  few values are not compressed there: each of these two pages of some bytes would become larger, and take as long as a column of numbers.
- Key-value metadata carries facts about the data only. No address, version or time of conversion, so equal rows are equal bytes.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from engine.conversion.row_groups import join_categories
from engine.datatypes import Column, DataType, Encoding, Kind, schema

FEW_ROWS: Final = 512
"""Below, a dictionary of numbers pays neither for its page nor for the time: plain ones at level 1 are smaller, and faster by a fifth."""

PAGE_ROWS: Final = 40_960
"""Arrow's writer ends a page at 20,000 rows unless told otherwise. Twice as many compress 1 to 3 % better in every type, for no CPU; more
than this makes prices larger again, whose dictionary has fewer bits at first."""

FEW_VALUES: Final = 4
"""As many as a category may have whose pages compression would make larger; a grouped symbol has hundreds."""


class ParquetFile:
    """Create-once: write row groups, then `finish` or `abandon`. Nothing exists before the first row group."""

    def __init__(self, sink: Path | None, data_type: DataType) -> None:
        """Write to the path `sink`, or to memory if it is None."""
        self._sink = sink
        self._data_type = data_type
        self._output: Any = None
        self._writer: pq.ParquetWriter | None = None
        self._few = False
        self._bare: frozenset[str] = frozenset()

    def write(self, table: pa.Table) -> None:
        """Append `table` as one row group.

        Raises:
            OSError: if the sink cannot be written.
        """
        if self._writer is None:
            self._output = pa.BufferOutputStream() if self._sink is None else pa.OSFile(str(self._sink), "wb")
            self._few = table.num_rows < FEW_ROWS
            self._bare = _few_valued(table, self._data_type) if self._few else frozenset()
            self._writer = open_writer(self._output, self._data_type, ordered=True, few=self._few, bare=self._bare)
        self._writer.write_table(table, row_group_size=table.num_rows)

    def finish(self, metadata: dict[str, str], *, ordered: bool) -> pa.Buffer | None:
        """Close the file; give its bytes if the sink is memory.

        Args:
            metadata: key-value metadata of the file.
            ordered: whether `local_timestamp` never steps back.

        Raises:
            OSError: if the sink cannot be written.
        """
        assert self._writer is not None
        assert self._output is not None
        if ordered:
            self._writer.add_key_value_metadata(metadata)
        self._writer.close()
        written: pa.Buffer | None = self._output.getvalue() if self._sink is None else None
        self._output.close()
        if ordered:
            return written
        return self._withdraw_order(written, metadata)

    def abandon(self) -> None:
        """Close and remove what was written. Safe at any time, and more than once."""
        for opened in (self._writer, self._output):
            if opened is not None:
                with suppress(OSError, pa.ArrowException):  # the sink may be what failed
                    opened.close()
        if self._writer is not None:
            self._writer.is_open = False  # or its finalizer would try once more
        if self._sink is not None and self._output is not None:
            for path in (self._sink, _copy_of(self._sink)):
                with suppress(OSError):  # what failed first says more
                    if path.is_file():
                        path.unlink()

    def _withdraw_order(self, written: pa.Buffer | None, metadata: dict[str, str]) -> pa.Buffer | None:
        """Copy the file into one that promises no order."""
        copy = _copy_of(self._sink) if self._sink is not None else None
        source = pa.BufferReader(written) if self._sink is None else pa.OSFile(str(self._sink), "rb")
        target: Any = pa.BufferOutputStream() if copy is None else pa.OSFile(str(copy), "wb")
        with source, pq.ParquetFile(source, pre_buffer=False) as groups:
            writer = open_writer(target, self._data_type, ordered=False, few=self._few, bare=self._bare)
            try:
                for index in range(groups.num_row_groups):
                    table = groups.read_row_group(index, use_threads=False)
                    writer.write_table(_contiguous(table, self._data_type), row_group_size=table.num_rows)
                writer.add_key_value_metadata(metadata)
                writer.close()
            except BaseException:
                with suppress(OSError, pa.ArrowException):
                    writer.close()
                writer.is_open = False
                raise
        result: pa.Buffer | None = target.getvalue() if copy is None else None
        target.close()
        if copy is not None and self._sink is not None:
            copy.replace(self._sink)
        return result


def open_writer(
    output: Any, data_type: DataType, *, ordered: bool, few: bool = False, bare: frozenset[str] = frozenset()
) -> pq.ParquetWriter:
    """A Parquet writer with our layout.

    Args:
        ordered: whether it may promise `local_timestamp` order.
        few: whether the first row group has fewer than `FEW_ROWS`.
        bare: columns that are not compressed.
    """
    return pq.ParquetWriter(output, schema(data_type, described=not few), **_layout(data_type, ordered, few, bare))


@lru_cache(maxsize=64)
def _layout(data_type: DataType, ordered: bool, few: bool, bare: frozenset[str]) -> dict[str, Any]:
    columns = data_type.columns
    position = [column.name for column in columns].index("local_timestamp")
    encodings = {column.name: _encoding(column, few) for column in columns}
    return {
        "compression": {column.name: "NONE" if column.name in bare else "ZSTD" for column in columns},
        "compression_level": {column.name: 1 if few else column.zstd_level for column in columns if column.name not in bare},
        "write_statistics": [column.name for column in columns if has_statistics(column)],
        "use_dictionary": [name for name, encoding in encodings.items() if encoding is Encoding.DICTIONARY],
        "column_encoding": {name: encoding.value for name, encoding in encodings.items() if encoding is not Encoding.DICTIONARY},
        "data_page_version": "1.0",
        "write_page_index": not few,
        "max_rows_per_page": PAGE_ROWS,
        "sorting_columns": [pq.SortingColumn(position)] if ordered else None,
    }


def _few_valued(table: pa.Table, data_type: DataType) -> frozenset[str]:
    arrays: dict[str, Any] = {
        column.name: table.column(column.name).chunk(0) for column in data_type.columns if column.kind is Kind.CATEGORY
    }
    return frozenset(name for name, array in arrays.items() if len(array.dictionary) <= FEW_VALUES)


def _encoding(column: Column, few: bool) -> Encoding:
    return Encoding.PLAIN if few and column.kind is Kind.NUMBER else column.encoding


def has_statistics(column: Column) -> bool:
    """Times, by which rows are in order, and what every row must have: exchange and symbol prove a file by its footer."""
    return column.kind is Kind.TIME or not column.nullable


def _copy_of(sink: Path) -> Path:
    return sink.with_name(sink.name + ".unordered")


def _contiguous(table: pa.Table, data_type: DataType) -> pa.Table:
    arrays = []
    for column in data_type.columns:
        chunks = table.column(column.name).chunks
        arrays.append(join_categories(chunks) if column.kind is Kind.CATEGORY else pa.concat_arrays(chunks))
    return pa.Table.from_arrays(arrays, schema=schema(data_type))
