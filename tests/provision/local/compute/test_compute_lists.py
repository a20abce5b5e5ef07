"""List calls: filters of both dialects, pages, order; and the collections nobody can change."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud import compute_v1

PROJECT, ZONE = "tickdeck-test", "asia-northeast1-a"


@pytest.fixture
def fleet(start):
    """Four VMs, of which two run."""
    compute = start(memory_per_vm_mib=10, memory_budget_mib=20)
    for name, labels in (
        ("market-data-1", {"td-run": "r7", "td-owner": "ops"}),
        ("market-data-2", {"td-run": "r7"}),
        ("market-data-3", {"td-run": "r8", "td-owner": "ops"}),
        ("web-1", {"team": "web"}),
    ):
        compute.insert(name, labels=labels)
    return compute


def names(compute, expression: str, **changes) -> list[str]:
    request = compute_v1.ListInstancesRequest(project=PROJECT, zone=ZONE, filter=expression, **changes)
    return [instance.name for instance in compute.instances.list(request)]


CASES = [
    ("", ["market-data-1", "market-data-2", "market-data-3", "web-1"]),
    ('labels.td-run="r7"', ["market-data-1", "market-data-2"]),
    ("labels.td-run=r7 AND labels.td-owner=ops", ["market-data-1"]),
    ("(labels.td-run=r7) (labels.td-owner=ops)", ["market-data-1"]),
    ("labels.td-owner:*", ["market-data-1", "market-data-3"]),
    ("labels.td-run=r8 OR labels.team=web", ["market-data-3", "web-1"]),
    ("labels.td-run=r7 AND labels.td-owner=ops OR labels.team=web", ["market-data-1"]),
    ("(labels.td-run=r7 AND labels.td-owner=ops) OR labels.team=web", ["market-data-1", "web-1"]),
    ("name=web-1", ["web-1"]),
    ("name:market-data-*", ["market-data-1", "market-data-2", "market-data-3"]),
    ("name!=web-1", ["market-data-1", "market-data-2", "market-data-3"]),
    ("status=RUNNING", ["market-data-1", "market-data-2"]),
    ("status=STAGING name:market-*", ["market-data-3"]),
    ("scheduling.automaticRestart = true", ["market-data-1", "market-data-2", "market-data-3", "web-1"]),
    ("name eq market-data-[12]", ["market-data-1", "market-data-2"]),
    ("name eq data", []),
    ("name ne 'market-.*'", ["web-1"]),
    ('(name eq "market-.*") (status eq STAGING|TERMINATED)', ["market-data-3"]),
    ("(labels.td-run eq r[78])(name ne .*-1)", ["market-data-2", "market-data-3"]),
]


def test_filters_of_both_dialects_select_what_they_say(fleet):
    assert {expression: names(fleet, expression) for expression, _ in CASES} == dict(CASES)


BROKEN = ["name=", "labels.x=1 AND", "(name=a", "name", "colour=red", "name eq [", "name eq a) (b"]
UNSUPPORTED = ["NOT name=a", "-name=a", "creationTimestamp>2024", "status=(RUNNING OR STAGING)", "name:web"]


def test_a_broken_filter_is_refused_as_google_does(compute):
    for broken in BROKEN:
        with pytest.raises(exceptions.BadRequest) as refused:
            names(compute, broken)
        assert f"Invalid value for field 'filter': '{broken}'. Invalid list filter expression." in refused.value.message


def test_a_filter_form_that_is_not_supported_is_named(compute):
    for form in UNSUPPORTED:
        with pytest.raises(exceptions.MethodNotImplemented, match="list filter"):
            names(compute, form)


def test_pages_together_are_the_list_even_if_something_is_deleted_between_them(fleet):
    request = compute_v1.ListInstancesRequest(project=PROJECT, zone=ZONE, max_results=2)
    pages = fleet.instances.list(request).pages
    first = next(pages)
    assert [instance.name for instance in first.items] == ["market-data-1", "market-data-2"]
    fleet.done(fleet.instances.delete_unary(project=PROJECT, zone=ZONE, instance="market-data-1"))
    second = next(pages)
    assert [instance.name for instance in second.items] == ["market-data-3", "web-1"]
    assert not second.next_page_token
    with pytest.raises(exceptions.BadRequest, match="maxResults"):
        names(fleet, "", max_results=501)


def test_newest_first_is_the_order_of_operations_when_asked_for(fleet):
    request = compute_v1.ListZoneOperationsRequest(project=PROJECT, zone=ZONE, order_by="creationTimestamp desc", max_results=3)
    targets = [one.target_link.rsplit("/", 1)[-1] for one in fleet.client("ZoneOperations").list(request)]
    assert targets == ["web-1", "market-data-3", "market-data-2", "market-data-1"]


def test_an_aggregated_list_says_which_zones_are_empty(fleet):
    found = dict(fleet.instances.aggregated_list(project=PROJECT))
    assert len(found[f"zones/{ZONE}"].instances) == 4
    empty = found["zones/us-central1-f"]
    assert (len(empty.instances), empty.warning.code) == (0, "NO_RESULTS_ON_PAGE")
    operations = dict(fleet.client("GlobalOperations").aggregated_list(project=PROJECT))
    assert len(operations[f"zones/{ZONE}"].operations) == 4


def test_another_project_sees_nothing_of_this_one(fleet):
    assert list(fleet.instances.list(project="other-project", zone=ZONE)) == []


def test_zones_regions_and_machine_types_are_there(compute):
    zones = {zone.name: zone.region.rsplit("/", 1)[-1] for zone in compute.client("Zones").list(project=PROJECT)}
    assert zones["us-central1-f"] == "us-central1"
    assert len(zones) == 7
    regions = {region.name: len(region.zones) for region in compute.client("Regions").list(project=PROJECT)}
    assert regions == {"asia-northeast1": 3, "us-central1": 4}
    shape = compute.client("MachineTypes").get(project=PROJECT, zone=ZONE, machine_type="e2-highmem-8")
    assert (shape.guest_cpus, shape.memory_mb) == (8, 65536)
    listed = {one.name for one in compute.client("MachineTypes").list(project=PROJECT, zone=ZONE)}
    assert {"e2-highmem-8", "e2-standard-8", "e2-small", "local-1"} <= listed
    project = compute.client("Projects").get(project=PROJECT)
    assert (project.name, [quota.metric for quota in project.quotas]) == (PROJECT, ["CPUS_ALL_REGIONS"])


def test_quota_usage_follows_the_vms(compute):
    compute.insert()

    def usage() -> dict[str, float]:
        region = compute.client("Regions").get(project=PROJECT, region="asia-northeast1")
        return {quota.metric: quota.usage for quota in region.quotas if quota.usage}

    assert usage() == {"CPUS": 2, "INSTANCES": 1, "DISKS_TOTAL_GB": 100}
    compute.done(compute.instances.stop_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert usage() == {"INSTANCES": 1, "DISKS_TOTAL_GB": 100}
    compute.done(compute.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert usage() == {}
