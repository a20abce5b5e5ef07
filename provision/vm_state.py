"""The state of one VM, judged from what Compute Engine says, what its worker says, and what was asked for. Pure.

Kept apart from the fleet, which is the table of all of them and how it is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import structs

from engine.errors import ExitCode, describe_exit
from engine.heartbeat import Heartbeat
from provision.operations import FailureKind, VmEvent
from provision.orders import LaunchOperation
from provision.prices import cost_per_hour
from provision.profile import Profile
from provision.resources import Vm
from provision.runs import RunView

SILENT_AFTER = timedelta(seconds=35)
"""A worker whose heartbeat is older is lost: three heartbeats are missing. A person sees it within 45 s of its last word: the console
looks every five seconds."""

STUCK_AFTER = timedelta(seconds=160)
"""Without progress, or without a first heartbeat after boot. A person sees it within three minutes: up to ten seconds pass until the
worker says so, and five until the console looks."""

ABANDONED_AFTER = timedelta(minutes=10)
"""A VM that runs and whose worker said nothing for so long is given up: another one does its work."""

APPEARS_WITHIN = timedelta(minutes=2)
"""A VM that was asked for less long ago and is not listed yet is on its way."""

MADE_WITHIN = timedelta(minutes=15)
"""The service has given up or made its VMs by then; what is not listed later is lost."""

HOPELESS = frozenset({FailureKind.PERMISSION, FailureKind.BAD_REQUEST})
"""Asking again for the same VM fails again."""

SAME_BOOT = timedelta(seconds=2)
"""The host and the service may differ by this much about when a VM booted."""


class VmState(StrEnum):
    """What a person has to know of a VM first. In this order a table of them is worst first."""

    FAILED = "failed"
    """Its worker ended with an error, or it could not be made for a reason that stays."""
    STUCK = "stuck"
    """Alive, without progress for three minutes."""
    LOST = "lost"
    """Silent for 45 s, or gone with its work undone."""
    PREEMPTED = "preempted"
    """Taken away by the service; said by its own operations, never guessed."""
    STOPPED = "stopped"
    """Its worker ended before the end and can be run again, or a person stopped it."""
    STOPPING = "stopping"
    BOOTING = "booting"
    RUNNING = "running"
    IDLE = "idle"
    """Done with its own shards, watching over those of others."""
    DONE = "done"
    NOT_OURS = "not ours"


_FINAL = {"done": VmState.DONE, "stopped": VmState.STOPPED, "failed": VmState.FAILED}
_CAUSES = {
    "compute.instances.preempted": "preempted",
    "compute.instances.hostError": "host error",
    "compute.instances.guestTerminate": "powered off",
    "stop": "stopped",
    "delete": "deleted",
}
NOT_ASKED = "not asked for"
"""The cause of a VM whose launch was cut off before the service heard of it."""

UNKNOWN = "unknown"
"""The cause of a loss of which the service says nothing."""

SILENT = "silent"
"""The cause where the VM runs and its worker has not been heard for ten minutes."""

DRAINED = "drained"
"""The cause of a VM that was told, alone of its run, to take no new work."""

NO_HEARTBEAT = "no heartbeat"
"""The cause where the VM runs and no worker was ever heard on it."""


@dataclass(frozen=True, slots=True)
class FleetVm:
    """One row."""

    name: str
    state: VmState
    managed: bool
    """It carries our labels, or one of our launches asked for it."""
    run: str = ""
    plan: str = ""
    owner: str = ""
    shards: tuple[int, ...] = ()
    attempt: int = 0
    status: str = ""
    """What Compute Engine says; empty if it lists no such VM."""
    zone: str = ""
    machine_type: str = ""
    model: str = ""
    created: datetime | None = None
    vm: Vm | None = None
    """The instance; None if there is none."""
    heartbeat: Heartbeat | None = None
    """Of this boot."""
    heartbeat_age: float | None = None
    """Seconds."""
    progressed: datetime | None = None
    """When it was last seen to get on; what an earlier snapshot saw counts."""
    cause: str = ""
    """Why it was lost, stopped or not made: `preempted`, `deleted`, `no capacity`, `quota`, ..., or `unknown`."""
    note: str = ""
    """One line that explains the state."""
    files_done: int = 0
    files_total: int = 0
    progress: float = 0.0
    """Of the plan's bytes, 0..1."""
    bytes_per_second: float = 0.0
    limited_by: str = ""
    ends: datetime | None = None
    """When it should be done, from its remaining bytes and its rate."""
    last_error: str = ""
    cost: float = 0.0
    """US dollars so far, by the price table."""
    cost_per_hour: float = 0.0
    """US dollars that it costs an hour now; 0 when nothing runs on it."""
    replaced_by: str = ""
    drained: bool = False
    """It was told, alone of its run, to take no new work: nobody takes its place."""
    given_away: int = 0
    """So many of the shards that it was launched for are another VM's since the run was resized."""

    @property
    def exists(self) -> bool:
        """Compute Engine lists it."""
        return self.vm is not None

    @property
    def dead(self) -> bool:
        """Nothing runs on it: it is gone or powered off."""
        return self.vm is None or self.status == "TERMINATED"

    @property
    def abandoned(self) -> bool:
        """It runs, and nothing is expected of it any more."""
        return not self.dead and self.cause in (SILENT, NO_HEARTBEAT)

    @property
    def exit_code(self) -> int:
        """Its worker's; -1 while it lives, or if it could not say."""
        return -1 if self.heartbeat is None else self.heartbeat.exit_code


