"""The old budget document computed again: checked by hand and against a real packing of the same work."""

from __future__ import annotations

import pytest

from engine.estimate import Rates, Speed
from provision.budget import VIEWS, Row, compare, size_job
from provision.prices import machine_speed, plan_rates
from tests.provision.made_up_fleet import gcp_profile

SPEED = machine_speed("e2-highmem-8")
RATES = plan_rates(gcp_profile())


def row(rows: tuple[Row, ...], item: str) -> Row:
    return next(one for one in rows if one.item.strip().startswith(item))


def test_the_backfill_takes_the_hours_of_the_simulation() -> None:
    # 6.216e12 bytes at 6 x 7 MB/s = 41.1 h, 444,962 files at 0.5 s / 6 = 10.3 h, 100 boots of 75 s = 2.1 h; the simulation: 53.5
    job = size_job(518, 100, SPEED, RATES)
    assert job.vm_hours == pytest.approx((518 * 12e9 / 42e6 + 518 * 859 * 0.5 / 6) / 3600 + 100 * 75 / 3600)
    assert job.vm_hours == pytest.approx(53.5, abs=0.1)
    assert job.cost[1] == pytest.approx(53.494 * (0.20349 + 100 * 0.052 / 730 + 0.0025) + 482.6 * 0.005, rel=1e-3)


def test_the_document_s_figures_stand_beside_ours_with_the_difference() -> None:
    run = row(compare("backfill", SPEED, RATES), "the run")
    assert (run.old, round(run.ours or 0, 2)) == (367.0, 13.81)
    assert run.difference == pytest.approx(13.81 - 367, abs=0.01)
    assert row(compare("backfill", SPEED, RATES), "VM-hours").old == 1200
    daily = row(compare("daily", SPEED, RATES), "the run")
    assert daily.old == 1.22
    assert daily.ours == pytest.approx(0.12008 * 0.21311 + 948 / 1000 * 0.005, rel=1e-3)


def test_a_year_is_365_daily_jobs_and_the_storage_that_grows() -> None:
    rows = compare("yearly", SPEED, RATES)
    daily = row(compare("daily", SPEED, RATES), "the run")
    running = row(rows, "running them")
    assert running.old == pytest.approx(445.3)
    assert running.ours == pytest.approx(365 * (daily.ours or 0))
    month = 365 * 12e9 * 0.8 / 2**30 * 0.023
    assert row(rows, "then: keeping").ours == pytest.approx(month)
    # day by day: what was there on day n, a 365th of twelve months
    assert row(rows, "keeping what").ours == pytest.approx(sum(month * day / 365 * 12 / 365 for day in range(1, 366)), rel=0.01)


def test_without_prices_there_are_hours_and_no_money() -> None:
    unknown = Rates(unknown="x9-mega-1 in mars-north1")
    for view in VIEWS:
        rows = compare(view, Speed(), unknown)
        assert {one.unit for one in rows if one.ours is None} <= {"$"}
        assert [one.ours for one in rows if one.unit == "$"] == [None]
        assert row(rows, "VM-hours").ours


def test_behind_nat_the_backfill_costs_what_the_reference_warns_of() -> None:
    rows = compare("backfill", SPEED, plan_rates(gcp_profile(external_ip=False)))
    assert row(rows, "Cloud NAT, ").ours == pytest.approx(261, abs=1)
