"""The table of what is implemented, and the one way from a call to its answer. What the table lacks is refused by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

from provision.local.storage import buckets, copies, listing, objects, uploads
from provision.local.storage.calls import Call, Reply
from provision.local.storage.errors import StorageError, not_implemented
from provision.local.storage.partial import parse_fields, select
from provision.local.storage.resumable import Sessions
from provision.local.storage.service import Service

Handler = Callable[[Call], Awaitable[Reply]]

_HARMLESS = {"prettyPrint", "userProject", "quotaUser", "projection", "alt", "key", "fields", "$.xgafv"}
"""Parameters that change no meaning here: one user, no access lists; `fields` and `alt` are seen to by all."""
_METAGENERATION = {"ifMetagenerationMatch", "ifMetagenerationNotMatch"}
_CONDITIONS = _METAGENERATION | {"ifGenerationMatch", "ifGenerationNotMatch"}
_SOURCE_CONDITIONS = {condition.replace("if", "ifSource", 1) for condition in _CONDITIONS}
_UPLOAD = _CONDITIONS | {"ifMetaGenerationNotMatch", "uploadType", "name", "contentEncoding"}
_LIST = {
    "prefix", "delimiter", "matchGlob", "startOffset", "endOffset", "maxResults", "pageToken", "versions", "softDeleted",
    "includeTrailingDelimiter", "includeFoldersAsPrefixes",
}  # fmt: skip
_READS_WITH_ETAGS = {"objects.get", "buckets.get"}
_UNKNOWN_HEADERS = ("X-Goog-Encryption-Algorithm", "X-Goog-Copy-Source-Encryption-Algorithm", "Content-Encoding")


@dataclass(frozen=True, slots=True)
class Route:
    """One operation: method and path, in which "*" stands for a name."""

    method: str
    path: tuple[str, ...]
    operation: str
    handler: Handler
    params: frozenset[str]
    upload_type: str | None = None
    strikes_itself: bool = False
    """The handler asks for armed faults, because only it learns the object's name."""


