"""One object: get (metadata or media), patch, update, delete."""

from __future__ import annotations

import re
from http import HTTPStatus

from provision.local.storage.calls import Call, Download, Reply
from provision.local.storage.errors import StorageError, invalid, not_implemented
from provision.local.storage.index import StoredObject
from provision.local.storage.preconditions import Preconditions, check_etag_headers
from provision.local.storage.resources import (
    change_settings,
    check_storage_class,
    object_etag,
    show_object,
)
from provision.local.storage.service import Service

_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")


async def get_object(service: Service, call: Call) -> Reply:
    """GET /b/B/o/O, with alt=media for the body."""
    bucket, name = call.names
    stored = service.object(bucket, name, call.params.get_int("generation"))
    Preconditions.from_params(call.params).check_read(stored)
    check_etag_headers(call, object_etag(stored))
    if call.params.get("alt") == "media":
        return _send(service, call, stored)
    return Reply(resource=show_object(stored, call.base_url))


async def download_object(service: Service, call: Call) -> Reply:
    """GET /download/.../o/O: always the body."""
    bucket, name = call.names
    stored = service.object(bucket, name, call.params.get_int("generation"))
    Preconditions.from_params(call.params).check_read(stored)
    check_etag_headers(call, object_etag(stored))
    return _send(service, call, stored)


async def patch_object(service: Service, call: Call) -> Reply:
    """PATCH /b/B/o/O: what the body does not name stays."""
    body = await call.read_json()
    stored = _writable(service, call)
    _check_same_storage_class(stored, body)
    changed = service.change(stored, change_settings(stored.settings, _without_storage_class(body)))
    return Reply(resource=show_object(changed, call.base_url))


async def update_object(service: Service, call: Call) -> Reply:
    """PUT /b/B/o/O: what the body does not name is cleared."""
    body = await call.read_json()
    stored = _writable(service, call)
    _check_same_storage_class(stored, body)
    changed = service.change(stored, change_settings({}, _without_storage_class(body)))
    return Reply(resource=show_object(changed, call.base_url))


async def delete_object(service: Service, call: Call) -> Reply:
    """DELETE /b/B/o/O."""
    service.delete(_writable(service, call))
    return Reply(HTTPStatus.NO_CONTENT)


def _writable(service: Service, call: Call) -> StoredObject:
    bucket, name = call.names
    stored = service.object(bucket, name, call.params.get_int("generation"))
    Preconditions.from_params(call.params).check_write(stored)
    return stored


def _check_same_storage_class(stored: StoredObject, body: dict[str, object]) -> None:
    wanted = body.get("storageClass")
    if wanted is not None and check_storage_class(wanted) != stored.storage_class:
        raise invalid("An object's storage class is changed by rewriting it.")


def _without_storage_class(body: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in body.items() if key != "storageClass"}


def _send(service: Service, call: Call, stored: StoredObject) -> Reply:
    settings = stored.settings
    hashes = f"crc32c={stored.crc32c}" + (f",md5={stored.md5}" if stored.md5 else "")
    headers = {
        "Content-Type": settings.get("contentType", "application/octet-stream"),
        "ETag": object_etag(stored),
        "X-Goog-Hash": hashes,
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": str(stored.metageneration),
        "X-Goog-Storage-Class": stored.storage_class,
        "X-Goog-Stored-Content-Encoding": settings.get("contentEncoding", "identity"),
        "X-Goog-Stored-Content-Length": str(stored.size),
        "Accept-Ranges": "bytes",
    }
    for setting, header in (
        ("cacheControl", "Cache-Control"),
        ("contentDisposition", "Content-Disposition"),
        ("contentLanguage", "Content-Language"),
    ):
        if setting in settings:
            headers[header] = settings[setting]
    slow = service.strike("slow", call)
    pace = float(slow.settings["seconds_per_mib"]) if slow else 0.0

    encoding = settings.get("contentEncoding")
    accepted = call.headers.get("Accept-Encoding", "")
    transformable = "no-transform" not in settings.get("cacheControl", "")
    if encoding == "gzip" and "gzip" not in accepted and transformable:
        # Cloud Storage ignores a range here: it does not know where the decompressed bytes lie.
        headers["Warning"] = "214 UploadServer gunzipped"
        download = Download(service.open(stored), 0, stored.size, pace, gunzip=True)
        return Reply(headers=headers, download=download)
    if encoding:
        headers["Content-Encoding"] = encoding

    start, length = _range(call.headers.get("Range"), stored.size)
    if length == stored.size and "Range" not in call.headers:
        return Reply(headers=headers, download=Download(service.open(stored), 0, length, pace))
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{stored.size}"
    return Reply(HTTPStatus.PARTIAL_CONTENT, headers=headers, download=Download(service.open(stored), start, length, pace))


def _range(header: str | None, size: int) -> tuple[int, int]:
    """First byte and length of what is asked for.

    Raises:
        StorageError: 400 for something that is no range, 416 for one outside the object, 501 for several.
    """
    if header is None:
        return 0, size
    if "," in header:
        raise not_implemented("several ranges in one request")
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        raise invalid(f"Invalid range: '{header}'", location=("header", "Range"))
    first, last, suffix = match.groups()
    start = max(size - int(suffix), 0) if first is None else int(first)
    end = size - 1 if first is None or not last else min(int(last), size - 1)
    if start >= size or (first is None and int(suffix) == 0):
        raise StorageError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "requestedRangeNotSatisfiable",
            "Request range not satisfiable",
            location=("header", "Range"),
            headers={"Content-Range": f"bytes */{size}"},
        )
    if end < start:
        raise invalid(f"Invalid range: '{header}'", location=("header", "Range"))
    return start, end - start + 1
