"""Artifact Registry: which Docker images a repository holds, and who may read it."""

from __future__ import annotations

from aiohttp import web

from provision.local.platform.errors import not_found
from provision.local.platform.iam import add_policy_routes
from provision.local.platform.incidents import MISSING_IMAGE
from provision.local.platform.platform import Json, Platform

SERVICE = "artifactregistry.googleapis.com"


def add_routes(app: web.Application, platform: Platform) -> None:
    """dockerImages.get, and the policy of a repository."""

    def images_of(request: web.Request) -> tuple[str, ...]:
        place = f"{request.match_info['location']}/{request.match_info['repository']}"
        images = platform.project(request).images.get(place)
        if images is None:
            raise not_found("Requested entity was not found.")
        return images

    async def get_image(request: web.Request) -> Json:
        project, image = platform.project(request), request.match_info["image"]
        location, repository = request.match_info["location"], request.match_info["repository"]
        parent = f"projects/{project.name}/locations/{location}/repositories/{repository}"
        platform.require("artifactregistry.dockerimages.get", request, f"{SERVICE}/{parent}")
        missing = platform.incidents.is_missing(MISSING_IMAGE, request.method, request.path)
        if missing or image not in images_of(request):
            raise not_found("Requested entity was not found.")
        uri = f"{location}-docker.pkg.dev/{project.name}/{repository}/{image}"
        return {"name": f"{parent}/dockerImages/{image}", "uri": uri, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}

    path = "/v1/projects/{project}/locations/{location}/repositories/{repository}"
    platform.serve(app, SERVICE, "GET", path + "/dockerImages/{image}", get_image)
    add_policy_routes(app, platform, SERVICE, path, "GET", images_of)
