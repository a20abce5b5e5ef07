"""Costs, Audit and Doctor: what the eye finds first, and how few keys lead to the cause."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Tree

from console.screens.audit import AuditScreen
from console.screens.costs import CostsScreen
from console.screens.doctor import DoctorScreen
from console.screens.run_cost import RunCostScreen
from console.widgets.detail import DetailScreen
from console.widgets.filtered_table import FilteredTable
from console.widgets.fleet_table import FleetTable
from console.widgets.sentence import Sentence
from engine.errors import StoreError
from provision.audit import Ending
from tests.console import recorded_fleet as recorded
from tests.console.fleet_session import console_on, until
from tests.console.office_session import OfficeSession, spending

SnapCompare = Callable[..., bool]
SIZES = [(80, 24), (120, 40), (200, 60)]
IDS = ["80x24", "120x40", "200x60"]


async def go(pilot: Pilot[Any], key: str) -> Any:
    """To a mode by its digit, and wait for what it has to show."""
    await until(pilot, lambda: pilot.app.current_mode in ("fleet", "plan") and pilot.app.screen.is_mounted)
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, CostsScreen | AuditScreen | DoctorScreen) and pilot.app.screen.is_mounted)
    screen: Any = pilot.app.screen
    await until(pilot, lambda: bool(screen.shown.rows) and " …" not in said(screen) and "looking" not in said(screen))
    return screen


@asynccontextmanager
async def on(session: OfficeSession, key: str, size: tuple[int, int] = (120, 40)) -> AsyncIterator[tuple[Pilot[Any], Any]]:
    async with console_on(session).run_test(size=size) as pilot:  # type: ignore[arg-type]
        yield pilot, await go(pilot, key)


def said(screen: Any) -> str:
    return str(screen.query_one(Sentence).text)


def crumbs(pilot: Pilot[Any]) -> tuple[str, ...]:
    crumbs: tuple[str, ...] = pilot.app.visible_screen.crumbs()  # type: ignore[attr-defined]
    return crumbs


# Costs


async def test_the_sentence_says_spent_burn_and_finish_against_estimate_and_limit() -> None:
    async with on(OfficeSession(), "5") as (_, screen):
        for part in ("spent $8.02", "burns $3.10/h", "at the finish $13.40 ($12.60 to $16.90)", "estimate $12.90", "limit $30.00"):
            assert part in said(screen)
        assert "the VMs of 2024-05-20 cost $21.40: the profile warns above $10.00 a day, and 1 older warning" in said(screen)


@pytest.mark.parametrize(("limit", "words"), [(13.0, "limit $13.00 will be passed"), (15.0, "limit $15.00 may be passed")])
async def test_a_limit_in_danger_is_told(limit: float, words: str) -> None:
    async with on(OfficeSession(limit=limit), "5") as (_, screen):
        assert words in said(screen)


async def test_without_a_live_run_the_month_is_summed_and_what_has_no_price_is_counted() -> None:
    async with on(OfficeSession(live=False), "5") as (_, screen):
        assert "$34.51 in 30 days, 3 runs, 1 without a price" in said(screen)


async def test_runs_over_their_estimate_are_one_filter_away() -> None:
    async with on(OfficeSession(), "5") as (pilot, screen):
        assert next(row.run for row in screen.shown.rows) == recorded.RUN
        await pilot.press("slash", *"is:over", "enter")
        await until(pilot, lambda: [row.run for row in screen.shown.table.rows] == ["r1ab77tq9c"])
        assert screen.export_records()[0]["change"] == 50.7
        await pilot.press("escape")
        await until(pilot, lambda: len(screen.shown.table.rows) == 4)


async def test_a_runs_bill_keeps_vms_operations_and_storage_apart_and_goes_on_living() -> None:
    session = OfficeSession()
    async with on(session, "5") as (pilot, _):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunCostScreen))
        bill: Any = pilot.app.screen.query_one("#cost-bill")
        assert [row.item.split(",")[0] for row in bill.rows] == [
            "100 VMs with disks and addresses",
            "storage operations",
            "keeping 24.2 GB",
        ]
        vms: Any = pilot.app.screen.query_one("#cost-vms")
        assert len(vms.rows) == 6
        await pilot.press("slash", *"is:guessed", "enter")
        await until(pilot, lambda: [row.known_by for row in vms.table.rows] == ["limit"])


async def test_the_views_go_round_and_each_has_rows() -> None:
    async with on(OfficeSession(), "5") as (pilot, screen):
        for name in ("days", "job", "prices", "runs"):
            await pilot.press("v")
            await until(pilot, lambda name=name: screen.shown.id == name and bool(screen.shown.table.rows))  # type: ignore[misc]


async def test_costs_that_cannot_be_read_keep_the_last_figures_and_say_why() -> None:
    session = OfficeSession()
    async with on(session, "5") as (pilot, screen):
        session.spent = StoreError("the bucket does not answer")
        pilot.app.look_again()  # type: ignore[attr-defined]
        await until(pilot, lambda: screen.has_class("-stale"))
        assert len(screen.shown.rows) == 4
        session.spent = spending(live=False)
        pilot.app.look_again()  # type: ignore[attr-defined]
        await until(pilot, lambda: not screen.has_class("-stale") and len(screen.shown.rows) == 3)


# Audit


async def test_what_nobody_finished_stands_on_top_and_the_rest_newest_first() -> None:
    async with on(OfficeSession(), "6") as (_, screen):
        endings = [(deed.intent.verb, deed.ending) for deed in screen.shown.table.rows]
        assert endings == [
            ("delete", Ending.UNFINISHED),
            ("abort", Ending.UNDER_WAY),
            ("cleanup", Ending.PARTLY),
            ("replace", Ending.DONE),
            ("launch", Ending.DONE),
            ("drain", Ending.DONE),
        ]
        assert said(screen).removeprefix("× ").startswith("1 unfinished: the cloud knows the outcome; 6 changes in 30 days, 5 today")


async def test_a_change_shows_its_items_with_serial_tails_and_its_command_line() -> None:
    async with on(OfficeSession(), "6") as (pilot, screen):
        await pilot.press("slash", *"verb:launch", "enter")
        await until(pilot, lambda: len(screen.shown.table.rows) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen))
        text = "\n".join(str(node.label) for node in _nodes(pilot.app.screen.query_one(Tree).root))
        assert "tickdeck deploy plan 9a31c07e52d1 --profile prod" in text
        assert "serial tail" in text
        assert re.findall(r"(?:when|receipt) +(.*)", text) == ["2024-05-23 03:36:12 UTC", "2024-05-23 03:36:16 UTC"]


async def test_a_look_fetches_only_what_is_new() -> None:
    session = OfficeSession()
    async with on(session, "6") as (pilot, screen):
        before = len(session.store.fetched)
        pilot.app.look_again()  # type: ignore[attr-defined]
        at = pilot.app.feeds.of("audit").at  # type: ignore[attr-defined]
        await until(pilot, lambda: pilot.app.feeds.of("audit").at is not None and not screen.has_class("-stale"))  # type: ignore[attr-defined]
        assert at is not None
        assert len(session.store.fetched) == before == 10


async def test_a_key_leads_from_a_cost_or_a_change_to_its_run_or_vm_in_fleet_and_another_one_back() -> None:
    session = OfficeSession()
    session.snapshot = recorded.troubled()
    async with on(session, "5") as (pilot, screen):
        assert screen.shown.table.cursor_key == recorded.RUN
        await pilot.press("f")
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and crumbs(pilot) == ("Fleet", recorded.RUN))
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: pilot.app.current_mode == "costs" and screen.shown.table.cursor_key == recorded.RUN)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunCostScreen))
        vm = pilot.app.screen.query_one("#cost-vms", FilteredTable).table.cursor_key
        await pilot.press("f")
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and pilot.app.screen.query_one(FleetTable).cursor_key == vm)
        await pilot.press("6")
        await until(pilot, lambda: isinstance(pilot.app.screen, AuditScreen) and bool(pilot.app.screen.shown.rows))
        trail: Any = pilot.app.screen
        await pilot.press("slash", *"verb:drain", "enter")
        await until(pilot, lambda: [deed.intent.verb for deed in trail.shown.table.rows] == ["drain"])
        await pilot.press("f")
        await until(pilot, lambda: pilot.app.current_mode == "fleet")
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: pilot.app.screen is trail and str(trail.shown.query_now) == "verb:drain")


async def test_a_view_of_costs_keeps_which_table_it_was() -> None:
    async with on(OfficeSession(), "5") as (pilot, screen):
        await pilot.press("v", "slash", *"day>2020-01-01", "enter")
        kept = screen.view_settings()
        assert kept == {"tab": "days", "filter": "day>2020-01-01"}
        await pilot.press("v", "v")
        screen.apply_view(kept)
        assert screen.shown.id == "days"


# Doctor


async def test_the_worst_stands_first_with_the_command_that_mends_it() -> None:
    async with on(OfficeSession(), "7") as (pilot, screen):
        rows = screen.shown.table.rows
        assert [row.check for row in rows[:2]] == ["quota", "data bucket rules"]
        assert rows[0].fix == "gcloud alpha quotas preferences create --service=compute.googleapis.com"
        assert rows[1].fix == "gcloud storage buckets update gs://market-data-tick --clear-lifecycle"
        assert said(screen).removeprefix("× ").startswith("1 to mend, 1 to look at; first: quota")
        assert "copy_fix" not in screen.off_reasons
        await pilot.press("end")
        assert screen.off_reasons["copy_fix"] == "no command mends this; see the next step"


async def test_looking_again_finds_what_was_mended() -> None:
    session = OfficeSession()
    async with on(session, "7") as (pilot, screen):
        session.found = [each for each in session.found if each.level == "ok"]
        await pilot.press("r")
        await until(pilot, lambda: "All 9 checks are fine" in said(screen))
        assert len(session.names_of("examine")) == 2


@pytest.mark.parametrize("size", SIZES, ids=IDS)
@pytest.mark.parametrize("key", ["5", "6", "7"], ids=["costs", "audit", "doctor"])
def test_the_screen_looks_as_it_did(snap_compare: SnapCompare, key: str, size: tuple[int, int]) -> None:
    async def settle(pilot: Pilot[Any]) -> None:
        await go(pilot, key)

    assert snap_compare(console_on(OfficeSession()), run_before=settle, terminal_size=size)  # type: ignore[arg-type]


def test_a_runs_bill_looks_as_it_did(snap_compare: SnapCompare) -> None:
    async def settle(pilot: Pilot[Any]) -> None:
        await go(pilot, "5")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunCostScreen))

    assert snap_compare(console_on(OfficeSession()), run_before=settle, terminal_size=(120, 40))  # type: ignore[arg-type]


def _nodes(node: Any) -> list[Any]:
    return [node, *(each for child in node.children for each in _nodes(child))]
