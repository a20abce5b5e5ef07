"""Regions, zones, machine types and quotas of the local cloud: fixed facts, kept apart from everything that changes."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

API_ROOT = "https://www.googleapis.com/compute/v1/"
"""Resource links look as Google's do, so that a program that takes them apart meets the real form. None is ever fetched."""


@dataclass(frozen=True, slots=True)
class MachineType:
    """A shape a VM can have. Locally it decides quota and display, not how much the process may use."""

    name: str
    cpus: int
    memory_mib: int
    description: str

    @property
    def resource_id(self) -> int:
        """A uint64 that never changes, as the client wants it."""
        return 100_000 + MACHINE_TYPE_NAMES.index(self.name)


def _shapes(family: str, mib_per_cpu: int, sizes: tuple[int, ...]) -> list[MachineType]:
    return [
        MachineType(f"{family}-{cpus}", cpus, cpus * mib_per_cpu, f"{cpus} vCPUs, {cpus * mib_per_cpu // 1024} GB RAM") for cpus in sizes
    ]


_ALL_TYPES = [
    MachineType("local-1", 1, 1024, "1 process of this machine"),
    MachineType("e2-small", 2, 2048, "Efficient Instance, 2 vCPU (1/2 shared physical core) and 2 GB RAM"),
    MachineType("e2-medium", 2, 4096, "Efficient Instance, 2 vCPU (1 shared physical core) and 4 GB RAM"),
    *_shapes("e2-standard", 4096, (2, 4, 8, 16)),
    *_shapes("e2-highmem", 8192, (2, 4, 8, 16)),
    *_shapes("n1-standard", 3840, (4, 8, 16)),
    *_shapes("n1-highmem", 6656, (4, 8, 16)),
    *_shapes("n2-standard", 4096, (4, 8, 16)),
    *_shapes("n2-highmem", 8192, (4, 8, 16)),
]
MACHINE_TYPE_NAMES = tuple(shape.name for shape in _ALL_TYPES)
MACHINE_TYPES: Mapping[str, MachineType] = MappingProxyType({shape.name: shape for shape in _ALL_TYPES})

REGIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "asia-northeast1": ("asia-northeast1-a", "asia-northeast1-b", "asia-northeast1-c"),
        "us-central1": ("us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"),
    }
)
ZONES: Mapping[str, str] = MappingProxyType({zone: region for region, zones in REGIONS.items() for zone in zones})
"""Zone name to the name of its region."""

REGION_QUOTAS: Mapping[str, float] = MappingProxyType(
    {
        "CPUS": 500.0,
        "PREEMPTIBLE_CPUS": 1000.0,
        "INSTANCES": 500.0,
        "DISKS_TOTAL_GB": 20480.0,
        "SSD_TOTAL_GB": 2048.0,
        "IN_USE_ADDRESSES": 250.0,
        "STATIC_ADDRESSES": 50.0,
    }
)
PROJECT_QUOTAS: Mapping[str, float] = MappingProxyType({"CPUS_ALL_REGIONS": 2000.0})


IMAGES: Mapping[tuple[str, str], tuple[str, str]] = MappingProxyType(
    {
        ("cos-cloud", "cos-stable"): ("cos-stable-121-18867-90-23", "2026-03-10T12:00:00.000-07:00"),
        ("cos-cloud", "cos-121-lts"): ("cos-121-18867-90-23", "2026-03-10T12:00:00.000-07:00"),
        ("ubuntu-os-cloud", "ubuntu-2204-lts"): ("ubuntu-2204-jammy-v20260312", "2026-03-12T12:00:00.000-07:00"),
    }
)
"""(project, family) -> the newest image of it, and when that was made. Everybody may read these projects."""


def project_number(project: str) -> int:
    """The stand-in's numeric id of a project: the same for the same name, everywhere and for ever."""
    return 10**11 + zlib.crc32(project.encode())


def last_part(link: str) -> str:
    """The name at the end of a full or partial resource link."""
    return link.rstrip("/").rsplit("/", 1)[-1]


def zone_json(project: str, zone: str) -> dict[str, Any]:
    """The zone as the API shows it."""
    return {
        "kind": "compute#zone",
        "id": str(2_000 + list(ZONES).index(zone)),
        "name": zone,
        "description": zone,
        "status": "UP",
        "region": f"{API_ROOT}projects/{project}/regions/{ZONES[zone]}",
        "selfLink": f"{API_ROOT}projects/{project}/zones/{zone}",
    }


def image_json(project: str, *, family: str = "", name: str = "") -> dict[str, Any] | None:
    """The newest image of a family, or the image of that name, as the API shows it; None if there is none."""
    for (place, kin), (image, made) in IMAGES.items():
        if place == project and (kin == family or image == name):
            return {
                "kind": "compute#image",
                "id": str(project_number(image)),
                "creationTimestamp": made,
                "name": image,
                "family": kin,
                "status": "READY",
                "diskSizeGb": "10",
                "selfLink": f"{API_ROOT}projects/{project}/global/images/{image}",
            }
    return None


def machine_type_json(project: str, zone: str, shape: MachineType) -> dict[str, Any]:
    """The machine type as the API shows it."""
    return {
        "kind": "compute#machineType",
        "id": str(shape.resource_id),
        "name": shape.name,
        "description": shape.description,
        "guestCpus": shape.cpus,
        "memoryMb": shape.memory_mib,
        "isSharedCpu": shape.name in {"e2-small", "e2-medium"},
        "maximumPersistentDisks": 128,
        "maximumPersistentDisksSizeGb": "263168",
        "zone": zone,
        "selfLink": f"{API_ROOT}projects/{project}/zones/{zone}/machineTypes/{shape.name}",
    }
