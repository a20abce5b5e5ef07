"""Fault switches of the BigQuery server. What each one means is here.

{"fault": "status", "status": 503, "match": "/jobs", "count": 1}     answered instead of being executed
{"fault": "lost_reply", "method": "POST", "match": "/jobs"}          executed, then the connection closes without an answer
{"fault": "hold_jobs", "state": "RUNNING"}                           jobs stay in that state until this is disarmed
{"fault": "fail_job", "reason": "backendError", "count": 1}          a job ends with that error and changes nothing
{"fault": "lose_rows", "rows": 3, "count": 1}                        a load job drops so many rows and calls itself done

`match` of the last three narrows by the name of the job.
"""

from __future__ import annotations

from provision.local.bigquery.errors import BigQueryError
from provision.local.faults import FaultKind, FaultSwitches

STATUS, LOST_REPLY, HOLD_JOBS, FAIL_JOB, LOSE_ROWS = "status", "lost_reply", "hold_jobs", "fail_job", "lose_rows"

KINDS = (
    FaultKind(STATUS, {"status": int}, {"reason": str, "message": str}, "answers with that HTTP status and does nothing"),
    FaultKind(LOST_REPLY, does="executes, then closes the connection without an answer"),
    FaultKind(HOLD_JOBS, {"state": str}, does="keeps jobs in that state (PENDING, RUNNING) until it is disarmed"),
    FaultKind(FAIL_JOB, {"reason": str}, {"message": str}, "ends a job with that error; it changes nothing"),
    FaultKind(LOSE_ROWS, {"rows": int}, does="drops so many rows of a load job, which calls itself done"),
)

_REASONS = {400: "invalid", 403: "rateLimitExceeded", 404: "notFound", 429: "rateLimitExceeded", 500: "internalError", 502: "badGateway"}


class Incidents(FaultSwitches):
    """The armed faults, asked in BigQuery's words."""

    def __init__(self) -> None:
        super().__init__(KINDS)

    def refusal(self, method: str, path: str) -> BigQueryError | None:
        """The error that this request is to be answered with instead of being served."""
        fault = self.take(STATUS, method=method, target=path)
        if fault is None:
            return None
        status = int(fault.settings["status"])
        reason = fault.settings.get("reason") or _REASONS.get(status, "backendError")
        return BigQueryError(status, reason, fault.settings.get("message") or f"Injected HTTP {status}")

    def loses_reply(self, method: str, path: str) -> bool:
        """Whether the answer to this request gets lost."""
        return self.take(LOST_REPLY, method=method, target=path) is not None

    def holds(self, job: str, state: str) -> bool:
        """Whether a job has to stay in a state for now."""
        return self.take(HOLD_JOBS, method="", target=job, having={"state": state}) is not None

    def failure(self, job: str) -> BigQueryError | None:
        """The error that a job is to end with."""
        fault = self.take(FAIL_JOB, method="", target=job)
        return None if fault is None else BigQueryError(400, fault.settings["reason"], fault.settings.get("message") or "Injected failure")

    def lost_rows(self, job: str) -> int:
        """How many rows of a load get lost."""
        fault = self.take(LOSE_ROWS, method="", target=job)
        return 0 if fault is None else int(fault.settings["rows"])
