"""The frame that all work on a shard shares: every file gets an outcome, every cell a manifest, whatever stops it in between.

What becomes of one file is up to who fills the frame: `engine.pipeline` downloads it, `engine.candles.pipeline` makes candles of it.
Cells are begun in order, files run beside each other, and a cell's manifest is written when its last file has an outcome, or, at a
stop, with what is known.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from engine import __version__
from engine.admission import Admission
from engine.allowance import Allowance
from engine.clock import Clock, format_bytes, monotonic
from engine.collector import collector_seldom
from engine.errors import EngineError, NotPermitted, StoreError
from engine.fault_points import FaultPoint, reach
from engine.logbook import Logbook
from engine.manifest import Entry, Manifest, write_manifest
from engine.model import BAD_OUTCOMES, Cell, File, Outcome
from engine.plan import Shard, Work
from engine.scratch import Scratch
from engine.store import Store

T = TypeVar("T")

RECORDS_AT_ONCE = 32
"""Manifests that are written at the same time at most."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one worker may use at once."""

    downloads: int = 50
    converters: int = 1
    uploads: int = 20
    bytes_in_flight: int = 256 << 20
    memory_bytes: int = 1 << 30
    spool_memory_bytes: int = 8 << 20
    file_deadline_seconds: float = 1800.0
    stop_grace_seconds: float = 15.0
    """After a stop: how long conversions and commits in flight may take to finish."""


@dataclass(slots=True)
class Progress:
    """Counters of one worker, written by the pipeline and read by the heartbeat. Event loop only."""

    files_total: int = 0
    files_done: int = 0
    files_resumed: int = 0
    files_bad: int = 0
    rows: int = 0
    source_bytes: int = 0
    bytes_total: int = 0
    bytes_done: int = 0
    retries: int = 0
    throttled: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    fetching: int = 0
    waiting_to_convert: int = 0
    converting: int = 0
    waiting_to_commit: int = 0
    committing: int = 0
    received: deque[tuple[int, int]] = field(default_factory=deque)
    """(monotonic second, bytes) of the last minute."""
    partial: dict[str, int] = field(default_factory=dict)
    """Bytes that came of files in flight."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Estimated bytes of files in flight."""
    running: dict[str, float] = field(default_factory=dict)
    """Files in flight and when they started."""

    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def stage(self, waiting: str, busy: str, files: int = 1) -> Iterator[None]:
        """Move files from a waiting count to a busy one, for the time of the block. Called in pool threads."""
        with self.lock:
            setattr(self, waiting, getattr(self, waiting) - files)
            setattr(self, busy, getattr(self, busy) + files)
        try:
            yield
        finally:
            with self.lock:
                setattr(self, busy, getattr(self, busy) - files)

    def queue(self, waiting: str, files: int = 1) -> None:
        """Count files as waiting, or, if negative, no more."""
        with self.lock:
            setattr(self, waiting, getattr(self, waiting) + files)

    def receive(self, file: str, count: int) -> None:
        """Count bytes as they come."""
        self.source_bytes += count
        self.partial[file] = self.partial.get(file, 0) + count
        second = int(monotonic())
        if self.received and self.received[-1][0] == second:
            self.received[-1] = (second, self.received[-1][1] + count)
        else:
            self.received.append((second, count))

    @property
    def bytes_so_far(self) -> int:
        """Of `bytes_total`: of files with an outcome, and what came of those on their way."""
        partial = sum(min(count, self.sizes.get(file, 0)) for file, count in list(self.partial.items()))
        return min(self.bytes_total, self.bytes_done + partial)

    def rate(self, window: float = 60.0) -> float:
        """Bytes a second over the last `window` seconds."""
        now = monotonic()
        while self.received and self.received[0][0] < now - window:
            self.received.popleft()
        if not self.received:
            return 0.0
        span = max(1.0, min(window, now - self.received[0][0] + 1.0))
        return sum(count for _, count in self.received) / span

    def oldest(self) -> str:
        """The file that is in flight longest."""
        return min(self.running, key=lambda name: self.running[name], default="")


