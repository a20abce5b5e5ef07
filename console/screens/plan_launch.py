"""From Enter to a run: whether a plan may be launched, the questions before it, and what comes of it. The Plan screen is one of these."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING

from textual import work

from console.blocking import in_thread
from console.plan_checks import Checks, fleet_asked
from console.plan_slice import WHOLE, PlanSlice, SliceEstimate, estimate_slice
from console.screens.base import ModeScreen
from console.sentences import money
from console.widgets.figures import one_line as safe
from console.widgets.figures import plural
from engine.errors import EngineError, one_line
from engine.plan import Plan, Request

if TYPE_CHECKING:
    from provision.preflight import Preflight


class LaunchingScreen(ModeScreen):
    """A mode's screen that launches plans."""

    def __init__(self) -> None:
        super().__init__()
        self.launching = ""
        """The step it is at; empty: nothing is being launched."""
        self.launched: tuple[str, Request] | None = None
        """The last run of this screen, and what it was asked for."""

    @property
    @abstractmethod
    def launch_checks(self) -> Checks | None:
        """What the checks of a launch have said."""

    @abstractmethod
    def launch_went_on(self) -> None:
        """A launch is at another step, or has ended without a run."""

    @abstractmethod
    def plan_launched(self, plan: Plan, run: str) -> None:
        """There is a run."""

    def begin_launch(self, plan: Plan, part: PlanSlice = WHOLE) -> None:
        """Ask what has to be asked, then launch."""
        checks = self.launch_checks
        wrong = checks.wrong if checks is not None and checks.fleet.holds(fleet_asked(plan, self.session.profile)) else ()
        cost = self._what_it_costs(plan, part)
        if wrong:
            self._ask_reason(plan, part, cost)
        elif twin := self._twin(plan.request):
            text = f"Run {twin} was asked for the same and is still at it. Files are committed once: a second run is mostly waste."
            self._ask("Launch it a second time?", text, plan, part)
        elif cost is None:
            self._ask(self._question(plan, part), "Nobody knows what it costs: it has no price.", plan, part)
        elif cost[2] > 0:
            low, expected, high = cost
            text = f"It costs {money(expected)} ({money(low)} to {money(high)}) and starts at once. Drain and abort stop it."
            text += "".join(f" {remark[0].upper()}{remark[1:]}." for remark in part.remarks)
            self._ask(self._question(plan, part), text, plan, part)
        else:
            self._launch(plan, part)

    def describe_slice(self, plan: Plan, part: PlanSlice) -> SliceEstimate:
        """What a part of a plan comes to."""
        means = self.session.planning.means(plan.request)
        return estimate_slice(plan, part, most_vms=self.session.profile.most_vms, speed=means.speed, rates=means.rates)

    def _what_it_costs(self, plan: Plan, part: PlanSlice) -> tuple[float, float, float] | None:
        if not plan.estimate.is_priced:
            return None
        return plan.estimate.cost if part.is_whole else self.describe_slice(plan, part).cost

    def _question(self, plan: Plan, part: PlanSlice) -> str:
        if part.is_whole:
            return f"Launch {plural(len(plan.shards), 'VM')}?"
        found = self.describe_slice(plan, part)
        return f"Launch {found.shards:,} of {plural(found.of, 'shard')} on {plural(found.vms, 'VM')}?"

    def _twin(self, request: Request) -> str:
        """The live run that was asked for the same by this console, or that it opened with; empty if there is none."""
        run, asked = self.launched or (self.console.start.live_run, self.console.start.request)
        return run if run and run == self.console.live_run and asked == request else ""

    def _ask(self, title: str, text: str, plan: Plan, part: PlanSlice) -> None:
        """Enter alone must not do this."""
        from console.widgets.confirm import ConfirmOne

        def answered(yes: bool | None) -> None:
            if yes:
                self._launch(plan, part)

        self.app.push_screen(ConfirmOne(title, text, verb="Launch"), answered)

    def _ask_reason(self, plan: Plan, part: PlanSlice, cost: tuple[float, float, float] | None) -> None:
        """What fails, and a reason in writing."""
        from console.screens.skip_checks import SkipChecksScreen
        from provision.preflight import Preflight

        checks = self.launch_checks
        assert checks is not None
        price = (
            "at a price that nobody knows" if cost is None else "free" if cost[2] == 0 else f"{money(cost[1])}, at most {money(cost[2])}"
        )

        def answered(reason: str | None) -> None:
            if reason:
                self._launch(plan, part, skipped=Preflight(checks.findings), reason=reason)

        text = f"It would ask for {plural(checks.fleet.vms, 'VM')}: {price}."
        title = f"{plural(len(checks.wrong), 'check')} of the launch {'fails' if len(checks.wrong) == 1 else 'fail'}"
        self.app.push_screen(SkipChecksScreen(title, checks.wrong, text), answered)

    @work(group="launch", exit_on_error=False)
    async def _launch(self, plan: Plan, part: PlanSlice, *, skipped: Preflight | None = None, reason: str = "") -> None:
        if self.launching:
            return
        self.launching = "writing the launch record"
        self.launch_went_on()
        checks = self.launch_checks
        is_checked = skipped is not None or (
            part.external_ip is None  # The checks that show are of the profile's addresses.
            and checks is not None
            and checks.passed(fleet_asked(plan, self.session.profile), self.console.clock())
        )
        try:
            if skipped is not None:
                await in_thread(partial(self.session.launching.record_skip, plan, skipped, reason), name="skip of checks")
            launch = partial(
                self.session.launching.launch,
                plan,
                shards_only=part.shards,
                max_vms=part.max_vms,
                keep=part.keep,
                canary=part.canary,
                external_ip=part.external_ip,
                checked=is_checked,
                report=self._launch_step,
            )
            launched = await in_thread(launch, name="launch")
        except EngineError as error:
            self._launch_failed(one_line(error), "not launched", 20)
            return
        except Exception as error:  # noqa: BLE001 - a link may raise anything; the person must know whether VMs exist
            said = f"{type(error).__name__}: {one_line(error)}; look at Fleet before trying again"
            self._launch_failed(said, "the launch broke off", 30)
            return
        self.launching, self.launched = "", (launched.run, plan.request)
        self.plan_launched(plan, launched.run)
        self.console.run_launched(launched.run)
        if launched.failed:
            why = next(filter(None, launched.messages), "")
            self.notify(
                f"{plural(len(launched.failed), 'VM')} could not be made: {safe(why)}", title=launched.run, severity="warning", timeout=20
            )

    def _launch_failed(self, said: str, title: str, seconds: float) -> None:
        self.launching = ""
        self.launch_went_on()
        self.notify(said, title=title, severity="error", timeout=seconds)

    def _launch_step(self, line: str) -> None:
        """Called in the launch's thread."""

        def show() -> None:
            if self.launching:
                self.launching = line
                self.launch_went_on()

        self.app.call_later(show)
