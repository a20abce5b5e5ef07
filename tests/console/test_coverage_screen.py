"""The Coverage screen on the recorded world: every state, why a cell is not complete, and the way from a hole to its repair."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static, Tree

from console.app import ConsoleApp
from console.screens.cell import CellScreen
from console.screens.coverage import CoverageScreen
from console.screens.plan import PlanScreen
from console.widgets.detail import DetailScreen
from console.widgets.heatmap import Heatmap
from console.widgets.legend import HeatLegend
from console.widgets.prompt import Prompt
from console.widgets.sentence import Sentence
from console.widgets.table import LineTable
from engine.model import CellState
from tests.console.fleet_session import until
from tests.console.recorded import DAYS, RecordedSession, command, console_on

SnapCompare = Callable[..., bool]
SIZES = [(80, 24), (160, 50)]


async def covered(pilot: Pilot[Any]) -> CoverageScreen:
    """Go to Coverage and wait for what it has to show."""
    await until(pilot, lambda: pilot.app.current_mode == "plan" and pilot.app.screen.is_mounted)
    pilot.app.action_show_mode("coverage")  # type: ignore[attr-defined]
    await until(pilot, lambda: isinstance(pilot.app.screen, CoverageScreen) and pilot.app.screen.is_mounted)
    screen = pilot.app.screen
    assert isinstance(screen, CoverageScreen)
    await until(pilot, lambda: screen.query_one(Heatmap).cursor is not None)
    return screen


@asynccontextmanager
async def coverage_screen(
    session: RecordedSession, size: tuple[int, int] = (80, 24), **options: Any
) -> AsyncIterator[tuple[Pilot[Any], CoverageScreen]]:
    async with console_on(session, **options).run_test(size=size) as pilot:
        yield pilot, await covered(pilot)


def cursor(screen: CoverageScreen) -> tuple[str, date, CellState]:
    found = screen.query_one(Heatmap).cursor
    assert found is not None
    return found


def cell_line(screen: CoverageScreen) -> str:
    return str(screen.query_one("#coverage-cell", Static).visual)


def said(app: ConsoleApp) -> str:
    return "\n".join(f"{each.title}: {each.message}" for each in app._notifications)


async def test_a_sentence_says_how_much_is_there() -> None:
    async with coverage_screen(RecordedSession()) as (_, screen):
        line = screen.query_one(Sentence).text
        for part in ("98.0 % of 630 expected cells complete", "9 holes", "2 thin", "1 running", "15 not ready"):
            assert part in line
        facts = str(screen.query_one("#coverage-facts", Static).visual)
        assert facts.startswith(f"{DAYS} · 215 cells not expected")
        assert facts.endswith("24 cells adopted")


async def test_adopted_cells_have_a_glyph_of_their_own_and_a_word_in_the_legend() -> None:
    async with coverage_screen(RecordedSession(), (160, 50)) as (pilot, screen):
        heatmap, day = screen.query_one(Heatmap), date(2024, 4, 15)
        assert heatmap.move_to("okex-swap trades", day)
        await pilot.pause()
        assert heatmap.cursor == ("okex-swap trades", day, CellState.COMPLETE)
        assert cell_line(screen).startswith("▓ okex-swap trades 2024-04-15 complete")
        assert "adopted by a1tm0found" in cell_line(screen)
        row = heatmap.render_line(2 + heatmap.grid.row_index["okex-swap trades"]).text
        assert (row.count("▓") > 0, row.count("▇") > 0) == (True, True)
        assert "▓ adopted" in screen.query_one(HeatLegend).render().plain
        assert "▓" in heatmap.render_line(1).text


async def test_adopted_cells_can_be_filtered_for() -> None:
    async with coverage_screen(RecordedSession()) as (pilot, screen):
        await pilot.press("slash", *"is:adopted", "enter")
        await until(pilot, lambda: len(screen.query_one(Heatmap).grid.rows) == 2)


async def test_every_state_of_a_cell_is_in_the_map() -> None:
    async with coverage_screen(RecordedSession()) as (_, screen):
        grid = screen.query_one(Heatmap).grid
        found = {grid.state(row, place) for row in range(len(grid.rows)) for place in range(len(grid.days))}
        assert found == set(CellState)


EXPLAINED = (
    ("binance trades", date(2024, 5, 4), ("thin", "recorder offline", "committed by r1tn0first")),
    ("binance liquidations", date(2024, 5, 4), ("not expected", "never a gap")),
    ("binance-futures book_snapshot_5", date(2024, 5, 11), ("partial", "4 of 6 symbols", "2 bad", "1 quarantined; 1 not found")),
    ("binance-futures liquidations", date(2024, 5, 13), ("complete", "1 empty", "1 symbol without rows")),
    ("deribit derivative_ticker", date(2024, 5, 15), ("failed", "0 of 6 symbols", "6 failed")),
    ("okex-swap book_snapshot_5", date(2024, 5, 18), ("missing", "never attempted", "no manifest")),
    ("okex-swap trades", date(2024, 5, 21), ("running", "missing until it is done", "run r1tp0other is working on it")),
    ("okex-swap trades", date(2024, 5, 22), ("not ready", "due 2024-05-23 06:00 UTC")),
)


async def test_the_cell_under_the_cursor_is_explained_in_every_state() -> None:
    async with coverage_screen(RecordedSession()) as (pilot, screen):
        for row, day, words in EXPLAINED:
            screen.query_one(Heatmap).move_to(row, day)
            await until(pilot, lambda row=row, day=day: f"{row} {day}" in cell_line(screen))  # type: ignore[misc]
            assert [word for word in words if word not in cell_line(screen)] == []


async def test_it_opens_on_a_hole_and_n_goes_from_hole_to_hole() -> None:
    async with coverage_screen(RecordedSession()) as (pilot, screen):
        seen = [cursor(screen)[:2]]
        for _ in range(9):
            await pilot.press("n")
            seen.append(cursor(screen)[:2])
        assert len(set(seen)) == 9
        assert seen[0] == seen[-1]
        await pilot.press("N")
        assert cursor(screen)[:2] == seen[-2]


async def test_from_a_hole_to_its_repair_launched_takes_three_keys() -> None:
    session = RecordedSession()
    async with coverage_screen(session) as (pilot, screen):
        keys = 0
        row, day, _ = cursor(screen)
        await pilot.press("space", "r")
        keys += 2
        await until(pilot, lambda: pilot.app.current_mode == "plan")
        plan = pilot.app.screen
        assert isinstance(plan, PlanScreen)
        await until(pilot, lambda: "2 files" in plan.query_one(Sentence).text)
        assert "repair of 1 cell" in str(plan.query_one("#plan-facts", Static).visual)
        await pilot.press("enter")
        keys += 1
        await until(pilot, lambda: pilot.app.current_mode == "fleet")
        assert (row, day) == ("binance-futures book_snapshot_5", date(2024, 5, 11))
        assert session.names_of("plan")[-1] == ("2024-05-11..2024-05-11", "binance-futures")
        assert len(session.names_of("launch")) == 1
        assert keys <= 5


async def test_after_the_launch_the_cells_are_running_and_the_range_is_still_the_whole_one() -> None:
    session = RecordedSession()
    async with coverage_screen(session) as (pilot, screen):
        await pilot.press("space", "r")
        await until(pilot, lambda: pilot.app.current_mode == "plan")
        plan = pilot.app.screen
        await until(pilot, lambda: "2 files" in plan.query_one(Sentence).text)
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.current_mode == "fleet")
        await pilot.press("4")
        await until(pilot, lambda: cursor(screen)[2] is CellState.RUNNING)
        assert len(screen.query_one(Heatmap).grid.days) == len(DAYS)
        assert f"run {session.snapshot.runs[-1].run} is working on it" in cell_line(screen)  # type: ignore[union-attr]


async def test_r_without_marks_plans_all_holes() -> None:
    session = RecordedSession()
    async with coverage_screen(session) as (pilot, _):
        await pilot.press("r")
        await until(pilot, lambda: pilot.app.current_mode == "plan" and "2024-04-28..2024-05-21" in session.names_of("plan")[-1])
        assert session.names_of("plan")[-1][1] == "binance-futures,deribit,okex-swap"


async def test_a_marked_rectangle_is_planned_and_what_it_takes_along_is_told() -> None:
    session = RecordedSession()
    async with coverage_screen(session) as (pilot, screen):
        screen.query_one(Heatmap).move_to("okex-swap book_snapshot_5", date(2024, 5, 17))
        await pilot.press("v", "right", "right", "v")
        assert "3 cells marked" in cell_line(screen)
        screen.query_one(Heatmap).move_to("deribit derivative_ticker", date(2024, 5, 15))
        await pilot.press("space")
        assert "4 cells marked" in cell_line(screen)
        await pilot.press("r")
        await until(pilot, lambda: session.names_of("plan")[-1] == ("2024-05-15..2024-05-19", "deribit,okex-swap"))
        await until(pilot, lambda: "repair of 4 cells" in str(pilot.app.screen.query_one("#plan-facts", Static).visual))


async def test_the_hole_list_names_the_reasons_and_leads_to_the_cell() -> None:
    async with coverage_screen(RecordedSession(), (160, 50)) as (pilot, screen):
        await pilot.press("h")
        table = screen.query_one("#coverage-holes", LineTable)
        assert len(table.rows) == 9
        assert [row.reason for row in table.rows][:4] == ["1 failed", "1 quarantined; 1 not found", "6 failed", "never attempted"]
        await pilot.press("down", "down", "enter")
        assert cursor(screen)[:2] == ("deribit derivative_ticker", date(2024, 5, 15))
        assert screen.query_one(Heatmap).has_focus
        await pilot.press("escape")
        assert not screen.has_class("-list")
        assert pilot.app.current_mode == "coverage"


async def test_enter_shows_what_became_of_each_symbol_and_then_the_proof() -> None:
    async with coverage_screen(RecordedSession()) as (pilot, _):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, CellScreen))
        rows = pilot.app.screen.query_one(LineTable).rows
        assert [(row.symbol, row.outcome) for row in rows[:2]] == [("BTCUSDT", "quarantined"), ("SOLUSDT", "not found")]
        assert "gzip member 3 is cut short" in rows[0].reason
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen))
        proof = dict(node.data for node in pilot.app.screen.query_one(Tree).root.children if node.data is not None)
        assert proof["object"] == (
            "gs://market-data-tick/raw_tick_data/by_date/day-2024-05-11/data_type-book_snapshot_5/venue-binance-futures/ADAUSDT.parquet"
        )
        assert (proof["outcome"], proof["rows"], proof["crc32c"]) == ("ok", "1,000,000", "AAAAAA==")
        await pilot.press("escape", "escape")
        assert isinstance(pilot.app.screen, CoverageScreen)


async def test_a_filter_leaves_the_rows_that_match() -> None:
    async with coverage_screen(RecordedSession()) as (pilot, screen):
        await pilot.press("slash")
        screen.query_one("#prompt-input", Input).value = "venue:deribit is:hole"
        await pilot.press("enter")
        grid = screen.query_one(Heatmap).grid
        assert grid.rows == ("deribit trades", "deribit derivative_ticker")
        assert screen.query_one(Heatmap).has_focus
        assert not screen.query_one(Prompt).has_class("-open")


async def test_a_dead_link_keeps_the_map_and_says_so() -> None:
    session = RecordedSession()
    async with coverage_screen(session) as (pilot, screen):
        session.down = "the state bucket does not answer"
        pilot.app.look_again()  # type: ignore[attr-defined]
        await until(pilot, lambda: "the state bucket does not answer" in str(screen.query_one("#coverage-facts", Static).visual))
        assert len(screen.query_one(Heatmap).grid.rows) == 20
        assert "98.0 %" in screen.query_one(Sentence).text
        await pilot.press("n")
        assert "partial" in cell_line(screen)


async def test_a_range_that_cannot_be_read_at_all_says_why() -> None:
    session = RecordedSession()
    session.down = "the state bucket does not answer"
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: pilot.app.current_mode == "plan")
        await pilot.press("4")
        await until(pilot, lambda: isinstance(pilot.app.screen, CoverageScreen))
        await until(pilot, lambda: "the state bucket does not answer" in pilot.app.screen.query_one(Sentence).text)


async def test_another_range_in_plan_is_another_map_in_coverage() -> None:
    session = RecordedSession()
    async with coverage_screen(session) as (pilot, screen):
        await pilot.press("1")
        await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen))
        pilot.app.screen.query_one("#field-start").value = "2024-05-20"  # type: ignore[attr-defined]
        await pilot.pause()
        await pilot.press("4")
        await until(pilot, lambda: len(screen.query_one(Heatmap).grid.days) == 3)


async def test_a_day_can_be_named() -> None:
    async with coverage_screen(RecordedSession()) as (pilot, screen):
        row = cursor(screen)[0]
        await command(pilot, "day 2024-04-20")
        assert cursor(screen)[:2] == (row, date(2024, 4, 20))
        await command(pilot, "day 2023-04-20")
        assert "2023-04-20 is not in the range" in said(pilot.app)


async def test_the_export_has_a_line_for_every_cell(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with coverage_screen(RecordedSession()) as (pilot, _):
        await pilot.press("e", "c")
        await until(pilot, lambda: any(tmp_path.glob("*.csv")))
        (path,) = tmp_path.iterdir()
        lines = path.read_text().splitlines()
        assert path.name == "tickdeck-coverage-20240523T053612Z.csv"
        assert len(lines) == 1 + 20 * len(DAYS)
        assert "deribit,trades,2024-04-28,partial,6,5,1,0,1428888,committed,1 failed" in lines


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "160x50"])
def test_coverage_looks_as_it_did(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    async def settle(pilot: Pilot[Any]) -> None:
        await covered(pilot)
        await pilot.press("n", "space", *(["h"] if size[0] > 100 else []))
        await until(pilot, lambda: pilot.app.fleet.at is not None)  # type: ignore[attr-defined]

    assert snap_compare(console_on(RecordedSession()), run_before=settle, terminal_size=size)


def test_the_symbols_of_a_cell_look_as_they_did(snap_compare: SnapCompare) -> None:
    async def settle(pilot: Pilot[Any]) -> None:
        await covered(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, CellScreen))

    assert snap_compare(console_on(RecordedSession()), run_before=settle, terminal_size=(80, 24))
