"""What each account needs, as data; who has it; and the lines that grant it.

Least privilege: a worker may add to the lake and never delete from it, an operator may delete machines whose names are ours and no
others, and both hold roles on the one bucket, secret, repository or account they work with, not on the project, wherever the service
allows that. Nothing here changes a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from engine.bucket import ask_permissions, read_policy
from engine.errors import EngineError, UsageError
from engine.store import Store
from provision.platform import (
    Binding,
    Kind,
    Platform,
    Resource,
    account_resource,
    bucket_resource,
    parse_image,
    parse_secret,
    project_resource,
    read_binding,
)
from provision.profile import Profile

OPERATOR_ROLE = "tickdeckOperator"
REMOVER_ROLE = "tickdeckRemover"

OUR_NAMES = "market-data-"
"""How the names of all our VMs begin, and with them those of their disks."""

EVERYBODY = frozenset({"allUsers", "allAuthenticatedUsers"})

READ_OBJECTS = ("storage.objects.get", "storage.objects.list")
USE_OBJECTS = ("storage.objects.create", "storage.objects.delete", *READ_OBJECTS)
"""Google counts replacing an object as deleting the one that was there."""

OPERATOR_PERMISSIONS = (
    "compute.addresses.delete",
    "compute.addresses.get",
    "compute.addresses.list",
    "compute.addresses.setLabels",
    "compute.disks.create",
    "compute.disks.get",
    "compute.disks.list",
    "compute.disks.setLabels",
    "compute.instances.create",
    "compute.instances.get",
    "compute.instances.getGuestAttributes",
    "compute.instances.getSerialPortOutput",
    "compute.instances.list",
    "compute.instances.reset",
    "compute.instances.setLabels",
    "compute.instances.setMetadata",
    "compute.instances.setServiceAccount",
    "compute.instances.setTags",
    "compute.instances.start",
    "compute.instances.stop",
    "compute.machineTypes.get",
    "compute.projects.get",
    "compute.regionOperations.get",
    "compute.regions.get",
    "compute.subnetworks.use",
    "compute.subnetworks.useExternalIp",
    "compute.zoneOperations.get",
    "compute.zoneOperations.list",
    "compute.zones.get",
    "compute.zones.list",
    "serviceusage.services.get",
)
"""Of the custom role. A predefined one with these (`roles/compute.instanceAdmin.v1`) also deletes strangers' machines."""

IMAGE_PERMISSIONS = ("compute.images.get", "compute.images.getFromFamily", "compute.images.useReadOnly")
"""Where VMs boot an image of the project's own: everybody may use those of cos-cloud."""

REMOVER_PERMISSIONS = ("compute.disks.delete", "compute.instances.delete")

SERVICES = (
    "cloudresourcemanager.googleapis.com",
    "compute.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "serviceusage.googleapis.com",
    "storage.googleapis.com",
)
"""APIs that every launch needs."""


class Account(StrEnum):
    """Who needs something."""

    WORKER = "worker"
    """The account that VMs run as."""
    OPERATOR = "operator"
    """Whoever uses the console."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Under which a binding holds, in Google's expression language."""

    title: str
    expression: str


@dataclass(frozen=True, slots=True)
class Grant:
    """One binding that an account needs."""

    account: Account
    resource: Resource
    role: str
    """`roles/...`, or the id of a custom role."""
    permissions: tuple[str, ...]
    """What of the role we use."""
    why: str
    condition: Condition | None = None


