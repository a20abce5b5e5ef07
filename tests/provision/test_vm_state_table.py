"""Every combination of what the service lists, what the worker says and how it ended: one look, one state."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from engine.heartbeat import Heartbeat
from provision.fleet import assess
from provision.operations import VmEvent
from provision.vm_state import FleetVm, VmState
from tests.provision.made_up_fleet import NOW, ZONES, beat, local_profile, make_order, make_view, make_vm, vm_name

VM = vm_name(0)
STATUSES = ("", "PROVISIONING", "STAGING", "RUNNING", "STOPPING", "SUSPENDING", "SUSPENDED", "REPAIRING", "TERMINATED")

SAYS: dict[str, Heartbeat | None] = {
    "nothing": None,
    "works": beat(VM, progressed=NOW - timedelta(seconds=8)),
    "works in vain": beat(VM, progressed=NOW - timedelta(seconds=190)),
    "idles": beat(VM, "idle", progressed=NOW - timedelta(hours=1)),
    "waits for the source": beat(VM, "paused", progressed=NOW - timedelta(hours=1)),
    "stops": beat(VM, "stopping"),
    "was silent for a minute": beat(VM, age=60, progressed=NOW - timedelta(seconds=61)),
    "was silent for long": beat(VM, age=1500, progressed=NOW - timedelta(seconds=1501)),
    "ended 0": beat(VM, "done", exit_code=0),
    "ended 65": beat(VM, "done", exit_code=65),
    "ended 65, over its budget": beat(VM, "stopped", exit_code=65),
    "ended 69": beat(VM, "failed", exit_code=69),
    "ended 75": beat(VM, "stopped", exit_code=75),
    "ended 77": beat(VM, "failed", exit_code=77),
    "ended 78": beat(VM, "failed", exit_code=78),
}
ENDS = {
    "ended 0": VmState.DONE,
    "ended 65": VmState.DONE,
    "ended 65, over its budget": VmState.FAILED,
    "ended 69": VmState.FAILED,
    "ended 75": VmState.STOPPED,
    "ended 77": VmState.FAILED,
    "ended 78": VmState.FAILED,
}
RUNS = {
    "nothing": VmState.STUCK,
    "works": VmState.RUNNING,
    "works in vain": VmState.STUCK,
    "idles": VmState.IDLE,
    "waits for the source": VmState.RUNNING,
    "stops": VmState.STOPPING,
    "was silent for a minute": VmState.LOST,
    "was silent for long": VmState.LOST,
}
EVENTS = {
    "nothing": (),
    "preempted": ("compute.instances.preempted",),
    "preempted and deleted": ("compute.instances.preempted", "delete"),
    "host error": ("compute.instances.hostError",),
    "stopped": ("stop",),
    "deleted": ("delete",),
}


def expected(status: str, says: str, happened: str) -> VmState:
    """The rules in words of their own: the worker's last word, then the service's, then silence."""
    gone = status in ("", "TERMINATED")
    if says in ENDS:
        return VmState.PREEMPTED if gone and says == "ended 75" and "preempted" in happened else ENDS[says]
    if gone:
        if "preempted" in happened:
            return VmState.PREEMPTED
        return VmState.STOPPED if happened == "stopped" else VmState.LOST
    if status in ("STOPPING", "SUSPENDING", "SUSPENDED"):
        return VmState.STOPPING
    if status in ("PROVISIONING", "STAGING"):
        return VmState.BOOTING
    return RUNS[says]


def look(status: str, says: str, happened: str) -> FleetVm:
    heartbeat = SAYS[says]
    events = [VmEvent(VM, ZONES[0], kind, NOW - timedelta(seconds=5 - place)) for place, kind in enumerate(EVENTS[happened])]
    view = make_view([make_order(1)], heartbeats=[heartbeat] if heartbeat else [])
    snapshot = assess(NOW, local_profile(), [make_vm(VM, status)] if status else [], [view], events=events)
    found = snapshot.find(VM)
    assert found is not None
    return found


@pytest.mark.parametrize(("status", "says", "happened"), list(product(STATUSES, SAYS, EVENTS)))
def test_every_combination(status: str, says: str, happened: str) -> None:
    assert look(status, says, happened).state is expected(status, says, happened)


@pytest.mark.parametrize(
    ("heartbeat", "cause"),
    [(None, "no heartbeat"), (beat(VM, age=1500), "silent"), (beat(VM, age=60), "unknown")],
)
def test_a_vm_that_runs_without_a_word_says_since_when(heartbeat: Any, cause: str) -> None:
    view = make_view([make_order(1)], heartbeats=[heartbeat] if heartbeat else [])
    found = assess(NOW, local_profile(), [make_vm(VM)], [view]).find(VM)
    assert found is not None
    assert (found.cause, found.abandoned) == (cause, cause != "unknown")


def test_a_worker_is_seen_to_be_stuck_whatever_the_clocks_of_the_console_and_of_the_vm_say() -> None:
    for seconds, state in ((155, VmState.RUNNING), (165, VmState.STUCK)):
        for skew in (-30, 0, 30):
            written = NOW + timedelta(seconds=skew)
            said = beat(VM, age=-skew, progressed=written - timedelta(seconds=seconds))
            found = assess(NOW, local_profile(), [make_vm(VM)], [make_view([make_order(1)], heartbeats=[said])]).find(VM)
            assert found is not None
            assert found.state is state
