"""The Plan screen: what to download, one sentence of what that means, and Enter to do it.

What the fields hold becomes a plan in `planning`, a plan becomes a run in `plan_launch`; here is what shows and what the keys do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from msgspec import structs
from textual import work
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from console.actions import Mode, action, bindings_for
from console.blocking import in_thread
from console.opening import last_request
from console.plan_checks import Checks
from console.plan_slice import WHOLE, PlanSlice, write_shards
from console.plan_view import Notice, facts_of, notices_of, prices_of, sentence_of
from console.request_fields import fields_of
from console.screens.plan_panes import BALANCE, CHANGES, CHECKS, NOTES, PRICES, WHAT_IF, PlanPanes, notes_text
from console.screens.planning import PlanningScreen
from console.screens.request_form import RequestForm
from console.widgets.figures import format_age, plural
from console.widgets.sentence import Phrase, Sentence
from console.widgets.shard_bars import ShardBars
from console.widgets.table import LineTable
from console.widgets.tones import Tone
from engine.doctor.finding import Finding
from engine.errors import EngineError, one_line
from engine.model import DayRange
from engine.plan import Plan, Request

if TYPE_CHECKING:
    from console.export import Record

PRESETS: Final = {"preset_yesterday": "yesterday", "preset_holes": "all holes", "preset_tier1": "tier1", "preset_last": "repeat last"}


class PlanScreen(PlanningScreen):
    """The request, its plan, and launch."""

    MODE = Mode.PLAN
    PRIMARY = "launch"
    LINK = "fleet"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_for(Mode.PLAN))
    CSS_PATH = "plan.tcss"
    AUTO_FOCUS = "#plan-shards"
    TOLD_ABOVE = "#plan-command"
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual's declaration
        (0, "-narrow"),
        (110, "-wide"),
        (170, "-huge"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012 - Textual's declaration
        (0, "-low"),
        (34, "-tall"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._off_shown: dict[str, str] = {}

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
                yield PlanPanes(id="plan-panes")
        yield Static("", id="plan-command", markup=False)

    # Editing

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_launch()

    def on_line_table_row_selected(self, event: LineTable.RowSelected) -> None:
        event.stop()
        if event.table.id == "plan-checks" and isinstance(finding := event.table.cursor_row, Finding):
            self._open_finding(finding)
        else:
            self.action_launch()

    @property
    def keys_taken(self) -> frozenset[str]:
        focused = self.focused
        return frozenset({"enter"}) if focused is not None and focused.id in ("plan-checks", "plan-what-if") else frozenset()

    def on_descendant_focus(self) -> None:
        self.set_class(bool(self._form.focused_field), "-editing")

    def on_descendant_blur(self) -> None:
        self.set_class(bool(self._form.focused_field), "-editing")

    def leave(self) -> bool:
        """Out of a field."""
        if self._form.focused_field or self._form.has_class("-more"):
            self._form.close_more()
            self._panes.open(self._panes.open_pane)
            return True
        return False

    # Keys

    def action_launch(self) -> None:
        """Launch what the sentence says, or say why not."""
        why = self._why_not_launch()
        if why:
            self.notify(why, title="not launched", severity="warning", timeout=6)
            return
        assert self._plan is not None
        self.begin_launch(self._plan)

    def action_launch_slice(self) -> None:
        """Some shards only, or on fewer VMs."""
        from console.screens.plan_slice import SliceChoice, SliceScreen

        if why := self._why_not_launch():
            self.notify(why, title="not launched", severity="warning", timeout=6)
            return
        plan = self._plan
        assert plan is not None

        def chosen(choice: SliceChoice | None) -> None:
            if choice is None or plan is not self._plan:
                return
            if choice.dry_run:
                self._preview(plan, choice.part)
            else:
                self.begin_launch(plan, choice.part)

        marked = [int(key) for key in self.query_one(ShardBars).marks]
        screen = SliceScreen(
            plan,
            shards=write_shards(marked),
            describe=lambda part: self.describe_slice(plan, part).sentence,
            command=lambda part: self._command(plan.request, part),
        )
        self.app.push_screen(screen, chosen)

    def _why_not_launch(self) -> str:
        if self.launching:
            return "it is being launched already"
        if why := self._why_no_plan():
            return why
        if not self.is_plan_seen:
            return "still planning: Enter launches when the sentence stands"
        if self.console.pressed_at < self._seen_since:
            return "that key came before this plan was shown: read it, then press again"
        if not self.check_action("launch", ()):
            return "read-only; arm it with :write 15m" if self.console.read_only else f"no link to {self.link_down}"
        return ""

    @property
    def off_reasons(self) -> dict[str, str]:
        """What cannot be done with the request as it is now."""
        why = self._why_no_plan()
        return dict.fromkeys(("launch", "launch_slice", "save_plan", "dry_run"), why) if why else {}

    @property
    def launch_checks(self) -> Checks | None:
        return self._panes.checks

    def launch_went_on(self) -> None:
        self._show()

    def plan_launched(self, plan: Plan, run: str) -> None:
        """What is left of it is planned when this screen is shown again."""
        self._plan = self._kept = None
        self._compares_kept = True
        self._panes.compare_with(plan, f"plan {plan.id}, launched as {run}")

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
            self._compares_kept = True
            self._panes.compare_with(plan, f"plan {plan.id}, kept just now")

    def action_open_plan(self) -> None:
        """The kept plans, to open one or to compare with it."""
        from console.screens.saved_plans import SavedChoice, SavedPlansScreen

        def chosen(choice: SavedChoice | None) -> None:
            if choice is not None:
                self._read_kept(choice.id, opens=choice.verb == "open")

        self.app.push_screen(SavedPlansScreen(self.session.planning.kept, self.console.clock()), chosen)

    @work(group="kept plan", exclusive=True, exit_on_error=False)
    async def _read_kept(self, word: str, *, opens: bool) -> None:
        """Fetch a kept plan by its id, or `last`; show it, or compare with it."""
        try:
            plan = await in_thread(partial(self.session.planning.find_kept, word), name="kept plan")
        except EngineError as error:
            if word != "last":
                self.notify(one_line(error), title="not opened", severity="error", timeout=15)
            return
        if plan.job:
            said = f"it runs engine {' '.join(plan.job)}; launch it: tickdeck deploy plan {plan.id}"
            self.notify(said, title="no download", severity="warning", timeout=10)
            return
        age = format_age((self.console.clock() - plan.created).total_seconds())
        if opens:
            self._open_kept(plan, age)
        else:
            self._compares_kept = True
            self._panes.compare_with(plan, f"plan {plan.id} of {age} ago")
            if word != "last":
                self._panes.open(CHANGES)

    def _open_kept(self, plan: Plan, age: str) -> None:
        """Show a kept plan as it is: what was approved is what would run."""
        self.workers.cancel_group(self, "plan")
        self._base, self._asked_at, self._planning, self._problem = plan.request, plan.created, False, ""
        self._form.fill(fields_of(plan.request))
        self._check()
        self._kept, self._because = plan, f"kept plan {plan.id}, {age} old; p plans it again"
        self._take_plan(plan)
        self._show()

    def on_plan_panes_before_wanted(self, message: PlanPanes.BeforeWanted) -> None:
        """Changes are looked at: the last kept plan is what people mean by the last one."""
        message.stop()
        self._read_kept("last", opens=False)

    def on_plan_panes_fleet_chosen(self, message: PlanPanes.FleetChosen) -> None:
        """Another fleet was taken from What if."""
        message.stop()
        request = self._basis()
        if request is not None:
            changed = structs.replace(request, shards=message.vms, strategy=message.strategy, deadline=None)
            self.fill_in(changed, because=f"{message.strategy} on {plural(message.vms, 'VM')}, taken from What if")

    def on_plan_panes_checks_changed(self, message: PlanPanes.ChecksChanged) -> None:
        message.stop()
        self._show()

    def _open_finding(self, finding: Finding) -> None:
        from console.widgets.detail import DetailScreen

        record = {"verdict": str(finding.level), "found": finding.message, "next step": finding.hint or "none"}
        self.app.push_screen(DetailScreen(f"Check: {finding.check}", record))

    def action_pane_balance(self) -> None:
        self._panes.open(BALANCE)

    def action_pane_what_if(self) -> None:
        self._panes.open(WHAT_IF)

    def action_pane_checks(self) -> None:
        self._panes.open(CHECKS)

    def action_pane_notes(self) -> None:
        self._panes.open(NOTES)

    def action_pane_changes(self) -> None:
        self._panes.open(CHANGES)

    def action_pane_prices(self) -> None:
        self._panes.open(PRICES)

    def action_check_again(self) -> None:
        """The checks of a launch, anew."""
        self._panes.check_again()
        self._panes.open(CHECKS)

    async def action_copy_command(self) -> None:
        if self._parsed.request is None:
            self.notify(self._parsed.first_error, severity="warning")
        else:
            await self.console.copy(self._command(self._parsed.request))

    def action_replan(self) -> None:
        self._kept, self._asked_at = None, self.console.clock()
        self._because = ""
        self._check()
        self._plan_now()

    def action_dry_run(self) -> None:
        """What a launch would create, as a tree."""
        if self._plan is None or not self._plan.shards or self._planning:
            self.notify("there is no plan to try", severity="warning", timeout=3)
        else:
            self._preview(self._plan, WHOLE)

    @work(group="dry run", exclusive=True, exit_on_error=False)
    async def _preview(self, plan: Plan, part: PlanSlice) -> None:
        from console.widgets.detail import DetailScreen

        def preview() -> dict[str, object]:
            from console.dry_run import preview_launch

            return preview_launch(self.session, plan, part)

        try:
            record = await in_thread(preview, name="dry run")
        except EngineError as error:
            self.notify(one_line(error), title="this would not launch", severity="error", timeout=15)
        else:
            vms = record["vms"]
            count = len(vms) if isinstance(vms, dict) else 0
            self.app.push_screen(DetailScreen(f"Dry run: a launch would create {plural(count, 'VM')}", record))

    def action_edit_request(self) -> None:
        self._form.focus_first()

    def action_more_fields(self) -> None:
        """Open the fields that most requests leave alone, or close them."""
        if self._form.has_class("-more"):
            self.leave()
        else:
            self._form.toggle_more()

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

    def _command(self, request: Request, part: PlanSlice = WHOLE) -> str:
        """The headless command that launches the same."""
        from console.verbs.options import command_line

        profile = self.session.profile.name
        line = command_line(request) if self._kept is None else f"tickdeck deploy plan {self._kept.id}"
        return " ".join([line, *part.arguments, *(("--profile", profile) if profile != "local" else ())])

    def _show(self) -> None:
        """Write everything from what is known now."""
        now, plan, request = self.console.clock(), self._plan, self._parsed.request
        sentence = self.query_one(Sentence)
        is_old = plan is not None and (self._planning or bool(self._problem) or request is None)
        self.set_class(is_old, "-old")
        if self.launching:
            sentence.set_sentence([Phrase("Launching: ", strong=True), Phrase(self.launching)], tone=Tone.BUSY)
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
        if plan is not None and plan.shards and (checks := self.launch_checks) is not None and checks.wrong:
            first = checks.wrong[0]
            notices.insert(0, Notice(f"the launch would fail: {first.check}: {first.line}", Tone.BAD))
        box = self.query_one("#plan-notices", Static)
        box.update(notes_text(notices))
        box.display = bool(notices)
        self._panes.set_notes(notices)
        prices = prices_of(plan) if plan is not None else []
        self.query_one("#plan-prices", Static).update("\n".join(["Prices", *prices]) if prices else "")
        command = f"$ {self._command(request)}" if request is not None else ""
        self.query_one("#plan-command", Static).update(command)
        off = self.off_reasons
        if off != self._off_shown:
            self._off_shown = off
            self.refresh_bindings()


def _presets() -> Content:
    """One line that names the presets and their keys."""
    parts = [Content.assemble((f" {action(each).key_text}", "bold $accent"), f" {words}") for each, words in PRESETS.items()]
    return Content.assemble("Presets", *parts)
