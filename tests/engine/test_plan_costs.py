"""What a plan says of its cost: lines, growth of the bill, warning levels, and the plain word that a price is not known."""

from __future__ import annotations

import json

from engine.documents import decode, encode
from engine.estimate import Rate, Rates
from engine.plan import Plan, seal
from tests.engine.test_planner import plan, request

DEAR = Rates(
    vm_hour=Rate(3600.0, "price list", "2026-11-01", low=0.5, high=2.0),
    storage_gib_month=Rate(0.023, "price list", "2026-11-01"),
    machine="dear",
)


def cost_warnings(made: Plan) -> list[str]:
    return [line for line in made.warnings if "cost" in line]


def test_an_unknown_price_is_said_and_nothing_is_priced() -> None:
    made = plan(request(), rates=Rates(unknown="x9-mega-1 spot in mars-north1"))
    assert made.estimate.costs == ()
    assert not made.estimate.is_priced
    assert cost_warnings(made) == ["no price is known for x9-mega-1 spot in mars-north1: what this costs cannot be said"]


def test_free_is_not_unknown() -> None:
    made = plan(request(), rates=Rates())
    assert made.estimate.is_priced
    assert made.estimate.cost == (0, 0, 0)
    assert made.estimate.storage is None
    assert cost_warnings(made) == []


def test_a_plan_that_may_cost_more_than_the_level_says_so_by_its_high_figure() -> None:
    high = plan(request(), rates=DEAR).estimate.cost[2]
    assert cost_warnings(plan(request(), rates=DEAR, warn_cost_run=high + 1)) == []
    (line,) = cost_warnings(plan(request(), rates=DEAR, warn_cost_run=high - 1))
    assert f"${high:,.2f}" in line
    assert cost_warnings(plan(request(), rates=DEAR, warn_cost_run=0)) == []


def test_the_level_of_a_day_holds_for_what_falls_on_one() -> None:
    made = plan(request(), rates=DEAR)
    high = made.estimate.cost[2]
    assert made.estimate.makespan_seconds < 86_400
    (line,) = cost_warnings(plan(request(), rates=DEAR, warn_cost_day=high - 1))
    assert "a day" in line
    slow = plan(request(0, 3, daily_bytes=150_000_000), rates=DEAR)
    days = slow.estimate.makespan_seconds / 86_400
    assert days > 1
    share = slow.estimate.cost[2] / days
    assert cost_warnings(plan(request(0, 3, daily_bytes=150_000_000), rates=DEAR, warn_cost_day=share + 1)) == []


def test_storage_growth_stands_apart_from_the_cost_of_the_run() -> None:
    made = plan(request(), rates=DEAR)
    assert made.estimate.storage is not None
    assert made.estimate.storage.expected == made.estimate.bytes * 0.8 / 2**30 * 0.023
    assert made.estimate.storage not in made.estimate.costs
    assert made.estimate.cost[1] == sum(line.expected for line in made.estimate.costs)


def test_a_plan_from_before_there_was_storage_in_it_keeps_its_name() -> None:
    made = plan(request(), rates=Rates())
    document = json.loads(encode(made))
    del document["estimate"]["storage"]
    assert decode(json.dumps(document).encode(), Plan, name="plan") == made
    assert seal(decode(json.dumps(document).encode(), Plan, name="plan")).id == made.id
