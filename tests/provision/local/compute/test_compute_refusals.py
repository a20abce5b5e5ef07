"""Google's rules with Google's texts, word by word, and what this server does not know."""

from __future__ import annotations

import urllib.error

import pytest
from google.api_core import exceptions
from google.cloud import compute_v1

PROJECT, ZONE = "tickdeck-test", "asia-northeast1-a"


def refusal(compute, **changes) -> str:
    with pytest.raises(exceptions.BadRequest) as refused:
        compute.instances.insert_unary(project=PROJECT, zone=ZONE, instance_resource=compute.instance(**changes))
    assert list(compute.instances.list(project=PROJECT, zone=ZONE)) == []
    return str(refused.value.message).split(": ", 1)[1]


SCHEDULING = compute_v1.Scheduling
FORMAT = "violates format constraints."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"name": "Bad_Name"},
            ("Invalid value for field 'resource.name': 'Bad_Name'. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'"),
        ),
        (
            {"name": "a" * 64},
            (f"Invalid value for field 'resource.name': '{'a' * 64}'. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{{0,61}}[a-z0-9])?)'"),
        ),
        ({"name": ""}, "Required field 'resource.name' not specified"),
        ({"machine_type": ""}, "Required field 'resource.machineType' not specified"),
        (
            {"machine_type": f"zones/{ZONE}/machineTypes/e9-huge"},
            (
                "Invalid value for field 'resource.machineType': 'zones/asia-northeast1-a/machineTypes/e9-huge'. "
                "Machine type with name 'e9-huge' does not exist in zone 'asia-northeast1-a'."
            ),
        ),
        ({"disks": []}, "Required field 'resource.disks' not specified"),
        (
            {"network_interfaces": []},
            "Invalid value for field 'resource.networkInterfaces': ''. At least one network interface is required.",
        ),
        (
            {"labels": {"owner": "First.Last"}},
            (
                f"Invalid value for field 'resource.labels': ''. Label value 'First.Last' {FORMAT} The value can only contain "
                "lowercase letters, numeric characters, underscores and dashes. The value can be at most 63 characters long. "
                "International characters are allowed."
            ),
        ),
        (
            {"labels": {"1st": "x"}},
            (
                f"Invalid value for field 'resource.labels': ''. Label key '1st' {FORMAT} The key must start with a lowercase "
                "character, can only contain lowercase letters, numeric characters, underscores and dashes. The key can be at "
                "most 63 characters long. International characters are allowed."
            ),
        ),
        (
            {"labels": {f"k{n}": "v" for n in range(65)}},
            "Invalid value for field 'resource.labels': ''. Resources can have at most 64 labels; 65 given.",
        ),
        (
            {"scheduling": SCHEDULING(provisioning_model="SPOT", automatic_restart=True)},
            (
                "Invalid value for field 'resource.scheduling.preemptible': 'true'. "
                "Scheduling must have preemptible be false when AutomaticRestart is true."
            ),
        ),
        (
            {"scheduling": SCHEDULING(provisioning_model="SPOT", on_host_maintenance="MIGRATE")},
            (
                "Invalid value for field 'resource.scheduling.preemptible': 'true'. "
                "Scheduling must have preemptible be false when OnHostMaintenance isn't TERMINATE."
            ),
        ),
        (
            {"scheduling": SCHEDULING(instance_termination_action="DELETE")},
            (
                "Invalid value for field 'resource.scheduling.instanceTerminationAction': 'DELETE'. You cannot specify a "
                "termination action for a VM instance that has the standard provisioning model (default). To use instance "
                "termination action, the VM instance must use the spot provisioning model."
            ),
        ),
        (
            {"scheduling": SCHEDULING(max_run_duration=compute_v1.Duration(seconds=60))},
            "Required field 'resource.scheduling.instanceTerminationAction' not specified",
        ),
        (
            {"scheduling": SCHEDULING(instance_termination_action="STOP", max_run_duration=compute_v1.Duration(seconds=29))},
            ("Invalid value for field 'resource.scheduling.maxRunDuration.seconds': '29'. Must be between 30 seconds and 120 days."),
        ),
        (
            {"scheduling": SCHEDULING(instance_termination_action="STOP", termination_time="2030-01-01T00:00:00")},
            (
                "Invalid value for field 'resource.scheduling.terminationTime': '2030-01-01T00:00:00'. "
                "Must be an RFC3339 time with an offset."
            ),
        ),
        (
            {"metadata": compute_v1.Metadata(items=[compute_v1.Items(key="a key", value="x")])},
            "Invalid value for field 'resource.metadata.items[0].key': 'a key'. Must be a match of regex '[a-zA-Z0-9-_]{1,128}'",
        ),
    ],
)
def test_an_instance_against_the_rules_is_refused_in_googles_words(compute, changes, message):
    assert refusal(compute, **changes) == message


