"""Worlds of resources by chance on a real server, changed by somebody between the proposal and its application: whatever disappears
carried our labels at that moment and was on the list, and whatever is on the list and was not changed disappears.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from google.cloud import compute_v1

from engine.clock import utc_now
from engine.launch import LaunchedVm
from engine.run import new_run
from provision.actions import Proposal, apply, propose_abort, propose_delete, propose_power
from provision.adopting import propose_adoption
from provision.cleanup import propose_cleanup, propose_sweep, take_inventory
from provision.errors import GuardRefusal
from provision.fleet import FleetSnapshot
from provision.labels import make_labels, parse_labels
from provision.orders import write_order
from provision.resources import Address, Disk, Vm
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import make_order

ZONE, REGION = "asia-northeast1-a", "asia-northeast1"
Thing = Vm | Disk | Address
LATER = timedelta(minutes=30)


@dataclass
class World:
    """Some resources of ours, of others and of nobody, and somebody who changes them."""

    wired: Wired
    chance: random.Random
    run: str

    def labels(self) -> dict[str, str]:
        ours = make_labels(owner="alice", run=self.run, plan="0123456789ab", expires=utc_now() + timedelta(hours=1))
        past = make_labels(owner="alice", run=self.run, plan="0123456789ab", expires=utc_now() - timedelta(hours=1))
        theirs = make_labels(owner="bob", run="r1tp9aaaaa", plan="0123456789ab", expires=utc_now() + timedelta(hours=1))
        others: list[dict[str, str]] = [{}, {"app": "web"}, {"td-owner": "alice"}, {"td-run": self.run}]
        return self.chance.choice([ours, ours, past, theirs, *others])

    def names(self) -> list[str]:
        run = self.run
        return [f"market-data-shard-{run}-0", f"market-data-shard-{run}-1", "market-data-pipeline", "web-1", "market-data-shard-7"]

    def fill(self) -> None:
        for name in self.names():
            self.make_vm(name)
            self.make_disk(f"{name}-data")
            self.make_address(f"{name}-ip")
        wired = self.wired
        wired.wait_until(lambda: all(vm.status == "RUNNING" for vm in wired.vms()), "all VMs run")
        for vm in wired.vms():
            if self.chance.random() < 0.5:
                wired.kill(vm.name)

    def make_vm(self, name: str) -> None:
        instance = {
            "name": name,
            "machine_type": f"zones/{ZONE}/machineTypes/local-1",
            "labels": self.labels(),
            "disks": [{"boot": True, "auto_delete": True, "initialize_params": {"source_image": "debian-12"}}],
            "network_interfaces": [{"network": "global/networks/default"}],
        }
        wait(self.wired, self.wired.clients.instances.insert_unary(project=self.project, zone=ZONE, instance_resource=instance))

    def make_disk(self, name: str) -> None:
        disk = compute_v1.Disk(name=name, size_gb=10, labels=self.labels())
        self.wired.clients.disks.insert_unary(project=self.project, zone=ZONE, disk_resource=disk)

    def make_address(self, name: str) -> None:
        address = compute_v1.Address(name=name, labels=self.labels())
        self.wired.clients.addresses.insert_unary(project=self.project, region=REGION, address_resource=address)

    @property
    def project(self) -> str:
        return self.wired.profile.project

    def disturb(self, found: Mapping[str, Thing]) -> None:
        """Give some other labels, make some anew under the same name, let some go."""
        for thing in found.values():
            if self.is_boot_disk(thing) or self.chance.random() < 0.4:
                continue
            self.chance.choice([self.relabel, self.make_anew, self.make_anew, self.remove])(thing)

    def is_boot_disk(self, thing: Thing) -> bool:
        return isinstance(thing, Disk) and not thing.name.endswith("-data")

    def relabel(self, thing: Thing) -> None:
        clients, body = self.wired.clients, {"labels": self.labels(), "label_fingerprint": thing.fingerprint}
        if isinstance(thing, Vm):
            clients.instances.set_labels_unary(
                {"project": self.project, "zone": thing.zone, "instance": thing.name, "instances_set_labels_request_resource": body}
            )
        elif isinstance(thing, Disk):
            clients.disks.set_labels_unary(
                {"project": self.project, "zone": thing.zone, "resource": thing.name, "zone_set_labels_request_resource": body}
            )
        else:
            clients.addresses.set_labels_unary(
                {"project": self.project, "region": REGION, "resource": thing.name, "region_set_labels_request_resource": body}
            )

    def remove(self, thing: Thing) -> None:
        clients = self.wired.clients
        if isinstance(thing, Vm):
            wait(self.wired, clients.instances.delete_unary(project=self.project, zone=thing.zone, instance=thing.name))
        elif isinstance(thing, Disk):
            clients.disks.delete_unary(project=self.project, zone=thing.zone, disk=thing.name)
        else:
            clients.addresses.delete_unary(project=self.project, region=REGION, address=thing.name)

    def make_anew(self, thing: Thing) -> None:
        self.remove(thing)
        makers: dict[type, Callable[[str], None]] = {Vm: self.make_vm, Disk: self.make_disk, Address: self.make_address}
        makers[type(thing)](thing.name)

    def things(self) -> dict[str, Thing]:
        """By id."""
        inventory = take_inventory(self.wired.clients, self.wired.look())
        return {thing.id: thing for thing in (*inventory.vms, *inventory.disks, *inventory.addresses)}


def wait(wired: Wired, operation: Any) -> None:
    wired.clients.zone_operations.wait(project=wired.profile.project, zone=ZONE, operation=operation.name)


def proposals(world: World, snapshot: FleetSnapshot) -> dict[str, Callable[[], Proposal]]:
    """Everything that a person or reconcile could propose, with words as careless as people's."""
    wired, run = world.wired, world.run
    inventory = take_inventory(wired.clients, snapshot, state=wired.state, clock=lambda: utc_now() + LATER)
    view = next(view for view in snapshot.runs if view.run == run)
    words = world.chance.choice([["market-data-*"], ["web*", f"market-data-shard-{run}-*"], ["*1*"], ["market-data-pipeline", "*-0"]])
    return {
        "cleanup": lambda: propose_cleanup(wired.profile, snapshot, inventory),
        "sweep": lambda: propose_sweep(wired.profile, snapshot, view),
        "delete": lambda: propose_delete(wired.profile, snapshot, words),
        "abort": lambda: propose_abort(wired.profile, snapshot, view),
        "stop": lambda: propose_power(wired.profile, snapshot, "stop", words),
        "adopt": lambda: propose_adoption(wired.profile, inventory, ["market-data-*", "web*"]),
    }


