"""The fields of the Plan screen beyond the basic ones: machine, pricing, caps, kinds, retries; and of candles how bars are cut."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from textual.pilot import Pilot
from textual.widgets import Input

from console.screens.form_fields import Choice, MoreLine
from console.screens.plan import PlanScreen
from console.screens.request_form import RequestForm
from console.widgets.table import LineTable
from engine.model import Outcome
from engine.plan import CANDLES, save_plan
from tests.console.fleet_session import until
from tests.console.recorded import REQUEST, RecordedSession, console_on
from tests.console.test_plan_screen import SnapCompare, plan_screen, planned, said, sentence, text_of, type_into


def cloud(**changes: Any) -> RecordedSession:
    session = RecordedSession(**changes)
    session.move_to_cloud()
    return session


def more_line(screen: PlanScreen) -> str:
    return str(screen.query_one(MoreLine).render())


async def test_a_machine_type_is_completed_with_its_price_and_changes_the_numbers() -> None:
    async with plan_screen(cloud()) as (pilot, screen):
        before = sentence(screen)
        await pilot.press("a")
        assert "e2-highmem-8 $0.20/$0.46" in screen.query_one(RequestForm).hint
        assert text_of(screen, "#note-machine_type") == "$0.20/h, 8 vCPUs, 64 GB"
        await pilot.press(*"n1-st")
        assert "n1-standard-8 $0.13/$0.49" in screen.query_one(RequestForm).hint
        await pilot.press("right")
        assert screen.query_one("#field-machine_type", Input).value == "n1-standard-8"
        assert "30 GB, $0.13 an hour spot, $0.49 on demand" in screen.query_one(RequestForm).hint
        assert text_of(screen, "#note-machine_type").startswith("$0.13/h")
        await pilot.press("down", "right")
        assert screen.query_one("#field-provisioning_model", Choice).value == "on-demand"
        assert text_of(screen, "#note-machine_type").startswith("$0.49/h")
        await until(pilot, lambda: sentence(screen) != before and screen.is_plan_seen)
        assert "n1-standard-8 on demand" in text_of(screen, "#plan-price-list")
        assert "--machine-type n1-standard-8" in text_of(screen, "#plan-command")
        assert "--on-demand" in text_of(screen, "#plan-command")


async def test_a_cost_cap_is_held_against_the_cost_in_the_sentence() -> None:
    async with plan_screen(cloud(), (120, 40)) as (pilot, screen):
        assert screen.query_one("#field-max_cost", Input).placeholder == "30 by profile"
        for cap, said_of_it in (("0.001", "over the cap of $0.00"), ("$1,000", "under the cap of $1,000")):
            await type_into(pilot, screen, "max_cost", cap)
            await until(pilot, lambda wanted=said_of_it: wanted in sentence(screen))  # type: ignore[misc]
            assert ("are not asked for" in text_of(screen, "#plan-notices")) == (cap == "0.001")
        assert "--max-cost 1000" in text_of(screen, "#plan-command")


async def test_a_closed_group_says_what_its_fields_hold_and_what_is_wrong_with_them() -> None:
    async with plan_screen(cloud()) as (pilot, screen):
        form = screen.query_one(RequestForm)
        assert "as the profile says" in more_line(screen)
        assert not form.is_more_open
        await pilot.press("a")
        assert form.is_more_open
        await type_into(pilot, screen, "daily_bytes", "500GB")
        await type_into(pilot, screen, "max_failures", "5%")
        await type_into(pilot, screen, "retry_outcomes", "failed, not_ready")
        await pilot.press("escape")
        assert not form.is_more_open
        assert more_line(screen).endswith("500GB a day · stops above 5% bad · retry failed, not_ready")
        request = pilot.app.request  # type: ignore[attr-defined]
        assert (request.daily_bytes, request.max_failures) == (500 * 10**9, "5%")
        assert request.retry_outcomes == (Outcome.FAILED, Outcome.NOT_READY)
        await pilot.press("a")
        await type_into(pilot, screen, "instrument_types", "perpetal")
        assert "did you mean perpetual?" in text_of(screen, "#note-instrument_types")
        await pilot.press("escape")
        assert "× Kinds: did you mean perpetual?" in more_line(screen)
        await pilot.press("l")
        await pilot.pause()
        assert "perpetual" in said(pilot.app)
        await pilot.press("i")
        await pilot.pause()
        assert form.is_more_open
        assert form.focused_field == "instrument_types"


async def test_the_line_of_the_group_opens_it_without_leaving_the_fields() -> None:
    async with plan_screen(cloud()) as (pilot, screen):
        form = screen.query_one(RequestForm)
        screen.query_one("#field-deadline", Input).focus()
        await pilot.press("down")
        await pilot.pause()
        assert isinstance(screen.focused, MoreLine)
        await pilot.press("right")
        await pilot.pause()
        assert form.is_more_open
        assert form.focused_field == "machine_type"
        await pilot.press("up", "left")
        await pilot.pause()
        assert not form.is_more_open
        await pilot.click(MoreLine)
        await pilot.pause()
        assert form.is_more_open


async def test_presets_keep_what_the_group_holds() -> None:
    async with plan_screen(cloud()) as (pilot, screen):
        await pilot.press("a", *"e2-standard-4", "escape", "Y")
        await planned(pilot)
        request = pilot.app.request  # type: ignore[attr-defined]
        assert request.machine_type == "e2-standard-4"
        assert "e2-standard-4" in more_line(screen)


async def test_a_kept_plan_fills_the_group_and_changes_name_what_of_it_differs() -> None:
    session = cloud()
    kept = session.plan(structs.replace(REQUEST, machine_type="n1-highmem-16", provisioning_model="STANDARD", max_cost=5.0))
    save_plan(session.buckets.state, kept)
    async with plan_screen(session) as (pilot, screen):
        await pilot.press("x")
        changes = screen.query_one("#plan-changes", LineTable)
        await until(pilot, lambda: any("machine type" in row.change for row in changes.rows))
        said_changes = [row.change for row in changes.rows]
        assert "machine type n1-highmem-16 -> none" in said_changes
        assert "provisioning model on-demand -> spot" in said_changes
        assert "max cost $5 -> none" in said_changes
        await pilot.press("O")
        await until(pilot, lambda: pilot.app.screen is not screen and bool(pilot.app.screen.query_one(LineTable).rows))
        await pilot.press("enter")
        await until(pilot, lambda: f"kept plan {kept.id}" in text_of(screen, "#plan-facts"))
        assert more_line(screen).endswith("n1-highmem-16 · on-demand · at most $5")


@pytest.mark.parametrize(
    ("field", "text", "wrong"),
    [
        ("machine_type", "E2 huge", "is no machine type"),
        ("max_cost", "-1", "is no amount"),
        ("max_cost", "lots", "is no amount"),
        ("daily_bytes", "500 parsecs", "is not a size"),
        ("max_failures", "200%", "is no failure budget"),
        ("retry_outcomes", "faild", "did you mean failed?"),
        ("again", "stale", "only candles are stale"),
        ("again", "ok", "cannot be asked for again"),
    ],
)
async def test_what_is_wrong_is_said_while_it_is_typed(field: str, text: str, wrong: str) -> None:
    async with plan_screen(cloud(), (200, 60)) as (pilot, screen):
        await type_into(pilot, screen, field, text)
        assert wrong in screen.query_one(RequestForm).hint
        assert screen.query_one(f"#box-{field}").has_class("-wrong")


async def test_of_candles_the_group_also_says_which_bars_and_how_they_are_cut() -> None:
    async with plan_screen(RecordedSession()) as (pilot, screen):
        assert not screen.query_one("#box-timeframes").parent.display  # type: ignore[union-attr]
        await type_into(pilot, screen, "data_types", CANDLES)
        await pilot.press("escape", "a")
        await pilot.pause()
        assert screen.query_one("#box-timeframes").parent.display  # type: ignore[union-attr]
        await type_into(pilot, screen, "timeframes", "1h, 1m")
        await type_into(pilot, screen, "again", "stale")
        screen.query_one("#field-bucket_by", Choice).focus()
        await pilot.press("right")
        await until(pilot, lambda: "--bucket-by local" in text_of(screen, "#plan-command"))
        assert "--timeframes 1m,1h" in text_of(screen, "#plan-command")
        assert "--rebuild" in text_of(screen, "#plan-command")
        await type_into(pilot, screen, "again", "")
        await type_into(pilot, screen, "data_types", "trades")
        request = pilot.app.request  # type: ignore[attr-defined]
        assert (request.timeframes, request.bucket_by, request.rebuild) == ((), "exchange", False)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_the_open_group_looks_as_it_did(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    async def fill(pilot: Pilot[Any]) -> None:
        screen = await planned(pilot)
        await pilot.press("a")
        screen.query_one("#field-machine_type", Input).cursor_blink = False
        await pilot.press(*"n1-standard-8", "down", "right", "down", *"20")
        screen.query_one("#field-max_cost", Input).cursor_blink = False
        await planned(pilot)
        await until(pilot, lambda: "on demand" in text_of(screen, "#plan-price-list"))
        await until(pilot, lambda: "✓ 2 ok" in str(screen.query_one("#pane-strip").render()) or size[0] > 100)

    assert snap_compare(console_on(cloud()), run_before=fill, terminal_size=size)
