"""One `engine work` process: finds its shards, claims them, works through them, says how it is, stops when told.

It needs nobody: a console may come and go. While it works it writes a heartbeat and its log; when its own shards are done it may
take over one whose worker was lost; when it is stopped (SIGTERM, preemption, drain) it writes down what is known and leaves the
rest to the next attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psutil

from engine import __version__
from engine.admission import memory_used
from engine.allowance import Allowance
from engine.catalogue import Catalogue, load_catalogue_table
from engine.claims import Held, State, list_claims, release, take
from engine.clock import Clock, format_bytes, format_seconds, format_time, monotonic, utc_now
from engine.draining import told_to_end
from engine.errors import ConfigurationError, EngineError, ExitCode, StoreError, describe_exit
from engine.failure_budget import parse_budget
from engine.fault_points import FaultPoint, reach
from engine.heartbeat import Heartbeat, list_heartbeats, write_heartbeat
from engine.jobs import require_arguments
from engine.launch import find_vm, read_launches
from engine.logbook import Logbook, LogObjects
from engine.manifest import Entry, recorded_outcomes
from engine.memory_limit import memory_limit
from engine.model import BAD_OUTCOMES, File, Outcome
from engine.pipeline import Pipeline
from engine.plan import Plan, Request
from engine.settings import Settings
from engine.shard_run import Attempt, Limits, Progress, ShardRun
from engine.source import Source
from engine.store import Store
from engine.throttle import Throttle
from engine.verb_process import run_verb

WATCHERS = 2
"""How many idle workers stay to look for lost shards; the others end."""

DRAIN_CHECK_SECONDS = 5.0

ENDED = frozenset({"done", "stopped", "failed"})
"""States in which a stop comes too late to change anything."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who works, and on what."""

    run: str
    vm: str
    shards: tuple[int, ...]
    attempt: int = 1
    gone: frozenset[str] = frozenset()
    """VMs that the launch record says this one replaces: their claims may be taken at once."""


@dataclass(frozen=True, slots=True)
class Places:
    """The two buckets."""

    data: Store
    state: Store


@dataclass(frozen=True, slots=True)
class Report:
    """How the work ended."""

    exit_code: ExitCode
    outcomes: Mapping[Outcome, int]
    shards_done: int
    files_total: int
    files_done: int
    files_resumed: int
    rows: int
    source_bytes: int
    seconds: float
    reason: str = ""


def limits_from(settings: Settings) -> Limits:
    """What the worker may use at once, from its settings."""
    return Limits(
        downloads=settings.whole("max_concurrent"),
        converters=settings.whole("converters"),
        uploads=settings.whole("max_uploads"),
        bytes_in_flight=settings.whole("bytes_in_flight") << 20,
        memory_bytes=int(memory_limit() * settings.number("memory_threshold") / 100),
        spool_memory_bytes=settings.whole("spool_memory") << 20,
        file_deadline_seconds=settings.number("file_deadline"),
    )


def ask_again(request: Request) -> frozenset[Outcome]:
    """Which settled answers of the source (empty, waived) a request wants to hear anew."""
    settled = frozenset({Outcome.EMPTY, Outcome.WAIVED})
    return settled if request.refetch else settled & frozenset(request.retry_outcomes)


def find_identity(state: Store, run: str, vm: str) -> tuple[Identity, str]:
    """Look the VM up in the run's launch records; returns who it is and the plan's id.

    Raises:
        ConfigurationError: if the run or the VM is unknown.
    """
    records = read_launches(state, run)
    if not records:
        raise ConfigurationError(f"run {run!r} has no launch record in bucket {state.bucket}", hint="check --run and the bucket")
    record, launched = find_vm(records, vm)
    gone = frozenset(filter(None, launched.replaces.split(",")))
    return Identity(run, vm, launched.shards, launched.attempt, gone), record.plan


