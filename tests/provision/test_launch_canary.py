"""Canaries over the wire: two VMs first, the rest once each of them has committed a file, and what stops a launch for good."""

from __future__ import annotations

import base64
import io
from typing import Any

import google_crc32c
import pytest

from engine.clock import utc_now
from engine.datatypes import SCHEMA_VERSION
from engine.launch import LaunchedVm
from engine.logbook import Logbook, LogObjects
from engine.manifest import Entry, Manifest, write_manifest
from engine.model import File, Outcome
from engine.paths import data_object, manifest_prefix
from engine.plan import Plan
from provision.canary import Canary, Verdict, advance, look, split
from provision.fleet import FleetSnapshot
from provision.launch import launch
from provision.orders import read_canary_stop, read_order
from provision.placing import LaunchResult
from provision.reconcile import Pass, reconcile
from provision.runs import DrainOrder, Phase, write_drain
from provision.vm_state import VmState
from tests.provision.conftest import Wired

FLEET = 12


def launched(wired: Wired, **more: Any) -> tuple[Plan, LaunchResult]:
    """A fleet whose canaries run."""
    plan = wired.plan(FLEET)
    return plan, wired.launch(FLEET, plan=plan, **more)


def file_of(plan: Plan, shard: int) -> File:
    return next(plan.shard(shard).work[0].files())


def commit(wired: Wired, plan: Plan, shard: int, **metadata: str) -> None:
    """What a worker leaves of one file."""
    data = f"rows of shard {shard}".encode()
    checksum = base64.b64encode(google_crc32c.Checksum(data).digest()).decode()
    own = {"source-fingerprint": "1:2", "source-length": "9", "schema-version": str(SCHEMA_VERSION), "rows": "1", "crc32c": checksum}
    wired.data.put(data_object(file_of(plan, shard)), data, if_generation=0, metadata={**own, **metadata})


def record(wired: Wired, plan: Plan, run: str, shard: int, outcome: Outcome, *, still_open: bool = False) -> None:
    """A manifest of the shard's first cell."""
    file = file_of(plan, shard)
    write_manifest(
        wired.state,
        Manifest(
            day=file.cell.day,
            data_type=file.cell.data_type,
            venue=file.cell.venue,
            run=run,
            shard=shard,
            attempt=1,
            vm="x",
            written=utc_now(),
            open=still_open,
            engine_version="0",
            catalogue="",
            entries=(Entry(symbol=file.symbol, outcome=outcome),),
        ),
    )


def pass_over(wired: Wired, run: str, snapshot: FleetSnapshot | None = None) -> Pass:
    """One pass of somebody who knows nothing but the buckets and the cloud."""
    return reconcile(wired.profile, wired.clients, wired.state, snapshot or wired.look(), run=run)


def judged(wired: Wired, plan: Plan, run: str) -> Canary:
    snapshot = wired.look()
    view = next(view for view in snapshot.runs if view.run == run)
    found = look(wired.clients, wired.data, wired.state, plan, snapshot, view)
    assert found is not None
    return found


def test_up_to_ten_vms_start_at_once_and_of_more_two_start_first() -> None:
    vms = {f"vm-{index}": LaunchedVm(shards=(index,)) for index in range(11)}
    ten = dict(list(vms.items())[:10])
    assert split(ten) == (ten, {})
    first, follows = split(vms)
    assert list(first) == ["vm-0", "vm-1"]
    assert {**first, **follows} == vms


def test_two_vms_are_asked_for_and_the_others_are_still_work_of_the_run(wired: Wired) -> None:
    plan, result = launched(wired)
    run = result.order.run
    assert (result.status, len(wired.vms())) == ("complete", 2)
    view = wired.view(run)
    assert view.unfinished == tuple(range(FLEET))
    for shard, vm in enumerate(result.order.vms):
        wired.work(run, vm, shard, "done")
    assert wired.view(run).phase(utc_now()) is Phase.RUNNING
    assert judged(wired, plan, run).message.startswith("canary: 0 of 2 VMs have committed a file, 10 wait")


