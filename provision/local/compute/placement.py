"""Where the VMs of a bulk insert go: zones by target shape, machine types by rank, and what could not be placed and why.

Pure: what a zone can take is a function handed in, so that quota and stockouts stay somebody else's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from provision.local.compute.errors import ComputeError

ANY, ANY_SINGLE_ZONE, BALANCED = "ANY", "ANY_SINGLE_ZONE", "BALANCED"
SHAPES = (ANY, ANY_SINGLE_ZONE, BALANCED)

Admit = Callable[[str, str], ComputeError | None]
"""(zone, machine type) -> None and the room is taken, or why there is none."""


@dataclass(frozen=True, slots=True)
class AllowedZone:
    """A zone that the location policy allows."""

    name: str
    max_count: int | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A VM and its place."""

    name: str
    zone: str
    machine_type: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A VM that found no place, with the last reason heard."""

    name: str
    zone: str
    error: ComputeError


@dataclass(slots=True)
class ZoneCount:
    """What became of the VMs that were tried in one zone."""

    target: int = 0
    created: int = 0
    failed: int = 0


@dataclass(slots=True)
class Placement:
    """The outcome for all VMs of one request."""

    placed: list[Placed] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    zones: dict[str, ZoneCount] = field(default_factory=dict)


def place(names: Sequence[str], zones: Sequence[AllowedZone], machine_types: Sequence[str], shape: str, admit: Admit) -> Placement:
    """Place each VM: machine types in order of rank, and for each type the zones in the order the shape gives.

    ANY fills the first zone that has room, BALANCED takes the zones in turn, ANY_SINGLE_ZONE settles for the first zone
    that takes any VM at all.

    Args:
        zones: Not empty.
        machine_types: Not empty, best first.
    """
    placement = Placement()
    chosen: AllowedZone | None = None
    for index, name in enumerate(names):
        if shape == BALANCED:
            turn = index % len(zones)
            order = [*zones[turn:], *zones[:turn]]
        else:
            order = [chosen] if chosen else list(zones)
        found = _place_one(name, order, machine_types, admit, placement)
        if shape == ANY_SINGLE_ZONE and chosen is None and found is not None:
            chosen = next(zone for zone in zones if zone.name == found)
    return placement


def _place_one(name: str, order: Sequence[AllowedZone], machine_types: Sequence[str], admit: Admit, placement: Placement) -> str | None:
    last = Refused(name, order[0].name, _FULL)
    tried: set[str] = set()
    for machine_type in machine_types:
        for zone in order:
            counts = placement.zones.setdefault(zone.name, ZoneCount())
            if zone.max_count is not None and counts.created >= zone.max_count:
                continue
            if zone.name not in tried:
                tried.add(zone.name)
                counts.target += 1
            error = admit(zone.name, machine_type)
            if error is None:
                counts.created += 1
                placement.placed.append(Placed(name, zone.name, machine_type))
                for other in tried - {zone.name}:
                    placement.zones[other].failed += 1
                return zone.name
            last = Refused(name, zone.name, error)
    for zone_name in tried:
        placement.zones[zone_name].failed += 1
    placement.refused.append(last)
    return None


_FULL = ComputeError(
    400,
    "The location policy's maximum counts leave no zone for this VM.",
    "resourceAvailability",
    "LOCATION_POLICY_VIOLATED",
)