def judge_listed_vm(
    now: datetime,
    profile: Profile,
    vm: Vm,
    views: Mapping[str, RunView],
    events: Sequence[VmEvent],
    before: FleetVm | None,
) -> FleetVm:
    """The row of an instance that Compute Engine lists.

    Args:
        now: UTC.
        views: by run.
        events: what happened to VMs of this name, oldest first.
        before: its row in the last snapshot.
    """
    row = FleetVm(
        name=vm.name,
        state=VmState.NOT_OURS,
        managed=False,
        status=vm.status,
        zone=vm.zone,
        machine_type=vm.machine_type,
        model=vm.model,
        created=vm.created,
        vm=vm,
    )
    ownership = vm.ownership
    if ownership is None:
        return row
    view = views.get(ownership.run)
    row = replace(row, managed=True, run=ownership.run, plan=ownership.plan, owner=ownership.owner)
    booted = vm.started or vm.created
    if view is not None:
        row = _with_launch(row, view)
        heartbeat = view.heartbeats.get(vm.name)
        if heartbeat is not None and (booted is None or heartbeat.written > booted - SAME_BOOT):
            row = _with_heartbeat(row, heartbeat, now, before)
    hours = _hours(vm.created, row.heartbeat.written if row.heartbeat and row.dead else now)
    hourly = cost_per_hour(profile, vm.machine_type, vm.model)
    row = replace(row, cost=hours * hourly, cost_per_hour=0.0 if row.dead else hourly)
    of_this_boot = [event for event in events if booted is None or event.when > booted - SAME_BOOT]
    return _judge_owned(row, now, booted, of_this_boot, before)


def _judge_owned(row: FleetVm, now: datetime, booted: datetime | None, events: Sequence[VmEvent], before: FleetVm | None) -> FleetVm:
    heartbeat, silence = row.heartbeat, _ago(now, booted)
    ended = _judge_end(row, events, before)
    if ended is not None:
        return ended
    if row.status == "TERMINATED":
        state, cause = _cause_of_loss(events, before)
        return replace(row, state=state, cause=cause, note=f"powered off before its work was done ({cause})")
    if row.status in ("STOPPING", "SUSPENDING", "SUSPENDED"):
        return replace(row, state=VmState.STOPPING)
    if row.status in ("PROVISIONING", "STAGING"):
        return replace(row, state=VmState.BOOTING, note="waiting for a host")
    if heartbeat is None:
        if silence > STUCK_AFTER:
            cause = NO_HEARTBEAT if silence > ABANDONED_AFTER else ""
            return replace(
                row, state=VmState.STUCK, cause=cause, note=f"no heartbeat {_minutes(silence)} after boot: see its serial output"
            )
        return replace(row, state=VmState.BOOTING, note="booted, no heartbeat yet")
    age = now - heartbeat.written
    if age > SILENT_AFTER:
        cause = SILENT if age > ABANDONED_AFTER else UNKNOWN
        return replace(row, state=VmState.LOST, cause=cause, note=f"no heartbeat for {_minutes(age)}, the VM is {row.status}")
    return _judge_living(row, heartbeat, now)


def _judge_living(row: FleetVm, heartbeat: Heartbeat, now: datetime) -> FleetVm:
    match heartbeat.state:
        case "idle":
            return replace(row, state=VmState.IDLE, ends=None)
        case "stopping":
            return replace(row, state=VmState.STOPPING, note="finishing what is in flight")
        case "paused":
            limit = heartbeat.limited_by or "source"
            return replace(row, state=VmState.RUNNING, limited_by=limit, note="paused: the source refuses for a while")
    # Two times of one clock, the worker's; a heartbeat without the second is of an earlier version, and takes two looks.
    if row.drained:
        return replace(row, state=VmState.STOPPING, note="drained: finishing what is in flight")
    still = heartbeat.written - heartbeat.progressed if heartbeat.progressed else _ago(now, row.progressed)
    if still > STUCK_AFTER:
        what = f" on {heartbeat.current}" if heartbeat.current else ""
        return replace(row, state=VmState.STUCK, note=f"no progress for {_minutes(still)}{what}")
    return replace(row, state=VmState.RUNNING)


