"""The Plan screen on the recorded world: what it says, what Enter does from everywhere, and what it refuses."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any

import pytest
from textual import events
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input, Static, Tree

from console.plan_view import clock_times
from console.screens.form_fields import Choice
from console.screens.plan import PlanScreen
from console.screens.request_form import RequestForm
from console.verbs.options import command_line
from console.widgets.confirm import ConfirmOne
from console.widgets.detail import DetailScreen
from console.widgets.sentence import Sentence
from console.widgets.shard_bars import ShardBars
from engine.errors import StoreError
from tests.console.fleet_session import until
from tests.console.recorded import NOW, REQUEST, VENUES, RecordedSession, console_on
from tests.console.recorded_fleet import RUN

SnapCompare = Callable[..., bool]
SIZES = [(80, 24), (120, 40), (200, 60)]
FIRST_FILES = "51 files"


async def planned(pilot: Pilot[Any]) -> PlanScreen:
    """Wait for the Plan screen, with a plan that answers its fields."""
    await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen) and pilot.app.screen.is_mounted)
    screen = pilot.app.screen
    assert isinstance(screen, PlanScreen)
    await until(pilot, lambda: "…" not in screen.query_one(Sentence).text and screen.is_plan_seen)
    return screen


@asynccontextmanager
async def plan_screen(
    session: RecordedSession, size: tuple[int, int] = (80, 24), **options: Any
) -> AsyncIterator[tuple[Pilot[Any], PlanScreen]]:
    async with console_on(session, **options).run_test(size=size) as pilot:
        yield pilot, await planned(pilot)


def sentence(screen: PlanScreen) -> str:
    return screen.query_one(Sentence).text


def text_of(screen: PlanScreen, selector: str) -> str:
    return str(screen.query_one(selector, Static).visual)


def said(app: App[Any]) -> str:
    """Everything that pops up now."""
    return "\n".join(f"{each.title}: {each.message}" for each in app._notifications)


async def type_into(pilot: Pilot[Any], screen: PlanScreen, field: str, text: str) -> None:
    box = screen.query_one(f"#field-{field}", Input)
    box.focus()
    await pilot.pause()
    box.value = text
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40", "200x60"])
async def test_one_sentence_says_files_bytes_machines_end_and_cost(size: tuple[int, int]) -> None:
    async with plan_screen(RecordedSession(), size) as (_, screen):
        line = sentence(screen)
        for part in (FIRST_FILES, "507 MB", "10 cells", "4 VMs", "ends 05:36 UTC", "free"):
            assert part in line
        assert "files there already" in text_of(screen, "#plan-facts")
        notices = text_of(screen, "#plan-notices")
        assert "run r1tp0other is working on 1 of these cells" in notices
        assert "2024-05-22 not published yet at 4 venues: due 2024-05-23 06:00 UTC" in notices
        assert len(screen.query_one(ShardBars).rows) == 4


async def test_what_costs_money_is_said_with_its_range_and_the_source_of_the_price() -> None:
    session = RecordedSession(costs=True)
    async with plan_screen(session, (160, 50)) as (pilot, screen):
        await type_into(pilot, screen, "start", "2023-05-10")
        screen.action_replan()
        await until(pilot, lambda: "$" in sentence(screen))
        assert " to $" in sentence(screen)
        assert "price table, 2024-05-01" in text_of(screen, "#plan-prices")
        assert "2 days of allowance" in sentence(screen)
        assert "of a day's allowance of 250 GB" in text_of(screen, "#plan-price-list")


@pytest.mark.parametrize("place", ["#plan-shards", "#field-venues", "#field-deadline", "#field-strategy"])
async def test_enter_launches_from_everywhere_and_goes_to_fleet(place: str) -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        screen.query_one(place).focus()
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.current_mode == "fleet")
        assert len(session.names_of("launch")) == 1


async def test_enter_on_a_wrong_request_says_why_and_starts_nothing() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        await type_into(pilot, screen, "end", "2024-01-01")
        await pilot.press("enter")
        await pilot.pause()
        assert "did you mean 2024-01-01..2024-04-10?" in said(pilot.app)
        assert session.names_of("launch") == []
        assert pilot.app.current_mode == "plan"


async def test_a_wrong_name_is_answered_beside_its_field_while_it_is_typed() -> None:
    async with plan_screen(RecordedSession(), find_venues=lambda _session: VENUES) as (pilot, screen):
        await until(pilot, lambda: screen.query_one(RequestForm).known.all_venues)
        await type_into(pilot, screen, "venues", "")
        await pilot.press(*"binnance")
        assert text_of(screen, "#note-venues") == "× did you mean binance?"
        assert "there is no venue 'binnance'" in screen.query_one(RequestForm).hint
        assert "there is no venue 'binnance'" in sentence(screen)
        await pilot.press("backspace", "backspace", "backspace", "backspace", "backspace", "right")
        assert screen.query_one("#field-venues", Input).value == "binance"
        assert text_of(screen, "#note-venues") == ""


async def test_what_only_the_planner_knows_is_said_beside_the_field_too() -> None:
    async with plan_screen(RecordedSession()) as (pilot, screen):
        await type_into(pilot, screen, "symbols", "BTCUSDX")
        await until(pilot, lambda: "BTCUSDX" in sentence(screen))
        assert text_of(screen, "#note-symbols") == "× did you mean BTCUSDT?"
        await pilot.press("enter")
        await pilot.pause()
        assert "is not listed" in said(pilot.app)


async def test_the_old_plan_stays_dimmed_while_the_new_one_is_made_and_enter_waits_for_it() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        session.gate.clear()
        await type_into(pilot, screen, "shards", "2")
        assert screen.has_class("-old")
        assert FIRST_FILES in sentence(screen)
        assert "Planning again" in sentence(screen)
        await pilot.press("enter")
        await pilot.pause()
        assert session.names_of("launch") == []
        assert "still planning" in said(pilot.app)
        session.gate.set()
        await until(pilot, lambda: len(screen.query_one(ShardBars).rows) == 2)
        assert not screen.has_class("-old")


async def test_several_edits_in_a_row_are_planned_once() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        before = len(session.names_of("plan"))
        # At one go: on a busy machine a pause between them may be as long as a person's after the last key.
        screen.query_one("#field-venues", Input).value = "deribit"
        for shards in ("1", "2", "3"):
            screen.query_one("#field-shards", Input).value = shards
        await until(pilot, lambda: len(screen.query_one(ShardBars).rows) not in (0, 4))
        assert [call[1] for call in session.names_of("plan")[before:]] == ["deribit"]


async def test_what_costs_money_is_asked_and_enter_alone_does_not_pay() -> None:
    session = RecordedSession(costs=True)
    async with plan_screen(session) as (pilot, _):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmOne))
        await pilot.press("enter")
        await planned(pilot)
        assert session.names_of("launch") == []
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmOne))
        await pilot.press("left", "enter")
        await until(pilot, lambda: pilot.app.current_mode == "fleet")
        assert len(session.names_of("launch")) == 1


async def test_read_only_refuses_to_launch_and_to_save() -> None:
    session = RecordedSession()
    async with plan_screen(session, read_only=True) as (pilot, _):
        await pilot.press("enter", "l", "s")
        await pilot.pause()
        assert session.names_of("launch") == session.names_of("save") == []


async def test_a_launch_that_fails_says_why_and_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    session = RecordedSession()

    def refuse(*_plan: Any, **_options: Any) -> Any:
        raise StoreError("the state bucket does not answer", hint="try again")

    async with plan_screen(session) as (pilot, screen):
        with monkeypatch.context() as patched:
            patched.setattr(session, "launch", refuse)
            await pilot.press("enter")
            await until(pilot, lambda: "the state bucket does not answer -> try again" in said(pilot.app))
        assert FIRST_FILES in sentence(screen)
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.current_mode == "fleet")


async def test_a_key_that_was_pressed_before_the_plan_was_shown_launches_nothing() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        for early in (events.Key("enter", "\r"), events.Key("l", "l")):
            # As after a freeze: it waited in the queue while the plan came, and has its turn now.
            await until(pilot, lambda: screen.is_plan_seen)
            screen.action_replan()
            await planned(pilot)
            pilot.app.post_message(early)
            await until(pilot, lambda: "that key came before this plan was shown" in said(pilot.app))
            pilot.app.clear_notifications()
        assert session.names_of("launch") == []
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.current_mode == "fleet")
        assert len(session.names_of("launch")) == 1


async def test_two_enters_launch_once() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, _):
        await pilot.press("enter", "enter")
        await until(pilot, lambda: pilot.app.current_mode == "fleet")
        assert len(session.names_of("launch")) == 1


async def test_coming_back_after_a_launch_plans_what_is_left_and_a_second_launch_of_it_is_asked() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and bool(pilot.app.live_run))  # type: ignore[attr-defined]
        await pilot.press("1")
        await until(pilot, lambda: f"run {RUN} is working on" in text_of(screen, "#plan-notices"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmOne))
        await pilot.press("enter")
        await planned(pilot)
        assert len(session.names_of("launch")) == 1


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [("Y", "start", "2024-05-22"), ("T", "universe", "tier1"), ("H", "venues", "binance-futures, deribit, okex-swap")],
)
async def test_a_preset_fills_the_fields_and_plans(key: str, field: str, value: str) -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        before = len(session.names_of("plan"))
        await pilot.press(key)
        await until(pilot, lambda: screen.query_one(f"#field-{field}", Input).value == value)
        await until(pilot, lambda: len(session.names_of("plan")) > before)


async def test_repeating_the_last_run_says_so_if_there_was_none() -> None:
    async with plan_screen(RecordedSession()) as (pilot, _):
        await pilot.press("R")
        await until(pilot, lambda: "there was no run yet" in said(pilot.app))


async def test_the_command_that_does_the_same_is_shown_and_copied() -> None:
    async with plan_screen(RecordedSession()) as (pilot, screen):
        assert text_of(screen, "#plan-command") == f"$ {command_line(REQUEST)}"
        await pilot.press("c")
        await until(pilot, lambda: pilot.app.clipboard == command_line(REQUEST))


async def test_saving_tells_where_the_plan_is() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, _):
        await pilot.press("s")
        await until(pilot, lambda: "is saved" in said(pilot.app))
        assert f"plans/{session.names_of('save')[0][0]}.json" in said(pilot.app)


async def test_a_dry_run_lists_the_machines_and_creates_nothing() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, _):
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen))
        tree = pilot.app.screen.query_one(Tree)
        names = [str(child.label) for child in next(node for node in tree.root.children if str(node.label).startswith("vms")).children]
        assert len(names) == 4
        assert all("market-data-shard-" in name for name in names)
        assert session.names_of("launch") == session.names_of("save") == []


async def test_escape_leaves_a_field_and_never_the_console() -> None:
    async with plan_screen(RecordedSession()) as (pilot, screen):
        await pilot.press("i", "escape")
        assert screen.focused is screen.query_one(ShardBars)
        await pilot.press("escape", "backspace")
        await pilot.pause()
        assert pilot.app.is_running
        assert pilot.app.current_mode == "plan"


async def test_keys_typed_into_a_field_are_text() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        await type_into(pilot, screen, "symbols", "")
        await pilot.press("1", "q", "l", "s", "2")
        assert screen.query_one("#field-symbols", Input).value == "1qls2"
        assert pilot.app.current_mode == "plan"


async def test_the_strategy_is_chosen_with_the_arrows() -> None:
    async with plan_screen(RecordedSession()) as (pilot, screen):
        choice = screen.query_one("#field-strategy", Choice)
        choice.focus()
        await pilot.press("right")
        assert choice.value == "by-date"
        await until(pilot, lambda: pilot.app.request.strategy == "by-date")  # type: ignore[attr-defined]


async def test_nothing_to_do_is_said_and_not_launched() -> None:
    session = RecordedSession()
    async with plan_screen(session) as (pilot, screen):
        await type_into(pilot, screen, "venues", "binance")
        await until(pilot, lambda: "Nothing to do" in sentence(screen))
        await pilot.press("enter")
        await pilot.pause()
        assert session.names_of("launch") == []
        assert screen.session.clock().date() == date(2024, 5, 23)


@pytest.fixture
def in_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Moves this machine to another time zone."""

    def move(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "said"),
    [("UTC", "05:36 UTC"), ("Asia/Tokyo", "05:36 UTC (14:36 JST)"), ("Pacific/Honolulu", "05:36 UTC (19:36 HST)")],
)
def test_the_end_is_told_in_utc_and_in_the_zone_of_this_machine(in_zone: Callable[[str], None], zone: str, said: str) -> None:
    in_zone(zone)
    assert clock_times(NOW, NOW) == said


def test_an_end_on_another_day_names_the_day(in_zone: Callable[[str], None]) -> None:
    in_zone("Asia/Tokyo")
    assert clock_times(NOW + timedelta(hours=12), NOW) == "17:36 UTC (Fri 02:36 JST)"
    assert clock_times(NOW + timedelta(hours=24), NOW) == "Fri 24 May 05:36 UTC (Fri 14:36 JST)"


async def settle(pilot: Pilot[Any]) -> None:
    await planned(pilot)
    await until(pilot, lambda: pilot.app.fleet.at is not None)  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40", "200x60"])
def test_the_plan_looks_as_it_did(snap_compare: SnapCompare, size: tuple[int, int], in_zone: Callable[[str], None]) -> None:
    in_zone("UTC")
    assert snap_compare(console_on(RecordedSession(costs=size[0] > 100)), run_before=settle, terminal_size=size)


def test_a_wrong_field_looks_as_it_did(snap_compare: SnapCompare) -> None:
    async def go_wrong(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, PlanScreen)
        screen.query_one("#field-venues", Input).cursor_blink = False
        await type_into(pilot, screen, "venues", "binance, Deribit!")

    assert snap_compare(console_on(RecordedSession()), run_before=go_wrong, terminal_size=(80, 24))
