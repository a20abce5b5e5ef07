"""What exists in the project: VMs, disks and addresses as frozen values, and the calls that list and read them.

Separate from the fleet, which is what we know *about* VMs: this is what Compute Engine says, of ours and of strangers alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.clock import parse_time
from provision.clients import ComputeClients
from provision.errors import cloud_errors
from provision.labels import Ownership, parse_labels
from provision.operations import repeatable
from provision.stale_state import StaleState

PAGE = 500
SERIAL_TAIL_BYTES = 64 * 1024

_IMAGE = re.compile(r"projects/(?P<project>[^/]+)/global/images/(?:family/(?P<family>[^/]+)|(?P<image>[^/]+))")


@dataclass(frozen=True, slots=True)
class Vm:
    """One instance, ours or not."""

    name: str
    zone: str
    id: str
    """Number that no other VM ever has, also none of the same name."""
    status: str
    """PROVISIONING, STAGING, RUNNING, STOPPING, SUSPENDING, SUSPENDED, REPAIRING or TERMINATED."""
    machine_type: str = ""
    model: str = ""
    """SPOT or STANDARD."""
    created: datetime | None = None
    started: datetime | None = None
    """Last boot."""
    labels: Mapping[str, str] = field(default_factory=dict)
    disk_gb: int = 0
    fingerprint: str = ""
    """Of the labels: they can be changed only by who knows how they were."""

    @property
    def ownership(self) -> Ownership | None:
        """Whose it is; None: not ours."""
        return parse_labels(self.labels)


@dataclass(frozen=True, slots=True)
class Disk:
    """One persistent disk."""

    name: str
    zone: str
    id: str
    status: str
    size_gb: int = 0
    kind: str = ""
    """E.g. pd-standard."""
    created: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    users: tuple[str, ...] = ()
    """Names of the VMs that have it."""
    fingerprint: str = ""
    """Of the labels."""

    @property
    def ownership(self) -> Ownership | None:
        """Whose it is; None: not ours."""
        return parse_labels(self.labels)


@dataclass(frozen=True, slots=True)
class Address:
    """One reserved address of the region."""

    name: str
    region: str
    id: str
    status: str
    """IN_USE, RESERVED (paid for in vain) or RESERVING."""
    address: str = ""
    created: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    users: tuple[str, ...] = ()
    fingerprint: str = ""
    """Of the labels."""

    @property
    def ownership(self) -> Ownership | None:
        """Whose it is; None: not ours."""
        return parse_labels(self.labels)


@dataclass(frozen=True, slots=True)
class BootImage:
    """What a VM boots."""

    name: str
    """`projects/P/global/images/I`"""
    made: datetime | None = None
    """UTC; None: not asked."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """All of it at one moment."""

    taken: datetime
    vms: tuple[Vm, ...] = ()
    disks: tuple[Disk, ...] = ()
    addresses: tuple[Address, ...] = ()
    stale: tuple[StaleState, ...] = ()
    """What runs that are long over left in the state bucket."""


def region_zones(clients: ComputeClients) -> tuple[str, ...]:
    """All zones of the profile's region, in order of name. Asked once for each set of clients."""
    if not clients.region_zones:
        with cloud_errors(f"read region {clients.region}"):
            region = clients.regions.get(project=clients.project, region=clients.region, **repeatable())
        clients.region_zones = tuple(sorted(_last(link) for link in region.zones))
    return clients.region_zones


def find_boot_image(clients: ComputeClients, name: str) -> BootImage:
    """The very image that a name means now: the newest of its family, or the one that is named.

    Args:
        name: `projects/P/global/images/family/F`, or `projects/P/global/images/I`; anything else is taken by its word.

    Raises:
        NotFound: if there is no such family or image.
        CloudUnavailable, NotPermitted, CloudRefused: from `cloud_errors`.
    """
    found = _IMAGE.fullmatch(name)
    if found is None:
        return BootImage(name)
    project, family = found["project"], found["family"]
    with cloud_errors(f"look for {name}"):
        if family:
            image = clients.images.get_from_family(project=project, family=family, **repeatable())
        else:
            image = clients.images.get(project=project, image=found["image"], **repeatable())
    return BootImage(f"projects/{project}/global/images/{image.name}", _moment(image.creation_timestamp))


def watched_zones(clients: ComputeClients) -> tuple[str, ...]:
    """The zones in which our VMs can be: those of the profile, else all of its region."""
    return clients.profile.zones or region_zones(clients)