class JobFailed(EngineError):
    """The verb that a plan is ended badly."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, hint="its output is in the log of the VM")
        # A code that is none of ours (a signal, a crash) is worth another try.
        self.exit_code = ExitCode(code) if code in set(map(int, ExitCode)) else ExitCode.UNAVAILABLE


class Worker:
    """Works on the shards of one identity. `run` may be awaited once."""

    def __init__(
        self,
        identity: Identity,
        plan: Plan,
        places: Places,
        source: Source | None,
        settings: Settings,
        logbook: Logbook,
        *,
        clock: Clock = utc_now,
        heal: bool = True,
        again: bool = False,
        on_outcome: Callable[[File, Entry], None] | None = None,
    ) -> None:
        """Args:
        source: None for work that asks no source.
        heal: take over shards of lost workers once our own are done.
        again: work on our own shards also if the run has finished them: they were planned anew.
        """
        self.identity, self.plan, self.places = identity, plan, places
        self.progress = Progress()
        self.stopped = asyncio.Event()
        self._stop_reason = ""
        self._source, self._settings, self._logbook, self._clock, self._heal = source, settings, logbook, clock, heal
        self._on_outcome = on_outcome
        self._budget, self._over_budget = parse_budget(plan.request.max_failures), False
        self._files_assigned = sum(plan.shard(index).files for index in identity.shards)
        self._again = again
        self._state = "starting"
        self._shard, self._attempt = -1, identity.attempt
        self._shards_done = 0
        self._shards_total = len(identity.shards)
        self._errors, self._last_error = 0, ""
        self._job, self._job_code = "", -1
        self._sequence = 0
        self._started = self._progressed = clock()
        self._marks: tuple[object, ...] = ()
        self._stale_after = timedelta(seconds=settings.number("stale_seconds"))
        self._process = psutil.Process()
        self._pipeline: ShardRun | None = None
        self.log_objects = LogObjects(places.state, logbook, run=identity.run, vm=identity.vm, attempt=identity.attempt)
        logbook.on_error(self._hear_error)

    def stop(self, reason: str) -> None:
        """Take no new work, finish or drop what is in flight, end with exit code 75."""
        if not self.stopped.is_set() and self._state not in ENDED:
            self._stop_reason = reason
            self._state = "stopping"
            self._logbook.warning("stopping", f"stopping: {reason}")
            self.stopped.set()
            reach(FaultPoint.STOP_HEARD)

    async def run(self) -> Report:
        """Work until all shards are done, or until stopped.

        Raises:
            EngineError: what ended the work early; the last heartbeat and log object are written before.
        """
        began = monotonic()
        self._event_loop = asyncio.get_running_loop()
        counts: Counter[Outcome] = Counter()
        left: list[int] = []
        others: Counter[Outcome] = Counter()
        outcome: ExitCode | None = None
        try:
            async with self._background():
                catalogues = await asyncio.to_thread(self._load_catalogues)
                self._pipeline = self._open_pipeline(catalogues)
                for shard in self.identity.shards:
                    if self.stopped.is_set():
                        break
                    if not await self._work_on(shard, counts, gone=self.identity.gone, again=self._again):
                        self._logbook.info("shard_taken", f"shard {shard} is done, or another worker has it", shard=shard)
                        left.append(shard)
                if self._heal and not self.stopped.is_set():
                    await self._take_over(counts)
                # Who finds everything done must not say that all is well where the one who did it could not.
                for shard in left if not self.stopped.is_set() else ():
                    others += await asyncio.to_thread(self._recorded, shard)
            outcome = self._exit_code(counts + others)
        except EngineError as error:
            outcome = error.exit_code
            self._state = "failed"
            self._logbook.error("worker_failed", str(error))
            raise
        finally:
            if self._pipeline is not None:
                self._pipeline.close()
            await self._say_goodbye(outcome)
        return Report(
            exit_code=outcome,
            outcomes=counts,
            shards_done=self._shards_done,
            files_total=self.progress.files_total,
            files_done=self.progress.files_done,
            files_resumed=self.progress.files_resumed,
            rows=self.progress.rows,
            source_bytes=self.progress.source_bytes,
            seconds=monotonic() - began,
            reason=self._stop_reason,
        )

    def _open_pipeline(self, catalogues: Mapping[str, Catalogue]) -> ShardRun:
        """What carries out this plan's mode.

        Raises:
            ConfigurationError: if it needs the source, and there is none.
        """
        request = self.plan.request
        frame: dict[str, Any] = {
            "data": self.places.data,
            "state": self.places.state,
            "limits": limits_from(self._settings),
            "logbook": self._logbook,
            "clock": self._clock,
            "stopped": self.stopped,
            "progress": self.progress,
            "on_outcome": self._count_outcome,
        }
        if request.mode == "candles":
            from engine.candles.pipeline import CandlePipeline, options_of

            return CandlePipeline(options_of(request), **frame)
        if self._source is None:
            raise ConfigurationError(f"plan {self.plan.id} is for {request.mode}, which needs the source")
        again = ask_again(request)
        return Pipeline(source=self._source, catalogues=catalogues, ask_again=again, refetch_adopted=request.refetch_adopted, **frame)

    @property
    def _throttle(self) -> Throttle | None:
        """How the source slows us down; None for work that asks no source."""
        return None if self._source is None else self._source.throttle

    def _count_outcome(self, file: File, entry: Entry) -> None:
        """Hear of a file's end: pass it on, and stop once the failure budget is used up."""
        if self._on_outcome is not None:
            self._on_outcome(file, entry)
        bad, total = self.progress.files_bad, max(self.progress.files_total, self._files_assigned)
        if entry.outcome in BAD_OUTCOMES and not self._budget.allows(bad, total) and not self._over_budget:
            self._over_budget = True
            self.stop(f"{bad} of {total} files ended bad, the last {file} {entry.outcome}: more than --max-failures allows")

    def _exit_code(self, counts: Mapping[Outcome, int]) -> ExitCode:
        if self.stopped.is_set():
            self._state = "stopped"
            return ExitCode.PARTIAL if self._over_budget else ExitCode.TEMPORARY
        self._state = "done"
        if self._job_code == ExitCode.PARTIAL:
            return ExitCode.PARTIAL
        if any(counts[outcome] for outcome in BAD_OUTCOMES if outcome in counts):
            return ExitCode.PARTIAL
        return ExitCode.TEMPORARY if counts.get(Outcome.NOT_READY) else ExitCode.DONE

    def _load_catalogues(self) -> dict[str, Catalogue]:
        found = {}
        for venue, name in self.plan.catalogues.items():
            catalogue = load_catalogue_table(self.places.state, name)
            if catalogue is None:
                raise ConfigurationError(f"the plan's catalogue {name} is not in bucket {self.places.state.bucket}")
            found[venue] = catalogue
        return found

    def _recorded(self, shard: int) -> Counter[Outcome]:
        work = self.plan.shard(shard).work
        return recorded_outcomes(self.places.state, self.identity.run, shard, {item.cell for item in work})

    async def _work_on(self, shard: int, counts: Counter[Outcome], *, gone: frozenset[str] = frozenset(), again: bool = False) -> bool:
        """Claim a shard and work through it. False if somebody else has it, or it is done."""
        state, run, vm = self.places.state, self.identity.run, self.identity.vm
        held = await asyncio.to_thread(
            take, state, run, shard, vm, now=self._clock(), gone=gone, again=again, stale_after=self._stale_after
        )
        if held is None:
            return False
        reach(FaultPoint.CLAIM_TAKEN)
        self._shard, self._attempt = shard, held.claim.attempt
        self._state = "working"
        self._logbook.bind(shard=shard, attempt=held.claim.attempt)
        work = self.plan.shard(shard)
        self._logbook.info("shard_started", f"shard {shard}, attempt {held.claim.attempt}: {work.files} files", files=work.files)
        assert self._pipeline is not None
        attempt = Attempt(run, shard, held.claim.attempt, vm)
        share = self._share_of(shard, work.daily_bytes) if work.daily_bytes else None
        try:
            if self.plan.job:
                found: Mapping[Outcome, int] = {}
                await self._do_job()
            else:
                found = await self._pipeline.run(work, attempt, share)
        except BaseException:
            await self._release(held, "stopped")
            raise
        counts.update(found)
        finished = not self.stopped.is_set() if self.plan.job else sum(found.values()) == work.files
        reach(FaultPoint.SHARD_FINISHED)
        await self._release(held, "done" if finished else "stopped")
        reach(FaultPoint.CLAIM_RELEASED)
        self._shards_done += finished
        if not self.plan.job:
            self._logbook.info(
                "shard_finished" if finished else "shard_stopped",
                f"shard {shard}: {_summarize(found, work.files)}",
            )
        return True

    async def _do_job(self) -> None:
        """Run the verb that the plan is, instead of files.

        Raises:
            JobFailed: if it ended badly and not because we were told to stop.
        """
        words = " ".join(self.plan.job)
        self._job = words
        self._logbook.info("job_started", f"engine {words}")
        last = ""

        def hear(line: str) -> None:
            nonlocal last
            last = line.strip() or last
            self._logbook.info("job_output", line)

        self._job_code = await run_verb(require_arguments(self.plan.job), self.stopped, hear)
        self._job = ""
        self._logbook.info("job_ended", f"engine {words} ended with {describe_exit(self._job_code)}")
        if not self.stopped.is_set() and self._job_code not in (ExitCode.DONE, ExitCode.PARTIAL):
            raise JobFailed(f"engine {self.plan.job[0]} ended with {describe_exit(self._job_code)}: {last}", self._job_code)

    def _share_of(self, shard: int, daily_bytes: int) -> Allowance:
        """The shard's share of the daily cap. That it is used up is said, because nothing else moves until midnight."""

        def tell(until: datetime) -> None:
            self._logbook.warning(
                "allowance_spent",
                f"shard {shard} has used or reserved its share of the day's cap ({format_bytes(daily_bytes)}); "
                f"what does not fit into the rest waits, until {until:%Y-%m-%d %H:%M} UTC at the latest",
                until=format_time(until),
            )

        return Allowance(self.places.state, self.identity.run, shard, daily_bytes, clock=self._clock, on_wait=tell)

    async def _release(self, held: Held, state: State) -> None:
        with contextlib.suppress(StoreError):
            await asyncio.to_thread(release, self.places.state, held, state, now=self._clock())

    async def _take_over(self, counts: Counter[Outcome]) -> None:
        """While another worker's shard is unfinished, be there for it: the two lowest-numbered idle workers stay."""
        while not self.stopped.is_set():
            claims = await asyncio.to_thread(list_claims, self.places.state, self.identity.run)
            asked = await asyncio.to_thread(self._asked_for)
            open_shards = [shard for shard in sorted(asked) if shard not in claims or claims[shard].claim.state != "done"]
            if not open_shards:
                return
            for shard in open_shards:
                # A VM that was asked for and never came claims nothing: its shards are free once it should have been here.
                if (shard in claims or self._clock() - asked[shard] > self._stale_after) and await self._work_on(shard, counts):
                    break
            else:
                self._state = "idle"
                if not await self._stays():
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stopped.wait(), self._settings.number("heal_seconds"))

    def _asked_for(self) -> dict[int, datetime]:
        """The shards that VMs were asked for, and when: a part of a plan may have been launched, or the rest be still to come."""
        records = read_launches(self.places.state, self.identity.run)
        if not records:
            return {shard.index: self._clock() for shard in self.plan.shards}
        return {shard: record.created for record in records for launched in record.vms.values() for shard in launched.shards}

    async def _stays(self) -> bool:
        heartbeats = await asyncio.to_thread(list_heartbeats, self.places.state, self.identity.run)
        now = self._clock()
        idle = {heartbeat.vm for heartbeat in heartbeats if heartbeat.state == "idle" and not _is_old(heartbeat, now)}
        return self.identity.vm in sorted({*idle, self.identity.vm}, key=_natural)[:WATCHERS]

    @contextlib.asynccontextmanager
    async def _background(self) -> AsyncIterator[None]:
        """Heartbeats, log objects and the drain signal, for the time of the block."""
        loops = [
            asyncio.create_task(self._repeat(self._settings.number("heartbeat_seconds"), self._beat)),
            asyncio.create_task(self._repeat(self._settings.number("log_flush_seconds"), self._flush_log, first=False)),
            asyncio.create_task(self._repeat(DRAIN_CHECK_SECONDS, self._check_drain)),
        ]
        try:
            yield
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def _repeat(self, seconds: float, work: Callable[[], object], *, first: bool = True) -> None:
        """Call blocking `work` in a thread every `seconds`; a failure is logged and the next call comes all the same."""
        while True:
            if first:
                try:
                    await asyncio.to_thread(work)
                except EngineError as error:
                    self._logbook.warning("background_failed", f"{work.__name__.strip('_')}: {error}")
            first = True
            await asyncio.sleep(seconds)

    def _beat(self) -> None:
        write_heartbeat(self.places.state, self._heartbeat())

    def _flush_log(self) -> None:
        self.log_objects.flush()

    def _check_drain(self) -> None:
        if why := told_to_end(self.places.state, self.identity.run, self.identity.vm):
            self._event_loop.call_soon_threadsafe(self.stop, why)

    def _heartbeat(self, exit_code: int = -1) -> Heartbeat:
        self._sequence += 1
        progress, pipeline, throttle = self.progress, self._pipeline, self._throttle
        written = self._clock()
        # Of a verb nothing is counted: as long as it runs it counts as getting on.
        running = self._sequence if self._job else 0
        transfers = (progress.files_done, progress.rows, progress.source_bytes, progress.bytes_so_far)
        marks = (self._state, self._shard, self._attempt, transfers, running)
        if marks != self._marks:
            self._marks, self._progressed = marks, written
        return Heartbeat(
            run=self.identity.run,
            vm=self.identity.vm,
            sequence=self._sequence,
            written=written,
            started=self._started,
            progressed=self._progressed,
            state="paused" if self._state == "working" and throttle is not None and throttle.remaining > 10 else self._state,
            shard=self._shard,
            attempt=self._attempt,
            shards_done=self._shards_done,
            shards_total=self._shards_total,
            files_done=progress.files_done,
            files_total=max(progress.files_total, self._files_assigned),
            files_resumed=progress.files_resumed,
            files_bad=progress.files_bad,
            rows=progress.rows,
            source_bytes=progress.source_bytes,
            bytes_total=max(progress.bytes_total, sum(self.plan.shard(index).bytes for index in self.identity.shards)),
            bytes_done=progress.bytes_so_far,
            bytes_per_second=round(progress.rate(), 1),
            limited_by=pipeline.limited_by() if pipeline is not None and self._state == "working" else "",
            cpu_percent=self._process.cpu_percent(None),
            rss_bytes=memory_used(),
            retries=progress.retries,
            throttled=throttle.hits if throttle is not None else 0,
            errors=self._errors,
            last_error=self._last_error,
            current=f"engine {self._job}"[:200] if self._job else progress.oldest(),
            exit_code=exit_code,
            engine_version=__version__,
        )

    async def _say_goodbye(self, code: ExitCode | None) -> None:
        """The last heartbeat and log object; a bucket that is gone must not hide why we end."""
        self._logbook.info("worker_ended", f"ends with {describe_exit(int(code)) if code is not None else 'exit code ?'}", exit_code=code)
        with contextlib.suppress(EngineError):
            await asyncio.to_thread(self.log_objects.flush)
        reach(FaultPoint.LOG_WRITTEN)
        with contextlib.suppress(EngineError):
            heartbeat = self._heartbeat(int(code) if code is not None else int(ExitCode.UNAVAILABLE))
            await asyncio.to_thread(write_heartbeat, self.places.state, heartbeat)
        reach(FaultPoint.GOODBYE_SAID)

    def _hear_error(self, message: str) -> None:
        self._errors += 1
        self._last_error = message

    @property
    def over_budget(self) -> bool:
        """Whether it stopped by itself because too many files ended bad."""
        return self._over_budget

    def install_signals(self) -> None:
        """Let SIGTERM and SIGINT stop the work. Call inside the running loop, in the main thread."""
        install_signals(self.stop)


