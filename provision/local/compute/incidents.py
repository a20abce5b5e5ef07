"""Fault switches of the Compute server: stockouts, lowered quotas, refused calls, slow boots. What each one means is here.

{"fault": "stockout", "zone": "asia-northeast1-a", "machine_type": "e2-highmem-8", "count": 3}   the next 3 VMs there
{"fault": "quota", "metric": "PREEMPTIBLE_CPUS", "limit": 16, "region": "asia-northeast1"}       until disarmed
{"fault": "status", "status": 503, "method": "POST", "match": "bulkInsert", "count": 1}
{"fault": "slow_boot", "seconds": 120}                                                           from STAGING to RUNNING
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provision.local.compute.errors import ComputeError
from provision.local.faults import FaultKind, FaultSwitches

STOCKOUT, QUOTA, STATUS, SLOW_BOOT = "stockout", "quota", "status", "slow_boot"

KINDS = (
    FaultKind(STOCKOUT, {"zone": str}, {"machine_type": str}, "the zone has no room for another VM (of this type)"),
    FaultKind(QUOTA, {"metric": str, "limit": float}, {"region": str}, "lowers a quota while it is armed"),
    FaultKind(STATUS, {"status": int}, {"reason": str, "message": str}, "answers with that HTTP status and does nothing"),
    FaultKind(SLOW_BOOT, {"seconds": float}, does="keeps a VM that starts so long in STAGING"),
)

_REFUSALS = {
    403: ("rateLimitExceeded", "Rate Limit Exceeded"),
    429: ("rateLimitExceeded", "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute'."),
    503: ("backendError", "Backend Error"),
}


class Incidents(FaultSwitches):
    """The armed faults, asked in the words of Compute Engine."""

    def __init__(self) -> None:
        super().__init__(KINDS)

    def arm(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Arm one fault; a stockout's zone and machine type become what it matches."""
        if order.get("fault") == STOCKOUT and order.get("zone") and not order.get("match"):
            shape = f"{order['machine_type']}/" if order.get("machine_type") else ""
            order = {**order, "match": f"zones/{order['zone']}/machineTypes/{shape}"}
        return super().arm(order)

    def stocked_out(self, zone: str, machine_type: str) -> bool:
        """True if the zone has no room for one more VM of this type; each True is one strike."""
        target = f"zones/{zone}/machineTypes/{machine_type}/"
        return self.take(STOCKOUT, method="POST", target=target) is not None

    def quota_limit(self, metric: str, region: str | None, usual: float) -> float:
        """The limit in force: of several switches for one metric the newest counts."""
        for armed in reversed(self.to_json()):
            if armed["fault"] == QUOTA and armed["metric"] == metric and armed.get("region") in {None, region}:
                return float(armed["limit"])
        return usual

    def refusal(self, method: str, path: str) -> ComputeError | None:
        """The error that this request is to be answered with instead of being served."""
        fault = self.take(STATUS, method=method, target=path)
        if fault is None:
            return None
        status = int(fault.settings["status"])
        reason, message = _REFUSALS.get(status, ("injected", f"Injected HTTP {status}"))
        return ComputeError(status, fault.settings.get("message") or message, fault.settings.get("reason") or reason)

    def boot_delay(self, instance_path: str) -> float:
        """Seconds that a VM that starts now stays in STAGING."""
        fault = self.take(SLOW_BOOT, method="POST", target=instance_path)
        return float(fault.settings["seconds"]) if fault else 0.0

    @property
    def boots_are_slow(self) -> bool:
        """False as soon as slow boots are disarmed: whoever still waits may go on."""
        return any(armed["fault"] == SLOW_BOOT for armed in self.to_json())
