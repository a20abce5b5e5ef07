"""The console on a recorded incident: a demo run in which a VM was preempted, a shard was slow, and three files stayed missing.

The file is what `make tour` records, thinned by `python -m tests.tour.incident`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.app import ConsoleApp
from console.recording.replay import Replay, open_recording
from console.widgets.sentence import Sentence
from engine.errors import UsageError, one_line
from tests.console.fleet_session import until

SnapCompare = Callable[..., bool]

FILE = Path(__file__).with_name("incident.tickdeck")


def console_of(replay: Replay) -> ConsoleApp:
    return ConsoleApp(lambda _report: replay.session(), None, read_only=True, replay=replay)


async def test_the_incident_is_walked_to_its_end_and_back() -> None:
    replay = Replay(open_recording(FILE))
    async with console_of(replay).run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: pilot.app.visible_screen is not None)  # type: ignore[attr-defined]
        await pilot.press("2")
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and pilot.app.screen.is_mounted)
        for _ in range(replay.position[1]):
            await pilot.press("full_stop")
        await until(pilot, lambda: "done in" in pilot.app.screen.query_one(Sentence).text)
        assert replay.position[0] == replay.position[1]
        for _ in range(replay.position[1]):
            await pilot.press("comma")
        assert replay.position[0] == 1
        assert replay.clock() < datetime.now(UTC)


def test_whatever_the_recording_has_not_is_refused_in_words() -> None:
    session = Replay(open_recording(FILE)).session()
    with pytest.raises(UsageError) as refused:
        session.changes.propose_cleanup()
    assert "this is a recording" in one_line(refused.value)


SAID = {
    "plan": "Downloads 213 files",
    "fleet": "r1ngrw7h3y",
    "logs": "cloud-logging",
    "coverage": "81.8 % of 33 expected cells complete, 3 holes",
    "costs": "run r1ngrw7h3y",
    "audit": "the recording has no answer to this",
    "doctor": "this is a recording",
}


async def test_every_screen_says_of_the_incident_what_it_said_then_in_every_size() -> None:
    replay = Replay(open_recording(FILE))
    async with console_of(replay).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: pilot.app.visible_screen is not None)  # type: ignore[attr-defined]
        for _ in range(replay.position[1]):
            await pilot.press("full_stop")
        for size in ((80, 24), (120, 40), (200, 60)):
            await pilot.resize_terminal(*size)
            for number, (mode, said) in enumerate(SAID.items(), 1):
                await pilot.press(str(number))
                await until(pilot, lambda mode=mode: pilot.app.current_mode == mode and pilot.app.screen.is_mounted)
                await until(pilot, lambda said=said: any(said in each.text for each in pilot.app.screen.query(Sentence)))
                assert pilot.app.screen.size == size
