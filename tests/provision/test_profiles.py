"""Profiles: where each value comes from, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ConfigurationError, ExitCode
from provision.config_file import config_path
from provision.errors import WriteRefused
from provision.profile import (
    REAL_API,
    Endpoints,
    load_profiles,
    require_image,
    require_writable,
    resolve_profile,
    with_endpoints,
)
from tests.provision.made_up_fleet import gcp_profile, local_profile

ENDPOINTS = Endpoints(
    storage="http://127.0.0.1:1",
    compute="http://127.0.0.1:2",
    logging="127.0.0.1:3",
    tardis_api="http://127.0.0.1:4/v1",
    tardis_datasets="http://127.0.0.1:4/v1",
)


def written(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return {"TICKDECK_CONFIG": str(path)}


LAKE = """
profile = "lake"
theme = "dusk"
[profiles.lake]
kind = "gcp"
project = "my-project"
zones = ["asia-northeast1-a"]
data_bucket = "ticks"
max_vms = 40
"""


def test_with_nothing_configured_there_is_a_local_profile(tmp_path: Path) -> None:
    profile = resolve_profile(environment=written(tmp_path, ""))
    assert (profile.name, profile.kind, profile.source) == ("local", "local", "stand-in")
    assert profile.state == "market-data-tick-state"
    assert set(profile.origins.values()) == {"default"}


def test_flags_win_over_the_environment_and_that_over_the_file_and_each_value_says_so(tmp_path: Path) -> None:
    environment = {**written(tmp_path, LAKE), "TICKDECK_MAX_VMS": "50", "TICKDECK_REGION": "asia-northeast1"}
    profile = resolve_profile(flags={"max_vms": 60, "project": None}, environment=environment)
    assert (profile.project, profile.max_vms, profile.data_bucket, profile.theme) == ("my-project", 60, "ticks", "dusk")
    assert profile.origins["max_vms"] == "flag"
    assert profile.origins["region"] == "environment TICKDECK_REGION"
    assert profile.origins["project"] == f"file {tmp_path / 'config.toml'}"
    assert profile.origins["disk_gb"] == "default"


def test_the_profile_is_chosen_by_name_then_environment_then_file(tmp_path: Path) -> None:
    environment = written(tmp_path, LAKE + '[profiles.dev]\nproject = "dev"\n')
    assert resolve_profile(environment=environment).name == "lake"
    assert resolve_profile(environment={**environment, "TICKDECK_PROFILE": "dev"}).name == "dev"
    assert resolve_profile("local", environment={**environment, "TICKDECK_PROFILE": "dev"}).name == "local"


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("profle = 'x'", "profile"),
        ("[profiles.a]\nprojct = 'x'", "project"),
        ("[profiles.a]\nmax_vm = 3", "max_vms"),
        ("[profiles.local.endpoints]\nstorge = 'x'", "storage"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path, text: str, near: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_profiles(written(tmp_path, text))
    assert near in caught.value.hint


def test_an_unknown_profile_names_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve_profile("lak", environment=written(tmp_path, LAKE))
    assert "lake" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "max_vms = 'many'",
        "max_vms = -1",
        "protected = 1",
        "zones = 'a'\nzones_ = 1",
        "provisioning_model = 'CHEAP'",
        "project = ''",
        "zones = ['us-central1-a']",
        "source = 'stand-in'",
        "endpoints = { compute = 'http://127.0.0.1:1' }",
        "project = 3",
    ],
)
def test_a_value_that_cannot_be_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    project = "" if text.startswith("project") else "project = 'p'\n"
    with pytest.raises(ConfigurationError) as caught:
        resolve_profile("a", environment=written(tmp_path, f"[profiles.a]\n{project}{text}\n"))
    assert caught.value.exit_code == ExitCode.CONFIGURATION


def test_a_real_profile_stops_while_an_emulator_is_set(tmp_path: Path) -> None:
    environment = {**written(tmp_path, LAKE), "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9000"}
    with pytest.raises(ConfigurationError) as caught:
        resolve_profile(environment=environment)
    assert caught.value.exit_code == 78
    assert "STORAGE_EMULATOR_HOST" in str(caught.value)
    assert resolve_profile("local", environment=environment).kind == "local"


def test_a_local_profile_takes_its_endpoints_from_the_running_cloud_and_only_from_this_machine(tmp_path: Path) -> None:
    nothing = written(tmp_path, "")
    profile = with_endpoints(resolve_profile(environment=nothing), ENDPOINTS)
    assert profile.endpoints == ENDPOINTS
    assert profile.origins["endpoints.compute"] == "local cloud"
    assert profile.tardis_api == "http://127.0.0.1:4/v1"
    for stray in (Endpoints(compute="http://10.0.0.1:2"), Endpoints(storage="https://storage.googleapis.com")):
        with pytest.raises(ConfigurationError):
            with_endpoints(local_profile(), stray)
    with pytest.raises(ConfigurationError):
        resolve_profile(environment={**nothing, "TICKDECK_COMPUTE_ENDPOINT": "http://10.0.0.1:2"})
    with pytest.raises(ConfigurationError):
        with_endpoints(gcp_profile(), ENDPOINTS)


def test_an_endpoint_set_by_hand_stays(tmp_path: Path) -> None:
    environment = written(tmp_path, "[profiles.local.endpoints]\ncompute = 'http://127.0.0.1:77'\n")
    profile = with_endpoints(resolve_profile(environment=environment), ENDPOINTS)
    assert profile.endpoints.compute == "http://127.0.0.1:77"
    assert profile.endpoints.storage == ENDPOINTS.storage


def test_a_local_profile_may_name_the_real_source(tmp_path: Path) -> None:
    profile = with_endpoints(resolve_profile(environment=written(tmp_path, "[profiles.local]\nsource = 'tardis'\n")), ENDPOINTS)
    assert profile.tardis_api == REAL_API
    assert profile.endpoints.storage == ENDPOINTS.storage


def test_the_file_named_in_the_environment_must_be_there(tmp_path: Path) -> None:
    assert config_path({"TICKDECK_CONFIG": "/x/y.toml"}) == Path("/x/y.toml")
    with pytest.raises(ConfigurationError):
        load_profiles({"TICKDECK_CONFIG": str(tmp_path / "none.toml")})
    with pytest.raises(ConfigurationError):
        load_profiles(written(tmp_path, "profile = "))


def test_a_read_only_or_protected_profile_may_not_write_until_it_is_armed() -> None:
    require_writable(gcp_profile())
    require_writable(gcp_profile(protected=True), armed=True)
    for profile, armed in ((gcp_profile(protected=True), False), (gcp_profile(read_only=True), True)):
        with pytest.raises(WriteRefused):
            require_writable(profile, armed=armed)


@pytest.mark.parametrize("image", ["", "engine", "host/p/r/engine:latest", "host/p/r/engine@sha256:short"])
def test_an_image_by_tag_is_refused_on_the_real_cloud(image: str) -> None:
    with pytest.raises(ConfigurationError):
        require_image(gcp_profile(image=image))
    assert require_image(gcp_profile())
    assert require_image(local_profile(image="tickdeck-engine")) == "tickdeck-engine"