def test_without_canaries_all_start_in_one_call(wired: Wired) -> None:
    intent = wired.intent(FLEET, canary=False)
    assert launch(wired.profile, wired.clients, wired.state, intent).status == "complete"
    assert len(wired.vms()) == FLEET
    assert wired.view(intent.order.run).canary is None


def test_a_heartbeat_is_no_proof_and_one_canary_of_two_is_not_enough(wired: Wired) -> None:
    plan, result = launched(wired)
    run = result.order.run
    for shard, vm in enumerate(result.order.vms):
        wired.work(run, vm, shard, files_done=5, rows=100)
    assert pass_over(wired, run).results == ()
    commit(wired, plan, 0)
    assert pass_over(wired, run).results == ()
    assert judged(wired, plan, run).verdict is Verdict.WAITING
    assert len(wired.view(run).orders) == 1
    assert len(wired.vms()) == 2


def test_the_rest_follows_in_one_call_once_each_canary_has_committed_a_file(wired: Wired) -> None:
    plan, result = launched(wired)
    run, canaries = result.order.run, set(result.order.vms)
    for shard, vm in enumerate(result.order.vms):
        wired.work(run, vm, shard)
        commit(wired, plan, shard)
    (following,) = pass_over(wired, run).results
    assert (following.status, following.order.number, following.order.after_canary) == ("complete", 2, 1)
    assert set(following.order.vms) == set(result.order.follows)
    assert wired.names() == canaries | set(result.order.follows)
    assert sorted(vm.shards for vm in following.order.vms.values()) == [(index,) for index in range(2, FLEET)]
    # What was tried out is what follows.
    for name in ("image", "boot_image", "metadata", "cloud_init", "machine_types", "zones", "plan", "service_account"):
        assert getattr(following.order, name) == getattr(result.order, name)
    assert following.order.request_id != result.order.request_id
    assert wired.view(run).canary is None
    assert pass_over(wired, run).results == ()
    assert len(wired.vms()) == FLEET
    launches = [record for record in wired.audit() if record.verb == "launch"]
    assert [(record.phase, record.reason, len(record.items)) for record in launches] == [
        ("intent", "launch", 2),
        ("receipt", "launch", 2),
        ("intent", "canary passed", 10),
        ("receipt", "canary passed", 10),
    ]


def test_a_manifest_that_says_ok_is_a_proof_too_and_an_open_one_counts(wired: Wired) -> None:
    plan, result = launched(wired)
    run = result.order.run
    for shard, vm in enumerate(result.order.vms):
        wired.work(run, vm, shard)
        record(wired, plan, run, shard, Outcome.OK, still_open=bool(shard))
    found = judged(wired, plan, run)
    assert found.verdict is Verdict.PASSED
    assert manifest_prefix(file_of(plan, 0).cell) in found.vms[0].proof


@pytest.mark.parametrize(
    "metadata", [{"crc32c": "AAAAAA=="}, {"schema-version": "0"}], ids=["other bytes than were committed", "another schema"]
)
def test_an_object_that_is_not_what_was_committed_proves_nothing(wired: Wired, metadata: dict[str, str]) -> None:
    plan, result = launched(wired)
    for shard, vm in enumerate(result.order.vms):
        wired.work(result.order.run, vm, shard)
        commit(wired, plan, shard, **metadata)
    assert judged(wired, plan, result.order.run).verdict is Verdict.WAITING


def test_what_was_committed_before_the_launch_or_by_other_shards_proves_nothing(wired: Wired) -> None:
    plan = wired.plan(FLEET)
    commit(wired, plan, 0)
    commit(wired, plan, 5)
    result = wired.launch(FLEET, plan=plan)
    for shard, vm in enumerate(result.order.vms):
        wired.work(result.order.run, vm, shard)
    assert [vm.proof for vm in judged(wired, plan, result.order.run).vms] == ["", ""]


