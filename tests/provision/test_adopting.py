"""Leftovers of the scripts become ours after a list and a count; nothing that anybody labelled ever does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.cloud import compute_v1
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import utc_now
from provision.actions import apply
from provision.adopting import count_unmatched, propose_adoption
from provision.audit import RECEIPT
from provision.cleanup import propose_cleanup, take_inventory
from provision.errors import GuardRefusal
from provision.labels import ADOPTED, parse_labels
from provision.resources import Address, Disk, Inventory, Vm, get_address
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import NOW, ZONES, local_profile, make_vm
from tests.provision.test_fleet_on_the_wire import stranger

REGION = "asia-northeast1"
OLD = NOW - timedelta(days=100)

tags = st.one_of(
    st.just({}),
    st.dictionaries(st.sampled_from(["app", "team", "td-owner", "td-run", "goog-managed"]), st.sampled_from(["", "web", "r1"]), max_size=2),
)
names = st.sampled_from(["market-data-old-1", "market-data-disk", "ip-1", "ip-2", "web", "Market-data", "xmarket-data-1"])
things = st.tuples(names, tags, st.booleans(), st.sampled_from(["vm", "disk", "address"]))


def make(name: str, labels: dict[str, str], used: bool, kind: str, place: int) -> Vm | Disk | Address:
    users = ("web-1",) if used else ()
    if kind == "vm":
        return make_vm(name, "RUNNING" if used else "TERMINATED", labels=labels, id=f"{place}")
    if kind == "disk":
        return Disk(name, ZONES[0], f"{place}", "READY", 10, "pd-standard", OLD, labels, users)
    return Address(name, REGION, f"{place}", "IN_USE" if used else "RESERVED", "198.51.100.1", OLD, labels, users)


@given(
    st.lists(things, max_size=12),
    st.lists(st.sampled_from(["market-data-*", "ip-*", "*1", "web", "m*", "[mi]*", "*", "?*", ""]), min_size=1, max_size=3),
)
def test_nothing_that_has_a_label_is_ever_proposed(made: list[Any], patterns: list[str]) -> None:
    world = [make(*thing, place) for place, thing in enumerate(made)]
    inventory = Inventory(
        NOW,
        tuple(one for one in world if isinstance(one, Vm)),
        tuple(one for one in world if isinstance(one, Disk)),
        tuple(one for one in world if isinstance(one, Address)),
    )
    if any(pattern in ("*", "?*", "", "[mi]*") for pattern in patterns):
        with pytest.raises(GuardRefusal):
            propose_adoption(local_profile(), inventory, patterns)
        return
    proposal = propose_adoption(local_profile(), inventory, patterns)
    by_id = {one.id: one for one in world}
    for item in proposal.items:
        assert not by_id[item.id].labels
        assert not by_id[item.id].labels
        users = getattr(by_id[item.id], "users", ())
        assert not users, "nothing that a VM of somebody else uses"
    taken = {item.id for item in proposal.items}
    idle = [one for one in world if isinstance(one, Address) and not one.labels and not one.users]
    assert count_unmatched(inventory, proposal) == sum(one.id not in taken for one in idle)


def reserve(wired: Wired, name: str, labels: dict[str, str] | None = None) -> None:
    address = compute_v1.Address(name=name, labels=labels or {})
    wired.clients.addresses.insert_unary(project=wired.profile.project, region=REGION, address_resource=address)


def test_forty_addresses_and_an_old_vm_are_adopted_and_then_cleanup_sees_them(wired: Wired) -> None:
    for number in range(5):
        reserve(wired, f"ip-{number}")
    reserve(wired, "ip-of-web", {"app": "web"})
    old_vm(wired, "market-data-old")
    stranger(wired, "market-data-pipeline", {"app": "web"})
    snapshot = wired.look()
    inventory = take_inventory(wired.clients, snapshot)
    assert propose_cleanup(wired.profile, snapshot, inventory).items == ()
    proposal = propose_adoption(wired.profile, inventory, ["market-data-*", "ip-*"])
    adopted = {f"ip-{number}" for number in range(5)} | {"market-data-old"}
    assert {item.name for item in proposal.items} == adopted
    assert {refusal.name for refusal in proposal.refused} == {"ip-of-web", "market-data-pipeline"}
    whys = [refusal.why for refusal in proposal.refused if refusal.name == "market-data-pipeline"]
    assert whys == ["carries labels of somebody else: app", "market-data-pipeline uses it"], "the VM, and its disk without a label"
    with pytest.raises(GuardRefusal):
        apply(proposal, profile=wired.profile, clients=wired.clients, state=wired.state, confirm=5)
    count = len(proposal.items)
    receipt = apply(proposal, profile=wired.profile, clients=wired.clients, state=wired.state, confirm=count)
    assert {result.message for result in receipt.results} == {"ours now"}
    record = wired.audit()[-1]
    assert (record.phase, record.verb, len(record.items)) == (RECEIPT, "adopt", count)
    ownership = parse_labels(get_address(wired.clients, REGION, "ip-0").labels)
    assert ownership is not None
    assert ownership.run == ADOPTED
    wired.kill("market-data-old")
    snapshot = wired.look()
    garbage = propose_cleanup(
        wired.profile, snapshot, take_inventory(wired.clients, snapshot, clock=lambda: utc_now() + timedelta(minutes=30))
    )
    assert {item.name for item in garbage.items} == adopted
    assert get_address(wired.clients, REGION, "ip-of-web").labels == {"app": "web"}


def old_vm(wired: Wired, name: str) -> None:
    """A VM without a label, and without a boot disk of its own name that cleanup would find too."""
    instance = {
        "name": name,
        "machine_type": f"zones/{ZONES[0]}/machineTypes/local-1",
        "disks": [{"boot": True, "auto_delete": True, "initialize_params": {"source_image": "debian-12", "disk_name": "boot-of-old"}}],
        "network_interfaces": [{"network": "global/networks/default"}],
    }
    wired.clients.instances.insert_unary(project=wired.profile.project, zone=ZONES[0], instance_resource=instance)
    wired.wait_until(lambda: any(vm.name == name and vm.status == "RUNNING" for vm in wired.vms()), f"{name} runs")


def test_what_somebody_labelled_meanwhile_stays_theirs(wired: Wired) -> None:
    reserve(wired, "ip-1")
    reserve(wired, "ip-2")
    proposal = propose_adoption(wired.profile, take_inventory(wired.clients, wired.look()), ["ip-*"])
    found = get_address(wired.clients, REGION, "ip-1")
    body = compute_v1.RegionSetLabelsRequest(labels={"app": "web"}, label_fingerprint=found.fingerprint)
    wired.clients.addresses.set_labels_unary(
        project=wired.profile.project, region=REGION, resource="ip-1", region_set_labels_request_resource=body
    )
    receipt = apply(proposal, profile=wired.profile, clients=wired.clients, state=wired.state, confirm=2)
    (failed,) = receipt.failed
    assert (failed.item.name, "it carries labels by now: app" in failed.message) == ("ip-1", True)
    assert get_address(wired.clients, REGION, "ip-1").labels == {"app": "web"}
    assert parse_labels(get_address(wired.clients, REGION, "ip-2").labels) is not None


def test_an_address_that_was_reserved_anew_under_the_same_name_is_not_the_one_that_was_meant(wired: Wired) -> None:
    reserve(wired, "ip-1")
    proposal = propose_adoption(wired.profile, take_inventory(wired.clients, wired.look()), ["ip-*"])
    wired.clients.addresses.delete_unary(project=wired.profile.project, region=REGION, address="ip-1")
    reserve(wired, "ip-1")
    receipt = apply(proposal, profile=wired.profile, clients=wired.clients, state=wired.state, confirm=1)
    assert "another address" in receipt.failed[0].message
    assert get_address(wired.clients, REGION, "ip-1").labels == {}
