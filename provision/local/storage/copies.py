"""New objects from existing ones: copyTo, rewriteTo, compose."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any

from provision.local.storage.bodies import Digest
from provision.local.storage.calls import Call, Reply, need_text
from provision.local.storage.errors import StorageError, invalid, not_implemented
from provision.local.storage.index import StoredObject
from provision.local.storage.names import check_object_name
from provision.local.storage.preconditions import Preconditions
from provision.local.storage.resources import TEXT_SETTINGS, Draft, read_draft, show_object
from provision.local.storage.service import Service

MOST_SOURCES = 32


async def copy_object(service: Service, call: Call) -> Reply:
    """POST /b/S/o/N/copyTo/b/D/o/M."""
    return Reply(resource=show_object(await _copy(service, call), call.base_url))


async def rewrite_object(service: Service, call: Call) -> Reply:
    """POST /b/S/o/N/rewriteTo/b/D/o/M: always done in one call, as between buckets of one location."""
    if call.params.get("rewriteToken"):
        raise invalid("Invalid argument: no rewrite is under way here.", location=("parameter", "rewriteToken"))
    stored = await _copy(service, call)
    size = str(stored.size)
    return Reply(
        resource={
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": size,
            "objectSize": size,
            "done": True,
            "resource": show_object(stored, call.base_url),
        }
    )


async def _copy(service: Service, call: Call) -> StoredObject:
    body = await call.read_json()
    source_bucket, source_name, bucket, name = call.names
    check_object_name(name)
    source = service.object(source_bucket, source_name, call.params.get_int("sourceGeneration"))
    Preconditions.from_params(call.params, "ifSource").check_read(source)
    asked = read_draft(body)
    # A body that sets any metadata replaces all of it, one that sets none keeps the source's.
    replaces = any(key in body for key in (*TEXT_SETTINGS, "metadata"))
    draft = Draft(asked.settings if replaces else source.settings, asked.storage_class)
    return service.commit(
        bucket,
        name,
        draft,
        Digest(source.size, source.crc32c, source.md5),
        source,
        Preconditions.from_params(call.params),
        components=source.components,
    )


async def compose_object(service: Service, call: Call) -> Reply:
    """POST /b/B/o/O/compose: up to 32 objects of the bucket, one after the other, become one without an MD5."""
    body = await call.read_json()
    bucket, name = call.names
    check_object_name(name)
    if body.get("deleteSourceObjects"):
        raise not_implemented("deleteSourceObjects of objects.compose")
    listed = body.get("sourceObjects")
    if not isinstance(listed, list) or not listed:
        raise StorageError(HTTPStatus.BAD_REQUEST, "required", "You must provide at least one source component.")
    if len(listed) > MOST_SOURCES:
        raise invalid(f"The number of source components provided ({len(listed)}) exceeds the maximum ({MOST_SOURCES})")
    destination = body.get("destination") or {}
    if not isinstance(destination, dict):
        raise invalid("Invalid value for destination: an object is required.")
    draft = read_draft({key: value for key, value in destination.items() if key not in {"crc32c", "md5Hash"}})
    conditions = Preconditions.from_params(call.params)
    conditions.check_write(service.index.object(bucket, name))
    sources = [_source(service, bucket, entry) for entry in listed]
    with ExitStack() as opened:
        files = [opened.enter_context(service.open(source)) for source in sources]
        incoming, digest = await service.bodies.concatenate(files)
    try:
        stored = service.commit(
            bucket,
            name,
            draft,
            digest,
            incoming,
            conditions,
            components=sum(source.components or 1 for source in sources),
        )
    finally:
        incoming.discard()
    return Reply(resource=show_object(stored, call.base_url))


def _source(service: Service, bucket: str, entry: Any) -> StoredObject:
    if not isinstance(entry, dict):
        raise invalid("Invalid value for sourceObjects: objects are required.")
    name = need_text(entry, "name")
    source = service.object(bucket, name, _number(entry, "generation"))
    demanded = entry.get("objectPreconditions") or {}
    Preconditions(_number(demanded, "ifGenerationMatch")).check_read(source)
    return source


def _number(entry: Mapping[str, Any], key: str) -> int | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not str(value).isdecimal():
        raise invalid(f"Invalid value for {key}: '{value}'")
    return int(value)