def test_a_spot_vm_gets_the_scheduling_that_spot_means(compute):
    compute.insert(scheduling=SCHEDULING(provisioning_model="SPOT", instance_termination_action="DELETE"))
    scheduling = compute.get().scheduling
    assert (scheduling.preemptible, scheduling.automatic_restart) == (True, False)
    assert (scheduling.on_host_maintenance, scheduling.instance_termination_action) == ("TERMINATE", "DELETE")


def test_a_second_vm_of_a_name_is_a_conflict(compute):
    compute.insert()
    with pytest.raises(exceptions.Conflict) as refused:
        compute.insert()
    path = "projects/tickdeck-test/zones/asia-northeast1-a/instances/vm-1"
    assert f"The resource '{path}' already exists" in refused.value.message


def test_an_unknown_zone_is_a_bad_request_and_an_unknown_resource_is_not_found(compute):
    with pytest.raises(exceptions.BadRequest, match=r"Invalid value for field 'zone': 'mars-1-a'\. Unknown zone\."):
        list(compute.instances.list(project=PROJECT, zone="mars-1-a"))
    with pytest.raises(exceptions.NotFound, match=r"The resource 'projects/tickdeck-test/zones/mars-1-a' was not found"):
        compute.client("Zones").get(project=PROJECT, zone="mars-1-a")
    with pytest.raises(exceptions.NotFound, match=r"zones/asia-northeast1-a/machineTypes/e9-huge' was not found"):
        compute.client("MachineTypes").get(project=PROJECT, zone=ZONE, machine_type="e9-huge")
    with pytest.raises(exceptions.NotFound, match=r"zones/asia-northeast1-a/operations/operation-0' was not found"):
        compute.client("ZoneOperations").get(project=PROJECT, zone=ZONE, operation="operation-0")


def test_a_route_that_is_not_there_is_named(compute):
    with pytest.raises(exceptions.MethodNotImplemented) as refused:
        list(compute.client("Networks").list(project=PROJECT))
    expected = "does not implement GET /compute/v1/projects/tickdeck-test/global/networks"
    assert expected in refused.value.message
    with pytest.raises(exceptions.MethodNotImplemented, match=r"instances/vm-1/setMachineType"):
        compute.instances.set_machine_type_unary(
            project=PROJECT, zone=ZONE, instance="vm-1", instances_set_machine_type_request_resource={}
        )


def test_a_field_that_would_do_nothing_here_is_refused_by_name(compute):
    notice = SCHEDULING(provisioning_model="SPOT", preemption_notice_duration=compute_v1.Duration(seconds=30))
    with pytest.raises(exceptions.MethodNotImplemented, match=r"resource\.scheduling\.preemptionNoticeDuration"):
        compute.insert(scheduling=notice)
    with pytest.raises(exceptions.MethodNotImplemented, match=r"resource\.guestAccelerators"):
        compute.insert(guest_accelerators=[compute_v1.AcceleratorConfig(accelerator_count=1)])


def test_a_request_id_has_to_be_a_uuid(compute):
    with pytest.raises(exceptions.BadRequest, match="Invalid value for field 'requestId': 'again'"):
        compute.bulk_insert(compute.bulk_resource(["vm-1"]), "again")


def test_an_armed_status_answers_as_often_as_it_was_told_to(compute):
    compute.fault(fault="status", status=403, method="GET", match="/zones/", count=1)
    assert compute.client("Regions").get(project=PROJECT, region="asia-northeast1").status == "UP"
    with pytest.raises(exceptions.Forbidden) as refused:
        compute.client("ZoneOperations").list(project=PROJECT, zone=ZONE)
    assert refused.value.errors[0]["reason"] == "rateLimitExceeded"
    assert list(compute.client("ZoneOperations").list(project=PROJECT, zone=ZONE)) == []


def test_a_fault_that_does_not_exist_cannot_be_armed(compute):
    with pytest.raises(urllib.error.HTTPError) as refused:
        compute.fault(fault="earthquake")
    with refused.value as answer:
        assert b"stockout" in answer.read()