class Router:
    """Finds the route of a call and answers it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._routes: dict[tuple[str, int], list[Route]] = {}
        for route in _table(service):
            self._routes.setdefault((route.method, len(route.path)), []).append(route)

    async def answer(self, call: Call) -> Reply:
        """Answer a call.

        Raises:
            StorageError: for whatever is refused.
            BodyCut: if the client went away.
        """
        route = self._find(call)
        call.operation = route.operation if route else "unimplemented"
        self._service.counts.by_operation[call.operation] += 1
        if route is None:
            raise not_implemented(f"{call.method} {call.target}")
        if not route.strikes_itself:
            self._service.refuse_if_struck(call)
        _check_understood(call, route)
        reply = await route.handler(call)
        fields = call.params.get("fields")
        if fields and reply.resource is not None and reply.status < HTTPStatus.MULTIPLE_CHOICES:
            reply = replace(reply, resource=select(parse_fields(fields), reply.resource))
        return reply

    def _find(self, call: Call) -> Route | None:
        for route in self._routes.get((call.method, len(call.segments)), ()):
            if route.upload_type != (call.params.get("uploadType") if route.upload_type else None):
                continue
            if all(wanted in {"*", given} for wanted, given in zip(route.path, call.segments, strict=True)):
                pairs = zip(route.path, call.segments, strict=True)
                call.names = tuple(given for wanted, given in pairs if wanted == "*")
                return route
        return None


def _check_understood(call: Call, route: Route) -> None:
    """Refuse a parameter or header that would have to be ignored although it changes the meaning.

    Raises:
        StorageError: 501, or 400 for a value that no server takes.
    """
    for name in call.params:
        if name not in route.params and name not in _HARMLESS:
            raise not_implemented(f"the query parameter '{name}' of {route.operation}")
    alt = call.params.get("alt")
    if alt not in {None, "json"} and not (alt == "media" and route.operation == "objects.get"):
        raise not_implemented(f"alt={alt} of {route.operation}")
    for header in _UNKNOWN_HEADERS:
        if header in call.headers:
            raise not_implemented(f"the request header {header}")
    for header in ("If-Match", "If-None-Match"):
        if header in call.headers and route.operation not in _READS_WITH_ETAGS:
            raise not_implemented(f"the request header {header} of {route.operation}")
    if fields := call.params.get("fields"):
        parse_fields(fields)


def _table(service: Service) -> list[Route]:
    sessions = Sessions(service)

    def bind(handler: Callable[[Service, Call], Awaitable[Reply]]) -> Handler:
        return lambda call: handler(service, call)

    def route(method: str, path: str, operation: str, handler: Handler, params: set[str]) -> Route:
        return Route(method, tuple(path.split("/")), operation, handler, frozenset(params))

    def upload(method: str, kind: str, operation: str, handler: Handler, params: set[str]) -> Route:
        path = ("upload", "storage", "v1", "b", "*", "o")
        return Route(method, path, operation, handler, frozenset(params), kind, strikes_itself=True)

    api = "storage/v1/b"
    one = f"{api}/*/o/*"
    session = {"uploadType", "upload_id", "name"}
    return [
        route("POST", api, "buckets.insert", bind(buckets.insert_bucket), {"project"}),
        route("GET", api, "buckets.list", bind(buckets.list_buckets), {"project", "prefix", "maxResults", "pageToken"}),
        route("GET", f"{api}/*", "buckets.get", bind(buckets.get_bucket), _METAGENERATION),
        route("PATCH", f"{api}/*", "buckets.patch", bind(buckets.patch_bucket), _METAGENERATION),
        route("PUT", f"{api}/*", "buckets.update", bind(buckets.update_bucket), _METAGENERATION),
        route("DELETE", f"{api}/*", "buckets.delete", bind(buckets.delete_bucket), _METAGENERATION),
        route(
            "GET",
            f"{api}/*/iam/testPermissions",
            "buckets.testIamPermissions",
            bind(buckets.test_permissions),
            {"permissions"},
        ),
        route("GET", f"{api}/*/iam", "buckets.getIamPolicy", bind(buckets.get_policy), {"optionsRequestedPolicyVersion"}),
        route("GET", f"{api}/*/o", "objects.list", bind(listing.list_objects), _LIST),
        route("GET", one, "objects.get", bind(objects.get_object), _CONDITIONS | {"generation"}),
        route("GET", f"download/{one}", "objects.get", bind(objects.download_object), _CONDITIONS | {"generation"}),
        route("PATCH", one, "objects.patch", bind(objects.patch_object), _CONDITIONS | {"generation"}),
        route("PUT", one, "objects.update", bind(objects.update_object), _CONDITIONS | {"generation"}),
        route("DELETE", one, "objects.delete", bind(objects.delete_object), _CONDITIONS | {"generation"}),
        route(
            "POST",
            f"{one}/copyTo/b/*/o/*",
            "objects.copy",
            bind(copies.copy_object),
            _CONDITIONS | _SOURCE_CONDITIONS | {"sourceGeneration"},
        ),
        route(
            "POST",
            f"{one}/rewriteTo/b/*/o/*",
            "objects.rewrite",
            bind(copies.rewrite_object),
            _CONDITIONS | _SOURCE_CONDITIONS | {"sourceGeneration", "rewriteToken", "maxBytesRewrittenPerCall"},
        ),
        route(
            "POST",
            f"{one}/compose",
            "objects.compose",
            bind(copies.compose_object),
            {"ifGenerationMatch", "ifMetagenerationMatch"},
        ),
        upload("POST", "media", "objects.insert", bind(uploads.insert_media), _UPLOAD),
        upload("POST", "multipart", "objects.insert", bind(uploads.insert_multipart), _UPLOAD),
        upload("POST", "resumable", "objects.insert", sessions.start, _UPLOAD),
        upload("PUT", "resumable", "objects.insert.chunk", sessions.put, session | _UPLOAD),
        upload("DELETE", "resumable", "objects.insert.cancel", sessions.cancel, session | _UPLOAD),
    ]


def refusal(error: StorageError) -> Reply:
    """The answer to a refused call."""
    if error.status == HTTPStatus.NOT_MODIFIED:
        return Reply(error.status, headers=error.headers)
    return Reply(error.status, resource=error.to_json(), headers=error.headers)
