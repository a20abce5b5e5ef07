"""`engine replay`: raw exchange messages of a range, whole UTC hours, into the lake."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from datetime import datetime, timedelta
from typing import Any

import click

from engine.clock import format_bytes, format_time, parse_day, parse_time, utc_now
from engine.errors import ExitCode, UsageError
from engine.instruments.writing import ask_venue
from engine.logbook import Logbook
from engine.model import day_start
from engine.replay.raw_feed import HOUR, select
from engine.replay.raw_source import MINUTES, RawSource, pass_proxies_by
from engine.replay.replaying import HourOutcome, HourReport, Order, Replay, ReplayPlan, ReplayReport, plan_replay, require_offered
from engine.scratch import Scratch
from engine.settings import Settings, resolve
from engine.source import Source
from engine.store import Store
from engine.verbs.opening import open_places
from engine.verbs.options import Words, of_option
from engine.verbs.status_line import StatusLine

_CATALOGUE_ATTEMPTS = 4
_HOURS_BACK = re.compile(r"(\d{1,4})h")


class Moment(click.ParamType[datetime]):
    """A moment: `2024-05-01` (its midnight, UTC), `2024-05-01T10:00Z`, `now`, `today`, `yesterday`, `7d`, or `3h` for three hours ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ARG002
        """Read the text, or fail with the forms that work. A time of day without a zone is refused."""
        if isinstance(value, datetime):
            return value
        word, now = str(value).strip(), utc_now()
        try:
            if word.lower() == "now":
                return now
            if match := _HOURS_BACK.fullmatch(word.lower()):
                return now - timedelta(hours=int(match[1]))
            if "T" in word.upper() and word[:1].isdigit():
                return parse_time(word)
            return day_start(parse_day(word, today=now.date()))
        except UsageError as error:
            raise of_option(error, param) from error


@click.command("replay")
@click.option("--venue", required=True, help="Tardis exchange id.")
@click.option("--channels", type=Words(), required=True, help="The exchange's own channels, e.g. trade,depth.")
@click.option("--symbols", type=Words(), help="Symbols as the exchange writes them, e.g. btcusdt [all of the channels].")
@click.option("--from", "start", type=Moment(), required=True, help="2024-05-01, 2024-05-01T10:00Z, 7d, 3h (hours ago); UTC.")
@click.option("--to", "end", type=Moment(), required=True, help="Exclusive. Also: now, today, yesterday.")
@click.option("--set", "collection", default="", help="Keep this choice of channels and symbols apart under a name.")
@click.option("--unlisted-symbols", is_flag=True, help="Take symbols that are no instruments of the venue, such as indices.")
@click.option("--dry-run", is_flag=True, help="Say which hours would be fetched, and with how many requests.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--data-bucket", envvar=["DATA_BUCKET", "GCS_BUCKET"], help="Bucket of the lake.")
def replay_command(**options: Any) -> int:
    """Fetch raw exchange messages, one object for each UTC hour.

    A range that begins or ends inside an hour is widened to it. Hours that are in the bucket are not fetched again. An hour can be
    fetched a quarter of an hour after its end: until then the exit code is 75, and the same command goes on later.
    """
    return asyncio.run(replay(**options))


async def replay(
    *,
    venue: str,
    channels: tuple[str, ...],
    symbols: tuple[str, ...] | None,
    start: datetime,
    end: datetime,
    collection: str,
    unlisted_symbols: bool,
    dry_run: bool,
    as_json: bool,
    data_bucket: str | None,
) -> int:
    """`engine replay`: plan the hours, fetch and commit what is missing, say what became of each."""
    settings = resolve(flags={"data_bucket": data_bucket})
    order = Order(venue, select(channels, symbols or ()), start, end, collection)
    pass_proxies_by(settings.text("api_url"))
    store = open_places(settings).data
    plan = await asyncio.to_thread(plan_replay, store, order, now=utc_now())
    if plan.missing:
        require_offered(order, await _venue(settings, venue), unlisted=unlisted_symbols)
    if dry_run:
        click.echo(json.dumps(_preview(plan)) if as_json else _describe_preview(plan))
        return ExitCode.DONE
    report = await _run(plan, store, settings, shown=sys.stderr.isatty() and not as_json, as_json=as_json)
    if as_json:
        click.echo(json.dumps(_as_json(report)))
    elif report.count(HourOutcome.LEFT) < len(report.hours):
        click.echo(_describe(report))
    for line in _complaints(report):
        click.echo(line, err=True)
    if report.error is not None:
        raise report.error
    return report.exit_code


async def _venue(settings: Settings, venue: str) -> bytes:
    """What the source says about a venue; few tries, because nothing has been fetched that could be lost."""
    async with Source(
        api_url=settings.text("api_url"),
        datasets_url=settings.text("datasets_url"),
        api_key=settings.text("api_key"),
        connections=1,
        attempts=_CATALOGUE_ATTEMPTS,
    ) as source:
        return await ask_venue(source, venue)


