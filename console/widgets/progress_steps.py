"""Numbered steps with their times: what a start-up is doing now, what it has done, and where it failed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from textual.content import Content
from textual.widget import Widget

from console.widgets.figures import fit, format_duration, one_line
from console.widgets.tones import Tone


class StepState(StrEnum):
    """Of one step."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be done."""

    title: str
    state: StepState = StepState.PENDING
    seconds: float | None = None
    """Taken, or taken so far."""
    detail: str = ""
    """What it is at, or why it failed."""


_LOOKS: Final = {
    StepState.PENDING: ("○", Tone.QUIET),
    StepState.RUNNING: ("►", Tone.BUSY),
    StepState.DONE: ("✓", Tone.GOOD),
    StepState.FAILED: ("×", Tone.BAD),
}


class ProgressSteps(Widget):
    """One line a step: glyph, number, title, time, detail."""

    DEFAULT_CSS = """
    ProgressSteps {
        height: auto;
        padding: 0 1;
        background: $background;
        color: $foreground;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def __init__(self, steps: Iterable[Step] = (), *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._steps = tuple(steps)

    def set_steps(self, steps: Iterable[Step]) -> None:
        """Show these; call it again as they go on."""
        new = tuple(steps)
        if new != self._steps:
            longer, self._steps = len(new) != len(self._steps), new
            self.refresh(layout=longer)

    @property
    def text(self) -> str:
        """The lines without colours."""
        return self.render().plain

    def render(self) -> Content:
        title_width = max((len(step.title) for step in self._steps), default=0)
        lines = [self._line(number, step, title_width) for number, step in enumerate(self._steps, start=1)]
        return Content("\n").join(lines)

    def _line(self, number: int, step: Step, title_width: int) -> Content:
        glyph, tone = _LOOKS[step.state]
        pending, strong = step.state is StepState.PENDING, step.state in (StepState.RUNNING, StepState.FAILED)
        taken = "" if step.seconds is None else f"{step.seconds:.1f} s" if step.seconds < 10 else format_duration(step.seconds)
        return Content.assemble(
            (f"{glyph} ", f"bold {tone.css}"),
            (
                f"{number}/{len(self._steps)} {fit(one_line(step.title), title_width)}",
                "$quiet" if pending else "bold" if strong else "",
            ),
            (f"  {fit(taken, 9, right=True)}  ", "$quiet"),
            (one_line(step.detail), tone.css if step.state is StepState.FAILED else "$quiet"),
        )
