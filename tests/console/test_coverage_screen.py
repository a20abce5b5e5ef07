"""The Coverage screen on the recorded world: every state, why a cell is not complete, and the way from a hole to its repair."""

from __future__ import annotations

import re
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
from console.screens.hole_pane import HolePane
from console.screens.plan import PlanScreen
from console.screens.reason import ReasonScreen
from console.widgets.confirm import ConfirmMany, ConfirmOne
from console.widgets.detail import DetailScreen
from console.widgets.heatmap import Heatmap
from console.widgets.legend import HeatLegend
from console.widgets.prompt import Prompt
from console.widgets.sentence import Sentence
from console.widgets.table import LineTable
from console.widgets.trouble_line import TroubleLine
from engine.instrument_coverage import INSTRUMENTS
from engine.model import CellState
from tests.console.fleet_session import until
from tests.console.recorded import CANDLE_RUN, DAYS, VENUES, RecordedSession, command, console_on

SnapCompare = Callable[..., bool]
SIZES = [(80, 24), (120, 40), (200, 60)]


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


async def settled(pilot: Pilot[Any]) -> None:
    """Wait for what is worked out beside the map."""
    screen = pilot.app.screen
    await until(pilot, lambda: "repair" in screen.query_one(Sentence).text)
    await until(pilot, lambda: "yesterday" in str(screen.query_one("#coverage-arrivals", Static).visual))
    await until(pilot, lambda: pilot.app.fleet.at is not None)  # type: ignore[attr-defined]


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
        assert facts.startswith(f"raw files (L: candles) · {DAYS} · 215 cells not expected")
        assert facts.endswith("24 cells adopted · instruments lack 1 day")


async def test_adopted_cells_have_a_glyph_of_their_own_and_a_word_in_the_legend() -> None:
    async with coverage_screen(RecordedSession(), (160, 50)) as (pilot, screen):
        heatmap, day = screen.query_one(Heatmap), date(2024, 4, 15)
        assert heatmap.move_to("okex-swap trades", day)
        await pilot.pause()
        assert heatmap.cursor == ("okex-swap trades", day, CellState.COMPLETE)
        assert cell_line(screen).startswith("▓ okex-swap trades 2024-04-15 adopted")
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
        assert not [row for row, _ in seen if row.endswith(INSTRUMENTS)], "the sentence counts no definitions among the holes"
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


async def test_a_repair_that_costs_money_is_launched_with_five_keys_and_never_by_enter_alone() -> None:
    session = RecordedSession(costs=True)
    async with coverage_screen(session) as (pilot, _):
        await pilot.press("space", "r")
        await until(pilot, lambda: pilot.app.current_mode == "plan" and "2 files" in pilot.app.screen.query_one(Sentence).text)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmOne))
        assert session.names_of("launch") == []
        await pilot.press("left", "enter")
        await until(pilot, lambda: len(session.names_of("launch")) == 1)


async def test_the_sentence_says_what_the_repair_of_all_holes_takes() -> None:
    async with coverage_screen(RecordedSession(costs=True)) as (pilot, screen):
        await until(pilot, lambda: "; repair 13 s, under a cent, 447 MB of allowance" in screen.query_one(Sentence).text)


async def test_the_hole_list_is_sorted_by_cost_and_shares_its_marks_with_the_map() -> None:
    async with coverage_screen(RecordedSession(costs=True)) as (pilot, screen):
        await settled(pilot)
        await pilot.press("h", "s")
        rows = screen.query_one(HolePane).rows
        assert [row.bytes or 0 for row in rows] == sorted((row.bytes or 0 for row in rows), reverse=True)
        assert (rows[0].bytes, rows[-1].bytes) == (59_655_555, None)
        await pilot.press("space")
        await until(pilot, lambda: len(screen.query_one(Heatmap).marks) == 1)
        assert "1 cell marked" in cell_line(screen)


async def test_rows_are_gathered_opened_and_closed_and_the_cursor_stays_with_its_cell() -> None:
    async with coverage_screen(RecordedSession()) as (pilot, screen):
        grid = screen.query_one(Heatmap)
        await pilot.press("g")
        assert [line.text for line in grid.grid.lines] == ["▸ binance (6)", "▸ binance-futures (6)", "▸ deribit (6)", "▸ okex-swap (6)"]
        await until(pilot, lambda: cell_line(screen).startswith("worst of 6 rows: ▄ binance-futures book_snapshot_5 2024-05-11 partial"))
        await pilot.press("enter")
        assert cursor(screen)[:2] == ("binance-futures book_snapshot_5", date(2024, 5, 11))
        await pilot.press("c")
        assert cursor(screen)[:2] == ("group binance-futures", date(2024, 5, 11))
        await pilot.press("space")
        assert grid.marks == {("binance-futures book_snapshot_5", date(2024, 5, 11))}
        await pilot.press("g", "g")
        assert cursor(screen)[:2] == ("binance-futures book_snapshot_5", date(2024, 5, 11))
        assert len(grid.marks) == 1


