"""What runs cost: times from what is still known, money at the plan's prices, and the estimate beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from engine.errors import NotPermitted
from engine.estimate import Rates, cost_lines
from engine.inventory import Inventory
from engine.launch import LaunchedVm
from engine.manifest import Summary
from engine.model import Cell, Outcome
from engine.paths import ManifestName
from engine.plan import Plan
from engine.run import new_run
from provision.clients import ComputeClients
from provision.costs import Spending, VmUse, began_between, cost_warnings, read_spending, run_cost, spent_by_day, vm_uses
from provision.operations import Failure, FailureKind, VmEvent
from provision.prices import cost_per_hour, find_rates
from provision.runs import RunReader, RunView
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import NOW, RUN, ZONES, accepted, beat, gcp_profile, make_order, make_plan, make_view, make_vm, vm_name

PROFILE = gcp_profile()
HOURLY = cost_per_hour(PROFILE, "e2-highmem-8", "SPOT")
CREATED = NOW - timedelta(hours=2)
CELL = Cell(date(2024, 5, 1), "trades", "binance")


def order(vms: Mapping[str, LaunchedVm] | int = 1, **changes: Any) -> Any:
    return make_order(vms, **{"machine_types": ("e2-highmem-8", "e2-standard-8"), "created": CREATED, "project": PROFILE.project} | changes)


def event(vm: str, kind: str, when: datetime, failure: Failure | None = None) -> VmEvent:
    return VmEvent(vm=vm, zone=ZONES[0], type=kind, when=when, failure=failure)


def only(view: RunView, **known: Any) -> VmUse:
    (use,) = vm_uses(PROFILE, view, now=NOW, **known)
    return use


def summary(shard: int, attempt: int, files: int, size: int, *, run: str = RUN, sequence: int = 0) -> Summary:
    return Summary(
        name=ManifestName(CELL, run, shard, attempt, sequence),
        generation=1,
        written=NOW,
        open=False,
        counts=Counter({Outcome.OK: files}),
        symbols_hash="",
        rows=1,
        source_bytes=size,
        object_bytes=size,
        covered_minutes=1440,
        empty_symbols=(),
        catalogue="",
    )


# times


def test_a_vm_that_runs_costs_from_its_creation_to_now() -> None:
    vm = make_vm(vm_name(0), machine_type="e2-highmem-8", created=NOW - timedelta(hours=1))
    use = only(make_view([order()]), vms=[vm])
    assert (use.hours, use.running, use.known_by) == (1.0, True, "instance")
    assert use.dollars == pytest.approx(HOURLY)


@pytest.mark.parametrize("kind", ["delete", "stop", "compute.instances.preempted", "compute.instances.guestTerminate"])
def test_a_vm_that_is_gone_ended_with_the_operation_that_ended_it(kind: str) -> None:
    events = [event(vm_name(0), "insert", CREATED), event(vm_name(0), kind, CREATED + timedelta(minutes=90))]
    use = only(make_view([order()], heartbeats=[beat(vm_name(0), age=60, started=CREATED)]), vms=[], events=events)
    assert (use.hours, use.running, use.known_by) == (1.5, False, "operation")


def test_an_operation_that_failed_ended_nothing() -> None:
    refused = Failure(FailureKind.PERMISSION, "forbidden", "no")
    events = [event(vm_name(0), "delete", CREATED + timedelta(minutes=5), refused)]
    use = only(make_view([order()], heartbeats=[beat(vm_name(0), "done", age=1800, started=CREATED)]), vms=[], events=events)
    assert (use.known_by, use.ended) == ("heartbeat", NOW - timedelta(minutes=30))


def test_what_ended_an_earlier_boot_did_not_end_the_last() -> None:
    events = [
        event(vm_name(0), "stop", CREATED + timedelta(minutes=10)),
        event(vm_name(0), "delete", CREATED + timedelta(minutes=100)),
    ]
    view = make_view([order()], heartbeats=[beat(vm_name(0), age=3000, started=CREATED + timedelta(minutes=30))])
    assert only(view, vms=[], events=events).ended == CREATED + timedelta(minutes=100)


def test_without_operations_the_records_say_when_it_ended() -> None:
    use = only(make_view([order()], heartbeats=[beat(vm_name(0), age=1800, started=CREATED)]), vms=[])
    assert (use.began, use.ended, use.known_by) == (CREATED, NOW - timedelta(minutes=30), "heartbeat")


def test_a_vm_that_never_spoke_counts_until_it_was_replaced_or_could_not_live_longer() -> None:
    name, successor = vm_name(0), f"{vm_name(0)}-a2"
    replacing = order({successor: LaunchedVm(shards=(0,), attempt=2, replaces=name)}, number=2, created=NOW - timedelta(minutes=80))
    uses = {use.vm: use for use in vm_uses(PROFILE, make_view([order(), replacing]), now=NOW, vms=[])}
    assert (uses[name].hours, uses[name].known_by) == (pytest.approx(40 / 60), "limit")
    assert uses[successor].ended == NOW
    short = order(max_run_seconds=600)
    assert only(make_view([short]), vms=[]).hours == pytest.approx(1 / 6)


def test_a_vm_that_was_never_made_costs_nothing() -> None:
    placed = order(2)
    view = make_view([placed], operations={1: accepted(placed, created={vm_name(0): ZONES[0]})})
    assert [use.vm for use in vm_uses(PROFILE, view, now=NOW, vms=[])] == [vm_name(0)]
    assert vm_uses(PROFILE, make_view([placed], operations={}), now=NOW, vms=[]) == ()


def test_where_nobody_listed_vms_a_fresh_heartbeat_stands_for_one() -> None:
    alive = make_view([order()], heartbeats=[beat(vm_name(0), age=10)])
    assert only(alive).running
    assert not only(alive, vms=[]).running
    assert not only(make_view([order()], heartbeats=[beat(vm_name(0), age=600)])).running
    assert not only(make_view([order()], heartbeats=[beat(vm_name(0), "done", age=10, exit_code=0)])).running


def test_a_vm_of_the_same_name_that_is_of_another_run_is_not_ours() -> None:
    vm = make_vm(vm_name(0), run="r1tp8k5m2y")
    use = only(make_view([order()], heartbeats=[beat(vm_name(0), age=3600, started=CREATED)]), vms=[vm])
    assert use.known_by == "heartbeat"


def test_a_vm_that_is_switched_off_still_has_its_disk() -> None:
    off = make_vm(vm_name(0), "TERMINATED", machine_type="e2-highmem-8", created=CREATED)
    events = [event(vm_name(0), "stop", CREATED + timedelta(hours=1))]
    use = only(make_view([order(disk_gb=100)]), vms=[off], events=events)
    assert use.hours == 1.0
    assert use.dollars == pytest.approx(HOURLY + 100 * 0.052 / 730)


# money


def priced_plan(factor: float) -> Plan:
    """A plan whose prices were `factor` times those of the table."""
    rates = find_rates(PROFILE)
    assert rates is not None
    lines = cost_lines(rates, vm_hours=1.0, class_a=1000)
    then = tuple(structs.replace(line, low=line.low * factor, expected=line.expected * factor, high=line.high * factor) for line in lines)
    plan = make_plan(1, profile=PROFILE)
    return structs.replace(plan, estimate=structs.replace(plan.estimate, costs=then, vm_hours=1.0))


def test_the_price_is_that_of_the_plan_and_not_what_the_table_says_by_now() -> None:
    view = make_view([order()], heartbeats=[beat(vm_name(0), age=1800, started=CREATED)])
    assert only(view, vms=[], plan=priced_plan(2.0)).dollars == pytest.approx(1.5 * HOURLY * 2)
    assert only(view, vms=[]).dollars == pytest.approx(1.5 * HOURLY)


def test_another_machine_or_model_than_the_plan_s_is_priced_by_the_table() -> None:
    vm = make_vm(vm_name(0), machine_type="e2-standard-8", created=NOW - timedelta(hours=1))
    assert only(make_view([order()]), vms=[vm], plan=priced_plan(2.0)).dollars == pytest.approx(
        cost_per_hour(PROFILE, "e2-standard-8", "SPOT")
    )
    dear = make_vm(vm_name(0), machine_type="e2-highmem-8", model="STANDARD", created=NOW - timedelta(hours=1))
    assert only(make_view([order()]), vms=[dear], plan=priced_plan(2.0)).dollars == pytest.approx(
        cost_per_hour(PROFILE, "e2-highmem-8", "STANDARD")
    )


def test_a_machine_without_a_price_makes_the_sum_unknown_and_not_smaller() -> None:
    placed = order(2)
    vms = [
        make_vm(vm_name(0), machine_type="e2-highmem-8", created=CREATED),
        make_vm(vm_name(1), machine_type="x9-mega-1", created=CREATED),
    ]
    cost = run_cost(PROFILE, make_view([placed]), None, now=NOW, vms=vms)
    assert [use.dollars is None for use in cost.vms] == [False, True]
    assert cost.actual.dollars is None
    assert cost.actual.vm_hours == 4.0


def test_a_run_is_the_sum_of_vms_and_of_what_they_wrote() -> None:
    view = make_view([order()], heartbeats=[beat(vm_name(0), "done", age=3600, started=CREATED, exit_code=0, source_bytes=900)])
    cost = run_cost(PROFILE, view, None, now=NOW, vms=[], summaries=[summary(0, 1, 5, 900)])
    # one hour: 5 objects, 1 manifest, 12 calls of the shard, 420 heartbeats and logs
    operations = (5 + 1 + 12 + 420) / 1000 * 0.005
    assert cost.actual.dollars == pytest.approx(HOURLY + operations)
    assert [line.expected for line in cost.actual.lines] == pytest.approx([HOURLY, operations])
    assert (cost.ended, cost.actual.minutes) == (NOW - timedelta(hours=1), 60.0)


def test_what_came_through_nat_is_billed_too() -> None:
    hidden = gcp_profile(external_ip=False)
    view = make_view([order()], heartbeats=[beat(vm_name(0), "done", age=3600, started=CREATED, exit_code=0, source_bytes=10 * 2**30)])
    cost = run_cost(hidden, view, None, now=NOW, vms=[])
    assert sum(line.expected for line in cost.actual.lines if "NAT" in line.item) == pytest.approx(10 * 0.045 + 0.0448)


def test_money_falls_on_the_days_on_which_the_vms_ran() -> None:
    start = datetime(2026, 3, 1, 23, tzinfo=UTC)
    use = VmUse("vm", "e2-highmem-8", "SPOT", start, start + timedelta(hours=26), False, "operation", 26.0)
    days = spent_by_day([use, use])
    assert days == {"2026-03-01": pytest.approx(2.0), "2026-03-02": pytest.approx(48.0), "2026-03-03": pytest.approx(2.0)}
    assert spent_by_day([replace(use, dollars=None)]) == {}


# estimate and what was done


def test_files_count_once_however_many_attempts_recorded_them() -> None:
    first = [summary(0, 1, 3, 300), summary(0, 1, 4, 400, sequence=1), summary(0, 2, 10, 1000)]
    others = [summary(1, 1, 7, 700), summary(0, 9, 99, 9900, run="r1tp8k5m2y")]
    beats = [
        beat(vm_name(0), "failed", age=60, exit_code=1, source_bytes=650),
        beat(vm_name(1), "done", age=60, exit_code=0, source_bytes=1400),
    ]
    cost = run_cost(PROFILE, make_view([order(2)], heartbeats=beats), None, now=NOW, vms=[], summaries=first + others)
    assert (cost.actual.files, cost.actual.bytes) == (17, 1700)
    assert cost.redone_bytes == 650 + 1400 - 1700


def test_while_it_runs_nobody_knows_what_is_done_twice() -> None:
    view = make_view([order()], heartbeats=[beat(vm_name(0), source_bytes=5000)])
    cost = run_cost(PROFILE, view, None, now=NOW, vms=[make_vm(vm_name(0), machine_type="e2-highmem-8")])
    assert (cost.ended, cost.redone_bytes) == (None, None)


def test_retries_are_counted_by_cause() -> None:
    first = order(3)
    second = order({"a": LaunchedVm(shards=(0,), attempt=2, replaces=vm_name(0))}, number=2, reason="preempted")
    third = order(
        {"b": LaunchedVm(shards=(1,), attempt=2, replaces=vm_name(1)), "c": LaunchedVm(shards=(2,), attempt=2, replaces=vm_name(2))},
        number=3,
        reason="unknown",
    )
    view = make_view([first, second, third], heartbeats=[beat(vm_name(0), retries=4, throttled=1), beat(vm_name(1), retries=2)])
    assert run_cost(PROFILE, view, None, now=NOW).retries == {"preempted": 1, "unknown": 2, "source retries": 6, "source 429": 1}


def test_the_estimate_is_that_of_the_shards_that_were_launched() -> None:
    plan = make_plan(4, profile=PROFILE)
    lines = cost_lines(Rates(), vm_hours=1.0, class_a=0)
    dear = structs.replace(lines[0], low=4.0, expected=8.0, high=16.0)
    plan = structs.replace(plan, estimate=structs.replace(plan.estimate, costs=(dear,), vm_hours=2.0))
    expected = run_cost(PROFILE, make_view([order(1)]), plan, now=NOW).expected
    assert expected is not None
    assert (expected.low, expected.dollars, expected.high, expected.vm_hours) == (1.0, 2.0, 4.0, 0.5)
    assert (expected.files, expected.bytes) == (1, 1000)
    assert run_cost(PROFILE, make_view([order(1)]), None, now=NOW).expected is None


def test_an_estimate_without_prices_is_no_estimate_of_zero() -> None:
    expected = run_cost(PROFILE, make_view([order(1)]), make_plan(1), now=NOW).expected
    assert expected is not None
    assert not expected.is_priced


def test_levels_of_the_profile_warn_of_runs_and_of_days() -> None:
    view = make_view([order()], heartbeats=[beat(vm_name(0), "done", age=3600, started=CREATED, exit_code=0)])
    cost = run_cost(PROFILE, view, None, now=NOW, vms=[])
    spending = Spending((cost,), spent_by_day(cost.vms))
    assert cost_warnings(PROFILE, spending) == ()
    run, day = cost_warnings(gcp_profile(warn_cost_run=0.2, warn_cost_day=0.1), spending)
    assert RUN in run
    assert "2026-03-01" in day
    assert cost_warnings(gcp_profile(warn_cost_run=0.3, warn_cost_day=0.3), spending) == ()


def test_runs_are_chosen_by_the_utc_day_on_which_they_began() -> None:
    run = new_run(datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))
    day = date(2026, 3, 1)
    assert began_between(run, None, None)
    assert began_between(run, day, day)
    assert not began_between(run, day + timedelta(days=1), None)
    assert not began_between(run, None, day - timedelta(days=1))
    assert not began_between("a1tp8k5m2x", None, None)


# over the wire


def test_vms_of_a_real_server_are_counted_from_their_insert_to_their_end(wired: Wired) -> None:
    launched = wired.launch(2)
    run, names = launched.order.run, sorted(launched.created)
    wired.work(run, names[0], 0, "done", files_done=1, exit_code=0, source_bytes=1000)
    wired.work(run, names[1], 1, source_bytes=500)
    wired.preempt(names[1])
    views = [RunReader(wired.state).read(run)]
    now = max(vm.created for vm in wired.vms() if vm.created) + timedelta(minutes=10)
    spending = read_spending(wired.profile, Inventory(wired.state), views, now=now, compute=lambda: wired.clients)
    (cost,) = spending.runs
    uses = {use.vm: use for use in cost.vms}
    assert (uses[names[0]].running, uses[names[0]].ended) == (True, now)
    assert (uses[names[1]].running, uses[names[1]].known_by) == (False, "operation")
    assert uses[names[1]].ended < now
    assert cost.actual.dollars == 0
    assert cost.expected is not None
    assert spending.notes == ()


def test_without_the_service_the_records_answer_and_it_is_said(wired: Wired) -> None:
    launched = wired.launch(1)
    run, (name,) = launched.order.run, launched.created
    wired.work(run, name, 0, "done", exit_code=0)
    views = [RunReader(wired.state).read(run)]

    def refuse() -> ComputeClients:
        raise NotPermitted("no credentials")

    now = views[0].orders[0].created + timedelta(minutes=1)
    spending = read_spending(wired.profile, Inventory(wired.state), views, now=now, compute=refuse)
    assert [use.known_by for use in spending.runs[0].vms] == ["heartbeat"]
    assert spending.notes == ("times are those of the records: no credentials",)
