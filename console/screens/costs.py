"""Costs: what was spent, what burns now, what it will have cost at the finish; runs, days, the standing job and the price table.

The sentence and the tables come from one feed (`Session.money`); Enter opens a run's bill and VMs, `w` tries other fleets for its plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Static

from console.actions import Mode, bindings_for
from console.costs_view import (
    DAY_COLUMNS,
    DAY_WORDS,
    JOB_COLUMNS,
    JOB_WORDS,
    PRICE_COLUMNS,
    PRICE_WORDS,
    RUN_COLUMNS,
    RUN_WORDS,
    JobRow,
    costs_sentence,
    day_record,
    day_rows,
    job_record,
    price_record,
    run_record,
    run_rows,
)
from console.screens.fleet_links import show_in_fleet
from console.screens.run_cost import RunCostScreen
from console.screens.table_screen import TableScreen
from console.state import Feed
from console.widgets.filtered_table import AnyTable, FilteredTable
from provision.budget import VIEWS, compare
from provision.costs import RunCost, Spending, cost_warnings
from provision.prices import list_figures, machine_speed, plan_rates

if TYPE_CHECKING:
    from provision.profile import Profile

TABS: Final = {"runs": "Runs", "days": "Days", "job": "Standing job", "prices": "Prices"}
"""What `v` goes through."""


class CostsScreen(TableScreen):
    """The money of the last thirty days, and of the run that is on."""

    MODE = Mode.COSTS
    OPENS = "open_run_cost"
    FEEDS = ("costs",)
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_for(Mode.COSTS))

    DEFAULT_CSS = """
    CostsScreen ContentSwitcher { height: 1fr; }
    CostsScreen #costs-sentence { max-height: 4; }
    CostsScreen #costs-tabs { height: 1; padding: 0 2; background: $surface; color: $quiet; text-wrap: nowrap; }
    CostsScreen.-stale ContentSwitcher { opacity: 60%; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._spending: Spending | None = None

    def body(self) -> Iterable[Widget]:
        runs: AnyTable = FilteredTable(
            RUN_COLUMNS, lambda row: row.run, run_record, vocabulary=RUN_WORDS, empty="no run in the last 30 days", id="runs"
        )
        days: AnyTable = FilteredTable(
            DAY_COLUMNS, lambda row: row.day, day_record, vocabulary=DAY_WORDS, empty="nothing was spent in the last 30 days", id="days"
        )
        job: AnyTable = FilteredTable(JOB_COLUMNS, lambda row: row.key, job_record, vocabulary=JOB_WORDS, id="job")
        prices: AnyTable = FilteredTable(
            PRICE_COLUMNS, lambda row: f"{row.region} {row.item} {row.unit}", price_record, vocabulary=PRICE_WORDS, id="prices"
        )
        yield Vertical(
            self.first_sentence("adding up what runs cost …", stale_after_seconds=180),
            Static("", id="costs-tabs"),
            ContentSwitcher(runs, days, job, prices, initial="runs"),
            classes="body",
        )

    def session_opened(self) -> None:
        self.query_one("#job", FilteredTable).set_rows(job_rows(self.session.profile))
        self.query_one("#prices", FilteredTable).set_rows(list_figures())
        self._show_tabs()
        self.shown.table.focus()

    # What the app tells

    def show_costs(self, feed: Feed[Spending]) -> None:
        """What runs cost, or why it cannot be found out."""
        if (spending := self.value_of(feed, "Costs cannot be added up yet")) is None:
            return
        self._spending = spending
        profile = self.session.profile
        phrases, tone = costs_sentence(profile, spending, cost_warnings(profile, spending))
        self.sentence.set_sentence(phrases, tone=tone, as_of=feed.at)
        self.query_one("#runs", FilteredTable).set_rows(run_rows(spending))
        self.query_one("#days", FilteredTable).set_rows(day_rows(profile, spending))
        self._show_tabs()
        if isinstance(self.app.screen, RunCostScreen) and (run := self._find(self.app.screen.run)) is not None:
            self.app.screen.show_run(run)

    # What the app asks

    @property
    def shown(self) -> AnyTable:
        return self.query_one(f"#{self.query_one(ContentSwitcher).current}", FilteredTable)

    @property
    def off_reasons(self) -> dict[str, str]:
        reasons: dict[str, str] = {}
        if self.is_mounted and self._run is None:
            reasons = dict.fromkeys(("open_run_cost", "what_if", "show_in_fleet"), "no run under the cursor")
        return reasons

    def view_settings(self) -> dict[str, str]:
        return {"tab": self.query_one(ContentSwitcher).current or "runs"} | super().view_settings()

    def apply_view(self, settings: Mapping[str, str]) -> None:
        if (tab := settings.get("tab", "")) in TABS:
            self._show_table(tab)
        super().apply_view(settings)

    def own_place(self) -> str:
        return self.query_one(ContentSwitcher).current or "runs"

    def go_to_place(self, own: object) -> None:
        if own in TABS:
            self._show_table(str(own))

    # Keys

    def action_costs_view(self) -> None:
        names = list(TABS)
        self._show_table(names[(names.index(self.query_one(ContentSwitcher).current or "runs") + 1) % len(names)])

    def _show_table(self, name: str) -> None:
        self.query_one(ContentSwitcher).current = name
        self._show_tabs()
        self.shown.table.focus()
        self.refresh_bindings()

    def action_open_run_cost(self) -> None:
        if (run := self._run) is not None:
            self.app.push_screen(RunCostScreen(run, self.session.profile), partial(self._show_vm, run.run))

    def action_show_in_fleet(self) -> None:
        if (run := self._run) is not None:
            show_in_fleet(self.console, run.run)

    def _show_vm(self, run: str, vm: str | None) -> None:
        """In the bill of a run somebody asked for one of its VMs."""
        if vm is not None:
            show_in_fleet(self.console, run, vm)

    def action_what_if(self) -> None:
        from console.screens.what_if import WhatIfScreen

        if (run := self._run) is not None:
            self.app.push_screen(WhatIfScreen(self.session, run.plan))

    # State

    @property
    def _run(self) -> RunCost | None:
        """The run under the cursor, while runs are shown."""
        if not self.query(ContentSwitcher) or self.query_one(ContentSwitcher).current != "runs":
            return None
        return self._find(self.query_one("#runs", FilteredTable).table.cursor_key or "")

    def _find(self, name: str) -> RunCost | None:
        return next((run for run in self._spending.runs if run.run == name), None) if self._spending is not None else None

    def _show_tabs(self) -> None:
        current = self.query_one(ContentSwitcher).current
        parts = [(f" {title} ", "bold $background on $accent") if name == current else (f" {title} ", "") for name, title in TABS.items()]
        notes = self._spending.notes if self._spending is not None else ()
        note = (f"   {notes[0]}", "$state-warn") if notes and current == "runs" else ("   v next view", "$quiet")
        self.query_one("#costs-tabs", Static).update(Content.assemble(*parts, note))


def job_rows(profile: Profile) -> list[JobRow]:
    """The standing job as backfill, daily and over a year, at the prices of the profile's region; the local one takes the defaults."""
    from console.verbs.costs import VIEW_PROFILE

    if profile.kind == "local":
        profile = replace(VIEW_PROFILE, region=profile.region)
    speed, rates = machine_speed(profile.machine_types[0]), plan_rates(profile)
    return [JobRow(view, row) for view in VIEWS for row in compare(view, speed, rates)]
