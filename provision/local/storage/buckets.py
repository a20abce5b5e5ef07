"""Buckets: insert, get, list, patch, update, delete, and which permissions the caller has (all of them)."""

from __future__ import annotations

import base64
from dataclasses import replace
from http import HTTPStatus

from provision.local.storage.calls import Call, Reply, need_text
from provision.local.storage.errors import StorageError, invalid, required
from provision.local.storage.index import StoredBucket
from provision.local.storage.names import check_bucket_name
from provision.local.storage.preconditions import Preconditions, check_etag_headers
from provision.local.storage.resources import change_bucket_settings, show_bucket
from provision.local.storage.service import Service

MOST_BUCKETS_A_PAGE = 1000


async def insert_bucket(service: Service, call: Call) -> Reply:
    """POST /b?project=P."""
    project = need_text(call.params, "project")
    body = await call.read_json()
    name = need_text(body, "name")
    check_bucket_name(name)
    settings = change_bucket_settings({"location": (body.get("location") or "US").upper()}, body)
    if service.index.bucket(name):
        raise StorageError(
            HTTPStatus.CONFLICT,
            "conflict",
            "Your previous request to create the named bucket succeeded and you already own it.",
        )
    now = service.index.tick()
    bucket = StoredBucket(name, project, 1, now, now, settings)
    service.index.put_bucket(bucket)
    return Reply(resource=show_bucket(bucket, call.base_url))


async def get_bucket(service: Service, call: Call) -> Reply:
    """GET /b/B."""
    bucket = service.bucket(call.names[0])
    Preconditions.from_params(call.params).check_bucket(bucket.metageneration, reading=True)
    resource = show_bucket(bucket, call.base_url)
    check_etag_headers(call, resource["etag"])
    return Reply(resource=resource)


async def list_buckets(service: Service, call: Call) -> Reply:
    """GET /b?project=P."""
    project = need_text(call.params, "project")
    prefix = call.params.get("prefix") or ""
    limit = min(call.params.get_int("maxResults") or MOST_BUCKETS_A_PAGE, MOST_BUCKETS_A_PAGE)
    low = max(prefix, read_page_token(call))
    found = [bucket for bucket in service.index.buckets(project, low, limit + 1) if bucket.name.startswith(prefix)]
    resource: dict[str, object] = {"kind": "storage#buckets"}
    if len(found) > limit:
        resource["nextPageToken"] = make_page_token(found[limit].name)
    if found:
        resource["items"] = [show_bucket(bucket, call.base_url) for bucket in found[:limit]]
    return Reply(resource=resource)


async def patch_bucket(service: Service, call: Call) -> Reply:
    """PATCH /b/B."""
    body = await call.read_json()
    bucket = service.bucket(call.names[0])
    Preconditions.from_params(call.params).check_bucket(bucket.metageneration, reading=False)
    return _change(service, call, bucket, change_bucket_settings(bucket.settings, body))


async def update_bucket(service: Service, call: Call) -> Reply:
    """PUT /b/B: what the body does not name is reset."""
    body = await call.read_json()
    bucket = service.bucket(call.names[0])
    Preconditions.from_params(call.params).check_bucket(bucket.metageneration, reading=False)
    fixed = {"location": bucket.settings["location"]}
    return _change(service, call, bucket, change_bucket_settings(fixed, body))


async def delete_bucket(service: Service, call: Call) -> Reply:
    """DELETE /b/B."""
    bucket = service.bucket(call.names[0])
    Preconditions.from_params(call.params).check_bucket(bucket.metageneration, reading=False)
    if not service.index.is_empty(bucket.name):
        raise StorageError(HTTPStatus.CONFLICT, "conflict", "The bucket you tried to delete is not empty.")
    service.index.delete_bucket(bucket.name)
    return Reply(HTTPStatus.NO_CONTENT)


async def test_permissions(service: Service, call: Call) -> Reply:
    """GET /b/B/iam/testPermissions: whoever reaches this server may do everything, as far as no fault switch says no."""
    bucket = service.bucket(call.names[0])
    permissions = call.params.get_all("permissions")
    if not permissions:
        raise required("permissions")
    granted = [permission for permission in permissions if not service.denies(permission, bucket.name)]
    reply: dict[str, object] = {"kind": "storage#testIamPermissionsResponse"}
    return Reply(resource={**reply, "permissions": granted} if granted else reply)


async def get_policy(service: Service, call: Call) -> Reply:
    """GET /b/B/iam: the policy of a server that lets everybody do everything."""
    bucket = service.bucket(call.names[0])
    binding = {"role": "roles/storage.admin", "members": ["allUsers"]}
    resource_id = f"projects/_/buckets/{bucket.name}"
    return Reply(resource={"kind": "storage#policy", "resourceId": resource_id, "version": 1, "bindings": [binding], "etag": "CAE="})


def make_page_token(name: str) -> str:
    """A token for the page that begins at `name`. It holds no state, so it stays good across a restart."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def read_page_token(call: Call) -> str:
    """The name at which the page begins; "" for the first.

    Raises:
        StorageError: 400.
    """
    token = call.params.get("pageToken") or ""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise invalid("Invalid argument: pageToken.", location=("parameter", "pageToken")) from None


def _change(service: Service, call: Call, bucket: StoredBucket, settings: dict[str, object]) -> Reply:
    changed = replace(bucket, settings=settings, metageneration=bucket.metageneration + 1, updated=service.index.tick())
    service.index.put_bucket(changed)
    return Reply(resource=show_bucket(changed, call.base_url))
