"""Errors by their cause: how many, on how many VMs and cells, when, and an example."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from console.log_causes import Cause
from console.widgets.columns import Column, Toned
from console.widgets.figures import format_count
from console.widgets.table import LineTable
from console.widgets.tones import Tone


class CausesTable(LineTable[Cause]):
    """Not there while there is no error; never higher than a few rows, so that the lines below stay in sight."""

    DEFAULT_CSS = """
    CausesTable { display: none; height: auto; border-bottom: solid $rule; }
    CausesTable.-some { display: block; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(
            (
                Column("Errors", lambda cause: Toned(format_count(cause.count), Tone.BAD), 6, rank=0, right=True),
                Column("VMs", lambda cause: format_count(cause.vms), 4, rank=2, right=True),
                Column("Cells", lambda cause: format_count(cause.cells) if cause.cells else "—", 5, rank=3, right=True),
                Column("First", lambda cause: f"{cause.first.astimezone(UTC):%H:%M:%S}", 8, rank=5),
                Column("Last", lambda cause: f"{cause.last.astimezone(UTC):%H:%M:%S}", 8, rank=4),
                Column("Cause", lambda cause: cause.example.message if cause.key else cause.pattern, 24, 60, 300, rank=1),
            ),
            lambda cause: cause.key,
            id=id,
        )

    def show_causes(self, ranked: Sequence[Cause], *, most: int) -> None:
        """Show these, the worst first, `most` of them at a time."""
        self.set_class(bool(ranked), "-some")
        self.styles.height = min(len(ranked), most) + 2
        self.set_rows(ranked)