class State(StrEnum):
    """What is known of a grant."""

    HELD = "ok"
    LACKING = "lacks"
    UNKNOWN = "?"
    """Nobody could be asked, or the policies do not tell."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What an account has of a grant."""

    grant: Grant
    lacking: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    note: str = ""
    """Why it is not known, or what else there is to say."""

    @property
    def state(self) -> State:
        """The worst of its permissions."""
        if self.lacking:
            return State.LACKING
        return State.UNKNOWN if self.unknown else State.HELD


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the setup, as an argument list. We print it; a person who may runs it."""

    why: str
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setup:
    """All that has to be granted, and the commands for it."""

    grants: tuple[Grant, ...]
    steps: tuple[Step, ...]
    left_out: tuple[str, ...] = field(default=())
    """What the profile does not say yet, so that no line could be made of it."""


def services_of(profile: Profile) -> tuple[str, ...]:
    """The APIs that launches of this profile need."""
    extra = ["artifactregistry.googleapis.com"] if parse_image(profile.image) else []
    extra += ["secretmanager.googleapis.com"] if profile.tardis_secret else []
    return tuple(sorted((*SERVICES, *extra)))


def worker_email(profile: Profile) -> str:
    """The worker's account: the profile's, else the one that the setup would make."""
    return profile.worker_service_account or f"tickdeck-worker@{profile.project}.iam.gserviceaccount.com"


def operator_permissions(profile: Profile) -> tuple[str, ...]:
    """Of the operator's role, for this profile."""
    own = profile.boot_image.startswith(f"projects/{profile.project}/")
    return (*OPERATOR_PERMISSIONS, *(IMAGE_PERMISSIONS if own else ()))


def grants_of(profile: Profile) -> tuple[Grant, ...]:
    """Everything that the two accounts need for this profile, worker first.

    Raises:
        ConfigurationError: for an account or a secret in the profile that cannot be one.
    """
    project = project_resource(profile)
    data, state = bucket_resource(profile, profile.data_bucket), bucket_resource(profile, profile.state)
    worker = account_resource(worker_email(profile), profile)
    image = parse_image(profile.image)
    secret = parse_secret(profile.tardis_secret).secret if profile.tardis_secret else None
    who, me = Account.WORKER, Account.OPERATOR
    grants = [
        Grant(who, data, "roles/storage.objectCreator", ("storage.objects.create",), "commit files; it cannot delete or overwrite"),
        Grant(who, data, "roles/storage.objectViewer", READ_OBJECTS, "see what is committed"),
        Grant(who, state, "roles/storage.objectUser", USE_OBJECTS, "claims, heartbeats, manifests and logs"),
        Grant(who, project, "roles/logging.logWriter", ("logging.logEntries.create",), "events to Cloud Logging"),
    ]
    if image:
        pull = ("artifactregistry.repositories.downloadArtifacts",)
        grants.append(Grant(who, image.repository, "roles/artifactregistry.reader", pull, "pull the engine"))
    if secret:
        read = ("secretmanager.versions.access",)
        grants.append(Grant(who, secret, "roles/secretmanager.secretAccessor", read, "read the source's key"))
    grants += [
        Grant(me, project, OPERATOR_ROLE, operator_permissions(profile), "launch and watch VMs"),
        Grant(me, project, REMOVER_ROLE, REMOVER_PERMISSIONS, "delete our VMs and their disks, by name", _only_ours()),
        Grant(me, project, "roles/logging.viewer", ("logging.logEntries.list",), "read Cloud Logging"),
        Grant(me, worker, "roles/iam.serviceAccountUser", ("iam.serviceAccounts.actAs", "iam.serviceAccounts.get"), "run VMs as it"),
        Grant(me, data, "roles/storage.objectViewer", READ_OBJECTS, "compare the lake with its manifests"),
        Grant(me, state, "roles/storage.objectUser", USE_OBJECTS, "plans, launch records and the audit trail"),
    ]
    if image:
        look = ("artifactregistry.dockerimages.get",)
        grants.append(Grant(me, image.repository, "roles/artifactregistry.reader", look, "see that the image is there"))
    if secret:
        see = ("secretmanager.versions.get",)
        grants.append(Grant(me, secret, "roles/secretmanager.viewer", see, "see that the key is there, not its value"))
    return tuple(grants)


def _only_ours() -> Condition:
    kinds = (("Instance", "instances"), ("Disk", "disks"))
    ours = (
        f'(resource.type == "compute.googleapis.com/{kind}" && resource.name.extract("/{path}/{{name}}").startsWith("{OUR_NAMES}"))'
        for kind, path in kinds
    )
    return Condition("only names of Tickdeck", " || ".join(ours))


