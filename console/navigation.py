"""Where a person has been: places of a screen with their filters, cursors and scroll, and the way back and on again.

What a place remembers is read off the widgets by `console.remembering`, which knows them all; this module is there before the first
picture, and knows none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from console.modes import Mode

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
