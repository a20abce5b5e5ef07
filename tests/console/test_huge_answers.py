"""Answers far larger than anyone plans for: the console takes them, says what they hold, and still answers keys."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

from console.widgets.fleet_table import FleetTable
from console.widgets.heatmap import Heatmap
from console.widgets.sentence import Sentence
from engine.coverage import CellReport, Coverage
from engine.model import Cell, CellState, DayRange
from provision.fleet import FleetSnapshot
from tests.console import recorded_fleet
from tests.console.fleet_session import in_mode, until
from tests.console.recorded import RecordedSession, console_on

VMS = 2_000
DAYS = DayRange(date(2021, 1, 1), date(2021, 1, 1) + timedelta(days=1_095))
ROWS = tuple((f"venue-{number}", "trades") for number in range(100))
HOLE = Cell(date(2022, 7, 1), "trades", "venue-77")


def huge_coverage() -> Coverage:
    """Three years of 100 rows, and one hole in them."""
    reports = {
        cell: CellReport(cell, CellState.MISSING if cell == HOLE else CellState.COMPLETE, expected=5, done=0 if cell == HOLE else 5)
        for cell in (Cell(day, data_type, venue) for venue, data_type in ROWS for day in DAYS)
    }
    counts = Counter(report.state for report in reports.values())
    return Coverage(DAYS, ROWS, reports, {venue: recorded_fleet.NOW for venue, _ in ROWS}, recorded_fleet.NOW, counts)


class HugeSession(RecordedSession):
    """Everything is there a thousand times."""

    def __init__(self) -> None:
        super().__init__(live=True)
        self.vms, self.coverage_of_years = recorded_fleet.healthy(VMS), huge_coverage()

    def fleet(self, run: str = "") -> FleetSnapshot:
        return self.vms

    def check(self, *_asked: Any, **_how: Any) -> Coverage:
        return self.coverage_of_years


async def test_two_thousand_vms_and_a_hundred_thousand_cells_are_shown_and_keys_are_answered() -> None:
    async with console_on(HugeSession()).run_test(size=(120, 40)) as pilot:
        await in_mode(pilot, "fleet")
        table = pilot.app.screen.query_one(FleetTable)
        await until(pilot, lambda: len(table.rows) == VMS)
        await pilot.press("end")
        await until(pilot, lambda: table.cursor_row is table.rows[-1])
        await pilot.press("4")
        await until(pilot, lambda: pilot.app.current_mode == "coverage" and pilot.app.screen.is_mounted)
        said = pilot.app.screen.query(Sentence)
        await until(pilot, lambda: any("109,600 expected" in each.text and "1 hole" in each.text for each in said))
        await pilot.press("n")
        heatmap = pilot.app.screen.query_one(Heatmap)
        await until(pilot, lambda: heatmap.cursor is not None and heatmap.cursor[1] == HOLE.day)
