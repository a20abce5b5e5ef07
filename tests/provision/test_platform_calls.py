"""The REST calls around a project: what is sent, held by a golden file, and what the answers mean."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import ConfigurationError, EngineError, ExitCode, NotPermitted
from provision.errors import CloudRefused, CloudUnavailable, NotFound
from provision.platform import (
    ApiDisabled,
    Kind,
    Platform,
    account_resource,
    identify,
    parse_image,
    parse_secret,
    project_resource,
)
from provision.profile import Endpoints
from tests.local_servers import LocalServer
from tests.provision.made_up_fleet import DIGEST, gcp_profile, local_profile
from tests.provision.platform_projects import ProjectOnServer, make_project

GOLDEN = Path(__file__).with_name("golden") / "platform_requests.json"


@pytest.fixture
def project(platform_server: LocalServer) -> Iterator[ProjectOnServer]:
    yield make_project(platform_server)
    platform_server.disarm()


def test_the_requests_are_those_of_the_golden_file(platform_server: LocalServer) -> None:
    """Each has beside it the page of Google's reference that says so."""
    project = make_project(platform_server, "golden-project")
    platform, profile = project.platform, project.profile
    image, secret = parse_image(profile.image), parse_secret(profile.tardis_secret)
    assert image is not None
    account = account_resource(profile.worker_service_account, profile)
    before = len(project.asked())
    platform.test_permissions(project_resource(profile), ("compute.zones.list", "compute.instances.create"))
    platform.test_permissions(account, ("iam.serviceAccounts.actAs",))
    platform.test_permissions(secret.secret, ("secretmanager.versions.get",))
    platform.test_permissions(image.repository, ("artifactregistry.dockerimages.get",))
    for resource in (project_resource(profile), account, secret.secret, image.repository):
        platform.policy(resource)
    platform.role_permissions("roles/logging.logWriter")
    platform.enabled_services(("compute.googleapis.com", "storage.googleapis.com"))
    platform.secret_state(secret)
    platform.account_is_disabled(account)
    platform.require_image(image)
    golden = json.loads(GOLDEN.read_text())
    assert all(row["reference"].startswith("https://cloud.google.com/") for row in golden)
    assert project.asked()[before:] == [row["request"] for row in golden]


def test_the_hosts_of_the_real_services_are_those_of_the_reference() -> None:
    platform = Platform(gcp_profile())
    for row in json.loads(GOLDEN.read_text()):
        assert platform._base(row["host"].partition(".")[0]) == f"https://{row['host']}"


def test_what_is_not_there_not_ours_or_not_enabled_is_told_apart(project: ProjectOnServer) -> None:
    secret = parse_secret(project.profile.tardis_secret)
    assert project.platform.secret_state(secret) == "ENABLED"
    project.arm(fault="missing_secret", count=1)
    with pytest.raises(NotFound):
        project.platform.secret_state(secret)
    project.arm(fault="deny_permission", permission="secretmanager.versions.get", count=1)
    with pytest.raises(NotPermitted, match=r"secretmanager\.versions\.get"):
        project.platform.secret_state(secret)
    project.arm(fault="missing_api", service="secretmanager.googleapis.com", count=1)
    with pytest.raises(ApiDisabled, match=r"secretmanager\.googleapis\.com is not enabled") as disabled:
        project.platform.secret_state(secret)
    assert (disabled.value.exit_code, "gcloud services enable" in disabled.value.hint) == (ExitCode.CONFIGURATION, True)
    assert project.platform.secret_state(secret) == "ENABLED"


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, NotPermitted), (429, CloudUnavailable), (503, CloudUnavailable), (500, CloudUnavailable), (409, CloudRefused)],
)
def test_each_status_has_a_meaning_and_nothing_is_asked_twice(project: ProjectOnServer, status: int, error: type[EngineError]) -> None:
    project.arm(fault="status", status=status, count=1)
    before = len(project.asked())
    with pytest.raises(error):
        project.platform.policy(project_resource(project.profile))
    assert len(project.asked()) == before + 1


def test_a_server_that_is_away_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CloudUnavailable):
            Platform(local_profile(endpoints=Endpoints(platform=url))).role_permissions("roles/owner")


@pytest.mark.parametrize("endpoint", ["", "https://cloudresourcemanager.googleapis.com", "http://10.0.0.1:1"])
def test_a_local_profile_asks_this_machine_only(endpoint: str) -> None:
    platform = Platform(local_profile(endpoints=Endpoints(platform=endpoint)))
    with pytest.raises(ConfigurationError):
        platform.policy(project_resource(platform.profile))


def test_names_are_escaped_in_paths(project: ProjectOnServer) -> None:
    strange = project_resource(local_profile(project="p/../q?x=1#y"))
    with pytest.raises(NotFound):
        project.platform.ask("GET", "iam", f"v1/{strange.path}/roles/none")
    asked = project.server.get("/_tickdeck/requests")["requests"][-1]
    assert (asked["path"], asked["query"]) == ("/v1/projects/p/../q?x=1#y/roles/none", [])
    assert "%2F" in strange.path


def test_an_image_is_one_of_artifact_registry_with_a_digest() -> None:
    image = parse_image(f"europe-west4-docker.pkg.dev/proj-1/repo/team/engine@{DIGEST}")
    assert image is not None
    assert (image.repository.location, image.repository.project, image.repository.name) == ("europe-west4", "proj-1", "repo")
    assert (image.name, image.digest) == ("team/engine", DIGEST)
    for other in ("tickdeck-engine", f"ghcr.io/x/engine@{DIGEST}", "europe-docker.pkg.dev/p/r/engine:1.0", f"gcr.io/p/engine@{DIGEST}"):
        assert parse_image(other) is None


@pytest.mark.parametrize("name", ["tardis", "projects/p/secrets/s", "projects/p/secrets/s/versions/x", "projects/p/secrets/a b/versions/1"])
def test_a_secret_is_named_with_its_version(name: str) -> None:
    with pytest.raises(ConfigurationError, match="version of a secret"):
        parse_secret(name)


def test_an_account_says_its_project() -> None:
    profile = gcp_profile()
    assert account_resource("w@other.iam.gserviceaccount.com", profile).project == "other"
    assert account_resource("123-compute@developer.gserviceaccount.com", profile).project == profile.project
    assert account_resource("w@other.iam.gserviceaccount.com", profile).kind is Kind.ACCOUNT
    with pytest.raises(ConfigurationError):
        account_resource("worker", profile)


def test_credentials_that_are_not_there_are_not_permitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    for ask in (lambda: identify(gcp_profile()), lambda: Platform(gcp_profile()).role_permissions("roles/owner")):
        with pytest.raises(NotPermitted) as refused:
            ask()
        assert "gcloud auth application-default login" in refused.value.hint
