"""What accounts need, who has it, and the lines that grant it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.errors import ConfigurationError, UsageError
from engine.store import Store
from provision.local.platform.roles import KNOWN_PERMISSIONS, ROLES
from provision.permissions import (
    OPERATOR_ROLE,
    REMOVER_ROLE,
    Account,
    Grant,
    Holding,
    State,
    check_operator,
    check_worker,
    grants_of,
    plan_setup,
    services_of,
)
from provision.platform import Kind
from provision.profile import Endpoints, Profile
from tests.local_servers import LocalServer
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import gcp_profile
from tests.provision.platform_projects import ProjectOnServer, make_project

SECRET = "projects/vault/secrets/tardis-key/versions/3"
ALICE = "user:alice@example.com"


def full_profile(**changes: object) -> Profile:
    """A profile of the real cloud that names everything, the secret in another project."""
    return gcp_profile(**{"tardis_secret": SECRET, "data_bucket": "lake", **changes})


@pytest.fixture
def project(platform_server: LocalServer, storage_server: LocalServer, wired: Wired) -> Iterator[ProjectOnServer]:
    """A project on the platform server, its buckets on the storage server."""
    endpoints = Endpoints(platform=platform_server.url, storage=storage_server.url)
    yield make_project(platform_server, data_bucket=wired.data.bucket, endpoints=endpoints)
    for server in (platform_server, storage_server):
        server.disarm()


def stores_of(wired: Wired) -> Callable[[str], Store]:
    def find(bucket: str) -> Store:
        return wired.data if bucket == wired.data.bucket else wired.state

    return find


def operator_holdings(project: ProjectOnServer, wired: Wired) -> list[Holding]:
    return check_operator(grants_of(project.profile), project.platform, stores_of(wired))


def worker_holdings(project: ProjectOnServer, wired: Wired) -> dict[tuple[Kind, str], Holding]:
    found = check_worker(project.profile, grants_of(project.profile), project.platform, stores_of(wired))
    return {(holding.grant.resource.kind, holding.grant.role): holding for holding in found}


# As data


def test_every_permission_exists_and_is_in_the_role_that_is_granted_for_it() -> None:
    """The server's lists are written down apart from ours."""
    for grant in grants_of(full_profile()):
        assert set(grant.permissions) <= KNOWN_PERMISSIONS, grant
        if grant.role.startswith("roles/"):
            assert set(grant.permissions) <= ROLES[grant.role], grant


def test_a_worker_can_neither_delete_from_the_lake_nor_touch_machines_nor_reach_another_secret() -> None:
    grants = [grant for grant in grants_of(full_profile()) if grant.account is Account.WORKER]
    everything = {
        (grant.resource.kind, grant.resource.name): set().union(*(ROLES[g.role] for g in grants if g.resource == grant.resource))
        for grant in grants
    }
    assert everything[Kind.BUCKET, "lake"] == {"storage.objects.create", "storage.objects.get", "storage.objects.list"}
    assert not [permission for held in everything.values() for permission in held if permission.startswith(("compute.", "iam."))]
    on_project = [grant.role for grant in grants if grant.resource.kind is Kind.PROJECT]
    assert on_project == ["roles/logging.logWriter"], "all else on the one resource it is for"


def test_nobody_gets_a_basic_role_and_the_operator_acts_as_the_worker_only() -> None:
    grants = grants_of(full_profile())
    assert not {grant.role for grant in grants} & {"roles/owner", "roles/editor", "roles/viewer", "roles/storage.admin"}
    acting = [grant for grant in grants if "iam.serviceAccounts.actAs" in grant.permissions]
    assert [(grant.resource.kind, grant.resource.name) for grant in acting] == [(Kind.ACCOUNT, full_profile().worker_service_account)]


def test_deleting_is_granted_under_a_condition_on_names_and_nothing_else_is() -> None:
    conditional = [grant for grant in grants_of(full_profile()) if grant.condition]
    (grant,) = conditional
    assert set(grant.permissions) == {"compute.instances.delete", "compute.disks.delete"}
    assert grant.condition is not None
    assert grant.condition.expression.count('startsWith("market-data-")') == 2
    others = {permission for grant in grants_of(full_profile()) if not grant.condition for permission in grant.permissions}
    assert not {"compute.instances.delete", "compute.disks.delete"} & others


def test_only_what_the_profile_uses_is_granted_and_enabled() -> None:
    bare = gcp_profile(image="")
    assert {grant.resource.kind for grant in grants_of(bare)} == {Kind.BUCKET, Kind.PROJECT, Kind.ACCOUNT}
    assert "secretmanager.googleapis.com" not in services_of(bare)
    assert {"secretmanager.googleapis.com", "artifactregistry.googleapis.com"} <= set(services_of(full_profile()))


