"""Long-running operations of Compute Engine: waiting for them, what their errors mean, and what they tell about lost VMs.

`operation.result()` is never used: its poller asks the real service whatever endpoint the client has. We ask the operations
client of the same profile instead, by name, so that another process can go on waiting after this one died.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from engine.clock import monotonic, parse_time
from engine.model import require_aware
from provision.clients import ComputeClients
from provision.errors import cloud_errors, is_rate_limited, reason_of

RETRY_SECONDS = 60.0
"""How long a read, or a mutation with a request id, is retried before it counts as failed."""

CALL_SECONDS = 30.0
"""Of one HTTP exchange."""

WAIT_CALL_SECONDS = 150.0
"""The service answers a wait within two minutes, done or not."""

PAGE = 500

EVENT_TYPES = (
    "compute.instances.preempted",
    "compute.instances.hostError",
    "compute.instances.guestTerminate",
    "delete",
    "stop",
    "insert",
)
"""Zone operations that explain why a VM is not there."""


class FailureKind(StrEnum):
    """What a refusal means for whoever wanted VMs."""

    STOCK_OUT = "no capacity"
    """Another zone, another machine type, or later."""
    QUOTA = "quota"
    """The project may not have as many."""
    NAME_TAKEN = "name taken"
    PERMISSION = "not permitted"
    RATE_LIMIT = "too many requests"
    BAD_REQUEST = "bad request"
    """A wrong field: a machine type, an image, an account that does not exist."""
    TOO_FEW = "too few"
    """Fewer than the least number could be made, so none was; the reasons are beside it."""
    OTHER = "other"


_KINDS: Mapping[str, FailureKind] = {
    "QUOTA_EXCEEDED": FailureKind.QUOTA,
    "quotaExceeded": FailureKind.QUOTA,
    "ZONE_RESOURCE_POOL_EXHAUSTED": FailureKind.STOCK_OUT,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": FailureKind.STOCK_OUT,
    "resourceAvailability": FailureKind.STOCK_OUT,
    "RESOURCE_ALREADY_EXISTS": FailureKind.NAME_TAKEN,
    "alreadyExists": FailureKind.NAME_TAKEN,
    "PERMISSIONS_ERROR": FailureKind.PERMISSION,
    "forbidden": FailureKind.PERMISSION,
    "insufficientPermissions": FailureKind.PERMISSION,
    "rateLimitExceeded": FailureKind.RATE_LIMIT,
    "userRateLimitExceeded": FailureKind.RATE_LIMIT,
    "RATE_LIMIT_EXCEEDED": FailureKind.RATE_LIMIT,
    "VM_MIN_COUNT_NOT_REACHED": FailureKind.TOO_FEW,
    "RESOURCE_NOT_FOUND": FailureKind.BAD_REQUEST,
    "notFound": FailureKind.BAD_REQUEST,
    "invalid": FailureKind.BAD_REQUEST,
    "required": FailureKind.BAD_REQUEST,
    "badRequest": FailureKind.BAD_REQUEST,
}

_KINDS_BY_STATUS: Mapping[int, FailureKind] = {
    400: FailureKind.BAD_REQUEST,
    403: FailureKind.PERMISSION,
    404: FailureKind.BAD_REQUEST,
    409: FailureKind.NAME_TAKEN,
    429: FailureKind.RATE_LIMIT,
}


@dataclass(frozen=True, slots=True)
class Quota:
    """The limit that a request would have passed."""

    metric: str
    limit: float
    where: str
    """A region, or `global`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something was not done, in the service's words and in ours."""

    kind: FailureKind
    code: str
    message: str
    zone: str = ""
    vms: tuple[str, ...] = ()
    """The VMs that it kept from being, where the service says which."""
    quota: Quota | None = None


@dataclass(frozen=True, slots=True)
class VmEvent:
    """Something that the service did to a VM."""

    vm: str
    zone: str
    type: str
    """One of `EVENT_TYPES`."""
    when: datetime
    user: str = ""
    group: str = ""
    """Shared by the inserts of one bulk insert."""
    vm_id: str = ""
    failure: Failure | None = None
    """Set if it did not succeed."""


def repeatable() -> dict[str, Any]:
    """Options of a call that may be repeated: a read, or a mutation that carries a request id."""
    from google.api_core.retry import Retry

    return {
        "retry": Retry(predicate=_is_transient, initial=0.3, multiplier=2.0, maximum=8.0, timeout=RETRY_SECONDS),
        "timeout": CALL_SECONDS,
    }


def wait_in_zone(clients: ComputeClients, zone: str, operation: str, *, seconds: float) -> Any:
    """The operation once it is done, or as it stands after `seconds`."""
    with cloud_errors(f"wait for {operation}"):
        return _wait(clients.zone_operations, operation, seconds, project=clients.project, zone=zone)


