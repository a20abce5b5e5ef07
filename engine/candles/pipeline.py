"""Inputs -> candles -> commit: how the candles of a symbol and day are made within a shard.

The frame is that of downloads (`engine.shard_run`): one task for each symbol, copies of its committed files in a folder of its own,
the arithmetic in the pool of converters, the objects of all timeframes in the pool of uploads. What is there already with the same
identity is found by listings and not made again.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.candles.columns import Input
from engine.candles.committing import Made, commit_candles, encode, entry_of, found_entry, list_candles
from engine.candles.sources import SourceObject, Sources, base_of_option, base_with_options, read_sources
from engine.candles.timeframes import TIMEFRAMES, Clock, require_clock, require_timeframes
from engine.errors import CommitConflict, SourceError, StoreError
from engine.fault_points import FaultPoint, reach
from engine.manifest import Entry, read_cell
from engine.model import Cell, File, Outcome
from engine.object_copy import copy_object
from engine.plan import Request, Work
from engine.shard_run import Attempt, CellWork, ShardRun, current_task
from engine.store import Store

if TYPE_CHECKING:
    from engine.candles.option_bars import OptionFigures

NO_TRADES = "no_trades"
INPUT_CHANGED = "input_changed"
"""Reasons of candles that could not be made; stored, never rename one."""

_ROOM_FACTOR = 4
"""Memory over the compressed size of a symbol's files: one block of each, uncompressed, and the bars."""
_LEAST_ROOM = 24 << 20
"""The bars of a day and their Parquet files, whatever the size of the inputs."""


@dataclass(frozen=True, slots=True)
class CandleOptions:
    """What candles are asked for."""

    clock: Clock = "exchange"
    timeframes: tuple[str, ...] = TIMEFRAMES
    rebuild: bool = False
    """Overwrite candles that were made of other inputs."""


def options_of(request: Request) -> CandleOptions:
    """What a plan's request asks for.

    Raises:
        UsageError: for a clock or a timeframe that nobody knows.
    """
    return CandleOptions(require_clock(request.bucket_by), require_timeframes(request.timeframes or TIMEFRAMES), request.rebuild)


@dataclass(slots=True)
class _Inputs:
    """What the lake holds of one cell."""

    sources: Mapping[str, Sources]
    options: asyncio.Task[dict[str, OptionFigures]] | None = None
    """The figures of the options chain, read once for all symbols."""


