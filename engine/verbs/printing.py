"""What verbs print on stdout: documents as JSON, and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import click
import msgspec

from engine.clock import utc_now
from engine.plan import Plan


def print_json(document: object, *, one_line: bool = False) -> None:
    """A document as JSON, indented or on one line; knows dates, dataclasses and the engine's types."""
    click.echo(json.dumps(msgspec.to_builtins(document, str_keys=True, enc_hook=str), indent=None if one_line else 1))


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """Columns as wide as they need to be; `right` lists columns that are figures."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(head[i]), *(len(row[i]) for row in texts)) if texts else len(head[i]) for i in range(len(head))]
    for row in ([*head], *texts):
        cells = [cell.rjust(width) if i in right else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))]
        click.echo("  ".join(cells).rstrip())


def say_not_ready(plan: Plan, *, program: str) -> None:
    """Tell on stderr why a plan has nothing to do yet, and when it will."""
    last, now = max(plan.not_ready, key=lambda item: item.due), utc_now()
    when = f"{last.due:%Y-%m-%d %H:%M} UTC"
    future = ", a day in the future" if last.day > now.date() else ""
    step = f"run the same command again after {when}" if last.due > now else f"it was due {when}: run the same command again later"
    click.echo(f"{program}: {last.venue} has not published {last.day}{future} -> {step}", err=True)
