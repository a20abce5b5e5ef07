"""Bulk insert, regional and zonal: one request, many VMs, partial success told zone by zone.

What each VM came to is also in an operation of its own; `operationGroupId` ties them to the one that was answered.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from aiohttp import web

from provision.local.compute.cloud import Cloud, body_of, project_of, region_of, zone_of
from provision.local.compute.errors import ComputeError, invalid, not_implemented, required, stockout, too_few_created
from provision.local.compute.instances import check_free, record_machine
from provision.local.compute.inventory import API_ROOT, MACHINE_TYPES, REGIONS, ZONES, last_part
from provision.local.compute.placement import ANY_SINGLE_ZONE, SHAPES, AllowedZone, Placement, place
from provision.local.compute.quotas import demand_of
from provision.local.compute.rules import check_machine_type, check_name, check_properties

Json = dict[str, Any]

LARGEST_REQUEST = 5000

_DIGITS = re.compile(r"(\d+)")


class BulkRoutes:
    """Handlers of `instances/bulkInsert` in a region and in a zone."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def add_to(self, app: web.Application, base: str) -> None:
        """Add the routes under `base`."""
        app.router.add_post(f"{base}/regions/{{region}}/instances/bulkInsert", self.regional)
        app.router.add_post(f"{base}/zones/{{zone}}/instances/bulkInsert", self.zonal)

    async def regional(self, request: web.Request) -> web.Response:
        """regionInstances.bulkInsert."""
        region = region_of(request)
        body = await body_of(request)
        return self._insert(request, body, region, f"regions/{region}", None)

    async def zonal(self, request: web.Request) -> web.Response:
        """instances.bulkInsert."""
        zone = zone_of(request)
        body = await body_of(request)
        for field in ("locationPolicy", "instanceFlexibilityPolicy"):
            if body.get(field):
                raise invalid(f"resource.{field}", "", "This field is supported only for regional bulkInsert requests.")
        return self._insert(request, body, ZONES[zone], f"zones/{zone}", AllowedZone(zone))

    def _insert(self, request: web.Request, body: Json, region: str, scope: str, only_zone: AllowedZone | None) -> web.Response:
        cloud = self._cloud
        if operation := cloud.repeated(request):
            return web.json_response(operation)
        project = project_of(request)
        zones = [only_zone] if only_zone else _allowed_zones(body, region)
        shape = (body.get("locationPolicy") or {}).get("targetShape") or ANY_SINGLE_ZONE
        if shape not in SHAPES:
            raise invalid("resource.locationPolicy.targetShape", shape, f"Must be one of {', '.join(SHAPES)}.")
        properties, machine_types = _properties(body, zones[0].name)
        names, minimum = _names(body)
        for name in names:
            for zone in zones:
                check_free(cloud, project, zone.name, name, properties)
        planned: Counter[str] = Counter()

        def admit(zone: str, machine_type: str) -> ComputeError | None:
            if cloud.incidents.stocked_out(zone, machine_type):
                return stockout(project, zone, machine_type)
            return cloud.quotas.refusal(project, region, demand_of(machine_type, properties), planned)

        placement = place(names, zones, machine_types, shape, admit)
        operation = cloud.begin(request, "bulkInsert", scope, link=f"{API_ROOT}projects/{project}/{scope}")
        if len(placement.placed) < minimum:
            self._roll_back(operation, placement, minimum)
        else:
            self._create(operation, project, placement, properties)
        return web.json_response(operation)

    def _roll_back(self, operation: Json, placement: Placement, minimum: int) -> None:
        """Fewer than the minimum found a place: none is created, and the reasons are given once each."""
        reasons = {refused.error.message: refused.error for refused in placement.refused}
        self._cloud.operations.finish(
            operation,
            [too_few_created(minimum), *reasons.values()],
            instancesBulkInsertOperationMetadata=_metadata(placement, rolled_back=True),
        )

    def _create(self, operation: Json, project: str, placement: Placement, properties: Json) -> None:
        cloud = self._cloud
        machines = [
            record_machine(cloud, project, placed.zone, placed.name, placed.machine_type, properties) for placed in placement.placed
        ]
        group = f"group-{operation['id']}"
        warnings = {"warnings": _warnings(placement)} if placement.refused else {}
        metadata = _metadata(placement, rolled_back=False)
        cloud.operations.annotate(operation, operationGroupId=group, instancesBulkInsertOperationMetadata=metadata, **warnings)
        single = [
            cloud.operations.begin("insert", project=project, scope=f"zones/{machine.zone}", target=machine.resource, group=group)
            for machine in machines
        ]
        for refused in placement.refused:
            scope = f"zones/{refused.zone}"
            link = f"{API_ROOT}projects/{project}/{scope}/instances/{refused.name}"
            failed = cloud.operations.begin("insert", project=project, scope=scope, target_link=link, group=group)
            cloud.operations.finish(failed, [refused.error])

        def finish() -> None:
            for part in single:
                cloud.operations.finish(part)
            cloud.operations.finish(operation)

        cloud.hypervisor.create(machines, finish)


