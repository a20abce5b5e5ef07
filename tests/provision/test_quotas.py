"""Quotas against need, as arithmetic and as the Compute server says them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import NotPermitted
from provision.quotas import Fleet, Quota, compare, most_vms, read_project_quotas, read_region
from tests.provision.conftest import Wired

REGION = "asia-northeast1"
HIGHMEM = Fleet(100, ("e2-highmem-8",), "SPOT", disk_gb=100, disk_type="pd-standard", external_ip=True)


def quotas(**limits: float) -> list[Quota]:
    return [Quota(metric, limit, 0, REGION) for metric, limit in limits.items()]


def test_the_standing_job_needs_what_google_counts() -> None:
    found = compare(
        HIGHMEM,
        quotas(
            CPUS=24, PREEMPTIBLE_CPUS=1000, INSTANCES=100, DISKS_TOTAL_GB=4096, IN_USE_ADDRESSES=8, SSD_TOTAL_GB=500, STATIC_ADDRESSES=8
        ),
        {"e2-highmem-8": 8},
    )
    assert {use.quota.metric: use.needed for use in found} == {
        "PREEMPTIBLE_CPUS": 800,
        "INSTANCES": 100,
        "DISKS_TOTAL_GB": 10_000,
        "IN_USE_ADDRESSES": 100,
    }
    assert {use.quota.metric for use in found if use.is_short} == {"DISKS_TOTAL_GB", "IN_USE_ADDRESSES"}
    assert most_vms(found) == 8


def test_spot_counts_as_ordinary_where_spot_has_no_quota_of_its_own() -> None:
    for known in (quotas(CPUS=80), quotas(CPUS=80, PREEMPTIBLE_CPUS=0)):
        assert [(use.quota.metric, use.fitting) for use in compare(HIGHMEM, known, {"e2-highmem-8": 8})] == [("CPUS", 10)]


def test_a_family_with_a_quota_of_its_own_counts_there() -> None:
    fleet = replace(HIGHMEM, model="STANDARD", machine_types=("n2-standard-8",))
    found = compare(fleet, quotas(CPUS=8, N2_CPUS=800), {"n2-standard-8": 8})
    assert [(use.quota.metric, use.is_short) for use in found] == [("N2_CPUS", False)]


def test_of_ranked_types_the_largest_is_reckoned_with() -> None:
    found = compare(HIGHMEM, quotas(PREEMPTIBLE_CPUS=1000), {"e2-highmem-8": 8, "e2-standard-16": 16})
    assert [use.needed for use in found] == [1600]


def test_without_an_address_or_with_fast_disks_other_quotas_count() -> None:
    fleet = replace(HIGHMEM, external_ip=False, disk_type="pd-balanced")
    known = quotas(IN_USE_ADDRESSES=1, SSD_TOTAL_GB=50_000, DISKS_TOTAL_GB=1)
    assert [use.quota.metric for use in compare(fleet, known, {})] == ["SSD_TOTAL_GB"]


@given(
    vms=st.integers(1, 5000),
    limits=st.dictionaries(
        st.sampled_from(["CPUS", "PREEMPTIBLE_CPUS", "INSTANCES", "DISKS_TOTAL_GB", "IN_USE_ADDRESSES", "CPUS_ALL_REGIONS", "E2_CPUS"]),
        st.tuples(st.integers(0, 10_000), st.integers(0, 12_000)),
    ),
    cpus=st.integers(1, 64),
    spot=st.booleans(),
)
def test_what_is_offered_fits_and_one_more_does_not(vms: int, limits: dict[str, tuple[int, int]], cpus: int, spot: bool) -> None:
    known = [Quota(metric, limit, usage, REGION) for metric, (limit, usage) in limits.items()]
    fleet = replace(HIGHMEM, vms=vms, model="SPOT" if spot else "STANDARD")
    uses = compare(fleet, known, {"e2-any": cpus})
    most = most_vms(uses)
    if most is None:
        assert not uses
        return
    assert any(use.is_short for use in uses) == (vms > most)
    if most:
        assert not any(use.is_short for use in compare(replace(fleet, vms=most), known, {"e2-any": cpus}))
    assert any(use.is_short for use in compare(replace(fleet, vms=most + 1), known, {"e2-any": cpus}))


def test_the_service_is_asked_for_the_region_and_the_project(wired: Wired) -> None:
    wired.launch(2)
    region = read_region(wired.clients)
    assert region.zones == ("asia-northeast1-a", "asia-northeast1-b", "asia-northeast1-c")
    found = {(quota.metric, quota.where): quota for quota in (*region.quotas, *read_project_quotas(wired.clients))}
    assert found["INSTANCES", REGION].usage == 2
    assert found["PREEMPTIBLE_CPUS", REGION].free == 998
    assert found["CPUS_ALL_REGIONS", "all regions"].limit == 2000


def test_what_the_project_does_not_tell_is_left_out_and_a_region_that_does_not_is_an_error(wired: Wired) -> None:
    wired.arm(fault="status", status=403, reason="forbidden", match=f"/projects/{wired.profile.project}")
    assert read_project_quotas(wired.clients) == ()
    with pytest.raises(NotPermitted):
        read_region(wired.clients)


@pytest.mark.parametrize(("limit", "usage", "free"), [(10, 4, 6), (10, 12, 0), (0, 0, 0)])
def test_free_is_never_below_nothing(limit: float, usage: float, free: float) -> None:
    assert Quota("CPUS", limit, usage, REGION).free == free
