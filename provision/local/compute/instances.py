"""The routes of one VM: insert, get, list, delete, power, labels, metadata, serial port."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aiohttp import web

from provision.local.compute.cloud import Cloud, body_of, project_of, relabelled, zone_of
from provision.local.compute.errors import already_exists, invalid, stale_labels, stale_metadata, stockout
from provision.local.compute.inventory import API_ROOT, ZONES
from provision.local.compute.listing import aggregated_reply, list_reply
from provision.local.compute.machines import Machine, disk_json, disk_name, fingerprint, instance_json
from provision.local.compute.quotas import demand_of
from provision.local.compute.rules import check_machine_type, check_metadata, check_name, check_properties
from provision.local.compute.serial import SerialWindow, read_window

Json = dict[str, Any]


def check_free(cloud: Cloud, project: str, zone: str, name: str, properties: Json) -> None:
    """Neither the VM nor its boot disk may exist, and a static address must be free.

    Raises:
        ComputeError: 409 or 400.
    """
    path = f"projects/{project}/zones/{zone}/instances/{name}"
    if path in cloud.resources.machines:
        raise already_exists(path)
    disk_path = f"projects/{project}/zones/{zone}/disks/{disk_name(name, properties)}"
    if disk_path in cloud.resources.disks:
        raise already_exists(disk_path)
    for interface in properties["networkInterfaces"]:
        for config in interface.get("accessConfigs") or ():
            _check_address(cloud, project, zone, config.get("natIP"))


def _check_address(cloud: Cloud, project: str, zone: str, wanted: str | None) -> None:
    if not wanted:
        return
    region = f"projects/{project}/regions/{ZONES[zone]}/"
    for path, address in cloud.resources.addresses.items():
        if path.startswith(region) and address["address"] == wanted:
            if cloud.resources.address_user(address) is not None:
                raise invalid(
                    "resource.networkInterfaces[0].accessConfigs[0].natIP",
                    wanted,
                    f"External IP address: {wanted} is already in-use.",
                )
            return
    why = "The specified external IP address was not found in region."
    raise invalid("resource.networkInterfaces[0].accessConfigs[0].natIP", wanted, why)


def record_machine(cloud: Cloud, project: str, zone: str, name: str, machine_type: str, properties: Json) -> Machine:
    """Write down a new VM and its boot disk; it is PROVISIONING and not in line yet."""
    now = cloud.clock()
    instance = instance_json(project, zone, name, machine_type, properties, cloud.new_id(), now)
    directory = cloud.resources.free_directory(name, zone)
    attached = instance["disks"][0]
    cloud.resources.save_disk(
        disk_json(
            project,
            zone,
            disk_name(name, properties),
            properties["disks"][0].get("initializeParams") or {},
            int(attached["diskSizeGb"]),
            directory,
            cloud.new_id(),
            now,
        )
    )
    machine = Machine(project, zone, name, instance, directory, cloud.ledger.next_number())
    cloud.resources.save(machine)
    return machine


class InstanceRoutes:
    """Handlers of `/projects/{project}/zones/{zone}/instances...`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def add_to(self, app: web.Application, base: str) -> None:
        """Add the routes under `base`."""
        zonal = f"{base}/zones/{{zone}}/instances"
        one = f"{zonal}/{{name}}"
        app.router.add_get(f"{base}/aggregated/instances", self.aggregated_list)
        app.router.add_get(zonal, self.list_zone)
        app.router.add_post(zonal, self.insert)
        app.router.add_get(one, self.get)
        app.router.add_delete(one, self.delete)
        app.router.add_get(f"{one}/serialPort", self.serial_port)
        for verb, handler in (
            ("stop", self.stop),
            ("start", self.start),
            ("reset", self.reset),
            ("setLabels", self.set_labels),
            ("setMetadata", self.set_metadata),
        ):
            app.router.add_post(f"{one}/{verb}", handler)

    async def aggregated_list(self, request: web.Request) -> web.Response:
        """instances.aggregatedList."""
        scopes = [f"zones/{zone}" for zone in ZONES]
        found = [machine.resource for machine in self._cloud.resources.of_project(project_of(request))]
        kind = "compute#instanceAggregatedList"
        return web.json_response(aggregated_reply(kind, "instances", scopes, found, request.query))

    async def list_zone(self, request: web.Request) -> web.Response:
        """instances.list."""
        zone = zone_of(request)
        found = [machine.resource for machine in self._cloud.resources.of_project(project_of(request)) if machine.zone == zone]
        return web.json_response(list_reply("compute#instanceList", found, request.query))

    async def get(self, request: web.Request) -> web.Response:
        """instances.get."""
        return web.json_response(self._cloud.machine(request).resource)

    async def insert(self, request: web.Request) -> web.Response:
        """instances.insert."""
        cloud = self._cloud
        if operation := cloud.repeated(request):
            return web.json_response(operation)
        project, zone, body = project_of(request), zone_of(request), await body_of(request)
        name = check_name(body.get("name"))
        machine_type = check_machine_type(body.get("machineType"), zone)
        properties = check_properties(body)
        check_free(cloud, project, zone, name, properties)
        scope = f"zones/{zone}"
        refusal = cloud.quotas.refusal(project, ZONES[zone], demand_of(machine_type, properties), Counter())
        if refusal is None and cloud.incidents.stocked_out(zone, machine_type):
            refusal = stockout(project, zone, machine_type)
        if refusal is not None:
            operation = cloud.begin(request, "insert", scope, link=f"{API_ROOT}projects/{project}/{scope}/instances/{name}")
            cloud.operations.finish(operation, [refusal])
            return web.json_response(operation)
        machine = record_machine(cloud, project, zone, name, machine_type, properties)
        operation = cloud.begin(request, "insert", scope, machine.resource)
        cloud.hypervisor.create([machine], lambda: cloud.operations.finish(operation))
        return web.json_response(operation)

    async def delete(self, request: web.Request) -> web.Response:
        """instances.delete."""
        return self._power(request, "delete")

    async def stop(self, request: web.Request) -> web.Response:
        """instances.stop."""
        return self._power(request, "stop")

    async def start(self, request: web.Request) -> web.Response:
        """instances.start."""
        return self._power(request, "start")

    async def reset(self, request: web.Request) -> web.Response:
        """instances.reset."""
        return self._power(request, "reset")

    def _power(self, request: web.Request, verb: str) -> web.Response:
        if operation := self._cloud.repeated(request):
            return web.json_response(operation)
        machine = self._cloud.machine(request)
        hypervisor = self._cloud.hypervisor
        hypervisor.check_power(machine, verb)
        operation = self._cloud.begin(request, verb, f"zones/{machine.zone}", machine.resource)
        orders = {
            "delete": hypervisor.delete,
            "stop": hypervisor.stop,
            "start": hypervisor.power_on,
            "reset": hypervisor.reset,
        }
        orders[verb](machine, operation)
        return web.json_response(operation)

    async def set_labels(self, request: web.Request) -> web.Response:
        """instances.setLabels: all labels at once, against the current fingerprint."""
        if operation := self._cloud.repeated(request):
            return web.json_response(operation)
        body = await body_of(request)
        machine = self._cloud.machine(request)
        relabelled(machine.resource, body, stale_labels())
        return self._changed(request, machine, "setLabels")

    async def set_metadata(self, request: web.Request) -> web.Response:
        """instances.setMetadata: all items at once, against the current fingerprint."""
        if operation := self._cloud.repeated(request):
            return web.json_response(operation)
        body = await body_of(request)
        machine = self._cloud.machine(request)
        items = check_metadata(body, "metadata")
        if body.get("fingerprint", "") != machine.resource["metadata"]["fingerprint"]:
            raise stale_metadata()
        machine.resource["metadata"] = {"kind": "compute#metadata", "items": items, "fingerprint": fingerprint(items)}
        return self._changed(request, machine, "setMetadata")

    def _changed(self, request: web.Request, machine: Machine, operation_type: str) -> web.Response:
        self._cloud.resources.save(machine)
        self._cloud.hypervisor.announce(machine)
        operation = self._cloud.begin(request, operation_type, f"zones/{machine.zone}", machine.resource)
        self._cloud.operations.finish(operation)
        return web.json_response(operation)

    async def serial_port(self, request: web.Request) -> web.Response:
        """instances.getSerialPortOutput."""
        machine = self._cloud.machine(request)
        port, start = request.query.get("port", "1"), request.query.get("start", "0")
        if port not in {"1", "2", "3", "4"}:
            raise invalid("port", port, "Must be between 1 and 4, inclusive.")
        try:
            first = int(start)
        except ValueError:
            raise invalid("start", start, "Must be an integer.") from None
        silent = SerialWindow("", max(first, 0), max(first, 0))
        window = read_window(self._cloud.hypervisor.host.serial_port(machine), first) if port == "1" else silent
        return web.json_response(
            {
                "kind": "compute#serialPortOutput",
                "contents": window.contents,
                "start": str(window.start),
                "next": str(window.next),
                "selfLink": f"{machine.resource['selfLink']}/serialPort",
            }
        )
