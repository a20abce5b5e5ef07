"""Quotas of a region and of the project: what is used, what a VM would add, and which limit that would pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from provision.local.compute.errors import ComputeError, quota_exceeded
from provision.local.compute.incidents import Incidents
from provision.local.compute.inventory import MACHINE_TYPES, PROJECT_QUOTAS, REGION_QUOTAS, ZONES, last_part
from provision.local.compute.machines import Resources

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Demand:
    """What one more VM would use."""

    cpus: int
    spot: bool
    disk_gb: int
    ssd: bool
    external_addresses: int


class Quotas:
    """Limits, as configured or as a fault switch lowers them, and their usage."""

    def __init__(self, resources: Resources, incidents: Incidents) -> None:
        self._resources = resources
        self._incidents = incidents

    def limits(self, region: str) -> dict[str, float]:
        """The limit of every metric of the region."""
        return {metric: self._incidents.quota_limit(metric, region, limit) for metric, limit in REGION_QUOTAS.items()}

    def project_limits(self) -> dict[str, float]:
        """The limits over all regions."""
        return {metric: self._incidents.quota_limit(metric, None, limit) for metric, limit in PROJECT_QUOTAS.items()}

    def _spot_metric(self, region: str) -> str:
        """Spot VMs have a quota of their own; where that is 0 they count as ordinary ones."""
        return "PREEMPTIBLE_CPUS" if self.limits(region)["PREEMPTIBLE_CPUS"] > 0 else "CPUS"

    def usage(self, project: str, region: str) -> Counter[str]:
        """What the project uses in the region now. A stopped VM keeps its disk and its place, not its CPUs."""
        used: Counter[str] = Counter()
        spot_metric = self._spot_metric(region)
        for machine in self._resources.of_project(project):
            if ZONES[machine.zone] != region:
                continue
            used["INSTANCES"] += 1
            if machine.status != "TERMINATED":
                cpus = MACHINE_TYPES[machine.machine_type].cpus
                used[spot_metric if machine.spot else "CPUS"] += cpus
                used["IN_USE_ADDRESSES"] += external_addresses(machine.resource)
        for disk in self._resources.disks.values():
            if disk["selfLink"].split("/")[-5] == project and ZONES[last_part(disk["zone"])] == region:
                used[_disk_metric(last_part(disk["type"]))] += int(disk["sizeGb"])
        for address in self._resources.addresses.values():
            if address["selfLink"].split("/")[-5] == project and last_part(address["region"]) == region:
                used["STATIC_ADDRESSES"] += 1
        return used

    def project_usage(self, project: str) -> Counter[str]:
        """CPUs in all regions together."""
        running = [machine for machine in self._resources.of_project(project) if machine.status != "TERMINATED"]
        return Counter({"CPUS_ALL_REGIONS": sum(MACHINE_TYPES[machine.machine_type].cpus for machine in running)})

    def refusal(self, project: str, region: str, demand: Demand, planned: Counter[str]) -> ComputeError | None:
        """The error if `demand` on top of the usage and of what is `planned` passes a limit; else it is added to `planned`."""
        wanted = Counter(
            {
                "INSTANCES": 1,
                self._spot_metric(region) if demand.spot else "CPUS": demand.cpus,
                "SSD_TOTAL_GB" if demand.ssd else "DISKS_TOTAL_GB": demand.disk_gb,
                "IN_USE_ADDRESSES": demand.external_addresses,
            }
        )
        used, limits = self.usage(project, region), self.limits(region)
        for metric, amount in wanted.items():
            if amount and used[metric] + planned[metric] + amount > limits[metric]:
                return quota_exceeded(metric, limits[metric], region)
        for metric, limit in self.project_limits().items():
            if self.project_usage(project)[metric] + planned[metric] + demand.cpus > limit:
                return quota_exceeded(metric, limit, None)
        planned.update(wanted)
        planned["CPUS_ALL_REGIONS"] += demand.cpus
        return None


def quota_list(limits: Mapping[str, float], usage: Counter[str]) -> list[Json]:
    """Quotas as the API shows them."""
    return [{"metric": metric, "limit": limit, "usage": float(usage[metric])} for metric, limit in limits.items()]


def external_addresses(properties: Json) -> int:
    """How many external addresses a VM has."""
    return sum(len(interface.get("accessConfigs") or ()) for interface in properties.get("networkInterfaces") or ())


def _disk_metric(disk_type: str) -> str:
    return "SSD_TOTAL_GB" if disk_type in {"pd-ssd", "pd-balanced"} else "DISKS_TOTAL_GB"


def demand_of(machine_type: str, properties: Json) -> Demand:
    """What a VM with these properties uses."""
    disk = properties["disks"][0]
    parameters = disk.get("initializeParams") or {}
    return Demand(
        cpus=MACHINE_TYPES[machine_type].cpus,
        spot=properties["scheduling"]["provisioningModel"] == "SPOT",
        disk_gb=int(parameters.get("diskSizeGb") or disk.get("diskSizeGb") or 10),
        ssd=_disk_metric(last_part(parameters.get("diskType") or "pd-standard")) == "SSD_TOTAL_GB",
        external_addresses=external_addresses(properties),
    )
