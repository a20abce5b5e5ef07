"""Service Usage: which APIs a project has enabled."""

from __future__ import annotations

from aiohttp import web

from provision.local.platform.errors import invalid
from provision.local.platform.platform import Json, Platform

SERVICE = "serviceusage.googleapis.com"

BATCH = 30
"""The service answers for so many names at a time."""


def add_routes(app: web.Application, platform: Platform) -> None:
    """services.batchGet."""

    async def batch_get(request: web.Request) -> Json:
        project = platform.project(request)
        parent = f"projects/{project.name}"
        platform.require("serviceusage.services.get", request, f"{SERVICE}/{parent}")
        names = request.query.getall("names", [])
        if not names or len(names) > BATCH:
            raise invalid(f"names: 1 to {BATCH} names are required, not {len(names)}.")
        answers = []
        for name in names:
            service = name.removeprefix(f"{parent}/services/")
            if service == name or "/" in service:
                raise invalid(f"Invalid service name: {name}. It must be of the parent {parent}.")
            enabled = platform.is_enabled(service, project, request)
            answers.append(
                {
                    "name": f"projects/{project.number}/services/{service}",
                    "parent": f"projects/{project.number}",
                    "config": {"name": service},
                    "state": "ENABLED" if enabled else "DISABLED",
                }
            )
        return {"services": answers}

    platform.serve(app, SERVICE, "GET", "/v1/projects/{project}/services:batchGet", batch_get)
