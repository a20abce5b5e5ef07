"""A plan of the engine, launched onto VMs that run the engine, looked after by reconcile and cleaned up: all parts together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from engine.claims import list_claims
from engine.clock import utc_now
from engine.inventory import Inventory, Means, check_range, plan_request
from engine.model import DayRange
from engine.plan import Request
from engine.run import new_run
from provision.actions import apply
from provision.cleanup import propose_cleanup, take_inventory
from provision.clients import ComputeClients
from provision.fleet import FleetSnapshot, observe
from provision.launch import launch, preview
from provision.profile import Endpoints
from provision.reconcile import reconcile
from provision.resources import region_zones
from provision.runs import RunReader
from provision.vm_state import VmState
from tests.local_servers import KEY, Lake, LocalServer, started
from tests.provision.made_up_fleet import local_profile

PATIENCE_SECONDS = 90.0


def patiently(look: Callable[[], FleetSnapshot], holds: Callable[[FleetSnapshot], bool]) -> FleetSnapshot:
    """Look until it holds; every look is told of the one before by `look` itself."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not holds(snapshot := look()):
        assert time.monotonic() < ends, snapshot.verdict
        time.sleep(0.2)
    return snapshot


@pytest.fixture
def stalled(lake: Lake) -> Iterator[LocalServer]:
    """The source, sound again after the test."""
    yield lake.source
    lake.source.disarm()


def test_a_preempted_fleet_of_engines_completes_its_plan_and_leaves_nothing_behind(
    lake: Lake, stalled: LocalServer, tmp_path: Path
) -> None:
    assert lake.engine("instruments", "--venues", "binance", "--start-date", "2024-05-01", "--end-date", "2024-05-02").returncode == 0
    day = DayRange(date(2024, 5, 1), date(2024, 5, 1))
    request = Request(venues=("binance",), data_types=("trades",), start=day.start, end=day.end, shards=2)
    means = Means(lake.data.bucket, lake.state.bucket, settings={"HEARTBEAT_SECONDS": "1", "HEAL_SECONDS": "1"})
    plan = plan_request(Inventory(lake.state), request, means, now=utc_now())
    assert len(plan.shards) == 2
    environment = {"TICKDECK_VM_SECRET_TARDIS_API_KEY": KEY, "PYTHONPATH": str(Path.cwd())}
    with started("compute", tmp_path / "compute", environment=environment) as server:
        endpoints = Endpoints(
            storage=lake.storage.url,
            compute=server.url,
            tardis_api=f"{lake.source.url}/v1",
            tardis_datasets=f"{lake.source.url}/v1",
        )
        profile = local_profile(project="local", data_bucket=lake.data.bucket, endpoints=endpoints)
        clients, reader = ComputeClients(profile), RunReader(lake.state)
        run = new_run(utc_now())
        # The first VM is taken away while it waits for its file, without a word: its claim stays as it is.
        stalled_file = plan.shards[0].work[0].symbols[0]
        stalled.post("/_tickdeck/faults", {"fault": "stall", "seconds": 600, "match": stalled_file})
        intent = preview(profile, plan, 2, run=run, now=utc_now(), region_zones=region_zones(clients))
        assert launch(profile, clients, lake.state, intent).status == "complete"
        lost, other = intent.order.vms
        seen: list[FleetSnapshot] = []

        def look() -> FleetSnapshot:
            seen.append(observe(profile, clients, reader, run=run, previous=seen[-1] if seen else None))
            return seen[-1]

        patiently(look, lambda found: found.find(lost).state is VmState.RUNNING and 0 in found.runs[0].claims)
        server.post("/_tickdeck/preempt", {"vm": lost, "grace_seconds": 0})
        snapshot = patiently(look, lambda found: found.find(lost).state is VmState.PREEMPTED)
        assert "1 preempted" in snapshot.verdict
        stalled.disarm()
        done = reconcile(profile, clients, lake.state, snapshot)
        assert ([list(result.created) for result in done.results], done.given_up) == ([[f"{lost}-a2"]], ())
        snapshot = patiently(look, lambda found: all(vm.dead for vm in found.vms))
        assert {vm.name: vm.state for vm in snapshot.vms} == {
            lost: VmState.PREEMPTED,
            f"{lost}-a2": VmState.DONE,
            other: VmState.DONE,
        }
        assert {shard: held.claim.state for shard, held in list_claims(lake.state, run).items()} == {0: "done", 1: "done"}
        outcome = snapshot.runs[0].outcome
        assert outcome is not None
        assert (outcome.files, outcome.bad) == (sum(shard.files for shard in plan.shards), 0)
        coverage = check_range(Inventory(lake.state), day, ["binance"], ["trades"], now=utc_now())
        assert (coverage.complete_cells, coverage.expected_cells) == (1, 1)
        proposal = propose_cleanup(profile, snapshot, take_inventory(clients, snapshot))
        assert {item.name for item in proposal.items} == {f"{lost}-a2", other}
        receipt = apply(proposal, profile=profile, clients=clients, state=lake.state, confirm=2)
        assert receipt.failed == ()
        assert all("worker_ended" in result.serial_tail for result in receipt.results)
        assert KEY not in "".join(result.serial_tail for result in receipt.results)
        assert [vm for vm in look().vms if vm.exists] == []
