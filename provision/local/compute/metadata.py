"""The metadata server of one VM: its own port on 127.0.0.1, told to the guest by GCE_METADATA_HOST and GCE_METADATA_IP.

One per VM, because a real guest asks "who am I" at a fixed address and the answer depends on who asks; here the port is who.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from provision.local.compute.inventory import last_part, project_number
from provision.local.compute.machines import Machine
from provision.local.serving import listen

FLAVOR = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
NO_FLAVOR = "Missing Metadata-Flavor:Google header."
DEFAULT_ACCOUNT = "default@tickdeck-local.iam.gserviceaccount.com"
DEFAULT_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_SECONDS = 3599
ROOT = "computeMetadata/v1"

VERBATIM = frozenset({"attributes", "service-accounts"})
"""Directories whose keys are data and stay as they are in JSON; all others become camelCase."""
SECRET_LEAVES = frozenset({"token", "identity"})
"""Left out of recursive answers, as Google does."""

Tree = dict[str, Any]


def metadata_tree(machine: Machine) -> Tree:
    """Everything the metadata server of this VM knows; a dict is a directory, a list of dicts one with numbered entries."""
    resource = machine.resource
    number = project_number(machine.project)
    scheduling = resource["scheduling"]
    interfaces = [
        {
            "ip": interface.get("networkIP", "127.0.0.1"),
            "mac": "42:01:7f:00:00:01",
            "network": f"projects/{number}/networks/{last_part(interface.get('network') or 'default')}",
            "access-configs": [
                {"external-ip": config.get("natIP", ""), "type": config.get("type", "ONE_TO_ONE_NAT")}
                for config in interface.get("accessConfigs", [])
            ],
        }
        for interface in resource["networkInterfaces"]
    ]
    given = resource.get("serviceAccounts") or []
    account = given[0].get("email", "default") if given else "default"
    email = DEFAULT_ACCOUNT if account == "default" else account
    scopes = (given[0].get("scopes") if given else None) or [DEFAULT_SCOPE]
    identity = {
        "aliases": ["default"],
        "email": email,
        "scopes": scopes,
        "token": {
            "access_token": f"local-token-of-{machine.name}-worth-nothing",
            "expires_in": TOKEN_SECONDS,
            "token_type": "Bearer",
        },
    }
    return {
        "instance": {
            "attributes": machine.metadata,
            "cpu-platform": resource["cpuPlatform"],
            "description": resource.get("description", ""),
            "hostname": f"{machine.name}.{machine.zone}.c.{machine.project}.internal",
            "id": int(resource["id"]),
            "machine-type": f"projects/{number}/machineTypes/{machine.machine_type}",
            "maintenance-event": "NONE",
            "name": machine.name,
            "network-interfaces": interfaces,
            "preempted": _flag(machine.preempted),
            "scheduling": {
                "automatic-restart": _flag(scheduling["automaticRestart"]),
                "on-host-maintenance": scheduling["onHostMaintenance"],
                "preemptible": _flag(scheduling["preemptible"]),
            },
            "service-accounts": {"default": identity, email: identity},
            "tags": list(resource["tags"].get("items", [])),
            "zone": f"projects/{number}/zones/{machine.zone}",
        },
        "project": {"attributes": {}, "numeric-project-id": number, "project-id": machine.project},
        "universe": {"universe-domain": "googleapis.com"},
    }


def _flag(value: object) -> str:
    return "TRUE" if value else "FALSE"


def _is_directory(node: Any) -> bool:
    return isinstance(node, dict) or (isinstance(node, list) and bool(node) and isinstance(node[0], dict))


def _children(node: Any) -> dict[str, Any]:
    return dict(node) if isinstance(node, Mapping) else {str(index): child for index, child in enumerate(node)}


def _camel(key: str) -> str:
    first, *rest = key.split("-")
    return first + "".join(part.capitalize() for part in rest)


def _as_json(node: Any, *, verbatim: bool = False) -> Any:
    if isinstance(node, dict):
        return {
            key if verbatim else _camel(key): _as_json(child, verbatim=key in VERBATIM)
            for key, child in node.items()
            if key not in SECRET_LEAVES
        }
    return [_as_json(child) for child in node] if isinstance(node, list) else node


def _as_text(node: Any, name: str) -> str:
    if _is_directory(node):
        return "".join(f"{key}/\n" if _is_directory(child) else f"{key}\n" for key, child in _children(node).items())
    if isinstance(node, list):
        return "\n".join(node) + "\n" if name in {"scopes", "aliases"} else json.dumps(node)
    return str(node)


def _flat_leaves(node: Any, path: str = "") -> list[str]:
    if _is_directory(node):
        return [
            leaf
            for key, child in _children(node).items()
            if key not in SECRET_LEAVES
            for leaf in _flat_leaves(child, f"{path}/{key}" if path else key)
        ]
    return [f"{path} {_as_text(node, path.rsplit('/', 1)[-1])}"]


class MetadataServer:
    """Answers one VM's questions about itself."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._runner: web.AppRunner | None = None
        self._news = asyncio.Event()
        self._closing = False

    async def start(self, port: int = 0) -> int:
        """Listen on `port`, or on a free one, and return it.

        Raises:
            OSError: if somebody else has the port.
        """
        app = web.Application(middlewares=[_require_flavor])
        app.router.add_get("/{path:.*}", self._get)
        self._runner, bound = await listen(app, port)
        return bound

    def notify(self) -> None:
        """Something about the VM has changed: wake everybody who waits for that."""
        self._news.set()
        self._news = asyncio.Event()

    async def close(self) -> None:
        """Answer those who still wait, and stop listening."""
        self._closing = True
        self.notify()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _get(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if path.strip("/") == "":
            return _text("computeMetadata/\n")
        if path.strip("/") == "computeMetadata":
            return _text("v1/\n")
        if not path.startswith(ROOT):
            return _missing(request)
        inside = path.removeprefix(ROOT).strip("/")
        found = self._find(inside)
        if found is None:
            return _missing(request)
        recursive = request.query.get("recursive", "").lower() == "true"
        if _is_directory(found) and not path.endswith("/") and not recursive:
            raise web.HTTPMovedPermanently(f"{request.path}/", headers=FLAVOR)
        if request.query.get("wait_for_change", "").lower() == "true":
            found = await self._changed(inside, found, request.query)
        return _answer(inside, found, recursive=recursive, alt=request.query.get("alt", ""))

    def _find(self, inside: str) -> Any:
        node: Any = metadata_tree(self._machine)
        for part in inside.split("/") if inside else []:
            if not _is_directory(node) or part not in _children(node):
                return None
            node = _children(node)[part]
        return node

    async def _changed(self, inside: str, found: Any, query: Mapping[str, str]) -> Any:
        """The value once its ETag is not `last_etag` (default: the present one), or when `timeout_sec` is over."""
        known = query.get("last_etag") or etag_of(found)
        seconds = query.get("timeout_sec", "")
        ends = time.monotonic() + float(seconds) if seconds.isdigit() else None
        while found is not None and etag_of(found) == known and not self._closing:
            news = self._news
            try:
                await asyncio.wait_for(news.wait(), None if ends is None else max(0.0, ends - time.monotonic()))
            except TimeoutError:
                break
            found = self._find(inside)
        return found if found is not None else ""


def etag_of(node: Any) -> str:
    """The ETag of a value: another value, another tag."""
    return hashlib.sha256(json.dumps(node, sort_keys=True).encode()).hexdigest()[:16]


def _text(body: str, status: int = 200, etag: str = "") -> web.Response:
    headers = {**FLAVOR, **({"ETag": etag} if etag else {})}
    return web.Response(text=body, status=status, content_type="application/text", headers=headers)


def _missing(request: web.Request) -> web.Response:
    return _text(f"The requested URL {request.path} was not found on this metadata server.\n", 404)


def _answer(inside: str, found: Any, *, recursive: bool, alt: str) -> web.Response:
    name = inside.rsplit("/", 1)[-1]
    etag = etag_of(found)
    if name in SECRET_LEAVES:
        return web.json_response(found, headers={**FLAVOR, "ETag": etag})
    if alt == "json" or (recursive and alt != "text"):
        return web.json_response(_as_json(found, verbatim=name in VERBATIM), headers={**FLAVOR, "ETag": etag})
    if recursive and _is_directory(found):
        return _text("\n".join(_flat_leaves(found)) + "\n", etag=etag)
    return _text(_as_text(found, name), etag=etag)


@web.middleware
async def _require_flavor(request: web.Request, handler: Any) -> web.StreamResponse:
    """Refuse what a browser or a forwarding proxy would send: the guard against a guest that is tricked into asking."""
    if request.headers.get("Metadata-Flavor") != "Google" or "X-Forwarded-For" in request.headers:
        return _text(NO_FLAVOR, 403)
    response: web.StreamResponse = await handler(request)
    return response
