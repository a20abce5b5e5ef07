"""A bucket itself, not its objects: is it there, what may this account do in it, and what rules has it.

Each question is asked once, within seconds, and never again: whoever asks wants to know now. Objects are `engine.store`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from engine.storage_service import objects_path, refusal
from engine.store import CALL_TIMEOUT, Store

QUICK_TIMEOUT = (3.0, 8.0)
"""Seconds to connect, and seconds of silence."""

READ = frozenset({"storage.objects.get", "storage.objects.list"})
CREATE = frozenset({"storage.objects.create"})
REPLACE = frozenset({"storage.objects.delete"})
"""Google counts writing over an object as deleting the one that was there."""


@dataclass(frozen=True, slots=True)
class BucketRules:
    """What a bucket does to its objects by itself."""

    location: str
    versioned: bool
    deletes: tuple[str, ...]
    """Lifecycle rules that delete, each in words."""
    retention_seconds: int
    """So long nobody may delete or replace an object; 0: no such rule."""


def require_bucket(store: Store) -> None:
    """Make sure that a bucket is there and may be listed.

    Raises:
        ConfigurationError: if there is no such bucket.
        NotPermitted: if it may not be listed.
        StoreError: if the service does not answer.
    """
    query = {"maxResults": "1", "fields": "items(name)"}
    with store.errors(""):
        answer = store.service.ask("GET", objects_path(store.bucket), query, timeout=QUICK_TIMEOUT)
        if not answer.is_done:
            raise refusal(answer)


def create_bucket(store: Store) -> bool:
    """Create a store's bucket; False if it is there already.

    Raises:
        NotPermitted, StoreError: as for `require_bucket`.
    """
    from google.api_core.exceptions import Conflict

    with store.errors(""):
        try:
            store.service.client.create_bucket(store.bucket, timeout=CALL_TIMEOUT)
        except Conflict:
            return False
    return True


def ask_permissions(store: Store, wanted: Collection[str]) -> frozenset[str]:
    """Which of the permissions this account has in the bucket. To ask needs none.

    Raises:
        ConfigurationError, NotPermitted, StoreError: as for `require_bucket`.
    """
    with store.errors(""):
        return frozenset(store.service.client.bucket(store.bucket).test_iam_permissions(sorted(wanted), timeout=QUICK_TIMEOUT, retry=None))


def read_policy(store: Store) -> tuple[Mapping[str, Any], ...]:
    """Who has which role in the bucket, without what it inherits: rows with `role`, `members` and perhaps `condition`.

    Raises:
        ConfigurationError, NotPermitted, StoreError: as for `require_bucket`.
    """
    with store.errors(""):
        policy = store.service.client.bucket(store.bucket).get_iam_policy(requested_policy_version=3, timeout=QUICK_TIMEOUT, retry=None)
        return tuple(policy.bindings)


def read_rules(store: Store) -> BucketRules:
    """The rules of a bucket. Workers need not be allowed to read them.

    Raises:
        ConfigurationError, NotPermitted, StoreError: as for `require_bucket`.
    """
    with store.errors(""):
        bucket = store.service.client.get_bucket(store.bucket, timeout=QUICK_TIMEOUT, retry=None)
        return BucketRules(
            location=str(bucket.location or "").lower(),
            versioned=bool(bucket.versioning_enabled),
            deletes=tuple(_words(rule) for rule in map(dict, bucket.lifecycle_rules) if rule.get("action", {}).get("type") == "Delete"),
            retention_seconds=int(bucket.retention_period or 0),
        )


def _words(rule: Mapping[str, Any]) -> str:
    conditions = rule.get("condition", {})
    return ", ".join(f"{key} {value}" for key, value in sorted(conditions.items())) or "always"
