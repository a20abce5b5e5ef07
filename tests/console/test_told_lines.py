"""What is told in a corner of the screen, and what it may not cover."""

from __future__ import annotations

from typing import Any

import pytest
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widgets._toast import Toast

from console.screens.serial_pane import SerialPane
from console.widgets.logview import LogView
from console.widgets.totals_line import ReasonLine
from tests.console import recorded_fleet as recorded
from tests.console.fleet_session import FleetSession, console_on, in_mode, until
from tests.console.recorded import RecordedSession
from tests.console.recorded import console_on as console_on_lake

SIZES = [(80, 24), (200, 60)]


def told(pilot: Pilot[Any]) -> list[Region]:
    return [each.region for each in pilot.app.screen.query(Toast) if each.region]


@pytest.mark.parametrize("size", SIZES)
async def test_why_a_vm_is_as_it_is_stays_in_sight(size: tuple[int, int]) -> None:
    async with console_on(FleetSession(recorded.booting())).run_test(size=size, notifications=True) as pilot:
        await in_mode(pilot, "fleet")
        screen = pilot.app.screen
        await until(pilot, lambda: screen.query_one(SerialPane).has_class("-open"))
        for number in range(2):
            pilot.app.notify(f"{number}: a VM was lost, and another one is asked for in its place", title="reconcile")
        await until(
            pilot, lambda: len(told(pilot)) == 2 and all(each.bottom <= screen.query_one(ReasonLine).region.y for each in told(pilot))
        )
        await pilot.press("escape")
        await until(pilot, lambda: not screen.query_one(SerialPane).has_class("-open"))
        await until(pilot, lambda: max(each.bottom for each in told(pilot)) == screen.query_one(ReasonLine).region.y)


@pytest.mark.parametrize("size", SIZES)
async def test_the_newest_log_lines_stay_in_sight(size: tuple[int, int]) -> None:
    async with console_on(FleetSession(recorded.healthy())).run_test(size=size, notifications=True) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("3")
        await in_mode(pilot, "logs")
        pilot.app.notify("12 older lines, back to 05-23 04:00:00 UTC")
        lines = pilot.app.screen.query_one(LogView)
        await until(pilot, lambda: [lines.region.y <= each.y and each.bottom < lines.region.bottom - 5 for each in told(pilot)] == [True])


@pytest.mark.parametrize("size", SIZES)
async def test_what_a_cell_of_the_lake_is_stays_in_sight(size: tuple[int, int]) -> None:
    async with console_on_lake(RecordedSession()).run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: pilot.app.current_mode in ("fleet", "plan"))
        await pilot.press("4")
        await until(
            pilot, lambda: bool(pilot.app.screen.query("#coverage-cell")) and bool(pilot.app.screen.query_one("#coverage-cell").region)
        )
        pilot.app.notify("copied to the clipboard")
        cell = pilot.app.screen.query_one("#coverage-cell")
        await until(pilot, lambda: [each.bottom <= cell.region.y for each in told(pilot)] == [True])
