"""Cleanup: finds what is provably garbage and proposes to delete it. Each row says why, how old it is and what it costs a day.

Only finding is here; deleting goes through `provision.actions`, as everything does. A VM that was lost while its run goes on is
not garbage: a person may have stopped it, and reconcile decides what takes its place.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from engine.clock import Clock, utc_now
from engine.errors import ExitCode, describe_exit
from engine.store import Store
from provision.actions import Item, Proposal
from provision.clients import ComputeClients
from provision.fleet import FleetSnapshot
from provision.labels import ADOPTED
from provision.prices import cost_per_hour, disk_cost_per_day, idle_address_cost_per_day
from provision.profile import Profile
from provision.resources import Address, Disk, Inventory, Vm, list_addresses, list_disks, watched_zones
from provision.runs import Phase, RunView
from provision.stale_state import STALE_AFTER, StaleState, find_stale_state
from provision.vm_state import FleetVm

ENDED_FOR = timedelta(minutes=3)
"""A worker that ended this long ago and whose VM still runs: its host did not power it off."""

SETTLED_AFTER = timedelta(minutes=10)
"""A disk without a VM, or an address without a user, may belong to something that is just being made."""


def take_inventory(
    clients: ComputeClients,
    snapshot: FleetSnapshot,
    *,
    state: Store | None = None,
    stale_after: timedelta = STALE_AFTER,
    clock: Clock = utc_now,
) -> Inventory:
    """The disks and addresses that exist, beside the VMs of a snapshot, and state of runs that are long over.

    Args:
        state: the state bucket; None: state is not looked at.
        stale_after: how long state is kept.

    Raises:
        EngineError: if anything could not be listed.
    """
    zones = watched_zones(clients)
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="inventory") as pool:
        disks, addresses = pool.submit(list_disks, clients, zones), pool.submit(list_addresses, clients)
        vms = tuple(row.vm for row in snapshot.vms if row.vm is not None)
        now = clock()
        living = {vm.ownership.run for vm in vms if vm.ownership is not None}
        stale = find_stale_state(state, now=now, older_than=stale_after, living=living) if state is not None else ()
        return Inventory(now, vms, disks.result(), addresses.result(), stale)


def propose_cleanup(profile: Profile, snapshot: FleetSnapshot, inventory: Inventory) -> Proposal:
    """What is garbage. Pure; strangers' resources never appear, not even as refused."""
    now = inventory.taken
    views = {view.run: view for view in snapshot.runs}
    items = [item for row in snapshot.vms if (item := _judge_vm(profile, row, views.get(row.run), now)) is not None]
    items += [item for disk in inventory.disks if (item := _judge_disk(profile, disk, inventory.vms, now)) is not None]
    items += [item for address in inventory.addresses if (item := _judge_address(profile, address, now)) is not None]
    items += [_state_item(stale, now) for stale in inventory.stale]
    return Proposal("cleanup", profile.project, tuple(items))


def propose_sweep(profile: Profile, snapshot: FleetSnapshot, view: RunView) -> Proposal:
    """The VMs of one run that nobody will want back: what reconcile deletes without asking a person. Pure.

    One whose worker failed stays for whoever looks into it; `tickdeck cleanup` proposes it.
    """
    items = []
    for row in snapshot.of_run(view.run):
        ended = row.exit_code in (ExitCode.DONE, ExitCode.PARTIAL)
        settled = ended or row.replaced_by or row.drained or view.phase(snapshot.taken) is Phase.FINISHED
        if settled and (item := _judge_vm(profile, row, view, snapshot.taken, expired=False)) is not None:
            items.append(item)
    return Proposal("cleanup", profile.project, tuple(items), run=view.run, plan=view.plan)


def _state_item(stale: StaleState, now: datetime) -> Item:
    return Item("state", stale.name, stale.why, run=stale.run, age_seconds=_age(stale.newest, now), objects=stale.objects)


def _judge_vm(profile: Profile, row: FleetVm, view: RunView | None, now: datetime, *, expired: bool = True) -> Item | None:
    vm = row.vm
    if vm is None or vm.ownership is None:
        return None
    why = _ended_vm(vm, row, view, now) or (_expired_vm(vm, now) if expired else None)
    if why is None:
        return None
    disk = disk_cost_per_day(profile, profile.disk_type, vm.disk_gb)
    cost = disk if row.dead else cost_per_hour(profile, vm.machine_type, vm.model) * 24
    return Item("vm", vm.name, why, vm.zone, vm.id, vm.ownership.run, vm.status, _age(vm.created, now), cost)


def _ended_vm(vm: Vm, row: FleetVm, view: RunView | None, now: datetime) -> str | None:
    """Why a VM of ours has done its work, or will never do it; None if that cannot be proved."""
    ownership = vm.ownership
    assert ownership is not None
    heartbeat = row.heartbeat
    ended = heartbeat is not None and heartbeat.exit_code >= 0
    going_on = view is not None and view.phase(now) is Phase.RUNNING
    if ownership.kept_until is not None and now < ownership.kept_until:
        return None
    if vm.status == "TERMINATED":
        if row.cause == "stopped" and going_on:
            return None  # by a person, who may start it again
        if ownership.run == ADOPTED:
            return "was adopted, and is powered off"
        if ended and heartbeat is not None:
            return f"ended: {describe_exit(heartbeat.exit_code)}"
        if row.replaced_by:
            return f"{row.replaced_by} took its place"
        if view is not None and view.phase(now) is not Phase.RUNNING:
            return f"run {view.run} is {view.phase(now)}"
    elif vm.status == "RUNNING" and ended and heartbeat is not None and now - heartbeat.written > ENDED_FOR:
        return f"its worker ended {(now - heartbeat.written).total_seconds() / 60:.0f} min ago, and it still runs"
    elif row.abandoned and row.replaced_by:
        return f"{row.replaced_by} took its place; {row.note}"
    elif row.abandoned and view is not None and view.phase(now) is Phase.FINISHED:
        return f"run {view.run} is finished; {row.note}"
    return None


def _expired_vm(vm: Vm, now: datetime) -> str | None:
    ownership = vm.ownership
    expires = ownership.expires if ownership is not None else None
    return f"expired {expires:%Y-%m-%d %H:%M} UTC" if expires is not None and now > expires else None


def _judge_disk(profile: Profile, disk: Disk, vms: tuple[Vm, ...], now: datetime) -> Item | None:
    ownership = disk.ownership
    if ownership is None or disk.users or disk.status != "READY" or not _is_settled(disk.created, now):
        return None
    if any(vm.name == disk.name and vm.zone == disk.zone for vm in vms):
        return None
    cost = disk_cost_per_day(profile, disk.kind, disk.size_gb)
    why = f"{disk.size_gb} GB that no VM uses"
    return Item("disk", disk.name, why, disk.zone, disk.id, ownership.run, disk.status, _age(disk.created, now), cost)


def _judge_address(profile: Profile, address: Address, now: datetime) -> Item | None:
    ownership = address.ownership
    if ownership is None or address.users or address.status != "RESERVED" or not _is_settled(address.created, now):
        return None
    cost = idle_address_cost_per_day(profile)
    why = f"{address.address} is reserved and nothing uses it"
    age = _age(address.created, now)
    return Item("address", address.name, why, address.region, address.id, ownership.run, address.status, age, cost)


def _is_settled(created: datetime | None, now: datetime) -> bool:
    return created is not None and now - created > SETTLED_AFTER


def _age(created: datetime | None, now: datetime) -> float | None:
    return (now - created).total_seconds() if created else None