def test_an_image_of_the_projects_own_needs_permissions_that_one_of_googles_does_not() -> None:
    own = gcp_profile(boot_image="projects/market-data-prod/global/images/family/hardened")

    def images(profile: Profile) -> set[str]:
        return {name for grant in grants_of(profile) for name in grant.permissions if name.startswith("compute.images.")}

    assert images(gcp_profile()) == set()
    assert images(own) == {"compute.images.get", "compute.images.getFromFamily", "compute.images.useReadOnly"} <= KNOWN_PERMISSIONS


@pytest.mark.parametrize("changes", [{"worker_service_account": "worker"}, {"tardis_secret": "key"}])
def test_a_profile_that_names_what_cannot_be_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        grants_of(full_profile(**changes))


# The lines


def test_each_grant_has_its_line_on_its_own_resource() -> None:
    profile = full_profile()
    setup = plan_setup(profile, ALICE)
    worker = f"serviceAccount:{profile.worker_service_account}"
    lines = [step.argv for step in setup.steps]
    assert (
        "gcloud",
        "storage",
        "buckets",
        "add-iam-policy-binding",
        "gs://lake",
        f"--member={worker}",
        "--role=roles/storage.objectCreator",
    ) in lines
    secret = ("gcloud", "secrets", "add-iam-policy-binding", "tardis-key", "--project=vault", f"--member={worker}")
    assert (*secret, "--role=roles/secretmanager.secretAccessor") in lines
    registry = ("gcloud", "artifacts", "repositories", "add-iam-policy-binding", "tickdeck", "--location=asia-northeast1")
    assert (*registry, "--project=market-data-prod", f"--member={worker}", "--role=roles/artifactregistry.reader") in lines
    bound = [line for line in lines if "add-iam-policy-binding" in line]
    assert len(bound) == len(setup.grants)
    for line in bound:
        if line[1] == "projects":
            assert line[-1].startswith("--condition="), "gcloud asks for one where a policy has any"


def test_custom_roles_are_made_before_they_are_bound_and_hold_what_is_needed() -> None:
    lines = [step.argv for step in plan_setup(full_profile(), ALICE).steps]
    for role in (OPERATOR_ROLE, REMOVER_ROLE):
        made = next(i for i, line in enumerate(lines) if line[1:5] == ("iam", "roles", "create", role))
        bound = next(i for i, line in enumerate(lines) if f"--role=projects/market-data-prod/roles/{role}" in line)
        assert made < bound
        held = lines[made][-1].removeprefix("--permissions=").split(",")
        needed = next(grant for grant in grants_of(full_profile()) if grant.role == role)
        assert tuple(held) == needed.permissions


def test_lines_survive_a_shell_as_they_are() -> None:
    for step in plan_setup(full_profile(), ALICE).steps:
        assert tuple(shlex.split(shlex.join(step.argv))) == step.argv
        assert re.fullmatch(r"[\w.,:;'@/ -]+", step.why)


def test_an_account_of_another_project_is_not_made() -> None:
    lines = [step.argv for step in plan_setup(full_profile(worker_service_account="w@other.iam.gserviceaccount.com"), ALICE).steps]
    assert not [line for line in lines if line[1:4] == ("iam", "service-accounts", "create")]
    made = [
        line for line in (step.argv for step in plan_setup(full_profile(), ALICE).steps) if "service-accounts" in line and "create" in line
    ]
    assert [line[4] for line in made] == ["worker"]


def test_what_the_profile_does_not_say_is_named() -> None:
    assert [line.partition(":")[0] for line in plan_setup(gcp_profile(image=""), ALICE).left_out] == ["image", "tardis_secret"]
    assert plan_setup(full_profile(), ALICE).left_out == ()


@pytest.mark.parametrize("member", ["", "alice@example.com", "user:", "user:a b", "everybody:x"])
def test_an_operator_who_is_no_member_is_refused(member: str) -> None:
    with pytest.raises(UsageError, match="no member"):
        plan_setup(full_profile(), member)


# Who has it


def test_an_operator_who_has_all_of_it_lacks_nothing(project: ProjectOnServer, wired: Wired) -> None:
    assert {holding.state for holding in operator_holdings(project, wired)} == {State.HELD}


@pytest.mark.parametrize(
    ("permission", "kind"),
    [
        ("compute.instances.create", Kind.PROJECT),
        ("iam.serviceAccounts.actAs", Kind.ACCOUNT),
        ("secretmanager.versions.get", Kind.SECRET),
        ("artifactregistry.dockerimages.get", Kind.REPOSITORY),
    ],
)
def test_what_an_operator_lacks_is_named_on_its_resource(project: ProjectOnServer, wired: Wired, permission: str, kind: Kind) -> None:
    project.arm(fault="deny_permission", permission=permission)
    lacking = [(holding.grant.resource.kind, holding.lacking) for holding in operator_holdings(project, wired) if holding.lacking]
    assert lacking == [(kind, (permission,))]


