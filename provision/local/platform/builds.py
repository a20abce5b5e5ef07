"""Cloud Build: takes a build, goes through its states, writes its log, and pushes an image into the local registry.

Nothing is compiled: the source archive is fetched from the local storage server and read through, and the image's digest is that of
the archive. A build advances by one state with every look at it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError, ClientSession, web

from engine.loopback import require_loopback
from provision.local.platform.errors import invalid, not_found
from provision.local.platform.incidents import BUILD_FAILS
from provision.local.platform.packages import Details, Shelves
from provision.local.platform.platform import Json, Platform, read_json
from provision.local.serving import LOOPBACK

SERVICE = "cloudbuild.googleapis.com"

STORAGE = "STORAGE_EMULATOR_HOST"
"""Environment variable with the local storage server where the supervisor has not started it beside this one."""

_IMAGE = re.compile(r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[^/]+)/(?P<repository>[^/]+)/(?P<name>[^:@]+):(?P<tag>[^@]+)")
_ENDED = ("SUCCESS", "FAILURE")


@dataclass
class _Build:
    """One build."""

    id: str
    parent: str
    request: dict[str, Any]
    created: str
    status: str = "QUEUED"
    detail: str = ""
    images: list[dict[str, str]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def to_json(self) -> Json:
        """As the API shows it."""
        document: Json = {
            **self.request,
            "id": self.id,
            "name": f"{self.parent}/builds/{self.id}",
            "projectId": self.parent.split("/")[1],
            "status": self.status,
            "createTime": self.created,
            "results": {"images": self.images},
        }
        return document | ({"failureInfo": {"type": "USER_BUILD_STEP", "detail": self.detail}} if self.detail else {})


def add_routes(app: web.Application, platform: Platform, shelves: Shelves) -> None:
    """builds.create and builds.get."""
    builds: dict[str, _Build] = {}

    def parent_of(request: web.Request) -> str:
        return f"projects/{request.match_info['project']}/locations/{request.match_info['location']}"

    async def create(request: web.Request) -> Json:
        parent = parent_of(request)
        platform.require("cloudbuild.builds.create", request, f"{SERVICE}/{parent}")
        body = await read_json(request)
        _check(body)
        build = _Build(str(uuid.uuid4()), parent, body, datetime.now(UTC).isoformat().replace("+00:00", "Z"))
        builds[build.id] = build
        return {"name": f"{parent}/operations/{build.id}", "metadata": {"build": build.to_json()}, "done": False}

    async def get(request: web.Request) -> Json:
        build = builds.get(request.match_info["build"])
        if build is None or build.parent != parent_of(request):
            raise not_found("Requested entity was not found.")
        platform.require("cloudbuild.builds.get", request, f"{SERVICE}/{build.parent}")
        if build.status not in _ENDED:
            fails = build.status == "WORKING" and platform.incidents.is_missing(BUILD_FAILS, request.method, request.path)
            await _advance(build, shelves, _find_storage(platform.root), fails=fails)
        return build.to_json()

    path = "/v1/projects/{project}/locations/{location}/builds"
    platform.serve(app, SERVICE, "POST", path, create)
    platform.serve(app, SERVICE, "GET", path + "/{build}", get)


def _check(body: Json) -> None:
    source = body.get("source", {}).get("storageSource", {})
    if not source.get("bucket") or not source.get("object"):
        raise invalid("source.storageSource: bucket and object are required.")
    if not body.get("steps"):
        raise invalid("steps: at least one build step is required.")
    for image in body.get("images", ()):
        if not _IMAGE.fullmatch(str(image)):
            raise invalid(f"images: {image!r} is no image of Artifact Registry with a tag.")


async def _advance(build: _Build, shelves: Shelves, storage: str, *, fails: bool) -> None:
    """One state further."""
    if build.status == "QUEUED":
        build.status = "WORKING"
        build.log += [f'starting build "{build.id}"', "FETCHSOURCE"]
        await _write_log(build, storage)
        return
    try:
        archive = await _fetch_source(build.request["source"]["storageSource"], storage)
        names = _names(archive)
    except (ClientError, tarfile.TarError, OSError, EOFError) as error:
        _fail(build, f"fetching the source: {error}")
    else:
        build.log += ["BUILD", *(f"Step: {' '.join(step.get('args', ()))}" for step in build.request["steps"])]
        if "Dockerfile" not in names:
            _fail(build, "unable to evaluate symlinks in Dockerfile path: no such file or directory")
        elif fails:
            _fail(build, 'build step 0 "gcr.io/cloud-builders/docker" failed: step exited with non-zero status: 1')
        else:
            _push(build, shelves, archive)
    await _write_log(build, storage)


def _push(build: _Build, shelves: Shelves, archive: bytes) -> None:
    digest = f"sha256:{hashlib.sha256(archive).hexdigest()}"
    for image in build.request.get("images", ()):
        found = _IMAGE.fullmatch(image)
        assert found is not None
        details = Details(tags=(found["tag"],), bytes=len(archive), uploaded=datetime.now(UTC).isoformat().replace("+00:00", "Z"))
        shelves.push(found["project"], f"{found['location']}/{found['repository']}", f"{found['name']}@{digest}", details)
        build.images.append({"name": image, "digest": digest})
        build.log += ["PUSH", f"{found['tag']}: digest: {digest}"]
    build.status = "SUCCESS"
    build.log.append("DONE")


def _fail(build: _Build, detail: str) -> None:
    build.status, build.detail = "FAILURE", detail
    build.log.append(f"ERROR: {detail}")


def _names(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        return tar.getnames()


def _find_storage(root: Path) -> str:
    """Base URL of the local storage server: the one beside this server, else that of the environment; "" if there is none."""
    ready = root.parent / "storage.ready"
    if ready.exists():
        return f"http://{LOOPBACK}:{json.loads(ready.read_text())['ports']['storage']}"
    address = os.environ.get(STORAGE, "")
    return require_loopback(address).rstrip("/") if address else ""


async def _fetch_source(source: dict[str, Any], storage: str) -> bytes:
    url = f"{storage}/storage/v1/b/{quote(source['bucket'], safe='')}/o/{quote(source['object'], safe='')}"
    query = {"alt": "media"} | ({"generation": str(source["generation"])} if source.get("generation") else {})
    async with ClientSession() as session, session.get(url, params=query) as response:
        response.raise_for_status()
        return await response.read()


async def _write_log(build: _Build, storage: str) -> None:
    """The log so far, where the request wants it; without such a place nobody can read it."""
    place = str(build.request.get("logsBucket", "")).removeprefix("gs://")
    bucket, _, folder = place.partition("/")
    if not bucket or not storage:
        return
    name = f"{folder}/log-{build.id}.txt" if folder else f"log-{build.id}.txt"
    url = f"{storage}/upload/storage/v1/b/{quote(bucket, safe='')}/o"
    text = "".join(f"{line}\n" for line in build.log).encode()
    async with ClientSession() as session, session.post(url, params={"uploadType": "media", "name": name}, data=text) as response:
        response.raise_for_status()
