"""The lines behind the log view, without a screen: the newest, in the order of their times, filtered, counted and searched.

Lines lie in blocks of some hundred; all but the newest blocks are packed. A line has two names: its *position* among those that pass, which
moves with every line that comes or goes before it, and its *key* (time, number of arrival), which never changes and is what a cursor holds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from time import perf_counter
from typing import Final

from console.log_histogram import Histogram
from console.query import EVERYTHING, Expression, Query
from console.widgets.logblock import BLOCK_LINES, LogBlock, passing_offsets
from console.widgets.logline import LogLine, Severity, microseconds, moment_of

__all__ = ["LogLine", "LogRing", "Severity"]

Key = tuple[int, int]
"""Microseconds since 1970 and number of arrival."""

_HOT_BLOCKS: Final = 16
"""The newest: never packed, because late lines go there."""
_OPENED_BLOCKS: Final = 16
"""So many packed ones stay open after they were looked at."""


class LogRing:
    """The newest `capacity` lines by time, and which of them pass severity and filter.

    After `set_filter` call `judge` until it says that all is judged: what is shown grows backwards from the newest line.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a log of {capacity} lines")
        self.capacity = capacity
        self.minimum = Severity.DEFAULT
        self.query: Query = EVERYTHING
        self.counts = [0] * len(Severity)
        """Held lines per severity."""
        self.fresh: list[LogLine] = []
        """What the last `extend` took in: all it was given but repeated lines."""
        self.taken = 0
        """Lines that ever came in, without repeated ones."""
        self.repeated = 0
        """Lines that were here already, by time and insert id."""
        self.let_go = 0
        """Lines that fell out because they were the oldest."""
        self.let_go_until: datetime | None = None
        """The time of the newest line that fell out."""
        self.histogram = Histogram()
        """Of the lines that pass."""
        self._blocks: list[LogBlock] = []
        self._serial = 0
        self._judged_from = 0
        """Blocks before this one are not judged."""
        self._opened: OrderedDict[int, LogBlock] = OrderedDict()
        self._starts: list[int] | None = None
        self._held = 0

    def __len__(self) -> int:
        return self._held

    @property
    def shown_count(self) -> int:
        """How many lines pass, as far as they are judged."""
        return self._shown_starts()[-1]

    @property
    def judged_share(self) -> float:
        """How much has been judged since the filter changed, 0..1."""
        return 1.0 if not self._blocks else 1.0 - self._judged_from / len(self._blocks)

    @property
    def oldest(self) -> datetime | None:
        """The time of the oldest line held."""
        return moment_of(self._blocks[0].times[0]) if self._held else None

    @property
    def newest(self) -> datetime | None:
        """The time of the newest line held."""
        return moment_of(self._blocks[-1].times[-1]) if self._held else None

    # Lines come

    def extend(self, lines: Sequence[LogLine]) -> int:
        """Take lines in where their times belong; of equal times the earlier arrival comes first.

        Returns:
            How many of them pass.
        """
        self.fresh = []
        if self.let_go_until is not None and self._held >= self.capacity:
            lines = [line for line in lines if line.time >= self.let_go_until]
        ordered = sorted(lines, key=lambda line: line.time)
        times = [microseconds(line.time) for line in ordered]
        last = self._blocks[-1].times[-1] if self._held else -1
        late = bisect_left(times, last)
        # Those of the newest time may be here already.
        while late < len(times) and times[late] == last and ordered[late].insert_id:
            late += 1
        passed = self._merge(ordered[:late], times[:late]) if late else 0
        passed += self._append(self._blocks, ordered[late:], times[late:], judged=True)
        self._starts = None
        self._trim()
        self._pack()
        return passed

    def _append(self, blocks: list[LogBlock], lines: Sequence[LogLine], times: Sequence[int], *, judged: bool) -> int:
        """Put lines behind the last of some blocks, in new ones where it is full; how many pass."""
        passed = at = 0
        size = min(BLOCK_LINES, max(1, self.capacity))
        while at < len(lines):
            if not blocks or len(blocks[-1]) >= size:
                blocks.append(LogBlock(judged=judged))
            block = blocks[-1]
            room = size - len(block)
            chunk = lines[at : at + room]
            passing = passing_offsets(chunk, self.query, self.minimum) if block.shown is not None else ()
            block.append(chunk, times[at : at + room], self._serial, passing)
            self._count(chunk, [chunk[offset] for offset in passing])
            self._serial += len(chunk)
            passed += len(passing)
            at += len(chunk)
        return passed

    def _merge(self, lines: Sequence[LogLine], times: Sequence[int]) -> int:
        """Late lines: those before all others become blocks of their own, the others go where they belong."""
        firsts = [block.times[0] for block in self._blocks]
        at = bisect_left(times, firsts[0])
        passed = 0
        fresh: list[LogBlock] = []
        if at:
            passed += self._append(fresh, lines[:at], times[:at], judged=not self._judged_from)
        while at < len(lines):
            place = bisect_right(firsts, times[at]) - 1
            end = len(lines) if place + 1 == len(firsts) else bisect_left(times, firsts[place + 1], at)
            chunk = lines[at:end]
            taken, passing = self._open(self._blocks[place]).merge(chunk, self._serial, self.query, self.minimum)
            self._count(taken, passing)
            self._serial += len(chunk)
            self.repeated += len(chunk) - len(taken)
            passed += len(passing)
            at = end
        self._divide()
        if fresh:
            self._blocks[:0] = fresh
            self._judged_from += len(fresh) if self._judged_from else 0
        return passed

    def _divide(self) -> None:
        """Make several of every block that late lines made too long."""
        for place in range(len(self._blocks) - 1, -1, -1):
            if len(self._blocks[place]) > 2 * BLOCK_LINES:
                parts = self._blocks[place].divide(BLOCK_LINES)
                self._opened.pop(id(self._blocks[place]), None)
                self._blocks[place : place + 1] = parts
                self._judged_from += len(parts) - 1 if place < self._judged_from else 0
                self._opened.update((id(part), part) for part in parts)

    def _count(self, lines: Sequence[LogLine], passing: Iterable[LogLine]) -> None:
        for line in lines:
            self.counts[line.severity] += 1
        self.fresh.extend(lines)
        self.taken += len(lines)
        self._held += len(lines)
        self.histogram.add((int(line.time.timestamp()), int(line.severity)) for line in passing)

    def _trim(self) -> None:
        surplus = self._held - self.capacity
        while surplus > 0:
            block = self._blocks[0]
            count = min(surplus, len(block))
            self.let_go_until = moment_of(block.times[count - 1])
            for severity in block.cut(count):
                self.counts[severity] -= 1
            self._held -= count
            self.let_go += count
            surplus -= count
            if not len(block):
                del self._blocks[0]
                self._opened.pop(id(block), None)
                self._judged_from = max(0, self._judged_from - 1)
            self._starts = None

    def _pack(self) -> None:
        """Pack what has become cold; what was packed before lies below, and what was opened since is packed when others are."""
        for block in reversed(self._blocks[:-_HOT_BLOCKS]):
            if block.is_packed:
                break
            if id(block) not in self._opened:
                block.pack()
        while len(self._opened) > _OPENED_BLOCKS:
            _, block = self._opened.popitem(last=False)
            block.pack()

    def _open(self, block: LogBlock) -> LogBlock:
        """A block whose lines are wanted: it stays open until others were."""
        if block.is_packed or id(block) in self._opened:
            self._opened[id(block)] = block
            self._opened.move_to_end(id(block))
            while len(self._opened) > _OPENED_BLOCKS:
                _, old = self._opened.popitem(last=False)
                old.pack()
        return block

    # What passes

    def set_filter(self, query: Query, minimum: Severity) -> None:
        """Decide anew what passes; see `judge`."""
        self.query, self.minimum = query, minimum
        self.histogram.clear()
        for block in self._blocks:
            block.shown = None
        self._judged_from = len(self._blocks)
        self._starts = None

    def judge(self, budget_seconds: float | None = None) -> bool:
        """Go on deciding, from the newest lines backwards, for about so long; whether all is decided."""
        begin = perf_counter()
        while self._judged_from:
            self._judged_from -= 1
            block = self._blocks[self._judged_from]
            block.judge(self.query, self.minimum)
            assert block.shown is not None
            self.histogram.add((block.times[at] // 1_000_000, block.severities[at]) for at in block.shown)
            self._starts = None
            if budget_seconds is not None and perf_counter() - begin > budget_seconds:
                break
        return not self._judged_from

    # What is shown

    def shown(self, position: int) -> LogLine:
        """The line at a position among those that pass, from 0."""
        block, offset = self._find(position)
        return self._open(block).lines()[offset]

    def key(self, position: int) -> Key:
        """The name that a line keeps."""
        block, offset = self._find(position)
        return block.times[offset], block.serials[offset]

    def position(self, key: Key) -> int:
        """Where a line is, or would be, among those that pass."""
        place = max(0, bisect_right(self._blocks, key[0], key=lambda block: block.times[0]) - 1)
        # Lines of one time may fill several blocks.
        while place and self._blocks[place].times[0] == key[0] and self._blocks[place].serials[0] > key[1]:
            place -= 1
        if place >= len(self._blocks):
            return 0
        block = self._blocks[place]
        low, high = bisect_left(block.times, key[0]), bisect_right(block.times, key[0])
        offset = bisect_left(block.serials, key[1], low, high)
        return self._shown_starts()[place] + bisect_left(block.shown or (), offset)

    def position_of_time(self, moment: datetime) -> int:
        """The position of the first passing line at or after a moment, the last one if all are older."""
        if not self._held:
            return 0
        return min(self.position((microseconds(moment), -1)), max(0, self.shown_count - 1))

    def shown_lines(self) -> Iterator[LogLine]:
        """All lines that pass, in order."""
        for block in self._blocks:
            if block.shown:
                lines = block.peek()
                yield from (lines[offset] for offset in block.shown)

    def copy_blocks(self) -> list[LogBlock]:
        """The lines as they are now, for another thread; what passes is what has been judged."""
        return [block.copy() for block in self._blocks]

    def search(self, patterns: Iterable[Expression], position: int, step: int) -> Iterator[int | None]:
        """Look for the next (`step` 1) or previous (-1) passing line that all patterns match, around the end.

        Yields:
            None after every few hundred lines without a hit, then the position of the hit; ends without one if there is none.
        """
        wanted = tuple(patterns)
        count = self.shown_count
        for turn in range(1, count + 1):
            at = (position + step * turn) % count
            text = self.shown(at).text
            if all(pattern.search(text) for pattern in wanted):
                yield at
                return
            if turn % BLOCK_LINES == 0:
                yield None

    def find(self, patterns: Iterable[Expression], position: int, step: int) -> int | None:
        """The same at once: a position or None."""
        return next((at for at in self.search(patterns, position, step) if at is not None), None)

    def _find(self, position: int) -> tuple[LogBlock, int]:
        starts = self._shown_starts()
        if not 0 <= position < starts[-1]:
            raise IndexError(f"there is no line {position} of {starts[-1]}")
        place = bisect_right(starts, position) - 1
        block = self._blocks[place]
        assert block.shown is not None
        return block, block.shown[position - starts[place]]

    def _shown_starts(self) -> list[int]:
        """The position of the first passing line of each block, and behind them the count of all."""
        if self._starts is None:
            self._starts = list(accumulate((block.shown_count for block in self._blocks), initial=0))
        return self._starts
