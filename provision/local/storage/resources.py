"""Buckets and objects as the JSON API shows them, and the fields of them that a client may set."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from provision.local.storage.errors import StorageError, invalid, not_implemented
from provision.local.storage.index import StoredBucket, StoredObject
from provision.local.storage.names import check_labels, check_metadata

TEXT_SETTINGS = ("cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "contentType")
STORAGE_CLASSES = {"STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"}

_OBJECT_READ_ONLY = {
    "kind", "id", "selfLink", "mediaLink", "name", "bucket", "generation", "metageneration", "timeCreated", "updated",
    "timeFinalized", "timeStorageClassUpdated", "size", "md5Hash", "crc32c", "etag", "componentCount", "owner",
}  # fmt: skip
_BUCKET_READ_ONLY = {
    "kind", "id", "selfLink", "name", "projectNumber", "metageneration", "timeCreated", "updated", "etag", "owner",
    "locationType", "rpo", "generation",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draft:
    """What a client wants an object to be."""

    settings: Mapping[str, Any]
    storage_class: str | None = None
    """None: the bucket's."""
    crc32c: str | None = None
    """The checksum the client claims, base64."""
    md5: str | None = None


def read_draft(body: Mapping[str, Any]) -> Draft:
    """Read the object resource of an upload, a copy or a compose.

    Raises:
        StorageError: 400 for a value that breaks a rule, 501 for a field this server would have to ignore.
    """
    settings = change_settings({}, {key: value for key, value in body.items() if key != "storageClass"})
    storage_class = body.get("storageClass")
    return Draft(
        settings,
        check_storage_class(storage_class) if storage_class is not None else None,
        _text(body, "crc32c"),
        _text(body, "md5Hash"),
    )


def change_settings(settings: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a patch to an object's settings: null removes, custom metadata is merged key by key.

    Raises:
        StorageError: 400 for a value that breaks a rule, 501 for a field this server would have to ignore.
    """
    changed = dict(settings)
    for key, value in change.items():
        if key in TEXT_SETTINGS:
            text = _text(change, key)
            if text is None:
                changed.pop(key, None)
            else:
                changed[key] = text
        elif key == "metadata":
            metadata = _merge(changed.get("metadata", {}), value, "metadata")
            check_metadata(metadata)
            changed.pop("metadata", None)
            if metadata:
                changed["metadata"] = metadata
        elif key not in _OBJECT_READ_ONLY and value not in (None, False, {}, []):
            raise not_implemented(f"the field '{key}' of an object")
    return changed


def check_storage_class(value: Any) -> str:
    """A storage class by its name.

    Raises:
        StorageError: 400.
    """
    if not isinstance(value, str) or value.upper() not in STORAGE_CLASSES:
        raise invalid(f"Invalid argument: storage class '{value}'.")
    return value.upper()


def change_bucket_settings(settings: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a patch to a bucket's settings: null removes, labels are merged key by key.

    Raises:
        StorageError: 400 for a value that breaks a rule, 501 for a field this server would have to ignore.
    """
    changed = dict(settings)
    for key, value in change.items():
        if key == "labels":
            labels = _merge(changed.get("labels", {}), value, "labels")
            check_labels(labels)
            changed.pop("labels", None)
            if labels:
                changed["labels"] = labels
        elif key == "location":
            location = (_text(change, key) or "US").upper()
            if changed.get("location", location) != location:
                raise invalid("A bucket's location cannot be changed.")
            changed["location"] = location
        elif key == "storageClass":
            changed["storageClass"] = check_storage_class(value if value is not None else "STANDARD")
        elif key == "iamConfiguration":
            changed["iamConfiguration"] = _iam_configuration(value or {})
        elif key == "versioning" and not (value or {}).get("enabled"):
            continue
        elif key not in _BUCKET_READ_ONLY and value not in (None, False, {}, []):
            raise not_implemented(f"the field '{key}' of a bucket")
    return changed


def _iam_configuration(value: Any) -> dict[str, Any]:
    """Access is uniform here, as in a bucket made by the console today; asking for ACLs is asking for what is not there."""
    if not isinstance(value, dict):
        raise invalid("Invalid value for iamConfiguration: an object is required.")
    if value.get("uniformBucketLevelAccess", {}).get("enabled") is False:
        raise not_implemented("buckets without uniform bucket-level access")
    prevention = value.get("publicAccessPrevention", "inherited")
    if prevention not in {"inherited", "enforced"}:
        raise invalid(f"Invalid value for publicAccessPrevention: '{prevention}'.")
    return {"publicAccessPrevention": prevention}


def _merge(known: Mapping[str, Any], change: Any, field: str) -> dict[str, Any]:
    if change is None:
        return {}
    if not isinstance(change, dict):
        raise invalid(f"Invalid value for {field}: an object is required.")
    return {key: value for key, value in {**known, **change}.items() if value is not None}


def _text(source: Mapping[str, Any], key: str) -> str | None:
    value = source.get(key)
    if value is not None and not isinstance(value, str):
        raise invalid(f"Invalid value for {key}: a string is required.")
    if value and ("\r" in value or "\n" in value):
        raise invalid(f"Invalid value for {key}: it must not hold a line break.")
    return value


def show_object(stored: StoredObject, base_url: str) -> dict[str, Any]:
    """The object resource. Links lead to the address this server was reached at."""
    path = f"b/{quote(stored.bucket, safe='')}/o/{quote(stored.name, safe='')}"
    created = show_time(stored.generation)
    resource: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "selfLink": f"{base_url}/storage/v1/{path}",
        "mediaLink": f"{base_url}/download/storage/v1/{path}?generation={stored.generation}&alt=media",
        "name": stored.name,
        "bucket": stored.bucket,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        **stored.settings,
        "storageClass": stored.storage_class,
        "size": str(stored.size),
        "crc32c": stored.crc32c,
        "etag": object_etag(stored),
        "timeCreated": created,
        "updated": show_time(stored.updated),
        "timeStorageClassUpdated": created,
        "timeFinalized": created,
    }
    if stored.md5 is not None:
        resource["md5Hash"] = stored.md5
    if stored.components is not None:
        resource["componentCount"] = stored.components
    return resource


