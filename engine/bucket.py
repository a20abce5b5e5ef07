"""A bucket itself, not its objects: is it there, what may this account do in it, and what rules has it.

Each question is asked once, within seconds, and never again: whoever asks wants to know now. Objects are `engine.store`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from engine.store import Store

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
    with store._errors(""):
        for _ in store._client.list_blobs(store._bucket, max_results=1, fields="items(name)", retry=None, timeout=QUICK_TIMEOUT):
            pass


def ask_permissions(store: Store, wanted: Collection[str]) -> frozenset[str]:
    """Which of the permissions this account has in the bucket. To ask needs none.

    Raises:
        ConfigurationError, NotPermitted, StoreError: as for `require_bucket`.
    """
    with store._errors(""):
        return frozenset(store._bucket.test_iam_permissions(sorted(wanted), timeout=QUICK_TIMEOUT, retry=None))


def read_policy(store: Store) -> tuple[Mapping[str, Any], ...]:
    """Who has which role in the bucket, without what it inherits: rows with `role`, `members` and perhaps `condition`.

    Raises:
        ConfigurationError, NotPermitted, StoreError: as for `require_bucket`.
    """
    with store._errors(""):
        policy = store._bucket.get_iam_policy(requested_policy_version=3, timeout=QUICK_TIMEOUT, retry=None)
        return tuple(policy.bindings)


def read_rules(store: Store) -> BucketRules:
    """The rules of a bucket. Workers need not be allowed to read them.

    Raises:
        ConfigurationError, NotPermitted, StoreError: as for `require_bucket`.
    """
    with store._errors(""):
        bucket = store._client.get_bucket(store.bucket, timeout=QUICK_TIMEOUT, retry=None)
        return BucketRules(
            location=str(bucket.location or "").lower(),
            versioned=bool(bucket.versioning_enabled),
            deletes=tuple(_words(rule) for rule in map(dict, bucket.lifecycle_rules) if rule.get("action", {}).get("type") == "Delete"),
            retention_seconds=int(bucket.retention_period or 0),
        )


def _words(rule: Mapping[str, Any]) -> str:
    conditions = rule.get("condition", {})
    return ", ".join(f"{key} {value}" for key, value in sorted(conditions.items())) or "always"
