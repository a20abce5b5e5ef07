"""A worker that stays after its work, and does the jobs it is given until its time is over.

Separate from `engine.worker`: there is no plan any more, no claim and no shard; only a heartbeat, a log, and one job after another,
each as a process of its own, so that what it does to its memory or its signals ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import TypeVar

import msgspec

from engine import jobs
from engine.clock import Clock, format_time, utc_now
from engine.draining import told_to_end
from engine.errors import EngineError, describe_exit
from engine.heartbeat import Heartbeat, read_heartbeat, write_heartbeat
from engine.jobs import Job
from engine.logbook import Logbook, LogObjects
from engine.store import Store
from engine.verb_process import run_verb

LOOK_SECONDS = 5.0
"""Between two looks for a job, and for the word to drain, at most: a worker that speaks more often looks more often."""

_Answer = TypeVar("_Answer")


class Keeper:
    """Keeps one VM until a moment. `run` may be awaited once."""

    def __init__(
        self,
        store: Store,
        run: str,
        vm: str,
        until: datetime,
        *,
        logbook: Logbook,
        log_objects: LogObjects,
        heartbeat_seconds: float,
        flush_seconds: float,
        clock: Clock = utc_now,
    ) -> None:
        """`until` is aware; `log_objects` goes on where the work left off."""
        self._store, self._run, self._vm, self._until = store, run, vm, until
        self._logbook, self._objects, self._clock = logbook, log_objects, clock
        self._heartbeat_seconds, self._flush_seconds = heartbeat_seconds, flush_seconds
        self._look_seconds = min(LOOK_SECONDS, heartbeat_seconds)
        self._stopped = asyncio.Event()
        self._reason = ""
        self._last: Heartbeat | None = None
        self._job: Job | None = None
        self._number, self._exit_code = 0, -1

    def stop(self, reason: str) -> None:
        """Take no new job, end the one in flight."""
        if not self._stopped.is_set():
            self._reason = reason
            self._stopped.set()

    async def run(self) -> None:
        """Do jobs until the time is over, the run is drained, or somebody says stop. A bucket that is away is asked again."""
        self._last = await self._ask(lambda: read_heartbeat(self._store, self._run, self._vm))
        await self._ask(self._close_cut_off)
        self._logbook.info("kept", f"stays for jobs until {format_time(self._until)}")
        async with self._background():
            while not self._stopped.is_set() and self._clock() < self._until:
                job = await self._ask(self._take_job)
                if job is not None:
                    await self._do(job)
                    continue
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), self._look_seconds)
        self._logbook.info("keep_ended", self._reason or "its time is over")
        await self._ask(self._beat)
        await self._ask(self._objects.flush)

    async def _do(self, job: Job) -> None:
        """Run a job that has begun, and write down how it ended."""
        self._job, self._number, self._exit_code = job, job.number, -1
        self._logbook.info("job_started", f"job {job.number}: engine {' '.join(job.arguments)}", job=job.number)
        await self._ask(self._beat)
        tail: deque[str] = deque(maxlen=jobs.TAIL)
        try:
            jobs.require_arguments(job.arguments)
            code = await self._execute(job, tail)
        except EngineError as error:
            tail.append(str(error))
            code = int(error.exit_code)
        self._job, self._exit_code = None, code
        self._logbook.info("job_ended", f"job {job.number} ended with {describe_exit(code)}", job=job.number, exit_code=code)
        await self._ask(self._objects.flush)
        lines = tuple(map(self._logbook.redact, tail))
        await self._ask(lambda: jobs.finish(self._store, job, exit_code=code, tail=lines, now=self._clock()))
        await self._ask(self._beat)

    async def _execute(self, job: Job, tail: deque[str]) -> int:
        def hear(line: str) -> None:
            tail.append(line)
            self._logbook.info("job_output", line, job=job.number)

        return await run_verb(job.arguments, self._stopped, hear)

    @contextlib.asynccontextmanager
    async def _background(self) -> AsyncIterator[None]:
        """Heartbeats, log objects and the drain signal, for the time of the block."""
        self._event_loop = asyncio.get_running_loop()
        loops = [
            asyncio.create_task(self._repeat(self._heartbeat_seconds, self._beat)),
            asyncio.create_task(self._repeat(self._flush_seconds, self._objects.flush)),
            asyncio.create_task(self._repeat(self._look_seconds, self._check_drain)),
        ]
        try:
            yield
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def _repeat(self, seconds: float, work: Callable[[], object]) -> None:
        while True:
            await self._ask(work)
            await asyncio.sleep(seconds)

    async def _ask(self, work: Callable[[], _Answer]) -> _Answer | None:
        """Do what blocks, in a thread; None if the bucket was away, which is logged."""
        try:
            return await asyncio.to_thread(work)
        except EngineError as error:
            self._logbook.warning("background_failed", str(error))
            return None

    def _take_job(self) -> Job | None:
        job = jobs.next_job(self._store, self._run, self._vm)
        return job if job is not None and jobs.begin(self._store, job, now=self._clock()) else None

    def _close_cut_off(self) -> None:
        for number in jobs.close_cut_off(self._store, self._run, self._vm, now=self._clock()):
            self._logbook.warning("job_cut_off", f"job {number} was cut off when this worker was last stopped", job=number)

    def _check_drain(self) -> None:
        if why := told_to_end(self._store, self._run, self._vm):
            self._event_loop.call_soon_threadsafe(self.stop, why)

    def _beat(self) -> None:
        """The last words of the work, with what we do since."""
        if self._last is None:
            return
        job = self._job
        self._last = msgspec.structs.replace(
            self._last,
            sequence=self._last.sequence + 1,
            written=self._clock(),
            state="kept",
            kept_until=self._until,
            job=self._number,
            job_exit_code=self._exit_code,
            current="" if job is None else f"job {job.number}: {' '.join(job.arguments)}"[:200],
        )
        write_heartbeat(self._store, self._last)
