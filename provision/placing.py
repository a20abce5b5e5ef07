"""Asking the service for the VMs of an order, and finding out what became of it.

Separate from `provision.launch`, which decides what to order: this sends orders, of launches and of replacements alike, and takes up
those that were cut off. An order makes the same request with the same request id however often it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from engine.clock import Clock, utc_now
from engine.errors import EngineError
from engine.store import Store
from provision.audit import AuditItem, write_intent, write_receipt
from provision.clients import ComputeClients
from provision.errors import GuardRefusal, cloud_errors
from provision.labels import RUN
from provision.operations import (
    Failure,
    FailureKind,
    failure_of,
    failures_of,
    is_done,
    list_events,
    merge_failures,
    repeatable,
    wait_in_region,
)
from provision.orders import (
    LaunchFailure,
    LaunchOperation,
    LaunchOrder,
    bulk_insert_request,
    read_operation,
    write_operation,
    write_order,
)
from provision.profile import Profile, require_writable
from provision.resources import list_vms, watched_zones
from provision.runs import read_drain

WAIT_SECONDS = 600.0
"""For the region's operation; after that the launch goes on by itself and the fleet shows it."""


@dataclass(frozen=True, slots=True)
class ZoneCount:
    """What became of a request in one zone."""

    created: int
    failed: int


@dataclass(frozen=True, slots=True)
class LaunchResult:
    """What became of a launch. Partial success is success of a part: the VMs that were made stay."""

    order: LaunchOrder
    status: Literal["complete", "partial", "failed", "pending", "superseded"]
    """`pending`: the service is still at it. `superseded`: somebody else's order stands under this number, nothing was asked."""
    operation: str = ""
    created: Mapping[str, str] = field(default_factory=dict)
    """VM -> zone, of those that exist."""
    missing: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    """Why VMs are missing, one for each reason and zone."""
    zones: Mapping[str, ZoneCount] = field(default_factory=dict)
    later: tuple[LaunchResult, ...] = ()
    """Further orders for what this one could not make, each with its own number. The fields above count them in."""
    audit_id: str = ""
    """Of the order's intent and receipt."""

    @property
    def last_number(self) -> int:
        """Number of the last order that was placed."""
        return max((self.order.number, *(step.order.number for step in self.later)))

    @property
    def steps(self) -> tuple[str, ...]:
        """One line for each further order: "launch 2, no capacity in asia-northeast1-a: next zone: 1 of 2 VMs"."""
        return tuple(f"launch {step.order.number}, {step.order.reason}: {step.message}" for step in self.later)

    @property
    def message(self) -> str:
        """One line: "18 of 20 VMs, 2 missing: no capacity in asia-northeast1-a"."""
        if self.status == "superseded":
            return f"launch {self.order.number} of run {self.order.run} was ordered by somebody else"
        line = f"{len(self.created)} of {len(self.order.vms)} VMs"
        causes = [f"{failure.kind} in {failure.zone}" if failure.zone else str(failure.kind) for failure in self.failures]
        reasons = ", ".join(dict.fromkeys(causes))
        return f"{line}, {len(self.missing)} missing: {reasons or 'unknown'}" if self.missing else line


def place_order(
    profile: Profile,
    clients: ComputeClients,
    state: Store,
    order: LaunchOrder,
    *,
    verb: str,
    wait_seconds: float = WAIT_SECONDS,
    clock: Clock = utc_now,
) -> LaunchResult:
    """Write an order and ask for its VMs, unless another order stands under its number. The caller has checked who may.

    The number is the lock between two consoles that want to replace the same VMs: the bucket takes one of the two orders.
    """
    items = tuple(
        AuditItem(kind="vm", name=name, why=f"{order.reason}; shards {_ranges(vm.shards)}", request_id=order.request_id)
        for name, vm in order.vms.items()
    )
    intent = write_intent(state, profile, verb, items, clock=clock, run=order.run, plan=order.plan, reason=order.reason)
    standing = write_order(state, order)
    if standing.request_id != order.request_id:
        result = LaunchResult(standing, "superseded")
    else:
        try:
            result = _ask(clients, state, order, wait_seconds, clock)
        except EngineError as error:
            write_receipt(state, intent, items, f"unknown: {error}", clock=clock)
            raise
    done = tuple(_audit_item(item, result) for item in items)
    write_receipt(state, intent, done, result.message, clock=clock)
    return replace(result, audit_id=intent.id)


def resume_launch(
    profile: Profile,
    clients: ComputeClients,
    state: Store,
    order: LaunchOrder,
    *,
    armed: bool = False,
    wait_seconds: float = WAIT_SECONDS,
    clock: Clock = utc_now,
) -> LaunchResult:
    """Take up a launch that was cut off: find its operation, or send the same request again.

    An order of a run that was drained since, or that has expired, is not sent any more.

    Raises:
        WriteRefused, CloudUnavailable: as for `launch`.
        GuardRefusal: if the run was told to stop, or the order is too old.
    """
    require_same(profile, clients, state, order)
    known = read_operation(state, order.run, order.number)
    if known is not None:
        return _known_result(order, known) if known.ended else _follow(clients, state, order, known, wait_seconds, clock)
    require_writable(profile, armed=armed)
    if clock() > order.expires:
        raise GuardRefusal(f"launch {order.number} of run {order.run} expired {order.expires:%Y-%m-%d %H:%M} UTC", hint="plan again")
    if read_drain(state, order.run) is not None:
        raise GuardRefusal(f"run {order.run} was told to stop: its launch {order.number} is not sent any more")
    return _ask(clients, state, order, wait_seconds, clock)