async def test_enter_goes_from_years_to_months_to_days_to_symbols() -> None:
    async with coverage_screen(RecordedSession()) as (pilot, screen):
        at = cursor(screen)[:2]
        await pilot.press("minus", "minus", "minus")
        seen = []
        for _ in range(3):
            seen.append(screen.query_one(Heatmap).zoom)
            await pilot.press("enter")
        assert seen == ["years", "months", "days"]
        await until(pilot, lambda: isinstance(pilot.app.screen, CellScreen))
        assert cursor(screen)[:2] == at


async def test_missing_definitions_are_a_hole_that_is_written_from_here() -> None:
    session = RecordedSession()
    async with coverage_screen(session) as (pilot, screen):
        assert screen.query_one(Heatmap).move_to("deribit instruments", date(2024, 5, 6))
        await until(pilot, lambda: "r writes them" in cell_line(screen))
        await pilot.press("space", "r")
        await until(pilot, lambda: session.names_of("definitions") == [("deribit instruments 2024-05-06",)])
        assert pilot.app.current_mode == "coverage"


async def test_a_symbol_leads_to_the_logs_of_the_vm_that_recorded_it() -> None:
    session = RecordedSession()
    async with coverage_screen(session) as (pilot, _):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, CellScreen))
        await pilot.press("L")
        await until(pilot, lambda: pilot.app.current_mode == "logs")
        await until(pilot, lambda: any("market-data-shard-r1tn0first-0" in call for call in session.calls))
        # At the time the file was written, not at the end.
        crumbs = pilot.app.screen.crumbs()  # type: ignore[attr-defined]
        assert re.fullmatch(r"market-data-shard-r1tn0first-0 at \d\d:\d\d:\d\d", crumbs[-1])


async def test_a_file_is_waived_with_a_reason_and_a_typed_number() -> None:
    session = RecordedSession()
    async with coverage_screen(session) as (pilot, _):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, CellScreen))
        await pilot.press("w")
        await until(pilot, lambda: isinstance(pilot.app.screen, ReasonScreen))
        pilot.app.screen.query_one(Input).value = "never traded"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmMany))
        await pilot.press("enter")
        assert session.names_of("waive") == []
        await pilot.press("1", "enter")
        await until(pilot, lambda: session.names_of("waive") == [("never traded", "binance-futures book_snapshot_5 2024-05-11")])


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
        assert f"of run {session.snapshot.runs[-1].run} waits for its worker" in cell_line(screen)  # type: ignore[union-attr]
        assert "▷" in cell_line(screen)


async def test_r_without_marks_plans_all_holes() -> None:
    session = RecordedSession()
    async with coverage_screen(session) as (pilot, _):
        await pilot.press("r")
        await until(pilot, lambda: pilot.app.current_mode == "plan" and "2024-04-28..2024-05-21" in session.names_of("plan")[-1])
        assert session.names_of("plan")[-1][1] == "binance-futures,deribit,okex-swap"


async def test_marks_anywhere_are_planned_exactly() -> None:
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
        await until(pilot, lambda: "of 4 cells" in pilot.app.screen.query_one(Sentence).text)


async def test_the_hole_list_names_the_reasons_and_leads_to_the_cell() -> None:
    async with coverage_screen(RecordedSession(), (160, 50)) as (pilot, screen):
        await pilot.press("h")
        table = screen.query_one("#coverage-holes", LineTable)
        assert len(table.rows) == 10
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
        assert (proof["run"], proof["attempt"], proof["vm"]) == ("r1tn0first", 1, "market-data-shard-r1tn0first-0")
        assert proof["first"] == "2024-05-11 00:00:00.250000 UTC"
        assert proof["object"] == (
            "gs://market-data-tick/raw_tick_data/by_date/day-2024-05-11/data_type-book_snapshot_5/venue-binance-futures/ADAUSDT.parquet"
        )
        assert (proof["outcome"], proof["rows"], proof["crc32c"]) == ("ok", "1,000,000", "AAAAAA==")
        await pilot.press("escape", "escape")
        assert isinstance(pilot.app.screen, CoverageScreen)


