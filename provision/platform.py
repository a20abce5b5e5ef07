"""The REST calls around a project that no client library of ours makes: IAM, Resource Manager, Service Usage, Secret Manager, images.

All of them only look. Each asks once, within seconds, and never again: whoever asks wants to know now. In a local profile they go
to the one endpoint of the local cloud, else to the services' own hosts with the default credentials. The value of a secret is never
asked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from engine.errors import ConfigurationError, ExitCode, NotPermitted
from engine.loopback import require_loopback
from provision.errors import CloudRefused, CloudUnavailable, NotFound
from provision.profile import Profile

TIMEOUT = (3.0, 8.0)
"""Seconds to connect, and seconds of silence."""

SCOPE = "https://www.googleapis.com/auth/cloud-platform"

POLICY_VERSION = 3
"""Older versions leave conditions out, and a conditional binding would look like a plain one."""

ENABLED = "ENABLED"

_IMAGE = re.compile(
    r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[^/\s@]+)/(?P<repository>[^/\s@]+)/(?P<image>[^\s@:]+)@(?P<digest>sha256:[0-9a-f]{64})"
)
_SECRET = re.compile(r"projects/(?P<project>[^/\s]+)/secrets/(?P<secret>[A-Za-z0-9_-]+)/versions/(?P<version>[0-9]+|latest)")
_ACCOUNT = re.compile(r"[^@\s/]+@[^@\s/]+")


class Kind(StrEnum):
    """What permissions can be held on."""

    PROJECT = "project"
    BUCKET = "bucket"
    """Asked of Cloud Storage's own client; see `engine.bucket`."""
    SECRET = "secret"  # noqa: S105 - a word, not one
    REPOSITORY = "repository"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing that permissions are held on."""

    kind: Kind
    project: str
    name: str
    """Project, bucket, secret, repository or email."""
    location: str = ""
    """Of a repository."""

    def __str__(self) -> str:
        """As people say it: `secret tardis-key`."""
        return f"{self.kind} {self.name}"

    @property
    def path(self) -> str:
        """Its name in REST paths, escaped."""
        project, name = f"projects/{_escape(self.project)}", _escape(self.name)
        match self.kind:
            case Kind.PROJECT:
                return project
            case Kind.SECRET:
                return f"{project}/secrets/{name}"
            case Kind.REPOSITORY:
                return f"{project}/locations/{_escape(self.location)}/repositories/{name}"
            case Kind.ACCOUNT:
                return f"{project}/serviceAccounts/{name}"
            case Kind.BUCKET:
                raise ValueError(f"{self} is Cloud Storage's")


@dataclass(frozen=True, slots=True)
class Image:
    """A Docker image in Artifact Registry, by its digest."""

    repository: Resource
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Secret:
    """A version of a secret."""

    secret: Resource
    version: str
    """A number, or `latest`."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One row of a policy: who has a role."""

    role: str
    members: frozenset[str]
    conditional: bool = False
    """Whether it holds under a condition only."""


class ApiDisabled(CloudRefused):
    """The project has not enabled the API that was asked."""

    exit_code = ExitCode.CONFIGURATION


def project_resource(profile: Profile) -> Resource:
    """The profile's project."""
    return Resource(Kind.PROJECT, profile.project, profile.project)


def bucket_resource(profile: Profile, bucket: str) -> Resource:
    """A bucket."""
    return Resource(Kind.BUCKET, profile.project, bucket)


def account_resource(email: str, profile: Profile) -> Resource:
    """A service account; its project is in its email, or it is the profile's.

    Raises:
        ConfigurationError: if it is no email.
    """
    if not _ACCOUNT.fullmatch(email):
        raise ConfigurationError(f"worker_service_account {email!r} is not an email", hint="NAME@PROJECT.iam.gserviceaccount.com")
    project, ours, _ = email.partition("@")[2].partition(".iam.gserviceaccount.com")
    return Resource(Kind.ACCOUNT, project if ours else profile.project, email)


def parse_image(image: str) -> Image | None:
    """`LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE@sha256:...`; None for an image of another registry, or one without a digest."""
    found = _IMAGE.fullmatch(image)
    if found is None:
        return None
    repository = Resource(Kind.REPOSITORY, found["project"], found["repository"], found["location"])
    return Image(repository, found["image"], found["digest"])


