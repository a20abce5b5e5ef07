"""Spreading work over shards. Pure: the same work gives the same shards, in whatever order it is handed over.

A unit is a file, and a file is never divided. Inside a shard work goes cell by cell, the largest cell first and in it the largest
file first: cells complete from the start, and what runs long has begun early.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from itertools import chain
from operator import attrgetter, itemgetter
from typing import TypeVar

import msgspec

from engine.clock import format_bytes, format_seconds
from engine.collector import collector_held
from engine.errors import UsageError
from engine.estimate import Speed, lower_bound, makespan
from engine.model import Cell
from engine.plan import STRATEGIES, Shard, Strategy, Work

PIECES_PER_SHARE = 2
"""Into how many pieces a fair share's worth of a divided cell goes. More level better and scatter the cell over more shards."""

STEPS = 8
"""Fleet sizes tried one by one above the least that could meet a deadline; then in growing strides."""

_ROUNDING = 1 + 1e-9

T = TypeVar("T")


class _Piece(msgspec.Struct, frozen=True):
    """Some files of one cell that stay together."""

    cell: Cell
    files: tuple[tuple[str, int], ...]
    """(symbol, compressed bytes), largest first."""
    seconds: float
    """Of one converter."""


def pack(works: Iterable[Work], shards: int, strategy: Strategy = "balanced", *, speed: Speed) -> tuple[Shard, ...]:
    """Spread work over shards so that their union is the work, without overlap.

    - `balanced`: longest processing time first (Graham 1969) over whole cells, so the fullest shard is within 4/3 of the best
      possible packing of the same pieces. Only a cell that is larger than a shard's fair share is divided, by files.
    - `by-date`: contiguous blocks of days, level by time; with more shards than days, each day's cells are divided.
    - `by-instrument`: each (venue, symbol) goes whole to one shard, over all days and data types.

    Args:
        works: cells to do; several of one cell are united.
        shards: how many are wanted. Fewer come back, never an empty one, where there are fewer files (days' files, instruments),
            or where one more would have nothing to end sooner.
        strategy: one of `engine.plan.STRATEGIES`.
        speed: of the VMs, to weigh files by seconds.

    Raises:
        UsageError: if `shards` is less than one, or there is no such strategy.
    """
    if shards < 1:
        raise UsageError(f"{shards} shards cannot hold anything", hint="ask for one or more")
    if strategy not in STRATEGIES:
        raise UsageError(f"there is no strategy {strategy!r}", hint=f"use {', '.join(STRATEGIES)}")
    with collector_held():
        pieces = _cells(works, speed)
        if not pieces:
            return ()
        if strategy == "by-instrument":
            bins = _by_instrument(pieces, shards, speed)
        else:
            divided = (_balanced if strategy == "balanced" else _by_date)(pieces, shards, speed)
            bins = [_united(content, speed) for content in divided if content]
        return tuple(_shard(index, work, speed) for index, work in enumerate(bins))


CAP_USED = 0.99
"""The share of a daily cap that is given out: the rest is for headers, and for transfers that were broken off."""

SIZE_DOUBT = 1.5
"""A file may be so many times larger than estimated and still fit into its shard's daily share."""


