"""Who asked for which file, and what was sent: the outside view a test compares with what the engine says of itself."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO


@dataclass(slots=True)
class Entry:
    """One dataset request, filled in while it is answered."""

    method: str
    path: str
    range: str | None
    user_agent: str | None
    keyed: bool
    """Whether it carried a key. The key itself is never written down."""
    status: int = 0
    """0 if no status line was sent."""
    bytes: int = 0
    """Of the body, handed to the connection."""
    fault: str | None = None
    asked: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    """UTC, when the request came."""
    time: str = ""
    """UTC, when the answer ended."""


class RequestLog:
    """`requests.jsonl`: one line a request, written at the end of its answer; it outlives a kill of the server."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def open(self) -> None:
        """Begin to append, after what is there already."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        torn = self._path.exists() and not self._path.read_bytes().endswith(b"\n")
        self._file = self._path.open("a", buffering=1, encoding="utf-8")
        if torn:  # by a kill: the next entry must not continue that line
            self._file.write("\n")

    def add(self, entry: Entry) -> None:
        """Append `entry`, stamped with the time."""
        entry.time = datetime.now(UTC).isoformat()
        assert self._file is not None, "the log is not open"
        self._file.write(json.dumps(asdict(entry)) + "\n")

    def read(self, path_part: str = "") -> dict[str, Any]:
        """All requests since the folder exists whose path contains `path_part`, and how often each fault struck them."""
        requests = []
        for line in self._path.read_text("utf-8").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # a kill can leave half a line
                continue
            if path_part in entry["path"]:
                requests.append(entry)
        faults = Counter(entry["fault"] for entry in requests if entry["fault"])
        return {"count": len(requests), "faults": dict(faults), "requests": requests}

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
