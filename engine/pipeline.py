"""Fetch -> convert -> commit: how a file of a shard is downloaded.

One asyncio task per file carries it through the stages. Downloads run concurrently across symbols, types and days; conversions in
a pool of threads (decompression, parsing and writing all release the GIL); commits of small objects on the event loop, of others in a
second pool. The stages overlap, and what is between the start of a download and the end of a commit is bounded by count and by bytes
(`engine.admission`).
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from engine.allowance import Allowance
from engine.catalogue import Catalogue
from engine.clock import Clock
from engine.commit import commit, commit_small, is_there, list_committed, quarantine
from engine.conversion.convert import Conversion, ConvertSettings, Reason, convert
from engine.datatypes import require_data_type
from engine.errors import CommitConflict
from engine.fault_points import FaultPoint, reach
from engine.logbook import Logbook
from engine.manifest import Entry, read_cell
from engine.model import File, Outcome
from engine.plan import Shard, Work
from engine.shard_run import Attempt, CellWork, Limits, Progress, ShardRun, current_task, where
from engine.small_conversions import MOST_SOURCE_BYTES, SmallConversions, processes_for
from engine.small_objects import SmallObjects
from engine.source import Admit, Fetched, Postponed, Source
from engine.spool import Spool
from engine.store import Store

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

CONVERSION_FACTOR = 3
"""Memory of a file in flight over its compressed size: the body, its Parquet, and a block of text between them."""


class Pipeline(ShardRun):
    """Downloads the files of shards."""

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
        ask_again: of `empty` and `waived`, what is fetched again; committed files never are.
        refetch_adopted: fetch also what was adopted from the system before.
        The others are those of `ShardRun`.
        """
        super().__init__(
            data=data,
            state=state,
            limits=limits,
            logbook=logbook,
            clock=clock,
            stopped=stopped,
            progress=progress,
            folder=folder,
            on_outcome=on_outcome,
        )
        self._source, self._catalogues = source, catalogues
        self._ask_again = ask_again
        self._refetch_adopted = refetch_adopted
        self._fetch_slots = asyncio.Semaphore(limits.downloads)
        self._commit_slots = asyncio.Semaphore(limits.uploads)
        self._small_objects = SmallObjects(data, connections=limits.uploads)
        self._small_conversions = SmallConversions(self._converters, self.progress, logbook, processes=processes_for(limits))

    async def run(self, shard: Shard, attempt: Attempt, allowance: Allowance | None = None) -> Counter[Outcome]:
        """Give every file of the shard an outcome and every cell a manifest; see `ShardRun.run`."""
        async with self._small_objects:
            return await super().run(shard, attempt, allowance)

    def close(self) -> None:
        """Also ends the processes that convert; see `ShardRun.close`."""
        super().close()
        self._small_conversions.close()

    def limited_by(self) -> str:
        """What limits the work at this moment: cpu, network, source 429, allowance, upload, memory; empty when nothing runs."""
        if self._source.throttle.remaining > 0:
            return self._source.throttle.reason
        if self._allowance is not None and self._allowance.waiting and not self.progress.fetching:
            return "allowance"
        return super().limited_by()

    def catalogue_of(self, venue: str) -> str:
        """The catalogue object that said what to expect."""
        catalogue = self._catalogues.get(venue)
        return catalogue.object_name if catalogue else ""

    def room(self, size: int) -> int:
        """The body, its Parquet, and a block of text between them."""
        return min(max(size, 64 << 10), self._limits.spool_memory_bytes) * CONVERSION_FACTOR

    async def known(self, work: Work) -> dict[str, Entry]:
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
        to_come = (size for symbol, size in zip(work.symbols, work.bytes, strict=True) if symbol not in committed)
        self._small_conversions.expect(sum(size <= MOST_SOURCE_BYTES for size in to_come))
        return committed

    async def outcome(self, file: File, size: int, cell: CellWork, attempt: Attempt) -> Entry:
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
                cell.landing.add(current_task())
                with self._sink(fetched.length) as sink:
                    conversion = await self._convert(file, spool, sink)
                    reach(FaultPoint.CONVERTED)
                    if conversion.outcome is Outcome.OK:
                        return await self._commit(file, conversion, sink, fetched, requests)
                if conversion.outcome is Outcome.EMPTY or conversion.reason not in REFETCH_REASONS or last:
                    break
                cell.landing.discard(current_task())
                self.progress.retries += 1
                self._logbook.warning(
                    "body_suspect",
                    f"{file}: {conversion.detail}; fetching it once more",
                    **where(file.cell),
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

    @contextmanager
    def _sink(self, size: int) -> Iterator[Path | None]:
        """Where the Parquet of a body of so many bytes goes: memory (None), or a file that is gone after the block."""
        if size <= self._limits.spool_memory_bytes:
            yield None
            return
        with tempfile.TemporaryDirectory(dir=self._scratch.path) as folder:
            yield Path(folder, "file.parquet")

    async def _convert(self, file: File, spool: Spool, sink: Path | None) -> Conversion:
        if spool.length <= MOST_SOURCE_BYTES:
            return await self._small_conversions.convert(file, spool.read_all())
        data_type = require_data_type(file.cell.data_type)

        def work() -> Conversion:
            with self.progress.stage("waiting_to_convert", "converting"):
                return convert(spool.open(), sink, data_type=data_type, file=file, settings=ConvertSettings())

        self.progress.queue("waiting_to_convert")
        return await self._in_thread(self._converters, work)

    async def _commit(self, file: File, conversion: Conversion, sink: Path | None, fetched: Fetched, requests: int) -> Entry:
        data = sink if sink is not None else conversion.parquet
        assert data is not None

        self.progress.queue("waiting_to_commit")
        try:
            async with self._commit_slots:
                with self.progress.stage("waiting_to_commit", "committing"):
                    if isinstance(data, bytes) and self._small_objects.takes(len(data)):
                        committed = await commit_small(self._small_objects, file, conversion, data)
                    else:
                        committed = await self._in_thread(self._uploads, commit, self._data, file, conversion, data)
        except CommitConflict as error:
            return Entry(symbol=file.symbol, outcome=Outcome.FAILED, reason="conflict", detail=str(error), requests=requests)
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
