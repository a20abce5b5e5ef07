"""The recorded incident as a session: at one of its moments, and with the questions that a person could answer then.

A recording changes nothing, so its console asks nothing either. For pictures of the questions the session here may write: what
would be done is proposed by provision itself from the recorded fleet, and only its carrying out is made up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from console.app import ConsoleApp
from console.recording.replay import Replay, open_recording
from console.session.planning import Planning
from provision.fleet import FleetSnapshot
from provision.vm_state import VmState
from tests.console.fleet_session import FleetSession

FILE = Path(__file__).with_name("incident.tickdeck")


def at_the_start() -> Replay:
    """Before anything was launched."""
    return Replay(open_recording(FILE))


def at_the_end() -> Replay:
    """After the repair."""
    replay = at_the_start()
    replay.move(len(replay.steps))
    return replay


def at_the_preemption() -> Replay:
    """A VM is gone, the others go on.

    Raises:
        AssertionError: if none is, at any moment.
    """
    replay = at_the_start()
    while not any(vm.state is VmState.PREEMPTED for vm in look(replay).vms):
        assert replay.move(1), "in the recorded incident a VM is preempted"
    return replay


def before_the_cleanup() -> Replay:
    """All is done, and VMs are left."""
    replay = at_the_end()
    while not any(vm.vm is not None for vm in look(replay).vms):
        assert replay.move(-1), "in the recorded incident VMs are cleaned up"
    return replay


def look(replay: Replay) -> FleetSnapshot:
    """The fleet at its moment."""
    snapshot: FleetSnapshot = replay.session().watching.fleet()
    return snapshot


def console_of(replay: Replay, *, writes: bool = False) -> ConsoleApp:
    """The console on it.

    Args:
        writes: whether the person may change something, and is asked.
    """
    if not writes:
        return ConsoleApp(lambda _report: replay.session(), None, read_only=True, replay=replay)

    def opener(_report: Callable[[str, str], None]) -> Any:
        session: Any = replay.session()
        session.profile = replace(session.profile, read_only=False)
        session.healing = SimpleNamespace(holder=session.healing.holder, reconcile=lambda _run: "")
        session.changes = FleetSession(look(replay))
        session.changes.profile = session.profile
        # A receipt stays on the screen where something was not done.
        session.changes.failing = {look(replay).vms[-2].name: "503 The service is currently unavailable"}
        session.planning = _Planning(session)
        return session

    return ConsoleApp(opener, None, replay=replay)


class _Planning:
    """What was recorded of plans, and with what they would be carried out."""

    def __init__(self, session: Any) -> None:
        self._recorded = session.planning
        self.means = Planning(session).means

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recorded, name)
