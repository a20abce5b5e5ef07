"""The guard: strangers are never selected, whatever the world and the words look like."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.launch import LaunchedVm
from provision.actions import Item, Proposal, apply, propose_abort, propose_delete, propose_drain, propose_power
from provision.cleanup import propose_cleanup, propose_sweep
from provision.errors import GuardRefusal, WriteRefused
from provision.fleet import FleetSnapshot, assess
from provision.resources import Address, Disk, Inventory, Vm
from tests.provision.made_up_fleet import (
    NOW,
    RUN,
    ZONES,
    beat,
    claim,
    gcp_profile,
    local_profile,
    make_order,
    make_view,
    make_vm,
    vm_name,
)

OTHER_RUN = "r1tp9aaaaa"
OURS = {"td-owner": "alice", "td-run": RUN, "td-plan": "0123456789ab"}

labels = st.one_of(
    st.just({}),
    st.just(OURS),
    st.just({**OURS, "td-run": OTHER_RUN}),
    st.just({"td-owner": "alice"}),
    st.just({"td-run": RUN}),
    st.just({"td-run": "", "td-owner": "alice"}),
    st.just({"td-owner": "alice", "td-run": "R-1"}),
    st.dictionaries(st.sampled_from(["td-owner", "td-run", "app", "owner"]), st.sampled_from(["", "x", RUN, "web"])),
)
names = st.one_of(
    st.sampled_from([vm_name(index) for index in range(4)]),
    st.sampled_from(["web-1", "db", "market-data-pipeline", "market-data-shard-7", f"market-data-shard-{OTHER_RUN}-0", "td-x"]),
)
old = NOW - timedelta(days=2)
vms = st.builds(
    lambda name, zone, status, tags: make_vm(name, status, labels=tags, zone=zone, created=old, id=f"{name}/{zone}"),
    names,
    st.sampled_from(ZONES),
    st.sampled_from(["RUNNING", "TERMINATED", "STAGING"]),
    labels,
)
disks = st.builds(
    lambda name, tags, users: Disk(name, ZONES[0], f"d{name}", "READY", 10, "pd-standard", old, tags, users),
    names,
    labels,
    st.sampled_from([(), ("web-1",)]),
)
addresses = st.builds(
    lambda name, tags, status: Address(name, "asia-northeast1", f"a{name}", status, "198.51.100.1", old, tags),
    names,
    labels,
    st.sampled_from(["RESERVED", "IN_USE"]),
)
patterns = st.one_of(
    names,
    st.sampled_from(["market-data-*", "*", "**", "?*", "[a-z]*", "*-*", "web*", "*1", "m*", "", "td-*", "market-data-shard-7"]),
    st.text(alphabet="*?[]-mwd", max_size=5),
)


def is_ours(tags: Any) -> bool:
    run = tags.get("td-run", "")
    return bool(tags.get("td-owner")) and run.isalnum() and run[:1].isalpha() and run == run.lower()


def world(machines: list[Vm]) -> FleetSnapshot:
    views = [
        make_view([make_order(2)], claims=[claim(0, vm_name(0), "done"), claim(1, vm_name(1), "done")]),
        make_view([make_order({f"market-data-shard-{OTHER_RUN}-0": LaunchedVm(shards=(0,))}, run=OTHER_RUN)]),
    ]
    return assess(NOW, local_profile(), machines, views)


@given(
    st.lists(vms, max_size=8, unique_by=lambda vm: (vm.name, vm.zone)),
    st.lists(disks, max_size=4, unique_by=lambda disk: disk.name),
    st.lists(addresses, max_size=4, unique_by=lambda address: address.name),
    st.lists(patterns, max_size=3),
)
def test_strangers_are_never_selected(machines: list[Vm], others: list[Disk], reserved: list[Address], asked: list[str]) -> None:
    snapshot = world(machines)
    labels_of = {vm.id: vm.labels for vm in machines}
    labels_of |= {disk.id: disk.labels for disk in others}
    labels_of |= {address.id: address.labels for address in reserved}
    proposals = [
        propose_cleanup(local_profile(), snapshot, Inventory(NOW, tuple(machines), tuple(others), tuple(reserved))),
        propose_abort(local_profile(), snapshot, snapshot.runs[0]),
        *(propose_sweep(local_profile(), snapshot, view) for view in snapshot.runs),
    ]
    for propose in (
        lambda: propose_delete(local_profile(), snapshot, asked),
        lambda: propose_power(local_profile(), snapshot, "stop", asked),
        lambda: propose_power(local_profile(), snapshot, "start", asked),
    ):
        try:
            proposals.append(propose())
        except UsageError:
            continue
    for proposal in proposals:
        for item in proposal.items:
            if item.kind != "run":
                assert is_ours(labels_of[item.id]), item


@given(st.lists(vms, max_size=8, unique_by=lambda vm: (vm.name, vm.zone)))
def test_an_abort_selects_every_vm_of_its_run_in_any_state_and_no_other(machines: list[Vm]) -> None:
    snapshot = world(machines)
    proposal = propose_abort(local_profile(), snapshot, snapshot.runs[0])
    wanted = {vm.id for vm in machines if is_ours(vm.labels) and vm.labels["td-run"] == RUN}
    assert {item.id for item in proposal.items if item.kind == "vm"} == wanted
    assert proposal.items[0].kind == "run"


@pytest.mark.parametrize("asked", [[], ["*"], ["?*"], ["market-data-*", "*"], ["[a-z]*"], [""]])
def test_selections_by_wildcards_alone_or_of_nothing_are_refused(asked: list[str]) -> None:
    with pytest.raises(GuardRefusal):
        propose_delete(local_profile(), world([make_vm(vm_name(0))]), asked)


def test_a_pattern_takes_ours_and_names_the_strangers_that_it_left() -> None:
    stranger = make_vm("market-data-pipeline", labels={"app": "web"})
    proposal = propose_delete(local_profile(), world([make_vm(vm_name(0)), stranger]), ["market-data-*"])
    assert [item.name for item in proposal.items] == [vm_name(0)]
    assert [(refusal.name, refusal.why) for refusal in proposal.refused] == [("market-data-pipeline", "not ours")]


def test_a_vm_that_is_gone_cannot_be_deleted_again() -> None:
    proposal = propose_delete(local_profile(), world([]), [vm_name(0)])
    assert proposal.items == ()
    assert "not exist" in proposal.refused[0].why


def test_power_verbs_take_vms_that_they_mean_something_for() -> None:
    snapshot = world([make_vm(vm_name(0)), make_vm(vm_name(1), "TERMINATED")])
    asked = [f"market-data-shard-{RUN}-*"]
    assert [item.name for item in propose_power(local_profile(), snapshot, "stop", asked).items] == [vm_name(0)]
    assert [item.name for item in propose_power(local_profile(), snapshot, "start", asked).items] == [vm_name(1)]
    assert propose_power(local_profile(), snapshot, "reset", asked).refused[0].why == "is TERMINATED"


def test_each_row_says_how_old_it_is_and_what_it_costs_a_day() -> None:
    vm = make_vm(vm_name(0), machine_type="e2-highmem-8", disk_gb=100)
    snapshot = assess(NOW, gcp_profile(), [vm], [make_view([make_order(1)], heartbeats=[beat(vm_name(0))])])
    (item,) = propose_delete(gcp_profile(), snapshot, [vm_name(0)]).items
    assert item.age_seconds == 3600
    assert item.cost_per_day == pytest.approx(24 * (0.20349 + 0.0025 + 5.2 / 730))


def test_a_drain_or_abort_of_another_projects_run_is_refused() -> None:
    view = make_view([make_order(1, project="elsewhere")])
    with pytest.raises(GuardRefusal):
        propose_drain(local_profile(), view)
    with pytest.raises(GuardRefusal):
        propose_abort(local_profile(), world([]), view)


def test_a_second_drain_has_nothing_to_do() -> None:
    proposal = propose_drain(local_profile(), make_view(drained=True))
    assert proposal.items == ()
    assert proposal.refused[0].name == RUN


class Untouchable:
    """Clients and a bucket that must not be asked anything."""

    project = "local"

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was used")


def refused_before_anything_is_sent(proposal: Proposal, profile: Any = None, **more: Any) -> Exception:
    nobody: Any = Untouchable()
    with pytest.raises(Exception) as caught:
        apply(proposal, **{"profile": profile or local_profile(), "clients": nobody, "state": nobody, "confirm": 1, **more})
    return caught.value


def test_a_wrong_count_a_read_only_profile_or_another_project_sends_nothing() -> None:
    proposal = Proposal("delete", "local", (Item("vm", vm_name(0), "named", ZONES[0], "1", RUN),))
    assert isinstance(refused_before_anything_is_sent(proposal, confirm=2), GuardRefusal)
    assert isinstance(refused_before_anything_is_sent(proposal, local_profile(read_only=True)), WriteRefused)
    assert isinstance(refused_before_anything_is_sent(proposal, local_profile(protected=True)), WriteRefused)
    elsewhere = Proposal("delete", "elsewhere", proposal.items)
    assert isinstance(refused_before_anything_is_sent(elsewhere), GuardRefusal)
    assert isinstance(refused_before_anything_is_sent(Proposal("delete", "local", ()), confirm=0), GuardRefusal)
