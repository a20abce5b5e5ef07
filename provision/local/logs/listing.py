"""Reading pages of entries in time order: from a cursor, through the index, without scanning anything twice.

A page token is the key of the next matching entry, so the next page starts exactly there.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from provision.local.logs.entry_store import EntryStore, Key, Record
from provision.local.logs.query_match import CompiledFilter
from provision.local.logs.write_rules import RuleError

MAX_PAGE_ENTRIES = 1_000
DEFAULT_PAGE_ENTRIES = 50
MAX_PAGE_BYTES = 3 << 20
"""Below the 4 MiB that a gRPC client accepts by default."""
SCAN_CHUNK = 1_000
"""Entries looked at before others get their turn on the event loop."""

_LAST_TEXT = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Listing:
    """One list request, checked."""

    parents: tuple[str, ...]
    query: CompiledFilter
    descending: bool
    page_size: int
    fingerprint: str
    """Hash of everything that must stay the same from page to page."""


def read_order(order_by: str) -> bool:
    """Whether the newest come first.

    Raises:
        RuleError: if it is none of the two orders there are.
    """
    order = order_by.strip() or "timestamp asc"
    if order not in ("timestamp asc", "timestamp desc"):
        raise RuleError(f'Invalid order_by "{order_by}". Supported values are "timestamp asc" and "timestamp desc".')
    return order == "timestamp desc"


def read_page_size(page_size: int) -> int:
    """The page size in force.

    Raises:
        RuleError: if it is negative or more than 1,000.
    """
    if not 0 <= page_size <= MAX_PAGE_ENTRIES:
        raise RuleError(f"page_size must be between 0 and {MAX_PAGE_ENTRIES}, not {page_size}.")
    return page_size or DEFAULT_PAGE_ENTRIES


def fingerprint(*parts: object) -> str:
    """A short hash of request parameters."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def write_token(key: Key, mark: str) -> str:
    """A page token: the next entry, and the fingerprint of the request it belongs to."""
    return base64.urlsafe_b64encode(json.dumps([*key, mark]).encode()).decode()


def read_token(token: str, mark: str) -> Key:
    """The inverse of `write_token`.

    Raises:
        RuleError: if the token is damaged or belongs to another request.
    """
    try:
        timestamp_ns, insert_id, log_name, written = json.loads(base64.urlsafe_b64decode(token.encode()))
        key = Key(int(timestamp_ns), str(insert_id), str(log_name))
    except (ValueError, TypeError):
        raise RuleError("page_token is invalid.") from None
    if written != mark:
        raise RuleError("page_token does not belong to a request with these parameters.")
    return key


async def read_page(
    store: EntryStore, listing: Listing, start: Key | None, parse: Callable[[bytes], Any]
) -> tuple[list[Record], Key | None]:
    """The entries of one page, and the key of the one that the next page starts with (None: this is the last page).

    Args:
        store: where entries are.
        listing: what to look for.
        start: first key to look at, None for the beginning.
        parse: makes a raw `LogEntry` of its bytes.
    """
    query, descending = listing.query, listing.descending
    read = store.before if descending else store.after
    at, inclusive = start or _first_key(query, descending), True
    page: list[Record] = []
    size = 0
    while chunk := read(at, SCAN_CHUNK, inclusive=inclusive):
        for record in chunk:
            moment = record.key.timestamp_ns
            if query.since_ns is not None and moment < query.since_ns:
                if descending:
                    return page, None
                continue
            if query.until_ns is not None and moment > query.until_ns:
                if not descending:
                    return page, None
                continue
            if record.severity < query.min_severity or not record.key.log_name.startswith(listing.parents):
                continue
            if not query.matches(parse(record.data)):
                continue
            size += len(record.data)
            if len(page) >= listing.page_size or (page and size > MAX_PAGE_BYTES):
                return page, record.key
            page.append(record)
        at, inclusive = chunk[-1].key, False
        await asyncio.sleep(0)
    return page, None


def _first_key(query: CompiledFilter, descending: bool) -> Key | None:
    if descending:
        return None if query.until_ns is None else Key(query.until_ns, _LAST_TEXT, _LAST_TEXT)
    return None if query.since_ns is None else Key(query.since_ns, "", "")
