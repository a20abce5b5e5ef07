"""What is wrong with the sources of a screen, why, and what to do: one line that is there only when something is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from textual.content import Content
from textual.widget import Widget

from console.widgets.figures import fit, format_age, one_line

_FEWEST: Final = 14
"""Cells of the reason that are kept beside what to do."""
_ROOMY: Final = 90
"""Cells from which the key that asks at once is named, too."""


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
    TroubleLine { height: 1; display: none; padding: 0 1; background: $surface; text-wrap: nowrap; }
    TroubleLine.-some { display: block; }
    """

    def __init__(self, *, now: Callable[[], datetime] = _utc_now, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._now = now
        self._troubles: tuple[Trouble, ...] = ()

    def set_troubles(self, troubles: Iterable[Trouble]) -> None:
        """Show these, the worst first; none: the line goes away."""
        self._troubles = tuple(sorted(troubles, key=lambda each: not each.is_bad))
        self.set_class(bool(self._troubles), "-some")
        self.refresh()

    @property
    def text(self) -> str:
        """The line without colours; empty if it is not there."""
        return self.render().plain if self._troubles else ""

    def on_mount(self) -> None:
        self.set_interval(1.0, self._tick)

    def render(self) -> Content:
        if not self._troubles:
            return Content("")
        worst, *more = self._troubles
        reason, _, remedy = one_line(worst.reason).partition(" -> ")
        glyph, tone = ("×", "bold $state-bad") if worst.is_bad else ("i", "bold $state-warn")
        remedy = f"  → {remedy}" if remedy else ""
        tail = self._again(worst) + (f"  +{len(more)}" if more else "")
        width = self.content_size.width
        head = f"{glyph} {worst.name}: "
        room = width - len(head) - len(tail)
        if len(reason) + len(remedy) > room:
            # What was being done gives way to why it failed, and that to what to do.
            reason = reason.partition(": ")[2] or reason
        if len(remedy) > room - _FEWEST:
            remedy = fit(remedy, room - _FEWEST).rstrip() if room > 2 * _FEWEST else ""
        shown = fit(reason, max(0, min(len(reason), room - len(remedy))))
        return Content.assemble((head, tone), shown, (remedy, "$accent"), (tail, "$quiet"))

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
