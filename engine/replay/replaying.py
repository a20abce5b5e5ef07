"""Replay: raw messages of a venue, hour by hour, from the source into the lake.

The unit is the whole UTC hour, because that is what an object's name says. A range that begins or ends inside an hour is widened to
it; an hour that the source does not have as a whole yet is named and left for the next run. Hours that are in the bucket are not
asked for again, so a run that was killed costs the hour it was in. Covers today, which datasets do only the next morning.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from engine.errors import CommitConflict, EngineError, ExitCode, SourceError, Stopped, UsageError
from engine.fault_points import FaultPoint, reach
from engine.model import require_aware, require_venue
from engine.paths import raw_feed_object
from engine.replay.raw_feed import HOUR, DamagedHour, FeedFile, Selection, commit_feed, list_feed, require_same_selection
from engine.replay.raw_source import RawSource
from engine.store import ObjectInfo, Store

FEED_DELAY = timedelta(minutes=15)
"""How long after its end an hour can be asked for. Two pages of the vendor differ: 6 and 15 minutes."""

COMMIT_GRACE_SECONDS = 15.0
"""How long a commit in flight may take when the run is told to stop."""


class HourOutcome(StrEnum):
    """What became of an hour."""

    COMMITTED = "committed"
    PRESENT = "present"
    """It was in the bucket before, with the same selection."""
    CONFLICT = "conflict"
    """The bucket holds other content for it; nothing was overwritten."""
    DAMAGED = "damaged"
    """What the source sent is not whole."""
    NOT_READY = "not_ready"
    """The source does not have all of it yet."""
    LEFT = "left"
    """Not come to, because the run ended before."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to replay."""

    venue: str
    selection: Selection
    start: datetime
    end: datetime
    """Exclusive."""
    collection: str = ""
    """Name of the set of objects; "" is the usual one."""

    def __post_init__(self) -> None:
        require_venue(self.venue)
        if require_aware(self.end) <= require_aware(self.start):
            raise UsageError(
                f"the range {_text(self.start)}..{_text(self.end)} holds no time",
                hint="--to is exclusive: a whole day is --from 2024-05-01 --to 2024-05-02",
            )
        raw_feed_object(floor_hour(self.start), self.venue, self.collection)

    def hours(self) -> tuple[datetime, ...]:
        """The starts of all UTC hours that the range touches."""
        first = floor_hour(self.start)
        count = -((first - require_aware(self.end)) // HOUR)
        return tuple(first + n * HOUR for n in range(count))


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """Which hours are there, which can be fetched, and which the source does not have yet."""

    order: Order
    present: dict[datetime, ObjectInfo]
    missing: tuple[datetime, ...]
    not_ready: tuple[datetime, ...]

    @property
    def next_at(self) -> datetime | None:
        """When the next hour can be asked for; None if all can now."""
        return self.not_ready[0] + HOUR + FEED_DELAY if self.not_ready else None


def floor_hour(moment: datetime) -> datetime:
    """The start of the UTC hour that holds `moment`."""
    return require_aware(moment).replace(minute=0, second=0, microsecond=0)


def plan_replay(store: Store, order: Order, *, now: datetime) -> ReplayPlan:
    """Look what is in the bucket.

    Raises:
        CommitConflict: if an hour is there with another selection: then the whole set is somebody else's.
        UsageError: if the range begins in the future.
    """
    if order.start > require_aware(now):
        raise UsageError(f"{_text(order.start)} lies in the future", hint="--from and --to are UTC; --to now takes what there is")
    hours = order.hours()
    ready = [hour for hour in hours if hour + HOUR + FEED_DELAY <= now]
    present = dict(list_feed(store, order.venue, order.collection, hours))
    for info in present.values():
        require_same_selection(store.bucket, info, order.selection)
    return ReplayPlan(
        order=order,
        present=present,
        missing=tuple(hour for hour in ready if hour not in present),
        not_ready=tuple(hour for hour in hours[len(ready) :] if hour not in present),
    )


def require_offered(order: Order, answer: bytes, *, unlisted: bool = False) -> None:
    """Check an order against the source's answer about its venue.

    Args:
        order: what to replay.
        answer: body of `GET /v1/exchanges/{venue}`.
        unlisted: accept symbols that are not among the venue's instruments (indices have channels too).

    Raises:
        UsageError: naming the channel or symbol, and the nearest there is; or the first day of the venue.
        SourceError: if the answer cannot be read.
    """
    try:
        offered: dict[str, Any] = msgspec.json.decode(answer)
        channels = [str(name) for name in offered["availableChannels"]]
        symbols = [str(item["id"]) for item in offered.get("availableSymbols") or ()]
        since = offered.get("availableSince", "")
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise SourceError(f"the source's answer about {order.venue} cannot be read: {error}", hint="run again later") from error
    for name in order.selection.channels:
        if name not in channels:
            near = _near(name, channels)
            raise UsageError(f"{order.venue} has no channel {name!r}", hint=f"{near}it has {', '.join(channels)}")
    known = set(symbols)
    for symbol in order.selection.symbols:
        if symbol not in known and not unlisted:
            near = _near(symbol, symbols) or "symbols are written as the exchange does; "
            raise UsageError(f"{order.venue} lists no symbol {symbol!r}", hint=f"{near}--unlisted-symbols takes it as it is")
    if since[:10] > order.start.date().isoformat():
        raise UsageError(f"the source has {order.venue} since {since[:10]} only", hint=f"--from {since[:10]}")


def _near(word: str, known: Sequence[str]) -> str:
    folded = {name.casefold(): name for name in reversed(known)}
    close = difflib.get_close_matches(word.casefold(), folded, n=1)
    return f"did you mean {folded[close[0]]}? " if close else ""


@dataclass(frozen=True, slots=True)
class HourReport:
    """What became of one hour, with its proof."""

    hour: datetime
    outcome: HourOutcome
    object: str
    lines: int = 0
    disconnects: int = 0
    bytes: int = 0
    detail: str = ""


@dataclass(slots=True)
class ReplayReport:
    """How a run ended."""

    plan: ReplayPlan
    hours: list[HourReport] = field(default_factory=list)
    error: EngineError | None = None
    """Why the run ended before its last hour; None if it did not."""

    def count(self, *outcomes: HourOutcome) -> int:
        """How many hours ended so."""
        return sum(hour.outcome in outcomes for hour in self.hours)

    @property
    def exit_code(self) -> ExitCode:
        """The documented code: the reason of an early end, else 65 for hours that failed, else 75 while some are not ready."""
        if self.error is not None:
            return self.error.exit_code
        if self.count(HourOutcome.CONFLICT, HourOutcome.DAMAGED):
            return ExitCode.PARTIAL
        return ExitCode.TEMPORARY if self.plan.not_ready else ExitCode.DONE


class Replay:
    """Works through the hours of a plan. `run` may be awaited once."""

    def __init__(
        self,
        plan: ReplayPlan,
        store: Store,
        source: RawSource,
        *,
        on_hour: Callable[[HourReport], None] = lambda _hour: None,
    ) -> None:
        """`on_hour` hears of each hour as it ends."""
        self._plan, self._store, self._source, self._on_hour = plan, store, source, on_hour
        self._uploads = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._task: asyncio.Task[None] | None = None
        self._stopped = ""

    def stop(self, reason: str) -> None:
        """Drop the hour in flight, let a commit in flight land, end with exit code 75. More than once is fine."""
        if not self._stopped:
            self._stopped = reason
            if self._task is not None:
                self._task.cancel()

    async def run(self) -> ReplayReport:
        """Fetch and commit the missing hours, oldest first. What goes wrong is in the report."""
        report = ReplayReport(self._plan)
        for hour, info in sorted(self._plan.present.items()):
            report.hours.append(_of_metadata(hour, info))
        self._task = asyncio.create_task(self._work(report))
        if self._stopped:
            self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            if not self._stopped:
                raise
            report.error = Stopped(f"stopped by {self._stopped}", hint="run the same command again, it goes on with the missing hours")
        except EngineError as error:
            report.error = error
        finally:
            # A commit that still waits for the bucket must not hold back the end.
            self._uploads.shutdown(wait=False, cancel_futures=True)
        done = {hour.hour for hour in report.hours}
        for hours, outcome in ((self._plan.missing, HourOutcome.LEFT), (self._plan.not_ready, HourOutcome.NOT_READY)):
            report.hours += [HourReport(hour, outcome, self._name(hour)) for hour in hours if hour not in done]
        report.hours.sort(key=lambda hour: hour.hour)
        return report

    async def _work(self, report: ReplayReport) -> None:
        for hour in self._plan.missing:
            order = self._plan.order
            reach(FaultPoint.FETCH_STARTED)
            try:
                feed = await self._source.fetch(order.venue, order.selection, hour)
            except DamagedHour as error:
                self._note(report, HourReport(hour, HourOutcome.DAMAGED, self._name(hour), detail=str(error)))
                continue
            reach(FaultPoint.BODY_RECEIVED)
            await self._commit(feed, report)

    async def _commit(self, feed: FeedFile, report: ReplayReport) -> None:
        """Create the object; a stop waits a while for it, so that the report knows what is in the bucket."""
        committing = asyncio.get_running_loop().run_in_executor(self._uploads, self._create, feed)
        try:
            await asyncio.wait({committing})
        except asyncio.CancelledError:
            await asyncio.wait({committing}, timeout=COMMIT_GRACE_SECONDS)
            if committing.done() and not committing.exception():
                self._note(report, committing.result())
            raise
        self._note(report, committing.result())

    def _create(self, feed: FeedFile) -> HourReport:
        order, name = self._plan.order, self._name(feed.hour)
        try:
            committed = commit_feed(self._store, order.venue, order.collection, order.selection, feed)
        except CommitConflict as error:
            return HourReport(feed.hour, HourOutcome.CONFLICT, name, feed.lines, feed.disconnects, feed.size, f"{error} ({error.hint})")
        finally:
            feed.path.unlink(missing_ok=True)
        reach(FaultPoint.OBJECT_CREATED)
        outcome = HourOutcome.PRESENT if committed.already else HourOutcome.COMMITTED
        return HourReport(feed.hour, outcome, name, feed.lines, feed.disconnects, feed.size)

    def _note(self, report: ReplayReport, hour: HourReport) -> None:
        report.hours.append(hour)
        self._on_hour(hour)

    def _name(self, hour: datetime) -> str:
        return raw_feed_object(hour, self._plan.order.venue, self._plan.order.collection)


def _of_metadata(hour: datetime, info: ObjectInfo) -> HourReport:
    lines, disconnects = (int(info.metadata.get(key, 0)) for key in ("lines", "disconnects"))
    return HourReport(hour, HourOutcome.PRESENT, info.name, lines, disconnects, info.size)


def _text(moment: datetime) -> str:
    return f"{require_aware(moment):%Y-%m-%dT%H:%MZ}"
