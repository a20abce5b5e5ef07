"""A Compute server and a storage server over the wire, with a project and buckets of its own for each test."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from engine.claims import State, release, take
from engine.clock import utc_now
from engine.heartbeat import Heartbeat, write_heartbeat
from engine.plan import Plan, save_plan
from engine.run import new_run
from engine.storage_service import open_storage
from engine.store import Store
from provision.audit import AuditRecord, list_records
from provision.clients import ComputeClients
from provision.fleet import FleetSnapshot, observe
from provision.launch import LaunchIntent, launch, preview
from provision.placing import LaunchResult
from provision.profile import Endpoints, Profile
from provision.resources import Vm, list_vms, region_zones, watched_zones
from provision.runs import RunReader, RunView
from tests.local_servers import LocalServer, started
from tests.provision.made_up_fleet import local_profile, make_plan

GUEST = Path(__file__).with_name("sleeping_guest.py")
PATIENCE_SECONDS = 60.0

_numbers = itertools.count(1)


@dataclass
class Wired:
    """One test's project and buckets, the product's own clients, and the control routes of the Compute server."""

    profile: Profile
    clients: ComputeClients
    state: Store
    data: Store
    server: LocalServer

    def plan(self, shards: int = 3, **more: Any) -> Plan:
        """A saved plan for this profile."""
        plan = make_plan(shards, profile=self.profile, **more)
        save_plan(self.state, plan)
        return plan

    def intent(self, vms: int = 3, *, plan: Plan | None = None, **more: Any) -> LaunchIntent:
        """A preview of a new run."""
        plan = plan or self.plan(vms)
        now = utc_now()
        return preview(self.profile, plan, vms, run=more.pop("run", new_run(now)), now=now, region_zones=region_zones(self.clients), **more)

    def launch(self, vms: int = 3, *, until: str = "RUNNING", **more: Any) -> LaunchResult:
        """A new run, its VMs at `until`."""
        result = launch(self.profile, self.clients, self.state, self.intent(vms, **more))
        if until:
            self.wait_until(lambda: all(vm.status == until for vm in self.vms()), f"all VMs {until}")
        return result

    def vms(self) -> tuple[Vm, ...]:
        return list_vms(self.clients, watched_zones(self.clients))

    def names(self) -> set[str]:
        return {vm.name for vm in self.vms()}

    def look(self, previous: FleetSnapshot | None = None, *, at: datetime | None = None) -> FleetSnapshot:
        """A fresh look at the fleet, at another moment if asked."""
        clock = (lambda: at) if at else utc_now
        return observe(self.profile, self.clients, RunReader(self.state), previous=previous, clock=clock)

    def view(self, run: str) -> RunView:
        return RunReader(self.state).read(run)

    def work(self, run: str, vm: str, shard: int, state: State = "working", **beat: Any) -> None:
        """Say what a worker on this VM would say."""
        now = utc_now()
        held = take(self.state, run, shard, vm, now=now, gone=frozenset(beat.pop("gone", ())))
        assert held is not None
        if state != "working":
            release(self.state, held, state, now=now)
        values = {"state": state, "shard": shard, "files_total": 1, "sequence": 1, "written": now, "started": now}
        write_heartbeat(self.state, Heartbeat(run=run, vm=vm, **{**values, **beat}))

    def audit(self) -> list[AuditRecord]:
        today = utc_now().date()
        return list(list_records(self.state, today, today))

    def preempt(self, vm: str) -> None:
        self.server.post("/_tickdeck/preempt", {"vm": vm, "project": self.profile.project, "grace_seconds": 5})
        self.wait_until(lambda: vm not in self.names(), f"{vm} is gone")

    def kill(self, vm: str) -> None:
        self.server.post("/_tickdeck/kill", {"vm": vm, "project": self.profile.project})
        self.wait_until(lambda: any(one.name == vm and one.status == "TERMINATED" for one in self.vms()), f"{vm} is off")

    def arm(self, **fault: Any) -> None:
        self.server.post("/_tickdeck/faults", fault)

    def with_profile(self, **changes: Any) -> Wired:
        """The same project and buckets under another profile."""
        profile = local_profile(**{**_fields(self.profile), **changes})
        return Wired(profile, ComputeClients(profile), self.state, self.data, self.server)

    def wait_until(self, holds: Callable[[], Any], what: str) -> None:
        ends = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < ends, f"not within {PATIENCE_SECONDS:.0f} s: {what}"
            time.sleep(0.05)


def _fields(profile: Profile) -> Mapping[str, Any]:
    return {name: getattr(profile, name) for name in ("project", "data_bucket", "endpoints", "zones")}


@pytest.fixture(scope="session")
def compute_server(servers_root: Path) -> Iterator[LocalServer]:
    """One Compute server for the session; its VMs run `sleeping_guest.py`."""
    argv = json.dumps([sys.executable, "-S", str(GUEST)])
    arguments = ("--boot-argv", argv, "--memory-per-vm-mib", "16", "--memory-budget-mib", "640")
    with started("compute", servers_root / "fleet" / "compute", *arguments) as server:
        yield server


@pytest.fixture(scope="session")
def platform_server(servers_root: Path) -> Iterator[LocalServer]:
    """One platform server for the session; tests take projects of their own."""
    with started("platform", servers_root / "fleet" / "platform") as server:
        yield server


@pytest.fixture
def wired(compute_server: LocalServer, storage_server: LocalServer) -> Iterator[Wired]:
    """A project without VMs, and fresh buckets."""
    name = f"fleet-{os.getpid()}-{next(_numbers)}"
    service = open_storage(project=name, endpoint=storage_server.url)
    for bucket in (name, f"{name}-state"):
        service.client.create_bucket(bucket)
    endpoints = Endpoints(storage=storage_server.url, compute=compute_server.url)
    profile = local_profile(project=name, data_bucket=name, endpoints=endpoints)
    cloud = Wired(profile, ComputeClients(profile), Store(service, f"{name}-state"), Store(service, name), compute_server)
    yield cloud
    compute_server.disarm()
    for vm in cloud.vms():
        with suppress(HTTPError):  # it may have ended meanwhile
            compute_server.post("/_tickdeck/kill", {"vm": vm.name, "project": name})
