"""`tickdeck logs`: what the workers said, from wherever it is kept, with the source named."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from datetime import timedelta

import click

from console.session import Session
from console.verbs.options import headless_session, json_option, profile_option
from engine.cloudlog import SEVERITIES
from engine.errors import ExitCode, UsageError
from engine.verbs.printing import print_json
from provision.logs import LogEntry, merge


@click.command("logs")
@click.argument("glob", default="*")
@click.option("--run", default="", help="Only this run [the newest].")
@click.option("--lines", type=click.IntRange(min=1), default=100, show_default=True, help="The last so many.")
@click.option("--since", default="2h", show_default=True, help="How far back: 30m, 2h, 3d.")
@click.option("--severity", type=click.Choice(SEVERITIES, case_sensitive=False), default="INFO", show_default=True, help="At least.")
@click.option("--grep", default="", help="Regular expression that the message must match.")
@click.option("--follow", "-f", is_flag=True, help="Go on as new entries come.")
@profile_option
@json_option
def logs_command(
    glob: str, run: str, lines: int, since: str, severity: str, grep: str, follow: bool, profile_name: str, as_json: bool
) -> int:
    """The log of VMs by name or glob: log objects and Cloud Logging merged, also of VMs that are gone."""
    span = parse_span(since)
    pattern = _compile(grep)
    session = headless_session(profile_name)
    if run:
        session.runs.read(run)
    entries = collect(session, glob, run=run, span=span, severity=severity.upper(), limit=max(lines, 1000))
    _show([entry for entry in entries if pattern.search(entry.message)][-lines:], as_json=as_json)
    if not entries and not follow:
        click.echo(f"tickdeck: {glob if glob != '*' else 'nobody'} logged nothing in {since} -> further back: --since 3d", err=True)
    if follow:
        asyncio.run(_follow(session, glob, run, severity.upper(), pattern, {entry.identity for entry in entries}, as_json=as_json))
    return ExitCode.DONE


def collect(session: Session, glob: str, *, run: str, span: timedelta, severity: str, limit: int) -> list[LogEntry]:
    """Entries of both places, merged by identity, oldest first."""
    from fnmatch import fnmatchcase

    from engine.launch import list_runs
    from provision.clients import make_logging
    from provision.logs import read

    since = session.clock() - span
    runs = [run] if run else list_runs(session.buckets.state)[-1:]
    kept = [entry for name in runs for entry in session.logs_of(name, since=since, min_severity=severity) if fnmatchcase(entry.vm, glob)]

    async def from_service() -> list[LogEntry]:
        clients = make_logging(session.profile)
        vms = () if glob == "*" else (glob,)
        query = session.log_query(run=run, vms=vms, min_severity=severity, since=since, limit=limit)
        return await asyncio.to_thread(read, clients, query)

    return merge(kept, asyncio.run(from_service()))


async def _follow(
    session: Session, glob: str, run: str, severity: str, pattern: re.Pattern[str], seen: set[object], *, as_json: bool
) -> None:
    vms = () if glob == "*" else (glob,)
    async for batch in session.tail_logs(run=run, vms=vms, min_severity=severity):
        if batch.reason:
            click.echo(f"-- {batch.state}: {batch.reason}", err=True)
        if batch.suppressed:
            click.echo(f"-- not shown: {dict(batch.suppressed)}", err=True)
        _show((entry for entry in batch.entries if entry.identity not in seen and pattern.search(entry.message)), as_json=as_json)


def _show(entries: Iterable[LogEntry], *, as_json: bool) -> None:
    for entry in entries:
        if as_json:
            print_json(
                {
                    "time": entry.timestamp.isoformat(),
                    "severity": entry.severity,
                    "vm": entry.vm,
                    "run": entry.run,
                    "shard": entry.shard,
                    "event": entry.event,
                    "message": entry.message,
                    "fields": dict(entry.fields),
                    "source": entry.source,
                }
            )
        else:
            click.echo(f"{entry.timestamp:%H:%M:%S.%f}"[:-3] + f" {entry.severity:<8} {entry.vm or '-'} {entry.message}  [{entry.source}]")


def parse_span(text: str) -> timedelta:
    """`30m`, `2h`, `3d`.

    Raises:
        UsageError: if it is none.
    """
    found = re.fullmatch(r"(\d+)([smhd])", text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no time span", hint="write 30m, 2h or 3d")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return timedelta(**{unit: int(found[1])})


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--grep {pattern!r}: {error}", hint="a regular expression; escape special characters") from error