async def test_a_filter_leaves_the_rows_that_match() -> None:
    async with coverage_screen(RecordedSession()) as (pilot, screen):
        await pilot.press("slash")
        screen.query_one(Prompt).query_one(Input).value = "venue:deribit is:hole"
        await pilot.press("enter")
        grid = screen.query_one(Heatmap).grid
        assert grid.rows == ("deribit trades", "deribit derivative_ticker", "deribit instruments")
        assert screen.query_one(Heatmap).has_focus
        assert not screen.query_one(Prompt).has_class("-open")


async def test_a_dead_link_keeps_the_map_and_says_so() -> None:
    session = RecordedSession()
    async with coverage_screen(session) as (pilot, screen):
        session.down = "the state bucket does not answer"
        pilot.app.look_again()  # type: ignore[attr-defined]
        await until(pilot, lambda: "the state bucket does not answer" in screen.query_one(TroubleLine).text)
        assert len(screen.query_one(Heatmap).grid.rows) == 24
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
        await until(pilot, lambda: "the state bucket does not answer" in pilot.app.screen.query_one(TroubleLine).text)


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


async def test_a_day_is_gone_to_from_any_screen() -> None:
    async with console_on(RecordedSession()).run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen) and pilot.app.screen.is_mounted)
        await command(pilot, "day 2024-04-20")
        await until(pilot, lambda: isinstance(pilot.app.screen, CoverageScreen) and pilot.app.screen.is_mounted)
        screen = pilot.app.screen
        assert isinstance(screen, CoverageScreen)
        await until(pilot, lambda: screen.query_one(Heatmap).cursor is not None and cursor(screen)[1] == date(2024, 4, 20))
        await pilot.press("2")
        await command(pilot, "day 2024-13-01")
        assert "2024-13-01" in said(pilot.app)
        assert not isinstance(pilot.app.screen, CoverageScreen)


async def test_the_export_has_a_line_for_every_cell(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with coverage_screen(RecordedSession()) as (pilot, _):
        await pilot.press("e", "c")
        await until(pilot, lambda: any(tmp_path.glob("*.csv")))
        (path,) = tmp_path.iterdir()
        lines = path.read_text().splitlines()
        assert path.name == "tickdeck-coverage-20240523T053612Z.csv"
        assert len(lines) == 1 + 24 * len(DAYS)
        assert "deribit,trades,2024-04-28,partial,6,5,1,0,1428888,committed,1 failed" in lines


async def show_candles(pilot: Pilot[Any], screen: CoverageScreen) -> None:
    """From the raw layer to that of candles, with what its repair takes."""
    await pilot.press("L")
    await until(pilot, lambda: "candle cells" in screen.query_one(Sentence).text and "repair" in screen.query_one(Sentence).text)


async def test_one_key_shows_the_candles_then_what_is_loaded_and_again_the_raw_files() -> None:
    async with coverage_screen(RecordedSession()) as (pilot, screen):
        await show_candles(pilot, screen)
        for part in ("92.2 % of 167 expected candle cells complete", "12 holes", "1 stale"):
            assert part in screen.query_one(Sentence).text
        assert str(screen.query_one("#coverage-facts", Static).visual).startswith(f"candles (L: loaded) · {DAYS} · 5 cells not expected")
        assert [str(row) for row in screen.query_one(Heatmap).grid.rows] == [f"{venue} candles" for venue in VENUES]
        assert str(screen.query_one("#coverage-arrivals", Static).visual) == ""
        await pilot.press("L")
        await until(pilot, lambda: "expected venue-days loaded" in screen.query_one(Sentence).text)
        assert "loaded (L: raw files)" in str(screen.query_one("#coverage-facts", Static).visual)
        assert screen.query_one(Heatmap).move_to("binance loaded", date(2024, 5, 3))
        await until(pilot, lambda: "1 table without this day: candles_24h" in cell_line(screen))
        await pilot.press("space", "r")
        command = "tickdeck deploy upload-bigquery --venues binance --start 2024-05-03 --end 2024-05-03"
        await until(pilot, lambda: pilot.app.clipboard == command)
        await pilot.press("L")
        await until(pilot, lambda: "630 expected cells" in screen.query_one(Sentence).text)


async def test_a_cell_of_candles_opens_down_to_its_timeframes_and_what_they_were_made_of() -> None:
    async with coverage_screen(RecordedSession()) as (pilot, screen):
        await show_candles(pilot, screen)
        assert cursor(screen) == ("binance-futures candles", date(2024, 5, 16), CellState.PARTIAL)
        assert "1 without 24h: ETHUSDT" in cell_line(screen)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, CellScreen))
        await pilot.press("end", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen))
        proof = dict(node.data for node in pilot.app.screen.query_one(Tree).root.children if node.data is not None)
        assert (proof["run"], proof["bars"]) == (CANDLE_RUN, "7,615")
        assert "derivative_ticker" in proof["made of"]
        assert proof["timeframes"]["24h"].startswith("1 bar, 1.00 kB, gs://")
        assert proof["timeframes"]["1m"].endswith("timeframe-1m/venue-binance-futures/XRPUSDT.parquet")


