"""Pictures of what can be wrong: each names the reason and the next step, keeps what was seen, and says what is off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from textual.pilot import Pilot

from console.widgets.trouble_line import TroubleLine
from engine.errors import NotPermitted
from provision.errors import CloudUnavailable
from tests.console import recorded_fleet
from tests.console.fleet_session import until
from tests.console.recorded import RecordedSession, console_on

SnapCompare = Callable[..., bool]

NO_LINK = CloudUnavailable("list the VMs of asia-northeast1-a: connection refused", hint="check the network, then run again")
EXPIRED = NotPermitted("list the VMs of asia-northeast1-a: Reauthentication is needed", hint="run: gcloud auth application-default login")
DENIED = NotPermitted(
    "gs://market-data-tick-state/manifests/: 403 storage.objects.list", hint="let this account create, get and list objects"
)


@dataclass(frozen=True)
class Failure:
    """A state, and how one gets into it."""

    key: str
    """Of the screen."""
    live: bool = True
    fleet: Exception | None = None
    """What the second look at the fleet raises."""
    coverage: Exception | None = None
    lease: bool = False


FAILURES = {
    "link down": Failure("2", fleet=NO_LINK),
    "link down in plan": Failure("1", live=False, fleet=NO_LINK),
    "credentials expired": Failure("2", fleet=EXPIRED),
    "permission denied": Failure("4", live=False, coverage=DENIED),
    "empty project": Failure("2", live=False),
    "lease of another": Failure("2", lease=True),
}
PICTURES = [
    *((name, (80, 24)) for name in FAILURES),
    ("link down", (120, 40)),
    ("link down", (200, 60)),
    ("lease of another", (200, 60)),
]


async def get_into(failure: Failure, session: RecordedSession, pilot: Pilot[Any]) -> None:
    app: Any = pilot.app
    await until(pilot, lambda: app.is_open and app.screen.is_mounted and app.fleet.at is not None)
    await pilot.press(failure.key)
    await until(pilot, lambda: app.visible_screen is not None and app.screen.is_mounted)
    if failure.coverage is not None:
        await until(pilot, lambda: app.coverage.at is not None)
        error = failure.coverage

        def refuse(*_question: Any, **_more: Any) -> Any:
            raise error

        session.check = refuse  # type: ignore[method-assign]
    if failure.fleet is not None:
        session.snapshot = failure.fleet
    if failure.fleet is not None or failure.coverage is not None:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.screen.query_one(TroubleLine).text != "")
    app.clear_notifications()
    await pilot.pause()


@pytest.mark.parametrize(
    ("name", "size"), PICTURES, ids=[f"{name.replace(' ', '-')}-{width}x{height}" for name, (width, height) in PICTURES]
)
def test_what_is_wrong_looks_as_it_did(snap_compare: SnapCompare, name: str, size: tuple[int, int]) -> None:
    failure = FAILURES[name]
    session = RecordedSession(live=failure.live)
    if failure.lease:
        session.snapshot = recorded_fleet.leased_by_another()

    async def prepare(pilot: Pilot[Any]) -> None:
        await get_into(failure, session, pilot)

    assert snap_compare(console_on(session), run_before=prepare, terminal_size=size)


@pytest.mark.parametrize("name", ["link down", "permission denied"])
async def test_every_screen_lives_through_a_terminal_of_40_by_12_and_back(name: str) -> None:
    failure = FAILURES[name]
    session = RecordedSession(live=failure.live)
    async with console_on(session).run_test(size=(120, 40)) as pilot:
        app: Any = pilot.app
        await get_into(failure, session, pilot)
        for key in "1234567":
            await pilot.press(key)
            await pilot.pause()
            for size in ((40, 12), (120, 40)):
                await pilot.resize_terminal(*size)
                await pilot.pause()
        assert app.is_running
        assert (app.size.width, app.size.height) == (120, 40)
