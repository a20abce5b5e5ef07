"""What a run will have cost: by the plan at first, by its own pace at last, and never less than was spent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from provision.costs import Actual, Expected, VmUse
from provision.forecast import Forecast, forecast
from provision.prices import cost_per_hour
from tests.provision.made_up_fleet import NOW, gcp_profile, make_plan

PROFILE = gcp_profile()
PLAN = make_plan()
BEGAN = NOW - timedelta(hours=2)
EXPECTED = Expected(low=8.0, dollars=10.0, high=14.0, vm_hours=40, minutes=240, bytes=1_000, files=10, is_priced=True)


def actual(dollars: float | None, size: int) -> Actual:
    return Actual(dollars=dollars, vm_hours=10, minutes=120, lines=(), bytes=0, files=0, received_bytes=size)


def of(dollars: float | None, size: int, expected: Expected | None = EXPECTED, **changes: float) -> Forecast | None:
    profile = replace(PROFILE, **changes)
    return forecast(profile, PLAN, actual(dollars, size), expected, (), began=BEGAN, now=NOW)


def test_before_anything_is_done_the_plan_is_all_there_is() -> None:
    found = of(1.0, 0)
    assert found is not None
    assert (found.low, found.expected, found.high, found.ends) == (9.0, 11.0, 15.0, None)


def test_half_way_plan_and_pace_weigh_the_same() -> None:
    found = of(8.0, 500)
    assert found is not None
    assert found.expected == pytest.approx((8 + 5 + 16) / 2)
    assert (found.low, found.high, found.done) == (12.0, 16.0, 0.5)
    assert found.ends == NOW + timedelta(hours=2)


def test_at_the_end_it_is_what_was_spent() -> None:
    found = of(8.0, 1_200)
    assert found is not None
    assert found.low == found.expected == found.high == 8.0


@given(st.floats(0.01, 500), st.integers(0, 2_000))
def test_it_is_never_less_than_was_spent_and_the_range_holds_what_is_expected(dollars: float, size: int) -> None:
    found = of(dollars, size)
    assert found is not None
    assert dollars <= found.low * (1 + 1e-9)
    assert found.low <= found.expected * (1 + 1e-9) <= found.high * (1 + 1e-8)


def test_what_runs_now_makes_the_rate() -> None:
    use = VmUse("a", "e2-highmem-8", "SPOT", BEGAN, NOW, True, "instance", 1.0)
    uses = (use, replace(use, vm="b"), replace(use, vm="c", running=False))
    found = forecast(PROFILE, PLAN, actual(1.0, 100), EXPECTED, uses, began=BEGAN, now=NOW)
    assert found is not None
    assert found.per_hour == pytest.approx(2 * cost_per_hour(PROFILE, "e2-highmem-8", "SPOT"))


def test_a_limit_that_would_be_passed_is_told_from_one_that_might_be() -> None:
    sure, maybe, fine = of(8.0, 500, max_cost=13.0), of(8.0, 500, max_cost=15.0), of(8.0, 500, max_cost=20.0)
    assert sure is not None
    assert maybe is not None
    assert fine is not None
    assert (sure.passes_limit, maybe.passes_limit, fine.passes_limit) == (True, False, False)
    assert (sure.may_pass_limit, maybe.may_pass_limit, fine.may_pass_limit) == (True, True, False)


def test_without_a_price_or_a_plan_there_is_none() -> None:
    assert of(None, 500) is None
    assert of(8.0, 500, None) is None
    assert of(8.0, 500, replace(EXPECTED, is_priced=False)) is None
    assert structs.replace(PLAN, request=PLAN.request) is not None
    assert forecast(PROFILE, None, actual(1.0, 1), EXPECTED, (), began=BEGAN, now=NOW) is None
