"""Resource Manager and IAM: which permissions the caller has on a resource, its policy, and what a role holds."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from aiohttp import web

from provision.local.platform.errors import invalid, not_found
from provision.local.platform.platform import Json, Platform, read_json
from provision.local.platform.roles import KNOWN_PERMISSIONS, ROLES

SERVICE = "iam.googleapis.com"
RESOURCE_MANAGER = "cloudresourcemanager.googleapis.com"

PERMISSIONS_ASKED = 100
"""The service tests so many permissions at a time."""

_NO_ETAG = "ACAB"


def add_routes(app: web.Application, platform: Platform) -> None:
    """projects.testIamPermissions and getIamPolicy, and roles.get of predefined and of custom roles."""

    async def get_role(request: web.Request) -> Json:
        name = f"roles/{request.match_info['role']}"
        if name not in ROLES:
            raise not_found(f"The role named {name} was not found.")
        return {"name": name, "title": name, "includedPermissions": sorted(ROLES[name]), "stage": "GA"}

    async def get_custom_role(request: web.Request) -> Json:
        project, role = platform.project(request), request.match_info["role"]
        name = f"projects/{project.name}/roles/{role}"
        platform.require("iam.roles.get", request, f"{SERVICE}/{name}")
        if role not in project.roles:
            raise not_found(f"The role named {name} was not found.")
        return {"name": name, "title": role, "includedPermissions": sorted(project.roles[role]), "stage": "GA"}

    platform.serve(app, SERVICE, "GET", "/v1/roles/{role}", get_role)
    platform.serve(app, SERVICE, "GET", "/v1/projects/{project}/roles/{role}", get_custom_role)
    add_policy_routes(app, platform, RESOURCE_MANAGER, "/v3/projects/{project}", "POST")


def add_policy_routes(
    app: web.Application,
    platform: Platform,
    service: str,
    path: str,
    method: str,
    look: Callable[[web.Request], object] = lambda _request: None,
) -> None:
    """`:testIamPermissions` (always POST) and `:getIamPolicy` of a kind of resource.

    Args:
        app: where to.
        platform: the server's state.
        service: the API that they belong to.
        path: of the resource, with its placeholders.
        method: by which this API reads policies.
        look: raises if the resource is not there.
    """

    async def test_permissions(request: web.Request) -> Json:
        look(request)
        asked = (await read_json(request)).get("permissions")
        if not isinstance(asked, list) or not asked or len(asked) > PERMISSIONS_ASKED:
            raise invalid(f"permissions: 1 to {PERMISSIONS_ASKED} are required.")
        for permission in asked:
            if permission not in KNOWN_PERMISSIONS:
                raise invalid(f"Permission {permission} is not valid for this resource.")
        granted = [permission for permission in asked if not platform.incidents.denies(permission, request.method, request.path)]
        # An empty list is left out, as by the real service.
        return {"permissions": granted} if granted else {}

    async def get_policy(request: web.Request) -> Json:
        look(request)
        resource = _resource_of(request)
        platform.require(_policy_permission(resource), request, f"{service}/{resource}")
        bindings = platform.project(request).policies.get(resource, ())
        policy: Json = {"version": 3 if any(binding.condition for binding in bindings) else 1, "etag": _NO_ETAG}
        return {**policy, "bindings": msgspec.to_builtins(bindings)} if bindings else policy

    platform.serve(app, service, "POST", path + ":testIamPermissions", test_permissions)
    platform.serve(app, service, method, path + ":getIamPolicy", get_policy)


def _resource_of(request: web.Request) -> str:
    return request.path.split("/", 2)[2].rpartition(":")[0]


_POLICY_PERMISSIONS = {
    "secrets": "secretmanager.secrets.getIamPolicy",
    "serviceAccounts": "iam.serviceAccounts.getIamPolicy",
    "repositories": "artifactregistry.repositories.getIamPolicy",
    "projects": "resourcemanager.projects.getIamPolicy",
}


def _policy_permission(resource: str) -> str:
    return _POLICY_PERMISSIONS[resource.split("/")[-2]]
