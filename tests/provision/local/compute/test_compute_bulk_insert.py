"""Bulk insert: explicit names, idempotence, zones and shapes, ranked machine types, partial success."""

from __future__ import annotations

import uuid

import pytest
from google.api_core import exceptions
from google.cloud import compute_v1

PROJECT, REGION, ZONE = "tickdeck-test", "asia-northeast1", "asia-northeast1-a"
A, B, C = (f"asia-northeast1-{letter}" for letter in "abc")
SOLD_OUT = (
    "The zone 'projects/tickdeck-test/zones/asia-northeast1-a' does not have enough resources available to fulfill the "
    "request.  Try a different zone, or try again later."
)


def policy(shape: str = "ANY", deny: tuple[str, ...] = (), most: dict[str, int] | None = None) -> compute_v1.LocationPolicy:
    locations = {f"zones/{zone}": compute_v1.LocationPolicyLocation(preference="DENY") for zone in deny}
    for zone, count in (most or {}).items():
        constraints = compute_v1.LocationPolicyLocationConstraints(max_count=count)
        locations[f"zones/{zone}"] = compute_v1.LocationPolicyLocation(preference="ALLOW", constraints=constraints)
    return compute_v1.LocationPolicy(target_shape=shape, locations=locations)


def zones_of(compute) -> dict[str, str]:
    return {name: vm.zone.rsplit("/", 1)[-1] for name, vm in compute.all().items()}


def statuses(operation) -> dict[str, tuple[int, int, int]]:
    metadata = operation.instances_bulk_insert_operation_metadata.per_location_status
    return {place: (one.target_vm_count, one.created_vm_count, one.failed_to_create_vm_count) for place, one in metadata.items()}


def test_a_regional_bulk_insert_makes_the_vms_by_their_names(compute):
    names = [f"market-data-shard-r1-{n}" for n in range(5)]
    operation = compute.bulk_insert(compute.bulk_resource(names))
    assert operation.status == compute_v1.Operation.Status.DONE
    assert not operation.error.errors
    assert operation.operation_type == "bulkInsert"
    assert operation.region.endswith("/regions/asia-northeast1")
    assert {name: vm.status for name, vm in compute.all().items()} == dict.fromkeys(names, "RUNNING")
    assert statuses(operation) == {f"zones/{A}": (5, 5, 0)}
    parts = compute.client("ZoneOperations").list(project=PROJECT, zone=A)
    assert {part.operation_group_id for part in parts} == {operation.operation_group_id} != {""}


def test_the_same_request_id_again_is_the_same_operation_and_no_second_fleet(compute):
    request_id = str(uuid.uuid4())
    resource = compute.bulk_resource(["vm-1", "vm-2"])
    first = compute.bulk_insert(resource, request_id)
    second = compute.bulk_insert(resource, request_id)
    assert second.name == first.name
    assert second.client_operation_id == request_id
    assert len(compute.all()) == 2
    with pytest.raises(exceptions.Conflict):
        compute.bulk_insert(resource, str(uuid.uuid4()))


def test_a_stockout_of_the_only_zone_is_a_partial_success_told_by_zone_and_by_vm(compute):
    compute.fault(fault="stockout", zone=A, count=2)
    resource = compute.bulk_resource([f"vm-{n}" for n in range(5)], location_policy=policy(deny=(B, C)))
    operation = compute.bulk_insert(resource)
    assert not operation.error.errors
    assert statuses(operation) == {f"zones/{A}": (5, 3, 2)}
    [warning] = operation.warnings
    assert (warning.code, warning.message) == ("PARTIAL_SUCCESS", SOLD_OUT)
    assert {item.key: item.value for item in warning.data}["code"] == "ZONE_RESOURCE_POOL_EXHAUSTED"
    assert set(compute.all()) == {"vm-2", "vm-3", "vm-4"}
    failed = {
        one.target_link.rsplit("/", 1)[-1]: one.error.errors[0].code
        for one in compute.client("ZoneOperations").list(project=PROJECT, zone=A)
        if one.error.errors
    }
    assert failed == dict.fromkeys(["vm-0", "vm-1"], "ZONE_RESOURCE_POOL_EXHAUSTED")


def test_below_the_minimum_nothing_is_created_and_every_reason_is_given(compute):
    compute.fault(fault="stockout", zone=A)
    resource = compute.bulk_resource(["vm-1", "vm-2"], location_policy=policy(deny=(B, C)))
    operation = compute.bulk_insert(resource)
    assert [(error.code, error.message) for error in operation.error.errors] == [
        ("VM_MIN_COUNT_NOT_REACHED", "Requested minimum count of 1 VMs could not be created."),
        ("ZONE_RESOURCE_POOL_EXHAUSTED", SOLD_OUT),
    ]
    assert (operation.http_error_status_code, operation.http_error_message) == (503, "SERVICE UNAVAILABLE")
    assert compute.all() == {}


def test_the_minimum_count_is_the_count_unless_given(compute):
    compute.fault(fault="stockout", zone=A, count=1)
    resource = compute.bulk_resource(["vm-1", "vm-2"], location_policy=policy(deny=(B, C)))
    resource.min_count = None
    operation = compute.bulk_insert(resource)
    assert operation.error.errors[0].code == "VM_MIN_COUNT_NOT_REACHED"
    [status] = operation.instances_bulk_insert_operation_metadata.per_location_status.values()
    assert (status.created_vm_count, status.deleted_vm_count) == (1, 1)
    assert compute.all() == {}