def check_operator(grants: Iterable[Grant], platform: Platform, stores: Callable[[str], Store]) -> list[Holding]:
    """What the current credentials have, by asking each resource; to ask needs no permission.

    Args:
        grants: those of other accounts are passed over.
        platform: asks.
        stores: a bucket by its name.
    """
    found = []
    for grant in grants:
        if grant.account is not Account.OPERATOR:
            continue
        try:
            if grant.resource.kind is Kind.BUCKET:
                granted = ask_permissions(stores(grant.resource.name), grant.permissions)
            else:
                granted = platform.test_permissions(grant.resource, grant.permissions)
        except EngineError as error:
            found.append(Holding(grant, unknown=grant.permissions, note=str(error)))
            continue
        missing = tuple(permission for permission in grant.permissions if permission not in granted)
        if missing and grant.condition:
            # The project is asked, and the condition is about machines: a "no" here proves nothing.
            found.append(Holding(grant, unknown=missing, note=f"held under a condition or not at all: {grant.condition.title}"))
        else:
            found.append(Holding(grant, lacking=missing))
    return found


def check_worker(profile: Profile, grants: Iterable[Grant], platform: Platform, stores: Callable[[str], Store]) -> list[Holding]:
    """What the worker's account has, by reading policies as far as we may: nobody can ask for another.

    What it inherits from a folder or the organisation, or has as a member of a group, is not seen.
    """
    reader = _PolicyReader(f"serviceAccount:{worker_email(profile)}", platform, stores)
    project = project_resource(profile)
    return [reader.judge(grant, project) for grant in grants if grant.account is Account.WORKER]


class _PolicyReader:
    """Reads each policy and role once."""

    def __init__(self, member: str, platform: Platform, stores: Callable[[str], Store]) -> None:
        self._member, self._platform, self._stores = member, platform, stores
        self._policies: dict[Resource, tuple[Binding, ...] | EngineError] = {}

    def judge(self, grant: Grant, project: Resource) -> Holding:
        granted: set[str] = set()
        perhaps: set[str] = set()
        notes: list[str] = []
        extra: set[str] = set()
        for resource in dict.fromkeys((grant.resource, project)):
            policy = self._policy(resource)
            if isinstance(policy, EngineError):
                notes.append(f"the policy of {resource} cannot be read: {policy}")
                perhaps |= set(grant.permissions)
                continue
            for binding in policy:
                self._weigh(binding, granted, perhaps, notes)
                if self._member in binding.members and resource.kind in (Kind.PROJECT, Kind.BUCKET):
                    extra |= self._beyond(grant, binding.role)
        missing = tuple(permission for permission in grant.permissions if permission not in granted)
        lacking = tuple(permission for permission in missing if permission not in perhaps)
        unknown = tuple(permission for permission in missing if permission in perhaps)
        if extra:
            notes.append(f"it has more than it needs: {', '.join(sorted(extra))}")
        return Holding(grant, lacking, unknown, "; ".join(dict.fromkeys(notes)) if missing or extra else "")

    def _policy(self, resource: Resource) -> tuple[Binding, ...] | EngineError:
        if resource not in self._policies:
            try:
                if resource.kind is Kind.BUCKET:
                    self._policies[resource] = tuple(map(read_binding, read_policy(self._stores(resource.name))))
                else:
                    self._policies[resource] = self._platform.policy(resource)
            except EngineError as error:
                self._policies[resource] = error
        return self._policies[resource]

    def _weigh(self, binding: Binding, granted: set[str], perhaps: set[str], notes: list[str]) -> None:
        """Add what a binding gives to what is certain, or to what may be."""
        certain = bool(binding.members & (EVERYBODY | {self._member})) and not binding.conditional
        groups = sorted(member for member in binding.members if member.startswith(("group:", "domain:", "principalSet:")))
        if not certain and not groups and self._member not in binding.members:
            return
        try:
            permissions = self._platform.role_permissions(binding.role)
        except EngineError as error:
            notes.append(f"what {binding.role} holds cannot be read: {error}")
            return
        if certain:
            granted |= permissions
        else:
            perhaps |= permissions
            notes.append(f"{binding.role} is held under a condition" if not groups else f"perhaps by {', '.join(groups)}")

    def _beyond(self, grant: Grant, role: str) -> frozenset[str]:
        """What a role gives the worker that it must not have: to delete from the lake."""
        if grant.role != "roles/storage.objectCreator":
            return frozenset()
        try:
            return self._platform.role_permissions(role) & {"storage.objects.delete"}
        except EngineError:
            return frozenset()


