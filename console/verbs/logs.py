"""`tickdeck logs`: what VMs said, from wherever it is kept, with the source named."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from console.log_gaps import MOST_LINES
from console.log_scope import AROUND
from console.moments import parse_moment
from console.query import Query, QueryError, parse
from console.session import Session
from console.verbs.log_tables import show_errors, show_histogram
from console.verbs.options import headless_session, json_option, profile_option, say_aside
from engine.clock import format_time
from engine.cloudlog import SEVERITIES
from engine.errors import ExitCode, UsageError
from engine.verbs.printing import print_json

if TYPE_CHECKING:
    from provision.logs import Evidence, LogEntry, Question


@click.command("logs")
@click.argument("globs", metavar="[GLOB]...", nargs=-1)
@click.option("--run", default="", help="Only this run [all that can have said something].")
@click.option(
    "--lines", type=click.IntRange(min=1, max=MOST_LINES), help="The last so many [100; with --errors, --histogram, --around: 50000]."
)
@click.option("--since", default="2h", show_default=True, help="How far back: 30m, 2h, 3d, 2024-05-01, 2024-05-01T06:00Z.")
@click.option("--until", default="", help="Up to then, exclusive: in the same forms [now].")
@click.option("--severity", type=click.Choice(list(SEVERITIES), case_sensitive=False), default="INFO", show_default=True, help="At least.")
@click.option("--grep", default="", help="Regular expression (RE2) that the message must match; (?i) in front: whatever the case.")
@click.option("--filter", "filter_text", default="", help="The filter of the screens: words, -word, field:value, field>n, /regex/.")
@click.option(
    "--errors", "as_errors", is_flag=True, help="Errors and bad files by their cause: how many, of how many VMs and cells, since when."
)
@click.option("--histogram", "as_histogram", is_flag=True, help="How many lines of each severity over time.")
@click.option("--around", default="", help="What all VMs said 30 s before and after a time: 03:15:22, -10m, 2024-05-01T03:15:22Z.")
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
    lines: int | None,
    since: str,
    until: str,
    severity: str,
    grep: str,
    filter_text: str,
    as_errors: bool,
    as_histogram: bool,
    around: str,
    follow: bool,
    source: str,
    profile_name: str,
    as_json: bool,
) -> int:
    """The log of VMs by names, short names (market-data-shard-7) or patterns.

    Looked for in the log objects of the state bucket, then in Cloud Logging, then at the serial port: also of VMs that are gone, and,
    by name, of VMs that are not ours. Where the answer comes from is said on stderr and in each line. --json prints one object a line, with
    --errors and --histogram too.
    """
    from provision.logs import Grep, Question

    whole = as_errors or as_histogram
    if follow and (until or whole or around):
        other = "--until" if until else "--errors" if as_errors else "--histogram" if as_histogram else "--around"
        raise UsageError(f"--follow and {other} exclude each other", hint="leave one out")
    if as_errors and as_histogram:
        raise UsageError("--errors and --histogram are two tables", hint="ask for one after the other")
    if around and until:
        raise UsageError(
            "--around and --until exclude each other", hint="--around TIME is 30 s before and after it; or give --since and --until"
        )
    if follow and source not in ("auto", "cloud"):
        raise UsageError(f"--follow cannot follow --source {source}", hint="what comes is told by Cloud Logging: --source cloud")
    expression, wanted = Grep(grep), _parse_filter(filter_text)
    session = headless_session(profile_name)
    now = session.clock()
    start, end = parse_moment(since, now), parse_moment(until, now) if until else None
    if around:
        moment = parse_moment(around, now)
        start, end = moment - AROUND, moment + AROUND
    if end is not None and end <= start:
        raise UsageError(f"--until {until} is not after --since {since}", hint="swap them")
    if run:
        session.runs.read(run)
    question = Question(
        since=start,
        vms=globs,
        run=run,
        until=end,
        min_severity="WARNING" if as_errors else severity.upper(),
        grep=expression,
        lines=MOST_LINES if wanted or (lines is None and (whole or around)) else lines or 100,
        where=source,  # type: ignore[arg-type]  # click has checked it
    )
    found = session.logs.find_logs(question)
    if wanted:
        shown = lines or (MOST_LINES if whole or around else 100)
        found = replace(found, entries=tuple(_passing(found.entries, wanted)[-shown:]))
    if as_errors:
        show_errors(found.entries, as_json=as_json)
    elif as_histogram:
        show_histogram(found.entries, as_json=as_json)
    else:
        _show(found.entries, found.strangers, as_json=as_json)
    _say(found, f"30 s around {around}" if around else since)
    if follow:
        try:
            asyncio.run(_follow(session, question, found, wanted, as_json=as_json))
        except KeyboardInterrupt:
            return ExitCode.DONE
    return ExitCode.DONE


def _parse_filter(text: str) -> Query:
    try:
        return parse(text)
    except QueryError as error:
        raise UsageError(f"--filter {text}: {error}", hint='words, -word, "phrase", /regex/, field:value, field>n') from error


def _passing(entries: Iterable[LogEntry], wanted: Query) -> list[LogEntry]:
    from console.log_lines import line_of

    lines = ((entry, line_of(entry)) for entry in entries)
    return [entry for entry, line in lines if wanted.matches(line.record(), line.text)]


def _say(found: Evidence, since: str) -> None:
    if found.entries:
        say_aside(found.summary())
    else:
        click.echo(f"tickdeck: nothing fits in {since} -> further back: --since 3d; less serious: --severity DEBUG", err=True)
    for remark in found.remarks:
        say_aside(remark)


async def _follow(session: Session, question: Question, found: Evidence, wanted: Query, *, as_json: bool) -> None:
    seen = {entry.identity for entry in found.entries}
    # What came before the last line that was shown was cut off by --lines, not missed.
    begin = max((entry.timestamp for entry in found.entries if entry.timed), default=question.since)
    async for batch in session.logs.follow_logs(replace(question, since=min(begin, session.clock()), lines=1_000)):
        if batch.reason:
            say_aside(f"{batch.state}: {batch.reason}")
        for reason, count in batch.suppressed.items():
            say_aside(f"at least {count:,} entries not shown by Cloud Logging: {reason}")
        fresh = [entry for entry in batch.entries if entry.identity not in seen]
        _show(_passing(fresh, wanted) if wanted else fresh, found.strangers, as_json=as_json)


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
