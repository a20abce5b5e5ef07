"""Below the request: other fleets, checks of a launch, changes, notes, kept plans, and parts of a plan."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs
from textual.pilot import Pilot
from textual.widgets import Input, Static

from console.screens.key_line import KeyLine
from console.screens.plan import PlanScreen
from console.screens.plan_slice import SliceScreen
from console.screens.saved_plans import SavedPlansScreen
from console.screens.skip_checks import SkipChecksScreen
from console.widgets.confirm import ConfirmOne
from console.widgets.detail import DetailScreen
from console.widgets.pane_strip import PaneStrip
from console.widgets.shard_bars import ShardBars
from console.widgets.table import LineTable
from console.widgets.what_if_table import WhatIfTable
from engine.doctor.finding import bad, good, warn
from engine.errors import ExitCode
from engine.plan import save_plan
from tests.console.fleet_session import until
from tests.console.recorded import REQUEST, RecordedSession, console_on
from tests.console.test_plan_screen import SnapCompare, plan_screen, planned, said, sentence, text_of, type_into

QUOTA = bad("quota", "CPUS in asia-northeast1: 2 of 4 VMs fit", "launch 2 VMs: --vms 2", ExitCode.CONFIGURATION)


def strip(screen: PlanScreen) -> str:
    return screen.query_one(PaneStrip).text


def what_if(screen: PlanScreen) -> WhatIfTable:
    return screen.query_one(WhatIfTable)


async def tried(pilot: Pilot[Any], screen: PlanScreen) -> WhatIfTable:
    await pilot.press("w")
    await until(pilot, lambda: bool(what_if(screen).rows) and what_if(screen).rows[-1].figures[-1] is not None)
    return what_if(screen)


async def test_every_strategy_stands_beside_the_others_for_several_fleets_and_enter_takes_one() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        table = await tried(pilot, screen)
        assert [row.vms for row in table.rows] == [1, 2, 4, 6, 8, 16]
        assert table.cursor_row is not None
        assert (table.cursor_row.vms, table.strategy) == (4, "balanced")
        await pilot.press("down", "right", "enter")
        await until(pilot, lambda: len(screen.query_one(ShardBars).rows) == 6)
        assert screen.query_one("#field-shards", Input).value == "6"
        assert "by-date on 6 VMs, taken from What if" in text_of(screen, "#plan-facts")
        assert session.names_of("launch") == []


async def test_other_fleets_are_tried_only_while_they_show_and_never_for_an_older_plan() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        assert session.names_of("what_if") == []
        await tried(pilot, screen)
        asked = session.names_of("what_if")
        assert len({call[0] for call in asked}) == 1
        await type_into(pilot, screen, "shards", "2")
        await until(pilot, lambda: bool(what_if(screen).rows) and what_if(screen).rows[0].figures[2] is not None)
        assert not {call[0] for call in session.names_of("what_if")[len(asked) :]} & {asked[0][0]}


async def test_a_deadline_is_answered_with_the_number_of_vms_and_takes_the_place_of_a_number_of_shards() -> None:
    async with plan_screen(RecordedSession()) as (pilot, screen):
        await tried(pilot, screen)
        await type_into(pilot, screen, "deadline", "by 05:37")
        await until(pilot, lambda: "before the deadline" in sentence(screen))
        vms = len(screen.query_one(ShardBars).rows)
        shards = screen.query_one("#field-shards", Input)
        assert (shards.value, shards.placeholder) == ("", f"{vms} needed")
        assert "--deadline 2024-05-23T05:37Z" in text_of(screen, "#plan-command")
        await until(pilot, lambda: bool(what_if(screen).rows) and what_if(screen).rows[-1].figures[-1] is not None)
        marks = {row.vms: row.figures[0].in_time for row in what_if(screen).rows if row.figures[0]}
        assert marks[vms] is True
        assert all(not in_time for count, in_time in marks.items() if count < vms)
        await type_into(pilot, screen, "shards", "3")
        assert screen.query_one("#field-deadline", Input).value == ""


async def test_a_deadline_that_no_fleet_can_meet_says_what_is_possible() -> None:
    async with plan_screen(RecordedSession()) as (pilot, screen):
        await type_into(pilot, screen, "venues", "binance-futures")
        await type_into(pilot, screen, "start", "2024-04-12")
        await type_into(pilot, screen, "deadline", "2024-05-23T05:36:13Z")
        await until(pilot, lambda: "is not possible" in sentence(screen))
        assert "allow" in text_of(screen, "#form-hint")
        await pilot.press("enter")
        await pilot.pause()
        assert "is not possible" in said(pilot.app)


async def test_checks_are_made_before_anybody_asks_and_again_on_their_key() -> None:
    session = RecordedSession()
    session.findings = [good("credentials", "yours"), warn("addresses", "4 VMs", "ask the vendor")]
    async with plan_screen(session) as (pilot, screen):
        await until(pilot, lambda: "1 to note" in strip(screen))
        await pilot.press("f")
        table = screen.query_one("#plan-checks", LineTable)
        assert [row.check for row in table.rows] == ["addresses", "credentials"]
        await type_into(pilot, screen, "shards", "3")
        await until(pilot, lambda: len(screen.query_one(ShardBars).rows) == 3)
        assert len(session.names_of("preflight")) == 1
        await type_into(pilot, screen, "shards", "8")
        await until(pilot, lambda: len(session.names_of("preflight")) == 2)
        assert session.names_of("preflight")[-1][1] == "8"
        await pilot.press("escape", "F")
        await until(pilot, lambda: len(session.names_of("preflight")) == 3)


async def test_a_launch_that_would_fail_is_said_at_once_and_needs_a_reason_in_writing() -> None:
    session = RecordedSession()
    session.findings = [good("credentials", "yours"), QUOTA]
    async with plan_screen(session) as (pilot, screen):
        await until(pilot, lambda: "1 wrong" in strip(screen))
        assert "the launch would fail: quota: CPUS in asia-northeast1: 2 of 4 VMs fit -> launch 2 VMs" in text_of(screen, "#plan-notices")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, SkipChecksScreen))
        await pilot.press("enter")
        await pilot.pause()
        assert session.names_of("launch") == []
        await pilot.press(*"quota comes", "enter")
        await until(pilot, lambda: pilot.app.current_mode == "fleet")
        assert session.names_of("record_skip")[0][1] == "quota comes"
        assert len(session.names_of("launch")) == 1


async def test_what_changes_is_told_against_the_last_kept_plan_and_without_one_against_the_edit_before() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        await type_into(pilot, screen, "venues", "deribit, okex-swap")
        await pilot.press("escape", "x")
        changes = screen.query_one("#plan-changes", LineTable)
        await until(pilot, lambda: any("files" in row.change for row in changes.rows))
        assert "before the last edit" in changes.rows[0].change
        assert changes.rows[1].change.startswith("-")
        await pilot.press("s")
        await until(pilot, lambda: "kept just now" in changes.rows[0].change)
        await until(pilot, lambda: len(changes.rows) > 1)
        assert changes.rows[1].change.startswith("the same files")
        await type_into(pilot, screen, "venues", "okex-swap")
        await until(pilot, lambda: len(changes.rows) > 1 and changes.rows[1].change.startswith("-"))
        assert "kept just now" in changes.rows[0].change


async def test_a_kept_plan_is_opened_as_it_was_launched_by_its_id_and_compared() -> None:
    session = RecordedSession()
    kept = session.plan(structs.replace(REQUEST, end=REQUEST.end - timedelta(days=4), shards=2))
    save_plan(session.buckets.state, kept)
    async with plan_screen(session) as (pilot, screen):
        await pilot.press("O")
        await until(pilot, lambda: isinstance(pilot.app.screen, SavedPlansScreen) and bool(pilot.app.screen.query_one(LineTable).rows))
        await pilot.press("x")
        changes = screen.query_one("#plan-changes", LineTable)
        await until(pilot, lambda: len(changes.rows) > 1)
        assert kept.id in changes.rows[0].change
        await pilot.press("O")
        await until(pilot, lambda: isinstance(pilot.app.screen, SavedPlansScreen) and bool(pilot.app.screen.query_one(LineTable).rows))
        before = len(session.names_of("plan"))
        await pilot.press("enter")
        await until(pilot, lambda: f"kept plan {kept.id}" in text_of(screen, "#plan-facts"))
        assert text_of(screen, "#plan-command") == f"$ tickdeck deploy plan {kept.id}"
        assert len(session.names_of("plan")) == before
        await pilot.press("l")
        await until(pilot, lambda: pilot.app.current_mode == "fleet")
        assert session.names_of("launch") == [(kept.id,)]


async def test_editing_an_opened_plan_makes_another_and_so_does_planning_again() -> None:
    session = RecordedSession()
    kept = session.plan(REQUEST)
    save_plan(session.buckets.state, kept)
    async with plan_screen(session) as (pilot, screen):
        for leave in (("p",), ("i", *["down"] * 6, "right")):
            await pilot.press("O")
            await until(pilot, lambda: isinstance(pilot.app.screen, SavedPlansScreen) and bool(pilot.app.screen.query_one(LineTable).rows))
            await pilot.press("enter")
            await until(pilot, lambda: "kept plan" in text_of(screen, "#plan-facts"))
            before = len(session.names_of("plan"))
            await pilot.press(*leave)
            await until(pilot, lambda before=before: len(session.names_of("plan")) > before)  # type: ignore[misc]
            assert "deploy download" in text_of(screen, "#plan-command")
            await planned(pilot)


async def test_marked_shards_are_launched_alone_and_the_question_says_what_the_part_costs() -> None:
    session = RecordedSession(costs=True)
    async with plan_screen(session) as (pilot, screen):
        await pilot.press("space", "space", "z")
        await until(pilot, lambda: isinstance(pilot.app.screen, SliceScreen))
        dialog = pilot.app.screen
        marked = {int(key) for key in screen.query_one(ShardBars).marks}
        verdict = dialog.query_one("#slice-verdict", Static)
        assert "2 of 4 shards" in str(verdict.visual)
        dialog.query_one("#slice-vms", Input).value = "0"
        await pilot.pause()
        assert "is no number of VMs" in str(verdict.visual)
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, SliceScreen)
        dialog.query_one("#slice-vms", Input).value = "1"
        await pilot.pause()
        assert "on 1 VM" in str(verdict.visual)
        assert "--max-vms 1" in str(dialog.query_one("#slice-command", Static).visual)
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen))
        assert "would create 1 VM" in str(pilot.app.screen.query_one(".detail--title", Static).visual)
        assert session.names_of("launch") == []
        await pilot.press("escape", "z")
        await until(pilot, lambda: isinstance(pilot.app.screen, SliceScreen))
        pilot.app.screen.query_one("#slice-vms", Input).value = "1"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmOne))
        await pilot.press("left", "enter")
        await until(pilot, lambda: pilot.app.current_mode == "fleet")
        as_ever = {"keep": None, "canary": True, "external_ip": None}
        assert session.launches == [{"shards_only": frozenset(marked), "max_vms": 1, "checked": True, **as_ever}]


async def test_vms_that_stay_and_a_launch_without_canaries_are_said_in_the_question_and_in_the_command() -> None:
    session = RecordedSession(costs=True)
    async with plan_screen(session) as (pilot, _):
        await pilot.press("z")
        await until(pilot, lambda: isinstance(pilot.app.screen, SliceScreen))
        dialog = pilot.app.screen
        verdict, command = dialog.query_one("#slice-verdict", Static), dialog.query_one("#slice-command", Static)
        await pilot.press("down", "down", *"2 days")
        assert "is no length of time -> write 30m or 2h" in str(verdict.visual)
        await pilot.press(*["backspace"] * 5, "h", "down", "right", "down", "right")
        await pilot.pause()
        assert "VMs stay until 2h after the launch, and cost on; without canaries; each VM has an address" in str(verdict.visual)
        assert str(command.visual).endswith("--keep 2h --no-canary --external-ip")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmOne))
        assert "VMs stay until 2h after the launch" in " ".join(str(each.visual) for each in pilot.app.screen.query(Static))
        await pilot.press("left", "enter")
        await until(pilot, lambda: pilot.app.current_mode == "fleet")
        otherwise = {"keep": timedelta(hours=2), "canary": False, "external_ip": True}
        # Checks of the profile's own addresses say nothing about a launch with others.
        assert session.launches == [{"shards_only": None, "max_vms": 0, "checked": False, **otherwise}]


async def test_a_key_that_is_off_says_why() -> None:
    async with plan_screen(RecordedSession()) as (pilot, screen):
        await type_into(pilot, screen, "end", "2024-01-01")
        await pilot.press("escape", "l", "z", "d", "s")
        await pilot.pause()
        assert said(pilot.app).count("did you mean 2024-01-01..2024-04-10?") == 4


async def test_symbols_of_the_venues_are_completed_and_a_mistyped_one_is_answered_before_planning() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        await until(pilot, lambda: len(screen.query_one("#plan-form").known.symbols) > 0)  # type: ignore[attr-defined]
        await type_into(pilot, screen, "symbols", "")
        await pilot.press(*"SOL-P", "right")
        assert screen.query_one("#field-symbols", Input).value == "SOL-PERPETUAL"
        before = len(session.names_of("plan"))
        await pilot.press("X")
        assert text_of(screen, "#note-symbols") == "× did you mean SOL-PERPETUAL?"
        assert len(session.names_of("plan")) == before


async def test_notes_hold_every_warning_in_full() -> None:
    async with plan_screen(RecordedSession()) as (pilot, screen):
        await pilot.press("n")
        notes = text_of(screen, "#plan-note-list")
        assert "files commit once, the rest is wasted" in notes
        assert "due 2024-05-23 06:00 UTC" in notes


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])
def test_other_fleets_look_as_they_did(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    async def try_fleets(pilot: Pilot[Any]) -> None:
        screen = await planned(pilot)
        await type_into(pilot, screen, "deadline", "1m")
        await until(pilot, lambda: "before the deadline" in sentence(screen))
        await pilot.press("escape")
        await tried(pilot, screen)
        await until(pilot, lambda: "2 ok" in strip(screen) or size[0] < 200)
        await until(pilot, lambda: pilot.app.fleet.at is not None)  # type: ignore[attr-defined]

    assert snap_compare(console_on(RecordedSession(costs=True)), run_before=try_fleets, terminal_size=size)


def test_failing_checks_look_as_they_did(snap_compare: SnapCompare) -> None:
    async def look(pilot: Pilot[Any]) -> None:
        screen = await planned(pilot)
        await until(pilot, lambda: "1 wrong" in strip(screen))
        await pilot.press("f")
        await until(pilot, lambda: pilot.app.fleet.at is not None)  # type: ignore[attr-defined]

    session = RecordedSession()
    session.findings = [
        good("credentials", "yours"),
        QUOTA,
        warn("addresses", "4 VMs; nobody says how many a key allows", "ask the vendor"),
    ]
    assert snap_compare(console_on(session), run_before=look, terminal_size=(80, 24))


async def test_from_a_hole_to_its_repair_launched_takes_at_most_five_keys_also_where_it_costs_money() -> None:
    session = RecordedSession(costs=True)
    async with plan_screen(session) as (pilot, _):
        await pilot.press("4")
        await until(pilot, lambda: pilot.app.current_mode == "coverage" and pilot.app.coverage.value is not None)  # type: ignore[attr-defined]
        await pilot.pause()
        keys = iter(("n", "r", "enter", "left", "enter"))
        await pilot.press(next(keys), next(keys))
        await until(pilot, lambda: pilot.app.current_mode == "plan")
        screen = await planned(pilot)
        assert "repair of" in text_of(screen, "#plan-facts")
        await pilot.press(next(keys))
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmOne))
        await pilot.press(*keys)
        await until(pilot, lambda: pilot.app.current_mode == "fleet")
        assert len(session.names_of("launch")) == 1


async def test_a_repair_is_launched_by_enter_wherever_in_plan_one_was_before() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        await pilot.press("f")
        await until(pilot, lambda: screen.focused is not None and screen.focused.id == "plan-checks")
        keys = screen.query_one(KeyLine)
        assert keys.text.strip().startswith("l Launch"), "enter opens the check under the cursor there"
        await pilot.press("4")
        await until(pilot, lambda: pilot.app.current_mode == "coverage" and pilot.app.coverage.at is not None)  # type: ignore[attr-defined]
        await pilot.press("m", "r")
        await until(pilot, lambda: pilot.app.screen is screen)
        await until(pilot, lambda: keys.text.strip().startswith("enter Launch"))
        await planned(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: bool(session.names_of("launch")))
