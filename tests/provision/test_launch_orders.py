"""Orders: what goes into the request for VMs, field by field, and what never may."""

from __future__ import annotations

import json

import pytest

from engine.documents import decode, encode
from engine.errors import ConfigurationError
from engine.launch import LaunchRecord
from engine.paths import launch_object, launch_operation_object, parse_launch_operation_object
from provision.launch import make_order as order_for
from provision.orders import LaunchOrder, bulk_insert_request, render_environment, vm_metadata, worker_environment
from provision.profile import Endpoints
from tests.provision.made_up_fleet import NOW, RUN, ZONES, gcp_profile, local_profile, make_order, make_plan, vm_name

GOLDEN = {
    "count": "2",
    "minCount": "1",
    "perInstanceProperties": {vm_name(0): {"name": vm_name(0)}, vm_name(1): {"name": vm_name(1)}},
    "locationPolicy": {
        "targetShape": "ANY",
        "locations": {
            "zones/asia-northeast1-a": {"preference": "ALLOW"},
            "zones/asia-northeast1-b": {"preference": "ALLOW"},
            "zones/asia-northeast1-c": {"preference": "DENY"},
        },
    },
    "instanceFlexibilityPolicy": {
        "instanceSelections": {
            "rank-0": {"machineTypes": ["e2-highmem-8"], "rank": "0"},
            "rank-1": {"machineTypes": ["e2-standard-8"], "rank": "1"},
        }
    },
    "instanceProperties": {
        "disks": [
            {
                "boot": True,
                "autoDelete": True,
                "initializeParams": {
                    "sourceImage": "projects/cos-cloud/global/images/family/cos-stable",
                    "diskSizeGb": "100",
                    "diskType": "pd-standard",
                },
            }
        ],
        "networkInterfaces": [
            {"network": "global/networks/default", "accessConfigs": [{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}]}
        ],
        "scheduling": {
            "provisioningModel": "SPOT",
            "instanceTerminationAction": "DELETE",
            "automaticRestart": False,
            "onHostMaintenance": "TERMINATE",
            "maxRunDuration": {"seconds": "86400"},
        },
        "serviceAccounts": [
            {
                "email": "worker@market-data-prod.iam.gserviceaccount.com",
                "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
            }
        ],
        "shieldedInstanceConfig": {"enableSecureBoot": True, "enableVtpm": True, "enableIntegrityMonitoring": True},
    },
}


def real_order() -> LaunchOrder:
    profile = gcp_profile()
    plan = make_plan(2, profile=profile)
    return order_for(
        profile,
        plan,
        run=RUN,
        number=1,
        vms=make_order(2).vms,
        now=NOW,
        region_zones=(*ZONES, "asia-northeast1-c"),
    )


def as_json(order: LaunchOrder) -> dict:
    from google.cloud import compute_v1

    request = bulk_insert_request(order)
    resource = request.bulk_insert_instance_resource_resource
    return json.loads(compute_v1.BulkInsertInstanceResource.to_json(resource, always_print_fields_with_no_presence=False))


def test_the_request_is_the_one_in_the_reference_field_by_field() -> None:
    order = real_order()
    request = bulk_insert_request(order)
    assert (request.project, request.region, request.request_id) == ("market-data-prod", "asia-northeast1", order.request_id)
    sent = as_json(order)
    properties = sent["instanceProperties"]
    assert properties.pop("labels") == order.labels == properties["disks"][0]["initializeParams"].pop("labels")
    items = {item["key"]: item["value"] for item in properties.pop("metadata")["items"]}
    assert items == order.metadata
    assert sent == GOLDEN


def test_a_single_machine_type_is_the_machine_type() -> None:
    sent = as_json(make_order(1))
    assert sent["instanceProperties"]["machineType"] == "local-1"
    assert "instanceFlexibilityPolicy" not in sent


