"""What goes wrong with VMs: preemption, power cuts, no room, slow boots, stockouts at insert."""

from __future__ import annotations

import pytest
from compute_server import until
from google.cloud import compute_v1

PROJECT, ZONE = "tickdeck-test", "asia-northeast1-a"


def spot(action: str) -> compute_v1.Scheduling:
    return compute_v1.Scheduling(provisioning_model="SPOT", instance_termination_action=action)


def preemptions(compute) -> list[compute_v1.Operation]:
    request = compute_v1.ListZoneOperationsRequest(project=PROJECT, zone=ZONE, filter='operationType="compute.instances.preempted"')
    return list(compute.client("ZoneOperations").list(request))


def test_a_preempted_vm_hears_sigterm_and_is_deleted_and_its_operation_stays(compute):
    compute.insert(scheduling=spot("DELETE"))
    compute.wait_for_serial("guest up")
    vm = compute.get()
    compute.control("preempt", {"vm": "vm-1", "grace_seconds": 30})
    until(lambda: not compute.all(), "the VM is gone")
    [operation] = preemptions(compute)
    assert operation.target_link == vm.self_link
    assert operation.target_id == vm.id
    assert operation.status_message == "Instance was preempted."
    assert operation.user == "system"


def test_a_guest_that_waits_for_the_notice_in_its_metadata_gets_it(compute):
    compute.insert(guest="flag", scheduling=spot("STOP"))
    compute.wait_for_serial("guest up")
    compute.control("preempt", {"vm": "vm-1"})
    compute.wait_for_status("TERMINATED")
    assert "guest read preempted TRUE" in compute.serial().contents
    assert compute.vms()["vm-1"]["exit_code"] == 75


def test_a_preempted_guest_that_does_not_listen_is_killed_after_the_grace(compute):
    compute.insert(guest="stubborn", scheduling=spot("STOP"))
    compute.wait_for_serial("guest up")
    compute.control("preempt", {"vm": "vm-1", "grace_seconds": 0.1})
    compute.wait_for_status("TERMINATED")
    assert compute.vms()["vm-1"]["exit_code"] == 137


def test_a_power_cut_leaves_a_dead_vm_and_no_operation(compute):
    compute.insert()
    compute.wait_for_serial("guest up")
    compute.control("kill", {"vm": "vm-1"})
    compute.wait_for_status("TERMINATED")
    assert "guest got" not in compute.serial().contents
    operations = compute.client("ZoneOperations").list(project=PROJECT, zone=ZONE)
    assert [one.operation_type for one in operations] == ["insert"]


def test_vms_beyond_the_memory_wait_in_staging_and_start_in_the_order_they_came(start):
    compute = start(memory_per_vm_mib=100, memory_budget_mib=250)
    names = ["vm-3", "vm-1", "vm-4", "vm-2"]
    operation = compute.bulk_insert(compute.bulk_resource(names))
    assert not operation.error.errors

    def statuses() -> dict[str, str]:
        return {name: vm.status for name, vm in compute.all().items()}

    in_line = sorted(names)
    assert sorted(statuses().values()) == ["RUNNING", "RUNNING", "STAGING", "STAGING"]
    first, waiting = in_line[:2], in_line[2:]
    assert {name for name, status in statuses().items() if status == "RUNNING"} == set(first)
    compute.done(compute.instances.delete_unary(project=PROJECT, zone=ZONE, instance=first[0]))
    compute.wait_for_status("RUNNING", waiting[0])
    assert statuses()[waiting[1]] == "STAGING"
    compute.done(compute.instances.delete_unary(project=PROJECT, zone=ZONE, instance=waiting[1]))
    assert set(statuses()) == {first[1], waiting[0]}


def test_a_slow_boot_stays_in_staging_until_its_time_and_lets_others_pass(compute, clock):
    compute.fault(fault="slow_boot", seconds=600, count=1)
    compute.insert("slow")
    compute.insert("fast")
    assert compute.get("slow").status == "STAGING"
    assert compute.get("fast").status == "RUNNING"
    clock.advance(seconds=601)
    compute.wait_for_status("RUNNING", "slow")


def test_disarming_slow_boots_lets_those_who_wait_go(compute):
    compute.fault(fault="slow_boot", seconds=600)
    compute.insert()
    assert compute.get().status == "STAGING"
    compute.control("faults?fault=slow_boot", method="DELETE")
    compute.wait_for_status("RUNNING")


def test_an_insert_into_a_sold_out_zone_fails_in_its_operation(compute):
    compute.fault(fault="stockout", zone=ZONE, machine_type="e2-small", count=1)
    operation = compute.insert()
    [error] = operation.error.errors
    assert error.code == "ZONE_RESOURCE_POOL_EXHAUSTED"
    assert error.error_details[2].error_info.metadatas["vmType"] == "e2-small"
    assert operation.http_error_status_code == 503
    assert compute.all() == {}
    assert not compute.insert().error.errors


@pytest.mark.parametrize(("metric", "limit"), [("CPUS", 3), ("INSTANCES", 1), ("DISKS_TOTAL_GB", 150)])
def test_a_lowered_quota_refuses_the_vm_that_passes_it(compute, metric, limit):
    compute.fault(fault="quota", metric=metric, limit=limit)
    assert not compute.insert("vm-1").error.errors
    operation = compute.insert("vm-2")
    [error] = operation.error.errors
    assert error.message == f"Quota '{metric}' exceeded.  Limit: {limit}.0 in region asia-northeast1."
    assert (error.code, operation.http_error_status_code) == ("QUOTA_EXCEEDED", 403)
    assert set(compute.all()) == {"vm-1"}