def install_signals(stop: Callable[[str], None]) -> None:
    """Let SIGTERM and SIGINT call `stop` with their name. Call inside the running loop, in the main thread."""
    loop = asyncio.get_running_loop()

    def hear(signum: int, _frame: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the work with it
            loop.call_soon_threadsafe(stop, f"signal {signal.Signals(signum).name}")

    # Not the loop's own handlers: those end with the loop, and a second SIGTERM would then kill the process on its way out.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, hear)


def _is_old(heartbeat: Heartbeat, now: datetime) -> bool:
    return (now - heartbeat.written).total_seconds() > 120


def _natural(name: str) -> tuple[int, str]:
    """Sort key that puts `...-2` before `...-10`."""
    tail = name.rsplit("-", 1)[-1]
    return (int(tail) if tail.isdigit() else 1 << 30, name)


def describe(report: Report) -> str:
    """One line about how the work ended."""
    line = (
        f"{_summarize(report.outcomes, report.files_total)}; {report.files_resumed} were committed before; "
        f"{report.rows} rows in {format_seconds(report.seconds)}"
    )
    return f"{line}; {report.reason}" if report.reason else line


def _summarize(outcomes: Mapping[Outcome, int], files: int) -> str:
    """How many of the files have an outcome, and which."""
    if not outcomes:
        return f"none of {files} files has an outcome"
    parts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"{sum(outcomes.values())} of {files} files have an outcome ({parts})"
