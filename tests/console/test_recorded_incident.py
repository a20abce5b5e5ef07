"""The console on a recorded incident: a demo run in which a VM was preempted, a shard was slow, and three files stayed missing.

`python -m tests.tour.incident` records it anew. Every screen there is has its pictures of it here, in three sizes.
"""

from __future__ import annotations

import pkgutil
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

import console.screens
import console.widgets
from console.app import ConsoleApp
from console.log_gaps import SUPPRESSED, Gap
from console.modes import MODES
from console.recording.replay import Replay
from console.screens.ask_number import AskNumberScreen
from console.screens.audit import AuditScreen
from console.screens.cell import CellScreen
from console.screens.choose import ChooseScreen
from console.screens.command import CommandScreen
from console.screens.costs import CostsScreen
from console.screens.coverage import CoverageScreen
from console.screens.custom_command import OutputScreen
from console.screens.deed import DeedScreen
from console.screens.doctor import DoctorScreen
from console.screens.export import ExportScreen
from console.screens.fleet import FleetScreen
from console.screens.gaps import GapScreen
from console.screens.help import HelpScreen
from console.screens.logs import LogsScreen
from console.screens.plan import PlanScreen
from console.screens.plan_slice import SliceScreen
from console.screens.reason import ReasonScreen
from console.screens.run_cost import RunCostScreen
from console.screens.saved_plans import SavedPlansScreen
from console.screens.skip_checks import SkipChecksScreen
from console.screens.starting import StartingScreen
from console.screens.themes import ThemeScreen
from console.screens.timeline import TimelineScreen
from console.screens.vm import VmScreen
from console.screens.what_if import WhatIfScreen
from console.widgets.confirm import ConfirmMany, ConfirmOne
from console.widgets.detail import DetailScreen
from console.widgets.sentence import Sentence
from engine.doctor.finding import bad
from engine.errors import ExitCode, UsageError, one_line
from tests.console.conftest import Differing
from tests.console.fleet_session import StartingConsole, settled, text_of, until
from tests.console.incident_session import at_the_end, at_the_preemption, at_the_start, before_the_cleanup, console_of

SIZES = ((80, 24), (120, 40), (200, 60))


@dataclass(frozen=True)
class Way:
    """How one comes to a screen, and what is on it then."""

    keys: tuple[str, ...]
    """`=text` is typed as it is, `{count}` is the number that a question asks for."""
    shown: str
    """A regular expression; before it is found nothing is pictured."""
    moment: Callable[[], Replay] = at_the_end
    writes: bool = False
    """As one who may change something."""
    push: Callable[[ConsoleApp], Screen[Any]] | None = None
    """Makes the screen: for what the incident has no occasion for."""


def _gaps(app: ConsoleApp) -> Screen[Any]:
    now = app.clock()
    ago = timedelta(seconds=40)
    return GapScreen([(Gap(now - ago, now, 812, SUPPRESSED), "tickdeck logs --since 05:36:00 --until 05:36:40 --lines 812")])


def _skipped(_app: ConsoleApp) -> Screen[Any]:
    wrong = bad("quota", "CPUS in asia-northeast1: 2 of 4 VMs fit", "launch 2 VMs: --vms 2", ExitCode.CONFIGURATION)
    return SkipChecksScreen("1 check of the launch fails", [wrong], "It would ask for 4 VMs: free.")


def _output(_app: ConsoleApp) -> Screen[Any]:
    return OutputScreen("gcloud compute instances list: exit code 1", "ERROR: (gcloud) no account is active\n" * 3)


WAYS: dict[type[Screen[Any]], dict[str, Way]] = {
    PlanScreen: {
        "plan": Way(("1",), r"Downloads 213 files.*shard \d ends last|Downloads 213 files(.*\d){4}", at_the_start),
        "plan what if": Way(("1", "w"), "by-instrument", at_the_end),
        "plan checks": Way(("1", "f"), "the local cloud asks for none", at_the_end),
    },
    FleetScreen: {
        "fleet at the preemption": Way(("2",), "preempted", at_the_preemption),
        "fleet at the end": Way(("2",), "done in"),
    },
    LogsScreen: {"logs": Way(("3",), r"1\s*03:46:44.*63 lines · 1 error")},
    CoverageScreen: {"coverage": Way(("4", "n"), "81.8 % of 33 expected cells complete, 3 holes")},
    CostsScreen: {"costs": Way(("5",), r"run r1\w+.*launch|r1\w{8}")},
    AuditScreen: {"audit": Way(("6",), "launch")},
    DoctorScreen: {"doctor": Way(("7",), r"All \d+ checks|checks want a look|to mend")},
    HelpScreen: {"help": Way(("2", "question_mark"), "search, in all screens")},
    CommandScreen: {"command": Way(("2", "colon", "=c"), "coverage")},
    ExportScreen: {"export": Way(("6", "e"), "csv")},
    ThemeScreen: {"themes": Way(("2", "ctrl+t"), "high-contrast")},
    ChooseScreen: {"runs": Way(("2", "r"), "r1")},
    VmScreen: {"vm": Way(("2", "g", "enter"), "last files · \\d+ files", at_the_preemption)},
    TimelineScreen: {"timeline": Way(("2", "t"), "Since the launch", at_the_preemption)},
    CellScreen: {"cell": Way(("4", "n", "N", "enter"), "Outcome")},
    SavedPlansScreen: {"kept plans": Way(("1", "O"), "1 kept plan")},
    RunCostScreen: {"bill": Way(("5", "enter"), "Came to")},
    WhatIfScreen: {"other fleets": Way(("5", "w"), "local-1")},
    DetailScreen: {"a change": Way(("6", "enter"), "launch")},
    SliceScreen: {"slice": Way(("1", "z"), "shards", writes=True)},
    AskNumberScreen: {"resize": Way(("2", "w"), "Resize run", at_the_preemption, writes=True)},
    ReasonScreen: {"waive": Way(("4", "n", "N", "enter", "w"), "Why will the source", writes=True)},
    ConfirmOne: {"delete": Way(("2", "x"), "[Dd]elete", at_the_preemption, writes=True)},
    ConfirmMany: {"cleanup": Way(("2", "X"), r"Type \d+ and Enter", before_the_cleanup, writes=True)},
    DeedScreen: {"receipt": Way(("2", "X", "{count}", "enter"), "503 The service", before_the_cleanup, writes=True)},
    GapScreen: {"lines missing": Way(("3",), "63 lines · 1 error.*812", push=_gaps)},
    SkipChecksScreen: {"skip checks": Way(("1",), "quota", push=_skipped)},
    OutputScreen: {"own command": Way(("2",), "no account is active", push=_output)},
}
PICTURES = [pytest.param(kind, way, id=name.replace(" ", "-")) for kind, ways in WAYS.items() for name, way in ways.items()]


