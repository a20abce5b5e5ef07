"""The application: every route of the server, what answers for the routes it does not have, and the record of what was asked."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from engine.documents import json_decoder
from provision.local.faults import add_fault_routes
from provision.local.platform import accounts, builds, iam, packages, registry, secrets, services
from provision.local.platform.errors import PlatformError, not_implemented
from provision.local.platform.platform import Platform
from provision.local.platform.world import WORLD_PATH
from provision.local.serving import add_health

REQUESTS_PATH = "/_tickdeck/requests"
"""GET answers the last `KEPT_REQUESTS` requests, oldest first: method, path, query and JSON body of each."""

KEPT_REQUESTS = 1000

_OURS = "/_tickdeck/"


def create_app(root: Path, *, nonce: str) -> web.Application:
    """The platform server as an application. Its state is in `root`."""
    platform = Platform(root)
    asked: deque[dict[str, Any]] = deque(maxlen=KEPT_REQUESTS)
    app = web.Application(middlewares=[_answer_for(platform, asked)])
    add_health(app, service="platform", nonce=nonce)
    add_fault_routes(app, platform.incidents)
    _add_control_routes(app, platform, asked)
    for module in (iam, services, accounts, secrets, registry):
        module.add_routes(app, platform)
    shelves = packages.Shelves(platform)
    packages.add_routes(app, platform, shelves)
    builds.add_routes(app, platform, shelves)
    return app


def _answer_for(platform: Platform, asked: deque[dict[str, Any]]) -> Middleware:
    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Write the request down, refuse what a fault switch says, turn errors into Google's JSON, name the routes that are missing."""
        try:
            if not request.path.startswith(_OURS):
                asked.append(await _as_asked(request))
                refusal = platform.incidents.refusal(request.method, request.path)
                if refusal is not None:
                    raise refusal
            return await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            error = not_implemented(f"{request.method} {request.path}")
        except PlatformError as refused:
            error = refused
        return web.json_response(error.to_json(), status=error.status)

    return answer


async def _as_asked(request: web.Request) -> dict[str, Any]:
    body = (await request.read()).decode("utf-8", "replace")
    try:
        document: Any = msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        document = body
    return {"method": request.method, "path": request.path, "query": [list(pair) for pair in request.query.items()], "body": document}


def _add_control_routes(app: web.Application, platform: Platform, asked: deque[dict[str, Any]]) -> None:
    async def show_requests(_request: web.Request) -> web.Response:
        return web.json_response({"requests": list(asked)})

    async def show_project(request: web.Request) -> web.Response:
        return web.json_response(msgspec.to_builtins(platform.project(request)))

    async def describe_project(request: web.Request) -> web.Response:
        try:
            project = platform.world.describe(request.match_info["project"], json_decoder(dict[str, Any]).decode(await request.read()))
        except msgspec.MsgspecError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(msgspec.to_builtins(project))

    app.router.add_get(REQUESTS_PATH, show_requests)
    app.router.add_get(WORLD_PATH, show_project)
    app.router.add_put(WORLD_PATH, describe_project)
