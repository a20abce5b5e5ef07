"""The lines of a log view as records and as text, for files and the clipboard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import overload

from console.export import Record
from console.widgets.logline import LogLine
from console.widgets.logring import LogRing


class FrozenLines(Sequence[Record]):
    """What passes in a ring now, as records: the ring may go on while another thread writes them. Lines are unpacked as they are read."""

    def __init__(self, ring: LogRing) -> None:
        self._blocks = ring.copy_blocks()
        self._count = sum(block.shown_count for block in self._blocks)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        for block in self._blocks:
            if block.shown:
                lines = block.peek()
                yield from (lines[offset].record() for offset in block.shown)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        if isinstance(index, slice):
            return list(self)[index]
        place = index + self._count if index < 0 else index
        for block in self._blocks:
            if place < block.shown_count and block.shown is not None:
                return block.peek()[block.shown[place]].record()
            place -= block.shown_count
        raise IndexError(index)


def text_of(line: LogLine) -> str:
    """A line as it is copied: time, severity, VM, message, source."""
    return text_of_record(line.record())


def text_of_record(record: Record) -> str:
    """The same of a record; always one line."""
    time, vm = record["time"], record.get("instance") or record["vm"]
    when = time.astimezone(UTC).isoformat() if isinstance(time, datetime) else str(time)
    message = "\\n".join(str(record["message"]).splitlines())
    return f"{when} {record['severity']!s:<8} {vm or '-'} {message}  [{record['source']}]"
