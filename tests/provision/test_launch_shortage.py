"""What is done where there is no room: next zone, next machine type, on demand within the money; each step an order of its own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.errors import UsageError
from engine.plan import Plan, seal
from provision.launch import launch, preview
from provision.operations import Failure, FailureKind
from provision.orders import LaunchOrder, bulk_insert_request, read_order
from provision.placing import LaunchResult, ZoneCount
from provision.shortage import expected_cost, money_limit, short_of, widen
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import NOW, RUN, ZONES, gcp_profile, make_order, make_plan, vm_name

A, B = ZONES
BOTH = ("e2-highmem-8", "e2-standard-8")


def order(**changes: Any) -> LaunchOrder:
    return make_order(3, **{"machine_types": BOTH, "denied_zones": ("asia-northeast1-c",), **changes})


def short(asked: LaunchOrder, *zones: str, made: int = 0, kind: FailureKind = FailureKind.STOCK_OUT) -> LaunchResult:
    """An order of which `made` VMs were made and the others failed in these zones."""
    names = list(asked.vms)
    failures = tuple(Failure(kind, "ZONE_RESOURCE_POOL_EXHAUSTED", "no room", zone, tuple(names[made:])) for zone in zones)
    created = dict.fromkeys(names[:made], B)
    return LaunchResult(asked, "partial" if made else "failed", "operation", created, tuple(names[made:]), failures)


def next_order(result: LaunchResult, *, profile: Any = None, plan: Plan | None = None, committed: float = 0.0) -> LaunchOrder | None:
    profile = profile or gcp_profile(on_demand_fallback=True)
    return widen(profile, plan or make_plan(profile=profile), result, committed=committed, now=NOW)


def test_the_ladder_is_next_zone_next_machine_type_on_demand_and_then_there_is_nowhere_left() -> None:
    first = order()
    second = next_order(short(first, A, made=1))
    assert second is not None
    assert (second.zones, second.machine_types, second.provisioning_model) == ((B,), BOTH, "SPOT")
    assert second.denied_zones == ("asia-northeast1-c", A)
    third = next_order(short(second, B))
    assert third is not None
    assert (set(third.zones), third.machine_types, third.denied_zones) == ({A, B}, BOTH[1:], ("asia-northeast1-c",))
    fourth = next_order(short(third, A, B))
    assert fourth is not None
    assert (set(fourth.zones), fourth.machine_types, fourth.provisioning_model) == ({A, B}, BOTH, "STANDARD")
    fifth = next_order(short(fourth, A, B))
    assert fifth is not None
    assert (fifth.machine_types, fifth.provisioning_model) == (BOTH[1:], "STANDARD")
    assert next_order(short(fifth, A, B)) is None
    ladder = [first, second, third, fourth, fifth]
    assert [step.number for step in ladder] == [1, 2, 3, 4, 5]
    assert len({step.request_id for step in ladder}) == 5
    assert [step.reason for step in ladder[1:]] == [
        f"no capacity in {A}: next zone",
        "no capacity for e2-highmem-8: next machine type",
        "no spot capacity: on demand",
        "no capacity for e2-highmem-8: next machine type",
    ]


def test_only_what_is_missing_is_asked_for_again_under_its_own_name() -> None:
    following = next_order(short(order(), A, made=1))
    assert following is not None
    assert set(following.vms) == {vm_name(1), vm_name(2)}
    request = bulk_insert_request(following).bulk_insert_instance_resource_resource
    assert request.count == 2
    assert {zone: str(location.preference) for zone, location in request.location_policy.locations.items()} == {
        f"zones/{B}": "ALLOW",
        f"zones/{A}": "DENY",
        "zones/asia-northeast1-c": "DENY",
    }


def test_a_zone_that_failed_without_naming_vms_is_full_too() -> None:
    result = short(order(), "")
    counted = LaunchResult(**{**_fields(result), "zones": {A: ZoneCount(0, 3), B: ZoneCount(0, 0)}})
    following = next_order(counted)
    assert following is not None
    assert following.zones == (B,)


def _fields(result: LaunchResult) -> dict[str, Any]:
    return {name: getattr(result, name) for name in ("order", "status", "operation", "created", "missing", "failures")}


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind is not FailureKind.STOCK_OUT])
def test_what_is_no_shortage_is_not_asked_for_elsewhere(kind: FailureKind) -> None:
    result = short(order(), A, kind=kind)
    assert short_of(result) == {}
    assert next_order(result) is None


def test_on_demand_only_if_the_profile_allows_it_and_the_money_does() -> None:
    asked = order(machine_types=BOTH[:1])
    result = short(asked, A, B)
    assert next_order(result, profile=gcp_profile()) is None
    profile = gcp_profile(on_demand_fallback=True)
    plan = make_plan(profile=profile, seconds=[36_000] * 3)
    price = expected_cost(profile, plan, asked.vms, BOTH[0], "STANDARD")
    assert price > expected_cost(profile, plan, asked.vms, BOTH[0], "SPOT") > 0
    for limit, committed, allowed in ((price + 1, 0.0, True), (price - 0.01, 0.0, False), (price + 1, 1.5, False), (0.0, 1e9, True)):
        limited = gcp_profile(on_demand_fallback=True, max_cost=limit)
        assert (next_order(result, profile=limited, plan=plan, committed=committed) is not None) is allowed


def test_the_plans_limit_comes_before_the_profiles_and_a_launch_beyond_it_is_refused() -> None:
    profile = gcp_profile(max_cost=1000.0)
    plan = make_plan(profile=profile, seconds=[36_000] * 3)
    assert money_limit(profile, plan) == 1000.0
    tight = seal(msgspec.structs.replace(plan, request=msgspec.structs.replace(plan.request, max_cost=0.5)))
    assert money_limit(profile, tight) == 0.5
    assert preview(profile, plan, 3, run=RUN, now=NOW, region_zones=ZONES).order.vms
    with pytest.raises(UsageError, match=r"may cost \$0\.50"):
        preview(profile, tight, 3, run=RUN, now=NOW, region_zones=ZONES)


def test_each_step_is_on_record_and_in_the_audit_trail_and_what_was_made_stays(wired: Wired) -> None:
    types = ("e2-highmem-2", "e2-standard-2")
    cloud = wired.with_profile(machine_types=types, on_demand_fallback=True)
    # The first call finds room for one VM, the next machine type has none either for a moment, then there are VMs on demand.
    for zone in cloud.profile.zones:
        cloud.arm(fault="stockout", zone=zone, machine_type=types[0], count=2)
        cloud.arm(fault="stockout", zone=zone, machine_type=types[1], count=4)
    result = launch(cloud.profile, cloud.clients, cloud.state, cloud.intent(2))
    assert (result.status, set(result.created)) == ("complete", set(result.order.vms))
    assert cloud.names() == set(result.order.vms)
    run = result.order.run
    steps = [read_order(cloud.state, run, number) for number in (1, 2, 3)]
    assert [step.reason for step in steps if step] == [
        "launch",
        "no capacity for e2-highmem-2: next machine type",
        "no spot capacity: on demand",
    ]
    assert [step.order.provisioning_model for step in result.later] == ["SPOT", "STANDARD"]
    assert {vm.model for vm in cloud.vms()} == {"STANDARD"}
    assert len(result.steps) == 2
    assert result.last_number == 3
    receipts = [record for record in cloud.audit() if record.phase == "receipt"]
    assert [(record.verb, record.reason) for record in receipts] == [("launch", step.reason) for step in steps if step]
    # Each order's shards are those of the first: the worker finds its own under its name.
    assert {vm.shards for step in steps if step for vm in step.vms.values()} == {(0,), (1,)}


def test_a_partial_success_is_kept_while_the_rest_goes_elsewhere(wired: Wired) -> None:
    types = ("e2-highmem-2", "e2-standard-2")
    cloud = wired.with_profile(machine_types=types[:1], on_demand_fallback=True)
    for zone in cloud.profile.zones:
        cloud.arm(fault="stockout", zone=zone, machine_type=types[0], count=1)
    result = launch(cloud.profile, cloud.clients, cloud.state, cloud.intent(3))
    assert result.status == "complete"
    assert sorted(vm.model for vm in cloud.vms()) == ["SPOT", "SPOT", "STANDARD"]
    (step,) = result.later
    assert len(step.order.vms) == 1


def test_where_nothing_more_is_allowed_the_rest_is_missing_and_shown(wired: Wired) -> None:
    for zone in wired.profile.zones:
        wired.arm(fault="stockout", zone=zone)
    result = launch(wired.profile, wired.clients, wired.state, wired.intent(2))
    assert (result.status, result.later, wired.vms()) == ("failed", (), ())
    assert "no capacity" in result.message
    assert read_order(wired.state, result.order.run, 2) is None
