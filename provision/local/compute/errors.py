"""Google's error texts, and the two shapes they travel in: the reply to a request and the `error` of an operation.

One place, because the texts are what operators search for and what the product classifies by; the tests hold them word by word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HTTP_NAMES = {400: "BAD REQUEST", 403: "FORBIDDEN", 404: "NOT FOUND", 409: "CONFLICT", 503: "SERVICE UNAVAILABLE"}

NAME_REGEX = "(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)"


@dataclass
class ComputeError(Exception):
    """A refusal, in Google's words where Google has words for it."""

    status: int
    """HTTP status."""
    message: str
    reason: str
    """Reason of the JSON reply, e.g. "notFound"."""
    code: str = ""
    """Code in an operation's error, e.g. "QUOTA_EXCEEDED"."""
    details: tuple[dict[str, Any], ...] = ()
    """`errorDetails` of an operation's error."""
    location: tuple[str, str] | None = None
    """(location type, location), e.g. ("header", "If-Match")."""

    def __str__(self) -> str:
        return self.message

    def reply(self) -> dict[str, Any]:
        """The body of the HTTP reply."""
        entry: dict[str, Any] = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.location is not None:
            entry["locationType"], entry["location"] = self.location
        return {"error": {"code": self.status, "message": self.message, "errors": [entry]}}

    def operation_entry(self) -> dict[str, Any]:
        """One of the errors of a failed operation."""
        entry: dict[str, Any] = {"code": self.code or self.reason, "message": self.message}
        if self.details:
            entry["errorDetails"] = list(self.details)
        return entry


def not_found(path: str) -> ComputeError:
    """No such resource. `path` is e.g. "projects/p/zones/z/instances/i"."""
    return ComputeError(404, f"The resource '{path}' was not found", "notFound", "RESOURCE_NOT_FOUND")


def already_exists(path: str) -> ComputeError:
    """A second resource of the same name."""
    return ComputeError(409, f"The resource '{path}' already exists", "alreadyExists", "RESOURCE_ALREADY_EXISTS")


def not_ready(path: str) -> ComputeError:
    """The resource is in a state in which this cannot be done."""
    return ComputeError(400, f"The resource '{path}' is not ready", "resourceNotReady", "RESOURCE_NOT_READY")


def in_use(kind: str, path: str, user: str) -> ComputeError:
    """A disk or an address that a VM still holds cannot be deleted."""
    return ComputeError(
        400,
        f"The {kind} resource '{path}' is already being used by '{user}'",
        "resourceInUseByAnotherResource",
        "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE",
    )


def required(field: str) -> ComputeError:
    """A field that must be there."""
    return ComputeError(400, f"Required field '{field}' not specified", "required")


def invalid(field: str, value: object, why: str) -> ComputeError:
    """A field whose value is not allowed, and why."""
    return ComputeError(400, f"Invalid value for field '{field}': '{value}'. {why}", "invalid")


def bad_name(field: str, value: str) -> ComputeError:
    """A name that is no RFC 1035 label of at most 63 characters."""
    return invalid(field, value, f"Must be a match of regex '{NAME_REGEX}'")


def stale_labels() -> ComputeError:
    """The label fingerprint is not the current one."""
    return ComputeError(
        412,
        "Labels fingerprint either invalid or resource labels have changed",
        "conditionNotMet",
        location=("header", "If-Match"),
    )


def stale_metadata() -> ComputeError:
    """The metadata fingerprint is not the current one."""
    return ComputeError(
        412,
        "Supplied fingerprint does not match current metadata fingerprint.",
        "conditionNotMet",
        location=("header", "If-Match"),
    )


def not_implemented(what: str) -> ComputeError:
    """Something real that this server does not do. It says so instead of pretending."""
    return ComputeError(501, f"The local Compute server does not implement {what}", "notImplemented")


def stockout(project: str, zone: str, machine_type: str) -> ComputeError:
    """The zone has no room for this machine type."""
    troubleshooting = "https://cloud.google.com/compute/docs/resource-error"
    return ComputeError(
        503,
        f"The zone 'projects/{project}/zones/{zone}' does not have enough resources available to fulfill the request.  "
        "Try a different zone, or try again later.",
        "resourceAvailability",
        "ZONE_RESOURCE_POOL_EXHAUSTED",
        details=(
            {"help": {"links": [{"description": "Troubleshooting documentation", "url": troubleshooting}]}},
            {
                "localizedMessage": {
                    "locale": "en-US",
                    "message": f"A {machine_type} VM instance is currently unavailable in the {zone} zone. "
                    "Alternatively, you can try your request again with a different VM hardware configuration or at a "
                    "later time. For more information, see the troubleshooting documentation.",
                }
            },
            {
                "errorInfo": {
                    "reason": "resource_availability",
                    "domain": "compute.googleapis.com",
                    "metadatas": {"vmType": machine_type, "zone": zone, "zonesAvailable": "", "attachment": ""},
                }
            },
        ),
    )


def quota_exceeded(metric: str, limit: float, region: str | None) -> ComputeError:
    """The project's limit for `metric` in `region` (None: in all regions together) would be passed."""
    where = f"in region {region}" if region else "globally"
    scope = "region" if region else "all-regions"
    quota = {
        "metricName": f"compute.googleapis.com/{metric.lower()}",
        "limitName": f"{metric.replace('_', '-')}-per-project-{scope}",
        "dimensions": {"region": region or "global"},
        "limit": limit,
    }
    return ComputeError(
        403,
        f"Quota '{metric}' exceeded.  Limit: {limit:.1f} {where}.",
        "quotaExceeded",
        "QUOTA_EXCEEDED",
        details=({"quotaInfo": quota},),
    )


def too_few_created(minimum: int) -> ComputeError:
    """A bulk insert that could not make the least number asked for, and therefore made none."""
    return ComputeError(
        503, f"Requested minimum count of {minimum} VMs could not be created.", "minCountNotReached", "VM_MIN_COUNT_NOT_REACHED"
    )