@pytest.mark.parametrize(
    ("row", "day", "rebuild"),
    [("okex-swap candles", date(2024, 5, 12), False), ("deribit candles", date(2024, 5, 12), True)],
    ids=["missing", "stale"],
)
async def test_marked_candles_are_planned_and_nothing_else(row: str, day: date, rebuild: bool) -> None:
    async with coverage_screen(RecordedSession()) as (pilot, screen):
        await show_candles(pilot, screen)
        assert screen.query_one(Heatmap).move_to(row, day)
        await pilot.press("space", "r")
        await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen))
        plan = pilot.app.screen
        assert isinstance(plan, PlanScreen)
        await until(pilot, lambda: "Makes candles of 6 files" in plan.query_one(Sentence).text)
        assert plan._plan is not None
        assert {str(work.cell) for shard in plan._plan.shards for work in shard.work} == {f"{row} {day}"}
        assert (plan._plan.request.mode, plan._plan.request.rebuild) == ("candles", rebuild)
        # What Coverage shows stays what it was.
        await pilot.press("4")
        await until(pilot, lambda: pilot.app.screen is screen)
        assert "167 expected candle cells" in screen.query_one(Sentence).text


def test_candles_look_as_they_did(snap_compare: SnapCompare) -> None:
    async def settle(pilot: Pilot[Any]) -> None:
        await show_candles(pilot, await covered(pilot))
        await until(pilot, lambda: pilot.app.fleet.at is not None)  # type: ignore[attr-defined]

    assert snap_compare(console_on(RecordedSession()), run_before=settle, terminal_size=(80, 24))


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40", "200x60"])
def test_coverage_looks_as_it_did(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    async def settle(pilot: Pilot[Any]) -> None:
        await covered(pilot)
        await pilot.press("n", "space", *(["h"] if size[0] > 100 else []))
        await settled(pilot)

    assert snap_compare(console_on(RecordedSession(costs=True)), run_before=settle, terminal_size=size)


def test_years_of_groups_look_as_they_did(snap_compare: SnapCompare) -> None:
    async def settle(pilot: Pilot[Any]) -> None:
        await covered(pilot)
        await pilot.press("g", "c", "minus", "minus")
        await settled(pilot)

    assert snap_compare(console_on(RecordedSession()), run_before=settle, terminal_size=(80, 24))


@pytest.mark.parametrize("trouble", ["no catalogue", "stale"])
def test_trouble_looks_as_it_did(snap_compare: SnapCompare, trouble: str) -> None:
    session = RecordedSession()

    async def settle(pilot: Pilot[Any]) -> None:
        if trouble == "no catalogue":
            await until(pilot, lambda: pilot.app.current_mode == "plan")
            await pilot.press("4")
            await until(pilot, lambda: "no catalogue" in pilot.app.screen.query_one(TroubleLine).text)
            await until(pilot, lambda: pilot.app.fleet.at is not None)  # type: ignore[attr-defined]
            pilot.app.clear_notifications()
            await pilot.pause(0.1)
            return
        screen = await covered(pilot)
        await settled(pilot)
        session.down = "the state bucket does not answer"
        pilot.app.look_again()  # type: ignore[attr-defined]
        await until(pilot, lambda: session.down in screen.query_one(TroubleLine).text)

    if trouble == "no catalogue":
        session.down = "the state bucket has no catalogue of venue 'binance' -> fetch it: engine instruments --venues binance"
    assert snap_compare(console_on(session), run_before=settle, terminal_size=(80, 24))


def test_the_symbols_of_a_cell_look_as_they_did(snap_compare: SnapCompare) -> None:
    async def settle(pilot: Pilot[Any]) -> None:
        await covered(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, CellScreen))

    assert snap_compare(console_on(RecordedSession()), run_before=settle, terminal_size=(80, 24))
