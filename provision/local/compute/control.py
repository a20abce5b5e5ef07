"""Routes that no Google server has: preempt a VM, cut its power, look at the processes. All under `/_tickdeck/`."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Collection
from typing import Any

import psutil
from aiohttp import web

from provision.local.compute.cloud import Cloud, body_of
from provision.local.compute.errors import ComputeError, invalid, not_found, required
from provision.local.compute.machines import Machine

Json = dict[str, Any]

PREEMPT_PATH = "/_tickdeck/preempt"
"""POST {"vm": NAME, "grace_seconds": 30} answers with the operation. Whatever the provisioning model: it is an exercise."""

KILL_PATH = "/_tickdeck/kill"
"""POST {"vm": NAME} cuts the power: SIGKILL, TERMINATED, no operation."""

VMS_PATH = "/_tickdeck/vms"
"""GET answers NAME -> {pid, status, exit_code, started, memory_rss (bytes, of the whole group), ...}."""

PREEMPTION_GRACE_SECONDS = 30.0


class ControlRoutes:
    """Handlers for drills, tests and the demo."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post(PREEMPT_PATH, self.preempt)
        app.router.add_post(KILL_PATH, self.kill)
        app.router.add_get(VMS_PATH, self.list_vms)

    def _named(self, body: Json) -> Machine:
        name = body.get("vm")
        if not name:
            raise required("vm")
        places = [body.get("project"), body.get("zone")]
        found = [
            machine
            for machine in self._cloud.resources.machines.values()
            if machine.name == name and places[0] in {None, machine.project} and places[1] in {None, machine.zone}
        ]
        if not found:
            raise not_found(f"instances/{name}")
        if len(found) > 1:
            raise ComputeError(409, f"{len(found)} VMs are called '{name}': say which project and zone", "ambiguous")
        return found[0]

    async def preempt(self, request: web.Request) -> web.Response:
        """Take a VM away as Compute Engine would."""
        body = await body_of(request)
        grace = body.get("grace_seconds", PREEMPTION_GRACE_SECONDS)
        if not isinstance(grace, int | float) or grace < 0:
            raise invalid("grace_seconds", grace, "Must be a number of seconds, at least 0.")
        machine = self._named(body)
        self._cloud.hypervisor.check_power(machine, "preempt")
        return web.json_response(self._cloud.hypervisor.preempt(machine, float(grace)))

    async def kill(self, request: web.Request) -> web.Response:
        """Cut the power of a VM."""
        machine = self._named(await body_of(request))
        self._cloud.hypervisor.check_power(machine, "kill")
        self._cloud.hypervisor.cut_power(machine)
        return web.json_response({"vm": machine.name, "pid": machine.pid})

    async def list_vms(self, _request: web.Request) -> web.Response:
        """The processes behind the VMs."""
        machines = list(self._cloud.resources.machines.values())
        memory = await asyncio.to_thread(_group_memory, {machine.pid for machine in machines if machine.pid is not None})
        names = Counter(machine.name for machine in machines)
        return web.json_response(
            {
                machine.name if names[machine.name] == 1 else machine.path: {
                    "project": machine.project,
                    "zone": machine.zone,
                    "status": machine.status,
                    "pid": machine.pid,
                    "exit_code": machine.exit_code,
                    "boots": machine.boots,
                    "started": machine.resource.get("lastStartTimestamp"),
                    "memory_rss": memory.get(machine.pid) if machine.pid is not None else None,
                    "metadata_port": machine.metadata_port,
                    "preempted": machine.preempted,
                }
                for machine in machines
            }
        )


def _group_memory(leaders: Collection[int]) -> Counter[int]:
    """Resident memory in bytes of each process group, in one pass over all processes."""
    memory: Counter[int] = Counter()
    if not leaders:
        return memory
    for process in psutil.process_iter():
        try:
            group = os.getpgid(process.pid)
            if group in leaders:
                memory[group] += process.memory_info().rss
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue
    return memory
