"""`tickdeck check`: the coverage of a range, as a sentence, a table or JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from console.verbs.options import headless_session, json_option, profile_option, range_options
from engine.coverage import Coverage
from engine.errors import ExitCode
from engine.model import CellState, DayRange
from engine.verbs.printing import print_json, print_table

GLYPHS = {
    CellState.COMPLETE: "█",
    CellState.THIN: "▒",
    CellState.PARTIAL: "▄",
    CellState.FAILED: "×",
    CellState.MISSING: "○",
    CellState.RUNNING: "►",
    CellState.NOT_READY: "…",
    CellState.NOT_EXPECTED: "·",
}


@click.command("check")
@range_options
@click.option("--detailed", is_flag=True, help="Also each cell that is not complete, with the symbols that are missing.")
@profile_option
@json_option
def check_command(*, profile_name: str, detailed: bool, as_json: bool, **options: Any) -> int:
    """Is the data there? Exit code 0 if every expected cell is complete or thin, 65 if there are holes, 75 if a day is not ready."""
    days = DayRange(options["start"], options["end"] or options["start"])
    session = headless_session(profile_name)
    coverage = session.check(days, options["venues"], options["data_types"], symbols=options["symbols"] or (), universe=options["universe"])
    if as_json:
        print_json(coverage_document(coverage))
    else:
        show_coverage(coverage)
        if detailed:
            show_details(coverage, session.inventory)
    return exit_code_of(coverage)


def exit_code_of(coverage: Coverage) -> ExitCode:
    """What a scheduler should hear."""
    if coverage.holes():
        return ExitCode.PARTIAL
    waiting = coverage.counts.get(CellState.RUNNING, 0) + coverage.counts.get(CellState.NOT_READY, 0)
    return ExitCode.TEMPORARY if waiting else ExitCode.DONE


def coverage_document(coverage: Coverage) -> dict[str, object]:
    """Coverage as JSON carries it."""
    cells = []
    for cell, report in coverage.reports.items():
        cells.append(
            {
                "venue": cell.venue,
                "data_type": cell.data_type,
                "day": cell.day.isoformat(),
                "state": report.state.value,
                "expected": report.expected,
                "done": report.done,
                "bad": report.bad,
                "absent": report.absent,
                "empty": report.empty,
                "rows": report.rows,
                "source_bytes": report.source_bytes,
                "covered_minutes": report.covered_minutes,
                "sureness": report.sureness.value,
                "reasons": list(report.reasons),
                "runs": list(report.runs),
            }
        )
    return {
        "sentence": coverage.sentence(),
        "start": coverage.days.start.isoformat(),
        "end": coverage.days.end.isoformat(),
        "counts": {state.value: count for state, count in sorted(coverage.counts.items())},
        "catalogues": {venue: moment.isoformat() for venue, moment in coverage.catalogue_dates.items()},
        "cells": cells,
    }


def show_coverage(coverage: Coverage) -> None:
    """A sentence and one row for each venue and data type."""
    click.echo(coverage.sentence())
    click.echo(
        f"{coverage.days}; expectations of " + ", ".join(f"{venue} {at:%Y-%m-%d %H:%M}Z" for venue, at in coverage.catalogue_dates.items())
    )
    click.echo()
    wide = len(coverage.days) <= 60
    rows = []
    for venue, data_type in coverage.rows:
        states = coverage.row(venue, data_type)
        counts = Counter(states)
        words = ", ".join(f"{counts[state]} {state.replace('_', ' ')}" for state in reversed(CellState) if counts[state])
        rows.append((f"{venue} {data_type}", "".join(GLYPHS[state] for state in states) if wide else "", words))
    print_table(("row", "days" if wide else "", "cells"), rows)
    click.echo("\n" + "  ".join(f"{glyph} {state.replace('_', ' ')}" for state, glyph in GLYPHS.items()))


def show_details(coverage: Coverage, inventory: Any) -> None:
    """Every cell that is not complete, and why."""
    wanted = [state for state in CellState if state not in (CellState.COMPLETE, CellState.NOT_EXPECTED)]
    for report in coverage.in_state(*wanted):
        reasons = "; ".join(report.reasons) or "no attempt yet"
        click.echo(f"\n{GLYPHS[report.state]} {report.cell}: {report.state.replace('_', ' ')}: {reasons}")
        click.echo(f"  {report.done} of {report.expected} symbols done, {report.rows:,} rows, {report.sureness}")
        if report.state in (CellState.PARTIAL, CellState.FAILED, CellState.THIN):
            for symbol, record in inventory.open_cell(report.cell).items():
                entry = record.entry
                if entry.outcome != "ok":
                    click.echo(f"  {symbol}: {entry.outcome} {entry.reason} {entry.detail}".rstrip())
