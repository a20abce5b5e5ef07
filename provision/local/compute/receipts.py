"""Routes of operations: get, wait and list, by zone, by region, global and over all scopes."""

from __future__ import annotations

from aiohttp import web

from provision.local.compute.cloud import Cloud, project_of, region_of, zone_of
from provision.local.compute.inventory import REGIONS, ZONES
from provision.local.compute.listing import aggregated_reply, list_reply

WAIT_SECONDS = 120.0
"""A wait call returns after 2 minutes at the latest, whatever has become of the operation."""


def _scope_of(request: web.Request) -> str:
    if "zone" in request.match_info:
        return f"zones/{zone_of(request)}"
    return f"regions/{region_of(request)}" if "region" in request.match_info else "global"


class OperationRoutes:
    """Handlers of `.../operations...`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def add_to(self, app: web.Application, base: str) -> None:
        """Add the routes under `base`."""
        app.router.add_get(f"{base}/aggregated/operations", self.aggregated_list)
        for scope in ("zones/{zone}", "regions/{region}", "global"):
            app.router.add_get(f"{base}/{scope}/operations", self.list_scope)
            app.router.add_get(f"{base}/{scope}/operations/{{name}}", self.get)
            app.router.add_post(f"{base}/{scope}/operations/{{name}}/wait", self.wait)

    def _path(self, request: web.Request) -> str:
        return f"projects/{project_of(request)}/{_scope_of(request)}/operations/{request.match_info['name']}"

    async def get(self, request: web.Request) -> web.Response:
        """operations.get."""
        return web.json_response(self._cloud.operations.find(self._path(request)))

    async def wait(self, request: web.Request) -> web.Response:
        """operations.wait."""
        operation = self._cloud.operations.find(self._path(request))
        return web.json_response(await self._cloud.operations.wait(operation, WAIT_SECONDS))

    async def list_scope(self, request: web.Request) -> web.Response:
        """operations.list."""
        found = self._cloud.operations.listed(project_of(request), _scope_of(request))
        return web.json_response(list_reply("compute#operationList", found, request.query))

    async def aggregated_list(self, request: web.Request) -> web.Response:
        """globalOperations.aggregatedList."""
        places = [*(f"zones/{zone}" for zone in ZONES), *(f"regions/{region}" for region in REGIONS), "global"]
        found = self._cloud.operations.listed(project_of(request))
        kind = "compute#operationAggregatedList"
        return web.json_response(aggregated_reply(kind, "operations", places, found, request.query))