def share_cap(shards: Sequence[Shard], daily_bytes: int) -> tuple[Shard, ...]:
    """Give each shard its share of each UTC day's cap: room for its largest file, and the rest by what it has to fetch.

    The shares add up to less than the cap, so no worker has to ask another.

    Raises:
        UsageError: if the cap does not hold the largest file of every shard on one day, naming how many shards it holds.
    """
    usable = int(daily_bytes * CAP_USED)
    least = [_room(shard) for shard in shards]
    if len(shards) == 1 and _largest(shards[0]) <= usable:
        least = [min(least[0], usable)]
    if sum(least) > usable:
        most = most_shards(shards, daily_bytes)
        largest = format_bytes(max(map(_largest, shards)))
        raise UsageError(
            f"a cap of {format_bytes(daily_bytes)} a day, divided among {len(shards)} shards, does not hold their largest files"
            f" (up to about {largest})",
            hint=f"ask for at most {most} shard{'s' if most != 1 else ''}, or a larger cap" if most else "ask for a larger cap",
        )
    total = sum(shard.bytes for shard in shards)
    spare = usable - sum(least)
    return tuple(
        msgspec.structs.replace(shard, daily_bytes=room + spare * shard.bytes // max(1, total))
        for shard, room in zip(shards, least, strict=True)
    )


def most_shards(shards: Sequence[Shard], daily_bytes: int) -> int:
    """How many shards a daily cap allows for this work, whatever files end up together."""
    usable = int(daily_bytes * CAP_USED)
    alone = max(map(_largest, shards), default=0) <= usable
    return max(usable // max(map(_room, shards), default=1), int(alone))


def _largest(shard: Shard) -> int:
    return max((size for work in shard.work for size in work.bytes), default=0)


def _room(shard: Shard) -> int:
    return int(_largest(shard) * SIZE_DOUBT) + 1


def shards_for_deadline(works: Iterable[Work], seconds: float, strategy: Strategy = "balanced", *, speed: Speed, max_shards: int) -> int:
    """The smallest number of VMs that ends within `seconds` of the launch, boot included.

    Raises:
        UsageError: if no fleet up to `max_shards` does, naming the best that is possible.
    """
    pieces = _cells(works, speed)
    if not pieces:
        return 1
    whole = [_work(piece.cell, piece.files, piece.seconds) for piece in pieces]
    sizes = [size for piece in pieces for _, size in piece.files]

    def span(count: int) -> float:
        return makespan(pack(whole, count, strategy, speed=speed), speed)

    low = 1
    while low < max_shards and lower_bound(sizes, low, speed) > seconds:
        low = min(max_shards, max(low + 1, math.floor(_least(sizes, seconds, speed))))
    if lower_bound(sizes, low, speed) <= seconds:
        for count in range(low, min(low + STEPS, max_shards) + 1):
            if span(count) <= seconds:
                return count
        failed, stride = min(low + STEPS, max_shards), STEPS
        while failed < max_shards:
            count = min(failed + stride, max_shards)
            if span(count) <= seconds:
                return _bisect(failed, count, lambda vms: span(vms) <= seconds)
            failed, stride = count, stride * 2
    best = span(max_shards)
    raise UsageError(
        f"a finish within {format_seconds(seconds)} is not possible: {max_shards} VMs take {format_seconds(best)}",
        hint=f"allow {format_seconds(best)}, ask for less, or raise the limit of VMs",
    )


def _least(sizes: Sequence[int], seconds: float, speed: Speed) -> float:
    """VMs whose converters, all busy all the time, hold the work; more than anyone has if even boot takes too long."""
    left = seconds - speed.boot_seconds
    return sum(map(speed.file_seconds, sizes)) / (left * speed.converters) if left > 0 else 1e9


def _bisect(failing: int, passing: int, passes: Callable[[int], bool]) -> int:
    while passing - failing > 1:
        middle = (failing + passing) // 2
        if passes(middle):
            passing = middle
        else:
            failing = middle
    return passing


def _cells(works: Iterable[Work], speed: Speed) -> list[_Piece]:
    """Whole cells in a fixed order, each file once."""
    cells: dict[Cell, dict[str, int]] = defaultdict(dict)
    for work in works:
        cells[work.cell].update(zip(work.symbols, work.bytes, strict=True))
    return [_piece(cell, files.items(), speed) for cell, files in sorted(cells.items()) if files]


def _piece(cell: Cell, files: Iterable[tuple[str, int]], speed: Speed) -> _Piece:
    ordered = sorted(files)
    ordered.sort(key=itemgetter(1), reverse=True)  # stable: equal sizes stay in the order of symbols
    return _Piece(cell, tuple(ordered), sum(speed.each_file_seconds([size for _, size in ordered])))


def _level(items: Iterable[tuple[float, T]], count: int) -> list[list[T]]:
    """Longest processing time first: each item, largest first, to the bin with the least so far."""
    bins: list[list[T]] = [[] for _ in range(count)]
    heap = [(0.0, 0, index) for index in range(count)]
    for weight, item in sorted(items, key=lambda pair: -pair[0]):
        load, held, index = heap[0]
        bins[index].append(item)
        heapq.heapreplace(heap, (load + weight, held + 1, index))
    return bins


def _balanced(cells: Sequence[_Piece], shards: int, speed: Speed) -> list[list[_Piece]]:
    count = min(shards, sum(len(cell.files) for cell in cells))
    fair = sum(cell.seconds for cell in cells) / count
    pieces: list[_Piece] = []
    for cell in cells:
        if len(cell.files) > 1 and cell.seconds > fair * _ROUNDING:
            parts = min(len(cell.files), math.ceil(cell.seconds / fair * PIECES_PER_SHARE))
            weighed = ((speed.file_seconds(size), (symbol, size)) for symbol, size in cell.files)
            pieces += (_piece(cell.cell, files, speed) for files in _level(weighed, parts) if files)
        else:
            pieces.append(cell)
    return _level(((piece.seconds, piece) for piece in pieces), count)


def _by_date(cells: Sequence[_Piece], shards: int, speed: Speed) -> list[list[_Piece]]:
    days: dict[date, list[_Piece]] = defaultdict(list)
    for cell in cells:
        days[cell.cell.day].append(cell)
    ordered = sorted(days)
    loads = [sum(cell.seconds for cell in days[day]) for day in ordered]
    if shards <= len(ordered):
        return [[cell for day in ordered[start:end] for cell in days[day]] for start, end in _blocks(loads, shards)]
    files = [sum(len(cell.files) for cell in days[day]) for day in ordered]
    wanted = [1] * len(ordered)
    heap = [(-load, index) for index, load in enumerate(loads) if files[index] > 1]
    heapq.heapify(heap)
    for _ in range(shards - len(ordered)):
        if not heap:
            break
        index = heap[0][1]
        wanted[index] += 1
        if wanted[index] < files[index]:
            heapq.heapreplace(heap, (-loads[index] / wanted[index], index))
        else:
            heapq.heappop(heap)
    return [part for day, count in zip(ordered, wanted, strict=True) for part in _balanced(days[day], count, speed)]


def _blocks(loads: Sequence[float], count: int) -> list[tuple[int, int]]:
    """Exactly `count` contiguous, non-empty blocks (start, end exclusive) whose largest load is as small as possible."""
    low, high = max(loads), sum(loads) * _ROUNDING
    for _ in range(50):
        middle = (low + high) / 2
        if len(_fill(loads, middle)) <= count:
            high = middle
        else:
            low = middle
    blocks = _fill(loads, high)
    while len(blocks) < count:
        # The capacity is met with fewer: divide what is largest, so that nobody who asked for a VM goes without work.
        at = max((index for index, (start, end) in enumerate(blocks) if end - start > 1), key=lambda i: sum(loads[slice(*blocks[i])]))
        start, end = blocks[at]
        middle_day = min(range(start + 1, end), key=lambda cut: max(sum(loads[start:cut]), sum(loads[cut:end])))
        blocks[at : at + 1] = [(start, middle_day), (middle_day, end)]
    return blocks


def _fill(loads: Sequence[float], capacity: float) -> list[tuple[int, int]]:
    blocks: list[tuple[int, int]] = []
    start, held = 0, 0.0
    for index, load in enumerate(loads):
        if index > start and held + load > capacity:
            blocks.append((start, index))
            start, held = index, 0.0
        held += load
    blocks.append((start, len(loads)))
    return blocks


def _by_instrument(cells: Sequence[_Piece], shards: int, speed: Speed) -> list[list[Work]]:
    weights: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for cell in cells:
        of_venue = weights[cell.cell.venue]
        seconds = speed.each_file_seconds([size for _, size in cell.files])
        for (symbol, _), each in zip(cell.files, seconds, strict=True):
            of_venue[symbol] += each
    instruments = [(weights[venue][symbol], (venue, symbol)) for venue in sorted(weights) for symbol in sorted(weights[venue])]
    owners: dict[str, dict[str, int]] = {venue: {} for venue in weights}
    count = min(shards, len(instruments))
    for index, content in enumerate(_level(instruments, count)):
        for venue, symbol in content:
            owners[venue][symbol] = index
    bins: list[list[Work]] = [[] for _ in range(count)]
    for cell in cells:
        owner = owners[cell.cell.venue]
        parts: dict[int, list[tuple[str, int]]] = {}
        for file in cell.files:
            parts.setdefault(owner[file[0]], []).append(file)
        day, data_type, venue = cell.cell.day, cell.cell.data_type, cell.cell.venue
        for index, files in parts.items():
            if len(files) == 1:  # nearly all, where there are many shards
                ((symbol, size),) = files
                weight = speed.file_seconds(size)
                work = Work(day=day, data_type=data_type, venue=venue, symbols=(symbol,), bytes=(size,), seconds=weight)
            else:
                work = _work(cell.cell, files, sum(speed.each_file_seconds([size for _, size in files])))
            bins[index].append(work)
    return bins


def _united(pieces: Iterable[_Piece], speed: Speed) -> list[Work]:
    """Pieces of the same cell as one, in the order of cells."""
    cells: dict[Cell, _Piece] = {}
    for piece in pieces:
        held = cells.setdefault(piece.cell, piece)
        if held is not piece:
            cells[piece.cell] = _piece(piece.cell, held.files + piece.files, speed)
    return [_work(piece.cell, piece.files, piece.seconds) for piece in sorted(cells.values(), key=attrgetter("cell"))]


def _shard(index: int, work: list[Work], speed: Speed) -> Shard:
    """What one worker does, one entry a cell, given in the order of cells."""
    work.sort(key=attrgetter("seconds"), reverse=True)  # stable: equal ones stay in the order of cells
    sizes = list(chain.from_iterable([part.bytes for part in work]))
    return Shard(index=index, work=tuple(work), files=len(sizes), bytes=sum(sizes), seconds=speed.elapsed(sizes))


def _work(cell: Cell, files: Sequence[tuple[str, int]], seconds: float) -> Work:
    symbols, sizes = zip(*files, strict=True)
    return Work(day=cell.day, data_type=cell.data_type, venue=cell.venue, symbols=symbols, bytes=sizes, seconds=seconds)
