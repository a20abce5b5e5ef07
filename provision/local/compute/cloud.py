"""Everything one server holds, and what all of its routes do first: check project and place, recognise a repeated request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from provision.local.compute.errors import ComputeError, invalid, not_found
from provision.local.compute.hypervisor import Hypervisor
from provision.local.compute.incidents import Incidents
from provision.local.compute.inventory import API_ROOT, REGIONS, ZONES
from provision.local.compute.ledger import Ledger
from provision.local.compute.machines import Machine, Resources, fingerprint
from provision.local.compute.operations import OperationLog
from provision.local.compute.quotas import Quotas
from provision.local.compute.rules import check_labels, check_request_id
from provision.local.compute.settings import ComputeSettings

Json = dict[str, Any]
Clock = Callable[[], datetime]

PROJECT_REGEX = r"(?:(?:[-a-z0-9]{1,63}\.)*(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?):)?(?:[0-9]{1,19}|(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?))"
_PROJECT = re.compile(PROJECT_REGEX)


def utc_now() -> datetime:
    """The clock of the server; tests hand in another."""
    return datetime.now(UTC)


class Cloud:
    """The parts of one server, wired."""

    def __init__(self, settings: ComputeSettings, clock: Clock = utc_now) -> None:
        settings.root.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.clock = clock
        self.ledger = Ledger(settings.root)
        self.resources = Resources(self.ledger)
        self.operations = OperationLog(self.ledger, clock)
        self.incidents = Incidents()
        self.quotas = Quotas(self.resources, self.incidents)
        self.hypervisor = Hypervisor(settings, self.ledger, self.resources, self.operations, self.incidents, clock)

    def new_id(self) -> int:
        """A uint64 that no resource has had."""
        return 5 * 10**18 + self.ledger.next_number()

    def machine(self, request: web.Request, part: str = "name") -> Machine:
        """The VM that the request's path names.

        Raises:
            ComputeError: 400 for an unknown zone, 404 for an unknown VM.
        """
        project, zone = project_of(request), zone_of(request)
        path = f"projects/{project}/zones/{zone}/instances/{request.match_info[part]}"
        if path not in self.resources.machines:
            raise not_found(path)
        return self.resources.machines[path]

    def repeated(self, request: web.Request) -> Json | None:
        """The operation that an earlier request with the same request id has made."""
        request_id = request.query.get("requestId", "")
        if request_id:
            check_request_id(request_id)
        return self.operations.repeated(call_of(request), request_id)

    def begin(self, request: web.Request, operation_type: str, scope: str, target: Json | None = None, link: str = "") -> Json:
        """Open the operation that answers this request."""
        return self.operations.begin(
            operation_type,
            project=project_of(request),
            scope=scope,
            target=target,
            target_link=link,
            request_id=request.query.get("requestId", ""),
            call=call_of(request),
        )


def call_of(request: web.Request) -> str:
    """What a request id belongs to: the same id on another method or resource is another request."""
    return f"{request.method} {request.path}"


def project_of(request: web.Request) -> str:
    """The project in the path."""
    project = request.match_info["project"]
    if not _PROJECT.fullmatch(project):
        raise invalid("project", project, f"Must be a match of regex '{PROJECT_REGEX}'")
    return project


def zone_of(request: web.Request) -> str:
    """The zone in the path."""
    zone = request.match_info["zone"]
    if zone not in ZONES:
        raise invalid("zone", zone, "Unknown zone.")
    return zone


def region_of(request: web.Request) -> str:
    """The region in the path."""
    region = request.match_info["region"]
    if region not in REGIONS:
        raise invalid("region", region, "Unknown region.")
    return region


def link_to(path: str) -> str:
    """The full link of a path."""
    return API_ROOT + path


async def body_of(request: web.Request) -> Json:
    """The JSON object in the request.

    Raises:
        ComputeError: 400 for anything else.
    """
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        raise ComputeError(400, "Invalid JSON payload received.", "parseError") from None
    if not isinstance(body, dict):
        raise ComputeError(400, "Invalid JSON payload received. Expected an object.", "parseError")
    return body


def relabelled(resource: Json, body: Json, stale: ComputeError) -> None:
    """Give a resource new labels if the fingerprint in the request is the current one.

    Raises:
        ComputeError: `stale` if it is not.
    """
    labels = check_labels(body.get("labels"), "labels")
    if body.get("labelFingerprint", "") != resource["labelFingerprint"]:
        raise stale
    resource["labels"] = labels
    resource["labelFingerprint"] = fingerprint(labels)
