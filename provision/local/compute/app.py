"""The application: every route of the server, what answers for the routes it does not have, and its start and end."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from provision.local.compute.bulk import BulkRoutes
from provision.local.compute.cloud import Clock, Cloud, utc_now
from provision.local.compute.control import ControlRoutes
from provision.local.compute.errors import ComputeError, not_implemented
from provision.local.compute.holdings import AddressRoutes, DiskRoutes
from provision.local.compute.instances import InstanceRoutes
from provision.local.compute.places import PlaceRoutes
from provision.local.compute.receipts import OperationRoutes
from provision.local.compute.settings import ComputeSettings
from provision.local.faults import add_fault_routes

API = "/compute/v1"
BASE = f"{API}/projects/{{project}}"
CLIENT_MAX_SIZE = 8 * 1024 * 1024
"""Bytes of a request: 256 KB of metadata and 5,000 names fit."""


def create_app(settings: ComputeSettings, clock: Clock = utc_now) -> web.Application:
    """The Compute server as an aiohttp application.

    VMs of an earlier server with the same root are adopted when the application starts, and all VMs end when it ends.

    Args:
        clock: UTC-aware now; run limits and slow boots go by it.
    """
    cloud = Cloud(settings, clock)
    app = web.Application(middlewares=[_answer_for(cloud)], client_max_size=CLIENT_MAX_SIZE)
    BulkRoutes(cloud).add_to(app, BASE)
    InstanceRoutes(cloud).add_to(app, BASE)
    PlaceRoutes(cloud).add_to(app, BASE)
    DiskRoutes(cloud).add_to(app, BASE)
    AddressRoutes(cloud).add_to(app, BASE)
    OperationRoutes(cloud).add_to(app, BASE)
    ControlRoutes(cloud).add_to(app)
    add_fault_routes(app, cloud.incidents)

    async def run(_app: web.Application) -> AsyncIterator[None]:
        await cloud.hypervisor.start()
        yield
        await cloud.hypervisor.close()
        cloud.ledger.close()

    app.cleanup_ctx.append(run)
    return app


def _answer_for(cloud: Cloud) -> Middleware:
    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what a fault switch says, turn errors into Google's JSON, and name the routes that are missing."""
        try:
            if request.path.startswith(API):
                refusal = cloud.incidents.refusal(request.method, request.path)
                if refusal is not None:
                    raise refusal
            return await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            error = not_implemented(f"{request.method} {request.path}")
        except ComputeError as refused:
            error = refused
        return web.json_response(error.reply(), status=error.status)

    return answer
