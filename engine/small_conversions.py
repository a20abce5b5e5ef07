"""Small bodies of a shard gathered for `engine.conversion.small_files`: what has come while others were converted goes together.

Nobody waits for others to come: a body that finds nothing running is converted alone, and the busier a worker is, the more go at once.
Where many come or are expected, processes convert them (`engine.conversion.converter_process`), and the worker itself need not even load
pyarrow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from engine.conversion.converter_process import MEMORY_BYTES, ConverterGone, ConverterProcess
from engine.conversion.outcome import Conversion
from engine.datatypes import require_data_type
from engine.logbook import Logbook
from engine.model import File
from engine.shard_run import Limits, Progress

MOST_SOURCE_BYTES = 64 * 1024
"""Of a small body: beyond it a conversion costs by its rows."""
MOST_FILES = 32
"""Converted together; more gain nothing."""
MANY_FILES = 200
"""From so many on a process is worth its start, which costs half of what converting them does; from four times as many another one."""
MOST_PROCESSES = 3
"""They convert faster than one event loop fetches and commits."""
_MEMORY_SHARE = 10
"""Each process may take this part of what the worker may use, or there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    file: File
    body: bytes
    done: asyncio.Future[Conversion]


def processes_for(limits: Limits) -> int:
    """How many processes a worker may have: as many as may convert, and most of the memory stays the worker's."""
    return max(0, min(MOST_PROCESSES, limits.converters, limits.memory_bytes // (_MEMORY_SHARE * MEMORY_BYTES)))


class SmallConversions:
    """Takes bodies on the event loop, converts them in threads of a pool or in processes."""

    def __init__(self, pool: ThreadPoolExecutor, progress: Progress, logbook: Logbook, *, processes: int) -> None:
        """
        Args:
            processes: at most. Without any, one thread converts: two would wait for each other more than they do.
        """
        self._pool, self._progress, self._logbook = pool, progress, logbook
        self._most_processes = processes
        self._waiting: dict[str, deque[_Waiting]] = {}
        """By data type, the type that waits longest first."""
        self._working = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._come = 0
        self._processes: set[ConverterProcess] = set()
        self._idle: list[ConverterProcess] = []
        self._closed = False

    def expect(self, files: int) -> None:
        """Know that so many will come: the processes for them start while the first ones are fetched."""
        self._start_processes(self._come + files)

    async def convert(self, file: File, body: bytes) -> Conversion:
        """What `convert` says of a body of at most `MOST_SOURCE_BYTES`."""
        self._come += 1
        self._start_processes(self._come)
        waiting = _Waiting(file, body, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(file.cell.data_type, deque()).append(waiting)
        self._progress.queue("waiting_to_convert")
        if self._working < max(1, len(self._processes)):
            self._working += 1
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await waiting.done

    def close(self) -> None:
        """End the processes."""
        self._closed = True
        for each in self._processes:
            each.close()
        self._processes.clear()

    async def _work(self) -> None:
        """Convert until nothing waits; in the step that finds nothing it stops counting, so that what comes next starts another one."""
        process: ConverterProcess | None = None
        try:
            while batch := self._take():
                if process is None and self._idle:
                    process = self._idle.pop()
                try:
                    conversions = await self._in_pool(process, batch)
                except ConverterGone as error:
                    self._converter_gone(process, str(error))
                    process = None
                    self._progress.queue("waiting_to_convert", len(batch))
                    self._waiting.setdefault(batch[0].file.cell.data_type, deque()).extendleft(reversed(batch))
                except Exception as error:  # noqa: BLE001 - each file's task raises it
                    for each in batch:
                        if not each.done.done():
                            each.done.set_exception(error)
                else:
                    for each, conversion in zip(batch, conversions, strict=True):
                        if not each.done.done():
                            each.done.set_result(conversion)
        finally:
            self._working -= 1
            if process is not None:
                self._idle.append(process)

    async def _in_pool(self, process: ConverterProcess | None, batch: list[_Waiting]) -> list[Conversion]:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._convert, process, batch)

    def _take(self) -> list[_Waiting]:
        """The next ones, of one type."""
        while self._waiting:
            data_type = next(iter(self._waiting))
            queue = self._waiting.pop(data_type)
            batch: list[_Waiting] = []
            while queue and len(batch) < MOST_FILES:
                each = queue.popleft()
                if each.done.done():
                    self._progress.queue("waiting_to_convert", -1)
                else:
                    batch.append(each)
            if queue:
                self._waiting[data_type] = queue
            if batch:
                return batch
        return []

    def _start_processes(self, files: int) -> None:
        """As many as so many files are worth."""
        while len(self._processes) < self._most_processes and files > MANY_FILES * 4 ** len(self._processes) and not self._closed:
            try:
                process = ConverterProcess()
            except OSError as error:
                self._converter_gone(None, str(error))
                return
            self._processes.add(process)
            self._idle.append(process)

    def _converter_gone(self, process: ConverterProcess | None, reason: str) -> None:
        """Tell it, and do with one less: what took it would take the next."""
        self._most_processes = max(0, self._most_processes - 1)
        if process is not None:
            process.close()
            self._processes.discard(process)
        if not self._closed:
            self._logbook.warning("converter_gone", f"a process that converts small files is gone, this one does its work: {reason}")

    def _convert(self, process: ConverterProcess | None, batch: list[_Waiting]) -> list[Conversion]:
        from engine.conversion.small_files import convert_together

        data_type = batch[0].file.cell.data_type
        sources = [(each.file, each.body) for each in batch]
        with self._progress.stage("waiting_to_convert", "converting", len(batch)):
            if process is not None:
                return process.convert(data_type, sources)
            return convert_together(sources, data_type=require_data_type(data_type))