def show_bucket(stored: StoredBucket, base_url: str) -> dict[str, Any]:
    """The bucket resource."""
    settings = dict(stored.settings)
    location = settings.pop("location", "US")
    access = settings.pop("iamConfiguration", {"publicAccessPrevention": "inherited"})
    return {
        "kind": "storage#bucket",
        "id": stored.name,
        "selfLink": f"{base_url}/storage/v1/b/{stored.name}",
        "name": stored.name,
        # A stable stand-in: no Resource Manager is here to ask for the real number.
        "projectNumber": str(100_000_000_000 + zlib.crc32(stored.project.encode())),
        "metageneration": str(stored.metageneration),
        "location": location,
        "locationType": "multi-region" if location in {"US", "EU", "ASIA"} else "region",
        "storageClass": settings.pop("storageClass", "STANDARD"),
        "etag": base64.b64encode(b"\x08" + _varint(stored.metageneration)).decode(),
        "timeCreated": show_time(stored.created),
        "updated": show_time(stored.updated),
        "iamConfiguration": {
            "bucketPolicyOnly": {"enabled": True},
            "uniformBucketLevelAccess": {"enabled": True},
            **access,
        },
        **settings,
    }


def object_etag(stored: StoredObject) -> str:
    """Generation and metageneration in Google's encoding."""
    return base64.b64encode(b"\x08" + _varint(stored.generation) + b"\x10" + _varint(stored.metageneration)).decode()


def show_time(microseconds: int) -> str:
    """RFC 3339 in UTC, to the millisecond as Google shows it."""
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{microseconds // 1000 % 1000:03d}Z"


def check_digest(crc32c: str, md5: str | None, *claims: Draft | tuple[str | None, str | None]) -> None:
    """Compare what was received with what the client said it sends.

    Raises:
        StorageError: 400 naming both values.
    """
    for claim in claims:
        claimed_crc32c, claimed_md5 = (claim.crc32c, claim.md5) if isinstance(claim, Draft) else claim
        if claimed_crc32c is not None and claimed_crc32c != crc32c:
            raise _mismatch("CRC32C", claimed_crc32c, crc32c)
        if claimed_md5 is not None and claimed_md5 != md5:
            raise _mismatch("MD5 hash", claimed_md5, md5)


def _mismatch(kind: str, claimed: str, calculated: str | None) -> StorageError:
    return invalid(f'Provided {kind} "{claimed}" doesn\'t match calculated {kind} "{calculated}".')


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
