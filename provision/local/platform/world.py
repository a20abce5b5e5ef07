"""What each project of the local platform has: enabled APIs, accounts, secrets, repositories, policies. Facts, no protocol.

A project that nobody has described is one that was set up as it should be (`Project.well_set_up`). PUT a description to
`WORLD_PATH` to practise on another one. Whoever reaches this server may do everything in it, as far as no fault switch says no.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from engine.documents import convert, json_decoder

WORLD_PATH = "/_tickdeck/projects/{project}"
"""GET shows what a project has, PUT replaces it."""

SERVICES = (
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "compute.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "secretmanager.googleapis.com",
    "serviceusage.googleapis.com",
    "storage.googleapis.com",
)
"""APIs that this server knows of. Any other is one that is not enabled."""


class Binding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of a policy."""

    role: str
    members: tuple[str, ...]
    condition: dict[str, str] | None = None


class Project(msgspec.Struct, kw_only=True):
    """One project."""

    name: str
    services: tuple[str, ...] = SERVICES
    """Enabled APIs."""
    service_accounts: dict[str, bool] = {}
    """Email -> whether it is disabled."""
    secrets: dict[str, dict[str, str]] = {}
    """Secret -> version -> ENABLED, DISABLED or DESTROYED. There are no values here."""
    images: dict[str, tuple[str, ...]] = {}
    """`LOCATION/REPOSITORY` -> the images in it, each as `IMAGE@sha256:...`."""
    policies: dict[str, tuple[Binding, ...]] = {}
    """Resource name -> its policy."""
    roles: dict[str, tuple[str, ...]] = {}
    """Custom roles: id -> permissions."""

    @property
    def number(self) -> str:
        """The project's number: the same for the same name, everywhere and for ever."""
        return str(10**11 + zlib.crc32(self.name.encode()))

    @classmethod
    def well_set_up(cls, name: str) -> Project:
        """A project with the worker's account and the source's key, and a policy that gives the account what it needs there."""
        worker = f"tickdeck-worker@{name}.iam.gserviceaccount.com"
        member = (f"serviceAccount:{worker}",)
        return cls(
            name=name,
            service_accounts={worker: False},
            secrets={"tardis-key": {"1": "ENABLED"}},
            policies={
                f"projects/{name}": (
                    Binding("roles/logging.logWriter", member),
                    Binding("roles/artifactregistry.reader", member),
                ),
                f"projects/{name}/secrets/tardis-key": (Binding("roles/secretmanager.secretAccessor", member),),
            },
        )


class World:
    """All projects of one server, kept in one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root / "projects"
        self._root.mkdir(parents=True, exist_ok=True)

    def project(self, name: str) -> Project:
        """A project as it was described, else a well set up one."""
        try:
            return json_decoder(Project).decode(self._path(name).read_bytes())
        except FileNotFoundError:
            return Project.well_set_up(name)

    def describe(self, name: str, description: dict[str, Any]) -> Project:
        """Replace what a project has; what the description does not name is as in a well set up one.

        Raises:
            msgspec.ValidationError: naming the field that cannot be.
        """
        known = msgspec.to_builtins(Project.well_set_up(name))
        unknown = sorted(set(description) - set(known))
        if unknown:
            raise msgspec.ValidationError(f"a project has no {unknown[0]!r}; it has {', '.join(known)}")
        project = convert({**known, **description, "name": name}, Project)
        staged = self._path(name).with_suffix(".new")
        staged.write_bytes(msgspec.json.encode(project))
        staged.replace(self._path(name))
        return project

    def _path(self, name: str) -> Path:
        return self._root / f"{quote(name, safe='')}.json"
