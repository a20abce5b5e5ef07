"""The console on a real local cloud over the wire, whose servers refuse, fail, die and come back. It never exits, blanks or freezes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest
from textual.pilot import Pilot

from console.app import ConsoleApp
from console.modes import MODES
from console.session import Session, open_session
from console.state import Feed
from console.widgets.status_bar import StatusBar
from console.widgets.trouble_line import TroubleLine
from provision.local import cloud as local_cloud
from provision.local.serving import FAULTS_PATH
from tests.console.fleet_session import until


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session on a cloud of its own."""
    root = tmp_path_factory.mktemp("local")
    session = open_session("local", root=root, scenario="tiny")
    try:
        yield session
    finally:
        local_cloud.down(root)


def strike(session: Session, service: str, fault: str, **settings: Any) -> None:
    assert session.cloud is not None
    local_cloud.call(session.cloud, service, FAULTS_PATH, {"fault": fault, **settings})


def calm(session: Session, service: str) -> None:
    assert session.cloud is not None
    local_cloud.call(session.cloud, service, FAULTS_PATH, method="DELETE")


def kill(session: Session) -> None:
    """Every process of the cloud, as a machine that loses power does."""
    assert session.cloud is not None
    supervisor = psutil.Process(session.cloud.state.pid)
    for process in (supervisor, *supervisor.children(recursive=True)):
        with suppress(psutil.Error):
            process.kill()
    supervisor.wait(30)


def line(pilot: Pilot[Any]) -> str:
    return pilot.app.screen.query_one(TroubleLine).text


def fleet(pilot: Pilot[Any]) -> Feed[Any]:
    feed: Feed[Any] = pilot.app.fleet  # type: ignore[attr-defined]
    return feed


async def shown(pilot: Pilot[Any], key: str, mode: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: pilot.app.current_mode == mode and pilot.app.screen.is_mounted)
    await pilot.pause()


async def test_whatever_happens_to_its_cloud_the_console_stays_says_why_and_comes_back(session: Session) -> None:
    assert session.cloud is not None
    root = session.cloud.root
    async with ConsoleApp(lambda _report: session).run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: pilot.app.current_mode == "plan" and pilot.app.screen.is_mounted)
        await shown(pilot, "2", "fleet")
        await until(pilot, lambda: fleet(pilot).at is not None)
        seen = fleet(pilot).value

        strike(session, "compute", "status", status=401, reason="authError", message="Request had invalid authentication credentials")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: fleet(pilot).is_down)
        await until(pilot, lambda: line(pilot).startswith("× fleet: "))
        assert "gcloud auth application-default login" in line(pilot)
        assert "not permitted" in pilot.app.screen.query_one(StatusBar).text
        assert fleet(pilot).value is not None, "the last data stays"
        calm(session, "compute")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: line(pilot) == "")

        strike(session, "compute", "status", status=503, message="The service is currently unavailable")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "no link" in pilot.app.screen.query_one(StatusBar).text)
        await pilot.press("X")
        await until(pilot, lambda: any("is off: no link to fleet" in each.message for each in pilot.app._notifications))
        calm(session, "compute")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: line(pilot) == "")

        kill(session)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: fleet(pilot).is_down)
        assert fleet(pilot).value is not None
        for mode, row in MODES.items():
            await shown(pilot, row.key, mode.value)
            await until(pilot, lambda: line(pilot).startswith("×"))
            await pilot.resize_terminal(40, 12)
            await pilot.pause()
            await pilot.resize_terminal(100, 30)
            await pilot.pause()
        assert pilot.app.is_running

        local_cloud.up(root, scenario="tiny")
        await shown(pilot, "2", "fleet")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: not fleet(pilot).is_down)
        await until(pilot, lambda: line(pilot) == "")
        assert {vm.name for vm in fleet(pilot).value.vms} == {vm.name for vm in seen.vms}
