"""Pages of list calls: filter, order, page size and page token, the same for every collection.

A page token says after which item to go on, not how many were shown, so deletions between two pages skip nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any

from provision.local.compute.errors import invalid, not_implemented
from provision.local.compute.filters import parse_filter

Json = dict[str, Any]

MAX_RESULTS = 500
NEWEST_FIRST = "creationTimestamp desc"


def _page_size(query: Mapping[str, str]) -> int:
    given = query.get("maxResults", "")
    if given == "":
        return MAX_RESULTS
    if not given.isdigit() or int(given) > MAX_RESULTS:
        raise invalid("maxResults", given, f"Must be between 0 and {MAX_RESULTS}, inclusive.")
    return int(given) or MAX_RESULTS


def _after(query: Mapping[str, str]) -> list[Any] | None:
    token = query.get("pageToken", "")
    if token == "":
        return None
    try:
        decoded = json.loads(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError):
        decoded = None
    if not isinstance(decoded, list):
        raise invalid("pageToken", token, "The page token is not one that this server gave.")
    return decoded


def _time_of(resource: Mapping[str, Any]) -> str:
    return str(resource.get("creationTimestamp") or resource.get("insertTime") or "")


def _scope_of(resource: Mapping[str, Any]) -> str:
    """ "zones/z" of a zonal resource, "regions/r" of a regional one."""
    parts = str(resource.get("selfLink", "")).split("/")
    for kind in ("zones", "regions"):
        if kind in parts[:-2]:
            return f"{kind}/{parts[parts.index(kind) + 1]}"
    return "global"


def page(resources: Iterable[Json], query: Mapping[str, str]) -> tuple[list[Json], str | None]:
    """One page of a collection and the token of the next one, if there is one."""
    accepted = parse_filter(query.get("filter", ""))
    order = query.get("orderBy", "")
    if order not in {"", "name", NEWEST_FIRST}:
        raise not_implemented(f"orderBy {order!r}; Compute Engine knows 'name' and {NEWEST_FIRST!r}")
    newest_first = order == NEWEST_FIRST

    def place(resource: Json) -> list[Any]:
        named = [_scope_of(resource), str(resource["name"])]
        return [_time_of(resource), *named] if newest_first else named

    found = sorted((resource for resource in resources if accepted(resource)), key=place, reverse=newest_first)
    after = _after(query)
    if after is not None:
        found = [resource for resource in found if (place(resource) < after if newest_first else place(resource) > after)]
    size = _page_size(query)
    shown = found[:size]
    if len(found) <= size:
        return shown, None
    return shown, base64.urlsafe_b64encode(json.dumps(place(shown[-1])).encode()).decode()


def list_reply(kind: str, resources: Iterable[Json], query: Mapping[str, str]) -> Json:
    """The body of a list call."""
    shown, token = page(resources, query)
    return {"kind": kind, "id": kind, "items": shown, **({"nextPageToken": token} if token else {})}


def aggregated_reply(kind: str, field: str, scopes: Iterable[str], resources: Iterable[Json], query: Mapping[str, str]) -> Json:
    """The body of an aggregated list call: every scope is there, an empty one with the warning that says so."""
    shown, token = page(resources, query)
    items: dict[str, Json] = {}
    for scope in scopes:
        inside = [resource for resource in shown if _scope_of(resource) == scope]
        warning = {
            "code": "NO_RESULTS_ON_PAGE",
            "message": f"There are no results for scope '{scope}' on this page.",
            "data": [{"key": "scope", "value": scope}],
        }
        items[scope] = {field: inside} if inside else {"warning": warning}
    return {"kind": kind, "id": kind, "items": items, **({"nextPageToken": token} if token else {})}
