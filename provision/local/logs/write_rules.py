"""What may be written to a log, and what the service fills in: names, sizes, labels, times.

Kept apart from the gRPC service so that each rule stands alone. Limits are those of Google's "Quotas and limits" page.
The text for an entry that is too large is Google's own (quoted in public issue trackers); for the other rules no quotable
text was found, so the wording is ours and only the status code should be relied on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

MAX_ENTRY_BYTES = 256 << 10
MAX_REQUEST_BYTES = 10 << 20
MAX_LABELS = 64
MAX_LABEL_KEY_BYTES = 512
MAX_LABEL_VALUE_BYTES = 64 << 10
MAX_FUTURE_NS = 24 * 3600 * 1_000_000_000
RETENTION_NS = 30 * 24 * 3600 * 1_000_000_000
"""Older entries are accepted and not kept, as in a `_Default` bucket of 30 days."""

PARENT = r"(?:projects|organizations|folders|billingAccounts)/[^/\s]+"
_LOG_NAME = re.compile(rf"({PARENT})/logs/((?:[A-Za-z0-9_.-]|%2[Ff]){{1,511}})")
_RESOURCE_NAME = re.compile(rf"({PARENT})(?:/locations/[^/\s]+/buckets/[^/\s]+/views/[^/\s]+)?")


class RuleError(ValueError):
    """The request breaks a rule; sent back as INVALID_ARGUMENT."""


def check_log_name(name: str) -> str:
    """Return the log name without the leading slash that old clients may send.

    Raises:
        RuleError: naming it.
    """
    plain = name.removeprefix("/")
    if not plain:
        raise RuleError("Log name is required: neither the entry nor the request has one.")
    if not _LOG_NAME.fullmatch(plain):
        raise RuleError(
            f'Log name contains illegal character or is malformed: "{name}". Expected "projects/[PROJECT_ID]/logs/[LOG_ID]"'
            " with a URL-encoded log id."
        )
    return plain


def parents(names: list[str]) -> tuple[str, ...]:
    """The log name prefixes that belong to resource names (a project, or a view of one of its buckets).

    Raises:
        RuleError: if there are none, too many, or one is malformed.
    """
    if not names:
        raise RuleError("resource_names must not be empty.")
    if len(names) > 100:
        raise RuleError(f"resource_names has {len(names)} names, more than the maximum of 100.")
    found: list[str] = []
    for name in names:
        match = _RESOURCE_NAME.fullmatch(name)
        if match is None:
            raise RuleError(f'Invalid resource name: "{name}".')
        found.append(f"{match[1]}/logs/")
    return tuple(found)


class WriteRules:
    """Completes and checks the entries of one `WriteLogEntries` request, in place.

    Args:
        request: the raw request; its defaults apply to every entry.
        now_ns: the moment of receipt, nanoseconds since the epoch.
        next_insert_id: makes unique, rising ids for entries that bring none.
    """

    def __init__(self, request: Any, now_ns: int, next_insert_id: Callable[[], str]) -> None:
        self._request = request
        self._labels: Mapping[str, str] = dict(request.labels)
        self._has_resource = request.HasField("resource")
        self._now = divmod(now_ns, 1_000_000_000)
        self._now_ns = now_ns
        self._next_insert_id = next_insert_id
        self._checked_names: dict[str, str] = {}

    def complete(self, entry: Any) -> bool:
        """Fill in what a raw entry lacks.

        Returns:
            Whether the entry is young enough to be kept.

        Raises:
            RuleError: if it must not be written.
        """
        name = entry.log_name or self._request.log_name
        plain = self._checked_names.get(name)
        if plain is None:
            plain = self._checked_names[name] = check_log_name(name)
        if plain != entry.log_name:
            entry.log_name = plain
        if not entry.HasField("resource"):
            if not self._has_resource:
                raise RuleError("A monitored resource is required: neither the entry nor the request has one.")
            entry.resource.CopyFrom(self._request.resource)
        if self._labels or entry.labels:
            self._complete_labels(entry.labels)
        kept = self._complete_timestamp(entry)
        entry.receive_timestamp.seconds, entry.receive_timestamp.nanos = self._now
        if not entry.insert_id:
            entry.insert_id = self._next_insert_id()
        size = entry.ByteSize()
        if size > MAX_ENTRY_BYTES:
            raise RuleError(f"Log entry with size {_amount(size)} exceeds maximum size of {_amount(MAX_ENTRY_BYTES)}")
        return kept

    def _complete_labels(self, labels: Any) -> None:
        for key, value in self._labels.items():
            if key not in labels:
                labels[key] = value
        if len(labels) > MAX_LABELS:
            raise RuleError(f"Log entry has {len(labels)} labels, more than the maximum of {MAX_LABELS}.")
        for key, value in list(labels.items()):
            short_key, short_value = _cut(key, MAX_LABEL_KEY_BYTES), _cut(value, MAX_LABEL_VALUE_BYTES)
            if short_key is not key or short_value is not value:
                del labels[key]
                labels[short_key] = short_value

    def _complete_timestamp(self, entry: Any) -> bool:
        if not entry.HasField("timestamp"):
            entry.timestamp.seconds, entry.timestamp.nanos = self._now
            return True
        moment = entry.timestamp.seconds * 1_000_000_000 + entry.timestamp.nanos
        if moment > self._now_ns + MAX_FUTURE_NS:
            raise RuleError("Log entry timestamp is more than 24 hours in the future.")
        return bool(moment >= self._now_ns - RETENTION_NS)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit // 4:
        return text
    data = text.encode()
    return text if len(data) <= limit else data[: limit - 3].decode(errors="ignore") + "…"


def _amount(size: int) -> str:
    return f"{size / (1 << 20):.2f}M" if size >= 1 << 20 else f"{size / 1024:.1f}K"
