"""From the fields to a plan: the request is checked as it is typed and planned again in a thread a moment after the last key; until the
new plan is there the old one stays. Nothing here decides what a plan is: that is the engine's, asked through the session.
"""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from textual import events, work
from textual._time import get_time
from textual.timer import Timer

from console.blocking import in_thread
from console.field_names import Known
from console.opening import listed_symbols
from console.request_fields import Parsed, field_of_error, fields_of, parse_fields
from console.screens.plan_launch import LaunchingScreen
from console.screens.plan_panes import BALANCE, PlanPanes
from console.screens.request_form import RequestForm
from engine.errors import EngineError, one_line
from engine.model import DayRange
from engine.plan import Plan, Request

if TYPE_CHECKING:
    from console.state import Feed
    from provision.fleet import FleetSnapshot

DEBOUNCE_SECONDS: Final = 0.35
"""After the last key: a plan costs a few listings."""
OLD_AFTER: Final = timedelta(seconds=60)
"""A plan older than this is made again when the screen is shown."""


class PlanningScreen(LaunchingScreen):
    """A form, and the plan that answers it."""

    def __init__(self) -> None:
        super().__init__()
        self._parsed = Parsed(None)
        self._plan: Plan | None = None
        self._problem = ""
        self._planning = False
        self._seen_since = math.inf
        """Since when the plan has been on the screen, on Textual's clock."""
        self._asked_at: datetime | None = None
        """When the fields were filled in or changed: `4h` and `yesterday` count from here, however often they are read."""
        self._kept: Plan | None = None
        """The kept plan that was opened and not changed since: it is launched as it is."""
        self._compares_kept = False
        """Whether Changes compares with a kept plan; else with the one before the last edit."""
        self._timer: Timer | None = None
        self._base: Request | None = None
        self._because = ""
        self._shown_again = False
        self._symbols_of: tuple[object, ...] = ()
        """The venues, types and days whose symbols can be completed."""

    @abstractmethod
    def _show(self) -> None:
        """Write everything from what is known now."""

    # What it is made of

    @property
    def _form(self) -> RequestForm:
        return self.query_one(RequestForm)

    @property
    def _panes(self) -> PlanPanes:
        return self.query_one(PlanPanes)

    # Filled in from outside

    def session_opened(self) -> None:
        """The request of the start, and the names that may be typed."""
        start = self.console.start
        self._know(self.console.known)
        self.fill_in(self.console.request or start.request, because=self.console.because)

    def names_known(self, known: Known) -> None:
        """More is known of what may be typed."""
        self._know(known)
        self._check()

    def _know(self, known: Known) -> None:
        from console.places import user_folder
        from provision.prices import list_machines

        profile = self.session.profile
        self._form.known = dataclasses.replace(
            known,
            symbols=self._form.known.symbols,
            universes=user_folder("universes"),
            machines=tuple(list_machines(profile)),
            own_machine=profile.machine_types[0],
            own_cap=profile.max_cost,
        )

    def fill_in(self, request: Request, *, because: str = "") -> None:
        """Ask for this now, and plan it.

        Args:
            because: Where it comes from, a few words.
        """
        self._base, self._because, self._kept, self._asked_at = request, because, None, self.console.clock()
        self._form.fill(fields_of(request))
        # Enter launches what is asked for now, also where the panes of another plan were being looked at.
        self._panes.open(BALANCE)
        self._check()
        self._plan_now()

    def show_fleet(self, feed: Feed[FleetSnapshot]) -> None:  # noqa: ARG002 - it is only the occasion
        """A plan that was launched, or has waited while other screens were shown, is made again."""
        if not self._shown_again or self._planning or self.launching or self._kept is not None:
            return
        self._shown_again = False
        if self._plan is None or self.console.clock() - self._plan.created > OLD_AFTER:
            self._plan_now()

    def on_screen_resume(self, event: events.ScreenResume) -> None:  # noqa: ARG002 - the base hears of it too, by Textual
        self._shown_again = True
        self._await_sight()

    # Editing

    def on_request_form_changed(self, message: RequestForm.Changed) -> None:
        self._because, self._kept, self._asked_at = "", None, self.console.clock()
        self._check(message.texts)
        if self._timer is not None:
            self._timer.stop()
        if self._parsed.request is None:
            self._planning = False
            self.workers.cancel_group(self, "plan")
            self._show()
            return
        self._planning = True
        self._show()
        self._timer = self.set_timer(DEBOUNCE_SECONDS, self._plan_now)

    def _check(self, texts: Any = None) -> None:
        """Read the fields and say beside each what is wrong."""
        if self._base is None:
            return
        self._problem = ""
        now = self._asked_at or self.console.clock()
        self._parsed = parse_fields(texts or self._form.texts, base=self._base, now=now, known=self._form.known)
        self._form.set_errors(self._parsed.errors)
        if self._parsed.request is not None:
            self.console.set_request(self._parsed.request)
        self._show()

    def _basis(self) -> Request | None:
        """The request that a preset changes."""
        return self._parsed.request or self._base

    # Planning

    def _plan_now(self) -> None:
        request = self._parsed.request
        if request is not None:
            self._planning = True
            self._show()
            self._make_plan(request)

    @work(exclusive=True, group="plan", exit_on_error=False)
    async def _make_plan(self, request: Request) -> None:
        try:
            plan = await in_thread(partial(self.session.planning.plan, request), name="plan")
        except EngineError as error:
            self._planned(request, None, one_line(error))
        except Exception as error:  # noqa: BLE001 - a link may raise anything; the screen says what
            self._planned(request, None, f"{type(error).__name__}: {one_line(error)}")
        else:
            self._planned(request, plan, "")

    def _planned(self, request: Request, plan: Plan | None, problem: str) -> None:
        """An answer came. One for another request than the fields hold now is not shown."""
        if request != self._parsed.request:
            return
        self._planning = False
        self._problem = problem
        if plan is not None:
            self._take_plan(plan)
        if problem and (name := field_of_error(problem)):
            self._form.set_errors({name: problem})
        self._show()

    def _take_plan(self, plan: Plan) -> None:
        """Another plan is on the screen."""
        before, self._plan = self._plan, plan
        self._await_sight()
        if before is not None and before.id != plan.id and not self._compares_kept:
            self._panes.compare_with(before, f"plan {before.id}, before the last edit")
        self._panes.set_plan(plan, self.console.clock())
        self._form.offer_vms(len(plan.shards) if plan.request.deadline and not plan.request.shards else 0)
        of = (plan.request.venues, plan.request.data_types, DayRange(plan.request.start, plan.request.end))
        if of != self._symbols_of:
            self._learn_symbols(*of)

    @work(exclusive=True, group="symbols", exit_on_error=False)
    async def _learn_symbols(self, venues: tuple[str, ...], data_types: tuple[str, ...], days: DayRange) -> None:
        """What may be typed into the field of symbols, of these venues and types."""
        try:
            symbols = await in_thread(partial(listed_symbols, self.session, venues, data_types, days), name="symbols")
        except EngineError:
            return  # The planner says what is wrong; here it only means that nothing is completed.
        self._symbols_of = (venues, data_types, days)
        self._form.known = dataclasses.replace(self._form.known, symbols=symbols)
        self._check()

    def _await_sight(self) -> None:
        """From the next picture on the plan has been seen, and only what is pressed after that can mean it."""
        self._seen_since = math.inf
        self.call_after_refresh(self._plan_is_seen, self._plan)

    def _plan_is_seen(self, plan: Plan | None) -> None:
        """Its sentence was painted."""
        if plan is self._plan and self.is_current:
            self._seen_since = get_time()

    @property
    def is_plan_seen(self) -> bool:
        """Whether the plan that Enter would launch is on the screen."""
        return self._plan is not None and not self._planning and self._seen_since < math.inf

    def _why_no_plan(self) -> str:
        if self._parsed.request is None:
            return self._parsed.first_error or "there is no request yet"
        if self._problem:
            return self._problem
        if self._plan is not None and not self._plan.shards and not self._planning:
            return next(iter(self._plan.warnings), "nothing to do")
        return ""
