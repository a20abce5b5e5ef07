"""The first picture: numbered steps with their times while the session opens; what went wrong and what to do if it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Static

from console.blocking import in_thread
from console.opening import LookAround, Opened, Opener, look_around
from console.widgets.progress_steps import ProgressSteps, Step, StepState
from engine.errors import EngineError, one_line

if TYPE_CHECKING:
    from console.app import ConsoleApp
    from engine.plan import Request

TITLES = {
    "profile": "read the profile",
    "local cloud": "local cloud",
    "storage": "bucket server",
    "logs": "log server",
    "platform": "platform server",
    "bigquery": "BigQuery server",
    "compute": "compute server",
    "tardis": "market data stand-in",
    "runs and catalogues": "look for live runs",
}
"""What steps are called on the screen; others keep the name they are reported by."""


@dataclass(slots=True)
class _Progress:
    """One step as it was reported."""

    name: str
    since: float
    until: float | None = None
    problem: str = ""


class StartingScreen(Screen[None]):
    """Opens the session in a thread and hands it to the app."""

    DEFAULT_CSS = """
    StartingScreen { background: $background; color: $foreground; align: center middle; }
    StartingScreen > Vertical { width: 76; max-width: 100%; height: auto; padding: 1 2; }
    StartingScreen .starting--title { text-style: bold; color: $accent; height: auto; margin-bottom: 1; }
    StartingScreen .starting--problem { color: $state-bad; text-style: bold; height: auto; margin-top: 1; }
    StartingScreen .starting--hint { color: $quiet; height: auto; margin-top: 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "retry", "Retry"),
        Binding("q,escape,ctrl+c", "give_up", "Quit"),
    ]

    def __init__(
        self,
        opener: Opener,
        request: Request | None,
        *,
        look_around: LookAround = look_around,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            opener: Makes the session.
            request: What the Plan screen shall ask for; None: what was asked for last.
            look_around: What is asked of the session first.
            monotonic: Seconds, for the steps' times.
        """
        super().__init__()
        self._opener = opener
        self._request = request
        self._look_around = look_around
        self._monotonic = monotonic
        self._steps: list[_Progress] = []
        self._failed = False

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static("tickdeck", classes="starting--title", markup=False)
            yield ProgressSteps()
            yield Static("", classes="starting--problem", markup=False)
            yield Static("q quits", classes="starting--hint", markup=False)

    def on_mount(self) -> None:
        self.set_interval(0.1, self._show)
        # After the first paint: opening imports modules, and the picture should not wait for them.
        self.call_after_refresh(self.open)

    @work(exclusive=True, group="open", exit_on_error=False)
    async def open(self) -> None:
        """Open the session; the app goes on from there."""
        self._steps, self._failed = [], False
        self._say("", "q quits")
        self.report("profile", "running")
        try:
            opened = await in_thread(self._open, name="open")
        except EngineError as error:
            self._fail(one_line(error))
        except Exception as error:  # noqa: BLE001 - whatever stops it, the person reads why
            self._fail(f"{type(error).__name__}: {one_line(error)}")
        else:
            if self.app.is_running:  # who left meanwhile is shown no screen: the app is taking its screens down
                cast("ConsoleApp", self.app).opened(opened)

    def report(self, name: str, state: str) -> None:
        """A step begins (`running`), is `done`, or failed with a text."""
        now = self._monotonic()
        for each in self._steps:
            # A step that nobody closes is over when the next begins.
            if each.name == "profile" and each.name != name and each.until is None:
                each.until = now
        step = next((each for each in self._steps if each.name == name), None)
        if step is None:
            step = _Progress(name, now)
            self._steps.append(step)
        if state != "running":
            step.until, step.problem = now, "" if state == "done" else state
        self._show()

    def action_retry(self) -> None:
        if self._failed:
            self.open()

    def action_give_up(self) -> None:
        cast("ConsoleApp", self.app).exit(69 if self._failed else 0)

    def _open(self) -> Opened:
        return self._look_around(self._opener(self._report_from_thread), self._request, self._report_from_thread)

    def _report_from_thread(self, name: str, state: str) -> None:
        self.app.call_later(self.report, name, state)

    def _fail(self, text: str) -> None:
        self._failed = True
        for step in self._steps:
            if step.until is None:
                step.until, step.problem = self._monotonic(), "failed"
        problem, _, hint = text.partition(" -> ")
        self._say(f"× {problem}", f"{hint}\nr tries again · q quits".strip())
        self._show()

    def _say(self, problem: str, hint: str) -> None:
        self.query_one(".starting--problem", Static).update(problem)
        self.query_one(".starting--hint", Static).update(hint)

    def _show(self) -> None:
        self.query_one(ProgressSteps).set_steps(self._step(step) for step in self._steps)

    def _step(self, step: _Progress) -> Step:
        seconds = (step.until if step.until is not None else self._monotonic()) - step.since
        state = StepState.RUNNING if step.until is None else StepState.FAILED if step.problem else StepState.DONE
        return Step(TITLES.get(step.name, step.name), state, round(seconds, 1), step.problem)
