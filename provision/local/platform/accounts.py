"""Service accounts: whether one is there, and who may act as it."""

from __future__ import annotations

from aiohttp import web

from provision.local.platform.errors import not_found
from provision.local.platform.iam import SERVICE, add_policy_routes
from provision.local.platform.incidents import MISSING_ACCOUNT
from provision.local.platform.platform import Json, Platform


def add_routes(app: web.Application, platform: Platform) -> None:
    """serviceAccounts.get, and the policy of an account."""

    def is_disabled(request: web.Request) -> bool:
        project, email = platform.project(request), request.match_info["account"]
        disabled = project.service_accounts.get(email)
        if disabled is None or platform.incidents.is_missing(MISSING_ACCOUNT, request.method, request.path):
            raise not_found(f"Unknown service account: {email}")
        return disabled

    async def get_account(request: web.Request) -> Json:
        project, email = platform.project(request), request.match_info["account"]
        name = f"projects/{project.name}/serviceAccounts/{email}"
        platform.require("iam.serviceAccounts.get", request, f"{SERVICE}/{name}")
        disabled = is_disabled(request)
        answer: Json = {"name": name, "projectId": project.name, "email": email, "oauth2ClientId": project.number}
        return {**answer, "disabled": True} if disabled else answer

    path = "/v1/projects/{project}/serviceAccounts/{account}"
    platform.serve(app, SERVICE, "GET", "/v1/projects/{project}/serviceAccounts/{account:[^/:]+}", get_account)
    add_policy_routes(app, platform, SERVICE, path, "POST", is_disabled)
