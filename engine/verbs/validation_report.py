"""What a validation says on a terminal and as JSON: shared by `engine validate` and `tickdeck check --verify`.

Separate from the verb, which opens buckets and a source: who only reports loads no client.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from engine.clock import format_time
from engine.errors import one_line
from engine.validation.verification import DAMAGE, FOUND_WORDS, Depth, Finding, Kind
from engine.verbs.printing import print_table
from engine.verbs.status_line import StatusLine

if TYPE_CHECKING:
    from engine.validation.comparing import CellResult, Validation

SHOWN = 20
"""Findings that are printed; `--json` has all."""

SHOWN_ORPHANS = 3

DEPTHS = [depth.value for depth in Depth]


def depth_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--depth` and `--sample`."""
    for option in (
        click.option("--sample", type=click.IntRange(min=0), default=0, help="Look into so many objects of each cell [all]."),
        click.option(
            "--depth",
            type=click.Choice(DEPTHS),
            default=Depth.LISTING.value,
            show_default=True,
            help="How closely: by listings alone, also footers, also all rows, also the file at the source.",
        ),
    ):
        function = option(function)
    return function


class ProgressLine(StatusLine):
    """Counts cells as they are compared."""

    def __init__(self, shown: bool) -> None:
        super().__init__(shown)
        self._cells = self._objects = self._wrong = 0

    def show(self, result: CellResult) -> None:
        """Count a cell."""
        self._cells += 1
        self._objects += result.objects
        self._wrong += len(result.findings)
        self.say(
            lambda: f"{self._cells:,} cells, {self._objects:,} objects compared, {self._wrong:,} wrong, {self.took}, last {result.cell}"
        )


# The report


def document_of(found: Validation) -> dict[str, object]:
    """The report as JSON carries it."""
    return {
        "start": found.days.start.isoformat(),
        "end": found.days.end.isoformat(),
        "depth": found.depth.value,
        "at": format_time(found.at),
        "exit_code": int(found.exit_code),
        "cells": len(found.cells),
        "objects": sum(result.objects for result in found.cells),
        "inside": sum(result.inside for result in found.cells),
        "right": sum(result.right for result in found.cells),
        "restored": sum(result.restored for result in found.cells),
        "problems": {kind.value: count for kind, count in sorted(found.kinds.items())},
        "findings": [{**_where(result), **_described(finding)} for result in found.cells for finding in result.findings],
        "orphans": [name for result in found.cells for name in result.orphans],
        "not_compared": [{**_where(result), "reason": one_line(result.trouble)} for result in found.cells if result.trouble],
    }


def _where(result: CellResult) -> dict[str, object]:
    cell = result.cell
    return {"venue": cell.venue, "data_type": cell.data_type, "day": cell.day.isoformat()}


def _described(finding: Finding) -> dict[str, object]:
    return {"symbol": finding.symbol, "kind": finding.kind.value, "generation": finding.generation, "detail": finding.detail}


def sentence_of(found: Validation) -> str:
    """What a validation found, in one line."""
    objects = sum(result.objects for result in found.cells)
    right = sum(result.right for result in found.cells)
    inside = sum(result.inside for result in found.cells)
    parts = [f"{right:,} of {objects:,} objects in {len(found.cells):,} cells are what was committed, by {found.depth}"]
    if found.depth is not Depth.LISTING and inside < objects:
        parts.append(f"{inside:,} looked into")
    parts += [f"{count:,} {FOUND_WORDS[kind]}" for kind, count in sorted(found.kinds.items())]
    if restored := sum(result.restored for result in found.cells):
        parts.append(f"{restored:,} restored since with the same bytes")
    if orphans := sum(len(result.orphans) for result in found.cells):
        parts.append(f"{orphans:,} in no manifest (a resume records them)")
    if found.troubles:
        parts.append(f"{len(found.troubles):,} cells could not be compared")
    return ", ".join(parts)


def advise(kinds: Counter[Kind], data_bucket: str) -> list[str]:
    """What a person has to do about findings."""
    lines = []
    if kinds[Kind.MISSING]:
        lines.append("deleted objects: a repair fetches them again (tickdeck repair, or engine download)")
    if any(kinds[kind] for kind in DAMAGE):
        by_hand = f"compare each, delete it by hand (gcloud storage rm gs://{data_bucket}/...), then repair"
        lines.append(f"altered objects are never overwritten: {by_hand}")
    if kinds[Kind.MANIFEST]:
        lines.append("manifests: delete the one that is wrong; the next run rebuilds it from the bucket without fetching")
    if kinds[Kind.SOURCE_CHANGED]:
        lines.append("changed at the source: what is committed is kept; to take the newer file delete the object by hand, then repair")
    return lines


def last_line(found: Validation, data_bucket: str) -> str:
    """What a person or a scheduler reads where not all is proven: what was found and, after an arrow, the next step."""
    if found.kinds:
        return f"{sentence_of(found)} -> {advise(found.kinds, data_bucket)[0]}"
    cell, trouble = found.troubles[0]
    return f"{sentence_of(found)}, {cell} among them: {one_line(trouble)}"


def show(found: Validation, data_bucket: str) -> None:
    """The report for a person: a sentence, a table, what is wrong and what to do."""
    if not found.cells:
        click.echo(f"{found.days}: no manifest and no object, nothing to compare")
        return
    click.echo(f"{found.days}: {sentence_of(found)}")
    click.echo()
    _show_table(found)
    findings = found.findings
    for cell, finding in findings[:SHOWN]:
        click.echo(f"  {cell} {finding.symbol}: {finding.kind.replace('_', ' ')}: {finding.detail}".replace(" :", ":"))
    if len(findings) > SHOWN:
        click.echo(f"  and {len(findings) - SHOWN:,} more; all of them: --json")
    orphans = [name for result in found.cells for name in result.orphans]
    for name in orphans[:SHOWN_ORPHANS]:
        click.echo(f"  in no manifest: {name}")
    if len(orphans) > SHOWN_ORPHANS:
        click.echo(f"  and {len(orphans) - SHOWN_ORPHANS:,} more in no manifest")
    for cell, trouble in found.troubles[:SHOWN]:
        click.echo(f"  {cell} could not be compared: {one_line(trouble)}")
    for line in advise(found.kinds, data_bucket)[1:]:
        click.echo(f"also: {line}")


def _show_table(found: Validation) -> None:
    rows: dict[tuple[str, str], list[CellResult]] = {}
    for result in found.cells:
        rows.setdefault((result.cell.venue, result.cell.data_type), []).append(result)
    shown = [kind for kind in Kind if found.kinds[kind]]
    table = []
    for (venue, data_type), results in sorted(rows.items()):
        kinds = Counter(finding.kind for result in results for finding in result.findings)
        figures = [len(results), *(sum(getattr(result, name) for result in results) for name in ("objects", "inside", "right"))]
        table.append((f"{venue} {data_type}", *(f"{count:,}" for count in (*figures, *(kinds[kind] for kind in shown)))))
    head = ("row", "cells", "objects", "inside", "right", *(kind.replace("_", " ") for kind in shown))
    print_table(head, table, right=range(1, len(head)))
    click.echo()
