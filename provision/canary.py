"""Canaries: of a large fleet two VMs start first, and the rest follows once each of them has committed a file.

What follows is in the canaries' launch order, so whoever reconciles the run next goes on with it: the console that launched may be
gone. A canary has proved itself by what is in the buckets, never by saying that it lives. If one fails for a reason that would stop
the others too, the launch stops for good: that is an object of the run, the canaries stay to be looked at, and nobody replaces them.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from engine.clock import Clock, utc_now
from engine.commit import entry_of
from engine.errors import EngineError, ExitCode, UsageError, describe_exit
from engine.launch import LaunchedVm
from engine.manifest import Summary, summarize
from engine.model import Cell, Outcome
from engine.paths import cell_prefix, launch_object, manifest_prefix, parse_data_object
from engine.plan import Plan, Work, load_plan
from engine.store import Store
from provision.audit import AuditItem, write_intent, write_receipt
from provision.clients import ComputeClients
from provision.errors import GuardRefusal
from provision.fleet import FleetSnapshot
from provision.labels import make_labels
from provision.logs import read_log_objects
from provision.orders import CanaryStop, LaunchOrder, write_canary_stop
from provision.placing import WAIT_SECONDS, LaunchResult, place_order
from provision.profile import Profile, require_writable
from provision.resources import read_serial_tail
from provision.runs import Phase, RunView
from provision.vm_state import FleetVm, VmState

ABOVE = 10
"""VMs of a launch above which canaries start first."""

CANARIES = 2

HOPELESS_EXITS = frozenset({ExitCode.USAGE, ExitCode.NOT_PERMITTED, ExitCode.CONFIGURATION})
"""Ends of a worker that another worker of the same launch would come to as well."""

ENDED_EXITS = frozenset({ExitCode.DONE, ExitCode.PARTIAL})

EVIDENCE_LINES = 3
"""How many lines of a log or a serial port a cause is made of."""


class Verdict(StrEnum):
    """What the canaries of a run say."""

    WAITING = "waiting"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CanaryVm:
    """One canary, or the VM that took its place."""

    name: str
    proof: str = ""
    """The object that proves it, or the reason why none is needed; empty: nothing yet."""
    problem: str = ""
    """Why the others would fail too; empty: nothing of the kind."""
    evidence: str = ""
    """Where the problem was read."""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Canary:
    """The canaries of a run at one moment."""

    run: str
    order: LaunchOrder
    vms: tuple[CanaryVm, ...]

    @property
    def verdict(self) -> Verdict:
        """One that failed decides; else all must have proved themselves."""
        if any(vm.problem for vm in self.vms):
            return Verdict.FAILED
        return Verdict.PASSED if all(vm.proof for vm in self.vms) else Verdict.WAITING

    @property
    def failed(self) -> CanaryVm | None:
        """The first that failed."""
        return next((vm for vm in self.vms if vm.problem), None)

    @property
    def message(self) -> str:
        """One line: "canary: 1 of 2 VMs have committed a file, 98 wait; market-data-shard-r1-1 is booting"."""
        failed = self.failed
        if failed is not None:
            return f"canary {failed.name} failed, {len(self.order.follows)} VMs are not asked for: {failed.problem}"
        proved = sum(bool(vm.proof) for vm in self.vms)
        line = f"canary: {proved} of {len(self.vms)} VMs have committed a file, {len(self.order.follows)} wait"
        open_ones = ", ".join(f"{vm.name} is {vm.state}" for vm in self.vms if not vm.proof)
        return f"{line}; {open_ones}" if open_ones else line


def split(vms: Mapping[str, LaunchedVm]) -> tuple[dict[str, LaunchedVm], dict[str, LaunchedVm]]:
    """The VMs of a launch as canaries and those that follow; nothing follows where the fleet is small."""
    if len(vms) <= ABOVE:
        return dict(vms), {}
    names = list(vms)
    return {name: vms[name] for name in names[:CANARIES]}, {name: vms[name] for name in names[CANARIES:]}


def follow_order(canary: LaunchOrder, *, number: int, now: datetime) -> LaunchOrder:
    """The order for the VMs that waited: in everything else what the canaries have tried out."""
    # The canary's own limit and grace, from now on.
    expires = now + (canary.expires - canary.created)
    return msgspec.structs.replace(
        canary,
        number=number,
        created=now,
        expires=expires,
        request_id=str(uuid.uuid4()),
        labels=make_labels(owner=canary.owner, run=canary.run, plan=canary.plan, expires=expires, keep_until=canary.keep_until),
        vms=canary.follows,
        follows={},
        after_canary=canary.number,
        reason="canary passed",
    )


def look(clients: ComputeClients, data: Store, state: Store, plan: Plan, snapshot: FleetSnapshot, view: RunView) -> Canary | None:
    """What the canaries of a run have come to; None if nothing waits for any.

    Raises:
        EngineError: if the buckets could not be read.
    """
    order = view.canary
    if order is None:
        return None
    if view.canary_stop is not None:
        stop = view.canary_stop
        return Canary(view.run, order, (CanaryVm(stop.vm, problem=stop.cause, evidence=stop.evidence),))
    ordered = state.stat(launch_object(order.run, order.number))
    # By the bucket's clock, as the times of the objects that are compared with it.
    since = ordered.updated if ordered is not None else order.created
    successors = view.replaced_by()
    vms = []
    for name, launched in order.vms.items():
        current = name
        while current in successors:
            current = successors[current]
        row = next((row for row in snapshot.of_run(view.run) if row.name == current), None)
        vms.append(_judge(clients, data, state, plan, view, launched, since, current, row))
    return Canary(view.run, order, tuple(vms))


def advance(
    profile: Profile,
    clients: ComputeClients,
    state: Store,
    snapshot: FleetSnapshot,
    view: RunView,
    *,
    armed: bool = False,
    wait_seconds: float = WAIT_SECONDS,
    clock: Clock = utc_now,
) -> tuple[Canary | None, LaunchResult | None]:
    """Ask for the rest of a launch once its canaries have proved themselves, or stop it for good once one has failed.

    Any process may do this at any time. The order's number decides between two that do it at once; a result that says `superseded`
    means that the other was faster.

    Raises:
        WriteRefused: if the profile may not write. GuardRefusal: if the run is another project's.
        EngineError: if a bucket or the service could not be reached.
    """
    require_writable(profile, armed=armed)
    order = view.canary
    if order is None or view.phase(snapshot.taken) is not Phase.RUNNING:
        return None, None
    if order.project != profile.project:
        raise GuardRefusal(f"run {view.run} is of project {order.project}, the profile is for {profile.project}")
    plan = load_plan(state, view.plan)
    canary = look(clients, state.beside(plan.data_bucket), state, plan, snapshot, view)
    assert canary is not None
    if canary.verdict is Verdict.FAILED and view.canary_stop is None:
        _stop(profile, state, canary, clock)
    if canary.verdict is not Verdict.PASSED:
        return canary, None
    following = follow_order(order, number=view.orders[-1].number + 1, now=clock())
    return canary, place_order(profile, clients, state, following, verb="launch", wait_seconds=wait_seconds, clock=clock)


def _stop(profile: Profile, state: Store, canary: Canary, clock: Clock) -> None:
    failed = canary.failed
    assert failed is not None
    item = AuditItem(kind="vm", name=failed.name, why=failed.problem)
    plan = canary.order.plan
    intent = write_intent(state, profile, "stop-launch", (item,), clock=clock, run=canary.run, plan=plan, reason=failed.problem)
    written = write_canary_stop(
        state,
        CanaryStop(
            run=canary.run,
            number=canary.order.number,
            vm=failed.name,
            cause=failed.problem,
            evidence=failed.evidence,
            who=profile.owner,
            when=clock(),
        ),
    )
    done = msgspec.structs.replace(item, ok=True, message="stopped" if written else "was stopped before")
    write_receipt(state, intent, (done,), canary.message, clock=clock)


def _judge(
    clients: ComputeClients,
    data: Store,
    state: Store,
    plan: Plan,
    view: RunView,
    launched: LaunchedVm,
    since: datetime,
    name: str,
    row: FleetVm | None,
) -> CanaryVm:
    shown = str(row.state) if row is not None else "asked for"
    problem, evidence = _problem(clients, state, view, row) if row is not None else ("", "")
    if problem:
        return CanaryVm(name, problem=problem, evidence=evidence, state=shown)
    refused, proof = _proof(data, state, plan, view, launched, since=since)
    if refused:
        return CanaryVm(name, problem=refused, evidence="manifest", state=shown)
    heartbeat = row.heartbeat if row is not None else None
    if not proof and heartbeat is not None and heartbeat.exit_code in ENDED_EXITS:
        if heartbeat.exit_code == ExitCode.DONE:
            proof = "its shards are done, and hold nothing to commit"
        else:
            cause = f"its worker ended with {describe_exit(heartbeat.exit_code)} and committed nothing"
            return CanaryVm(name, problem=_with_reason(cause, heartbeat.last_error), evidence="heartbeat", state=shown)
    return CanaryVm(name, proof=proof, state=shown)


def _problem(clients: ComputeClients, state: Store, view: RunView, row: FleetVm) -> tuple[str, str]:
    """Why the VMs that wait would fail as this one did, and where that was read; ("", "") if nothing says so."""
    heartbeat = row.heartbeat
    if heartbeat is not None and heartbeat.exit_code in HOPELESS_EXITS:
        cause = f"its worker ended with {describe_exit(heartbeat.exit_code)}"
        if heartbeat.last_error:
            return _with_reason(cause, heartbeat.last_error), "heartbeat"
        return _with_reason(cause, _last_errors(state, view.run, row.name)), "log"
    if heartbeat is None and row.state is VmState.FAILED:
        return row.note, "launch"
    # It was powered off before its worker said anything: the image, the key or the settings. A person's stop is another matter.
    if heartbeat is None and row.exists and row.status == "TERMINATED" and row.cause in ("", "unknown", "powered off"):
        return _with_reason("it powered off before its worker said anything", _last_words(clients, row)), "serial port"
    return "", ""


def _proof(data: Store, state: Store, plan: Plan, view: RunView, launched: LaunchedVm, *, since: datetime) -> tuple[str, str]:
    """(why the source refuses, object that proves a commit), from manifests and data objects of the VM's shards, in order of work."""
    for shard in launched.shards:
        if shard not in view.claims:
            continue
        for work in plan.shard(shard).work:
            manifests = _manifests(state, work.cell, view.run, shard)
            for summary in manifests:
                refused = summary.counts.get(Outcome.NOT_ENTITLED, 0)
                if refused:
                    return f"the source refuses {refused} files of {work.cell}: the key does not cover them", ""
                if summary.counts.get(Outcome.OK, 0):
                    return "", f"gs://{state.bucket}/{manifest_prefix(work.cell)} of shard {shard}"
            committed = _committed(data, work, since)
            if committed:
                return "", f"gs://{data.bucket}/{committed}"
            # Cells are worked one after another: behind the one that is open there is nothing yet.
            if all(summary.open for summary in manifests):
                break
    return "", ""


