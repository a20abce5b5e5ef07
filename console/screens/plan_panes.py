"""The lower part of the Plan screen: how even the shards are, what other fleets would make of it, whether a launch could begin, what
changes against the last plan, and the prices. Each is worked out in a thread, when it shows, and never over a newer plan's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Final, cast

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from console.actions import action
from console.blocking import in_thread
from console.plan_checks import SHOWN_FOR, Checks, fleet_asked
from console.plan_comparison import change_words, diff_figures, diff_sentence, side_by_side
from console.plan_view import Notice, allowance_line, balance_of, bars_of, choices_of, ideal_seconds, prices_of
from console.widgets.columns import Cell, Column, Toned
from console.widgets.figures import format_count
from console.widgets.figures import one_line as safe
from console.widgets.pane_strip import PaneStrip, PaneTab
from console.widgets.shard_bars import ShardBars
from console.widgets.table import LineTable
from console.widgets.tones import GLYPHS, Tone
from console.widgets.what_if_table import WhatIfTable
from engine.doctor.finding import Finding, Level
from engine.errors import EngineError, one_line
from engine.plan import STRATEGIES, Plan

if TYPE_CHECKING:
    from console.screens.base import ModeScreen
    from engine.plan_diff import PlanDiff
    from provision.what_if import Alternative

BALANCE, WHAT_IF, CHECKS, NOTES, CHANGES, PRICES = "balance", "what_if", "checks", "notes", "changes", "prices"
PANES: Final = {BALANCE: "Balance", WHAT_IF: "What if", CHECKS: "Checks", NOTES: "Notes", CHANGES: "Changes", PRICES: "Prices"}
_ROOMY: Final = frozenset({WHAT_IF, NOTES})
"""Panes that change how the screen is divided, so that it has a class for them; each costs all of its widgets a look at their styles."""

_LEVELS: Final = {Level.OK: Tone.GOOD, Level.WARN: Tone.WARN, Level.BAD: Tone.BAD}


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One line of what changes against another plan."""

    what: str
    change: str
    tone: Tone = Tone.PLAIN


def _finding_cell(finding: Finding) -> Cell:
    tone = _LEVELS[finding.level]
    return Toned(f"{GLYPHS[tone]} {finding.level}", tone)


_CHECK_COLUMNS: Final[tuple[Column[Finding], ...]] = (
    Column("", _finding_cell, 6, rank=0),
    Column("Check", lambda finding: finding.check, 18, rank=1),
    Column("What was found, and the next step", lambda finding: finding.line, 20, 60, 400, rank=2),
)
_CHANGE_COLUMNS: Final[tuple[Column[ChangeRow], ...]] = (
    Column("", lambda row: row.what, 12, 34, 56, rank=1),
    Column("Change", lambda row: Toned(row.change, row.tone), 20, 42, 200, rank=0),
)


def notes_text(notes: Sequence[Notice]) -> Content:
    """Notes, one a line, each with its glyph."""
    lines = [Content.assemble((f"{GLYPHS[each.tone]} ", f"bold {each.tone.css}"), safe(each.text)) for each in notes]
    return Content("\n").join(lines)


