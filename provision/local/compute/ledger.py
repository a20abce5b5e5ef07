"""What the server remembers: one SQLite table of JSON records, so that a killed server finds its machines again.

The file belongs to one process at a time: a second server on the same root fails at once instead of doubling the fleet.
Each write is one transaction. SQLite's write-ahead log makes it whole even when the process dies in the middle of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE_NAME = "compute.sqlite"


class Ledger:
    """Records by kind and key.

    Raises:
        sqlite3.OperationalError: on opening, if another process has the file.
    """

    def __init__(self, root: Path) -> None:
        self._db = sqlite3.connect(root / FILE_NAME, isolation_level=None, timeout=1.0)
        try:
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS records (kind TEXT, key TEXT, body TEXT, PRIMARY KEY (kind, key))")
        except sqlite3.Error:
            self._db.close()
            raise

    def put(self, kind: str, key: str, body: dict[str, Any]) -> None:
        """Write or overwrite one record."""
        self._db.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", (kind, key, json.dumps(body)))

    def drop(self, kind: str, key: str) -> None:
        """Forget one record; nothing happens if there is none."""
        self._db.execute("DELETE FROM records WHERE kind = ? AND key = ?", (kind, key))

    def all(self, kind: str) -> Iterator[dict[str, Any]]:
        """Every record of a kind, in the order of their keys."""
        rows = self._db.execute("SELECT body FROM records WHERE kind = ? ORDER BY key", (kind,)).fetchall()
        for (body,) in rows:
            yield json.loads(body)

    def next_number(self) -> int:
        """A number that this ledger never gave before: ids and places in line are made of it."""
        [(number,)] = self._db.execute(
            "INSERT INTO records VALUES ('counter', '', '1') "
            "ON CONFLICT (kind, key) DO UPDATE SET body = CAST(body AS INTEGER) + 1 RETURNING CAST(body AS INTEGER)"
        ).fetchall()
        return int(number)

    def close(self) -> None:
        """Close the file."""
        self._db.close()