def list_vms(clients: ComputeClients, zones: tuple[str, ...]) -> tuple[Vm, ...]:
    """Every VM of these zones, strangers' too, one listing a zone, all zones at once.

    A zone that cannot be listed fails the whole: a part would show its VMs as gone.

    Raises:
        CloudUnavailable, NotPermitted, CloudRefused: from `cloud_errors`.
    """

    def list_zone(zone: str) -> list[Vm]:
        with cloud_errors(f"list the VMs of {zone}"):
            request = {"project": clients.project, "zone": zone, "max_results": PAGE}
            return [_vm(item) for item in clients.instances.list(request, **repeatable())]

    return tuple(vm for found in _each(list_zone, zones) for vm in found)


def list_disks(clients: ComputeClients, zones: tuple[str, ...]) -> tuple[Disk, ...]:
    """Every disk of these zones."""

    def list_zone(zone: str) -> list[Disk]:
        with cloud_errors(f"list the disks of {zone}"):
            request = {"project": clients.project, "zone": zone, "max_results": PAGE}
            return [_disk(item) for item in clients.disks.list(request, **repeatable())]

    return tuple(disk for found in _each(list_zone, zones) for disk in found)


def list_addresses(clients: ComputeClients) -> tuple[Address, ...]:
    """Every reserved address of the region."""
    with cloud_errors(f"list the addresses of {clients.region}"):
        request = {"project": clients.project, "region": clients.region, "max_results": PAGE}
        return tuple(_address(item) for item in clients.addresses.list(request, **repeatable()))


def get_vm(clients: ComputeClients, zone: str, name: str) -> Vm:
    """One VM as it is now.

    Raises:
        NotFound: if it is gone.
    """
    with cloud_errors(f"read VM {name}"):
        return _vm(clients.instances.get(project=clients.project, zone=zone, instance=name, **repeatable()))


def get_disk(clients: ComputeClients, zone: str, name: str) -> Disk:
    """One disk as it is now; NotFound if it is gone."""
    with cloud_errors(f"read disk {name}"):
        return _disk(clients.disks.get(project=clients.project, zone=zone, disk=name, **repeatable()))


def get_address(clients: ComputeClients, region: str, name: str) -> Address:
    """One address as it is now; NotFound if it is gone."""
    with cloud_errors(f"read address {name}"):
        return _address(clients.addresses.get(project=clients.project, region=region, address=name, **repeatable()))


def read_serial_tail(clients: ComputeClients, zone: str, name: str) -> str:
    """The last 64 KiB of a VM's serial output."""
    with cloud_errors(f"read the serial output of {name}"):
        request = {"project": clients.project, "zone": zone, "instance": name, "port": 1, "start": -SERIAL_TAIL_BYTES}
        return str(clients.instances.get_serial_port_output(request, **repeatable()).contents)


def _each(work: Any, zones: tuple[str, ...]) -> list[Any]:
    if not zones:
        return []
    with ThreadPoolExecutor(max_workers=min(8, len(zones)), thread_name_prefix="zones") as pool:
        return list(pool.map(work, zones))


def _last(link: str) -> str:
    return link.rstrip("/").rsplit("/", 1)[-1]


def _moment(text: str) -> datetime | None:
    return parse_time(text) if text else None


def _vm(item: Any) -> Vm:
    return Vm(
        name=item.name,
        zone=_last(item.zone),
        id=str(item.id),
        status=item.status,
        machine_type=_last(item.machine_type),
        model=item.scheduling.provisioning_model or "STANDARD",
        created=_moment(item.creation_timestamp),
        started=_moment(item.last_start_timestamp),
        labels=dict(item.labels),
        disk_gb=sum(int(disk.disk_size_gb) for disk in item.disks),
        fingerprint=item.label_fingerprint,
    )


def _disk(item: Any) -> Disk:
    return Disk(
        name=item.name,
        zone=_last(item.zone),
        id=str(item.id),
        status=item.status,
        size_gb=int(item.size_gb),
        kind=_last(item.type_),
        created=_moment(item.creation_timestamp),
        labels=dict(item.labels),
        users=tuple(_last(user) for user in item.users),
        fingerprint=item.label_fingerprint,
    )


def _address(item: Any) -> Address:
    return Address(
        name=item.name,
        region=_last(item.region),
        id=str(item.id),
        status=item.status,
        address=item.address,
        created=_moment(item.creation_timestamp),
        labels=dict(item.labels),
        users=tuple(_last(user) for user in item.users),
        fingerprint=item.label_fingerprint,
    )
