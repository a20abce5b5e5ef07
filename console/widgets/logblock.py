"""Some hundred log lines in time order that can be packed: a minute at ten thousand lines a second must fit in memory, whole.

A line as Python objects takes about 1 kB, packed with its neighbours about 60 bytes. Times, severities and which lines pass the filter stay
unpacked, so that scrolling, jumping to a time, and counting by severity open nothing.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from console.query import Query
from console.widgets.logline import LogLine, Severity, microseconds, moment_of

BLOCK_LINES: Final = 512
"""Of a full block; late lines may make one longer."""

_PACKED: Final = msgspec.msgpack.Encoder(enc_hook=str)
_UNPACKED: Final = msgspec.msgpack.Decoder(list[tuple[str, str, dict[str, object], str]])
_SEVERITIES: Final = tuple(Severity)
_EMPTY: Final[dict[str, object]] = {}


class LogBlock:
    """Lines in the order of (time, arrival), with the offsets of those that pass."""

    __slots__ = ("_lines", "_packed", "_skip", "serials", "severities", "shown", "times")

    def __init__(self, *, judged: bool = True) -> None:
        self.times = array("q")
        """Microseconds since 1970, ascending."""
        self.serials = array("q")
        """Numbers of arrival; with the time they make a key that never changes."""
        self.severities = bytearray()
        self.shown: array[int] | None = array("I") if judged else None
        """Offsets of the lines that pass, ascending; None: not judged yet."""
        self._lines: list[LogLine] | None = []
        self._packed = b""
        self._skip = 0
        """Packed lines at the front that were cut off."""

    def __len__(self) -> int:
        return len(self.times)

    @property
    def shown_count(self) -> int:
        return len(self.shown) if self.shown is not None else 0

    @property
    def is_packed(self) -> bool:
        return self._lines is None

    @property
    def size(self) -> int:
        """Bytes while packed, without the columns; 0 if it never was."""
        return len(self._packed)

    def lines(self) -> list[LogLine]:
        """The lines, unpacked for as long as nobody calls `pack`. Not to be changed."""
        if self._lines is None:
            self._lines = self.peek()
        return self._lines

    def peek(self) -> list[LogLine]:
        """The lines, without keeping them unpacked."""
        if self._lines is not None:
            return self._lines
        rows = _UNPACKED.decode(zlib.decompress(self._packed))[self._skip :]
        return [
            LogLine(moment_of(time), _SEVERITIES[severity], *row)
            for time, severity, row in zip(self.times, self.severities, rows, strict=True)
        ]

    def pack(self) -> None:
        """Keep the lines small until they are wanted."""
        if self._lines is None:
            return
        if not self._packed:
            rows = [(line.message, line.vm, line.fields, line.source) for line in self._lines]
            self._packed, self._skip = zlib.compress(_PACKED.encode(rows), 1), 0
        self._lines = None

    def copy(self) -> LogBlock:
        """The same lines, for another thread."""
        twin = LogBlock()
        twin.times, twin.serials, twin.severities = self.times[:], self.serials[:], self.severities[:]
        twin.shown = None if self.shown is None else self.shown[:]
        twin._lines = None if self._lines is None else list(self._lines)
        twin._packed, twin._skip = self._packed, self._skip
        return twin

    def append(self, lines: Sequence[LogLine], times: Iterable[int], serial: int, shown: Iterable[int]) -> None:
        """Add lines at the end, of which those at the offsets `shown` (into `lines`) pass."""
        before = len(self)
        self.lines().extend(lines)
        self.times.extend(times)
        self.serials.extend(range(serial, serial + len(lines)))
        self.severities.extend(line.severity for line in lines)
        if self.shown is not None:
            self.shown.extend(before + offset for offset in shown)
        self._packed = b""

    def merge(self, lines: Sequence[LogLine], serial: int, query: Query, minimum: Severity) -> tuple[Sequence[LogLine], Sequence[LogLine]]:
        """Put late lines where their times belong, behind those of the same time, but none that is there already.

        Args:
            lines: In time order.
            serial: Of the first one.

        Returns:
            The lines that were taken in, and those among them that pass, none if the block is not judged.
        """
        known = self.lines()
        rows = list(zip(self.times, self.serials, known, strict=True))
        passed = {self.serials[offset] for offset in self.shown} if self.shown is not None else set()
        here = {(line.time, line.insert_id) for line in known[bisect_left(self.times, microseconds(lines[0].time)) :] if line.insert_id}
        taken, passing = [], []
        for number, line in enumerate(lines, serial):
            if line.insert_id:
                if (line.time, line.insert_id) in here:
                    continue
                here.add((line.time, line.insert_id))
            taken.append(line)
            rows.append((microseconds(line.time), number, line))
            if self.shown is not None and passing_offsets([line], query, minimum):
                passing.append(line)
                passed.add(number)
        rows.sort(key=lambda row: row[:2])
        self._set(rows, passed)
        return taken, passing

    def divide(self, size: int) -> list[LogBlock]:
        """The same lines in blocks of at most `size`."""
        rows = list(zip(self.times, self.serials, self.lines(), strict=True))
        passed = {self.serials[offset] for offset in self.shown} if self.shown is not None else set()
        parts = []
        for at in range(0, len(rows), size):
            part = LogBlock(judged=self.shown is not None)
            part._set(rows[at : at + size], passed)
            parts.append(part)
        return parts

    def _set(self, rows: Sequence[tuple[int, int, LogLine]], passed: set[int]) -> None:
        self.times = array("q", (row[0] for row in rows))
        self.serials = array("q", (row[1] for row in rows))
        self._lines = [row[2] for row in rows]
        self.severities = bytearray(line.severity for line in self._lines)
        self._packed = b""
        if self.shown is not None:
            self.shown = array("I", (at for at, number in enumerate(self.serials) if number in passed))

    def judge(self, query: Query, minimum: Severity) -> None:
        """Decide which lines pass. Unpacks only if the severities do not decide."""
        if not query:
            self.shown = array("I", (at for at, severity in enumerate(self.severities) if severity >= minimum))
            return
        self.shown = array("I", passing_offsets(self.peek(), query, minimum))

    def cut(self, count: int) -> bytearray:
        """Forget the oldest `count` lines; returns their severities."""
        gone = self.severities[:count]
        if self._lines is None:
            self._skip += count
        else:
            del self._lines[:count]
            self._packed = b""
        del self.times[:count], self.serials[:count], self.severities[:count]
        if self.shown is not None:
            self.shown = array("I", (offset - count for offset in self.shown if offset >= count))
        return gone


def passing_offsets(lines: Sequence[LogLine], query: Query, minimum: Severity) -> Sequence[int]:
    """Offsets of the lines that pass."""
    if not query:
        if minimum is Severity.DEFAULT:
            return range(len(lines))
        return [at for at, line in enumerate(lines) if line.severity >= minimum]
    fields = query.reads_fields
    return [
        at for at, line in enumerate(lines) if line.severity >= minimum and query.matches(line.record() if fields else _EMPTY, line.text)
    ]
