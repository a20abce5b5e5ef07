"""What is wrong with the sources of a screen, why, and what to do: one line that is there only when something is, two if need be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from console.widgets.figures import fit, format_age, one_line

_FEWEST: Final = 14
"""Cells of the reason that are kept beside what to do."""
_ROOMY: Final = 90
"""Cells from which the key that asks at once is named, too."""
_LOW: Final = 20
"""A terminal with fewer rows has none to spare for a second line."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong."""

    name: str
    """Of the source: `fleet`."""
    reason: str
    """What went wrong, and after ` -> ` what to do."""
    next_try: datetime | None = None
    """When it is tried again, UTC; None: it is not."""
    is_bad: bool = True
    """False for what one only has to know."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TroubleLine(Widget):
    """The worst trouble, and how many more there are."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    TroubleLine { height: auto; display: none; padding: 0 1; background: $surface; text-wrap: nowrap; }
    TroubleLine.-some { display: block; }
    """

    def __init__(self, *, now: Callable[[], datetime] = _utc_now, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._now = now
        self._troubles: tuple[Trouble, ...] = ()

    def set_troubles(self, troubles: Iterable[Trouble]) -> None:
        """Show these, the worst first; none: the line goes away."""
        shown = tuple(sorted(troubles, key=lambda each: not each.is_bad))
        if shown == self._troubles:
            return
        self._troubles = shown
        self.set_class(bool(self._troubles), "-some")
        self.refresh(layout=True)

    @property
    def text(self) -> str:
        """What it says, without colours and in one line; empty if it is not there."""
        return " ".join(each.plain.strip() for each in self._lines(self.content_size.width)) if self._troubles else ""

    def on_mount(self) -> None:
        self.set_interval(1.0, self._tick)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual asks so
        """As many lines as it takes."""
        return len(self._lines(width))

    def render(self) -> Content:
        return Content("\n").join(self._lines(self.content_size.width))

    def _lines(self, width: int) -> list[Content]:
        if not self._troubles:
            return [Content("")]
        worst, *more = self._troubles
        reason, _, remedy = one_line(worst.reason).partition(" -> ")
        glyph, tone = ("×", "bold $state-bad") if worst.is_bad else ("i", "bold $state-warn")
        remedy = f"  → {remedy}" if remedy else ""
        tail = self._again(worst) + (f"  +{len(more)}" if more else "")
        head = f"{glyph} {worst.name}: "
        room = width - len(head) - len(tail)
        if len(reason) + len(remedy) > room and self.screen.size.height >= _LOW:
            return self._two_lines(head, tone, reason, remedy, tail, width)
        if len(reason) + len(remedy) > room:
            # What was being done gives way to why it failed, and that to what to do.
            reason = reason.partition(": ")[2] or reason
        if len(remedy) > room - _FEWEST:
            remedy = fit(remedy, room - _FEWEST).rstrip() if room > 2 * _FEWEST else ""
        shown = fit(reason, max(0, min(len(reason), room - len(remedy))))
        return [Content.assemble((head, tone), shown, (remedy, "$accent"), (tail, "$quiet"))]

    def _two_lines(self, head: str, tone: str, reason: str, remedy: str, tail: str, width: int) -> list[Content]:
        """What to do stands below why; without that, the rest of why."""
        room = width - len(head)
        if remedy:
            if len(reason) > room:
                reason = reason.partition(": ")[2] or reason
            below, colour = remedy, "$accent"
        else:
            reason, below = _cut(reason, room)
            below, colour = f"  {below}", ""
        if len(below) > width - len(tail) and len(reason) <= room - len(tail):
            above, tail = tail, ""
        else:
            above = ""
        return [
            Content.assemble((head, tone), fit(reason, min(len(reason), room)), (above, "$quiet")),
            Content.assemble((fit(below, max(0, min(len(below), width - len(tail)))), colour), (tail, "$quiet")),
        ]

    def _again(self, trouble: Trouble) -> str:
        if trouble.next_try is None:
            return ""
        seconds = (trouble.next_try - self._now()).total_seconds()
        if seconds < 1:
            return "  asking …"
        key = ", ctrl+r now" if self.content_size.width >= _ROOMY else ""
        return f"  again in {format_age(seconds)}{key}"

    def _tick(self) -> None:
        if self._troubles:
            self.refresh()


def _cut(text: str, room: int) -> tuple[str, str]:
    """So many words as there is room for, and the others."""
    if len(text) <= room:
        return text, ""
    place = text.rfind(" ", 0, room + 1)
    return (text[:place], text[place + 1 :]) if place > 0 else (text[:room], text[room:])
