"""Google's rules for bucket names, object names, custom metadata and labels, with Google's texts where they are known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from provision.local.storage.errors import StorageError, invalid

MAX_OBJECT_NAME_BYTES = 1024
MAX_METADATA_KEY_BYTES = 1024
MAX_METADATA_VALUE_BYTES = 4096
MAX_METADATA_BYTES = 8192
MAX_LABELS = 64

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]+[a-z0-9]")
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_GOOGLE = re.compile(r"g[o0][o0]g[l1][e3]")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")


def check_bucket_name(name: str) -> None:
    """Refuse a name that Google would not give to a new bucket.

    Raises:
        StorageError: 400, or 403 for a name with dots, which is a domain whose ownership nobody here can prove.
    """
    longest = 222 if "." in name else 63
    parts = name.split(".")
    valid = (
        3 <= len(name) <= longest
        and all(1 <= len(part) <= 63 and not part.startswith("-") and not part.endswith("-") for part in parts)
        and _BUCKET.fullmatch(name)
        and not _ADDRESS.fullmatch(name)
        and not name.startswith("goog")
        and not _GOOGLE.search(name)
    )
    if not valid:
        raise invalid(f"Invalid bucket name: '{name}'")
    if len(parts) > 1:
        raise StorageError(
            HTTPStatus.FORBIDDEN,
            "forbidden",
            f"Another user owns the domain {name} or a parent domain. You can either verify domain ownership or find the "
            "current owner and ask that person to create the bucket for you",
        )


def check_object_name(name: str) -> None:
    """Refuse a name that no object can have.

    Raises:
        StorageError: 400.
    """
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise invalid(f"Object name is not valid Unicode: {name!a}") from None
    if length == 0:
        raise invalid("No object name")
    if length > MAX_OBJECT_NAME_BYTES:
        raise invalid(
            f"The maximum object length is {MAX_OBJECT_NAME_BYTES} characters, but got a name with {length} characters: ''{name[:32]}...''"
        )
    if "\r" in name or "\n" in name:
        raise invalid(f"Disallowed unicode characters present in object name ''{name}''")
    if name in {".", ".."} or name.startswith(".well-known/acme-challenge/"):
        raise invalid(f"Invalid object name: '{name}'")


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuse custom metadata beyond 1 KiB a key, 4 KiB a value or 8 KiB in all.

    Raises:
        StorageError: 400 naming the limit.
    """
    total = 0
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise invalid(f"Invalid value for custom metadata '{key}': a string is required.")
        key_bytes, value_bytes = len(key.encode()), len(value.encode())
        if key_bytes > MAX_METADATA_KEY_BYTES:
            raise invalid(
                f"Metadata part is too large: the key '{key[:32]}...' has {key_bytes} bytes; "
                f"the limit is {MAX_METADATA_KEY_BYTES} bytes (1 KiB) for a key."
            )
        if value_bytes > MAX_METADATA_VALUE_BYTES:
            raise invalid(
                f"Metadata part is too large: the value of '{key[:32]}' has {value_bytes} bytes; "
                f"the limit is {MAX_METADATA_VALUE_BYTES} bytes (4 KiB) for a value."
            )
        total += key_bytes + value_bytes
    if total > MAX_METADATA_BYTES:
        raise invalid(
            f"Metadata part is too large: all keys and values have {total} bytes; the limit is {MAX_METADATA_BYTES} bytes (8 KiB) in all."
        )


def check_labels(labels: Mapping[str, Any]) -> None:
    """Refuse bucket labels that break Google's rules.

    Raises:
        StorageError: 400.
    """
    if len(labels) > MAX_LABELS:
        raise invalid(f"A bucket may have at most {MAX_LABELS} labels, not {len(labels)}.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise invalid(f"Invalid label key: '{key}'")
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            raise invalid(f"Invalid label value for '{key}': '{value}'")


def successor(prefix: str) -> str | None:
    """The smallest string above every string that starts with `prefix`; None if there is none.

    Code-point order is the order of UTF-8 bytes, which is the order Cloud Storage lists in.
    """
    for position in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[position])
        if code < 0x10FFFF:
            # Surrogates are no characters: no name holds one.
            following = 0xE000 if 0xD7FF <= code < 0xE000 else code + 1
            return prefix[:position] + chr(following)
    return None