def parse_secret(name: str) -> Secret:
    """`projects/P/secrets/S/versions/N`.

    Raises:
        ConfigurationError: if it is something else.
    """
    found = _SECRET.fullmatch(name)
    if found is None:
        raise ConfigurationError(f"tardis_secret {name!r} is not a version of a secret", hint="projects/P/secrets/S/versions/N")
    return Secret(Resource(Kind.SECRET, found["project"], found["secret"]), found["version"])


class Platform:
    """The calls, for one profile. Safe to use from several threads; nothing is asked before the first call.

    Each method raises, as the service meant it:
        NotFound: there is no such thing, or nobody tells us.
        NotPermitted: no credentials, or not ours to see.
        ApiDisabled: the project has not enabled the API.
        CloudRefused, CloudUnavailable: anything else; no answer.
        ConfigurationError: the local cloud is not running, or its endpoint is not on this machine.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._roles: dict[str, frozenset[str]] = {}

    def test_permissions(self, resource: Resource, wanted: Collection[str]) -> frozenset[str]:
        """Which of these permissions the caller has on a resource. To ask needs none."""
        answer = self.ask("POST", *_place(resource), ":testIamPermissions", body={"permissions": sorted(wanted)})
        return frozenset(answer.get("permissions", ()))

    def policy(self, resource: Resource) -> tuple[Binding, ...]:
        """Who has which role on a resource, without what it inherits."""
        service, path = _place(resource)
        if resource.kind is Kind.PROJECT:
            body = {"options": {"requestedPolicyVersion": POLICY_VERSION}}
            answer = self.ask("POST", service, path, ":getIamPolicy", body=body)
        else:
            method = "POST" if resource.kind is Kind.ACCOUNT else "GET"
            answer = self.ask(method, service, path, ":getIamPolicy", query=[("options.requestedPolicyVersion", str(POLICY_VERSION))])
        return tuple(read_binding(row) for row in answer.get("bindings", ()))

    def role_permissions(self, role: str) -> frozenset[str]:
        """What a role holds. Predefined ones (`roles/...`) anybody may read."""
        if role not in self._roles:
            path = "v1/" + "/".join(_escape(part) for part in role.split("/"))
            self._roles[role] = frozenset(self.ask("GET", "iam", path).get("includedPermissions", ()))
        return self._roles[role]

    def enabled_services(self, services: Sequence[str]) -> frozenset[str]:
        """Which of these APIs the project has enabled; at most 30 names."""
        parent = f"projects/{_escape(self.profile.project)}"
        names = [("names", f"projects/{self.profile.project}/services/{service}") for service in services]
        answer = self.ask("GET", "serviceusage", f"v1/{parent}/services", ":batchGet", query=names)
        rows = answer.get("services", ())
        return frozenset(str(row["name"]).rpartition("/")[2] for row in rows if row.get("state") == ENABLED)

    def secret_state(self, secret: Secret) -> str:
        """ENABLED, DISABLED or DESTROYED. The value is not asked for."""
        service, path = _place(secret.secret)
        return str(self.ask("GET", service, f"{path}/versions/{_escape(secret.version)}").get("state", ""))

    def account_is_disabled(self, account: Resource) -> bool:
        """Whether a service account is disabled."""
        return bool(self.ask("GET", *_place(account)).get("disabled", False))

    def require_image(self, image: Image) -> None:
        """Make sure that an image is there."""
        service, path = _place(image.repository)
        self.ask("GET", service, f"{path}/dockerImages/{_escape(f'{image.name}@{image.digest}')}")

    def ask(
        self,
        method: str,
        service: str,
        path: str,
        verb: str = "",
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """One request and its JSON answer.

        Args:
            method: GET or POST.
            service: first part of the host, e.g. `iam` for iam.googleapis.com.
            path: with its version, escaped.
            verb: what stands behind the path, e.g. `:getIamPolicy`.
            query: parameters.
            body: JSON.
        """
        import requests
        from google.auth.exceptions import GoogleAuthError, TransportError

        url = f"{self._base(service)}/{path}{verb}"
        try:
            response = self._session.request(method, url, params=list(query), json=body, timeout=TIMEOUT, max_allowed_time=sum(TIMEOUT))
            answer = response.json() if response.content else {}
        except (requests.RequestException, TransportError, ConnectionError) as error:
            raise CloudUnavailable(f"{service}.googleapis.com: {_short(error)}", hint="check the network, then run again") from error
        except GoogleAuthError as error:
            raise NotPermitted(_short(error), hint="run: gcloud auth application-default login") from error
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            raise _refusal(service, response.status_code, answer, self.profile.project)
        return answer if isinstance(answer, dict) else {}

    def _base(self, service: str) -> str:
        if self.profile.kind != "local":
            return f"https://{service}.googleapis.com"
        if not self.profile.endpoints.platform:
            raise ConfigurationError("the local profile has no platform endpoint", hint="start it: tickdeck local up")
        return require_loopback(self.profile.endpoints.platform).rstrip("/")

    @cached_property
    def _session(self) -> Any:
        from google.auth.transport.requests import AuthorizedSession

        session = AuthorizedSession(load_credentials(self.profile))
        if self.profile.kind == "local":
            session.trust_env = False
        return session


def load_credentials(profile: Profile) -> Any:
    """The default credentials; anonymous ones in a local profile.

    Raises:
        NotPermitted: if there are none.
    """
    if profile.kind == "local":
        from google.auth.credentials import AnonymousCredentials

        return AnonymousCredentials()
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        return google.auth.default(scopes=[SCOPE])[0]
    except DefaultCredentialsError as error:
        raise NotPermitted(_short(error), hint="run: gcloud auth application-default login") from error


def identify(profile: Profile) -> str:
    """Whose credentials these are, once they have proved to be good.

    Raises:
        NotPermitted: if there are none, or they are refused.
        CloudUnavailable: if nobody could be asked.
    """
    if profile.kind == "local":
        return "the local cloud asks for none"
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.auth.transport.requests import Request

    credentials = load_credentials(profile)
    try:
        credentials.refresh(Request())
    except TransportError as error:
        raise CloudUnavailable(f"the credentials cannot be renewed: {_short(error)}", hint="check the network, then run again") from error
    except GoogleAuthError as error:
        raise NotPermitted(f"the credentials are refused: {_short(error)}", hint="run: gcloud auth application-default login") from error
    who = getattr(credentials, "service_account_email", "") or getattr(credentials, "account", "")
    return str(who or f"{type(credentials).__module__.split('.')[2]} credentials")


def read_binding(row: Mapping[str, Any]) -> Binding:
    """A row of a policy as services send it."""
    return Binding(str(row.get("role", "")), frozenset(map(str, row.get("members", ()))), bool(row.get("condition")))


def _place(resource: Resource) -> tuple[str, str]:
    """The service that answers for a resource, and its versioned path there."""
    services = {
        Kind.PROJECT: ("cloudresourcemanager", "v3"),
        Kind.SECRET: ("secretmanager", "v1"),
        Kind.REPOSITORY: ("artifactregistry", "v1"),
        Kind.ACCOUNT: ("iam", "v1"),
    }
    service, version = services[resource.kind]
    return service, f"{version}/{resource.path}"


def _refusal(service: str, status: int, answer: object, project: str) -> Exception:
    error = answer.get("error", {}) if isinstance(answer, dict) else {}
    said = " ".join(str(error.get("message") or f"HTTP {status}").split())[:300]
    reasons = {str(detail.get("reason")): detail for detail in error.get("details", ()) if isinstance(detail, dict)}
    if "SERVICE_DISABLED" in reasons:
        name = str(reasons["SERVICE_DISABLED"].get("metadata", {}).get("service") or f"{service}.googleapis.com")
        return ApiDisabled(f"{name} is not enabled in project {project}", hint=f"run: gcloud services enable {name} --project={project}")
    match status:
        case HTTPStatus.NOT_FOUND:
            return NotFound(said)
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return NotPermitted(said, hint="see: tickdeck iam check")
        case HTTPStatus.TOO_MANY_REQUESTS:
            return CloudUnavailable(f"{service}.googleapis.com: {said}", hint="wait a minute, then run again")
        case HTTPStatus.NOT_IMPLEMENTED:
            return CloudRefused(said)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return CloudUnavailable(f"{service}.googleapis.com: {said}", hint="run again later")
    return CloudRefused(f"{service}.googleapis.com: {said}")


def _escape(part: str) -> str:
    return quote(part, safe="@:")


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
