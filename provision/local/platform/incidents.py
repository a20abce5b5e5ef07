"""Fault switches of the platform server: what a project that was set up wrongly looks like. What each one means is here.

{"fault": "deny_permission", "permission": "compute.instances.create"}      as if the caller did not have it
{"fault": "missing_api", "service": "secretmanager.googleapis.com"}         as if the API were not enabled
{"fault": "missing_image"}, {"fault": "missing_secret"}, {"fault": "missing_account"}    as if it did not exist
{"fault": "status", "status": 503, "match": "batchGet", "count": 1}
{"fault": "build_fails"}                                                    as if the Dockerfile did not build

`match` narrows each of them to a part of the path, `count` to so many requests.
"""

from __future__ import annotations

from provision.local.faults import FaultKind, FaultSwitches
from provision.local.platform.errors import PlatformError

DENY_PERMISSION, MISSING_API, MISSING_IMAGE = "deny_permission", "missing_api", "missing_image"
MISSING_SECRET, MISSING_ACCOUNT, STATUS = "missing_secret", "missing_account", "status"
BUILD_FAILS = "build_fails"

KINDS = (
    FaultKind(DENY_PERMISSION, {"permission": str}, does="says that this permission is lacking"),
    FaultKind(MISSING_API, {"service": str}, does="says that this API is not enabled"),
    FaultKind(MISSING_IMAGE, does="says that there is no such image"),
    FaultKind(MISSING_SECRET, does="says that there is no such secret"),
    FaultKind(MISSING_ACCOUNT, does="says that there is no such service account"),
    FaultKind(STATUS, {"status": int}, {"message": str}, "answers with that HTTP status and does nothing"),
    FaultKind(BUILD_FAILS, does="ends a build with a failed step"),
)


class Incidents(FaultSwitches):
    """The armed faults, asked in the words of the platform's APIs."""

    def __init__(self) -> None:
        super().__init__(KINDS)

    def refusal(self, method: str, path: str) -> PlatformError | None:
        """The error that this request is to be answered with instead of being served."""
        fault = self.take(STATUS, method=method, target=path)
        if fault is None:
            return None
        status = int(fault.settings["status"])
        return PlatformError(status, fault.settings.get("message") or f"Injected HTTP {status}")

    def is_missing(self, kind: str, method: str, path: str) -> bool:
        """Whether what the path names is to be treated as not there; each True is one strike."""
        return self.take(kind, method=method, target=path) is not None

    def denies(self, permission: str, method: str, path: str) -> bool:
        """Whether the caller is to be treated as lacking a permission on what the path names; each True is one strike."""
        return self.take(DENY_PERMISSION, method=method, target=path, having={"permission": permission}) is not None

    def has_disabled(self, service: str, method: str, path: str) -> bool:
        """Whether an API is to be treated as not enabled; each True is one strike."""
        return self.take(MISSING_API, method=method, target=path, having={"service": service}) is not None
