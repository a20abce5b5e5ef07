"""The entries that the server holds: a bounded ring in memory, ordered by time, with its journal on disk.

Ordered by (timestamp, insert id, log name), so that a page of a listing starts where the one before ended, by bisection,
and nothing is scanned twice. Entries are kept serialised: a quarter of the memory of parsed ones, and ready for the journal.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from provision.local.logs.journal import Journal

MAX_ENTRIES = 200_000
MAX_BYTES = 512 << 20
"""Serialised entries in memory; with entries of the greatest size the ring is shorter."""
JOURNAL_SLACK = 2
"""The journal is rewritten when it holds this many times what the ring holds."""
JOURNAL_LEAST = 10_000
"""A journal shorter than this many frames is never rewritten for its length."""


class Key(NamedTuple):
    """Where an entry stands, and what makes it the same as another: a second entry with this key is dropped."""

    timestamp_ns: int
    insert_id: str
    log_name: str


@dataclass(frozen=True, slots=True)
class Record:
    """One entry, with what the index needs of it."""

    key: Key
    severity: int
    data: bytes
    """The serialised `LogEntry`."""


def record_of(entry: Any) -> Record:
    """The record of a complete raw `LogEntry`."""
    stamp = entry.timestamp
    key = Key(stamp.seconds * 1_000_000_000 + stamp.nanos, entry.insert_id, entry.log_name)
    return Record(key, entry.severity, entry.SerializeToString())


class EntryStore:
    """Entries of all logs. Not thread-safe: it lives on the server's event loop."""

    def __init__(self, root: Path, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        """Open the store and read back its journal from `root`."""
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._keys: list[Key] = []
        self._records: list[Record] = []
        self._known: set[Key] = set()
        self._log_counts: dict[str, int] = {}
        self._bytes = 0
        self._journal = Journal(root)
        from google.cloud.logging_v2.types import LogEntry

        parse = LogEntry.pb().FromString
        self._insert([record_of(parse(frame)) for frame in self._journal.replay()])
        self._shrink()

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def log_names(self) -> list[str]:
        """Names of the logs that hold entries, sorted."""
        return sorted(self._log_counts)

    def add(self, records: Iterable[Record]) -> set[Key]:
        """Keep those records that are not there yet; the oldest make room for them.

        Returns:
            The keys that were new, also of those that made room at once.
        """
        new = self._insert(records)
        self._journal.append(record.data for record in new)
        self._shrink()
        return {record.key for record in new}

    def delete_log(self, log_name: str) -> int:
        """Forget every entry of a log, on disk too. Returns how many."""
        kept = [record for record in self._records if record.key.log_name != log_name]
        gone = len(self._records) - len(kept)
        if gone:
            self._records = kept
            self._keys = [record.key for record in kept]
            self._known = set(self._keys)
            self._bytes = sum(len(record.data) for record in kept)
            del self._log_counts[log_name]
            self._journal.rewrite(record.data for record in kept)
        return gone

    def after(self, key: Key | None, limit: int, *, inclusive: bool = False) -> list[Record]:
        """The next `limit` records in ascending order: beyond `key`, or from it on; from the oldest without one."""
        find = bisect_left if inclusive else bisect_right
        start = 0 if key is None else find(self._keys, key)
        return self._records[start : start + limit]

    def before(self, key: Key | None, limit: int, *, inclusive: bool = False) -> list[Record]:
        """The next `limit` records in descending order: beyond `key`, or from it on; from the newest without one."""
        find = bisect_right if inclusive else bisect_left
        end = len(self._keys) if key is None else find(self._keys, key)
        return self._records[max(end - limit, 0) : end][::-1]

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def _insert(self, records: Iterable[Record]) -> list[Record]:
        new: list[Record] = []
        for record in records:
            if record.key not in self._known:
                self._known.add(record.key)
                new.append(record)
        for record in sorted(new, key=lambda record: record.key):
            key = record.key
            if not self._keys or key > self._keys[-1]:
                self._keys.append(key)
                self._records.append(record)
            else:
                at = bisect_left(self._keys, key)
                self._keys.insert(at, key)
                self._records.insert(at, record)
            self._bytes += len(record.data)
            self._log_counts[key.log_name] = self._log_counts.get(key.log_name, 0) + 1
        return new

    def _shrink(self) -> None:
        excess = max(len(self._keys) - self._max_entries, 0)
        size = self._bytes - sum(len(record.data) for record in self._records[:excess])
        while size > self._max_bytes:
            size -= len(self._records[excess].data)
            excess += 1
        if excess:
            for key in self._keys[:excess]:
                self._known.discard(key)
                left = self._log_counts[key.log_name] - 1
                if left:
                    self._log_counts[key.log_name] = left
                else:
                    del self._log_counts[key.log_name]
            del self._keys[:excess]
            del self._records[:excess]
            self._bytes = size
        journal = self._journal
        too_many = journal.frames > max(len(self._keys) * JOURNAL_SLACK, JOURNAL_LEAST)
        if too_many or journal.bytes > 2 * self._max_bytes:
            journal.rewrite(self.serialised())

    def serialised(self) -> Iterator[bytes]:
        """All entries as they are on the wire, oldest first."""
        return (record.data for record in self._records)
