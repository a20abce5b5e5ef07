"""Quotas against need: what a fleet would use of each metric, what is free, and how many VMs fit.

Reading them is one call to the region and one to the project, each made once; the arithmetic is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import NotPermitted
from provision.errors import CloudRefused, cloud_errors

if TYPE_CHECKING:
    from provision.clients import ComputeClients

ONCE: Mapping[str, Any] = {"retry": None, "timeout": 8.0}
"""Options of a call that is made once: whoever asks about quotas wants to know now."""

SSD_DISKS = frozenset({"pd-balanced", "pd-ssd"})
"""Disk types that count in SSD_TOTAL_GB; the others count in DISKS_TOTAL_GB."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The VMs that somebody wants to launch."""

    vms: int
    machine_types: tuple[str, ...]
    """Ranked."""
    model: str
    """SPOT or STANDARD."""
    disk_gb: int
    disk_type: str
    external_ip: bool


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit and how much of it is used."""

    metric: str
    limit: float
    usage: float
    where: str
    """A region, or `all regions`."""

    @property
    def free(self) -> float:
        """What is left; never below 0."""
        return max(0.0, self.limit - self.usage)


@dataclass(frozen=True, slots=True)
class Use:
    """What a fleet would use of one quota."""

    quota: Quota
    per_vm: float
    vms: int

    @property
    def needed(self) -> float:
        """Of all its VMs."""
        return self.per_vm * self.vms

    @property
    def fitting(self) -> int:
        """How many such VMs there is room for."""
        return int(self.quota.free // self.per_vm)

    @property
    def is_short(self) -> bool:
        """Whether the fleet does not fit."""
        return self.needed > self.quota.free

    def __str__(self) -> str:
        """`PREEMPTIBLE_CPUS in asia-northeast1: 800 needed, 160 of 1000 free`."""
        return f"{self.quota.metric} in {self.quota.where}: {self.needed:g} needed, {self.quota.free:g} of {self.quota.limit:g} free"


@dataclass(frozen=True, slots=True)
class Region:
    """A region as the service describes it now."""

    zones: tuple[str, ...]
    quotas: tuple[Quota, ...]


def read_region(clients: ComputeClients) -> Region:
    """The profile's region: its zones in order of name, and its quotas.

    Raises:
        CloudUnavailable, NotPermitted, CloudRefused: from `cloud_errors`.
    """
    with cloud_errors(f"read region {clients.region}"):
        region = clients.regions.get(project=clients.project, region=clients.region, **ONCE)
    zones = sorted(link.rstrip("/").rpartition("/")[2] for link in region.zones)
    return Region(tuple(zones), tuple(Quota(item.metric, item.limit, item.usage, clients.region) for item in region.quotas))


def read_project_quotas(clients: ComputeClients) -> tuple[Quota, ...]:
    """The quotas over all regions; none where they may not be read, for those of the region are what usually runs out.

    Raises:
        CloudUnavailable: from `cloud_errors`.
    """
    try:
        with cloud_errors(f"read project {clients.project}"):
            project = clients.projects.get(project=clients.project, **ONCE)
    except (NotPermitted, CloudRefused):
        return ()
    return tuple(Quota(item.metric, item.limit, item.usage, "all regions") for item in project.quotas)


def compare(fleet: Fleet, quotas: Iterable[Quota], cpus: Mapping[str, int]) -> tuple[Use, ...]:
    """What the fleet would use of each quota that it counts in.

    Spot CPUs have a quota of their own; where that is 0 they count as ordinary ones. Families with a quota of their own
    (`N2_CPUS`) count there and not in CPUS.

    Args:
        fleet: what is wanted.
        quotas: of the region and the project.
        cpus: of each machine type that is offered; of several the largest counts, for any of them may be given.
    """
    known = {quota.metric: quota for quota in quotas}
    per_vm: dict[str, float] = {"INSTANCES": 1}
    per_vm["SSD_TOTAL_GB" if fleet.disk_type in SSD_DISKS else "DISKS_TOTAL_GB"] = fleet.disk_gb
    if fleet.external_ip:
        per_vm["IN_USE_ADDRESSES"] = 1
    spot = known.get("PREEMPTIBLE_CPUS")
    for machine_type, count in cpus.items():
        family = f"{machine_type.partition('-')[0].upper()}_CPUS"
        metric = family if family in known else "CPUS"
        if fleet.model == "SPOT" and spot is not None and spot.limit > 0:
            metric = spot.metric
        for name in (metric, "CPUS_ALL_REGIONS"):
            per_vm[name] = max(per_vm.get(name, 0), count)
    return tuple(Use(known[metric], amount, fleet.vms) for metric, amount in per_vm.items() if metric in known and amount > 0)


def most_vms(uses: Iterable[Use]) -> int | None:
    """How many VMs all quotas together allow; None if none of them is known."""
    return min((use.fitting for use in uses), default=None)
