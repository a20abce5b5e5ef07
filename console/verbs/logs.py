"""`tickdeck logs`: what VMs said, from wherever it is kept, with the source named."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import click

from console.session import Session
from console.verbs.options import headless_session, json_option, profile_option, say_aside
from engine.clock import format_time, parse_day, parse_time
from engine.cloudlog import SEVERITIES
from engine.errors import ExitCode, UsageError
from engine.verbs.printing import print_json

if TYPE_CHECKING:
    from provision.logs import Evidence, LogEntry, Question


@click.command("logs")
@click.argument("globs", metavar="[GLOB]...", nargs=-1)
@click.option("--run", default="", help="Only this run [all that can have said something].")
@click.option("--lines", type=click.IntRange(min=1, max=50_000), default=100, show_default=True, help="The last so many.")
@click.option("--since", default="2h", show_default=True, help="How far back: 30m, 2h, 3d, 2024-05-01, 2024-05-01T06:00Z.")
@click.option("--until", default="", help="Up to then, exclusive: in the same forms [now].")
@click.option("--severity", type=click.Choice(list(SEVERITIES), case_sensitive=False), default="INFO", show_default=True, help="At least.")
@click.option("--grep", default="", help="Regular expression (RE2) that the message must match; (?i) in front: whatever the case.")
@click.option("--follow", "-f", is_flag=True, help="Go on as new entries come, until interrupted.")
@click.option(
    "--source",
    type=click.Choice(["auto", "objects", "cloud", "serial"]),
    default="auto",
    show_default=True,
    help="Look only there: log objects, Cloud Logging or the serial port.",
)
@profile_option
@json_option
def logs_command(
    *,
    globs: tuple[str, ...],
    run: str,
    lines: int,
    since: str,
    until: str,
    severity: str,
    grep: str,
    follow: bool,
    source: str,
    profile_name: str,
    as_json: bool,
) -> int:
    """The log of VMs by names, short names (market-data-shard-7) or patterns.

    Looked for in the log objects of the state bucket, then in Cloud Logging, then at the serial port: also of VMs that are gone, and,
    by name, of VMs that are not ours. Where the answer comes from is said on stderr and in each line. --json prints one object a line.
    """
    from provision.logs import Grep, Question

    if follow and until:
        raise UsageError("--follow and --until exclude each other", hint="leave one out")
    if follow and source not in ("auto", "cloud"):
        raise UsageError(f"--follow cannot follow --source {source}", hint="what comes is told by Cloud Logging: --source cloud")
    expression = Grep(grep)
    session = headless_session(profile_name)
    now = session.clock()
    start, end = parse_moment(since, now), parse_moment(until, now) if until else None
    if end is not None and end <= start:
        raise UsageError(f"--until {until} is not after --since {since}", hint="swap them")
    if run:
        session.runs.read(run)
    question = Question(
        since=start,
        vms=globs,
        run=run,
        until=end,
        min_severity=severity.upper(),
        grep=expression,
        lines=lines,
        where=source,  # type: ignore[arg-type]  # click has checked it
    )
    found = session.logs.find_logs(question)
    _show(found.entries, found.strangers, as_json=as_json)
    _say(found, since)
    if follow:
        try:
            asyncio.run(_follow(session, question, found, as_json=as_json))
        except KeyboardInterrupt:
            return ExitCode.DONE
    return ExitCode.DONE


def _say(found: Evidence, since: str) -> None:
    if found.entries:
        say_aside(found.summary())
    else:
        click.echo(f"tickdeck: nothing fits in {since} -> further back: --since 3d; less serious: --severity DEBUG", err=True)
    for remark in found.remarks:
        say_aside(remark)


async def _follow(session: Session, question: Question, found: Evidence, *, as_json: bool) -> None:
    seen = {entry.identity for entry in found.entries}
    # What came before the last line that was shown was cut off by --lines, not missed.
    begin = max((entry.timestamp for entry in found.entries if entry.timed), default=question.since)
    async for batch in session.logs.follow_logs(replace(question, since=min(begin, session.clock()), lines=1_000)):
        if batch.reason:
            say_aside(f"{batch.state}: {batch.reason}")
        for reason, count in batch.suppressed.items():
            say_aside(f"at least {count:,} entries not shown by Cloud Logging: {reason}")
        _show([entry for entry in batch.entries if entry.identity not in seen], found.strangers, as_json=as_json)


def _show(entries: Iterable[LogEntry], strangers: Collection[str], *, as_json: bool) -> None:
    from provision.logs import printable

    for entry in entries:
        if as_json:
            print_json(
                {
                    "time": format_time(entry.timestamp) if entry.timed else None,
                    "severity": entry.severity,
                    "vm": entry.vm,
                    "ours": entry.vm not in strangers,
                    "run": entry.run,
                    "shard": entry.shard,
                    "event": entry.event,
                    "message": entry.message,
                    "fields": dict(entry.fields),
                    "source": entry.source,
                },
                one_line=True,
            )
            continue
        when = f"{entry.timestamp:%m-%d %H:%M:%S.%f}"[:-3] if entry.timed else " " * 18
        vm = f"{printable(entry.vm) or '-'}{' (not ours)' if entry.vm in strangers else ''}"
        message = " ".join(printable(line) for line in entry.message.splitlines())
        click.echo(f"{when} {entry.severity:<8} {vm} {message}  [{entry.source}]")


def parse_moment(text: str, now: datetime) -> datetime:
    """A moment as people type it: a span back from `now` (`30m`, `2h`, `3d`), a UTC day, or a time with its zone.

    Raises:
        UsageError: if it is none, or lies before all days.
    """
    word = text.strip()
    if found := re.fullmatch(r"(\d{1,9})([smhd])", word, re.ASCII):
        unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2]]
        try:
            return now - timedelta(**{unit: int(found[1])})
        except OverflowError:
            raise UsageError(f"{text!r} is before all days", hint="write 30m, 2h or 3d") from None
    if "T" in word or ":" in word:
        return parse_time(word)
    try:
        return datetime.combine(parse_day(word, today=now.date()), time(), UTC)
    except UsageError:
        raise UsageError(f"{text!r} is no time", hint="write 30m, 2h, 3d, 2024-05-01 or 2024-05-01T06:00Z") from None