def test_a_canary_whose_shard_is_done_and_held_nothing_to_commit_has_passed(wired: Wired) -> None:
    plan, result = launched(wired)
    for shard, vm in enumerate(result.order.vms):
        wired.work(result.order.run, vm, shard, "done", exit_code=0)
        record(wired, plan, result.order.run, shard, Outcome.EMPTY)
    assert judged(wired, plan, result.order.run).verdict is Verdict.PASSED


def test_a_permission_error_stops_the_launch_for_good_and_keeps_the_canaries(wired: Wired) -> None:
    plan, result = launched(wired)
    run, (first, second) = result.order.run, tuple(result.order.vms)
    wired.work(run, first, 0, "stopped", exit_code=77, last_error="403 secretmanager.versions.access denied")
    wired.work(run, second, 1)
    commit(wired, plan, 1)
    wired.kill(first)
    done = pass_over(wired, run)
    (canary,) = done.canaries
    assert canary.verdict is Verdict.FAILED
    assert "exit code 77 (not permitted): 403 secretmanager.versions.access denied" in canary.message
    assert done.results == ()
    stop = read_canary_stop(wired.state, run)
    assert stop is not None
    assert (stop.vm, stop.evidence) == (first, "heartbeat")
    # Somebody mends it and a commit appears: a launch that stopped stays stopped, and nobody replaces or deletes its canaries.
    commit(wired, plan, 0)
    again = pass_over(wired, run)
    assert again.results == ()
    assert any("canaries" in item.why for item in again.given_up)
    assert wired.names() == {first, second}
    assert len(wired.view(run).orders) == 1
    (intent, receipt) = [record for record in wired.audit() if record.verb == "stop-launch"]
    assert (intent.phase, receipt.phase, receipt.items[0].name) == ("intent", "receipt", first)
    assert "403" in intent.reason


def test_the_cause_is_looked_for_in_the_log_where_the_heartbeat_does_not_say(wired: Wired) -> None:
    plan, result = launched(wired)
    run, first = result.order.run, next(iter(result.order.vms))
    book = Logbook(stream=io.StringIO(), context={"run": run, "vm": first})
    book.error("worker_failed", "the bucket lake is another project's")
    LogObjects(wired.state, book, run=run, vm=first, attempt=1).flush()
    wired.work(run, first, 0, "stopped", exit_code=78)
    found = judged(wired, plan, run)
    assert found.failed is not None
    assert found.failed.problem.endswith("exit code 78 (wrong configuration): the bucket lake is another project's")
    assert found.failed.evidence == "log"


def test_a_canary_that_powers_off_without_a_word_failed_at_its_image_or_key_and_the_serial_port_tells(wired: Wired) -> None:
    _, result = launched(wired)
    run, first = result.order.run, next(iter(result.order.vms))
    wired.wait_until(lambda: "is up" in _serial(wired, first), "the guest has spoken")
    wired.kill(first)
    done = pass_over(wired, run)
    (canary,) = done.canaries
    assert canary.failed is not None
    assert canary.failed.name == first
    assert canary.failed.evidence == "serial port"
    assert f"guest of run {run} is up" in canary.failed.problem
    assert done.results == ()
    assert wired.names() == set(result.order.vms)


def _serial(wired: Wired, vm: str) -> str:
    from provision.resources import read_serial_tail

    zone = next(one.zone for one in wired.vms() if one.name == vm)
    return read_serial_tail(wired.clients, zone, vm)


def test_files_that_the_key_does_not_cover_stop_the_launch(wired: Wired) -> None:
    plan, result = launched(wired)
    run = result.order.run
    for shard, vm in enumerate(result.order.vms):
        wired.work(run, vm, shard)
    record(wired, plan, run, 0, Outcome.NOT_ENTITLED, still_open=True)
    commit(wired, plan, 1)
    found = judged(wired, plan, run)
    assert found.failed is not None
    assert "the source refuses 1 files" in found.failed.problem


