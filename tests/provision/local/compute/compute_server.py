"""Running local Compute servers, and the official clients that speak to them; VMs run `guest_program.py`."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import compute_v1

from provision.local.compute import ComputeSettings, create_app
from provision.local.serving import listen

GUEST = Path(__file__).with_name("guest_program.py")
BOOT_ARGV = (sys.executable, "-S", str(GUEST))
PROJECT, REGION, ZONE = "tickdeck-test", "asia-northeast1", "asia-northeast1-a"
PATIENCE_SECONDS = 60.0


def until(holds: Callable[[], Any], what: str) -> Any:
    """Poll until `holds` gives something true, and return that."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < ends, f"not within {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.02)


class FakeClock:
    """A clock that moves when told to, on top of real time."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, **kwargs: float) -> None:
        self._ahead += timedelta(**kwargs)


class Compute:
    """Official clients and the control routes of one running server."""

    def __init__(self, port: int, root: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.root = root
        self._clients: dict[str, Any] = {}

    def client(self, name: str) -> Any:
        if name not in self._clients:
            kind = getattr(compute_v1, f"{name}Client")
            self._clients[name] = kind(credentials=AnonymousCredentials(), client_options={"api_endpoint": self.url})
        return self._clients[name]

    def close(self) -> None:
        for client in self._clients.values():
            client.transport.close()

    @property
    def instances(self) -> Any:
        return self.client("Instances")

    # -- requests --

    def properties(self, guest: str = "wait", **changes: Any) -> dict[str, Any]:
        """Fields that instance and instance properties share."""
        return {
            "disks": [
                compute_v1.AttachedDisk(
                    boot=True,
                    auto_delete=True,
                    initialize_params=compute_v1.AttachedDiskInitializeParams(
                        source_image="projects/cos-cloud/global/images/family/cos-stable", disk_size_gb=100
                    ),
                )
            ],
            "network_interfaces": [compute_v1.NetworkInterface(network="global/networks/default")],
            "metadata": compute_v1.Metadata(items=[compute_v1.Items(key="tickdeck-env", value=f"GUEST={guest}\n")]),
            "labels": {"td-owner": "ops"},
            **changes,
        }

    def instance(self, name: str = "vm-1", guest: str = "wait", *, zone: str = ZONE, **changes: Any) -> Any:
        fields = {"machine_type": f"zones/{zone}/machineTypes/e2-small", **self.properties(guest, **changes)}
        return compute_v1.Instance(name=name, **fields)

    def insert(self, name: str = "vm-1", guest: str = "wait", *, zone: str = ZONE, **changes: Any) -> Any:
        """Insert and wait for the operation."""
        resource = self.instance(name, guest, zone=zone, **changes)
        return self.done(self.instances.insert_unary(project=PROJECT, zone=zone, instance_resource=resource))

    def bulk_resource(self, names: Sequence[str], guest: str = "wait", **changes: Any) -> Any:
        per_name = {name: compute_v1.BulkInsertInstanceResourcePerInstanceProperties(name=name) for name in names}
        properties = changes.pop("instance_properties", None) or compute_v1.InstanceProperties(
            machine_type="e2-small", **self.properties(guest, **changes.pop("properties", {}))
        )
        fields = {"count": len(names), "min_count": 1, "per_instance_properties": per_name, **changes}
        return compute_v1.BulkInsertInstanceResource(instance_properties=properties, **fields)

    def bulk_insert(self, resource: Any, request_id: str | None = None) -> Any:
        """Regional bulk insert, waited for."""
        request = compute_v1.BulkInsertRegionInstanceRequest(
            project=PROJECT, region=REGION, bulk_insert_instance_resource_resource=resource, request_id=request_id
        )
        return self.done(self.client("RegionInstances").bulk_insert_unary(request))

    def done(self, operation: Any) -> Any:
        """Wait for an operation where it lives."""
        place = (operation.zone or operation.region).rsplit("/", 1)[-1]
        if operation.zone:
            return self.client("ZoneOperations").wait(project=PROJECT, zone=place, operation=operation.name)
        return self.client("RegionOperations").wait(project=PROJECT, region=place, operation=operation.name)

    # -- what is there --

    def get(self, name: str = "vm-1", zone: str = ZONE) -> Any:
        return self.instances.get(project=PROJECT, zone=zone, instance=name)

    def all(self) -> dict[str, Any]:
        """Every VM by name, over all zones."""
        found = self.instances.aggregated_list(project=PROJECT)
        return {instance.name: instance for _, scoped in found for instance in scoped.instances}

    def serial(self, name: str = "vm-1", zone: str = ZONE, start: int = 0) -> Any:
        request = compute_v1.GetSerialPortOutputInstanceRequest(project=PROJECT, zone=zone, instance=name, start=start)
        return self.instances.get_serial_port_output(request)

    def wait_for_status(self, status: str, name: str = "vm-1", zone: str = ZONE) -> Any:
        return until(lambda: (vm := self.get(name, zone)).status == status and vm, f"{name} {status}")

    def wait_for_serial(self, text: str, name: str = "vm-1", zone: str = ZONE) -> str:
        return str(until(lambda: text in (log := self.serial(name, zone).contents) and log, f"{text!r} on {name}"))

    def control(self, path: str, body: Mapping[str, Any] | None = None, method: str = "POST") -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}/_tickdeck/{path}", data, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
            return json.loads(response.read())

    def vms(self) -> dict[str, Any]:
        return dict(self.control("vms", method="GET"))

    def fault(self, **order: Any) -> None:
        self.control("faults", order)


class InProcess:
    """A server on an event loop in a thread of the test process."""

    def __init__(self, settings: ComputeSettings, clock: Callable[[], datetime]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.runner, port = self.run(self._start(settings, clock))
        self.compute = Compute(port, settings.root)

    async def _start(self, settings: ComputeSettings, clock: Callable[[], datetime]) -> Any:
        return await listen(create_app(settings, clock))

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def stop(self) -> None:
        self.compute.close()
        self.run(self.runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


HOST_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nowhere",
    "TZ": "UTC",
    "PYTHONUNBUFFERED": "1",
    "AWS_SECRET_ACCESS_KEY": "not-for-guests",
    "TICKDECK_VM_SECRET_TARDIS_API_KEY": "td-secret-1",
}


class ServerProcess:
    """`python -m provision.local.compute` as `tickdeck local up` starts it."""

    def __init__(self, root: Path, nonce: str, *options: str) -> None:
        self.ready_file = root.parent / f"ready-{nonce}.json"
        self.ready_file.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "provision.local.compute", "--root", str(root), "--port", "0", "--nonce", nonce]
        argv += ["--ready-file", str(self.ready_file), "--boot-argv", json.dumps(BOOT_ARGV), *options]
        self.process = subprocess.Popen(argv, env={**os.environ, **HOST_ENVIRONMENT})
        until(self.ready_file.exists, "the server is ready")
        self.ports = json.loads(self.ready_file.read_text())["ports"]
        self.compute = Compute(self.ports["compute"], root)

    def kill(self) -> None:
        self.compute.close()
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        self.compute.close()
        self.process.terminate()
        return self.process.wait(20)
