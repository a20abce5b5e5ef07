"""`tickdeck logs --errors` and `--histogram`: what the Logs screen shows above its lines, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from console.log_causes import Causes
from console.log_histogram import Histogram
from console.widgets.logline import Severity
from engine.clock import format_time
from engine.verbs.printing import print_json

if TYPE_CHECKING:
    from provision.logs import LogEntry

_MOST_BARS: Final = 60
_BAR_CELLS: Final = 40


def show_errors(entries: Iterable[LogEntry], *, as_json: bool) -> None:
    """Errors by their cause, the most serious and most frequent first; with JSON one cause a line."""
    from console.log_lines import lines_of
    from provision.logs import printable

    causes = Causes()
    causes.add(lines_of(entries))
    ranked = causes.ranked()
    if as_json:
        for cause in ranked:
            print_json({**cause.record(), "first": format_time(cause.first), "last": format_time(cause.last)}, one_line=True)
        return
    if ranked:
        click.echo(f"{'errors':>7} {'VMs':>4} {'cells':>5}  {'first':<14} {'last':<14} cause   example")
    for cause in ranked:
        first, last = (f"{moment:%m-%d %H:%M:%S}" for moment in (cause.first, cause.last))
        click.echo(
            f"{cause.count:>7,} {cause.vms:>4} {cause.cells or '-':>5}  {first:<14} {last:<14} {cause.key or '-':<6}  "
            f"{' '.join(map(printable, cause.example.message.splitlines()))}"
        )
    if ranked:
        click.echo(f"tickdeck: the lines of one cause: tickdeck logs --filter cause:{ranked[0].key or ranked[-1].key}", err=True)


def show_histogram(entries: Iterable[LogEntry], *, as_json: bool) -> None:
    """Lines of each severity over time, at the smallest width of bar with which all of it fits; with JSON one bar a line."""
    from console.log_lines import lines_of

    counts = Histogram()
    counts.add((int(line.time.timestamp()), int(line.severity)) for line in lines_of(entries))
    if not counts:
        return
    width = counts.fitting_width(_MOST_BARS)
    first, last = counts.span()
    start = first // width * width
    rows = counts.buckets(start, width, (last - start) // width + 1)
    most = max(map(sum, rows))
    if not as_json:
        click.echo(f"{'UTC':<14} {'critical':>8} {'error':>7} {'warn':>7} {'all':>8}  {width} s a bar")
    for number, row in enumerate(rows):
        begin = datetime.fromtimestamp(start + number * width, UTC)
        if as_json:
            levels = {severity.name: row[severity] for severity in Severity}
            print_json({"begin": format_time(begin), "seconds": width, "lines": sum(row), **levels}, one_line=True)
            continue
        named = f"{row[Severity.CRITICAL]:>8} {row[Severity.ERROR]:>7} {row[Severity.WARNING]:>7} {sum(row):>8}"
        bar = "█" * (max(1, round(_BAR_CELLS * sum(row) / most)) if sum(row) else 0)
        click.echo(f"{begin:%m-%d %H:%M:%S} {named}  {bar}")