class CandlePipeline(ShardRun):
    """Makes the candles of shards."""

    def __init__(self, options: CandleOptions, **frame: Any) -> None:
        """Args:
        options: what candles are asked for.
        frame: the arguments of `ShardRun`.
        """
        super().__init__(**frame)
        self._options = options
        self._inputs: dict[Cell, _Inputs] = {}
        self._fetch_slots = asyncio.Semaphore(self._limits.downloads)

    def room(self, size: int) -> int:
        """One block of each input, uncompressed, and the day's bars."""
        return _LEAST_ROOM + min(size, self._limits.spool_memory_bytes) * _ROOM_FACTOR

    async def known(self, work: Work) -> dict[str, Entry]:
        """Candles that are in the bucket, of every timeframe, made of what the inputs are now."""
        sources, listed = await asyncio.gather(
            self._in_thread(self._uploads, read_sources, partial(read_cell, self._state), work.day, work.venue),
            self._in_thread(self._uploads, list_candles, self._data, work.day, work.venue, self._options.timeframes),
        )
        self._inputs[work.cell] = _Inputs(sources)
        found = {}
        for symbol in work.symbols:
            if symbol in sources and symbol in listed:
                entry = found_entry(symbol, listed[symbol], sources[symbol].made(self._options.clock), self._options.timeframes)
                if entry is not None:
                    found[symbol] = entry
        return found

    async def outcome(self, file: File, size: int, cell: CellWork, attempt: Attempt) -> Entry:  # noqa: ARG002 - the frame's signature
        """Copy the inputs, make the candles, commit them."""
        inputs = self._inputs[file.cell]
        sources = inputs.sources.get(file.symbol)
        if sources is None:
            return Entry(symbol=file.symbol, outcome=Outcome.FAILED, reason=NO_TRADES, detail="no trades of that day are committed")
        made = sources.made(self._options.clock)
        with tempfile.TemporaryDirectory(dir=self._scratch.path) as folder:
            try:
                paths = await self._copy(file, sources, Path(folder))
                figures = await self._figures(file, inputs, sources)
                cell.landing.add(current_task())
                reach(FaultPoint.BODY_RECEIVED)
                encoded, facts = await self._make(file, paths, figures, sources, made, Path(folder))
            except SourceError as error:
                return Entry(symbol=file.symbol, outcome=Outcome.FAILED, reason=INPUT_CHANGED, detail=str(error))
            reach(FaultPoint.CONVERTED)
            return await self._commit(file, encoded, made, facts)

    async def _copy(self, file: File, sources: Sources, folder: Path) -> dict[Input, Path]:
        wanted = {name: source for name, source in sources.objects.items() if name is not Input.OPTIONS}
        async with self._fetch_slots:
            self.progress.fetching += 1
            reach(FaultPoint.FETCH_STARTED)
            try:
                copies = [
                    self._in_thread(self._uploads, _copy_input, self._data, source, folder / f"{name.value}.parquet")
                    for name, source in wanted.items()
                ]
                sizes = await asyncio.gather(*copies)
            finally:
                self.progress.fetching -= 1
        self.progress.receive(str(file), sum(sizes))
        return {name: folder / f"{name.value}.parquet" for name in wanted}

    async def _figures(self, file: File, inputs: _Inputs, sources: Sources) -> OptionFigures | None:
        chain = sources.objects.get(Input.OPTIONS)
        if chain is None:
            return None
        if inputs.options is None:
            inputs.options = asyncio.create_task(self._read_chain(file.cell, chain))
        # Not cancelled with the symbol that happened to ask first.
        found = await asyncio.shield(inputs.options)
        return found.get(base_with_options(file.cell.venue, file.symbol))

    async def _read_chain(self, cell: Cell, chain: SourceObject) -> dict[str, OptionFigures]:
        with tempfile.TemporaryDirectory(dir=self._scratch.path) as folder:
            path = Path(folder, "options.parquet")
            await self._in_thread(self._uploads, _copy_input, self._data, chain, path)

            def work() -> dict[str, OptionFigures]:
                from engine.candles.making import read_option_figures

                base_of = partial(base_of_option, cell.venue)
                return read_option_figures(path, day=cell.day, clock=self._options.clock, base_of=base_of)

            return await self._in_thread(self._converters, work)

    async def _make(
        self, file: File, paths: Mapping[Input, Path], figures: OptionFigures | None, sources: Sources, made: Made, folder: Path
    ) -> tuple[dict[str, bytes], dict[str, str]]:
        def work() -> tuple[dict[str, bytes], dict[str, str]]:
            from engine.candles.making import CandleInputs, make_candles

            with self.progress.stage("waiting_to_convert", "converting"):
                inputs = CandleInputs(
                    paths[Input.TRADES], paths.get(Input.BOOK), paths.get(Input.TICKER), paths.get(Input.LIQUIDATIONS), figures
                )
                day, venue, symbol = file.cell.day, file.cell.venue, file.symbol
                candles = make_candles(
                    inputs,
                    day=day,
                    venue=venue,
                    symbol=symbol,
                    clock=self._options.clock,
                    timeframes=self._options.timeframes,
                    folder=folder,
                )
                facts = {
                    "rows": str(candles.trades),
                    "input-bytes": str(sources.bytes),
                    "minutes": str(candles.covered_minutes),
                    "early-rows": str(candles.early_rows),
                    "late-rows": str(candles.late_rows),
                    "skipped-rows": str(candles.skipped_rows),
                    "flags": ",".join(candles.flags),
                }
                encoded = {
                    name: encode(table, made, day=day, venue=venue, symbol=symbol, timeframe=name) for name, table in candles.tables.items()
                }
                return encoded, facts

        self.progress.queue("waiting_to_convert")
        return await self._in_thread(self._converters, work)

    async def _commit(self, file: File, encoded: Mapping[str, bytes], made: Made, facts: Mapping[str, str]) -> Entry:
        def work() -> Entry:
            with self.progress.stage("waiting_to_commit", "committing"):
                parts = commit_candles(self._data, file, encoded, made, facts, rebuild=self._options.rebuild)
                reach(FaultPoint.OBJECT_CREATED)
            return msgspec.structs.replace(entry_of(file.symbol, parts, made, facts), requests=len(made.inputs))

        self.progress.queue("waiting_to_commit")
        try:
            return await self._in_thread(self._uploads, work)
        except CommitConflict as error:
            return Entry(symbol=file.symbol, outcome=Outcome.FAILED, reason="conflict", detail=str(error))


def _copy_input(store: Store, source: SourceObject, path: Path) -> int:
    """Copy a committed file, and compare it with its manifest; returns its bytes.

    Raises:
        SourceError: if it is gone, or is not what was committed.
    """
    entry = source.entry
    try:
        with path.open("wb") as copy:
            checksum = copy_object(store, source.name, size=entry.object_bytes, generation=entry.generation, copy=copy)
    except OSError as error:
        raise StoreError(f"cannot keep {source.name} while it is read: {error}", hint="free space in TMPDIR") from error
    if checksum is None or (entry.crc32c and checksum != entry.crc32c):
        what = "is gone" if checksum is None else "is not what was committed"
        raise SourceError(f"{source.name} {what}", hint="compare with engine validate, then repair")
    return entry.object_bytes
