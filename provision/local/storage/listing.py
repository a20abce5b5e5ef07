"""objects.list: a range scan of the index, however many objects the bucket holds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from provision.local.storage.buckets import make_page_token, read_page_token
from provision.local.storage.calls import Call, Reply
from provision.local.storage.errors import invalid, not_implemented
from provision.local.storage.globs import Glob, compile_glob
from provision.local.storage.index import StoredObject
from provision.local.storage.names import successor
from provision.local.storage.resources import show_object
from provision.local.storage.service import Service

MOST_A_PAGE = 1000
_ROWS_A_SCAN = 1000


@dataclass(frozen=True, slots=True)
class _Request:
    bucket: str
    low: str
    high: str | None
    prefix: str
    delimiter: str
    glob: Glob | None
    limit: int


async def list_objects(service: Service, call: Call) -> Reply:
    """GET /b/B/o."""
    request = _read(call)
    service.bucket(request.bucket)
    items, prefixes, following = await _collect(service, request)
    resource: dict[str, Any] = {"kind": "storage#objects"}
    if following is not None:
        resource["nextPageToken"] = make_page_token(following)
    if prefixes:
        resource["prefixes"] = prefixes
    if items:
        resource["items"] = [show_object(item, call.base_url) for item in items]
    return Reply(resource=resource)


def _read(call: Call) -> _Request:
    params = call.params
    for unsupported in ("versions", "softDeleted", "includeTrailingDelimiter", "includeFoldersAsPrefixes"):
        if params.get_bool(unsupported):
            raise not_implemented(f"{unsupported}=true of objects.list")
    prefix = params.get("prefix") or ""
    delimiter = params.get("delimiter") or ""
    pattern = params.get("matchGlob")
    if pattern and delimiter:
        raise not_implemented("matchGlob together with delimiter in objects.list")
    glob = compile_glob(pattern) if pattern else None
    lows = [prefix, params.get("startOffset") or "", read_page_token(call)]
    highs = [successor(prefix), params.get("endOffset") or None]
    if glob:
        lows.append(glob.literal_prefix)
        highs.append(successor(glob.literal_prefix))
    asked = params.get_int("maxResults")
    if asked == 0:
        raise invalid("Invalid argument: maxResults must be positive.", location=("parameter", "maxResults"))
    return _Request(
        call.names[0],
        max(lows),
        min((high for high in highs if high is not None), default=None),
        prefix,
        delimiter,
        glob,
        min(asked or MOST_A_PAGE, MOST_A_PAGE),
    )


async def _collect(service: Service, request: _Request) -> tuple[list[StoredObject], list[str], str | None]:
    """One page: items, prefixes, and the name at which the next page begins (None: this was the last)."""
    items: list[StoredObject] = []
    prefixes: list[str] = []
    cursor: str | None = request.low
    plain = not request.delimiter and request.glob is None
    # One row more than the page holds tells whether there is another page.
    rows_a_scan = min(request.limit + 1, _ROWS_A_SCAN + 1) if plain else _ROWS_A_SCAN
    while cursor is not None:
        rows = service.index.scan(request.bucket, cursor, request.high, rows_a_scan)
        for row in rows:
            if row.name < cursor:
                continue
            group = _group(row.name, request)
            if group is None and request.glob and not request.glob.matches(row.name):
                continue
            if len(items) + len(prefixes) == request.limit:
                return items, prefixes, row.name
            if group is None:
                items.append(row)
                continue
            prefixes.append(group)
            above = successor(group)
            if above is None:
                return items, prefixes, None
            cursor = above
            if rows[-1].name < cursor:
                # The rest of these rows is the same prefix: skip it in the index instead of reading it.
                break
        else:
            if len(rows) < rows_a_scan:
                return items, prefixes, None
            cursor = rows[-1].name + "\0"
        # A scan that finds little must not hold up the other requests.
        await asyncio.sleep(0)
    return items, prefixes, None


def _group(name: str, request: _Request) -> str | None:
    if not request.delimiter:
        return None
    cut = name.find(request.delimiter, len(request.prefix))
    return None if cut < 0 else name[: cut + len(request.delimiter)]
