"""What stands in the project from before Tickdeck, without a label: proposed to become ours, so that cleanup sees it. Pure.

Nothing that carries any label is ever proposed: whoever put it there owns it. The labels are written by `provision.actions`, against the
fingerprint of the empty set, so what somebody labels meanwhile stays theirs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from provision.actions import Item, Proposal, Refusal
from provision.errors import GuardRefusal
from provision.labels import ADOPTED, make_labels
from provision.names import is_wildcard_only
from provision.prices import cost_per_hour, disk_cost_per_day, idle_address_cost_per_day
from provision.profile import Profile
from provision.resources import Address, Disk, Inventory, Vm

PATTERN = "market-data-*"
"""What the scripts before Tickdeck called what they made."""

GRACE = timedelta(days=1)
"""A VM that was adopted is left alone for so long, unless it is powered off."""

NO_PLAN = "none"


def propose_adoption(profile: Profile, inventory: Inventory, patterns: Sequence[str] = (PATTERN,)) -> Proposal:
    """Give our labels to unlabelled VMs, disks and reserved addresses with these names.

    Args:
        patterns: names, or patterns over whole names.

    Raises:
        GuardRefusal: if a pattern selects by wildcards alone, or nothing was named.
    """
    if not patterns:
        raise GuardRefusal("nothing is named", hint=f"give names or patterns such as {PATTERN}")
    for pattern in patterns:
        if is_wildcard_only(pattern):
            raise GuardRefusal(f"{pattern!r} selects by wildcards alone", hint=f"give names or patterns such as {PATTERN}")
    now = inventory.taken
    items: list[Item] = []
    refused: list[Refusal] = []
    found: Iterable[Vm | Disk | Address] = (*inventory.vms, *inventory.disks, *inventory.addresses)
    ours = {(vm.zone, vm.name) for vm in inventory.vms if vm.ownership is not None}
    for resource in found:
        if not any(fnmatchcase(resource.name, pattern) for pattern in patterns) or resource.ownership is not None:
            continue
        problem = _problem(resource) or _foreign_user(resource, ours)
        if problem:
            refused.append(Refusal(resource.name, problem))
        else:
            items.append(_item(profile, resource, now))
            if isinstance(resource, Vm):
                ours.add((resource.zone, resource.name))
    labels = make_labels(owner=profile.owner, run=ADOPTED, plan=NO_PLAN, expires=now + GRACE)
    return Proposal("adopt", profile.project, tuple(items), tuple(refused), run=ADOPTED, labels=labels)


def count_unmatched(inventory: Inventory, proposal: Proposal) -> int:
    """Reserved addresses without a user and without a label that no pattern meant: they cost money too."""
    meant = {item.id for item in proposal.items if item.kind == "address"}
    return sum(_problem(address) == "" and address.id not in meant for address in inventory.addresses)


def _problem(resource: Vm | Disk | Address) -> str:
    """Why something must not become ours; "" if it may."""
    if resource.labels:
        return f"carries labels of somebody else: {', '.join(sorted(resource.labels))}"
    if isinstance(resource, Address) and (resource.users or resource.status != "RESERVED"):
        return "is in use"
    return ""


def _foreign_user(resource: Vm | Disk | Address, ours: Collection[tuple[str, str]]) -> str:
    """Whose VM has this disk, if the VM neither is ours nor becomes ours; else ""."""
    users = resource.users if isinstance(resource, Disk) else ()
    strangers = [user for user in users if isinstance(resource, Disk) and (resource.zone, user) not in ours]
    return f"{', '.join(strangers)} uses it" if strangers else ""


def _item(profile: Profile, resource: Vm | Disk | Address, now: datetime) -> Item:
    age = (now - resource.created).total_seconds() if resource.created else None
    match resource:
        case Vm():
            disk = disk_cost_per_day(profile, profile.disk_type, resource.disk_gb)
            off = resource.status == "TERMINATED"
            cost = disk if off else cost_per_hour(profile, resource.machine_type, resource.model) * 24
            item = Item("vm", resource.name, f"no labels, {resource.status}", resource.zone, cost_per_day=cost)
        case Disk():
            what = f"no labels, {resource.size_gb} GB" + ("" if resource.users else " that no VM uses")
            cost = disk_cost_per_day(profile, resource.kind, resource.size_gb)
            item = Item("disk", resource.name, what, resource.zone, cost_per_day=cost, users=resource.users)
        case Address():
            what = f"no labels, {resource.address} is reserved and nothing uses it"
            item = Item("address", resource.name, what, resource.region, cost_per_day=idle_address_cost_per_day(profile))
    return replace(item, id=resource.id, status=resource.status, age_seconds=age)
