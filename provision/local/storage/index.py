"""The index of buckets, objects and upload sessions: SQLite, so that it outlives a restart and kill -9.

Every statement is a point or range access on a primary key, so it runs on the event loop: a commit takes well under a
millisecond (WAL, no sync per commit; the operating system keeps the log when the process is killed), which is less than
handing it to a thread costs, and it makes "check the preconditions, then commit" atomic without a lock.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, project TEXT NOT NULL, metageneration INTEGER NOT NULL, created INTEGER NOT NULL,
    updated INTEGER NOT NULL, settings TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL, metageneration INTEGER NOT NULL,
    updated INTEGER NOT NULL, size INTEGER NOT NULL, crc32c TEXT NOT NULL, md5 TEXT, components INTEGER,
    storage_class TEXT NOT NULL, settings TEXT NOT NULL, PRIMARY KEY (bucket, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL, order_json TEXT NOT NULL,
    status INTEGER NOT NULL DEFAULT 0, outcome TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL);
INSERT OR IGNORE INTO clock VALUES (1, 0);
"""


@dataclass(frozen=True, slots=True)
class StoredBucket:
    """A bucket. Times are microseconds since 1970, UTC."""

    name: str
    project: str
    metageneration: int
    created: int
    updated: int
    settings: Mapping[str, Any]
    """What a client may set, in the API's own words (labels, location, storageClass, ...)."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The live version of an object."""

    bucket: str
    name: str
    generation: int
    """Microseconds since 1970 at which it was committed; never the same twice, never decreasing."""
    metageneration: int
    updated: int
    """Microseconds since 1970 of the last change to its metadata."""
    size: int
    crc32c: str
    """Base64 of the four big-endian bytes."""
    md5: str | None
    """Base64; None for a composed object, as in Cloud Storage."""
    components: int | None
    """How many uploads a composed object is made of."""
    storage_class: str
    settings: Mapping[str, Any]
    """What a client may set, in the API's own words (contentType, metadata, ...)."""


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A resumable upload: what was asked for at its start and, once it has ended, how."""

    id: str
    bucket: str
    name: str
    created: int
    order: Mapping[str, Any]
    status: int
    """0 while it is open, else the HTTP status that ended it."""
    outcome: Mapping[str, Any] | None
    """What its end answered: the object, or the error."""


_OBJECT = "bucket, name, generation, metageneration, updated, size, crc32c, md5, components, storage_class, settings"


class Index:
    """The index in one file. Not for use by several threads at once."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA temp_store = MEMORY")
        self._db.executescript(_SCHEMA)
        self._last = int(self._db.execute("SELECT last FROM clock").fetchone()[0])

    def close(self) -> None:
        self._db.close()

    def tick(self) -> int:
        """Microseconds since 1970, greater than any this index gave before, even if the clock went back."""
        self._last = max(time.time_ns() // 1000, self._last + 1)
        return self._last

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # Buckets

    def bucket(self, name: str) -> StoredBucket | None:
        row = self._db.execute("SELECT * FROM buckets WHERE name = ?", (name,)).fetchone()
        return _bucket(row) if row else None

    def buckets(self, project: str, low: str, limit: int) -> list[StoredBucket]:
        """Buckets of a project by name, from `low` on."""
        rows = self._db.execute("SELECT * FROM buckets WHERE name >= ? AND project = ? ORDER BY name LIMIT ?", (low, project, limit))
        return [_bucket(row) for row in rows]

    def put_bucket(self, bucket: StoredBucket) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?, ?)",
            (
                bucket.name,
                bucket.project,
                bucket.metageneration,
                bucket.created,
                bucket.updated,
                _encode(bucket.settings),
            ),
        )

    def delete_bucket(self, name: str) -> None:
        self._db.execute("DELETE FROM buckets WHERE name = ?", (name,))

    def is_empty(self, bucket: str) -> bool:
        return self._db.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (bucket,)).fetchone() is None

    # Objects

    def object(self, bucket: str, name: str) -> StoredObject | None:
        row = self._db.execute(
            f"SELECT {_OBJECT} FROM objects WHERE bucket = ? AND name = ?",  # noqa: S608 - a constant list of columns
            (bucket, name),
        ).fetchone()
        return _object(row) if row else None

    def put_object(self, stored: StoredObject, session: tuple[str, int, Mapping[str, Any]] | None = None) -> None:
        """Make `stored` the live version; with `session` (id, status, outcome) ends that upload in the same commit."""
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    stored.bucket,
                    stored.name,
                    stored.generation,
                    stored.metageneration,
                    stored.updated,
                    stored.size,
                    stored.crc32c,
                    stored.md5,
                    stored.components,
                    stored.storage_class,
                    _encode(stored.settings),
                ),
            )
            self._db.execute("UPDATE clock SET last = ?", (self._last,))
            if session:
                self._end_session(*session)

    def delete_object(self, bucket: str, name: str) -> None:
        self._db.execute("DELETE FROM objects WHERE bucket = ? AND name = ?", (bucket, name))

    def scan(self, bucket: str, low: str, high: str | None, limit: int) -> list[StoredObject]:
        """Objects with low <= name < high, by name in the order of UTF-8 bytes."""
        above = "" if high is None else "AND name < ?"
        values = (bucket, low, limit) if high is None else (bucket, low, high, limit)
        rows = self._db.execute(
            f"SELECT {_OBJECT} FROM objects WHERE bucket = ? AND name >= ? {above} "  # noqa: S608 - no outside text
            "ORDER BY name LIMIT ?",
            values,
        )
        return [_object(row) for row in rows]

    def generations(self) -> set[int]:
        """The generations of all live objects: the bodies that must stay."""
        return {row[0] for row in self._db.execute("SELECT generation FROM objects")}

    # Upload sessions

    def add_session(self, session: StoredSession) -> None:
        self._db.execute(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, 0, NULL)",
            (session.id, session.bucket, session.name, session.created, _encode(session.order)),
        )

    def session(self, session_id: str) -> StoredSession | None:
        row = self._db.execute("SELECT * FROM sessions WHERE id = ?", (session_id,)).fetchone()
        if row is None:
            return None
        outcome = msgspec.json.decode(row[6]) if row[6] else None
        ident, bucket, name, created, order, status, _outcome = row
        return StoredSession(ident, bucket, name, created, msgspec.json.decode(order), status, outcome)

    def end_session(self, session_id: str, status: int, outcome: Mapping[str, Any] | None) -> None:
        self._end_session(session_id, status, outcome)

    def _end_session(self, session_id: str, status: int, outcome: Mapping[str, Any] | None) -> None:
        self._db.execute(
            "UPDATE sessions SET status = ?, outcome = ? WHERE id = ?",
            (status, _encode(outcome) if outcome is not None else None, session_id),
        )

    def forget_sessions(self, before: int) -> None:
        """Forget sessions begun before that time (microseconds since 1970), ended or not."""
        self._db.execute("DELETE FROM sessions WHERE created < ?", (before,))

    def open_sessions(self) -> set[str]:
        """The ids of the sessions that have not ended."""
        return {row[0] for row in self._db.execute("SELECT id FROM sessions WHERE status = 0")}


def _encode(settings: Mapping[str, Any]) -> str:
    return msgspec.json.encode(settings).decode()


def _bucket(row: tuple[Any, ...]) -> StoredBucket:
    name, project, metageneration, created, updated, settings = row
    return StoredBucket(name, project, metageneration, created, updated, msgspec.json.decode(settings))


def _object(row: tuple[Any, ...]) -> StoredObject:
    bucket, name, generation, metageneration, updated, size, crc32c, md5, components, storage_class, settings = row
    return StoredObject(
        bucket,
        name,
        generation,
        metageneration,
        updated,
        size,
        crc32c,
        md5,
        components,
        storage_class,
        msgspec.json.decode(settings),
    )