def _metadata(placement: Placement, *, rolled_back: bool) -> Json:
    """`instancesBulkInsertOperationMetadata`: what became of the VMs, by zone."""
    return {
        "perLocationStatus": {
            f"zones/{zone}": {
                "targetVmCount": counts.target,
                "createdVmCount": counts.created,
                "failedToCreateVmCount": counts.failed,
                "deletedVmCount": counts.created if rolled_back else 0,
                "status": "DONE",
            }
            for zone, counts in placement.zones.items()
        }
    }


def _warnings(placement: Placement) -> list[Json]:
    """What went wrong in an operation that succeeded for enough of its VMs."""
    reasons = {refused.error.message: refused for refused in placement.refused}
    return [
        {
            "code": "PARTIAL_SUCCESS",
            "message": message,
            "data": [{"key": "zone", "value": refused.zone}, {"key": "code", "value": refused.error.code}],
        }
        for message, refused in reasons.items()
    ]


def _allowed_zones(body: Json, region: str) -> list[AllowedZone]:
    """The zones of the region except those denied. A zone that is not mentioned is allowed."""
    policy = body.get("locationPolicy") or {}
    if policy.get("zones"):
        raise not_implemented("resource.locationPolicy.zones; name zones in resource.locationPolicy.locations")
    locations: dict[str, Json] = {}
    for key, location in (policy.get("locations") or {}).items():
        zone = last_part(key)
        if zone not in REGIONS[region] or not key.startswith("zones/"):
            raise invalid("resource.locationPolicy.locations", key, f"Must be zones of region '{region}' like 'zones/{region}-a'.")
        if location.get("preference", "ALLOW") not in {"ALLOW", "DENY"}:
            raise invalid(f"resource.locationPolicy.locations[{key}].preference", location["preference"], "Must be one of ALLOW, DENY.")
        locations[zone] = location
    allowed = []
    for zone in REGIONS[region]:
        location = locations.get(zone, {})
        if location.get("preference") != "DENY":
            most = (location.get("constraints") or {}).get("maxCount")
            allowed.append(AllowedZone(zone, int(most) if most is not None else None))
    if not allowed:
        raise invalid("resource.locationPolicy.locations", "", f"All zones of region '{region}' are denied.")
    return allowed


def _properties(body: Json, zone: str) -> tuple[Json, list[str]]:
    """The checked properties of every VM, and the machine types to try, best first."""
    if body.get("sourceInstanceTemplate"):
        raise not_implemented("resource.sourceInstanceTemplate")
    if not body.get("instanceProperties"):
        raise required("resource.instanceProperties")
    prefix = "resource.instanceProperties"
    given = body["instanceProperties"]
    properties = check_properties(given, prefix)
    selections = (body.get("instanceFlexibilityPolicy") or {}).get("instanceSelections") or {}
    if not selections:
        return properties, [check_machine_type(given.get("machineType"), zone, f"{prefix}.machineType")]
    ranked: list[str] = []
    for key, selection in sorted(selections.items(), key=lambda item: (int(item[1].get("rank") or 0), item[0])):
        field = f"resource.instanceFlexibilityPolicy.instanceSelections[{key}]"
        if selection.get("disks") or selection.get("minCpuPlatform"):
            raise not_implemented(f"disks and minCpuPlatform in {field}")
        if not selection.get("machineTypes"):
            raise required(f"{field}.machineTypes")
        for name in selection["machineTypes"]:
            if name not in MACHINE_TYPES:
                raise invalid(f"{field}.machineTypes", name, f"Machine type with name '{name}' does not exist in zone '{zone}'.")
            if name not in ranked:
                ranked.append(name)
    return properties, ranked


def _names(body: Json) -> tuple[list[str], int]:
    """The names of the VMs to make, and how many of them have to succeed."""
    if body.get("namePattern"):
        raise not_implemented("resource.namePattern; name each VM in resource.perInstanceProperties")
    if not body.get("count"):
        raise required("resource.count")
    count = int(body["count"])
    if not 1 <= count <= LARGEST_REQUEST:
        raise invalid("resource.count", count, f"Must be between 1 and {LARGEST_REQUEST}, inclusive.")
    minimum = int(body.get("minCount") or count)
    if minimum > count:
        raise invalid("resource.minCount", minimum, "Must be less than or equal to count.")
    instances = body.get("perInstanceProperties") or {}
    if not instances:
        raise required("resource.perInstanceProperties")
    if count > len(instances):
        raise invalid("resource.count", count, f"Must not exceed the {len(instances)} entries of perInstanceProperties.")
    names = []
    for key, entry in instances.items():
        field = f"resource.perInstanceProperties[{key}]"
        if (entry or {}).get("hostname"):
            raise not_implemented(f"{field}.hostname")
        names.append(check_name((entry or {}).get("name"), f"{field}.name"))
    if len(set(names)) < len(names):
        raise invalid("resource.perInstanceProperties", "", "Instance names must be unique.")
    return sorted(names, key=_in_counting_order)[:count], minimum


def _in_counting_order(name: str) -> list[tuple[int, str]]:
    """Shard 2 before shard 10. The order in the request is lost on the way: a JSON map made of a protobuf map has none."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in _DIGITS.split(name)]
