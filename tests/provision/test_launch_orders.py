"""Orders: what goes into the request for VMs, field by field, and what never may."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.documents import decode, encode
from engine.errors import ConfigurationError
from engine.launch import LaunchRecord
from engine.paths import launch_object, launch_operation_object, parse_launch_operation_object
from engine.plan import Boot, seal
from provision.cloud_init import hash_user_data, render_user_data
from provision.launch import make_order as order_for
from provision.launch import preview
from provision.orders import LaunchOrder, boot_of, bulk_insert_request, render_environment, vm_metadata, worker_environment
from provision.profile import Endpoints
from tests.provision.made_up_fleet import NOW, RUN, ZONES, gcp_profile, local_profile, make_order, make_plan

GOLDEN = Path(__file__).with_name("golden")
REQUEST_ID = "00000000-0000-4000-8000-000000000001"


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


def kept_order() -> LaunchOrder:
    """One VM on demand, without an address, in a subnetwork, that stays for two hours."""
    profile = gcp_profile(machine_types=("e2-standard-8",), external_ip=False, subnetwork="regions/asia-northeast1/subnetworks/workers")
    return order_for(
        profile,
        make_plan(1, profile=profile),
        run=RUN,
        number=1,
        vms=make_order(1).vms,
        now=NOW,
        model="STANDARD",
        keep_until=NOW + timedelta(hours=2),
    )


def fields_of(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a request with its path; metadata items by their key."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from fields_of(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if path.endswith("metadata.items"):
                yield path.removesuffix("items") + inner["key"], inner["value"]
            else:
                yield from fields_of(inner, f"{path}[{index}]")
    else:
        yield path, value


@pytest.mark.parametrize(
    ("make", "golden"),
    [(real_order, "bulk_insert_spot.json"), (kept_order, "bulk_insert_on_demand_kept_no_address.json")],
)
def test_the_request_is_the_golden_one_field_by_field_and_each_field_has_its_source(make: Callable[[], LaunchOrder], golden: str) -> None:
    order = msgspec.structs.replace(make(), request_id=REQUEST_ID)
    request = bulk_insert_request(order)
    sent = dict(fields_of({"project": request.project, "region": request.region, "request_id": request.request_id, **as_json(order)}))
    user_data = "instanceProperties.metadata.user-data"
    if sent[user_data] == render_user_data(gcp_profile().image, keep_until=order.keep_until):
        sent[user_data] = "(render_user_data)"
    rows = json.loads((GOLDEN / golden).read_text())
    assert sent == {row["field"]: row["value"] for row in rows}
    # Which line of the reference asks for the field: nothing is sent that nobody asked for.
    assert all(row["source"].startswith("gcp.md ") for row in rows)


def test_the_hash_of_the_user_data_is_in_the_order() -> None:
    assert real_order().cloud_init == hash_user_data(render_user_data(gcp_profile().image))
    assert kept_order().cloud_init != real_order().cloud_init


@pytest.mark.parametrize(
    ("mode", "profile_says", "asked", "has_address"),
    [
        ("download", True, None, True),
        ("download", False, None, False),
        ("download", True, False, False),
        ("download", False, True, True),
        ("instruments", True, None, True),
        ("validate", True, None, False),
        ("candles", True, None, False),
        ("candles", True, True, True),
    ],
)
def test_a_stage_gets_an_external_address_if_it_talks_to_the_source_or_a_person_says_so(
    mode: str, profile_says: bool, asked: bool | None, has_address: bool
) -> None:
    profile = gcp_profile(external_ip=profile_says)
    plan = make_plan(1, profile=profile)
    plan = seal(msgspec.structs.replace(plan, request=msgspec.structs.replace(plan.request, mode=mode)))
    order = order_for(profile, plan, run=RUN, number=1, vms=make_order(1).vms, now=NOW, external_ip=asked)
    interface = as_json(order)["instanceProperties"]["networkInterfaces"][0]
    assert ("accessConfigs" in interface) is has_address


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
        "serial-port-enable",
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
        storage="http://127.0.0.1:1",
        bigquery="http://127.0.0.1:2",
        logging="127.0.0.1:3",
        tardis_api="http://127.0.0.1:4/v1",
        tardis_datasets="http://127.0.0.1:5/v1",
    )
    environment = worker_environment(local_profile(endpoints=endpoints), make_plan(), RUN)
    assert environment["STORAGE_EMULATOR_HOST"] == "http://127.0.0.1:1"
    assert environment["TICKDECK_BIGQUERY_ENDPOINT"] == "http://127.0.0.1:2"
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


def test_a_plan_says_what_its_vms_run_and_a_launch_that_would_run_something_else_is_refused() -> None:
    profile = gcp_profile()
    plan = make_plan(1, profile=profile)
    pinned = seal(msgspec.structs.replace(plan, boot=boot_of(profile)))
    assert pinned.boot.image == profile.image
    assert pinned.boot.cloud_init == hash_user_data(render_user_data(profile.image))
    assert pinned.id != plan.id, "it is a part of the hash"
    assert preview(profile, pinned, 1, run=RUN, now=NOW).order.image == profile.image
    changes = {
        "image": {"image": profile.image.replace("ab", "cd")},
        "boot image": {"boot_image": "projects/cos-cloud/global/images/family/cos-121-lts"},
        "cloud-init": {"tardis_secret": "projects/p/secrets/s/versions/2"},
    }
    for what, change in changes.items():
        with pytest.raises(ConfigurationError, match=f"was made for {what} "):
            preview(gcp_profile(**change), pinned, 1, run=RUN, now=NOW)


def test_a_plan_pins_no_image_that_has_no_digest() -> None:
    assert boot_of(gcp_profile(image="")) == boot_of(gcp_profile(image="host/p/r/engine:latest")) == Boot()


def test_a_vm_that_takes_over_is_the_machine_that_its_run_was_launched_with() -> None:
    first = msgspec.structs.replace(real_order(), boot_image="projects/cos-cloud/global/images/cos-stable-1-2-3", keep_until=None)
    profile = gcp_profile(
        image="host/p/r/engine@sha256:" + "cd" * 32,
        boot_image="projects/x/global/images/family/y",
        worker_service_account="other@x",
        subnetwork="regions/r/subnetworks/other",
        external_ip=False,
        disk_gb=10,
        tardis_secret="projects/p/secrets/s/versions/2",
        zones=ZONES[1:],
    )
    taken_over = order_for(profile, make_plan(2, profile=profile), run=RUN, number=2, vms=make_order(1).vms, now=NOW, like=first)
    sent, before = as_json(taken_over)["instanceProperties"], as_json(first)["instanceProperties"]
    changed = {"labels", "metadata", "disks"}
    assert {key: value for key, value in sent.items() if key not in changed} == {k: v for k, v in before.items() if k not in changed}
    assert taken_over.cloud_init == first.cloud_init
    assert taken_over.metadata["user-data"] == first.metadata["user-data"]
    assert sent["disks"][0]["initializeParams"]["sourceImage"] == first.boot_image
    assert taken_over.zones == ZONES[1:], "where VMs may be is the profile's word"
