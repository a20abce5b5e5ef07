"""`--keep` and `tickdeck run`: a VM that stays after its work takes jobs, and only such a VM of ours does."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from engine.clock import utc_now
from engine.errors import UsageError
from engine.inventory import Inventory, Means, plan_request
from engine.jobs import read_result
from engine.plan import Request
from engine.run import new_run
from provision.cleanup import propose_cleanup, take_inventory
from provision.clients import ComputeClients
from provision.errors import GuardRefusal, WriteRefused
from provision.fleet import FleetSnapshot, assess, observe
from provision.kept_vms import KEPT, give_job, propose_job
from provision.labels import make_labels, parse_labels
from provision.launch import launch, preview
from provision.profile import Endpoints
from provision.resources import Inventory as Resources
from provision.resources import region_zones
from provision.runs import RunReader
from tests.local_servers import KEY, Lake, started
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import (
    NOW,
    PLAN,
    RUN,
    accepted,
    beat,
    claim,
    local_profile,
    make_order,
    make_plan,
    make_view,
    make_vm,
    vm_name,
)

ZERO = vm_name(0)
HOUR = timedelta(hours=1)


def kept(until: timedelta = HOUR, status: str = "RUNNING", state: str = KEPT) -> FleetSnapshot:
    """A fleet of one VM that stays until NOW and so long."""
    labels = make_labels(owner="alice@example.com", run=RUN, plan=PLAN, expires=NOW + 24 * HOUR, keep_until=NOW + until)
    order = make_order(1)
    view = make_view([order], heartbeats=[beat(ZERO, state, exit_code=0)], claims=[claim(0, ZERO, "done")], operations={1: accepted(order)})
    return assess(NOW, local_profile(), [make_vm(ZERO, status, labels=labels)], [view])


def garbage(snapshot: FleetSnapshot) -> list[str]:
    vms = tuple(row.vm for row in snapshot.vms if row.vm)
    return [item.name for item in propose_cleanup(local_profile(), snapshot, Resources(NOW, vms, (), ())).items]


def test_the_label_says_until_when_and_a_vm_without_it_is_not_kept() -> None:
    ownership = parse_labels(kept().vms[0].vm.labels)  # type: ignore[union-attr]
    assert ownership is not None
    assert ownership.kept_until == NOW + HOUR
    plain = parse_labels(make_labels(owner="a", run=RUN, plan=PLAN, expires=NOW))
    assert plain is not None
    assert plain.kept_until is None


@pytest.mark.parametrize("status", ["RUNNING", "TERMINATED"])
def test_a_kept_vm_is_garbage_only_once_its_time_is_over(status: str) -> None:
    assert garbage(kept(HOUR, status)) == []
    assert garbage(kept(-HOUR, "TERMINATED")) == [ZERO]


def test_a_job_is_for_a_vm_that_is_kept_and_there() -> None:
    proposal = propose_job(local_profile(), kept(), ZERO, ("validate", "--help"))
    assert (proposal.vm, proposal.run, proposal.arguments, proposal.waits) == (ZERO, RUN, ("validate", "--help"), False)
    assert propose_job(local_profile(), kept(state="working"), ZERO, ("validate",)).waits
    plain = assess(NOW, local_profile(), [make_vm(ZERO)], [make_view([make_order(1)])])
    stranger = assess(NOW, local_profile(), [make_vm("market-data-x", labels={"td-keep": "20990101t000000z"})], [])
    refusals = [
        (plain, ZERO, "not launched to be kept"),
        (kept(-HOUR), ZERO, "was kept until"),
        (kept(HOUR, "TERMINATED"), ZERO, "is TERMINATED"),
        (kept(), "market-data-*", "several"),
        (stranger, "market-data-x", "not ours"),
    ]
    for snapshot, name, why in refusals:
        with pytest.raises(GuardRefusal, match=why):
            propose_job(local_profile(), snapshot, name, ("validate",))
    with pytest.raises(UsageError):
        propose_job(local_profile(), kept(), "market-data-shard-r9-0", ("validate",))
    with pytest.raises(UsageError):
        propose_job(local_profile(), kept(), ZERO, ("work",))


def test_vms_are_not_kept_beyond_the_run_limit() -> None:
    profile = local_profile(max_run_seconds=3600)
    assert preview(profile, make_plan(1), 1, run=RUN, now=NOW, keep=HOUR).order.keep_until == NOW + HOUR
    for keep in (timedelta(0), 2 * HOUR):
        with pytest.raises(UsageError):
            preview(profile, make_plan(1), 1, run=RUN, now=NOW, keep=keep)


def test_a_job_is_audited_and_a_profile_that_may_not_write_gives_none(wired: Wired) -> None:
    wired.launch(1, keep=HOUR)
    name = next(iter(wired.names()))
    proposal = propose_job(wired.profile, wired.look(), name, ("validate", "--help"))
    with pytest.raises(WriteRefused):
        give_job(proposal, profile=wired.with_profile(read_only=True).profile, state=wired.state)
    assert [record.verb for record in wired.audit()] == ["launch", "launch"]
    job = give_job(proposal, profile=wired.profile, state=wired.state)
    assert (job.number, job.arguments, job.who) == (1, ("validate", "--help"), "alice@example.com")
    intent, receipt = (record for record in wired.audit() if record.verb == "run")
    assert (intent.items[0].why, receipt.items[0].message) == ("engine validate --help", "job 1")


def patiently(look: Callable[[], FleetSnapshot], holds: Callable[[FleetSnapshot], bool]) -> FleetSnapshot:
    ends = time.monotonic() + 90
    while not holds(snapshot := look()):
        assert time.monotonic() < ends, snapshot.verdict
        time.sleep(0.2)
    return snapshot


def test_a_real_kept_worker_takes_a_job_after_its_work_and_its_vm_stays(lake: Lake, tmp_path: Path) -> None:
    days = ("--start-date", "2024-05-01", "--end-date", "2024-05-02")
    assert lake.engine("instruments", "--venues", "binance", *days).returncode == 0
    request = Request(venues=("binance",), data_types=("trades",), start=date(2024, 5, 1), end=date(2024, 5, 1), shards=1)
    means = Means(lake.data.bucket, lake.state.bucket, settings={"HEARTBEAT_SECONDS": "1", "HEAL_SECONDS": "1"})
    plan = plan_request(Inventory(lake.state), request, means, now=utc_now())
    environment = {"TICKDECK_VM_SECRET_TARDIS_API_KEY": KEY, "PYTHONPATH": str(Path.cwd())}
    with started("compute", tmp_path / "compute", environment=environment) as server:
        api = f"{lake.source.url}/v1"
        endpoints = Endpoints(storage=lake.storage.url, compute=server.url, tardis_api=api, tardis_datasets=api)
        profile = local_profile(project="local", data_bucket=lake.data.bucket, endpoints=endpoints)
        clients, run = ComputeClients(profile), new_run(utc_now())
        zones = region_zones(clients)
        intent = preview(profile, plan, 1, run=run, now=utc_now(), region_zones=zones, keep=HOUR)
        assert launch(profile, clients, lake.state, intent).status == "complete"
        (name,) = intent.order.vms

        def look() -> FleetSnapshot:
            return observe(profile, clients, RunReader(lake.state), run=run)

        def is_kept(snapshot: FleetSnapshot) -> bool:
            row = snapshot.find(name)
            return row is not None and row.heartbeat is not None and row.heartbeat.state == KEPT

        snapshot = patiently(look, is_kept)
        assert snapshot.runs[0].unfinished == ()
        row = snapshot.find(name)
        assert row is not None
        assert (row.state, row.exit_code, row.exists, row.dead) == ("done", 0, True, False)
        assert "kept for jobs until" in row.note
        assert propose_cleanup(profile, snapshot, take_inventory(clients, snapshot)).items == ()
        before = {info.name for info in lake.data.list("raw_tick_data/")}
        arguments = ("download", "--venues", "binance", "--data-types", "trades", "--start-date", "2024-05-02")
        job = give_job(propose_job(profile, snapshot, name, arguments), profile=profile, state=lake.state)
        patiently(look, lambda _: (result := read_result(lake.state, run, name, job.number)) is not None and result.ended is not None)
        result = read_result(lake.state, run, name, job.number)
        assert result is not None
        assert result.exit_code == 0, result.tail
        added = {info.name for info in lake.data.list("raw_tick_data/")} - before
        assert added
        assert all("day-2024-05-02" in one for one in added)
        row = look().find(name)
        assert row is not None
        assert (row.exists, row.dead) == (True, False)
