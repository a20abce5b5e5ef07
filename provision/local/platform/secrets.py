"""Secret Manager: which versions of a secret there are and who may read them. Never a value: there is none here."""

from __future__ import annotations

from aiohttp import web

from provision.local.platform.errors import not_found
from provision.local.platform.iam import add_policy_routes
from provision.local.platform.incidents import MISSING_SECRET
from provision.local.platform.platform import Json, Platform

SERVICE = "secretmanager.googleapis.com"


def add_routes(app: web.Application, platform: Platform) -> None:
    """versions.get, and the policy of a secret."""

    def versions_of(request: web.Request) -> dict[str, str]:
        project, secret = platform.project(request), request.match_info["secret"]
        versions = project.secrets.get(secret)
        if versions is None or platform.incidents.is_missing(MISSING_SECRET, request.method, request.path):
            raise not_found(f"Secret [projects/{project.number}/secrets/{secret}] not found.")
        return versions

    async def get_version(request: web.Request) -> Json:
        project, secret, asked = platform.project(request), request.match_info["secret"], request.match_info["version"]
        platform.require("secretmanager.versions.get", request, f"{SERVICE}/projects/{project.name}/secrets/{secret}/versions/{asked}")
        versions = versions_of(request)
        version = max(versions, key=int) if asked == "latest" and versions else asked
        name = f"projects/{project.number}/secrets/{secret}/versions/{version}"
        if version not in versions:
            raise not_found(f"Secret Version [{name}] not found.")
        return {"name": name, "state": versions[version], "replicationStatus": {"automatic": {}}}

    path = "/v1/projects/{project}/secrets/{secret}"
    platform.serve(app, SERVICE, "GET", path + "/versions/{version:[^/:]+}", get_version)
    add_policy_routes(app, platform, SERVICE, path, "GET", versions_of)
