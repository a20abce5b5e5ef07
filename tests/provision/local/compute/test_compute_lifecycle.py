"""From insert to gone: what a VM's process, its status, its serial port and its operations say at each step."""

from __future__ import annotations

import json

import psutil
import pytest
from compute_server import until
from google.api_core import exceptions
from google.cloud import compute_v1

PROJECT, ZONE = "tickdeck-test", "asia-northeast1-a"


def test_an_inserted_vm_is_a_running_process_with_its_output_on_the_serial_port(compute):
    operation = compute.insert()
    assert operation.status == compute_v1.Operation.Status.DONE
    assert not operation.error.errors
    assert operation.operation_type == "insert"
    vm = compute.get()
    assert vm.status == "RUNNING"
    assert operation.target_id == vm.id > 0
    assert vm.machine_type.endswith("/zones/asia-northeast1-a/machineTypes/e2-small")
    assert vm.last_start_timestamp
    log = compute.wait_for_serial("guest up in wait")
    assert log.index("tickdeck-vm: boot 1 of vm-1") < log.index("guest up")
    process = compute.vms()["vm-1"]
    assert psutil.Process(process["pid"]).is_running()
    assert process["memory_rss"] > 0


@pytest.mark.parametrize("code", [0, 65, 78])
def test_a_guest_that_ends_by_itself_powers_its_vm_off_and_leaves_its_exit_code(compute, code):
    compute.insert(guest=f"exit {code}")
    vm = compute.wait_for_status("TERMINATED")
    assert f"guest process ended, exit code {code}" in compute.serial().contents
    assert compute.vms()["vm-1"]["exit_code"] == code
    assert vm.last_stop_timestamp
    [ended] = [
        operation
        for operation in compute.client("ZoneOperations").list(project=PROJECT, zone=ZONE)
        if operation.operation_type == "compute.instances.guestTerminate"
    ]
    assert (ended.target_id, ended.user) == (vm.id, "system")


def test_stop_is_sigterm_and_start_boots_again_on_the_same_disk(compute):
    compute.insert()
    compute.wait_for_serial("guest up")
    operation = compute.done(compute.instances.stop_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert not operation.error.errors
    assert compute.get().status == "TERMINATED"
    assert "guest got SIGTERM" in compute.serial().contents
    assert compute.vms()["vm-1"]["exit_code"] == 75
    compute.done(compute.instances.start_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert compute.get().status == "RUNNING"
    assert "boot 2 of vm-1" in compute.serial().contents


def test_a_guest_that_ignores_sigterm_is_killed_after_the_grace(start):
    compute = start(stop_grace_seconds=0.2)
    compute.insert(guest="stubborn")
    compute.wait_for_serial("guest up")
    compute.done(compute.instances.stop_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert compute.get().status == "TERMINATED"
    assert compute.vms()["vm-1"]["exit_code"] == 137
    assert "ended by SIGKILL" in compute.serial().contents


def test_deleting_a_vm_ends_its_process_and_takes_its_boot_disk_along(compute):
    compute.insert()
    pid = compute.vms()["vm-1"]["pid"]
    compute.done(compute.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    with pytest.raises(exceptions.NotFound) as missing:
        compute.get()
    expected = "The resource 'projects/tickdeck-test/zones/asia-northeast1-a/instances/vm-1' was not found"
    assert expected in missing.value.message
    assert not psutil.pid_exists(pid)
    assert list(compute.client("Disks").list(project=PROJECT, zone=ZONE)) == []
    assert not (compute.root / "vms" / "vm-1").exists()
    compute.insert()
    assert "boot 1 of vm-1" in compute.serial().contents
    assert "guest got SIGTERM" not in compute.serial().contents


def test_reset_kills_the_guest_without_a_word_and_boots_it_again(compute):
    compute.insert()
    compute.wait_for_serial("guest up")
    before = compute.vms()["vm-1"]["pid"]
    compute.done(compute.instances.reset_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    after = compute.vms()["vm-1"]
    assert after["status"] == "RUNNING"
    assert after["pid"] != before
    assert "guest got SIGTERM" not in compute.serial().contents
    compute.done(compute.instances.stop_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    with pytest.raises(exceptions.BadRequest, match="is not ready"):
        compute.instances.reset_unary(project=PROJECT, zone=ZONE, instance="vm-1")


@pytest.mark.parametrize("guest", ["child", "child orphan"])
def test_no_process_of_a_vm_outlives_it(compute, guest):
    compute.insert(guest=guest)
    log = compute.wait_for_serial("child ")
    child = int(log.rsplit("child ", 1)[1].split()[0])
    if guest == "child":
        compute.done(compute.instances.stop_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    compute.wait_for_status("TERMINATED")
    until(lambda: is_gone(child), f"the end of process {child}: SIGKILL was sent, and a busy kernel takes its time")


def is_gone(pid: int) -> bool:
    """Whether nothing of a process runs any more; where nobody waits for orphans, one stays as a zombie."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_guest_sees_its_own_item_an_allowlist_its_secrets_and_its_metadata_server(compute):
    compute.insert(guest='env\n# a comment\nTD_PLAN=gs://b/plans/p.json\nQUOTED="as is"')
    compute.wait_for_status("TERMINATED")
    lines = compute.serial().contents.splitlines()
    seen = json.loads(next(line for line in lines if line.startswith("{")))
    assert seen["TD_PLAN"] == "gs://b/plans/p.json"
    assert seen["QUOTED"] == '"as is"'
    assert seen["TARDIS_API_KEY"] == "td-secret-1"
    assert seen["HOME"] == "/nowhere"
    assert seen["GCE_METADATA_HOST"] == seen["GCE_METADATA_IP"]
    assert seen["GCE_METADATA_HOST"].startswith("127.0.0.1:")
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert not any(key.startswith("TICKDECK_VM_SECRET_") for key in seen)
    assert f"cwd {compute.root / 'vms' / 'vm-1'}" in lines


def test_no_api_shows_a_secret(compute):
    compute.insert()
    compute.wait_for_serial("guest up")
    shown = [str(compute.get()), compute.serial().contents, json.dumps(compute.vms())]
    assert not [text for text in shown if "td-secret-1" in text]
    assert b"td-secret-1" not in b"".join(path.read_bytes() for path in compute.root.glob("compute.sqlite*"))


def test_a_program_that_cannot_be_started_is_told_on_the_serial_port(start):
    compute = start(boot_argv=("/no/such/engine",))
    compute.insert()
    assert compute.get().status == "TERMINATED"
    assert "cannot start" in compute.serial().contents
    assert compute.vms()["vm-1"]["exit_code"] == 127


def test_a_vm_whose_run_is_limited_is_deleted_when_its_time_is_over(compute, clock):
    limited = compute_v1.Scheduling(
        provisioning_model="SPOT",
        instance_termination_action="DELETE",
        max_run_duration=compute_v1.Duration(seconds=3600),
    )
    compute.insert("limited", scheduling=limited)
    compute.insert("free")
    clock.advance(seconds=3500)
    assert set(compute.all()) == {"limited", "free"}
    clock.advance(seconds=101)
    operations = compute.client("ZoneOperations")
    from_system = compute_v1.ListZoneOperationsRequest(project=PROJECT, zone=ZONE, filter="operationType=delete AND user=system")

    def ended():
        return [one for one in operations.list(from_system) if one.status == compute_v1.Operation.Status.DONE]

    [operation] = until(ended, "the limited VM is deleted")
    assert operation.status_message == "Instance reached the end of its maximum run duration."
    assert set(compute.all()) == {"free"}
