"""The Plan screen: what to download, one sentence of what that means, and Enter to do it.

The request is edited in fields, checked as it is typed and planned again in a thread a moment after the last key; until the new plan
is there the old one stays, dimmed. Nothing here decides what a plan is: that is the engine's, asked through the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from msgspec import structs
from textual import work
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Static

from console.actions import Mode, action, bindings_for
from console.blocking import in_thread
from console.opening import last_request
from console.plan_view import bars_of, facts_of, notices_of, prices_of, sentence_of
from console.request_fields import Known, Parsed, field_of_error, fields_of, parse_fields
from console.screens.base import ModeScreen
from console.screens.request_form import RequestForm
from console.sentences import money
from console.widgets.figures import one_line as safe
from console.widgets.figures import plural
from console.widgets.sentence import Phrase, Sentence
from console.widgets.shard_bars import ShardBars
from console.widgets.table import LineTable
from console.widgets.tones import GLYPHS, Tone
from engine.errors import EngineError, one_line
from engine.model import DayRange
from engine.plan import Plan, Request

if TYPE_CHECKING:
    from console.export import Record
    from console.state import Feed
    from provision.fleet import FleetSnapshot

DEBOUNCE_SECONDS: Final = 0.35
"""After the last key: a plan costs a few listings."""
OLD_AFTER: Final = timedelta(seconds=60)
"""A plan older than this is made again when the screen is shown."""
PRESETS: Final = {"preset_yesterday": "yesterday", "preset_holes": "all holes", "preset_tier1": "tier1", "preset_last": "repeat last"}


class PlanScreen(ModeScreen):
    """The request, its plan, and launch."""

    MODE = Mode.PLAN
    PRIMARY = "launch"
    LINK = "fleet"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_for(Mode.PLAN))
    CSS_PATH = "plan.tcss"
    AUTO_FOCUS = "#plan-shards"
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual's declaration
        (0, "-narrow"),
        (110, "-wide"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._parsed = Parsed(None)
        self._plan: Plan | None = None
        self._problem = ""
        self._planning = False
        self._launching = ""
        self._launched: tuple[str, Request] | None = None
        """The last run of this screen, and what it was asked for."""
        self._timer: Timer | None = None
        self._base: Request | None = None
        self._because = ""
        self._shown_again = False

    def body(self) -> Iterable[Widget]:
        yield Sentence(id="plan-sentence", now=self.console.clock)
        yield Static("", id="plan-facts", markup=False)
        with Vertical(id="plan-main"):
            with Vertical(id="plan-left"):
                yield RequestForm(id="plan-form")
                yield Static(_presets(), id="plan-presets")
                yield Static("", id="plan-prices", markup=False)
            with Vertical(id="plan-right"):
                yield Static("", id="plan-notices", markup=False)
                yield ShardBars(id="plan-shards")
        yield Static("", id="plan-command", markup=False)

    # Filled in from outside

    def session_opened(self) -> None:
        """The request of the start, and the names that may be typed."""
        start = self.console.start
        self._form.known = self.console.known
        self.fill_in(self.console.request or start.request, because=self.console.because)

    def names_known(self, known: Known) -> None:
        """More is known of what may be typed."""
        self._form.known = known
        self._check()

    def fill_in(self, request: Request, *, because: str = "") -> None:
        """Ask for this now, and plan it.

        Args:
            because: Where it comes from, a few words.
        """
        self._base, self._because = request, because
        self._form.fill(fields_of(request))
        self._check()
        self._plan_now()

    def show_fleet(self, feed: Feed[FleetSnapshot]) -> None:  # noqa: ARG002 - it is only the occasion
        """A plan that was launched, or has waited while other screens were shown, is made again."""
        if not self._shown_again or self._planning or self._launching:
            return
        self._shown_again = False
        if self._plan is None or self.console.clock() - self._plan.created > OLD_AFTER:
            self._plan_now()

    def on_screen_resume(self) -> None:
        self._shown_again = True

    # Editing

    def on_request_form_changed(self, message: RequestForm.Changed) -> None:
        self._because = ""
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

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_launch()

    def on_line_table_row_selected(self, event: LineTable.RowSelected) -> None:
        event.stop()
        self.action_launch()

    def leave(self) -> bool:
        """Out of a field."""
        if self._form.focused_field:
            self.query_one(ShardBars).focus()
            return True
        return False

    def _check(self, texts: Any = None) -> None:
        """Read the fields and say beside each what is wrong."""
        if self._base is None:
            return
        self._problem = ""
        self._parsed = parse_fields(texts or self._form.texts, base=self._base, now=self.console.clock(), known=self._form.known)
        self._form.set_errors(self._parsed.errors)
        if self._parsed.request is not None:
            self.console.set_request(self._parsed.request)
        self._show()

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
            self._plan = plan
        if problem and (name := field_of_error(problem)):
            self._form.set_errors({name: problem})
        self._show()

    # Keys

    def action_launch(self) -> None:
        """Launch what the sentence says, or say why not."""
        why = self._why_not_launch()
        if why:
            self.notify(why, title="not launched", severity="warning", timeout=6)
            return
        plan = self._plan
        assert plan is not None
        if twin := self._twin(plan.request):
            text = f"Run {twin} was asked for the same and is still at it. Files are committed once: a second run is mostly waste."
            self._ask("Launch it a second time?", text, plan)
        elif not plan.estimate.is_priced:
            self._ask(f"Launch {plural(len(plan.shards), 'VM')}?", "Nobody knows what it costs: it has no price.", plan)
        elif plan.estimate.cost[2] > 0:
            low, expected, high = plan.estimate.cost
            text = f"It costs {money(expected)} ({money(low)} to {money(high)}) and starts at once. Drain and abort stop it."
            self._ask(f"Launch {plural(len(plan.shards), 'VM')}?", text, plan)
        else:
            self._launch(plan)

    def _why_not_launch(self) -> str:
        if self._launching:
            return "it is being launched already"
        if self._parsed.request is None:
            return self._parsed.first_error or "there is no request yet"
        if self._problem:
            return self._problem
        if self._planning or self._plan is None:
            return "still planning: Enter launches when the sentence stands"
        if not self._plan.shards:
            return next(iter(self._plan.warnings), "nothing to do")
        if not self.check_action("launch", ()):
            return "read-only; arm it with :write 15m" if self.console.read_only else f"no link to {self.link_down}"
        return ""

    def _twin(self, request: Request) -> str:
        """The live run that was asked for the same by this console, or that it opened with; empty if there is none."""
        run, asked = self._launched or (self.console.start.live_run, self.console.start.request)
        return run if run and run == self.console.live_run and asked == request else ""

    def _ask(self, title: str, text: str, plan: Plan) -> None:
        """Enter alone must not do this."""
        from console.widgets.confirm import ConfirmOne

        def answered(yes: bool | None) -> None:
            if yes:
                self._launch(plan)

        self.app.push_screen(ConfirmOne(title, text, verb="Launch"), answered)

    @work(group="launch", exit_on_error=False)
    async def _launch(self, plan: Plan) -> None:
        self._launching = "writing the launch record"
        self._show()
        try:
            launched = await in_thread(partial(self.session.launching.launch, plan, report=self._launch_step), name="launch")
        except EngineError as error:
            self._launching = ""
            self._show()
            self.notify(one_line(error), title="not launched", severity="error", timeout=20)
            return
        except Exception as error:  # noqa: BLE001 - a link may raise anything; the person must know whether VMs exist
            self._launching = ""
            self._show()
            self.notify(
                f"{type(error).__name__}: {one_line(error)}; look at Fleet before trying again",
                title="the launch broke off",
                severity="error",
                timeout=30,
            )
            return
        self._launching, self._plan, self._launched = "", None, (launched.run, plan.request)
        self.console.run_launched(launched.run)
        if launched.failed:
            why = next(filter(None, launched.messages), "")
            self.notify(
                f"{plural(len(launched.failed), 'VM')} could not be made: {safe(why)}", title=launched.run, severity="warning", timeout=20
            )

    def _launch_step(self, line: str) -> None:
        """Called in the launch's thread."""

        def show() -> None:
            if self._launching:
                self._launching = line
                self._show()

        self.app.call_later(show)

    def action_save_plan(self) -> None:
        if self._plan is None or not self._plan.shards or self._planning or self._problem:
            self.notify("there is no plan to save", severity="warning", timeout=3)
        else:
            self._save(self._plan)

    @work(group="save", exclusive=True, exit_on_error=False)
    async def _save(self, plan: Plan) -> None:
        try:
            name = await in_thread(partial(self.session.planning.save, plan), name="save")
        except EngineError as error:
            self.notify(one_line(error), title="not saved", severity="error", timeout=15)
        else:
            self.notify(f"gs://{plan.state_bucket}/{name}", title=f"plan {plan.id} is saved", timeout=6)

    async def action_copy_command(self) -> None:
        if self._parsed.request is None:
            self.notify(self._parsed.first_error, severity="warning")
        else:
            await self.console.copy(self._command(self._parsed.request))

    def action_replan(self) -> None:
        self._plan_now()

    @work(group="dry run", exclusive=True, exit_on_error=False)
    async def action_dry_run(self) -> None:
        """What a launch would create, as a tree."""
        from console.widgets.detail import DetailScreen

        plan, session = self._plan, self.session
        if plan is None or not plan.shards or self._planning:
            self.notify("there is no plan to try", severity="warning", timeout=3)
            return

        def preview() -> dict[str, object]:
            from console.dry_run import preview_launch

            return preview_launch(session, plan)

        try:
            record = await in_thread(preview, name="dry run")
        except EngineError as error:
            self.notify(one_line(error), title="this would not launch", severity="error", timeout=15)
        else:
            self.app.push_screen(DetailScreen(f"Dry run: a launch would create {plural(len(plan.shards), 'VM')}", record))

    def action_edit_request(self) -> None:
        self._form.focus_first()

    def action_preset_yesterday(self) -> None:
        if (request := self._basis()) is not None:
            yesterday = self.console.clock().date() - timedelta(days=1)
            self.fill_in(structs.replace(request, start=yesterday, end=yesterday, cells=(), deadline=None), because="yesterday")

    def action_preset_tier1(self) -> None:
        if (request := self._basis()) is not None:
            self.fill_in(structs.replace(request, universe="tier1", symbols=()), because="the symbols of tier1")

    @work(group="preset", exclusive=True, exit_on_error=False)
    async def action_preset_last(self) -> None:
        """What the newest run was asked for."""
        try:
            request = await in_thread(partial(last_request, self.session), name="last request")
        except EngineError as error:
            self.notify(one_line(error), severity="error")
            return
        if request is None:
            self.notify("there was no run yet", timeout=4)
        else:
            self.fill_in(request, because="the last run again")

    @work(group="preset", exclusive=True, exit_on_error=False)
    async def action_preset_holes(self) -> None:
        """Only what is missing, partial or failed in the range."""
        from console.repair_request import all_holes, repair_of

        if (request := self._basis()) is None:
            return
        days = DayRange(request.start, request.end)
        check = partial(
            self.session.coverage.check, days, request.venues, request.data_types, symbols=request.symbols, universe=request.universe
        )
        try:
            coverage = await in_thread(check, name="holes")
        except EngineError as error:
            self.notify(one_line(error), severity="error", timeout=15)
            return
        repair = repair_of(all_holes(coverage), request)
        if repair is None:
            self.notify(f"{coverage.sentence()} in {days}", title="no holes", timeout=8)
        else:
            self.console.set_request(repair.request, cover=False)
            self.fill_in(repair.request, because=repair.because)

    def _basis(self) -> Request | None:
        """The request that a preset changes."""
        return self._parsed.request or self._base

    def copy_row(self) -> str:
        """`y`: the plan's sentence and its id."""
        return "" if self._plan is None else f"{self.query_one(Sentence).text}\nplan {self._plan.id}"

    def export_records(self) -> Sequence[Record]:
        """`e`: the work of every shard, cell by cell."""
        if (plan := self._plan) is None:
            return ()
        return [
            {
                "plan": plan.id,
                "shard": shard.index,
                "day": work.day,
                "data_type": work.data_type,
                "venue": work.venue,
                "files": len(work.symbols),
                "bytes": sum(work.bytes),
                "seconds": work.seconds,
            }
            for shard in plan.shards
            for work in shard.work
        ]

    # Showing

    @property
    def _form(self) -> RequestForm:
        return self.query_one(RequestForm)

    def _command(self, request: Request) -> str:
        from console.verbs.options import command_line

        profile = self.session.profile.name
        return command_line(request) + (f" --profile {profile}" if profile != "local" else "")

    def _show(self) -> None:
        """Write everything from what is known now."""
        now, plan, request = self.console.clock(), self._plan, self._parsed.request
        sentence = self.query_one(Sentence)
        is_old = plan is not None and (self._planning or bool(self._problem) or request is None)
        self.set_class(is_old, "-old")
        if self._launching:
            sentence.set_sentence([Phrase("Launching: ", strong=True), Phrase(self._launching)], tone=Tone.BUSY)
        elif request is None:
            sentence.set_sentence([Phrase(self._parsed.first_error or "…", Tone.BAD)], tone=Tone.BAD)
        elif self._problem:
            sentence.set_sentence([Phrase(self._problem, Tone.BAD)], tone=Tone.BAD)
        elif plan is None:
            sentence.set_sentence("Planning: reading catalogues and manifests …", tone=Tone.BUSY)
        else:
            tone = Tone.BUSY if self._planning else Tone.GOOD if plan.shards else Tone.QUIET
            again = [Phrase("Planning again …  ", Tone.BUSY)] if self._planning else []
            sentence.set_sentence([*again, *sentence_of(plan, now)], tone=tone)
        facts = [self._because] if self._because else []
        if plan is not None:
            facts.append(facts_of(plan))
        self.query_one("#plan-facts", Static).update(" · ".join(filter(None, facts)))
        notices = notices_of(plan, now) if plan is not None else []
        lines = [Content.assemble((f"{GLYPHS[each.tone]} ", f"bold {each.tone.css}"), safe(each.text)) for each in notices]
        box = self.query_one("#plan-notices", Static)
        box.update(Content("\n").join(lines))
        box.display = bool(lines)
        prices = prices_of(plan) if plan is not None else []
        self.query_one("#plan-prices", Static).update("\n".join(["Prices", *prices]) if prices else "")
        bars = self.query_one(ShardBars)
        bars.set_shards(bars_of(plan) if plan is not None else (), plan.estimate.lower_bound_seconds if plan is not None else 0.0)
        command = f"$ {self._command(request)}" if request is not None else ""
        self.query_one("#plan-command", Static).update(command)


def _presets() -> Content:
    """One line that names the presets and their keys."""
    parts = [Content.assemble((f" {action(each).key_text}", "bold $accent"), f" {words}") for each, words in PRESETS.items()]
    return Content.assemble("Presets", *parts)
