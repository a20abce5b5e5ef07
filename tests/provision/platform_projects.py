"""Projects of the local platform server for tests: each test describes its own, and clients speak to it over the wire."""

from __future__ import annotations

import itertools
import json
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from provision.platform import Platform
from provision.profile import Endpoints, Profile
from tests.local_servers import LocalServer
from tests.provision.made_up_fleet import DIGEST, local_profile

_numbers = itertools.count(1)

Json = dict[str, Any]


@dataclass(frozen=True)
class ProjectOnServer:
    """One project and a profile of it that names everything a real one names."""

    server: LocalServer
    profile: Profile

    @property
    def platform(self) -> Platform:
        return Platform(self.profile)

    @property
    def member(self) -> str:
        return f"serviceAccount:{self.profile.worker_service_account}"

    def world(self) -> Json:
        found: Json = self.server.get(f"/_tickdeck/projects/{self.profile.project}")
        return found

    def describe(self, **changes: Any) -> None:
        """Change what the project has."""
        put(self.server, self.profile.project, {**self.world(), **changes})

    def set_policy(self, resource: str, *bindings: Json) -> None:
        """Replace the policy of one resource."""
        self.describe(policies={**self.world()["policies"], resource: list(bindings)})

    def arm(self, **fault: Any) -> None:
        """A fault that strikes this project only."""
        self.server.post("/_tickdeck/faults", {"match": f"/projects/{self.profile.project}", **fault})

    def asked(self) -> list[Json]:
        """What was asked of this project, oldest first."""
        rows = self.server.get("/_tickdeck/requests")["requests"]
        return [row for row in rows if f"projects/{self.profile.project}" in row["path"] or row["path"].startswith("/v1/roles/")]


def put(server: LocalServer, project: str, description: Mapping[str, Any]) -> Json:
    """Describe a project."""
    data = json.dumps(description).encode()
    request = urllib.request.Request(f"{server.url}/_tickdeck/projects/{project}", data=data, method="PUT")
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: Json = json.load(response)
    return answer


def make_project(server: LocalServer, name: str = "", **changes: Any) -> ProjectOnServer:
    """A project that was set up as it should be, with an image in its repository."""
    name = name or f"platform-{os.getpid()}-{next(_numbers)}"
    values = {
        "project": name,
        "image": f"asia-northeast1-docker.pkg.dev/{name}/tickdeck/engine@{DIGEST}",
        "worker_service_account": f"tickdeck-worker@{name}.iam.gserviceaccount.com",
        "tardis_secret": f"projects/{name}/secrets/tardis-key/versions/1",
        "endpoints": Endpoints(platform=server.url),
    }
    made = ProjectOnServer(server, local_profile(**{**values, **changes}))
    made.describe(images={"asia-northeast1/tickdeck": [f"engine@{DIGEST}"]})
    return made