@dataclass(frozen=True, slots=True)
class Attempt:
    """Under which name this work is recorded."""

    run: str
    shard: int
    attempt: int
    vm: str


class ShardRun(ABC):
    """Works through shards. One per worker; use `run` for one shard after the other."""

    def __init__(
        self,
        *,
        data: Store,
        state: Store,
        limits: Limits,
        logbook: Logbook,
        clock: Clock,
        stopped: asyncio.Event,
        progress: Progress | None = None,
        folder: Path | None = None,
        on_outcome: Callable[[File, Entry], None] | None = None,
    ) -> None:
        """Args:
        stopped: when set, nothing new starts and `run` returns what it knows.
        folder: for temporary files; the system's temporary folder by default.
        on_outcome: hears of every file's outcome.
        """
        self._data, self._state = data, state
        self._limits, self._logbook, self._clock = limits, logbook, clock
        self._stopped = stopped
        self.progress = progress or Progress()
        self._scratch = Scratch(folder)
        self._on_outcome = on_outcome or (lambda _file, _entry: None)
        self._converters = ThreadPoolExecutor(limits.converters, "convert")
        self._uploads = ThreadPoolExecutor(limits.uploads, "commit")
        # Not among the uploads: what is known is written down also while slow uploads hold all their threads.
        self._records = ThreadPoolExecutor(min(limits.uploads, RECORDS_AT_ONCE), "record")
        self._file_slots = asyncio.Semaphore(limits.downloads + limits.converters * 2 + limits.uploads)
        self._allowance: Allowance | None = None
        self._admission = Admission(bytes_in_flight=limits.bytes_in_flight, memory_bytes=limits.memory_bytes)

    @abstractmethod
    async def known(self, work: Work) -> dict[str, Entry]:
        """Entries of the cell's files that are done already, by symbol."""

    @abstractmethod
    def room(self, size: int) -> int:
        """Bytes that a file of this estimated size takes of what may be in flight."""

    @abstractmethod
    async def outcome(self, file: File, size: int, cell: CellWork, attempt: Attempt) -> Entry:
        """What becomes of one file. EngineErrors of the file become its outcome; NotPermitted and StoreError end the work."""

    def catalogue_of(self, venue: str) -> str:  # noqa: ARG002 - for those that have catalogues
        """The catalogue object that said what to expect, for the manifest; "" if none did."""
        return ""

    def close(self) -> None:
        """Stop the pools and remove the temporary files. Work that is queued is dropped."""
        self._converters.shutdown(wait=False, cancel_futures=True)
        self._uploads.shutdown(wait=False, cancel_futures=True)
        self._records.shutdown(wait=False, cancel_futures=True)
        self._scratch.close()

    def limited_by(self) -> str:
        """What limits the work at this moment: cpu, network, upload, memory; empty when nothing runs."""
        progress = self.progress
        if self._admission.held_by_memory:
            return "memory"
        if progress.waiting_to_convert and progress.converting >= self._limits.converters:
            return "cpu"
        if progress.waiting_to_commit and progress.committing >= self._limits.uploads:
            return "upload"
        if progress.fetching:
            return "network"
        return "cpu" if progress.converting else "upload" if progress.committing else ""

    async def run(self, shard: Shard, attempt: Attempt, allowance: Allowance | None = None) -> Counter[Outcome]:
        """Give every file of the shard an outcome and every cell a manifest.

        Args:
            shard: what to do.
            attempt: under which name it is recorded.
            allowance: the shard's share of the daily cap; None if there is no cap.

        Returns:
            How many files ended in which outcome. If `stopped` was set meanwhile, files without one are not in it, and their
            cells have an open manifest.

        Raises:
            NotPermitted: the source refuses the key, or the bucket refuses us. Manifests of what is known are written first.
            StoreError: the bucket cannot be written. Files in flight are lost, nothing else.
        """
        with collector_seldom():
            return await self._run(shard, attempt, allowance)

    async def _run(self, shard: Shard, attempt: Attempt, allowance: Allowance | None) -> Counter[Outcome]:
        self._allowance = allowance
        self.progress.files_total += shard.files
        self.progress.bytes_total += shard.bytes
        counts: Counter[Outcome] = Counter()
        cells: list[CellWork] = []
        feeding = asyncio.create_task(self._feed(shard.work, attempt, cells, counts))
        stop = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait({feeding, stop}, return_when=asyncio.FIRST_COMPLETED)
            if feeding.done():
                await feeding
            else:
                await self._wind_down(feeding, cells)
        except BaseExceptionGroup as group:
            error = _first(group)
            if isinstance(error, NotPermitted):
                # What is here already was paid for, and has its outcome in the manifest that says how far we got.
                await self._wind_down(feeding, cells)
            raise error from None
        finally:
            stop.cancel()
            for task in [feeding, *(task for cell in cells for task in cell.tasks)]:
                task.cancel()
            await asyncio.gather(feeding, *(task for cell in cells for task in cell.tasks), return_exceptions=True)
            # All at once: hundreds of cells may be open, and a machine that is taken away leaves seconds.
            known = [self._write_manifest(cell, attempt) for cell in cells if not cell.closed and cell.entries]
            for failure in filter(None, await asyncio.gather(*known, return_exceptions=True)):
                raise failure
        return counts

    async def _wind_down(self, feeding: asyncio.Task[None], cells: list[CellWork]) -> None:
        """Let what is being converted or committed finish, within the grace; drop the rest."""
        feeding.cancel()
        landing = [task for cell in cells for task in cell.tasks if task in cell.landing]
        for task in (task for cell in cells for task in cell.tasks):
            if task not in landing:
                task.cancel()
        if landing:
            await asyncio.wait(landing, timeout=self._limits.stop_grace_seconds)

    async def _feed(self, work: Iterable[Work], attempt: Attempt, cells: list[CellWork], counts: Counter[Outcome]) -> None:
        """Start files in order, cell by cell; end when the last has its outcome."""
        async with asyncio.TaskGroup() as closing:
            for item in work:
                cell = CellWork(item)
                cells.append(cell)
                known = await self.known(item)
                reach(FaultPoint.CELL_LISTED)
                for file, size in zip(item.files(), item.bytes, strict=True):
                    done = known.get(file.symbol)
                    if done is not None:
                        self._record(cell, file, done, size, counts, resumed=True)
                        continue
                    await self._file_slots.acquire()
                    task = asyncio.create_task(self._carry(file, size, cell, attempt, counts))
                    task.add_done_callback(lambda _task: self._file_slots.release())
                    cell.tasks.append(task)
                closing.create_task(self._close(cell, attempt))

    async def _close(self, cell: CellWork, attempt: Attempt) -> None:
        """Once all files of the cell have an outcome, write its manifest."""
        if cell.tasks:
            # Not gather: a cancelled gather cancels its children, and those that are landing shall land.
            await asyncio.wait(cell.tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in cell.tasks:
                if task.done():
                    task.result()
        await self._write_manifest(cell, attempt)
        bad = sum(entry.outcome in BAD_OUTCOMES for entry in cell.entries.values())
        files = "1 file has" if len(cell.entries) == 1 else f"{len(cell.entries)} files have"
        self._logbook.event(
            "WARNING" if bad else "INFO",
            "cell_closed",
            f"{cell.work.cell}: {files} an outcome" + (f", {bad} of them bad" if bad else ""),
            **where(cell.work.cell),
            files=len(cell.entries),
            bad=bad,
        )

    async def _write_manifest(self, cell: CellWork, attempt: Attempt) -> None:
        """Record what is known; open if a file of the cell has no outcome yet.

        A stop that comes while it is being written waits for it instead of writing a second one.
        """
        if cell.writing is None:
            work = cell.work
            manifest = Manifest(
                day=work.day,
                data_type=work.data_type,
                venue=work.venue,
                run=attempt.run,
                shard=attempt.shard,
                attempt=attempt.attempt,
                vm=attempt.vm,
                written=self._clock(),
                open=len(cell.entries) < len(work.symbols),
                engine_version=__version__,
                catalogue=self.catalogue_of(work.venue),
                entries=tuple(cell.entries[symbol] for symbol in sorted(cell.entries)),
            )
            reach(FaultPoint.MANIFEST_STARTED)
            cell.writing = asyncio.create_task(self._in_thread(self._records, write_manifest, self._state, manifest))
        await asyncio.shield(cell.writing)
        cell.closed = True
        reach(FaultPoint.OPEN_MANIFEST_WRITTEN if len(cell.entries) < len(cell.work.symbols) else FaultPoint.MANIFEST_WRITTEN)

    async def _carry(self, file: File, size: int, cell: CellWork, attempt: Attempt, counts: Counter[Outcome]) -> None:
        """One file through all stages. Errors of the file become its outcome; errors of the worker are raised."""
        started, name = monotonic(), str(file)
        self.progress.running[name] = started
        self.progress.sizes[name] = size
        try:
            async with self._admission.admit(self.room(size)):
                entry = await self.outcome(file, size, cell, attempt)
        except (NotPermitted, StoreError):
            raise
        except OSError as error:
            # This machine's, not the file's: the next file would meet it too.
            raise StoreError(f"{file}: {error}", hint="free space in TMPDIR, or lower MAX_CONCURRENT") from error
        except EngineError as error:
            entry = Entry(symbol=file.symbol, outcome=Outcome.FAILED, reason=type(error).__name__, detail=str(error))
        finally:
            for table in (self.progress.running, self.progress.partial, self.progress.sizes):
                table.pop(name, None)
        entry = msgspec.structs.replace(entry, seconds=round(monotonic() - started, 3))
        self._record(cell, file, entry, size, counts)

    def _record(self, cell: CellWork, file: File, entry: Entry, size: int, counts: Counter[Outcome], *, resumed: bool = False) -> None:
        cell.entries[file.symbol] = entry
        counts[entry.outcome] += 1
        progress = self.progress
        progress.outcomes[entry.outcome] += 1
        progress.files_done += 1
        progress.bytes_done += size
        progress.files_resumed += resumed
        progress.files_bad += entry.outcome in BAD_OUTCOMES
        progress.rows += 0 if resumed else entry.rows
        self._on_outcome(file, entry)
        if resumed:
            return
        reach(FaultPoint.OUTCOME_RECORDED)
        severity = {Outcome.OK: "INFO", Outcome.EMPTY: "INFO", Outcome.NOT_READY: "INFO", Outcome.NOT_FOUND: "WARNING"}
        what = f": {entry.detail}" if entry.detail else f": {entry.rows} rows, {format_bytes(entry.source_bytes)}"
        self._logbook.event(
            severity.get(entry.outcome, "ERROR"),
            "file_" + ("committed" if entry.outcome is Outcome.OK else entry.outcome.value),
            f"{file} {entry.outcome}{what}",
            **where(file.cell),
            symbol=file.symbol,
            outcome=entry.outcome.value,
            reason=entry.reason or None,
            rows=entry.rows,
            bytes=entry.source_bytes,
            seconds=entry.seconds,
            requests=entry.requests,
        )
        for column in entry.dropped_columns:
            self._logbook.warning(
                "column_dropped",
                f"{file}: the source sent an unknown column {column!r}; it is not in the object",
                **where(file.cell),
                symbol=file.symbol,
            )

    async def _in_thread(self, pool: ThreadPoolExecutor, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *args)


@dataclass(slots=True)
class CellWork:
    """A cell while it is worked on."""

    work: Work
    entries: dict[str, Entry] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    landing: set[asyncio.Task[None]] = field(default_factory=set)
    """Tasks past their download: at a stop they may finish."""
    writing: asyncio.Task[str] | None = None
    closed: bool = False


def current_task() -> asyncio.Task[None]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _first(error: BaseException) -> BaseException:
    """The first single error in a group of errors that happened together."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def where(cell: Cell) -> dict[str, str]:
    return {"venue": cell.venue, "data_type": cell.data_type, "day": cell.day.isoformat()}
