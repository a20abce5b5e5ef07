"""A flood of log lines through the feed and the Logs screen, counted on the far side: none is missing, none comes twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from textual.pilot import Pilot

from console.screens.logs import LogsScreen
from console.widgets.logline import Severity
from console.widgets.logview import LogView
from provision.logs import Batch, Question
from tests.console import recorded_fleet as recorded
from tests.console.fleet_session import FleetSession, console_on, in_mode, until

A_SECOND = 10_000
TEMPLATES = recorded.log_entries(500)


class FloodingSession(FleetSession):
    """Plays ten thousand lines for every second of its own clock, as fast as they are taken; a tenth of them comes half a second late."""

    def __init__(self, seconds: int) -> None:
        super().__init__(recorded.troubled())
        self.seconds = seconds
        self.view: LogView | None = None

    def second(self, number: int) -> list[Batch]:
        entries = [
            replace(
                TEMPLATES[place % len(TEMPLATES)],
                timestamp=recorded.NOW + timedelta(seconds=number, microseconds=100 * place),
                insert_id=f"{number}-{place}",
                message=f"line {number * A_SECOND + place}",
            )
            for place in range(A_SECOND)
        ]
        late = [entry for place, entry in enumerate(entries) if place % 10 == 7]
        prompt = [entry for place, entry in enumerate(entries) if place % 10 != 7]
        cut = len(late) // 2
        batches = [Batch(tuple(prompt[at : at + 450])) for at in range(0, len(prompt), 450)]
        batches.insert(len(batches) // 2, Batch(tuple(late[:cut])))
        # The end of a session repeats what the next one reads back.
        return [*batches, Batch(tuple(late[cut:])), Batch(tuple(prompt[-100:]))]

    async def follow_logs(self, question: Question) -> AsyncIterator[Batch]:
        for number in range(self.seconds):
            while self.view is None or self.view.waiting > 4 * A_SECOND:  # noqa: ASYNC110 - the view is in another loop
                await asyncio.sleep(0.001)
            for batch in self.second(number):
                yield batch
        await asyncio.Event().wait()


@pytest.mark.parametrize("seconds", [6, pytest.param(60, marks=pytest.mark.slow)])
async def test_every_line_of_a_flood_reaches_the_view_once_and_in_order(seconds: int) -> None:
    session, count = FloodingSession(seconds), seconds * A_SECOND
    async with console_on(session).run_test(size=(120, 40)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("3")
        view = await _view(pilot)
        session.view = view
        for _ in range(60 * seconds):
            if view.ring.taken >= count and not view.waiting:
                break
            await pilot.pause(0.05)
        ring = view.ring
        assert (ring.taken, len(ring), ring.let_go, view.waiting, view.gaps.all) == (count, count, 0, 0, ())
        assert ring.repeated == 100 * seconds
        numbers = [int(line.message.removeprefix("line ")) for line in ring.shown_lines()]
        assert numbers == list(range(count))
        errors = sum(entry.severity == "ERROR" for entry in TEMPLATES) * count // len(TEMPLATES)
        assert (ring.counts[Severity.ERROR], sum(ring.histogram.total)) == (errors, count)
        # Keys are answered, and the filter ends where it must.
        await pilot.press("slash", *"line", "space", *"4321", "enter")
        await until(pilot, lambda: ring.judged_share == 1)
        assert [line.message for line in ring.shown_lines()] == [f"line {number}" for number in range(count) if "4321" in str(number)]


async def _view(pilot: Pilot[Any]) -> LogView:
    await in_mode(pilot, "logs")
    screen = pilot.app.screen_stack[0]
    assert isinstance(screen, LogsScreen)
    return screen.query_one(LogView)
