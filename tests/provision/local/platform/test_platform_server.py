"""The platform server by raw requests: what it says, and how it says that it does not know."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from provision.local.platform.roles import KNOWN_PERMISSIONS, ROLES
from tests.local_servers import LocalServer, started

Json = dict[str, Any]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with started("platform", tmp_path_factory.mktemp("platform") / "platform") as server:
        yield server


@pytest.fixture
def server(running: LocalServer) -> Iterator[LocalServer]:
    yield running
    running.disarm()


def ask(server: LocalServer, method: str, path: str, body: object = None) -> tuple[int, Json]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_it_listens_on_loopback_only(server: LocalServer) -> None:
    listening = {c.laddr.ip for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v3/projects/p:setIamPolicy"),
        ("GET", "/v1/projects/p/secrets/tardis-key/versions/1:access"),
        ("POST", "/v1/projects/p/serviceAccounts"),
        ("GET", "/v1/projects/p/services"),
        ("DELETE", "/v1/projects/p/secrets/tardis-key"),
    ],
)
def test_what_it_does_not_know_it_refuses_by_name(server: LocalServer, method: str, path: str) -> None:
    status, answer = ask(server, method, path)
    assert (status, answer["error"]["status"]) == (501, "UNIMPLEMENTED")
    assert f"{method} {path}" in answer["error"]["message"]


def test_nothing_in_it_has_the_value_of_a_secret(server: LocalServer) -> None:
    for path in ("/v1/projects/p/secrets/tardis-key/versions/1", "/_tickdeck/projects/p"):
        assert "payload" not in json.dumps(ask(server, "GET", path)[1])


def test_permissions_are_those_that_are_asked_for_and_not_denied(server: LocalServer) -> None:
    path, wanted = "/v3/projects/p:testIamPermissions", ["compute.instances.create", "compute.instances.list"]
    assert ask(server, "POST", path, {"permissions": wanted}) == (200, {"permissions": wanted})
    server.post("/_tickdeck/faults", {"fault": "deny_permission", "permission": "compute.instances.create", "match": "projects/p:"})
    assert ask(server, "POST", path, {"permissions": wanted}) == (200, {"permissions": wanted[1:]})
    assert ask(server, "POST", "/v3/projects/q:testIamPermissions", {"permissions": wanted})[1]["permissions"] == wanted
    assert ask(server, "POST", path, {"permissions": wanted[:1]}) == (200, {}), "an empty list is left out"
    assert server.get("/_tickdeck/faults")["faults"][0]["struck"] == 2


@pytest.mark.parametrize("asked", [["compute.instances.crate"], ["compute.*"], [], [7], ["compute.zones.get"] * 101, None])
def test_permissions_that_cannot_be_asked_are_a_400(server: LocalServer, asked: object) -> None:
    status, answer = ask(server, "POST", "/v3/projects/p:testIamPermissions", {"permissions": asked})
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_disabled_api_answers_as_google_does_and_is_listed_as_disabled(server: LocalServer) -> None:
    listing = "/v1/projects/p/services:batchGet?names=projects/p/services/secretmanager.googleapis.com"
    assert ask(server, "GET", listing)[1]["services"][0]["state"] == "ENABLED"
    server.post("/_tickdeck/faults", {"fault": "missing_api", "service": "secretmanager.googleapis.com"})
    assert ask(server, "GET", listing)[1]["services"][0]["state"] == "DISABLED"
    status, answer = ask(server, "GET", "/v1/projects/p/secrets/tardis-key/versions/1")
    (detail,) = answer["error"]["details"]
    assert (status, detail["reason"], detail["metadata"]["service"]) == (403, "SERVICE_DISABLED", "secretmanager.googleapis.com")


@pytest.mark.parametrize("query", ["", "names=projects/other/services/a", "names=nonsense", "&".join(["names=projects/p/services/a"] * 31)])
def test_services_are_asked_for_by_their_full_names_thirty_at_a_time(server: LocalServer, query: str) -> None:
    assert ask(server, "GET", f"/v1/projects/p/services:batchGet?{query}")[0] == 400


def test_a_project_stays_as_it_was_described_also_when_the_server_comes_back(tmp_path: Path) -> None:
    account = {"a@p.iam.gserviceaccount.com": True}
    with started("platform", tmp_path / "platform") as server:
        assert ask(server, "PUT", "/_tickdeck/projects/p", {"service_accounts": account})[0] == 200
        status, answer = ask(server, "PUT", "/_tickdeck/projects/p", {"colour": "red"})
        assert (status, "colour" in answer["error"]) == (400, True)
    with started("platform", tmp_path / "platform") as server:
        assert ask(server, "GET", "/v1/projects/p/serviceAccounts/a@p.iam.gserviceaccount.com")[1]["disabled"] is True
        assert ask(server, "GET", "/v1/projects/q/serviceAccounts/a@p.iam.gserviceaccount.com")[0] == 404


def test_the_newest_version_of_a_secret_is_the_latest(server: LocalServer) -> None:
    ask(server, "PUT", "/_tickdeck/projects/versions", {"secrets": {"s": {"2": "ENABLED", "10": "DISABLED"}}})
    found = ask(server, "GET", "/v1/projects/versions/secrets/s/versions/latest")[1]
    assert (found["name"].rpartition("/")[2], found["state"]) == ("10", "DISABLED")
    assert ask(server, "GET", "/v1/projects/versions/secrets/s/versions/3")[0] == 404


def test_roles_hold_permissions_that_the_server_knows(server: LocalServer) -> None:
    for role, permissions in ROLES.items():
        assert permissions <= KNOWN_PERMISSIONS
        assert ask(server, "GET", f"/v1/{role}")[1]["includedPermissions"] == sorted(permissions)
    assert ask(server, "GET", "/v1/roles/no.such.role")[0] == 404


def test_it_tells_what_it_was_asked(server: LocalServer) -> None:
    ask(server, "POST", "/v3/projects/told:getIamPolicy", {"options": {"requestedPolicyVersion": 3}})
    rows = [row for row in server.get("/_tickdeck/requests")["requests"] if "told" in row["path"]]
    assert rows == [
        {"method": "POST", "path": "/v3/projects/told:getIamPolicy", "query": [], "body": {"options": {"requestedPolicyVersion": 3}}}
    ]