def _ask(clients: ComputeClients, state: Store, order: LaunchOrder, wait_seconds: float, clock: Clock) -> LaunchResult:
    from google.api_core import exceptions as google

    if order.number > 1 and read_drain(state, order.run) is not None:
        raise GuardRefusal(f"run {order.run} was told to stop: its launch {order.number} was not sent")
    with cloud_errors(f"launch {order.number} of run {order.run}"):
        try:
            operation = clients.region_instances.bulk_insert_unary(bulk_insert_request(order), **repeatable())
        except (google.BadRequest, google.Forbidden, google.NotFound, google.Conflict) as error:
            result = LaunchResult(order, "failed", missing=tuple(order.vms), failures=(failure_of(error),))
            write_operation(state, _answer(order, result, accepted=clock(), ended=clock()))
            return result
    accepted = LaunchOperation(run=order.run, number=order.number, request_id=order.request_id, operation=operation.name, accepted=clock())
    write_operation(state, accepted)
    return _follow(clients, state, order, accepted, wait_seconds, clock)


def _follow(
    clients: ComputeClients, state: Store, order: LaunchOrder, accepted: LaunchOperation, wait_seconds: float, clock: Clock
) -> LaunchResult:
    """Wait for the operation of an order, look what is there, and write down what became of it."""
    operation = wait_in_region(clients, accepted.operation, seconds=wait_seconds)
    zones = watched_zones(clients)
    created = {vm.name: vm.zone for vm in list_vms(clients, zones) if vm.name in order.vms and vm.labels.get(RUN) == order.run}
    counts = _zone_counts(operation)
    absent = frozenset(order.vms) - frozenset(created)
    failures = list(failures_of(operation))
    if absent and is_done(operation):
        # A VM that was made and is gone again is not one that was never made: its insert says which.
        for event in list_events(clients, zones, since=order.created - timedelta(minutes=5), vms=absent):
            if event.type == "insert" and event.group == operation.operation_group_id:
                if event.failure is None:
                    created[event.vm] = event.zone
                else:
                    failures.append(event.failure)
    missing = tuple(name for name in order.vms if name not in created)
    if not is_done(operation):
        return LaunchResult(order, "pending", accepted.operation, created, missing, zones=counts)
    status = status_of(created, missing)
    result = LaunchResult(order, status, accepted.operation, created, missing, merge_failures(failures), counts)
    write_operation(state, _answer(order, result, accepted=accepted.accepted, ended=clock()))
    return result


def status_of(created: Mapping[str, str], missing: Sequence[str]) -> Literal["complete", "partial", "failed"]:
    """How an order ended that made these VMs and not those."""
    if not missing:
        return "complete"
    return "partial" if created else "failed"


def _answer(order: LaunchOrder, result: LaunchResult, *, accepted: datetime, ended: datetime) -> LaunchOperation:
    return LaunchOperation(
        run=order.run,
        number=order.number,
        request_id=order.request_id,
        operation=result.operation,
        accepted=accepted,
        ended=ended,
        created=dict(result.created),
        failures=tuple(
            LaunchFailure(kind=failure.kind, code=failure.code, message=failure.message, zone=failure.zone, vms=failure.vms)
            for failure in result.failures
        ),
    )


def _known_result(order: LaunchOrder, answer: LaunchOperation) -> LaunchResult:
    missing = tuple(name for name in order.vms if name not in answer.created)
    failures = tuple(
        Failure(FailureKind(failure.kind), failure.code, failure.message, failure.zone, failure.vms) for failure in answer.failures
    )
    return LaunchResult(order, status_of(answer.created, missing), answer.operation, answer.created, missing, failures)


def _zone_counts(operation: Any) -> dict[str, ZoneCount]:
    per_location = operation.instances_bulk_insert_operation_metadata.per_location_status
    return {
        location.removeprefix("zones/"): ZoneCount(status.created_vm_count, status.failed_to_create_vm_count)
        for location, status in sorted(dict(per_location).items())
    }


def require_same(profile: Profile, clients: ComputeClients, state: Store, order: LaunchOrder) -> None:
    """Raise GuardRefusal unless an order is for the profile's project and state bucket."""
    if not order.project == profile.project == clients.project:
        raise GuardRefusal(f"this launch is for project {order.project}, the profile is for {profile.project}")
    if not order.state_bucket == profile.state == state.bucket:
        raise GuardRefusal(f"this launch is for state bucket {order.state_bucket}, the profile is for {profile.state}")


def _audit_item(item: AuditItem, result: LaunchResult) -> AuditItem:
    zone = result.created.get(item.name, "")
    why = next((failure.message for failure in result.failures if item.name in failure.vms), "")
    message = "made" if zone else why or "; ".join(failure.message for failure in result.failures)
    return AuditItem(
        kind=item.kind,
        name=item.name,
        place=zone,
        why=item.why,
        request_id=item.request_id,
        ok=bool(zone) if result.status not in ("pending", "superseded") else None,
        message=message,
    )


def _ranges(numbers: Sequence[int]) -> str:
    """`0-3,7` for (0, 1, 2, 3, 7)."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