def screens() -> Iterator[type[Screen[Any]]]:
    """All there are but those that only others are made of."""
    for package in (console.screens, console.widgets):
        for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for found in vars(import_module(each.name)).values():
                if isinstance(found, type) and issubclass(found, Screen) and found.__module__ == each.name:
                    yield found


def test_every_screen_there_is_has_its_pictures_of_the_incident() -> None:
    found = set(screens())
    bases = {base for screen in found for base in screen.__mro__[1:]}
    assert found - bases == set(WAYS) | {StartingScreen}
    assert {pkgutil.resolve_name(row.screen) for row in MODES.values()} <= set(WAYS)


async def go(pilot: Pilot[Any], kind: type[Screen[Any]], way: Way) -> None:
    """Type the keys, each when the screen before it is there."""
    app: Any = pilot.app
    await until(pilot, lambda: app.visible_screen is not None and app.screen.is_mounted and app.fleet.at is not None)
    for key in way.keys:
        asked = re.search(r"Type (\d+) and Enter", text_of(app))
        await pilot.press(*(key.replace("{count}", asked[1] if asked else "").removeprefix("=") if key[0] in "={" else (key,)))
        await settled(pilot)
    if way.push is not None:
        app.push_screen(way.push(app))
    await until(pilot, lambda: isinstance(app.screen, kind) and app.screen.is_mounted)
    await until(pilot, lambda: bool(re.search(way.shown, text_of(app), re.DOTALL)))
    await settled(pilot)
    app.clear_notifications()
    await pilot.pause()


@pytest.mark.parametrize(("kind", "way"), PICTURES)
async def test_the_incident_looks_as_it_did(differing: Differing, kind: type[Screen[Any]], way: Way) -> None:
    async with console_of(way.moment(), writes=way.writes).run_test(size=SIZES[0]) as pilot:
        await go(pilot, kind, way)
        found = []
        for size in SIZES:
            pilot.app.clear_notifications()  # What happens to the fleet is told whenever it is seen, and that may be now.
            found += await differing(pilot, [size])
        assert found == []


async def test_the_start_looks_as_it_did(differing: Differing) -> None:
    is_pictured = threading.Event()

    def opener(report: Callable[[str, str], None]) -> Any:
        for name in ("bucket server", "log server"):
            report(name, "running")
            report(name, "done")
        report("compute server", "running")
        is_pictured.wait()
        return at_the_start().session()

    async with StartingConsole(opener, replay=at_the_start()).run_test(size=SIZES[0]) as pilot:
        await until(pilot, lambda: "compute server" in text_of(pilot.app))
        report = await differing(pilot, SIZES)
        is_pictured.set()
    assert report == []


async def test_a_start_that_ends_while_one_leaves_shows_no_screen() -> None:
    is_leaving = threading.Event()

    def opener(report: Callable[[str, str], None]) -> Any:
        report("compute server", "running")
        is_leaving.wait()
        return at_the_start().session()

    class LeavingConsole(StartingConsole):
        async def _close_all(self) -> None:
            is_leaving.set()
            await self.workers.wait_for_complete([worker for worker in self.workers if worker.group == "open"])
            await super()._close_all()

    console = LeavingConsole(opener, replay=at_the_start())
    async with console.run_test() as pilot:
        await until(pilot, lambda: "compute server" in text_of(pilot.app))
    assert not console.is_open


async def test_the_incident_is_walked_to_its_end_and_back() -> None:
    replay = at_the_start()
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
    session = at_the_end().session()
    with pytest.raises(UsageError) as refused:
        session.changes.propose_cleanup()
    assert "this is a recording" in one_line(refused.value)
