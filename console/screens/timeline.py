"""The preemption timeline: each line of replacements over the time of the run, what was lost between, and which zone to leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from console.timeline_view import LEGEND, TimelineRow, advice_line, summary, timeline_rows, zone_line
from console.widgets.columns import Column, Toned
from console.widgets.figures import format_duration, one_line
from console.widgets.table import LineTable
from console.widgets.tones import Tone
from provision.fleet import FleetSnapshot
from provision.preemptions import advise_move, find_lineages, rate_zones

_BESIDE_BAR = 36
"""Cells of the columns beside the bar, of the gaps between them, and of the frame."""
_ZONES = 4
"""Lines about zones."""


class TimelineScreen(ModalScreen[str | None]):
    """Its result is the VM to go to, or None."""

    DEFAULT_CSS = """
    TimelineScreen { align: center middle; background: $background 60%; }
    TimelineScreen > Vertical { width: 98%; height: 96%; padding: 0 1; background: $surface; border: round $primary; }
    TimelineScreen .timeline--title { text-style: bold; height: auto; max-height: 2; }
    TimelineScreen LineTable { height: 1fr; background: $surface; }
    TimelineScreen #timeline-story { height: 2; color: $foreground; border-top: solid $rule; }
    TimelineScreen #timeline-zones { height: auto; color: $quiet; }
    TimelineScreen #timeline-advice { height: auto; color: $state-warn; text-style: bold; }
    TimelineScreen .timeline--hint { height: 1; color: $quiet; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,backspace,t", "close", "Close")]

    def __init__(self, snapshot: FleetSnapshot, zones: Sequence[str]) -> None:
        """
        Args:
            snapshot: With only the runs that are meant.
            zones: All that VMs may be in.
        """
        super().__init__()
        self._snapshot = snapshot
        self._zones = tuple(zones)

    def compose(self) -> ComposeResult:
        table: LineTable[TimelineRow] = LineTable(
            (
                Column("Shard", lambda row: row.shards, 8, rank=0, right=True),
                Column("Since the launch", lambda row: Toned(row.bar, Tone.BUSY), 20, maximum=400, rank=1),
                Column("Lost", lambda row: _lost(row), 9, rank=2, right=True),
                Column("Tries", lambda row: str(row.lives), 5, rank=3, right=True),
            ),
            lambda row: row.key,
            empty="no VM was asked for yet",
        )
        with Vertical():
            yield Static(id="timeline-title", classes="timeline--title", markup=False)
            yield table
            yield Static(id="timeline-story", markup=False)
            yield Static(id="timeline-zones", markup=False)
            yield Static(id="timeline-advice", markup=False)
            yield Static(f"{LEGEND} · enter goes to the VM · esc back", classes="timeline--hint", markup=False)

    def on_mount(self) -> None:
        self._show()
        self.query_one(LineTable).focus()

    def on_resize(self) -> None:
        if self.is_mounted:
            self._show()

    def show_fleet(self, snapshot: FleetSnapshot) -> None:
        """The same runs as they are now."""
        self._snapshot = snapshot
        if self.is_mounted:  # The fleet may be looked at between the key and the screen.
            self._show()

    def on_line_table_row_highlighted(self) -> None:
        self._tell()

    def on_line_table_row_selected(self, message: LineTable.RowSelected) -> None:
        self.dismiss(message.key)

    def action_close(self) -> None:
        self.dismiss(None)

    def _show(self) -> None:
        now = self._snapshot.taken
        lineages = find_lineages(self._snapshot)
        rates = rate_zones(lineages, now)
        table = self.query_one(LineTable)
        table.set_rows(timeline_rows(lineages, now, max(20, self.size.width * 98 // 100 - _BESIDE_BAR)))
        self.query_one("#timeline-title", Static).update(Content(summary(lineages, now)))
        self.query_one("#timeline-zones", Static).update(Content("\n".join(map(zone_line, rates[:_ZONES]))))
        advice = self.query_one("#timeline-advice", Static)
        text = advice_line(advise_move(rates, self._zones))
        advice.update(Content(text))
        advice.display = bool(text)
        self._tell()

    def _tell(self) -> None:
        row = self.query_one(LineTable).cursor_row
        story = f"shard {row.shards}: {row.story}" if isinstance(row, TimelineRow) else ""
        self.query_one("#timeline-story", Static).update(Content(one_line(story)))


def _lost(row: TimelineRow) -> Toned:
    return Toned(format_duration(row.lost_seconds) if row.lost_seconds >= 1 else "—", Tone.WARN if row.lost_seconds >= 1 else Tone.QUIET)