def wait_in_region(clients: ComputeClients, operation: str, *, seconds: float) -> Any:
    """The same for an operation of the profile's region."""
    with cloud_errors(f"wait for {operation}"):
        return _wait(clients.region_operations, operation, seconds, project=clients.project, region=clients.region)


def is_done(operation: Any) -> bool:
    """True if it has ended, well or not."""
    return str(getattr(operation.status, "name", operation.status)) == "DONE"


def failures_of(operation: Any, *, zone: str = "", vms: tuple[str, ...] = ()) -> tuple[Failure, ...]:
    """The errors of an operation; empty if it succeeded."""
    return tuple(
        Failure(_kind(error.code), error.code, " ".join(error.message.split()), zone, vms, _quota(error))
        for error in operation.error.errors
    )


def failure_of(error: BaseException) -> Failure:
    """The same for a refusal that came as the answer to a request."""
    entries = [entry for entry in getattr(error, "errors", None) or () if isinstance(entry, dict)]
    code = str(entries[0].get("reason", "")) if entries else ""
    return Failure(_kind(code, http=int(getattr(error, "code", 0) or 0)), code or type(error).__name__, reason_of(error))


def merge_failures(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """One for each kind, zone and message, with all VMs that it kept from being."""
    merged: dict[tuple[FailureKind, str, str], Failure] = {}
    for failure in failures:
        key = (failure.kind, failure.zone, failure.message)
        known = merged.get(key)
        merged[key] = failure if known is None else replace(known, vms=tuple(dict.fromkeys((*known.vms, *failure.vms))))
    return tuple(merged.values())


def list_events(
    clients: ComputeClients, zones: Sequence[str], *, since: datetime, vms: frozenset[str] | None = None
) -> tuple[VmEvent, ...]:
    """What happened to VMs since then, oldest first, from the zones' operations.

    Args:
        vms: only these; None: all.
    """
    require_aware(since)
    terms = " OR ".join(f'(operationType="{kind}")' for kind in EVENT_TYPES)

    def list_zone(zone: str) -> list[VmEvent]:
        found = []
        request = {
            "project": clients.project,
            "zone": zone,
            "filter": terms,
            "order_by": "creationTimestamp desc",
            "max_results": PAGE,
        }
        with cloud_errors(f"list the operations of {zone}"):
            for operation in clients.zone_operations.list(request, **repeatable()):
                event = _event(operation, zone)
                if event.when < since:
                    break
                if vms is None or event.vm in vms:
                    found.append(event)
        return found

    if not zones:
        return ()
    with ThreadPoolExecutor(max_workers=min(8, len(zones)), thread_name_prefix="zones") as pool:
        events = [event for found in pool.map(list_zone, zones) for event in found]
    return tuple(sorted(events, key=lambda event: event.when))


def _event(operation: Any, zone: str) -> VmEvent:
    vm = operation.target_link.rsplit("/", 1)[-1]
    failures = failures_of(operation, zone=zone, vms=(vm,))
    return VmEvent(
        vm=vm,
        zone=zone,
        type=operation.operation_type,
        when=parse_time(operation.insert_time),
        user=operation.user,
        group=operation.operation_group_id,
        vm_id=str(operation.target_id or ""),
        failure=failures[0] if failures else None,
    )


def _wait(client: Any, operation: str, seconds: float, **place: str) -> Any:
    ends = monotonic() + seconds
    options = {**repeatable(), "timeout": WAIT_CALL_SECONDS}
    while True:
        found = client.wait(operation=operation, **place, **options)
        if is_done(found) or monotonic() >= ends:
            return found


def _is_transient(error: BaseException) -> bool:
    import requests
    from google.api_core import exceptions as google

    if isinstance(error, google.MethodNotImplemented):
        return False
    if isinstance(error, google.Forbidden):
        return is_rate_limited(error)
    return isinstance(error, google.ServerError | google.TooManyRequests | requests.ConnectionError | requests.Timeout | ConnectionError)


def _kind(code: str, *, http: int = 0) -> FailureKind:
    if code in _KINDS:
        return _KINDS[code]
    by_status = {
        400: FailureKind.BAD_REQUEST,
        403: FailureKind.PERMISSION,
        404: FailureKind.BAD_REQUEST,
        409: FailureKind.NAME_TAKEN,
    }
    return by_status.get(http, FailureKind.OTHER)


def _quota(error: Any) -> Quota | None:
    for detail in error.error_details:
        info = detail.quota_info
        if info.metric_name:
            metric = info.metric_name.rsplit("/", 1)[-1].upper()
            return Quota(metric, float(info.limit), str(dict(info.dimensions).get("region", "global")))
    return None