class PlanPanes(Vertical):
    """The panes under their strip. On a narrow screen one shows at a time; on a large one several do."""

    class FleetChosen(Message):
        """A person wants this fleet instead of the plan's."""

        def __init__(self, vms: int, strategy: str) -> None:
            super().__init__()
            self.vms = vms
            self.strategy = strategy

    class BeforeWanted(Message):
        """Changes are looked at, and there is nothing to compare with yet."""

    class ChecksChanged(Message):
        """The checks of a launch have said something."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.open_pane = BALANCE
        self.checks: Checks | None = None
        self._plan: Plan | None = None
        self._made: datetime | None = None
        """When the plan was made: its deadline counts from here."""
        self._notes: tuple[Notice, ...] = ()
        self._before: Plan | None = None
        self._before_words = ""
        self._asked_before = False
        self._tried: tuple[Alternative, ...] = ()
        self._tried_of: Plan | None = None
        self._diff: PlanDiff | None = None
        self._diffed: tuple[Plan | None, Plan | None] | None = None

    def compose(self) -> ComposeResult:
        yield PaneStrip(id="pane-strip")
        with Vertical(id="pane-what_if", classes="pane"):
            yield WhatIfTable(STRATEGIES, id="plan-what-if")
        with Vertical(id="pane-balance", classes="pane -open"):
            yield ShardBars(id="plan-shards")
        with Vertical(id="pane-changes", classes="pane"):
            yield LineTable(_CHANGE_COLUMNS, lambda row: f"{row.what} {row.change}", empty="no plan to compare with yet", id="plan-changes")
        with Vertical(id="pane-checks", classes="pane"):
            yield LineTable(
                _CHECK_COLUMNS, lambda row: f"{row.check} {row.message}", empty="made when there is something to launch", id="plan-checks"
            )
        with VerticalScroll(id="pane-notes", classes="pane"):
            yield Static("nothing to note", id="plan-note-list", markup=False)
        with VerticalScroll(id="pane-prices", classes="pane"):
            yield Static("no prices yet", id="plan-price-list", markup=False)

    def on_mount(self) -> None:
        self.open(BALANCE, focus=False)

    # What the screen tells

    def open(self, name: str, *, focus: bool = True) -> None:
        """Show a pane; the one under it is the same work looked at otherwise."""
        self.open_pane = name
        for each in PANES:
            if each in _ROOMY:
                self.screen.set_class(each == name, f"-pane-{each.replace('_', '-')}")
            self.query_one(f"#pane-{each}").set_class(each == name, "-open")
        self.call_after_refresh(self._catch_up)
        if focus:
            self.call_after_refresh(self._focus_open)

    def set_plan(self, plan: Plan | None, made: datetime) -> None:
        """There is another plan, or none."""
        bars = self.query_one(ShardBars)
        if plan is None or self._plan is None or plan.id != self._plan.id:
            bars.set_marks(())  # Shard 3 of another plan is other work.
        self._plan, self._made = plan, made
        bars.set_shards(bars_of(plan) if plan is not None else (), ideal_seconds(plan) if plan is not None else 0.0)
        lines = [*prices_of(plan), *filter(None, [allowance_line(plan)])] if plan is not None else []
        self.query_one("#plan-price-list", Static).update("\n".join(lines) or "nothing to pay for")
        self._tried = ()
        self._show_fleets()
        self._show_changes()
        self._catch_up()

    def set_notes(self, notes: Sequence[Notice]) -> None:
        """What a person should read before launching."""
        self._notes = tuple(notes)
        self.query_one("#plan-note-list", Static).update(notes_text(notes) if notes else "nothing to note")
        self._show_strip()

    def compare_with(self, before: Plan | None, words: str) -> None:
        """Show what changes against this plan.

        Args:
            words: which one it is: "plan 3f2a of 2 h ago".
        """
        self._before, self._before_words = before, words
        self._show_changes()
        self._catch_up()

    @property
    def before(self) -> Plan | None:
        """The plan that Changes compares with."""
        return self._before

    def check_again(self) -> None:
        """Make the checks of a launch anew."""
        if self._plan is not None and self._plan.shards:
            self._check(self._plan)

    def on_resize(self) -> None:
        self.call_after_refresh(self._catch_up)

    def on_pane_strip_picked(self, message: PaneStrip.Picked) -> None:
        message.stop()
        self.open(message.name)

    def on_what_if_table_chosen(self, message: WhatIfTable.Chosen) -> None:
        message.stop()
        self.post_message(self.FleetChosen(message.vms, message.strategy))

    # Working out what shows

    def _catch_up(self) -> None:
        """Work out what shows and is of an older plan."""
        plan = self._plan
        self._show_strip()
        if plan is None or not plan.shards or not self.is_attached:
            return
        if self._shows(WHAT_IF) and self._tried_of is not plan:
            self._try_fleets(plan)
        if self._shows(CHANGES) and not self._asked_before:
            self._asked_before = True
            self.post_message(self.BeforeWanted())
        if self._shows(CHANGES) and self._before is not None and self._diffed != (self._before, plan):
            self._compare(self._before, plan)
        fleet, now = fleet_asked(plan, self._parent_screen.session.profile), self._parent_screen.console.clock()
        if self.checks is None or not self.checks.speaks_of(fleet) or now - self.checks.begun > SHOWN_FOR:
            self._check(plan)

    @work(exclusive=True, group="what if", exit_on_error=False)
    async def _try_fleets(self, plan: Plan) -> None:
        from provision.what_if import Choices, fleet_sizes

        self._tried_of = plan
        session = self._parent_screen.session
        sizes = fleet_sizes(plan, session.profile.most_vms)
        found: list[Alternative] = []
        # One fleet a call: packing years takes seconds, and no more than one of an older plan goes on unheard.
        for strategy, size in product(STRATEGIES, sizes):
            choices = Choices(vms=(size,), strategies=(strategy,))
            try:
                tried = await in_thread(partial(session.planning.what_if, plan, choices), name="what if")
            except EngineError as error:
                self.query_one(WhatIfTable).set_empty_text(one_line(error))
                return
            if plan is not self._plan:
                return
            found += tried[1:] if found else tried
            self._tried = tuple(found)
            self._show_fleets()

    @work(exclusive=True, group="diff", exit_on_error=False)
    async def _compare(self, before: Plan, plan: Plan) -> None:
        from engine.plan_diff import diff_plans

        self._diffed = (before, plan)
        diff = await in_thread(partial(diff_plans, before, plan), name="diff")
        if (before, plan) == (self._before, self._plan):
            self._diff = diff
            self._show_changes()
            self._show_strip()

    @work(exclusive=True, group="checks", exit_on_error=False)
    async def _check(self, plan: Plan) -> None:
        screen = self._parent_screen
        session = screen.session
        now = screen.console.clock()
        checks = Checks(fleet_asked(plan, session.profile), now)
        self._take_checks(checks)

        def next_of(findings: Iterator[Finding]) -> Finding | None:
            return next(findings, None)

        try:
            findings = await in_thread(partial(session.launching.preflight, plan, vms=checks.fleet.vms), name="checks")
            while (finding := await in_thread(partial(next_of, findings), name="checks")) is not None:
                checks = checks.with_finding(finding)
                self._take_checks(checks)
        except EngineError as error:
            checks = replace(checks, problem=one_line(error))
        except Exception as error:  # noqa: BLE001 - a link may raise anything; the launch makes its own checks
            checks = replace(checks, problem=f"{type(error).__name__}: {one_line(error)}")
        self._take_checks(replace(checks, is_done=True))

    def _take_checks(self, checks: Checks) -> None:
        self.checks = checks
        table = cast("LineTable[Finding]", self.query_one("#plan-checks", LineTable))
        table.set_empty_text(checks.problem or "checking …")
        table.set_rows(checks.worst_first)
        self._show_strip()
        self.post_message(self.ChecksChanged())

    # Showing

    def _show_fleets(self) -> None:
        plan, table = self._plan, self.query_one(WhatIfTable)
        if plan is None or not plan.shards or not self._tried:
            table.set_choices(())
            return
        from provision.what_if import fleet_sizes

        rows = side_by_side(self._tried, fleet_sizes(plan, self._parent_screen.session.profile.most_vms))
        deadline = plan.request.deadline
        left = None if deadline is None or self._made is None else (deadline - self._made).total_seconds()
        table.set_choices(choices_of(plan, rows, left))

    def _show_changes(self) -> None:
        table = cast("LineTable[ChangeRow]", self.query_one("#plan-changes", LineTable))
        diff = self._diff
        if self._before is None or self._plan is None:
            table.set_rows(())
        elif diff is None or (diff.before, diff.after) != (self._before.id, self._plan.id):
            table.set_rows((ChangeRow("against", self._before_words),))
        else:
            rows = [ChangeRow("against", self._before_words, Tone.QUIET), ChangeRow("files", diff_sentence(diff))]
            rows += [ChangeRow("", line) for line in diff_figures(diff)]
            for change in diff.changes:
                tone = Tone.GOOD if change.is_new else Tone.WARN if change.files_removed else Tone.PLAIN
                rows.append(ChangeRow(str(change.cell), change_words(change), tone))
            table.set_rows(dict.fromkeys(rows))

    def _show_strip(self) -> None:
        plan, checks, diff = self._plan, self.checks, self._diff
        tabs = {name: PaneTab(name, action(f"pane_{name}").key_text, title) for name, title in PANES.items()}
        if plan is not None and plan.shards:
            tabs[BALANCE] = replace(tabs[BALANCE], badge=balance_of(plan))
        if checks is not None and plan is not None and plan.shards:
            tone = Tone.BAD if checks.wrong or checks.problem else Tone.QUIET
            if checks.is_done and not checks.wrong and not checks.problem:
                tone = Tone.WARN if any(each.level is Level.WARN for each in checks.findings) else Tone.GOOD
            tabs[CHECKS] = replace(tabs[CHECKS], badge=checks.badge, tone=tone)
        if self._notes:
            tone = next((tone for tone in (Tone.BAD, Tone.WARN) if any(note.tone is tone for note in self._notes)), Tone.QUIET)
            tabs[NOTES] = replace(tabs[NOTES], badge=str(len(self._notes)), tone=tone)
        if diff is not None and plan is not None and diff.after == plan.id and not diff.is_same_work:
            badge = f"+{format_count(diff.files_added)} -{format_count(diff.files_removed)}"
            tabs[CHANGES] = replace(tabs[CHANGES], badge=badge)
        self.query_one(PaneStrip).set_tabs(tabs.values(), self.open_pane)

    def _shows(self, name: str) -> bool:
        return bool(self.query_one(f"#pane-{name}").display)

    def _focus_open(self) -> None:
        pane = self.query_one(f"#pane-{self.open_pane}")
        target: Widget = next((each for each in pane.query("*") if each.can_focus), pane)
        target.focus()

    @property
    def _parent_screen(self) -> ModeScreen:
        return cast("ModeScreen", self.screen)
