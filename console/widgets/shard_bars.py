"""How evenly a plan spreads over its shards: one bar a shard, against the shortest time any packing could take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from console.widgets.columns import Cell, Column, Gauge, Toned
from console.widgets.figures import format_bytes, format_count, format_duration
from console.widgets.table import LineTable
from console.widgets.tones import Tone


@dataclass(frozen=True, slots=True)
class ShardBar:
    """One shard of a plan."""

    index: int
    seconds: float
    """Estimated work."""
    source_bytes: int
    """Compressed, as the source sends them."""
    files: int
    vm: str = ""


class Order(StrEnum):
    """How the bars are sorted."""

    LONGEST = "longest first"
    INDEX = "by number"


@dataclass(frozen=True, slots=True)
class _Scaled:
    """A shard with what its bar is measured against."""

    shard: ShardBar
    longest: float
    lower_bound: float
    """Seconds; 0 draws no tick."""


def _seconds(row: _Scaled) -> Cell:
    slowest = row.shard.seconds >= row.longest > 0
    return Toned(format_duration(row.shard.seconds), Tone.WARN if slowest else Tone.PLAIN)


def _bar(row: _Scaled) -> Cell:
    if row.longest <= 0:
        return Toned("nothing to do", Tone.QUIET)
    return Gauge(row.shard.seconds / row.longest, "", row.lower_bound / row.longest if row.lower_bound > 0 else None)


_FIGURES: Final[tuple[Column[_Scaled], ...]] = (
    Column("Shard", lambda row: str(row.shard.index), 5, rank=0, right=True),
    Column("Estimated work  ┃ = ideal", _bar, 12, 30, 120, rank=4),
    Column("Time", _seconds, 9, rank=1, right=True),
    Column("Source", lambda row: format_bytes(row.shard.source_bytes), 8, rank=2, right=True),
    Column("Files", lambda row: format_count(row.shard.files), 7, rank=3, right=True),
)
_VM: Final[Column[_Scaled]] = Column("VM", lambda row: Toned(row.shard.vm, Tone.QUIET), 14, 30, 36, rank=5, keep_end=True)


class ShardBars(LineTable[_Scaled]):
    """Bars by estimated seconds; `o` changes the order, space marks. Message keys are shard numbers as text."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("o", "change_order", "Order", show=False)]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(
            _FIGURES, lambda row: str(row.shard.index), markable=lambda _row: True, empty="no shards yet", id=id, classes=classes
        )
        self._shards: tuple[ShardBar, ...] = ()
        self._lower_bound = 0.0
        self._order = Order.LONGEST

    @property
    def order(self) -> Order:
        return self._order

    def set_shards(self, shards: Iterable[ShardBar], lower_bound_seconds: float = 0.0) -> None:
        """Show these shards.

        Args:
            lower_bound_seconds: No packing finishes sooner: the mean, or the largest piece. Drawn as a tick.
        """
        self._shards, self._lower_bound = tuple(shards), lower_bound_seconds
        # Before a launch no VM has a name: the bars take its room.
        self.set_columns((*_FIGURES, _VM) if any(shard.vm for shard in self._shards) else _FIGURES)
        self._fill()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Shards are marked one by one or as a range; the other keys of marking mean something else where plans are made."""
        return action not in ("mark_all", "invert_marks") and super().check_action(action, parameters)

    def action_change_order(self) -> None:
        self._order = Order.INDEX if self._order is Order.LONGEST else Order.LONGEST
        self._fill()

    def _fill(self) -> None:
        longest = max((shard.seconds for shard in self._shards), default=0.0)
        ordered = sorted(self._shards, key=lambda shard: shard.index)
        if self._order is Order.LONGEST:
            ordered.sort(key=lambda shard: -shard.seconds)
        self.set_rows(_Scaled(shard, longest, self._lower_bound) for shard in ordered)
