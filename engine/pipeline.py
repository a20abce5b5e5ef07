"""Fetch -> convert -> commit for one shard: every file gets an outcome, every cell a manifest.

One asyncio task per file carries it through the stages. Downloads run concurrently across symbols, types and days; conversions in
a pool of threads (decompression, parsing and writing all release the GIL); commits in another. The stages overlap, and what is
between the start of a download and the end of a commit is bounded by count and by bytes (`engine.admission`).
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from engine import __version__
from engine.admission import Admission
from engine.allowance import Allowance
from engine.catalogue import Catalogue
from engine.clock import Clock, format_bytes, monotonic
from engine.commit import commit, is_there, list_committed, quarantine
from engine.conversion.convert import Conversion, ConvertSettings, Reason, convert
from engine.datatypes import require_data_type
from engine.errors import CommitConflict, EngineError, NotPermitted, StoreError
from engine.fault_points import FaultPoint, reach
from engine.logbook import Logbook
from engine.manifest import Entry, Manifest, read_cell, write_manifest
from engine.model import Cell, File, Outcome
from engine.plan import Shard, Work
from engine.scratch import Scratch
from engine.source import Admit, Fetched, Postponed, Source
from engine.spool import Spool
from engine.store import Store

T = TypeVar("T")

REFETCH_REASONS = frozenset(
    {
        Reason.ZERO_BYTES,
        Reason.HTML_BODY,
        Reason.NOT_GZIP,
        Reason.TRUNCATED_GZIP,
        Reason.CORRUPT_GZIP,
        Reason.BAD_CHECKSUM,
        Reason.TRAILING_GARBAGE,
    }
)
"""What a proxy or a file being replaced at the source can cause: the file is fetched once more before it is believed."""

BAD_OUTCOMES = frozenset({Outcome.QUARANTINED, Outcome.FAILED, Outcome.NOT_ENTITLED, Outcome.NOT_FOUND})

RECORDS_AT_ONCE = 32
"""Manifests that are written at the same time at most."""

CONVERSION_FACTOR = 3
"""Memory of a file in flight over its compressed size: the body, its Parquet, and a block of text between them."""


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
    def stage(self, waiting: str, busy: str) -> Iterator[None]:
        """Move a file from a waiting count to a busy one, for the time of the block. Called in pool threads."""
        with self.lock:
            setattr(self, waiting, getattr(self, waiting) - 1)
            setattr(self, busy, getattr(self, busy) + 1)
        try:
            yield
        finally:
            with self.lock:
                setattr(self, busy, getattr(self, busy) - 1)

    def queue(self, waiting: str) -> None:
        """Count a file as waiting."""
        with self.lock:
            setattr(self, waiting, getattr(self, waiting) + 1)

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


class Pipeline:
    """Works through shards. One per worker; use `run` for one shard after the other."""

    def __init__(
        self,
        *,
        source: Source,
        data: Store,
        state: Store,
        catalogues: Mapping[str, Catalogue],
        limits: Limits,
        logbook: Logbook,
        clock: Clock,
        stopped: asyncio.Event,
        progress: Progress | None = None,
        folder: Path | None = None,
        ask_again: frozenset[Outcome] = frozenset(),
        refetch_adopted: bool = False,
        on_outcome: Callable[[File, Entry], None] | None = None,
    ) -> None:
        """Args:
        catalogues: by venue; they say which days are published.
        stopped: when set, nothing new starts and `run` returns what it knows.
        folder: for temporary files; the system's temporary folder by default.
        ask_again: of `empty` and `waived`, what is fetched again; committed files never are.
        refetch_adopted: fetch also what was adopted from the system before.
        on_outcome: hears of every file's outcome.
        """
        self._source, self._data, self._state = source, data, state
        self._catalogues, self._limits, self._logbook, self._clock = catalogues, limits, logbook, clock
        self._stopped = stopped
        self.progress = progress or Progress()
        self._scratch = Scratch(folder)
        self._ask_again = ask_again
        self._refetch_adopted = refetch_adopted
        self._on_outcome = on_outcome or (lambda _file, _entry: None)
        self._converters = ThreadPoolExecutor(limits.converters, "convert")
        self._uploads = ThreadPoolExecutor(limits.uploads, "commit")
        # Not among the uploads: what is known is written down also while slow uploads hold all their threads.
        self._records = ThreadPoolExecutor(min(limits.uploads, RECORDS_AT_ONCE), "record")
        self._fetch_slots = asyncio.Semaphore(limits.downloads)
        self._file_slots = asyncio.Semaphore(limits.downloads + limits.converters * 2 + limits.uploads)
        self._allowance: Allowance | None = None
        self._admission = Admission(bytes_in_flight=limits.bytes_in_flight, memory_bytes=limits.memory_bytes)

    def close(self) -> None:
        """Stop the pools and remove the temporary files. Work that is queued is dropped."""
        self._converters.shutdown(wait=False, cancel_futures=True)
        self._uploads.shutdown(wait=False, cancel_futures=True)
        self._records.shutdown(wait=False, cancel_futures=True)
        self._scratch.close()

    def limited_by(self) -> str:
        """What limits the work at this moment: cpu, network, source 429, upload, memory; empty when nothing runs."""
        progress = self.progress
        if self._source.throttle.remaining > 0:
            return self._source.throttle.reason
        if self._allowance is not None and self._allowance.waiting and not progress.fetching:
            return "allowance"
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
        self._allowance = allowance
        self.progress.files_total += shard.files
        self.progress.bytes_total += shard.bytes
        counts: Counter[Outcome] = Counter()
        cells: list[_CellWork] = []
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

    async def _wind_down(self, feeding: asyncio.Task[None], cells: list[_CellWork]) -> None:
        """Let what is being converted or committed finish, within the grace; drop the rest."""
        feeding.cancel()
        landing = [task for cell in cells for task in cell.tasks if task in cell.landing]
        for task in (task for cell in cells for task in cell.tasks):
            if task not in landing:
                task.cancel()
        if landing:
            await asyncio.wait(landing, timeout=self._limits.stop_grace_seconds)

    async def _feed(self, work: Iterable[Work], attempt: Attempt, cells: list[_CellWork], counts: Counter[Outcome]) -> None:
        """Start files in order, cell by cell; end when the last has its outcome."""
        async with asyncio.TaskGroup() as closing:
            for item in work:
                cell = _CellWork(item)
                cells.append(cell)
                known = await self._known(item)
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

    async def _known(self, work: Work) -> dict[str, Entry]:
        """Entries of files that are done already: committed objects, and empty, waived or adopted ones out of manifests."""
        committed, recorded = await asyncio.gather(
            self._in_thread(self._uploads, list_committed, self._data, work.cell),
            self._in_thread(self._uploads, read_cell, self._state, work.cell),
        )
        settled = frozenset({Outcome.EMPTY, Outcome.WAIVED}) - self._ask_again
        for file in work.files():
            record = recorded.get(file.symbol)
            if record is None or file.symbol in committed or (record.is_adopted and self._refetch_adopted):
                continue
            done = record.entry.outcome in settled
            if not done and record.is_adopted and record.entry.outcome is Outcome.OK:
                done = await self._in_thread(self._uploads, is_there, self._data, file, record.entry)
            if done:
                committed[file.symbol] = msgspec.structs.replace(record.entry, requests=0)
        return committed

    async def _close(self, cell: _CellWork, attempt: Attempt) -> None:
        """Once all files of the cell have an outcome, write its manifest."""
        if cell.tasks:
            # Not gather: a cancelled gather cancels its children, and those that are landing shall land.
            await asyncio.wait(cell.tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in cell.tasks:
                if task.done():
                    task.result()
        await self._write_manifest(cell, attempt)
        bad = sum(entry.outcome in BAD_OUTCOMES for entry in cell.entries.values())
        self._logbook.event(
            "WARNING" if bad else "INFO",
            "cell_closed",
            f"{cell.work.cell}: {len(cell.entries)} files have an outcome" + (f", {bad} of them bad" if bad else ""),
            **_where(cell.work.cell),
            files=len(cell.entries),
            bad=bad,
        )

    async def _write_manifest(self, cell: _CellWork, attempt: Attempt) -> None:
        """Record what is known; open if a file of the cell has no outcome yet.

        A stop that comes while it is being written waits for it instead of writing a second one.
        """
        if cell.writing is None:
            work = cell.work
            catalogue = self._catalogues.get(work.venue)
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
                catalogue=catalogue.object_name if catalogue else "",
                entries=tuple(cell.entries[symbol] for symbol in sorted(cell.entries)),
            )
            reach(FaultPoint.MANIFEST_STARTED)
            cell.writing = asyncio.create_task(self._in_thread(self._records, write_manifest, self._state, manifest))
        await asyncio.shield(cell.writing)
        cell.closed = True
        reach(FaultPoint.OPEN_MANIFEST_WRITTEN if len(cell.entries) < len(cell.work.symbols) else FaultPoint.MANIFEST_WRITTEN)

    async def _carry(self, file: File, size: int, cell: _CellWork, attempt: Attempt, counts: Counter[Outcome]) -> None:
        """One file through all stages. Errors of the file become its outcome; errors of the worker are raised."""
        started = monotonic()
        self.progress.running[str(file)] = started
        self.progress.sizes[str(file)] = size
        try:
            room = min(max(size, 64 << 10), self._limits.spool_memory_bytes) * CONVERSION_FACTOR
            async with self._admission.admit(room):
                entry = await self._outcome(file, size, cell, attempt)
        except (NotPermitted, StoreError):
            raise
        except OSError as error:
            # This machine's, not the file's: the next file would meet it too.
            raise StoreError(f"{file}: {error}", hint="free space in TMPDIR, or lower MAX_CONCURRENT") from error
        except EngineError as error:
            entry = Entry(symbol=file.symbol, outcome=Outcome.FAILED, reason=type(error).__name__, detail=str(error))
        finally:
            for table in (self.progress.running, self.progress.partial, self.progress.sizes):
                table.pop(str(file), None)
        entry = msgspec.structs.replace(entry, seconds=round(monotonic() - started, 3))
        self._record(cell, file, entry, size, counts)

    def _record(self, cell: _CellWork, file: File, entry: Entry, size: int, counts: Counter[Outcome], *, resumed: bool = False) -> None:
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
            **_where(file.cell),
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
                **_where(file.cell),
                symbol=file.symbol,
            )

    async def _outcome(self, file: File, size: int, cell: _CellWork, attempt: Attempt) -> Entry:
        catalogue = self._catalogues.get(file.cell.venue)
        if catalogue is not None and not catalogue.is_published(file.cell.day):
            return Entry(symbol=file.symbol, outcome=Outcome.NOT_READY, detail=f"{file.cell.venue} has not published {file.cell.day}")
        spool = Spool(memory_bytes=self._limits.spool_memory_bytes, folder=self._scratch.path)
        try:
            requests = 0
            for last in (False, True):
                fetched = await self._fetch(file, size, spool)
                requests += fetched.requests
                self.progress.retries += fetched.retries
                if fetched.outcome is not None:
                    return Entry(
                        symbol=file.symbol,
                        outcome=fetched.outcome,
                        reason=fetched.reason,
                        detail=fetched.detail,
                        status=fetched.status,
                        requests=requests,
                    )
                reach(FaultPoint.BODY_RECEIVED)
                cell.landing.add(_current())
                with tempfile.TemporaryDirectory(dir=self._scratch.path) as folder:
                    sink = Path(folder, "file.parquet") if fetched.length > self._limits.spool_memory_bytes else None
                    conversion = await self._convert(file, spool, sink)
                    reach(FaultPoint.CONVERTED)
                    if conversion.outcome is Outcome.OK:
                        return await self._commit(file, conversion, sink, fetched, requests)
                if conversion.outcome is Outcome.EMPTY or conversion.reason not in REFETCH_REASONS or last:
                    break
                cell.landing.discard(_current())
                self.progress.retries += 1
                self._logbook.warning(
                    "body_suspect",
                    f"{file}: {conversion.detail}; fetching it once more",
                    **_where(file.cell),
                    symbol=file.symbol,
                    reason=str(conversion.reason),
                )
                spool.restart()
            return await self._reject(file, conversion, spool, fetched, requests, attempt)
        finally:
            spool.close()

    async def _fetch(self, file: File, size: int, spool: Spool) -> Fetched:
        """Fetch once the day's share, if there is one, holds the file: by its estimated size first, then by what the source announces."""
        share = self._allowance
        if share is None:
            return await self._fetch_now(file, spool)
        transfer = share.open()
        requests, wanted = 0, min(max(size, share.least), share.share)
        try:
            while True:
                await share.reserve(transfer, wanted)
                try:
                    fetched = await self._fetch_now(
                        file, spool, on_bytes=partial(share.receive, transfer), admit=partial(share.try_reserve, transfer)
                    )
                except Postponed as postponed:
                    # The beginning of the body was on its way when the connection was closed.
                    share.receive(transfer, min(transfer.left, share.least))
                    requests, wanted = requests + postponed.requests, postponed.count
                    continue
                return replace(fetched, requests=fetched.requests + requests)
        finally:
            share.close(transfer)

    async def _fetch_now(
        self, file: File, spool: Spool, *, on_bytes: Callable[[int], None] = lambda _count: None, admit: Admit | None = None
    ) -> Fetched:
        name = str(file)

        def receive(count: int) -> None:
            self.progress.receive(name, count)
            on_bytes(count)

        async with self._fetch_slots:
            self.progress.fetching += 1
            reach(FaultPoint.FETCH_STARTED)
            try:
                self.progress.partial.pop(name, None)
                deadline = self._limits.file_deadline_seconds
                return await self._source.fetch(file, spool, deadline=deadline, on_bytes=receive, admit=admit)
            finally:
                self.progress.fetching -= 1

    async def _convert(self, file: File, spool: Spool, sink: Path | None) -> Conversion:
        data_type = require_data_type(file.cell.data_type)

        def work() -> Conversion:
            with self.progress.stage("waiting_to_convert", "converting"):
                return convert(spool.open(), sink, data_type=data_type, file=file, settings=ConvertSettings())

        self.progress.queue("waiting_to_convert")
        return await self._in_thread(self._converters, work)

    async def _commit(self, file: File, conversion: Conversion, sink: Path | None, fetched: Fetched, requests: int) -> Entry:
        data = sink if sink is not None else conversion.parquet
        assert data is not None

        def work() -> Entry:
            with self.progress.stage("waiting_to_commit", "committing"):
                committed = commit(self._data, file, conversion, data)
                reach(FaultPoint.OBJECT_CREATED)
            return Entry(
                symbol=file.symbol,
                outcome=Outcome.OK,
                rows=conversion.rows,
                source_bytes=conversion.source_bytes,
                object_bytes=committed.info.size,
                generation=committed.info.generation,
                crc32c=committed.info.crc32c,
                fingerprint=str(conversion.fingerprint),
                first_us=conversion.min_local_timestamp_us,
                last_us=conversion.max_local_timestamp_us,
                covered_minutes=conversion.covered_minutes,
                flags=conversion.flags,
                dropped_columns=conversion.dropped_columns,
                requests=requests,
                status=fetched.status,
            )

        self.progress.queue("waiting_to_commit")
        try:
            return await self._in_thread(self._uploads, work)
        except CommitConflict as error:
            return Entry(symbol=file.symbol, outcome=Outcome.FAILED, reason="conflict", detail=str(error), requests=requests)

    async def _reject(self, file: File, conversion: Conversion, spool: Spool, fetched: Fetched, requests: int, attempt: Attempt) -> Entry:
        """The outcome of a body that becomes no object: empty, failed, or quarantined with its bytes kept."""
        outcome = conversion.outcome
        if conversion.reason is Reason.ZERO_BYTES:
            outcome = Outcome.FAILED
        if outcome is Outcome.QUARANTINED:
            await self._in_thread(
                self._uploads,
                lambda: quarantine(
                    self._state,
                    file,
                    spool.read_all(),
                    run=attempt.run,
                    attempt=attempt.attempt,
                    reason=str(conversion.reason),
                    detail=conversion.detail,
                ),
            )
            reach(FaultPoint.QUARANTINE_WRITTEN)
        return Entry(
            symbol=file.symbol,
            outcome=outcome,
            reason=str(conversion.reason or ""),
            detail="" if outcome is Outcome.EMPTY else conversion.detail,
            source_bytes=conversion.source_bytes,
            fingerprint=str(conversion.fingerprint) if conversion.fingerprint else "",
            status=fetched.status,
            requests=requests,
        )

    async def _in_thread(self, pool: ThreadPoolExecutor, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *args)


@dataclass(slots=True)
class _CellWork:
    """A cell while it is worked on."""

    work: Work
    entries: dict[str, Entry] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    landing: set[asyncio.Task[None]] = field(default_factory=set)
    """Tasks past their download: at a stop they may finish."""
    writing: asyncio.Task[str] | None = None
    closed: bool = False


def _current() -> asyncio.Task[None]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _first(error: BaseException) -> BaseException:
    """The first single error in a group of errors that happened together."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _where(cell: Cell) -> dict[str, str]:
    return {"venue": cell.venue, "data_type": cell.data_type, "day": cell.day.isoformat()}
