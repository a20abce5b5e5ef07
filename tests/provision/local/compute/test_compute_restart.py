"""The server's own death: VMs survive a killed server and are adopted; a stopped one leaves no process."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
import uuid
from contextlib import closing

import psutil
from compute_server import until

from provision.local.compute import reap
from provision.local.compute.ledger import Ledger

PROJECT, ZONE = "tickdeck-test", "asia-northeast1-a"


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def preempted(port: int) -> str:
    url = f"http://127.0.0.1:{port}/computeMetadata/v1/instance/preempted"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return answer.read().decode()


def test_a_killed_server_leaves_its_vms_running_and_the_next_one_adopts_them(start_process):
    first = start_process()
    compute = first.compute
    for name in ("keeps", "ends"):
        compute.insert(name)
        compute.wait_for_serial("guest up", name)
    before = compute.vms()
    first.kill()
    psutil.Process(before["ends"]["pid"]).kill()
    until(lambda: not alive(before["ends"]["pid"]), "the second guest ended while nobody looked")
    second = start_process().compute
    after = second.vms()
    assert after["keeps"]["pid"] == before["keeps"]["pid"]
    assert (after["keeps"]["status"], after["ends"]["status"]) == ("RUNNING", "TERMINATED")
    assert after["ends"]["exit_code"] is None
    assert preempted(after["keeps"]["metadata_port"]) == "FALSE"
    assert after["keeps"]["metadata_port"] == before["keeps"]["metadata_port"]
    assert second.serial("keeps").contents.count("guest up") == 1
    second.done(second.instances.stop_unary(project=PROJECT, zone=ZONE, instance="keeps"))
    assert "guest got SIGTERM" in second.serial("keeps").contents
    assert not alive(before["keeps"]["pid"])


def test_a_stopped_server_stops_its_vms_and_leaves_no_process(start_process):
    server = start_process()
    server.compute.insert(guest="child")
    log = server.compute.wait_for_serial("child ")
    child = int(log.rsplit("child ", 1)[1].split()[0])
    pid = server.compute.vms()["vm-1"]["pid"]
    assert server.terminate() == 0
    assert not alive(pid)
    assert not alive(child)
    again = start_process().compute
    assert again.get().status == "TERMINATED"
    assert "guest got SIGTERM" in again.serial().contents


def test_reap_ends_what_a_killed_server_left_and_nothing_else(start_process):
    server = start_process()
    server.compute.insert()
    server.compute.wait_for_serial("guest up")
    pid = server.compute.vms()["vm-1"]["pid"]
    server.kill()
    assert reap(server.compute.root) == [pid]
    assert not alive(pid)
    assert reap(server.compute.root) == []


def test_reap_waits_for_a_server_that_is_on_its_way_out(start_process):
    server = start_process()
    server.compute.insert()
    server.compute.wait_for_serial("guest up")
    pid = server.compute.vms()["vm-1"]["pid"]
    server.process.terminate()
    assert set(reap(server.compute.root)) <= {pid}
    assert not alive(pid)
    assert server.process.wait(10) == 0


def test_a_pid_that_now_belongs_to_another_process_is_left_alone(start_process):
    server = start_process()
    server.compute.insert()
    pid = server.compute.vms()["vm-1"]["pid"]
    server.kill()
    with closing(Ledger(server.compute.root)) as ledger:
        [record] = ledger.all("machine")
        path = f"projects/{record['project']}/zones/{record['zone']}/instances/{record['name']}"
        ledger.put("machine", path, {**record, "pid_created": record["pid_created"] - 1000})
    assert reap(server.compute.root) == []
    assert alive(pid)
    assert start_process().compute.get().status == "TERMINATED"
    assert alive(pid)
    psutil.Process(pid).kill()


def test_what_a_killed_server_had_accepted_is_finished_by_the_next(start_process):
    first = start_process()
    compute = first.compute
    compute.insert("stubborn", guest="stubborn")
    compute.insert("plain")
    compute.wait_for_serial("guest up", "stubborn")
    request_id = str(uuid.uuid4())
    resource = compute.bulk_resource(["vm-1"])
    launched = compute.bulk_insert(resource, request_id)
    pid = compute.vms()["stubborn"]["pid"]
    delete = compute.instances.delete_unary(project=PROJECT, zone=ZONE, instance="stubborn")
    first.kill()
    assert alive(pid)
    psutil.Process(pid).kill()
    second = start_process().compute
    done = second.client("ZoneOperations").wait(project=PROJECT, zone=ZONE, operation=delete.name)
    assert not done.error.errors
    assert set(second.all()) == {"plain", "vm-1"}
    assert second.bulk_insert(resource, request_id).name == launched.name
    assert set(second.all()) == {"plain", "vm-1"}


def test_vms_that_stood_in_line_when_the_server_was_killed_still_do(start_process):
    first = start_process("--memory-per-vm-mib", "100", "--memory-budget-mib", "100")
    first.compute.bulk_insert(first.compute.bulk_resource(["vm-1", "vm-2", "vm-3"]))
    first.kill()
    second = start_process("--memory-per-vm-mib", "100", "--memory-budget-mib", "100").compute
    assert {name: vm.status for name, vm in second.all().items()} == {"vm-1": "RUNNING", "vm-2": "STAGING", "vm-3": "STAGING"}
    second.done(second.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    second.wait_for_status("RUNNING", "vm-2")


def test_two_servers_never_share_a_root(start_process):
    first = start_process()
    root = first.compute.root
    argv = [sys.executable, "-m", "provision.local.compute", "--root", str(root), "--nonce", "n"]
    argv += ["--ready-file", str(root.parent / "second.json")]
    second = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode != 0
    assert "locked" in second.stderr
