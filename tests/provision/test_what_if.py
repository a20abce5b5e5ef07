"""Other fleets for a plan: the same work packed anew, and never a launch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.errors import UsageError
from engine.estimate import Rates, Speed
from engine.plan import STRATEGIES, Plan
from provision.prices import machine_speed, plan_rates
from provision.what_if import Alternative, Choices, fleet_sizes, parse_choices, try_fleets
from tests.engine.test_planner import plan, request
from tests.provision.made_up_fleet import gcp_profile

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROFILE = gcp_profile()


def rates_of(machine_type: str, model: str) -> Rates:
    return plan_rates(PROFILE, machine_type=machine_type, model=model)


def made(shards: int = 2, machine_type: str = "e2-highmem-8", model: str = "SPOT", **more: Any) -> Plan:
    wanted = request(0, 5, shards=shards, machine_type=machine_type, provisioning_model=model, **more)
    return plan(wanted, speed=machine_speed(machine_type), rates=rates_of(machine_type, model))


def alternatives(of: Plan, text: str = "") -> tuple[Alternative, ...]:
    choices = parse_choices([text]) if text else Choices()
    return try_fleets(of, PROFILE, choices, speed_of=machine_speed, rates_of=rates_of, now=NOW)


def test_an_alternative_says_what_planning_it_would_say() -> None:
    for vms, machine_type, model, spot in (
        (1, "e2-highmem-8", "SPOT", "yes"),
        (3, "e2-highmem-8", "STANDARD", "no"),
        (6, "e2-standard-4", "SPOT", "yes"),
    ):
        planned = made(vms, machine_type, model).estimate
        found = alternatives(made(2), f"vms={vms},machine-type={machine_type},spot={spot}")[1]
        assert (found.vms, found.machine_type, found.model) == (vms, machine_type, model)
        assert found.minutes == pytest.approx(planned.makespan_seconds / 60)
        assert found.vm_hours == pytest.approx(planned.vm_hours)
        assert found.cost == pytest.approx(planned.cost)


def test_the_plan_stands_first_and_the_grid_is_every_combination() -> None:
    found = alternatives(made(2), "vms=1/2/3,machine-type=e2-highmem-8/e2-standard-8,spot=yes/no")
    assert found[0].is_plan
    assert [one.is_plan for one in found[1:]] == [False] * 12
    assert {(one.vms, one.machine_type, one.model) for one in found[1:]} == {
        (vms, machine, model) for vms in (1, 2, 3) for machine in ("e2-highmem-8", "e2-standard-8") for model in ("SPOT", "STANDARD")
    }
    by_fleet = {(one.vms, one.machine_type, one.model): one for one in found[1:]}
    dear, cheap = by_fleet[2, "e2-highmem-8", "STANDARD"], by_fleet[2, "e2-highmem-8", "SPOT"]
    assert dear.minutes == cheap.minutes
    assert dear.cost is not None
    assert cheap.cost is not None
    assert dear.cost[1] > cheap.cost[1]


def test_every_strategy_is_tried_as_planning_with_it_would_say() -> None:
    found = alternatives(made(2), "vms=4,strategy=balanced/by-date/by-instrument")[1:]
    assert [one.strategy for one in found] == list(STRATEGIES)
    for one in found:
        planned = made(4, strategy=one.strategy)
        assert one.minutes == pytest.approx(planned.estimate.makespan_seconds / 60)
        assert one.bound_minutes == pytest.approx(planned.estimate.lower_bound_seconds / 60)
        assert one.cost == pytest.approx(planned.estimate.cost)
        assert planned.shards[one.slowest_shard].seconds == max(shard.seconds for shard in planned.shards)


def test_fleets_worth_trying_hold_the_plan_s_own_and_none_that_is_not_allowed_or_has_no_work() -> None:
    of = made(3)
    assert fleet_sizes(of, 5) == (1, 2, 3, 4, 5)
    assert fleet_sizes(of, 2) == (1, 2, 3)
    assert max(fleet_sizes(made(40), 1000)) <= made(40).estimate.files


def test_keys_that_are_not_given_are_the_plan_s() -> None:
    of = made(3, "e2-standard-8", "STANDARD")
    found = alternatives(of, "vms=1")[1]
    assert (found.machine_type, found.model) == ("e2-standard-8", "STANDARD")
    same = alternatives(of, "spot=no")[1]
    assert same.vms == 3
    assert same.cost == pytest.approx(of.estimate.cost)


def test_a_machine_without_a_price_has_none_and_a_fleet_without_work_says_so() -> None:
    unknown = alternatives(made(), "machine-type=x9-mega-1")[1]
    assert unknown.cost is None
    assert "no price is known" in unknown.note
    many = alternatives(made(), "vms=5000")[1]
    assert many.vms < 5000
    assert "have something to do" in many.note


def test_an_allowance_spreads_the_work_whatever_the_fleet() -> None:
    of = plan(request(0, 5, shards=1, daily_bytes=150_000_000), speed=Speed(), rates=rates_of("e2-highmem-8", "SPOT"))
    found = alternatives(of, "vms=1/2")
    assert {one.allowance_days for one in found} == {-(-of.estimate.bytes // 150_000_000)}
    assert found[1].minutes > 24 * 60


def test_a_cap_that_a_fleet_cannot_hold_is_told_and_not_raised() -> None:
    of = plan(request(0, 5, shards=1, daily_bytes=150_000_000), speed=Speed(), rates=rates_of("e2-highmem-8", "SPOT"))
    found = alternatives(of, "vms=18")[1]
    assert "does not hold" in found.note
    assert found.cost is None


@pytest.mark.parametrize(
    "text", ["", "vms", "vms=", "vms=0", "vms=-3", "vms=5001", "vms=²", "spot=maybe", "cores=8", "vms=3,,spot=no", "strategy=by-day"]
)
def test_what_cannot_be_meant_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="--what-if"):
        parse_choices([text])


def test_several_texts_add_up_and_repetitions_do_not() -> None:
    assert parse_choices(["vms=1/2", "vms=2/3,spot=no"]) == Choices(vms=(1, 2, 3), models=("STANDARD",))


def test_a_plan_with_nothing_to_do_has_no_alternatives() -> None:
    empty = plan(request(0, 0, venues=("deribit",), data_types=("book_snapshot_5",)))
    with pytest.raises(UsageError, match="nothing to do"):
        alternatives(empty)
