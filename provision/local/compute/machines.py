"""A VM, its boot disk and the addresses as the server records them. What runs is elsewhere; this is what is known.

A resource is kept in the form in which the API shows it, so that a field we have no use for comes back as it was sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain, count
from typing import Any

from provision.local.compute.inventory import API_ROOT, ZONES, last_part
from provision.local.compute.ledger import Ledger

Json = dict[str, Any]

DEFAULT_DISK_GB = 10


def fingerprint(content: object) -> str:
    """A fingerprint of labels, metadata or tags: another content, another fingerprint."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    return base64.urlsafe_b64encode(digest[:8]).decode()


@dataclass(slots=True)
class Machine:
    """One VM and what the host has to remember about it."""

    project: str
    zone: str
    name: str
    resource: Json
    """compute#instance, as the API shows it."""
    directory: str
    """Name of the folder under `vms/` that is its boot disk and working directory."""
    place_in_line: int
    """Who starts first when there is room: the lowest."""
    pid: int | None = None
    pid_created: float | None = None
    """Creation time of the process, in Unix seconds: a pid alone proves nothing."""
    metadata_port: int | None = None
    exit_code: int | None = None
    """Of the last boot; 128 + n after signal n; None while running, or if nobody saw the end."""
    boots: int = 0
    preempted: bool = False
    deadline: str = ""
    """When its run is limited: the moment of the termination action, ISO 8601 UTC."""

    @property
    def path(self) -> str:
        """E.g. "projects/p/zones/z/instances/i"."""
        return f"projects/{self.project}/zones/{self.zone}/instances/{self.name}"

    @property
    def status(self) -> str:
        """The status of the API: PROVISIONING, STAGING, RUNNING, STOPPING, TERMINATED."""
        return str(self.resource["status"])

    @property
    def machine_type(self) -> str:
        """Its name, e.g. "e2-highmem-8"."""
        return last_part(self.resource["machineType"])

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata items."""
        return {item["key"]: item.get("value", "") for item in self.resource["metadata"].get("items", [])}

    @property
    def spot(self) -> bool:
        """True if it can be preempted."""
        return bool(self.resource["scheduling"]["provisioningModel"] == "SPOT")

    @property
    def deletes_itself(self) -> bool:
        """True if preemption and the end of its run delete it instead of stopping it."""
        return bool(self.resource["scheduling"].get("instanceTerminationAction") == "DELETE")

    @property
    def static_addresses(self) -> list[str]:
        """External addresses that were asked for by number."""
        interfaces = self.resource.get("networkInterfaces", [])
        given = [config.get("natIP") for interface in interfaces for config in interface.get("accessConfigs", [])]
        return [address for address in given if address and address != "127.0.0.1"]


def instance_json(project: str, zone: str, name: str, machine_type: str, properties: Json, resource_id: int, now: datetime) -> Json:
    """The instance that becomes of checked properties."""
    zone_link = f"{API_ROOT}projects/{project}/zones/{zone}"
    disk = properties["disks"][0]
    size = (disk.get("initializeParams") or {}).get("diskSizeGb") or disk.get("diskSizeGb") or DEFAULT_DISK_GB
    attached = {
        "kind": "compute#attachedDisk",
        "type": "PERSISTENT",
        "mode": "READ_WRITE",
        "source": f"{zone_link}/disks/{disk_name(name, properties)}",
        "deviceName": disk.get("deviceName") or name,
        "index": 0,
        "boot": True,
        "autoDelete": bool(disk.get("autoDelete")),
        "interface": disk.get("interface", "SCSI"),
        "diskSizeGb": str(size),
    }
    interfaces = [
        {
            **interface,
            "kind": "compute#networkInterface",
            "name": f"nic{index}",
            "networkIP": "127.0.0.1",
            **(
                {"accessConfigs": [{"natIP": "127.0.0.1", **config} for config in interface["accessConfigs"]]}
                if interface.get("accessConfigs")
                else {}
            ),
        }
        for index, interface in enumerate(properties["networkInterfaces"])
    ]
    tags = (properties.get("tags") or {}).get("items") or []
    return {
        **properties,
        "kind": "compute#instance",
        "id": str(resource_id),
        "creationTimestamp": now.isoformat(timespec="milliseconds"),
        "name": name,
        "status": "PROVISIONING",
        "zone": zone_link,
        "machineType": f"{zone_link}/machineTypes/{machine_type}",
        "cpuPlatform": "This machine",
        "labelFingerprint": fingerprint(properties["labels"]),
        "metadata": {**properties["metadata"], "fingerprint": fingerprint(properties["metadata"]["items"])},
        "tags": {**({"items": tags} if tags else {}), "fingerprint": fingerprint(tags)},
        "disks": [attached],
        "networkInterfaces": interfaces,
        "startRestricted": False,
        "deletionProtection": False,
        "selfLink": f"{zone_link}/instances/{name}",
    }


def disk_name(instance: str, properties: Json) -> str:
    """The name of a VM's boot disk: the VM's own unless another is asked for."""
    parameters = properties["disks"][0].get("initializeParams") or {}
    return str(parameters.get("diskName") or instance)


def disk_json(project: str, zone: str, name: str, parameters: Json, size_gb: int, directory: str, resource_id: int, now: datetime) -> Json:
    """A persistent disk. `users` is not in it: it is worked out from the VMs there are."""
    zone_link = f"{API_ROOT}projects/{project}/zones/{zone}"
    kind = last_part(parameters.get("diskType") or parameters.get("type") or "pd-standard")
    labels = parameters.get("labels") or {}
    return {
        "kind": "compute#disk",
        "id": str(resource_id),
        "creationTimestamp": now.isoformat(timespec="milliseconds"),
        "name": name,
        "status": "READY",
        "sizeGb": str(size_gb),
        "type": f"{zone_link}/diskTypes/{kind}",
        **({"sourceImage": parameters["sourceImage"]} if parameters.get("sourceImage") else {}),
        "labels": labels,
        "labelFingerprint": fingerprint(labels),
        "zone": zone_link,
        "selfLink": f"{zone_link}/disks/{name}",
        "_directory": directory,
    }


class Resources:
    """The VMs, disks and addresses of the server, by their paths; every change is written down at once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.machines: dict[str, Machine] = {}
        self.disks: dict[str, Json] = {}
        self.addresses: dict[str, Json] = {}
        for record in ledger.all("machine"):
            machine = Machine(**record)
            self.machines[machine.path] = machine
        for disk in ledger.all("disk"):
            self.disks[path_of(disk)] = disk
        for address in ledger.all("address"):
            self.addresses[path_of(address)] = address

    def save(self, machine: Machine) -> None:
        """Add or update a VM."""
        self.machines[machine.path] = machine
        self._ledger.put("machine", machine.path, asdict(machine))

    def remove(self, machine: Machine) -> None:
        """Forget a VM."""
        self.machines.pop(machine.path, None)
        self._ledger.drop("machine", machine.path)

    def save_disk(self, disk: Json) -> None:
        """Add or update a disk."""
        self.disks[path_of(disk)] = disk
        self._ledger.put("disk", path_of(disk), disk)

    def remove_disk(self, path: str) -> Json | None:
        """Forget a disk and return it."""
        self._ledger.drop("disk", path)
        return self.disks.pop(path, None)

    def save_address(self, address: Json) -> None:
        """Add or update an address."""
        self.addresses[path_of(address)] = address
        self._ledger.put("address", path_of(address), address)

    def remove_address(self, path: str) -> None:
        """Forget an address."""
        self._ledger.drop("address", path)
        self.addresses.pop(path, None)

    def of_project(self, project: str) -> Iterator[Machine]:
        """The VMs of a project."""
        return (machine for machine in self.machines.values() if machine.project == project)

    def disk_user(self, disk: Json) -> Machine | None:
        """The VM that has the disk attached."""
        link = disk["selfLink"]
        for machine in self.machines.values():
            if any(attached.get("source") == link for attached in machine.resource["disks"]):
                return machine
        return None

    def address_user(self, address: Json) -> Machine | None:
        """The VM that uses the address."""
        region = last_part(address["region"])
        for machine in self.machines.values():
            if ZONES[machine.zone] == region and address["address"] in machine.static_addresses:
                return machine
        return None

    def show_disk(self, disk: Json) -> Json:
        """The disk as the API shows it."""
        shown = {key: value for key, value in disk.items() if not key.startswith("_")}
        user = self.disk_user(disk)
        return {**shown, **({"users": [user.resource["selfLink"]]} if user else {})}

    def show_address(self, address: Json) -> Json:
        """The address as the API shows it: IN_USE with its user, or RESERVED and paid for in vain."""
        user = self.address_user(address)
        return {**address, "status": "IN_USE", "users": [user.resource["selfLink"]]} if user else {**address, "status": "RESERVED"}

    def free_directory(self, name: str, zone: str) -> str:
        """A folder name under `vms/` for a new boot disk: the VM's name, unless a disk has taken it."""
        taken = {disk["_directory"] for disk in self.disks.values()}
        names = chain([name, f"{name}.{zone}"], (f"{name}.{zone}.{number}" for number in count(2)))
        return next(free for free in names if free not in taken)


def path_of(resource: Json) -> str:
    """The path in a resource's own link, e.g. "projects/p/zones/z/disks/d"."""
    return str(resource["selfLink"]).removeprefix(API_ROOT)
