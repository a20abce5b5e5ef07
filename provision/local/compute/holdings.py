"""Routes of what outlives VMs and costs money unseen: disks and reserved addresses."""

from __future__ import annotations

import shutil
from typing import Any

from aiohttp import web

from provision.local.compute.cloud import Cloud, body_of, link_to, project_of, region_of, relabelled, zone_of
from provision.local.compute.errors import (
    already_exists,
    in_use,
    invalid,
    not_found,
    not_implemented,
    quota_exceeded,
    required,
    stale_labels,
)
from provision.local.compute.inventory import REGIONS, ZONES
from provision.local.compute.listing import aggregated_reply, list_reply
from provision.local.compute.machines import disk_json, fingerprint
from provision.local.compute.rules import check_labels, check_name

Json = dict[str, Any]

FIRST_ADDRESSES = {"asia-northeast1": "198.51.100", "us-central1": "203.0.113"}
"""Networks set aside for documentation: no packet to them ever reaches anybody."""


class DiskRoutes:
    """Handlers of `/zones/{zone}/disks...`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def add_to(self, app: web.Application, base: str) -> None:
        """Add the routes under `base`."""
        zonal = f"{base}/zones/{{zone}}/disks"
        app.router.add_get(f"{base}/aggregated/disks", self.aggregated_list)
        app.router.add_get(zonal, self.list_zone)
        app.router.add_post(zonal, self.insert)
        app.router.add_get(f"{zonal}/{{name}}", self.get)
        app.router.add_delete(f"{zonal}/{{name}}", self.delete)
        app.router.add_post(f"{zonal}/{{name}}/setLabels", self.set_labels)

    def _shown(self, prefix: str) -> list[Json]:
        resources = self._cloud.resources
        return [resources.show_disk(disk) for path, disk in resources.disks.items() if path.startswith(prefix)]

    def _find(self, request: web.Request) -> tuple[str, Json]:
        path = f"projects/{project_of(request)}/zones/{zone_of(request)}/disks/{request.match_info['name']}"
        if path not in self._cloud.resources.disks:
            raise not_found(path)
        return path, self._cloud.resources.disks[path]

    async def aggregated_list(self, request: web.Request) -> web.Response:
        """disks.aggregatedList."""
        scopes = [f"zones/{zone}" for zone in ZONES] + [f"regions/{region}" for region in REGIONS]
        found = self._shown(f"projects/{project_of(request)}/")
        return web.json_response(aggregated_reply("compute#diskAggregatedList", "disks", scopes, found, request.query))

    async def list_zone(self, request: web.Request) -> web.Response:
        """disks.list."""
        found = self._shown(f"projects/{project_of(request)}/zones/{zone_of(request)}/")
        return web.json_response(list_reply("compute#diskList", found, request.query))

    async def get(self, request: web.Request) -> web.Response:
        """disks.get."""
        return web.json_response(self._cloud.resources.show_disk(self._find(request)[1]))

    async def insert(self, request: web.Request) -> web.Response:
        """disks.insert: an empty disk that no VM uses."""
        cloud = self._cloud
        if operation := cloud.repeated(request):
            return web.json_response(operation)
        project, zone, body = project_of(request), zone_of(request), await body_of(request)
        name = check_name(body.get("name"))
        path = f"projects/{project}/zones/{zone}/disks/{name}"
        if path in cloud.resources.disks:
            raise already_exists(path)
        if not body.get("sizeGb"):
            raise required("resource.sizeGb")
        check_labels(body.get("labels"))
        disk = disk_json(project, zone, name, body, int(body["sizeGb"]), "", cloud.new_id(), cloud.clock())
        cloud.resources.save_disk(disk)
        operation = cloud.begin(request, "insert", f"zones/{zone}", disk)
        cloud.operations.finish(operation)
        return web.json_response(operation)

    async def delete(self, request: web.Request) -> web.Response:
        """disks.delete, refused while a VM has it."""
        cloud = self._cloud
        if operation := cloud.repeated(request):
            return web.json_response(operation)
        path, disk = self._find(request)
        user = cloud.resources.disk_user(disk)
        if user is not None:
            raise in_use("disk", path, user.path)
        cloud.resources.remove_disk(path)
        if disk["_directory"]:
            shutil.rmtree(cloud.settings.root / "vms" / disk["_directory"], ignore_errors=True)
        operation = cloud.begin(request, "delete", f"zones/{zone_of(request)}", disk)
        cloud.operations.finish(operation)
        return web.json_response(operation)

    async def set_labels(self, request: web.Request) -> web.Response:
        """disks.setLabels."""
        if operation := self._cloud.repeated(request):
            return web.json_response(operation)
        body = await body_of(request)
        _, disk = self._find(request)
        relabelled(disk, body, stale_labels())
        self._cloud.resources.save_disk(disk)
        operation = self._cloud.begin(request, "setLabels", f"zones/{zone_of(request)}", disk)
        self._cloud.operations.finish(operation)
        return web.json_response(operation)


class AddressRoutes:
    """Handlers of `/regions/{region}/addresses...`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def add_to(self, app: web.Application, base: str) -> None:
        """Add the routes under `base`."""
        regional = f"{base}/regions/{{region}}/addresses"
        app.router.add_get(f"{base}/aggregated/addresses", self.aggregated_list)
        app.router.add_get(regional, self.list_region)
        app.router.add_post(regional, self.insert)
        app.router.add_get(f"{regional}/{{name}}", self.get)
        app.router.add_delete(f"{regional}/{{name}}", self.delete)
        app.router.add_post(f"{regional}/{{name}}/setLabels", self.set_labels)

    def _shown(self, prefix: str) -> list[Json]:
        resources = self._cloud.resources
        return [resources.show_address(one) for path, one in resources.addresses.items() if path.startswith(prefix)]

    def _find(self, request: web.Request) -> tuple[str, Json]:
        path = f"projects/{project_of(request)}/regions/{region_of(request)}/addresses/{request.match_info['name']}"
        if path not in self._cloud.resources.addresses:
            raise not_found(path)
        return path, self._cloud.resources.addresses[path]

    async def aggregated_list(self, request: web.Request) -> web.Response:
        """addresses.aggregatedList."""
        scopes = [*(f"regions/{region}" for region in REGIONS), "global"]
        found = self._shown(f"projects/{project_of(request)}/")
        kind = "compute#addressAggregatedList"
        return web.json_response(aggregated_reply(kind, "addresses", scopes, found, request.query))

    async def list_region(self, request: web.Request) -> web.Response:
        """addresses.list."""
        found = self._shown(f"projects/{project_of(request)}/regions/{region_of(request)}/")
        return web.json_response(list_reply("compute#addressList", found, request.query))

    async def get(self, request: web.Request) -> web.Response:
        """addresses.get."""
        return web.json_response(self._cloud.resources.show_address(self._find(request)[1]))

    async def insert(self, request: web.Request) -> web.Response:
        """addresses.insert: reserve an external IPv4 address."""
        cloud = self._cloud
        if operation := cloud.repeated(request):
            return web.json_response(operation)
        project, region, body = project_of(request), region_of(request), await body_of(request)
        name = check_name(body.get("name"))
        path = f"projects/{project}/regions/{region}/addresses/{name}"
        if path in cloud.resources.addresses:
            raise already_exists(path)
        for field in ("address", "subnetwork", "purpose"):
            if body.get(field):
                raise not_implemented(f"resource.{field}")
        if body.get("addressType", "EXTERNAL") != "EXTERNAL":
            raise not_implemented(f"resource.addressType {body['addressType']}")
        if body.get("ipVersion", "IPV4") != "IPV4":
            raise not_implemented(f"resource.ipVersion {body['ipVersion']}")
        labels = check_labels(body.get("labels"))
        limit = cloud.quotas.limits(region)["STATIC_ADDRESSES"]
        if cloud.quotas.usage(project, region)["STATIC_ADDRESSES"] + 1 > limit:
            raise quota_exceeded("STATIC_ADDRESSES", limit, region)
        address = {
            **body,
            "kind": "compute#address",
            "id": str(cloud.new_id()),
            "creationTimestamp": cloud.clock().isoformat(timespec="milliseconds"),
            "name": name,
            "address": self._free_number(region),
            "addressType": "EXTERNAL",
            "networkTier": body.get("networkTier", "PREMIUM"),
            "labels": labels,
            "labelFingerprint": fingerprint(labels),
            "region": link_to(f"projects/{project}/regions/{region}"),
            "selfLink": link_to(path),
        }
        cloud.resources.save_address(address)
        operation = cloud.begin(request, "insert", f"regions/{region}", address)
        cloud.operations.finish(operation)
        return web.json_response(operation)

    def _free_number(self, region: str) -> str:
        taken = {address["address"] for address in self._cloud.resources.addresses.values()}
        network = FIRST_ADDRESSES[region]
        for last in range(1, 255):
            if f"{network}.{last}" not in taken:
                return f"{network}.{last}"
        raise invalid("region", region, "The local cloud has no more addresses there.")

    async def delete(self, request: web.Request) -> web.Response:
        """addresses.delete, refused while a VM uses it."""
        cloud = self._cloud
        if operation := cloud.repeated(request):
            return web.json_response(operation)
        path, address = self._find(request)
        user = cloud.resources.address_user(address)
        if user is not None:
            raise in_use("address", path, user.path)
        cloud.resources.remove_address(path)
        operation = cloud.begin(request, "delete", f"regions/{region_of(request)}", address)
        cloud.operations.finish(operation)
        return web.json_response(operation)

    async def set_labels(self, request: web.Request) -> web.Response:
        """addresses.setLabels: how old leftovers become ours."""
        if operation := self._cloud.repeated(request):
            return web.json_response(operation)
        body = await body_of(request)
        _, address = self._find(request)
        relabelled(address, body, stale_labels())
        self._cloud.resources.save_address(address)
        operation = self._cloud.begin(request, "setLabels", f"regions/{region_of(request)}", address)
        self._cloud.operations.finish(operation)
        return web.json_response(operation)
