"""Prices: dated, sourced, and nothing for the local cloud."""

from __future__ import annotations

from datetime import date

import pytest

from engine.errors import ConfigurationError
from engine.estimate import cost_lines
from provision.prices import cost_per_hour, disk_cost_per_day, find_rates, idle_address_cost_per_day
from tests.provision.made_up_fleet import gcp_profile, local_profile


def test_the_local_cloud_costs_nothing() -> None:
    rates = find_rates(local_profile())
    assert rates is not None
    assert all(line.high == 0 for line in cost_lines(rates, vm_hours=100, class_a=10_000))
    assert cost_per_hour(local_profile(), "local-1", "SPOT") == 0
    assert idle_address_cost_per_day(local_profile()) == 0


def test_spot_and_on_demand_are_prices_of_their_own_with_source_and_date() -> None:
    spot = find_rates(gcp_profile())
    standard = find_rates(gcp_profile(), model="STANDARD")
    assert spot is not None
    assert standard is not None
    assert (spot.vm_hour.dollars, standard.vm_hour.dollars) == (0.20349, 0.46351)
    for line in cost_lines(spot, vm_hours=55.6, class_a=450_000):
        assert line.source
        assert date.fromisoformat(line.dated)
        assert 0 < line.low <= line.expected <= line.high
    assert "spot" in spot.machine


def test_the_high_figure_covers_on_demand_machines_where_the_profile_allows_them() -> None:
    allowed = find_rates(gcp_profile(on_demand_fallback=True))
    assert allowed is not None
    assert allowed.vm_hour.dollars * allowed.vm_hour.high == pytest.approx(0.46351)


def test_the_forty_idle_addresses_cost_what_the_old_bill_said() -> None:
    assert 40 * idle_address_cost_per_day(gcp_profile()) * 30.4 == pytest.approx(438, rel=0.01)


def test_what_is_not_in_the_table_has_no_price_instead_of_a_guess() -> None:
    assert find_rates(gcp_profile(), machine_type="x9-mega-1") is None
    assert find_rates(gcp_profile(region="mars-north1", zones=())) is None
    assert cost_per_hour(gcp_profile(), "x9-mega-1", "SPOT") == 0
    assert disk_cost_per_day(gcp_profile(), "floppy", 100) == 0
    with pytest.raises(ConfigurationError):
        find_rates(gcp_profile(), model="CHEAP")
