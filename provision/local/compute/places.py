"""Read-only routes: projects, regions, zones, machine types, images of families that everybody boots."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from provision.local.compute.cloud import Cloud, link_to, project_of, zone_of
from provision.local.compute.errors import not_found
from provision.local.compute.inventory import MACHINE_TYPES, REGIONS, ZONES, image_json, machine_type_json, project_number, zone_json
from provision.local.compute.listing import aggregated_reply, list_reply
from provision.local.compute.quotas import quota_list

Json = dict[str, Any]


class PlaceRoutes:
    """Handlers of what does not change."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def add_to(self, app: web.Application, base: str) -> None:
        """Add the routes under `base`."""
        app.router.add_get(base, self.get_project)
        app.router.add_get(f"{base}/regions", self.list_regions)
        app.router.add_get(f"{base}/regions/{{region}}", self.get_region)
        app.router.add_get(f"{base}/zones", self.list_zones)
        app.router.add_get(f"{base}/zones/{{zone}}", self.get_zone)
        app.router.add_get(f"{base}/aggregated/machineTypes", self.aggregated_machine_types)
        app.router.add_get(f"{base}/zones/{{zone}}/machineTypes", self.list_machine_types)
        app.router.add_get(f"{base}/zones/{{zone}}/machineTypes/{{name}}", self.get_machine_type)
        app.router.add_get(f"{base}/global/images/family/{{family}}", self.get_image_of_family)
        app.router.add_get(f"{base}/global/images/{{name}}", self.get_image)

    async def get_project(self, request: web.Request) -> web.Response:
        """projects.get."""
        project = project_of(request)
        quotas = quota_list(self._cloud.quotas.project_limits(), self._cloud.quotas.project_usage(project))
        return web.json_response(
            {
                "kind": "compute#project",
                "id": str(project_number(project)),
                "name": project,
                "selfLink": link_to(f"projects/{project}"),
                "quotas": quotas,
                "commonInstanceMetadata": {"kind": "compute#metadata"},
            }
        )

    def _region(self, project: str, region: str) -> Json:
        quotas = quota_list(self._cloud.quotas.limits(region), self._cloud.quotas.usage(project, region))
        return {
            "kind": "compute#region",
            "id": str(1_000 + list(REGIONS).index(region)),
            "name": region,
            "description": region,
            "status": "UP",
            "zones": [link_to(f"projects/{project}/zones/{zone}") for zone in REGIONS[region]],
            "quotas": quotas,
            "selfLink": link_to(f"projects/{project}/regions/{region}"),
        }

    async def list_regions(self, request: web.Request) -> web.Response:
        """regions.list."""
        project = project_of(request)
        regions = [self._region(project, region) for region in REGIONS]
        return web.json_response(list_reply("compute#regionList", regions, request.query))

    async def get_region(self, request: web.Request) -> web.Response:
        """regions.get: quotas with their usage."""
        project, region = project_of(request), request.match_info["region"]
        if region not in REGIONS:
            raise not_found(f"projects/{project}/regions/{region}")
        return web.json_response(self._region(project, region))

    async def list_zones(self, request: web.Request) -> web.Response:
        """zones.list."""
        project = project_of(request)
        return web.json_response(list_reply("compute#zoneList", [zone_json(project, zone) for zone in ZONES], request.query))

    async def get_zone(self, request: web.Request) -> web.Response:
        """zones.get."""
        project, zone = project_of(request), request.match_info["zone"]
        if zone not in ZONES:
            raise not_found(f"projects/{project}/zones/{zone}")
        return web.json_response(zone_json(project, zone))

    async def aggregated_machine_types(self, request: web.Request) -> web.Response:
        """machineTypes.aggregatedList."""
        project = project_of(request)
        shapes = [machine_type_json(project, zone, shape) for zone in ZONES for shape in MACHINE_TYPES.values()]
        scopes = [f"zones/{zone}" for zone in ZONES]
        kind = "compute#machineTypeAggregatedList"
        return web.json_response(aggregated_reply(kind, "machineTypes", scopes, shapes, request.query))

    async def list_machine_types(self, request: web.Request) -> web.Response:
        """machineTypes.list."""
        project, zone = project_of(request), zone_of(request)
        shapes = [machine_type_json(project, zone, shape) for shape in MACHINE_TYPES.values()]
        return web.json_response(list_reply("compute#machineTypeList", shapes, request.query))

    async def get_machine_type(self, request: web.Request) -> web.Response:
        """machineTypes.get."""
        project, zone, name = project_of(request), zone_of(request), request.match_info["name"]
        if name not in MACHINE_TYPES:
            raise not_found(f"projects/{project}/zones/{zone}/machineTypes/{name}")
        return web.json_response(machine_type_json(project, zone, MACHINE_TYPES[name]))

    async def get_image_of_family(self, request: web.Request) -> web.Response:
        """images.getFromFamily."""
        project, family = request.match_info["project"], request.match_info["family"]
        found = image_json(project, family=family)
        if found is None:
            raise not_found(f"projects/{project}/global/images/family/{family}")
        return web.json_response(found)

    async def get_image(self, request: web.Request) -> web.Response:
        """images.get."""
        project, name = request.match_info["project"], request.match_info["name"]
        found = image_json(project, name=name)
        if found is None:
            raise not_found(f"projects/{project}/global/images/{name}")
        return web.json_response(found)