def test_what_an_operator_lacks_in_a_bucket_is_named(project: ProjectOnServer, wired: Wired, storage_server: LocalServer) -> None:
    fault = {"fault": "deny_permission", "permission": "storage.objects.create", "match": wired.state.bucket}
    storage_server.post("/_tickdeck/faults", fault)
    lacking = [(holding.grant.resource.name, holding.lacking) for holding in operator_holdings(project, wired) if holding.lacking]
    assert lacking == [(wired.state.bucket, ("storage.objects.create",))]


def test_a_no_about_deleting_proves_nothing_because_it_is_granted_by_name(project: ProjectOnServer, wired: Wired) -> None:
    project.arm(fault="deny_permission", permission="compute.instances.delete")
    found = {holding.grant.role: holding for holding in operator_holdings(project, wired)}
    assert (found[REMOVER_ROLE].state, found[REMOVER_ROLE].unknown) == (State.UNKNOWN, ("compute.instances.delete",))
    assert "condition" in found[REMOVER_ROLE].note


def test_a_resource_that_cannot_be_asked_is_not_known_and_the_others_are(project: ProjectOnServer, wired: Wired) -> None:
    project.arm(fault="missing_api", service="secretmanager.googleapis.com")
    states = {holding.grant.resource.kind: holding.state for holding in operator_holdings(project, wired)}
    assert (states.pop(Kind.SECRET), set(states.values())) == (State.UNKNOWN, {State.HELD})


def test_a_worker_that_was_set_up_lacks_nothing(project: ProjectOnServer, wired: Wired) -> None:
    assert {holding.state for holding in worker_holdings(project, wired).values()} == {State.HELD}


def test_a_worker_lacks_what_no_policy_gives_it(project: ProjectOnServer, wired: Wired) -> None:
    project.set_policy(f"projects/{project.profile.project}/secrets/tardis-key")
    holding = worker_holdings(project, wired)[Kind.SECRET, "roles/secretmanager.secretAccessor"]
    assert holding.lacking == ("secretmanager.versions.access",)


def test_a_role_on_the_project_counts_for_what_is_in_it(project: ProjectOnServer, wired: Wired) -> None:
    name = project.profile.project
    project.set_policy(f"projects/{name}/secrets/tardis-key")
    project.set_policy(f"projects/{name}", {"role": "roles/owner", "members": [project.member]})
    found = worker_holdings(project, wired)
    assert found[Kind.SECRET, "roles/secretmanager.secretAccessor"].state is State.HELD
    lake = found[Kind.BUCKET, "roles/storage.objectCreator"]
    assert "more than it needs: storage.objects.delete" in lake.note


@pytest.mark.parametrize(
    ("binding", "note"),
    [
        ({"role": "roles/secretmanager.secretAccessor", "members": ["group:data@example.com"]}, "perhaps by group:data@example.com"),
        (
            {
                "role": "roles/secretmanager.secretAccessor",
                "members": ["WORKER"],
                "condition": {"title": "office hours", "expression": "x"},
            },
            "under a condition",
        ),
    ],
)
def test_what_a_group_or_a_condition_may_give_is_not_known(
    project: ProjectOnServer, wired: Wired, binding: dict[str, Any], note: str
) -> None:
    members = [project.member if member == "WORKER" else member for member in binding["members"]]
    project.set_policy(f"projects/{project.profile.project}/secrets/tardis-key", {**binding, "members": members})
    holding = worker_holdings(project, wired)[Kind.SECRET, "roles/secretmanager.secretAccessor"]
    assert (holding.state, holding.lacking) == (State.UNKNOWN, ())
    assert note in holding.note


def test_a_policy_that_may_not_be_read_leaves_it_unknown(project: ProjectOnServer, wired: Wired) -> None:
    project.arm(fault="deny_permission", permission="secretmanager.secrets.getIamPolicy")
    holding = worker_holdings(project, wired)[Kind.SECRET, "roles/secretmanager.secretAccessor"]
    assert (holding.state, "cannot be read" in holding.note) == (State.UNKNOWN, True)


def test_a_custom_role_is_looked_into(project: ProjectOnServer, wired: Wired) -> None:
    name = project.profile.project
    custom = {"role": f"projects/{name}/roles/keyReader", "members": [project.member]}
    project.set_policy(f"projects/{name}/secrets/tardis-key", custom)
    assert worker_holdings(project, wired)[Kind.SECRET, "roles/secretmanager.secretAccessor"].state is not State.HELD
    project.describe(roles={"keyReader": ["secretmanager.versions.access"]})
    assert worker_holdings(project, wired)[Kind.SECRET, "roles/secretmanager.secretAccessor"].state is State.HELD


def test_the_worst_of_a_holding_is_its_state() -> None:
    grant: Grant = grants_of(full_profile())[0]
    assert Holding(grant).state is State.HELD
    assert Holding(grant, unknown=("a",)).state is State.UNKNOWN
    assert Holding(grant, unknown=("a",), lacking=("b",)).state is State.LACKING