def plan_setup(profile: Profile, operator: str) -> Setup:
    """The commands that grant all of it. Nothing is run.

    Args:
        profile: whose project, buckets, image, account and secret.
        operator: who operates, as IAM says it: `user:alice@example.com`, `group:data@example.com`.

    Raises:
        UsageError: if `operator` is nothing of the kind.
        ConfigurationError: as for `grants_of`.
    """
    kind, _, name = operator.partition(":")
    if kind not in ("user", "group", "serviceAccount", "principal", "principalSet") or not name or any(map(str.isspace, operator)):
        raise UsageError(f"{operator!r} is no member of a policy", hint="write user:alice@example.com or group:data@example.com")
    project, email = profile.project, worker_email(profile)
    grants = grants_of(profile)
    steps = [Step("the APIs that a launch needs", ("gcloud", "services", "enable", *services_of(profile), f"--project={project}"))]
    local_part, _, domain = email.partition("@")
    if domain == f"{project}.iam.gserviceaccount.com":
        create = ("gcloud", "iam", "service-accounts", "create", local_part, f"--project={project}", "--display-name=Tickdeck worker")
        steps.append(Step("the account that VMs run as", create))
    steps += [
        _custom_role(project, OPERATOR_ROLE, "Tickdeck operator", operator_permissions(profile)),
        _custom_role(project, REMOVER_ROLE, "Tickdeck remover", REMOVER_PERMISSIONS),
    ]
    members = {Account.WORKER: f"serviceAccount:{email}", Account.OPERATOR: operator}
    steps += [Step(f"{grant.account}: {grant.why}", bind_line(grant, project, members[grant.account])) for grant in grants]
    left_out = []
    if parse_image(profile.image) is None:
        left_out.append("image: the profile names none in Artifact Registry, so nobody is granted its repository")
    if not profile.tardis_secret:
        left_out.append("tardis_secret: the profile names none, so nobody is granted the source's key")
    return Setup(grants, tuple(steps), tuple(left_out))


def bind_line(grant: Grant, project: str, member: str) -> tuple[str, ...]:
    """The argument list that makes one binding."""
    resource = grant.resource
    targets: dict[Kind, Sequence[str]] = {
        Kind.PROJECT: ("projects", "add-iam-policy-binding", resource.name),
        Kind.BUCKET: ("storage", "buckets", "add-iam-policy-binding", f"gs://{resource.name}"),
        Kind.SECRET: ("secrets", "add-iam-policy-binding", resource.name, f"--project={resource.project}"),
        Kind.REPOSITORY: (
            *("artifacts", "repositories", "add-iam-policy-binding", resource.name),
            *(f"--location={resource.location}", f"--project={resource.project}"),
        ),
        Kind.ACCOUNT: ("iam", "service-accounts", "add-iam-policy-binding", resource.name, f"--project={resource.project}"),
    }
    role = grant.role if grant.role.startswith("roles/") else f"projects/{project}/roles/{grant.role}"
    condition: tuple[str, ...] = ()
    if grant.condition:
        condition = (f"--condition=expression={grant.condition.expression},title={grant.condition.title}",)
    elif resource.kind is Kind.PROJECT:
        # Without this gcloud asks, once the policy has any condition.
        condition = ("--condition=None",)
    return ("gcloud", *targets[resource.kind], f"--member={member}", f"--role={role}", *condition)


def _custom_role(project: str, role: str, title: str, permissions: Sequence[str]) -> Step:
    arguments = (f"--project={project}", f"--title={title}", "--stage=GA", f"--permissions={','.join(permissions)}")
    return Step(f"the custom role {role}", ("gcloud", "iam", "roles", "create", role, *arguments))