def test_a_canary_that_finished_badly_and_committed_nothing_has_failed(wired: Wired) -> None:
    plan, result = launched(wired)
    wired.work(result.order.run, next(iter(result.order.vms)), 0, "done", exit_code=65, last_error="bad header")
    found = judged(wired, plan, result.order.run)
    assert found.failed is not None
    assert found.failed.problem.endswith("committed nothing: bad header")


def test_an_image_that_cannot_be_is_a_failure_of_the_launch_itself(wired: Wired) -> None:
    wired.arm(fault="status", status=400, match="bulkInsert", method="POST", count=1, reason="invalid", message="no such image")
    result = launch(wired.profile, wired.clients, wired.state, wired.intent(FLEET))
    assert result.status == "failed"
    done = pass_over(wired, result.order.run)
    assert "no such image" in done.canaries[0].message
    assert wired.vms() == ()


def test_a_preempted_canary_is_replaced_and_the_new_one_proves_itself_in_its_place(wired: Wired) -> None:
    plan, result = launched(wired)
    run, (first, second) = result.order.run, tuple(result.order.vms)
    wired.work(run, first, 0)
    wired.work(run, second, 1)
    commit(wired, plan, 1)
    wired.preempt(first)
    snapshot = wired.look()
    row = snapshot.find(first)
    assert row is not None
    assert row.state is VmState.PREEMPTED
    (replaced,) = pass_over(wired, run, snapshot).results
    (name,) = replaced.order.vms
    assert (name, replaced.order.number) == (f"{first}-a2", 2)
    assert judged(wired, plan, run).vms[0].name == name
    wired.work(run, name, 0, gone=[first])
    commit(wired, plan, 0)
    (following,) = pass_over(wired, run).results
    assert (following.order.number, len(following.created)) == (3, 10)
    assert len(wired.vms()) == FLEET


def test_of_two_consoles_that_see_the_proof_at_once_one_asks_for_the_rest(wired: Wired) -> None:
    plan, result = launched(wired)
    run = result.order.run
    for shard, vm in enumerate(result.order.vms):
        wired.work(run, vm, shard)
        commit(wired, plan, shard)
    snapshot = wired.look()
    (view,) = (view for view in snapshot.runs if view.run == run)
    outcomes = [advance(wired.profile, wired.clients, wired.state, snapshot, view)[1] for _ in range(2)]
    assert [outcome.status for outcome in outcomes if outcome] == ["complete", "superseded"]
    assert len(wired.vms()) == FLEET
    assert read_order(wired.state, run, 3) is None


def test_a_run_that_was_told_to_stop_gets_no_more_vms(wired: Wired) -> None:
    plan, result = launched(wired)
    run = result.order.run
    for shard, vm in enumerate(result.order.vms):
        wired.work(run, vm, shard)
        commit(wired, plan, shard)
    write_drain(wired.state, DrainOrder(run=run))
    assert pass_over(wired, run).results == ()
    assert len(wired.vms()) == 2


def test_a_stop_that_somebody_wrote_first_stands(wired: Wired) -> None:
    plan, result = launched(wired)
    run, (first, second) = result.order.run, tuple(result.order.vms)
    wired.work(run, first, 0, "stopped", exit_code=77, last_error="one")
    stale = wired.look()
    pass_over(wired, run, stale)
    wired.work(run, second, 1, "stopped", exit_code=78, last_error="two")
    pass_over(wired, run, stale)
    stop = read_canary_stop(wired.state, run)
    assert stop is not None
    assert stop.vm == first
    assert (
        judged(wired, plan, run).message
        == f"canary {first} failed, 10 VMs are not asked for: its worker ended with exit code 77 (not permitted): one"
    )