def judge_missing_vm(
    now: datetime, profile: Profile, name: str, view: RunView, events: Sequence[VmEvent], before: FleetVm | None
) -> FleetVm:
    """A VM that was asked for and is not listed."""
    order = view.find(name)
    assert order is not None
    operation = view.operations.get(order.number)
    told = next((event.zone for event in events), "") or (operation.created.get(name, "") if operation is not None else "")
    row = FleetVm(
        name=name,
        state=VmState.LOST,
        managed=True,
        run=view.run,
        plan=order.plan,
        owner=order.labels.get("td-owner", ""),
        zone=(before.zone if before else "") or told,
        machine_type=before.machine_type if before and before.machine_type else order.machine_types[0],
        model=order.provisioning_model,
        created=before.created if before else None,
    )
    row = _with_launch(row, view)
    heartbeat = view.heartbeats.get(name)
    if heartbeat is not None:
        row = _with_heartbeat(row, heartbeat, now, before)
    hours = _hours_it_ran(row, operation, events)
    row = replace(row, cost=hours * cost_per_hour(profile, row.machine_type, row.model))
    ended = _judge_end(row, events, before)
    if ended is not None:
        return ended
    done = {shard: view.claims[shard].vm for shard in row.shards if shard not in view.unfinished}
    if len(done) == len(row.shards) and set(done.values()) == {name}:
        return replace(row, state=VmState.DONE, note="its shards are done")
    seen = heartbeat is not None or (before is not None and before.exists) or (operation is not None and name in operation.created)
    if not seen and (operation is None or operation.ended is None):
        age = now - order.created
        if age < (APPEARS_WITHIN if operation is None else MADE_WITHIN):
            return replace(row, state=VmState.BOOTING, note="asked for, not listed yet")
        if operation is None:
            return replace(row, cause=NOT_ASKED, note="ordered, but the service was never asked: reconcile takes it up")
    failure = operation.failure_for(name) if operation is not None else None
    if failure is not None:
        state = VmState.FAILED if failure.kind in HOPELESS else VmState.LOST
        return replace(row, state=state, cause=failure.kind, note=f"was never made: {failure.message}", last_error=failure.message)
    state, cause = _cause_of_loss(events, before)
    if cause == UNKNOWN and row.cause == "preempted":
        state, cause = VmState.PREEMPTED, row.cause
    note = f"gone ({cause})"
    if len(done) == len(row.shards):
        note += f", its work was done by {', '.join(sorted(set(done.values())))}"
    return replace(row, state=state, cause=cause, note=note, ends=None, bytes_per_second=0.0)


def _judge_end(row: FleetVm, events: Sequence[VmEvent], before: FleetVm | None) -> FleetVm | None:
    """The state of a VM whose worker said goodbye; None if it did not."""
    heartbeat = row.heartbeat
    if heartbeat is None or (heartbeat.exit_code < 0 and heartbeat.state not in _FINAL):
        return None
    code = heartbeat.exit_code
    note = f"worker ended, {describe_exit(code)}" if code >= 0 else "worker ended"
    if heartbeat.kept_until is not None and not row.dead:
        note += f"; kept for jobs until {heartbeat.kept_until:%H:%M} UTC" + (f", at {heartbeat.current}" if heartbeat.current else "")
    if code == ExitCode.PARTIAL and heartbeat.state == "stopped":
        state, note = VmState.FAILED, "stopped: more files ended bad than --max-failures allows"
    elif row.drained and code == ExitCode.TEMPORARY:
        return replace(row, state=VmState.STOPPED, cause=DRAINED, note="drained", ends=None, bytes_per_second=0.0, limited_by="")
    elif code in (ExitCode.DONE, ExitCode.PARTIAL):
        state = VmState.DONE
    elif code >= 0:
        state = VmState.STOPPED if code == ExitCode.TEMPORARY else VmState.FAILED
    else:
        state = _FINAL[heartbeat.state]
    ended = replace(row, state=state, note=note, ends=None, bytes_per_second=0.0, limited_by="")
    if state is not VmState.STOPPED or not row.dead:
        return ended
    # A worker that was told of its preemption stops in good order; only the service says what the order was.
    lost, cause = _cause_of_loss(events, before)
    if lost is VmState.PREEMPTED or row.cause == "preempted":
        return replace(ended, state=VmState.PREEMPTED, cause="preempted")
    return replace(ended, cause=cause if cause != UNKNOWN else "")


