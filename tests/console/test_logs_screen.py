"""The Logs screen under a person's hands, on a recorded tail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot

from console.screens.logs import LogsScreen, Scope
from console.widgets.detail import DetailScreen
from console.widgets.logring import Severity
from console.widgets.logview import LogView
from console.widgets.prompt import Prompt
from console.widgets.sentence import Sentence
from console.widgets.table import LineTable
from provision.logs import Batch
from tests.console import recorded_fleet as recorded
from tests.console.fleet_session import FleetSession, console_on, in_mode, until

SIZES = [(80, 24), (160, 50)]
SnapCompare = Callable[..., bool]


def logs(pilot: Pilot[Any]) -> LogsScreen:
    screen = pilot.app.screen_stack[0]
    assert isinstance(screen, LogsScreen)
    return screen


def view(pilot: Pilot[Any]) -> LogView:
    return logs(pilot).query_one(LogView)


def source(pilot: Pilot[Any]) -> str:
    return logs(pilot).query_one("#logs-source", Sentence).text


async def open_logs(pilot: Pilot[Any], lines: int = 120) -> None:
    await in_mode(pilot, "fleet")
    await pilot.press("3")
    await in_mode(pilot, "logs")
    await until(pilot, lambda: len(view(pilot).ring) == lines)


@pytest.mark.parametrize("size", SIZES)
async def test_errors_stand_by_cause_above_the_tail_and_the_source_is_named(size: tuple[int, int]) -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=size) as pilot:
        await open_logs(pilot)
        assert session.names_of("tail") == [(recorded.RUN,)]
        assert source(pilot).startswith(f"✓ cloud-logging · every VM of run {recorded.RUN} · live")
        causes = logs(pilot).query_one("#logs-causes", LineTable)
        assert [cause.count for cause in causes.rows] == [7, 3]
        assert view(pilot).following
        assert view(pilot).has_focus


async def test_a_pause_holds_the_lines_still_and_counts_what_waits() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("f")
        at = view(pilot).cursor_line
        logs(pilot).show_logs(Batch(tuple(recorded.log_entry(number) for number in range(500, 530))))
        await until(pilot, lambda: view(pilot).unseen == 30)
        assert view(pilot).cursor_line is at
        await pilot.press("f")
        assert view(pilot).following
        assert view(pilot).unseen == 0


async def test_severity_follows_plus_and_minus_and_digits_still_change_screens() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("minus", "minus", "minus", "minus")
        assert view(pilot).ring.minimum is Severity.ERROR
        assert view(pilot).ring.shown_count == 10
        await pilot.press("0")
        assert view(pilot).ring.shown_count == 120
        await pilot.press("2")
        await in_mode(pilot, "fleet")


async def test_the_filter_speaks_the_one_grammar_and_says_how_much_passes() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("slash", *"venue:deribit")
        await until(pilot, lambda: view(pilot).ring.shown_count == 7)
        assert logs(pilot).query_one("#logs-filter", Prompt).note == "7 of 120"
        await pilot.press("escape")
        await until(pilot, lambda: view(pilot).ring.shown_count == 120)
        assert view(pilot).has_focus


async def test_searching_hides_nothing_and_n_goes_from_hit_to_hit() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("ctrl+f", *"quar", "enter")
        assert view(pilot).ring.shown_count == 120
        seen = []
        for _ in range(3):
            await pilot.press("n")
            line = view(pilot).cursor_line
            assert line is not None
            assert "quarantined" in line.message
            seen.append(line.time)
        assert len(set(seen)) == 3


async def test_enter_shows_every_field_of_a_line_and_enter_on_a_field_filters_by_it() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("f", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen))
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is logs(pilot))
        assert str(view(pilot).ring.query) == 'severity:"INFO"'
        assert 0 < view(pilot).ring.shown_count < 120


async def test_enter_on_a_cause_leaves_only_its_lines() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        logs(pilot).query_one("#logs-causes").focus()
        await pilot.press("down", "enter")
        await until(pilot, lambda: view(pilot).ring.shown_count == 3)
        assert view(pilot).has_focus


async def test_what_the_service_left_out_is_counted_and_a_lost_link_is_told_until_it_is_back() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        logs(pilot).show_logs(Batch(suppressed={"rate limit": 812}))
        assert view(pilot).dropped == 812
        logs(pilot).show_logs(Batch(state="reconnecting", reason="503 the service is away"))
        assert "reconnecting: 503 the service is away" in source(pilot)
        assert len(view(pilot).ring) == 120
        logs(pilot).show_logs(Batch(recorded.log_entries(3)))
        assert source(pilot).endswith(" · live")


async def test_a_vm_that_is_gone_is_read_from_the_log_it_left_in_the_bucket() -> None:
    session = FleetSession(recorded.troubled())
    session.left_behind = [replace(recorded.log_entry(number, shard=2), source="log-objects") for number in range(40)]
    async with console_on(session).run_test(size=(160, 50)) as pilot:
        await open_logs(pilot)
        logs(pilot).set_scope(Scope(recorded.RUN, recorded.vm_name(2), gone=True, chosen=True))
        await until(pilot, lambda: len(view(pilot).ring) == 40)
        await until(pilot, lambda: "log-objects" in source(pilot) and "40 lines" in source(pilot))
        assert session.names_of("logs_of") == [(recorded.RUN, recorded.vm_name(2))]
        logs(pilot).show_logs(Batch(recorded.log_entries(10)))
        await pilot.pause()
        assert len(view(pilot).ring) == 40
        await pilot.press("escape")
        await until(pilot, lambda: session.names_of("tail")[-1] == (recorded.RUN,))


async def test_a_vm_that_is_gone_and_left_nothing_is_looked_for_in_cloud_logging() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        logs(pilot).set_scope(Scope(recorded.RUN, recorded.vm_name(2), gone=True, chosen=True))
        await until(pilot, lambda: session.names_of("tail")[-1] == (recorded.RUN, recorded.vm_name(2)))
        await until(pilot, lambda: "cloud-logging" in source(pilot))


async def test_lines_of_another_vm_that_were_under_way_do_not_come_in() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        logs(pilot).set_scope(Scope(recorded.RUN, recorded.vm_name(3), chosen=True))
        logs(pilot).show_logs(Batch(tuple(recorded.log_entry(number, shard=4) for number in range(9))))
        await until(pilot, lambda: len(view(pilot).ring) == 20)
        assert {view(pilot).ring.line(number).vm for number in range(20)} == {"shard-3"}


async def test_a_burst_of_ten_thousand_lines_leaves_the_keys_alive() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        burst = tuple(recorded.log_entry(number, shard=number % 6) for number in range(10_000))
        logs(pilot).show_logs(Batch(burst))
        await pilot.press("f")
        assert not view(pilot).following
        await until(pilot, lambda: len(view(pilot).ring) == 10_120)


async def test_lines_under_the_filter_are_exported() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("slash", *"quar", "enter")
        await until(pilot, lambda: view(pilot).ring.shown_count == 3)
        lines = logs(pilot).export_records()
        assert len(lines) == 3
        assert {str(line["instance"]).rsplit("-", 1)[0] for line in lines} == {f"market-data-shard-{recorded.RUN}"}
        assert "quarantined okex-swap" in logs(pilot).copy_row()


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "160x50"])
def test_the_screen_looks_as_it_did(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    assert snap_compare(console_on(FleetSession(recorded.troubled())), run_before=open_logs, terminal_size=size)


def test_the_paused_and_filtered_screen_without_a_link_looks_as_it_did(snap_compare: SnapCompare) -> None:
    async def trouble(pilot: Pilot[Any]) -> None:
        await open_logs(pilot)
        await pilot.press("f", "slash", *"deribit", "enter")
        logs(pilot).show_logs(Batch(state="reconnecting", reason="503 the service is away"))
        await pilot.pause()

    assert snap_compare(console_on(FleetSession(recorded.troubled())), run_before=trouble, terminal_size=(80, 24))


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "160x50"])
def test_the_detail_of_a_line_looks_as_it_did(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    async def detail(pilot: Pilot[Any]) -> None:
        await open_logs(pilot)
        await pilot.press("f", "up", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen))

    assert snap_compare(console_on(FleetSession(recorded.troubled())), run_before=detail, terminal_size=size)