async def _run(plan: ReplayPlan, store: Store, settings: Settings, *, shown: bool, as_json: bool) -> ReplayReport:
    logbook = Logbook(
        stream=sys.stderr if shown or as_json else sys.stdout,
        secrets=(settings.text("api_key"),),
        context={"venue": plan.order.venue},
        minimum="WARNING" if shown or as_json else settings.text("log_level"),
        as_text=shown,
    )
    progress = ProgressLine(len(plan.missing), shown)
    retries = _Retries(logbook)

    def on_hour(hour: HourReport) -> None:
        retries.forget()
        progress.count(hour)
        severity = "INFO" if hour.outcome in (HourOutcome.COMMITTED, HourOutcome.PRESENT) else "WARNING"
        said = f"{hour.object}: {hour.outcome}, {hour.lines} lines" + (f": {hour.detail}" if hour.detail else "")
        logbook.event(severity, f"hour_{hour.outcome}", said, hour=format_time(hour.hour), lines=hour.lines, bytes=hour.bytes)

    scratch = Scratch()
    try:
        source = RawSource(
            api_url=settings.text("api_url"),
            api_key=settings.text("api_key"),
            folder=scratch.path,
            deadline=settings.number("file_deadline"),
            on_retry=retries.hear,
            on_batch=progress.show,
        )
        running = Replay(plan, store, source, on_hour=on_hour)
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, running.stop, f"signal {signal.Signals(signum).name}")
        return await running.run()
    finally:
        progress.end()
        scratch.close()


class _Retries:
    """Says once an hour and cause that slices are tried again: sixty slices stumble together."""

    def __init__(self, logbook: Logbook) -> None:
        self._logbook = logbook
        self._said: set[str] = set()

    def hear(self, text: str) -> None:
        """One slice is tried again."""
        if text not in self._said:
            self._said.add(text)
            self._logbook.warning("source_retry", f"{text}: trying again")

    def forget(self) -> None:
        """Another hour begins."""
        self._said.clear()


class ProgressLine(StatusLine):
    """Counts hours and messages as they come."""

    def __init__(self, hours: int, shown: bool) -> None:
        super().__init__(shown)
        self._hours = hours
        self._done = self._lines = self._bytes = 0

    def count(self, hour: HourReport) -> None:
        """An hour has ended."""
        self._done += 1
        self._lines += hour.lines
        self._bytes += hour.bytes
        self.show("")

    def show(self, newest: str) -> None:
        """Say how far it is; `newest` is the local time of the last message."""
        counts = f"{self._done}/{self._hours} hours, {self._lines} messages, {format_bytes(self._bytes)}"
        self.say(lambda: f"{counts}, {self.took}, at {newest[:19] or '-'}")


def _short(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%MZ}"


def _span(plan: ReplayPlan) -> str:
    hours = plan.order.hours()
    return f"{plan.order.venue} {_short(hours[0])}..{_short(hours[-1] + HOUR)}, {_count(len(hours), 'hour')}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _head(plan: ReplayPlan) -> dict[str, Any]:
    hours = plan.order.hours()
    return {
        "venue": plan.order.venue,
        "set": plan.order.collection,
        "filters": json.loads(plan.order.selection.text),
        "from": format_time(hours[0]),
        "to": format_time(hours[-1] + HOUR),
        "next_at": format_time(plan.next_at) if plan.next_at else None,
    }


def _preview(plan: ReplayPlan) -> dict[str, Any]:
    return {
        **_head(plan),
        "present": len(plan.present),
        "to_fetch": [format_time(hour) for hour in plan.missing],
        "not_ready": [format_time(hour) for hour in plan.not_ready],
        "requests": len(plan.missing) * MINUTES,
    }


def _describe_preview(plan: ReplayPlan) -> str:
    lines = [
        f"{_span(plan)}: {len(plan.missing)} to fetch with {len(plan.missing) * MINUTES} requests, {len(plan.present)} are in the bucket"
    ]
    lines += [f"  {_short(hour)} would be fetched" for hour in plan.missing]
    lines += [f"  {_short(hour)} is not ready" for hour in plan.not_ready]
    return "\n".join(lines)


def _as_json(report: ReplayReport) -> dict[str, Any]:
    return {
        **_head(report.plan),
        "exit_code": int(report.exit_code),
        "error": str(report.error) if report.error else None,
        "hours": [
            {
                "hour": format_time(hour.hour),
                "outcome": hour.outcome.value,
                "object": hour.object,
                "lines": hour.lines,
                "disconnects": hour.disconnects,
                "bytes": hour.bytes,
                "detail": hour.detail,
            }
            for hour in report.hours
        ],
    }


def _describe(report: ReplayReport) -> str:
    held = [hour for hour in report.hours if hour.outcome in (HourOutcome.COMMITTED, HourOutcome.PRESENT)]
    lines, lost = sum(hour.lines for hour in held), sum(hour.disconnects for hour in held)
    counts = ", ".join(f"{report.count(outcome)} {outcome.replace('_', ' ')}" for outcome in HourOutcome if report.count(outcome))
    size = format_bytes(sum(hour.bytes for hour in held))
    return f"{_span(report.plan)}: {counts}; {_count(lines, 'message')}, {_count(lost, 'disconnect')}, {size}"


def _complaints(report: ReplayReport) -> list[str]:
    """What a person should know beyond the counts, one line each, with what to do."""
    lines = [f"{hour.object} is {hour.outcome}: {hour.detail}" for hour in report.hours if hour.detail]
    silent = [hour for hour in report.hours if hour.outcome is HourOutcome.COMMITTED and not hour.lines]
    if silent:
        what = f"the source has no message for {_count(len(silent), 'hour')}, first {_short(silent[0].hour)}"
        lines.append(f"{what} -> check that the symbols traded then")
    plan = report.plan
    if plan.next_at is not None and report.error is None:
        names = ", ".join(_short(hour) for hour in plan.not_ready[:3]) + (", ..." if len(plan.not_ready) > 3 else "")
        lines.append(f"the source does not have {names} as a whole yet -> run the same command after {_short(plan.next_at)}")
    return lines
