"""Other fleets for the same work: one row a number of VMs, one column a strategy, so that the eye compares along both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from console.widgets.columns import Cell, Column, Toned
from console.widgets.figures import UNKNOWN
from console.widgets.table import LineTable
from console.widgets.tones import Tone

_WIDE: Final = 104
"""From this width on a cell also says by how much it is longer than the ideal."""


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """What one strategy makes of one number of VMs."""

    seconds: float
    """From launch to the end of the slowest shard."""
    bound_seconds: float
    """No packing ends sooner."""
    vm_hours: float
    cost: str
    """As people read it."""
    in_time: bool | None = None
    """Whether it meets the deadline; None: there is none."""
    note: str = ""
    """Why it cannot be done; then the figures mean nothing."""


@dataclass(frozen=True, slots=True)
class FleetChoice:
    """One number of VMs."""

    vms: int
    figures: tuple[FleetFigures | None, ...]
    """In the order of the strategies; None: not tried yet."""
    own: int = -1
    """Place of the strategy with which this is the plan itself; -1: it is not."""


class WhatIfTable(LineTable[FleetChoice]):
    """Up and down choose the number of VMs, left and right the strategy; Enter takes both."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "strategy(-1)", "Strategy before", show=False),
        Binding("right", "strategy(1)", "Next strategy", show=False),
    ]

    class Chosen(Message):
        """A fleet is wanted instead of the plan's."""

        def __init__(self, vms: int, strategy: str) -> None:
            super().__init__()
            self.vms = vms
            self.strategy = strategy

    def __init__(self, strategies: Sequence[str], *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        self._strategies = tuple(strategies)
        self._chosen = 0
        self._is_wide = False
        super().__init__(
            self._made_columns(), lambda row: str(row.vms), empty="other fleets are tried when there is a plan", id=id, classes=classes
        )

    @property
    def strategy(self) -> str:
        """The one under the cursor."""
        return self._strategies[self._chosen]

    def set_choices(self, choices: Iterable[FleetChoice]) -> None:
        """Show these; the cursor stands on the plan's own until somebody moves it."""
        rows, moved = tuple(choices), self._moved
        self.set_rows(rows)
        own = next((row for row in rows if row.own >= 0), None)
        if not moved and own is not None:
            self._chosen = own.own
            self.move_to(str(own.vms))
            self._moved = False
            self.set_columns(self._made_columns())

    def action_strategy(self, step: int) -> None:
        self._chosen = (self._chosen + step) % len(self._strategies)
        self._moved = True
        self.set_columns(self._made_columns())

    def action_open_row(self) -> None:
        if (row := self.cursor_row) is not None:
            self.post_message(self.Chosen(row.vms, self.strategy))

    def on_resize(self, event: events.Resize) -> None:
        if self._is_wide != (event.size.width >= _WIDE):
            self._is_wide = not self._is_wide
            self.set_columns(self._made_columns())

    def _made_columns(self) -> tuple[Column[FleetChoice], ...]:
        columns: list[Column[FleetChoice]] = [Column("VMs", lambda row: f"{row.vms:,}", 4, rank=0, right=True)]
        for place, strategy in enumerate(self._strategies):
            title = f"‹{strategy}›" if place == self._chosen else f" {strategy}"
            width = 30 if self._is_wide else 20
            columns.append(Column(title, lambda row, place=place: self._figures(row, place), 15, width, width, rank=place + 1))  # type: ignore[misc]
        return tuple(columns)

    def _figures(self, row: FleetChoice, place: int) -> Cell:
        figures = row.figures[place]
        if figures is None:
            return Toned("  …", Tone.QUIET)
        if figures.note:
            return Toned(f"  {figures.note}", Tone.QUIET)
        glyph = "=" if row.own == place else " " if figures.in_time is None else "✓" if figures.in_time else "×"
        tone = Tone.PLAIN if figures.in_time is None else Tone.GOOD if figures.in_time else Tone.BAD
        hours = f"{figures.vm_hours:,.1f}h" if figures.vm_hours < 100 else f"{figures.vm_hours:.0f}h"
        text = f"{glyph}{brief_duration(figures.seconds):>6} {hours:>5} {figures.cost:>6}"
        if self._is_wide and figures.bound_seconds > 0:
            text += f"  +{max(0.0, figures.seconds / figures.bound_seconds - 1):.0%}"
        return Toned(text, tone)


def brief_duration(seconds: float) -> str:
    """The two largest units without blanks, six cells: `38s`, `59m59s`, `1h04m`, `2d11h`."""
    if seconds <= 0:
        return UNKNOWN
    whole = max(1, round(seconds))
    for large, small, size in (("d", "h", 86400), ("h", "m", 3600), ("m", "s", 60)):
        if whole >= size:
            rest = whole % size // {"h": 3600, "m": 60, "s": 1}[small]
            return f"{whole // size}{large}{rest:02d}{small}"
    return f"{whole}s"
