"""What the routes of the platform server share: the world, the fault switches, and the rule that an API has to be enabled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from provision.local.platform.errors import invalid, permission_denied, service_disabled
from provision.local.platform.incidents import Incidents
from provision.local.platform.world import Project, World

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[Json]]


class Platform:
    """One server's state."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.world = World(root)
        self.incidents = Incidents()

    def project(self, request: web.Request) -> Project:
        """The project that the request's path names."""
        return self.world.project(request.match_info["project"])

    def is_enabled(self, service: str, project: Project, request: web.Request) -> bool:
        """Whether the project has enabled an API, as this request sees it."""
        return service in project.services and not self.incidents.has_disabled(service, request.method, request.path)

    def require(self, permission: str, request: web.Request, resource: str) -> None:
        """Refuse a caller who lacks a permission.

        Raises:
            PlatformError: 403.
        """
        if self.incidents.denies(permission, request.method, request.path):
            raise permission_denied(permission, resource)

    def serve(self, app: web.Application, service: str, method: str, path: str, handler: Handler) -> None:
        """Add a route of an API. It answers only in projects that have enabled that API.

        Args:
            app: where to.
            service: the API's name, e.g. `iam.googleapis.com`.
            method: GET, POST, ...
            path: with `{project}` in it, if the method belongs to a project.
            handler: gives the JSON of the answer, or raises `PlatformError`.
        """

        async def answer(request: web.Request) -> web.Response:
            if "project" in request.match_info:
                project = self.project(request)
                if not self.is_enabled(service, project, request):
                    raise service_disabled(service, project.name)
            return web.json_response(await handler(request))

        app.router.add_route(method, path, answer)


async def read_json(request: web.Request) -> Json:
    """The body of a request.

    Raises:
        PlatformError: 400, if it is no JSON object.
    """
    try:
        body = msgspec.json.decode(await request.read() or b"{}")
    except msgspec.DecodeError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from None
    if not isinstance(body, dict):
        raise invalid("Invalid JSON payload received. An object is required.")
    return body