def test_without_an_external_address_or_an_account_there_is_none() -> None:
    properties = as_json(make_order(1, external_ip=False))["instanceProperties"]
    assert "accessConfigs" not in properties["networkInterfaces"][0]
    assert "serviceAccounts" not in properties


def test_the_metadata_items_are_these() -> None:
    items = real_order().metadata
    assert set(items) == {
        "tickdeck-env",
        "td-run",
        "user-data",
        "block-project-ssh-keys",
        "enable-oslogin",
        "google-logging-enabled",
    }
    assert items["td-run"] == RUN
    assert gcp_profile().image in items["user-data"]


def test_a_worker_learns_run_buckets_project_and_the_settings_of_the_plan() -> None:
    profile = gcp_profile()
    plan = make_plan(profile=profile, settings={"BATCH_SIZE": "5000", "MAX_CONCURRENT": "500"})
    assert worker_environment(profile, plan, RUN) == {
        "TICKDECK_RUN": RUN,
        "DATA_BUCKET": "market-data-tick",
        "STATE_BUCKET": "market-data-tick-state",
        "GOOGLE_CLOUD_PROJECT": "market-data-prod",
        "BATCH_SIZE": "5000",
        "MAX_CONCURRENT": "500",
    }


def test_a_local_worker_is_pointed_at_this_machine() -> None:
    endpoints = Endpoints(
        storage="http://127.0.0.1:1", logging="127.0.0.1:3", tardis_api="http://127.0.0.1:4/v1", tardis_datasets="http://127.0.0.1:5/v1"
    )
    environment = worker_environment(local_profile(endpoints=endpoints), make_plan(), RUN)
    assert environment["STORAGE_EMULATOR_HOST"] == "http://127.0.0.1:1"
    assert environment["TICKDECK_LOGGING_ENDPOINT"] == "127.0.0.1:3"
    assert environment["TARDIS_API_URL"] == "http://127.0.0.1:4/v1"
    assert environment["TARDIS_DATASETS_URL"] == "http://127.0.0.1:5/v1"


@pytest.mark.parametrize("name", ["TARDIS_API_KEY", "DB_PASSWORD", "AUTH_TOKEN", "MY_SECRET", "GOOGLE_CREDENTIALS", "KEY"])
def test_a_setting_that_looks_like_a_secret_never_becomes_metadata(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        vm_metadata(local_profile(), make_plan(settings={name: "x"}), RUN)
    assert name in str(caught.value)


@pytest.mark.parametrize("settings", [{"A": "b\nC=d"}, {"a": "b"}, {"A=B": "c"}, {"A B": "c"}])
def test_a_setting_that_no_env_file_can_hold_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        worker_environment(local_profile(), make_plan(settings=settings), RUN)


def test_environment_lines_are_what_docker_reads() -> None:
    assert render_environment({"B": 'x "y" $z', "A": "1"}) == 'A=1\nB=x "y" $z\n'


def test_the_engine_reads_an_order_as_a_launch_record_and_the_order_comes_back_whole() -> None:
    order = real_order()
    record = decode(encode(order), LaunchRecord, name="x")
    assert record.vms == order.vms
    assert record.request_id == order.request_id
    assert decode(encode(order), LaunchOrder, name="x") == order
    assert as_json(decode(encode(order), LaunchOrder, name="x")) == as_json(order)


@pytest.mark.parametrize("number", [1, 12])
def test_the_answer_to_an_order_has_a_name_of_its_own_that_no_listing_of_orders_shows(number: int) -> None:
    name = launch_operation_object(RUN, number)
    assert parse_launch_operation_object(name) == (RUN, number)
    assert not name.startswith(launch_object(RUN, number).removesuffix(f"{number}.json"))


def test_a_zone_that_the_region_does_not_have_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError):
        order_for(
            gcp_profile(),
            make_plan(profile=gcp_profile()),
            run=RUN,
            number=1,
            vms=make_order(1).vms,
            now=NOW,
            region_zones=("asia-northeast1-c",),
        )
