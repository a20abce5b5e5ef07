"""Operations: the receipt of every mutation, by which a client learns whether and how it ended.

A request id is remembered with its operation, so a repeated request is answered by the first one's operation.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from provision.local.compute.errors import HTTP_NAMES, ComputeError, not_found
from provision.local.compute.inventory import API_ROOT
from provision.local.compute.ledger import Ledger

Json = dict[str, Any]

KEPT = timedelta(days=14)
"""How long a finished operation can be asked for, as on Google Cloud."""
RECORD = "operation"


class OperationLog:
    """Every operation of every project, in memory and in the ledger."""

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._by_path: dict[str, Json] = {}
        self._calls: dict[str, str] = {}
        self._by_request: dict[tuple[str, str], Json] = {}
        self._finished: dict[str, asyncio.Event] = {}
        oldest = (clock() - KEPT).isoformat()
        for record in ledger.all(RECORD):
            operation = record["operation"]
            if operation.get("endTime", oldest) < oldest:
                ledger.drop(RECORD, record["path"])
                continue
            self._remember(record["path"], operation, record["call"])

    def _remember(self, path: str, operation: Json, call: str) -> None:
        self._by_path[path] = operation
        self._calls[path] = call
        self._finished[path] = asyncio.Event()
        if operation["status"] == "DONE":
            self._finished[path].set()
        if operation.get("clientOperationId"):
            self._by_request[call, operation["clientOperationId"]] = operation
        self._ledger.put(RECORD, path, {"path": path, "operation": operation, "call": call})

    def _path(self, operation: Json) -> str:
        return str(operation["selfLink"]).removeprefix(API_ROOT)

    def begin(
        self,
        operation_type: str,
        *,
        project: str,
        scope: str,
        target: Json | None = None,
        target_link: str = "",
        request_id: str = "",
        call: str = "",
        group: str = "",
        user: str = "operator@tickdeck.local",
        status_message: str = "",
    ) -> Json:
        """Open an operation in `scope` ("zones/z", "regions/r" or "global"); it runs until `finish` or `fail`.

        Args:
            operation_type: e.g. "insert", "compute.instances.preempted".
            target: The resource it changes, for its id and link; `target_link` where there is no resource.
            call: The method and path of the request; with `request_id` it recognises a repeated request.
            group: Id shared by the operations of one bulk insert.
            user: Who asked; "system" is Compute Engine itself.
        """
        now = self._clock()
        number = self._ledger.next_number()
        name = f"operation-{int(now.timestamp() * 1000)}-{number:x}-{secrets.token_hex(4)}"
        path = f"projects/{project}/{scope}/operations/{name}"
        kind, _, place = scope.partition("/")
        operation: Json = {
            "kind": "compute#operation",
            "id": str(10**18 + number),
            "name": name,
            "operationType": operation_type,
            "status": "RUNNING",
            "progress": 0,
            "user": user,
            "insertTime": now.isoformat(timespec="milliseconds"),
            "startTime": now.isoformat(timespec="milliseconds"),
            "targetLink": target["selfLink"] if target else target_link,
            "selfLink": API_ROOT + path,
        }
        if place:
            operation[kind.removesuffix("s")] = f"{API_ROOT}projects/{project}/{scope}"
        if target:
            operation["targetId"] = target["id"]
        if request_id:
            operation["clientOperationId"] = request_id
        if group:
            operation["operationGroupId"] = group
        if status_message:
            operation["statusMessage"] = status_message
        self._remember(path, operation, call)
        return operation

    def annotate(self, operation: Json, **fields: Any) -> None:
        """Add fields to an operation that is under way."""
        operation.update(fields)
        path = self._path(operation)
        self._ledger.put(RECORD, path, {"path": path, "operation": operation, "call": self._calls[path]})

    def finish(self, operation: Json, errors: Sequence[ComputeError] = (), **fields: Any) -> None:
        """Close an operation: done, or failed if there are `errors`. `fields` are added to it."""
        operation.update(fields)
        operation.update(status="DONE", progress=100, endTime=self._clock().isoformat(timespec="milliseconds"))
        if errors:
            operation["error"] = {"errors": [error.operation_entry() for error in errors]}
            operation["httpErrorStatusCode"] = errors[0].status
            operation["httpErrorMessage"] = HTTP_NAMES.get(errors[0].status, "INTERNAL ERROR")
        self.annotate(operation)
        self._finished[self._path(operation)].set()

    def repeated(self, call: str, request_id: str) -> Json | None:
        """The operation that this very request already has, if any."""
        return self._by_request.get((call, request_id)) if request_id else None

    def find(self, path: str) -> Json:
        """The operation at "projects/p/zones/z/operations/o".

        Raises:
            ComputeError: 404 if there is none.
        """
        if path not in self._by_path:
            raise not_found(path)
        return self._by_path[path]

    async def wait(self, operation: Json, seconds: float) -> Json:
        """Return when it is done, or after `seconds` as it is then."""
        try:
            await asyncio.wait_for(self._finished[self._path(operation)].wait(), seconds)
        except TimeoutError:
            pass
        return operation

    def listed(self, project: str, scope: str | None = None) -> Iterator[Json]:
        """The operations of a project, in one scope or in all."""
        start = f"projects/{project}/{scope}/operations/" if scope else f"projects/{project}/"
        return (operation for path, operation in self._by_path.items() if path.startswith(start))

    def unfinished(self) -> list[Json]:
        """Operations that were under way when the server died."""
        return [operation for operation in self._by_path.values() if operation["status"] != "DONE"]