def _cause_of_loss(events: Sequence[VmEvent], before: FleetVm | None) -> tuple[VmState, str]:
    """From the service's own operations; what an earlier look found stays found, nothing is guessed."""
    if any(event.type == "compute.instances.preempted" for event in events):
        return VmState.PREEMPTED, "preempted"
    for event in reversed(events):
        if event.type in _CAUSES and event.failure is None:
            cause = _CAUSES[event.type]
            if cause == "stopped":
                return VmState.STOPPED, cause
            return VmState.LOST, "run limit" if cause == "deleted" and event.user == "system" else cause
    if before is not None and before.cause and before.cause != UNKNOWN:
        return before.state, before.cause
    return VmState.LOST, UNKNOWN


def _with_launch(row: FleetVm, view: RunView) -> FleetVm:
    order = view.find(row.name)
    if order is None:
        return row
    launched = order.vms[row.name]
    successor = view.replaced_by().get(row.name, "")
    replacing = view.find(successor) if successor else None
    # Whoever replaced it wrote down why; the service forgets its operations, and this look may be the first.
    cause = replacing.reason if replacing is not None and replacing.reason == "preempted" else ""
    given = frozenset(shard for shard in view.given_away(row.name) if (claim := view.claims.get(shard)) is None or claim.vm != row.name)
    return replace(
        row,
        shards=tuple(shard for shard in launched.shards if shard not in given),
        attempt=launched.attempt,
        replaced_by=successor,
        cause=cause,
        drained=row.name in view.drained,
        given_away=len(given),
    )


def _with_heartbeat(row: FleetVm, heartbeat: Heartbeat, now: datetime, before: FleetVm | None) -> FleetVm:
    progressed = heartbeat.progressed or heartbeat.written
    if (
        heartbeat.progressed is None
        and before is not None
        and before.heartbeat is not None
        and _marks(before.heartbeat) == _marks(heartbeat)
    ):
        progressed = before.progressed or progressed
    heartbeat = _of_own_shards(row, heartbeat)
    rate = heartbeat.bytes_per_second
    left = max(heartbeat.bytes_total - heartbeat.bytes_done, 0)
    return replace(
        row,
        heartbeat=heartbeat,
        heartbeat_age=max((now - heartbeat.written).total_seconds(), 0.0),
        progressed=progressed,
        files_done=heartbeat.files_done,
        files_total=heartbeat.files_total,
        progress=_share(heartbeat),
        bytes_per_second=rate,
        limited_by=heartbeat.limited_by,
        ends=heartbeat.written + timedelta(seconds=left / rate) if rate > 0 and left else None,
        last_error=heartbeat.last_error,
    )


def _of_own_shards(row: FleetVm, heartbeat: Heartbeat) -> Heartbeat:
    """Its totals without the shards that a resize gave away. The worker counts them until it comes to them; shards are packed to be
    about equal, so each is taken for an equal part."""
    if not row.given_away:
        return heartbeat
    share = len(row.shards) / (len(row.shards) + row.given_away)
    return structs.replace(
        heartbeat,
        files_total=max(heartbeat.files_done, round(heartbeat.files_total * share)),
        bytes_total=max(heartbeat.bytes_done, round(heartbeat.bytes_total * share)),
    )


def _marks(heartbeat: Heartbeat) -> tuple[object, ...]:
    """What changes when a worker gets on."""
    return (
        heartbeat.started,
        heartbeat.shard,
        heartbeat.attempt,
        heartbeat.files_done,
        heartbeat.rows,
        heartbeat.source_bytes,
        heartbeat.bytes_done,
        heartbeat.state,
    )


def _share(heartbeat: Heartbeat) -> float:
    if heartbeat.bytes_total > 0:
        return min(heartbeat.bytes_done / heartbeat.bytes_total, 1.0)
    return min(heartbeat.files_done / heartbeat.files_total, 1.0) if heartbeat.files_total else 0.0


def _hours_it_ran(row: FleetVm, operation: LaunchOperation | None, events: Sequence[VmEvent]) -> float:
    """Of a VM that is gone: from when it was made, or first heard of, to when it was last heard of."""
    heartbeat = row.heartbeat
    made = operation is not None and row.name in operation.created
    began = row.created or (operation.accepted if operation is not None and made else None) or (heartbeat.started if heartbeat else None)
    heard = [event.when for event in events if event.type != "insert"] + ([heartbeat.written] if heartbeat else [])
    return _hours(began, max(heard)) if heard else 0.0


def _hours(began: datetime | None, ended: datetime) -> float:
    return max((ended - began).total_seconds(), 0.0) / 3600 if began else 0.0


def _ago(now: datetime, moment: datetime | None) -> timedelta:
    return now - moment if moment else timedelta(0)


def _minutes(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
