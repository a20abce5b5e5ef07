"""What a place remembers of a screen, read off its widgets, so that a screen gets it without doing anything; and putting it back.

A screen that shows other things at other times (whose logs) says so in `own_place` and `go_to_place`. Apart from `console.navigation`
because it imports every widget that remembers something.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from textual.widget import Widget

from console.navigation import Place
from console.query import QueryError, parse
from console.widgets.heatmap import Heatmap
from console.widgets.logring import Key
from console.widgets.logview import LogView
from console.widgets.prompt import Prompt
from console.widgets.table import LineTable

if TYPE_CHECKING:
    from console.screens.base import ModeScreen


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
def _(widget: LogView) -> tuple[Key | None]:
    return (widget.place,)


@recall.register
def _(widget: LogView, memory: tuple[Key | None]) -> None:
    widget.go_to_place(memory[0])


@remember.register
def _(widget: Heatmap) -> tuple[str, Any] | None:
    at = widget.cursor
    return None if at is None else (at[0], at[1])


@recall.register
def _(widget: Heatmap, memory: tuple[str, Any]) -> None:
    widget.move_to(*memory)


def _widgets(screen: ModeScreen) -> Iterator[tuple[str, Widget]]:
    for kind in (Prompt, LineTable, Heatmap, LogView):
        for number, widget in enumerate(screen.query(kind)):
            yield f"{kind.__name__} {number}", widget
