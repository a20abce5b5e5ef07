"""Where a person has been: places of a screen with their filters, cursors and scroll, and the way back and on again.

What a place remembers is read off the widgets, so that a screen gets it without doing anything. A screen that shows other things at
other times (whose logs) says so in `own_place` and `go_to_place`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING, Any, Final

from textual.widget import Widget

from console.modes import Mode
from console.query import QueryError, parse
from console.widgets.heatmap import Heatmap
from console.widgets.prompt import Prompt
from console.widgets.table import LineTable

if TYPE_CHECKING:
    from console.screens.base import ModeScreen

LONGEST: Final = 50
"""Places that are remembered each way."""


@dataclass(frozen=True, slots=True)
class Place:
    """A screen as somebody left it."""

    mode: Mode
    own: object = None
    """What the screen itself says: see `ModeScreen.own_place`."""
    widgets: tuple[tuple[str, object], ...] = ()
    """By the widget's kind and its number among them."""


class Trail:
    """Back and on, as in a browser."""

    def __init__(self) -> None:
        self._before: list[Place] = []
        self._after: list[Place] = []

    def leave(self, place: Place) -> None:
        """One goes on from here to somewhere new."""
        if not self._before or self._before[-1] != place:
            self._before = [*self._before, place][-LONGEST:]
        self._after.clear()

    def back(self, here: Place) -> Place | None:
        """The place before this one; None if there is none."""
        return self._step(self._before, self._after, here)

    def on(self, here: Place) -> Place | None:
        """The place one came back from; None if there is none."""
        return self._step(self._after, self._before, here)

    @staticmethod
    def _step(source: list[Place], target: list[Place], here: Place) -> Place | None:
        while source:
            place = source.pop()
            if place != here:
                target.append(here)
                return place
        return None


def place_of(screen: ModeScreen) -> Place:
    """The place a screen is at now."""
    kept = tuple((name, memory) for name, each in _widgets(screen) if (memory := remember(each)) is not None)
    return Place(screen.MODE, screen.own_place(), kept)


def return_to(screen: ModeScreen, place: Place) -> None:
    """Put a screen as it was, as far as what was there is there still."""
    screen.go_to_place(place.own)
    memories = dict(place.widgets)
    # Filters first: a cursor can only stand on a row that passes.
    for name, each in sorted(_widgets(screen), key=lambda named: not isinstance(named[1], Prompt)):
        if name in memories:
            recall(each, memories[name])


@singledispatch
def remember(_widget: Widget) -> Any:
    """What of a widget belongs to a place; None: nothing."""
    return None


@singledispatch
def recall(_widget: Widget, _memory: Any) -> None:
    """Put a widget as it was."""


@remember.register
def _(widget: Prompt) -> str:
    return str(widget.query_now)


@recall.register
def _(widget: Prompt, memory: str) -> None:
    with suppress(QueryError):
        widget.set_query(parse(memory))


@remember.register
def _(widget: LineTable) -> tuple[str | None, int]:  # type: ignore[type-arg]  # of whatever rows
    return widget.cursor_key, int(widget.scroll_offset.y)


@recall.register
def _(widget: LineTable, memory: tuple[str | None, int]) -> None:  # type: ignore[type-arg]
    key, top = memory
    if key is not None:
        widget.expect(key, top)


@remember.register
def _(widget: Heatmap) -> tuple[str, Any] | None:
    at = widget.cursor
    return None if at is None else (at[0], at[1])


@recall.register
def _(widget: Heatmap, memory: tuple[str, Any]) -> None:
    widget.move_to(*memory)


def _widgets(screen: ModeScreen) -> Iterator[tuple[str, Widget]]:
    for kind in (Prompt, LineTable, Heatmap):
        for number, widget in enumerate(screen.query(kind)):
            yield f"{kind.__name__} {number}", widget