@pytest.fixture
def world(wired: Wired, request: pytest.FixtureRequest) -> World:
    run = new_run(utc_now())
    vms = {f"market-data-shard-{run}-{shard}": LaunchedVm(shards=(shard,)) for shard in range(2)}
    write_order(wired.state, make_order(vms, run=run, created=utc_now(), project=wired.profile.project))
    made = World(wired, random.Random(request.param), run)
    made.fill()
    return made


@pytest.mark.parametrize("verb", ["cleanup", "sweep", "delete", "abort", "stop", "adopt"])
@pytest.mark.parametrize("world", [1, 2, 3], indirect=True, ids=lambda seed: f"seed {seed}")
def test_only_what_is_ours_at_that_moment_and_was_on_the_list_is_touched(world: World, verb: str) -> None:
    wired = world.wired
    proposal = proposals(world, wired.look())[verb]()
    seen = world.things()
    listed = {item.id for item in proposal.items if item.kind in ("vm", "disk", "address")}
    assert {(item.kind, item.name) for item in proposal.items if item.id in listed} == {
        (type(seen[number]).__name__.lower(), seen[number].name) for number in listed
    }
    world.disturb(seen)
    before = world.things()
    if not proposal.items:
        with pytest.raises(GuardRefusal):
            apply(proposal, profile=wired.profile, clients=wired.clients, state=wired.state, confirm=0)
        return
    receipt = apply(proposal, profile=wired.profile, clients=wired.clients, state=wired.state, confirm=len(proposal.items))
    after = world.things()
    touched = {number for number, thing in before.items() if _differs(thing, after.get(number))}
    boot_disks = {number for number in touched if world.is_boot_disk(before[number]) and number not in listed}
    for number in touched - boot_disks:
        assert number in listed, f"{before[number]} was not on the list"
        assert (not before[number].labels) if verb == "adopt" else (parse_labels(before[number].labels) is not None), before[number]
    unchanged = {number for number in listed if number in before and before[number] == seen[number]}
    assert unchanged <= touched, receipt.failed
    done = {result.item.id for result in receipt.results if result.ok and result.item.id in before}
    assert done == touched - boot_disks
    assert set(after) <= set(before), "nothing appears"


def _differs(thing: Thing, now: Thing | None) -> bool:
    if now is None:
        return True
    return thing.labels != now.labels or (isinstance(now, Vm) and thing.status != now.status and thing.status == "RUNNING")
