"""Artifact Registry: what is in a repository, with tags, sizes and times; and deleting it.

Which images there are is the project's own description (`world`); what is known of each is kept here, in a file beside it.
"""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
from aiohttp import web

from engine.documents import convert, json_decoder
from provision.local.platform.errors import PlatformError, invalid, not_found
from provision.local.platform.platform import Json, Platform, read_json

SERVICE = "artifactregistry.googleapis.com"

IMAGES_PATH = "/_tickdeck/projects/{project}/images"
"""PUT {"LOCATION/REPOSITORY": {"IMAGE@DIGEST": {"tags": [...], "bytes": N, "uploaded": TIME}}} puts images there."""

MAX_PAGE = 1000
_LONG_AGO = "2024-01-01T00:00:00.000000Z"


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one image."""

    tags: tuple[str, ...] = ()
    bytes: int = 100_000_000
    uploaded: str = _LONG_AGO
    """RFC 3339."""


Images = dict[str, dict[str, Details]]
"""`LOCATION/REPOSITORY` -> `IMAGE@DIGEST` -> details."""


class Shelves:
    """The details of all images of one server."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._root = platform.root / "images"
        self._root.mkdir(parents=True, exist_ok=True)

    def read(self, project: str) -> Images:
        """All images of a project; of those that were only described, little is known."""
        path = self._root / f"{project}.json"
        known = json_decoder(Images).decode(path.read_bytes()) if path.exists() else {}
        named = self._platform.world.project(project).images
        return {place: {image: known.get(place, {}).get(image, Details()) for image in images} for place, images in named.items()}

    def push(self, project: str, place: str, image: str, details: Details) -> None:
        """Put an image there; its tags leave the images of that name that had them."""
        images = self.read(project)
        shelf = images.setdefault(place, {})
        name = image.partition("@")[0]
        for other, held in shelf.items():
            if other.partition("@")[0] == name:
                shelf[other] = msgspec.structs.replace(held, tags=tuple(tag for tag in held.tags if tag not in details.tags))
        shelf[image] = details
        self._write(project, images)

    def remove(self, project: str, place: str, image: str) -> None:
        """Take an image away."""
        images = self.read(project)
        images[place].pop(image)
        self._write(project, images)

    def _write(self, project: str, images: Images) -> None:
        staged = self._root / f"{project}.new"
        staged.write_bytes(msgspec.json.encode(images))
        staged.replace(self._root / f"{project}.json")
        described = {field: value for field, value in msgspec.to_builtins(self._platform.world.project(project)).items() if field != "name"}
        described["images"] = {place: tuple(shelf) for place, shelf in images.items()}
        self._platform.world.describe(project, described)


def add_routes(app: web.Application, platform: Platform, shelves: Shelves) -> None:
    """dockerImages.list, versions.delete, operations.get, and the route that puts images there."""
    numbers = itertools.count(1)
    operations: set[str] = set()

    def place_of(request: web.Request) -> str:
        return f"{request.match_info['location']}/{request.match_info['repository']}"

    def parent_of(request: web.Request) -> str:
        return f"projects/{request.match_info['project']}/locations/{request.match_info['location']}"

    async def list_images(request: web.Request) -> Json:
        repository = f"{parent_of(request)}/repositories/{request.match_info['repository']}"
        platform.require("artifactregistry.dockerimages.list", request, f"{SERVICE}/{repository}")
        shelf = shelves.read(request.match_info["project"]).get(place_of(request))
        if shelf is None:
            raise not_found("Requested entity was not found.")
        size, start = _page(request)
        names = sorted(shelf)[start : start + size]
        host = f"{request.match_info['location']}-docker.pkg.dev/{request.match_info['project']}/{request.match_info['repository']}"
        answer: dict[str, Any] = {"dockerImages": [_resource(repository, host, name, shelf[name]) for name in names]}
        return answer | ({"nextPageToken": str(start + size)} if start + size < len(shelf) else {})

    async def delete_version(request: web.Request) -> Json:
        repository = f"{parent_of(request)}/repositories/{request.match_info['repository']}"
        platform.require("artifactregistry.versions.delete", request, f"{SERVICE}/{repository}")
        image = f"{request.match_info['package']}@{request.match_info['version']}"
        details = shelves.read(request.match_info["project"]).get(place_of(request), {}).get(image)
        if details is None:
            raise not_found("Requested entity was not found.")
        if details.tags and request.query.get("force") != "true":
            raise PlatformError(400, f"Version is tagged: {', '.join(details.tags)}. Use force to delete it with its tags.")
        shelves.remove(request.match_info["project"], place_of(request), image)
        name = f"{parent_of(request)}/operations/{next(numbers)}"
        operations.add(name)
        return {"name": name, "done": False}

    async def get_operation(request: web.Request) -> Json:
        name = f"{parent_of(request)}/operations/{request.match_info['operation']}"
        if name not in operations:
            raise not_found("Requested entity was not found.")
        return {"name": name, "done": True, "response": {"@type": "type.googleapis.com/google.protobuf.Empty"}}

    async def put_images(request: web.Request) -> web.Response:
        try:
            images = convert(await read_json(request), Images)
        except msgspec.ValidationError as error:
            return web.json_response({"error": str(error)}, status=400)
        for place, shelf in images.items():
            for image, details in shelf.items():
                shelves.push(request.match_info["project"], place, image, details)
        return web.json_response(msgspec.to_builtins(shelves.read(request.match_info["project"])))

    location = "/v1/projects/{project}/locations/{location}"
    repository = location + "/repositories/{repository}"
    platform.serve(app, SERVICE, "GET", repository + "/dockerImages", list_images)
    platform.serve(app, SERVICE, "DELETE", repository + "/packages/{package}/versions/{version}", delete_version)
    platform.serve(app, SERVICE, "GET", location + "/operations/{operation}", get_operation)
    app.router.add_put(IMAGES_PATH, put_images)


def _page(request: web.Request) -> tuple[int, int]:
    size, token = request.query.get("pageSize", "0"), request.query.get("pageToken", "0")
    if not size.isdecimal() or not token.isdecimal():
        raise invalid("pageSize and pageToken: not of this listing.")
    return min(int(size) or 100, MAX_PAGE), int(token)


def _resource(repository: str, host: str, image: str, details: Details) -> Json:
    return {
        "name": f"{repository}/dockerImages/{image}",
        "uri": f"{host}/{image}",
        "tags": list(details.tags),
        "imageSizeBytes": str(details.bytes),
        "uploadTime": details.uploaded,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    }
