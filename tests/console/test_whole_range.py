"""Seventeen months of forty rows on an ordinary terminal: one key shows all of it, the same key leads to the days around the cursor."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest
from msgspec import structs
from textual.pilot import Pilot

from console.opening import STANDING_TYPES, STANDING_VENUES
from console.screens.coverage import CoverageScreen
from console.widgets.heatmap import Heatmap
from engine.coverage import CellReport, Coverage
from engine.model import Cell, CellState, DayRange
from tests.console import recorded_fleet
from tests.console.fleet_session import until
from tests.console.recorded import REQUEST, RecordedSession, console_on
from tests.console.test_coverage_screen import SnapCompare, covered

DAYS = DayRange(date(2023, 5, 23), date(2024, 10, 22))
"""The 519 days of the standing job."""
ROWS = tuple((venue, data_type) for venue in STANDING_VENUES for data_type in STANDING_TYPES)
HOLE = Cell(date(2024, 2, 14), "trades", "bybit")
QUIET_UNTIL = date(2023, 8, 1)


def state_of(cell: Cell) -> CellState:
    if cell == HOLE:
        return CellState.MISSING
    if cell.venue == "okex-swap" and cell.day < QUIET_UNTIL:
        return CellState.NOT_EXPECTED
    if cell.venue == "okex" and cell.data_type == "trades" and cell.day.month == 1:
        return CellState.FAILED
    if cell.venue == "deribit" and cell.data_type == "options_chain" and cell.day.year == 2023 and cell.day.day < 20:
        return CellState.PARTIAL
    return CellState.COMPLETE


def standing_coverage() -> Coverage:
    """The whole lake, nearly complete."""
    reports = {}
    for venue, data_type in ROWS:
        for day in DAYS:
            cell = Cell(day, data_type, venue)
            state = state_of(cell)
            done = {CellState.COMPLETE: 8, CellState.PARTIAL: 4}.get(state, 0)
            reports[cell] = CellReport(cell, state, expected=0 if state is CellState.NOT_EXPECTED else 8, done=done)
    counts = Counter(report.state for report in reports.values())
    return Coverage(DAYS, ROWS, reports, {venue: recorded_fleet.NOW for venue, _ in ROWS}, recorded_fleet.NOW, counts)


class StandingSession(RecordedSession):
    """Has the lake of the standing job."""

    def __init__(self) -> None:
        super().__init__()
        self.lake_of_years = standing_coverage()

    def check(self, *_asked: Any, **_how: Any) -> Coverage:
        return self.lake_of_years


REQUESTED = structs.replace(REQUEST, start=DAYS.start, end=DAYS.end)


@asynccontextmanager
async def years(size: tuple[int, int] = (80, 24)) -> AsyncIterator[tuple[Pilot[Any], CoverageScreen, Heatmap]]:
    async with console_on(StandingSession(), REQUESTED).run_test(size=size) as pilot:
        screen = await covered(pilot)
        yield pilot, screen, screen.query_one(Heatmap)


def everything_shows(heatmap: Heatmap) -> bool:
    """Whether nothing of the map has to be scrolled to."""
    return heatmap.max_scroll_x == 0 and heatmap.max_scroll_y == 0


@pytest.mark.parametrize(
    ("size", "zoom", "lines"),
    [((80, 24), "months", 8), ((120, 40), "weeks", 8), ((200, 60), "weeks", 40)],
    ids=["80x24", "120x40", "200x60"],
)
async def test_one_key_shows_all_days_and_rows_and_again_the_days_around_the_cursor(size: tuple[int, int], zoom: str, lines: int) -> None:
    async with years(size) as (pilot, _, heatmap):
        await pilot.press("home", "n")
        before = heatmap.cursor_row
        rows_before = len(heatmap.grid.lines)
        assert not everything_shows(heatmap)
        await pilot.press("z")
        await pilot.pause()
        assert everything_shows(heatmap)
        assert (heatmap.zoom, len(heatmap.grid.lines)) == (zoom, lines)
        assert heatmap.cursor_row == before
        await pilot.press("z")
        await pilot.pause()
        assert heatmap.zoom == "days"
        assert len(heatmap.grid.lines) == rows_before
        assert heatmap.cursor_row == before


async def test_from_the_whole_range_to_the_days_of_a_hole_is_two_keys() -> None:
    async with years() as (pilot, _, heatmap):
        heatmap.move_to(f"{ROWS[0][0]} {ROWS[0][1]}", date(2024, 2, 1))
        await pilot.press("z")
        while (heatmap.cursor_row or ("", None))[0] != "bybit trades":
            await pilot.press("n")
        await pilot.press("z")
        await pilot.pause()
        assert heatmap.cursor_row == ("bybit trades", HOLE.day)
        assert heatmap.zoom == "days"
        first = int(heatmap.scroll_offset.x)
        assert first < (HOLE.day - DAYS.start).days < first + heatmap.size.width - 30


async def test_a_rectangle_of_months_means_its_days_and_is_repaired_exactly() -> None:
    async with years() as (pilot, screen, heatmap):
        heatmap.move_to(f"{ROWS[0][0]} {ROWS[0][1]}", date(2024, 1, 10))
        await pilot.press("z")
        heatmap.move_to("group okex", date(2024, 1, 1))
        await pilot.press("v", "right", "v")
        marked = heatmap.marks
        assert {row for row, _ in marked} == {"okex trades"}
        assert {day for _, day in marked} == set(DayRange(date(2024, 1, 1), date(2024, 1, 31)))
        await pilot.press("z")
        await pilot.pause()
        assert heatmap.marks == marked
        await pilot.press("r")
        await until(pilot, lambda: pilot.app.current_mode == "plan")
        request = pilot.app.request  # type: ignore[attr-defined]
        assert (request.start, request.end) == (date(2024, 1, 1), date(2024, 1, 31))
        assert (request.venues, request.data_types) == (("okex",), ("trades",))
        assert screen is not None


async def test_zooming_by_steps_leaves_the_whole_range_and_a_new_size_of_the_terminal_keeps_it() -> None:
    async with years() as (pilot, _, heatmap):
        await pilot.press("z")
        await pilot.pause()
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert everything_shows(heatmap)
        assert heatmap.zoom == "weeks"
        await pilot.press("minus")
        await pilot.pause()
        assert heatmap.zoom == "months"
        assert not heatmap.is_whole


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])
def test_the_whole_range_looks_as_it_did(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[Any]) -> None:
        screen = await covered(pilot)
        await until(pilot, lambda: pilot.app.fleet.at is not None)  # type: ignore[attr-defined]
        screen.query_one(Heatmap).move_to("bybit trades", HOLE.day)
        await pilot.press("z")
        await pilot.pause()

    assert snap_compare(console_on(StandingSession(), REQUESTED), run_before=look, terminal_size=size)


async def test_a_saved_view_brings_back_how_rows_are_gathered_and_how_far_one_looks() -> None:
    async with years() as (pilot, screen, heatmap):
        await pilot.press("g", "g", "z")
        settings = screen.view_settings()
        assert settings == {"group": "type", "zoom": "whole"}
        await pilot.press("z", "g")
        await pilot.pause()
        assert screen.view_settings() == {}
        assert len(heatmap.grid.lines) == 40
        screen.apply_view(settings)
        await pilot.pause()
        assert everything_shows(heatmap)
        assert len(heatmap.grid.lines) == 5
        screen.apply_view({"zoom": "named days"})
        await pilot.pause()
        assert (heatmap.zoom, len(heatmap.grid.lines)) == ("named days", 40)