def test_a_stockout_in_one_zone_moves_the_vms_to_the_next(compute):
    compute.fault(fault="stockout", zone=A)
    operation = compute.bulk_insert(compute.bulk_resource(["vm-1", "vm-2"], location_policy=policy()))
    assert set(zones_of(compute).values()) == {B}
    assert statuses(operation) == {f"zones/{A}": (2, 0, 2), f"zones/{B}": (2, 2, 0)}


def test_balanced_uses_every_zone_that_is_not_denied(compute):
    names = [f"vm-{n}" for n in range(4)]
    compute.bulk_insert(compute.bulk_resource(names, location_policy=policy("BALANCED", deny=(B,))))
    found = list(zones_of(compute).values())
    assert (found.count(A), found.count(B), found.count(C)) == (2, 0, 2)


def test_a_maximum_per_zone_is_kept(compute):
    names = [f"vm-{n}" for n in range(3)]
    compute.bulk_insert(compute.bulk_resource(names, location_policy=policy("ANY", most={A: 1})))
    found = list(zones_of(compute).values())
    assert (found.count(A), found.count(B)) == (1, 2)


def test_ranked_machine_types_are_tried_in_order(compute):
    compute.fault(fault="stockout", zone=A, machine_type="e2-highmem-8", count=1)
    compute.fault(fault="stockout", zone=B)
    compute.fault(fault="stockout", zone=C)
    selection = compute_v1.InstanceFlexibilityPolicyInstanceSelection
    flexible = compute_v1.InstanceFlexibilityPolicy(
        instance_selections={
            "second": selection(machine_types=["e2-standard-8"], rank=2),
            "first": selection(machine_types=["e2-highmem-8"], rank=1),
        }
    )
    resource = compute.bulk_resource(["vm-1", "vm-2"], instance_flexibility_policy=flexible, location_policy=policy())
    compute.bulk_insert(resource)
    types = {name: vm.machine_type.rsplit("/", 1)[-1] for name, vm in compute.all().items()}
    assert types == {"vm-1": "e2-standard-8", "vm-2": "e2-highmem-8"}


def test_vms_within_the_quota_are_made_and_the_rest_are_refused_with_its_numbers(compute):
    compute.fault(fault="quota", metric="PREEMPTIBLE_CPUS", limit=5, region=REGION)
    spot = {"scheduling": compute_v1.Scheduling(provisioning_model="SPOT", instance_termination_action="DELETE")}
    resource = compute.bulk_resource(["vm-1", "vm-2", "vm-3"], properties=spot)
    operation = compute.bulk_insert(resource)
    assert set(compute.all()) == {"vm-1", "vm-2"}
    assert operation.warnings[0].message == "Quota 'PREEMPTIBLE_CPUS' exceeded.  Limit: 5.0 in region asia-northeast1."
    quotas = {one.metric: one for one in compute.client("Regions").get(project=PROJECT, region=REGION).quotas}
    assert (quotas["PREEMPTIBLE_CPUS"].usage, quotas["PREEMPTIBLE_CPUS"].limit) == (4, 5)
    failed = compute.bulk_insert(compute.bulk_resource(["vm-4"], properties=spot))
    error = failed.error.errors[1]
    assert (error.code, failed.http_error_status_code) == ("QUOTA_EXCEEDED", 503)
    quota = error.error_details[0].quota_info
    assert (quota.metric_name, quota.limit_name, quota.limit, dict(quota.dimensions)) == (
        "compute.googleapis.com/preemptible_cpus",
        "PREEMPTIBLE-CPUS-per-project-region",
        5.0,
        {"region": REGION},
    )


def test_a_zonal_bulk_insert_stays_in_its_zone(compute):
    operation = compute.instances.bulk_insert_unary(
        project=PROJECT, zone=C, bulk_insert_instance_resource_resource=compute.bulk_resource(["vm-1", "vm-2"])
    )
    done = compute.done(operation)
    assert done.zone.endswith(f"/zones/{C}")
    assert zones_of(compute) == {"vm-1": C, "vm-2": C}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 3}, "Invalid value for field 'resource.count': '3'. Must not exceed the 2 entries of perInstanceProperties."),
        ({"per_instance_properties": {}}, "Required field 'resource.perInstanceProperties' not specified"),
        (
            {"per_instance_properties": {"x": compute_v1.BulkInsertInstanceResourcePerInstanceProperties()}, "count": 1},
            "Required field 'resource.perInstanceProperties[x].name' not specified",
        ),
        (
            {"location_policy": policy(deny=("mars-1-a",))},
            (
                "Invalid value for field 'resource.locationPolicy.locations': 'zones/mars-1-a'. "
                "Must be zones of region 'asia-northeast1' like 'zones/asia-northeast1-a'."
            ),
        ),
        (
            {"location_policy": policy(deny=(A, B, C))},
            "Invalid value for field 'resource.locationPolicy.locations': ''. All zones of region 'asia-northeast1' are denied.",
        ),
    ],
)
def test_a_bulk_insert_that_cannot_be_meant_is_refused_whole(compute, change, message):
    with pytest.raises(exceptions.BadRequest) as refused:
        compute.bulk_insert(compute.bulk_resource(["vm-1", "vm-2"], **change))
    assert message in refused.value.message
    assert compute.all() == {}


def test_a_name_pattern_is_refused_by_name(compute):
    with pytest.raises(exceptions.MethodNotImplemented, match=r"resource\.namePattern"):
        compute.bulk_insert(compute.bulk_resource(["vm-1"], name_pattern="vm-###"))
