"""Prices: dated, sourced, nothing for the local cloud, and no figure for what the table does not know."""

from __future__ import annotations

from datetime import date

import pytest

from engine.errors import ConfigurationError
from engine.estimate import VM_SPEED, cost_lines, storage_growth
from provision.prices import (
    cost_per_hour,
    disk_cost_per_day,
    find_hourly,
    find_rates,
    idle_address_cost_per_day,
    list_figures,
    machine_shape,
    machine_speed,
    plan_rates,
    registry_gib_month,
)
from tests.provision.made_up_fleet import gcp_profile, local_profile

SOURCE_BYTES = 518 * 12_000_000_000
"""The backfill of the standing job: 6.2 TB compressed."""


def test_the_local_cloud_costs_nothing() -> None:
    rates = find_rates(local_profile())
    assert rates is not None
    assert all(line.high == 0 for line in cost_lines(rates, vm_hours=100, class_a=10_000))
    assert cost_per_hour(local_profile(), "local-1", "SPOT") == 0
    assert idle_address_cost_per_day(local_profile()) == 0
    assert storage_growth(rates, SOURCE_BYTES) is None


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


def test_the_worked_plan_comes_out_as_it_did_by_hand() -> None:
    # reference figures for 55.6 VM-hours and 6.2 TB: 11.3 spot or 25.8 on demand, disks 0.40, operations 2.4, NAT 261, storage 107 a month
    spot, standard = find_rates(gcp_profile()), find_rates(gcp_profile(), model="STANDARD")
    hidden = find_rates(gcp_profile(external_ip=False))
    assert spot is not None
    assert standard is not None
    assert hidden is not None
    vm, disks, addresses, operations = (line.expected for line in cost_lines(spot, vm_hours=55.6, class_a=482_000))
    assert vm == pytest.approx(55.6 * 0.20349)
    assert disks == pytest.approx(100 * 0.052 / 730 * 55.6)
    assert (round(vm, 1), round(disks, 2), round(addresses, 2), round(operations, 1)) == (11.3, 0.4, 0.14, 2.4)
    assert cost_lines(standard, vm_hours=55.6, class_a=0)[0].expected == pytest.approx(25.8, abs=0.05)
    behind = cost_lines(hidden, vm_hours=55.6, class_a=0, source_bytes=SOURCE_BYTES, hours=0.5)
    assert [round(line.expected, 2) for line in behind[2:]] == [0.0, 0.0, 260.51, 0.02]
    month = storage_growth(spot, SOURCE_BYTES)
    assert month is not None
    assert month.expected == pytest.approx(SOURCE_BYTES * 0.8 / 2**30 * 0.023)
    assert round(month.expected) == 107
    assert month.low / month.expected == pytest.approx(0.52 / 0.8)
    assert month.high / month.expected == pytest.approx(0.96 / 0.8)


def test_keeping_the_data_is_no_part_of_what_a_run_costs() -> None:
    rates = find_rates(gcp_profile())
    assert rates is not None
    assert not any("keeping" in line.item for line in cost_lines(rates, vm_hours=1, class_a=1, source_bytes=SOURCE_BYTES))


def test_the_high_figure_covers_on_demand_machines_where_the_profile_allows_them() -> None:
    allowed = find_rates(gcp_profile(on_demand_fallback=True))
    assert allowed is not None
    assert allowed.vm_hour.dollars * allowed.vm_hour.high == pytest.approx(0.46351)


def test_the_forty_idle_addresses_cost_what_the_old_bill_said() -> None:
    assert 40 * idle_address_cost_per_day(gcp_profile()) * 30.4 == pytest.approx(438, rel=0.01)


def test_what_is_not_in_the_table_has_no_price_instead_of_a_guess() -> None:
    assert find_rates(gcp_profile(), machine_type="x9-mega-1") is None
    assert find_rates(gcp_profile(region="mars-north1", zones=())) is None
    assert find_rates(gcp_profile(), machine_type="e2-highmem-8", model="SPOT") is not None
    assert find_hourly(gcp_profile(), "x9-mega-1", "SPOT") is None
    assert cost_per_hour(gcp_profile(), "x9-mega-1", "SPOT") == 0
    assert disk_cost_per_day(gcp_profile(), "floppy", 100) == 0
    assert registry_gib_month(gcp_profile(region="mars-north1", zones=())) is None
    with pytest.raises(ConfigurationError):
        find_rates(gcp_profile(), model="CHEAP")


def test_a_region_with_spot_prices_only_knows_no_other_and_no_fallback() -> None:
    seoul = {"region": "asia-northeast3", "zones": ()}
    assert find_hourly(gcp_profile(**seoul), "e2-highmem-8", "SPOT") == pytest.approx(0.131 + 100 * 0.052 / 730 + 0.0025)
    assert find_hourly(gcp_profile(**seoul), "e2-highmem-8", "STANDARD") is None
    assert find_rates(gcp_profile(**seoul, on_demand_fallback=True)) is None
    assert find_rates(gcp_profile(**seoul, external_ip=False)) is None


def test_a_planner_hears_what_has_no_price() -> None:
    rates = plan_rates(gcp_profile(), machine_type="x9-mega-1", model="STANDARD")
    assert rates.unknown == "x9-mega-1 on demand with a pd-standard disk in asia-northeast1"
    assert cost_lines(rates, vm_hours=100, class_a=1) == ()
    assert storage_growth(rates, SOURCE_BYTES) is None


def test_every_figure_of_the_table_is_positive_or_free_and_says_where_it_is_from_and_of_which_day() -> None:
    figures = list(list_figures())
    assert {one.region for one in figures} == {"asia-northeast1", "asia-northeast3", "asia-east2", "us-west4"}
    for one in figures:
        assert one.source
        assert date.fromisoformat(one.dated) <= date(2026, 12, 31)
        assert one.dollars > 0 or one.item == "bigquery load"


def test_spot_is_cheaper_and_e2_prices_follow_from_cores_and_memory() -> None:
    for family, memory in (("highcpu", 1), ("standard", 4), ("highmem", 8)):
        for vcpus in (2, 4, 8, 16):
            name = f"e2-{family}-{vcpus}"
            shape = machine_shape(name)
            assert shape is not None
            assert (shape.vcpus, shape.memory_gb) == (vcpus, vcpus * memory)
            spot, standard = find_rates(gcp_profile(), machine_type=name), find_rates(gcp_profile(), machine_type=name, model="STANDARD")
            assert spot is not None
            assert standard is not None
            assert spot.vm_hour.dollars < standard.vm_hour.dollars
            # core and GB prices that the reference derived from the same catalogue
            assert standard.vm_hour.dollars == pytest.approx(vcpus * 0.02803 + vcpus * memory * 0.00374, rel=0.002)
            assert spot.vm_hour.dollars == pytest.approx(vcpus * 0.01230 + vcpus * memory * 0.00164, rel=0.002)


def test_a_machine_is_as_fast_as_its_vcpus() -> None:
    assert machine_speed("e2-highmem-8") == VM_SPEED
    assert [machine_speed(f"e2-standard-{vcpus}").converters for vcpus in (2, 4, 8, 16)] == [1, 3, 6, 12]
    assert machine_speed("x9-mega-1") == VM_SPEED