def _manifests(state: Store, cell: Cell, run: str, shard: int) -> list[Summary]:
    found = []
    for info in state.list(manifest_prefix(cell)):
        try:
            summary = summarize(info)
        except UsageError:
            continue  # somebody else's object in our folder
        if (summary.name.run, summary.name.shard) == (run, shard):
            found.append(summary)
    return found


def _committed(data: Store, work: Work, since: datetime) -> str:
    """A data object of this work that was made after the launch and still holds what was committed, or ""."""
    wanted = frozenset(work.symbols)
    for info in data.list(cell_prefix(work.cell)):
        try:
            file = parse_data_object(info.name)
        except UsageError:
            continue
        if file.symbol in wanted and info.updated >= since and entry_of(file, info) is not None:
            return info.name
    return ""


def _last_errors(state: Store, run: str, vm: str) -> str:
    try:
        entries = read_log_objects(state, run, vm, min_severity="ERROR")
    except EngineError as error:
        return f"its log could not be read: {error}"
    return "; ".join(entry.message for entry in entries[-EVIDENCE_LINES:])


def _last_words(clients: ComputeClients, row: FleetVm) -> str:
    try:
        lines = read_serial_tail(clients, row.zone, row.name).splitlines()
    except EngineError as error:
        return f"its serial port could not be read: {error}"
    ours = [line for line in lines if "tickdeck: " in line] or [line for line in lines if line.strip()]
    return "; ".join(line.strip()[:300] for line in ours[-EVIDENCE_LINES:])


def _with_reason(cause: str, reason: str) -> str:
    return f"{cause}: {reason}" if reason else cause
