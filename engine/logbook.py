"""The worker's log: one JSON object a line on stdout, the same lines as objects in the state bucket, events to Cloud Logging.

The shape on stdout is the one that Cloud Logging's agents parse (`severity`, `time`, `message`). The key never gets in: every
text is searched for it before it is written.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import IO, Protocol

from engine.clock import Clock, format_time, utc_now
from engine.errors import AlreadyExists
from engine.paths import log_object
from engine.redaction import Redaction
from engine.store import Store

FLUSH_SECONDS = 60.0
"""How often the log becomes an object in the bucket."""

SEVERITIES = ("DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL")

KEPT_BYTES = 32 << 20
"""So much of the log waits in memory for a bucket that is away. Beyond that DEBUG goes first, then INFO, and it is told."""

_ENCODER = json.JSONEncoder(default=str, ensure_ascii=False)

_TIERS = (("DEBUG",), ("INFO", "NOTICE"), SEVERITIES)
"""In this order lines make room, the oldest of a tier first."""


class Sink(Protocol):
    """Where entries also go, without ever blocking or raising."""

    def write(self, severity: str, time: datetime, fields: Mapping[str, object]) -> None:
        """Take one entry."""


class Logbook:
    """Writes entries. Safe to use from several threads."""

    def __init__(
        self,
        *,
        stream: IO[str] | None = None,
        secrets: tuple[str, ...] = (),
        context: Mapping[str, object] | None = None,
        clock: Clock = utc_now,
        minimum: str = "DEBUG",
        as_text: bool = False,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        """`context` is in every entry; `secrets` are cut out of every text; `as_text` writes for people instead of JSON."""
        self._stream = stream if stream is not None else sys.stdout
        self._redaction = Redaction(secrets)
        self._context = dict(context or {})
        self._clock = clock
        self._minimum = SEVERITIES.index(minimum)
        self._as_text = as_text
        self._lines: list[str] = []
        self._bytes = 0
        self._kept_bytes = kept_bytes
        self._dropped: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._sinks: list[Sink] = []
        self._on_error: Callable[[str], None] = lambda _message: None

    def add_sink(self, sink: Sink) -> None:
        """Send every later entry to `sink` too."""
        self._sinks.append(sink)

    def on_error(self, hear: Callable[[str], None]) -> None:
        """Tell `hear` the message of every ERROR and CRITICAL entry."""
        self._on_error = hear

    def bind(self, **context: object) -> None:
        """Add to what every later entry carries."""
        self._context.update(context)

    def event(self, severity: str, event: str, message: str, **fields: object) -> None:
        """Write one entry.

        Args:
            severity: one of `SEVERITIES`.
            event: stable name of what happened, e.g. `file_committed`.
            message: one line for people.
            fields: venue, data_type, day, symbol, outcome, bytes, seconds, ...; None is left out.
        """
        moment = self._clock()
        entry: dict[str, object] = {"severity": severity, "time": format_time(moment), "message": message, "event": event}
        entry |= {key: value for key, value in (self._context | fields).items() if value is not None}
        line = self.redact(_ENCODER.encode(entry))
        if severity in ("ERROR", "CRITICAL"):
            self._on_error(self.redact(message))
        with self._lock:
            self._lines.append(line)
            self._bytes += len(line)
            self._make_room()
            if SEVERITIES.index(severity) >= self._minimum:
                shown = f"{moment:%H:%M:%S} {severity} {self.redact(message)}" if self._as_text else line
                self._stream.write(shown + "\n")
                self._stream.flush()
        if self._sinks:
            clean = json.loads(line)
            for sink in self._sinks:
                sink.write(severity, moment, clean)

    def debug(self, event: str, message: str, **fields: object) -> None:
        """An entry for whoever debugs the engine."""
        self.event("DEBUG", event, message, **fields)

    def info(self, event: str, message: str, **fields: object) -> None:
        """An entry about the normal course."""
        self.event("INFO", event, message, **fields)

    def warning(self, event: str, message: str, **fields: object) -> None:
        """Something odd that the worker coped with."""
        self.event("WARNING", event, message, **fields)

    def error(self, event: str, message: str, **fields: object) -> None:
        """Something was not done."""
        self.event("ERROR", event, message, **fields)

    def take_lines(self) -> list[str]:
        """The lines since the last call. If some had to make room, the last one tells how many."""
        with self._lock:
            lines, self._lines, self._bytes = self._lines, [], 0
            dropped, self._dropped = self._dropped, Counter()
        if dropped:
            lines.append(self._dropped_line(dropped))
        return lines

    def put_back(self, lines: list[str]) -> None:
        """Return lines that could not be stored."""
        with self._lock:
            self._lines = lines + self._lines
            self._bytes += sum(map(len, lines))
            self._make_room()

    def _make_room(self) -> None:
        """Drop lines once there are too many, down to half: so the next lines find room without another pass."""
        if self._bytes <= self._kept_bytes:
            return
        for tier in _TIERS:
            starts = tuple(f'{{"severity": "{severity}"' for severity in tier)
            kept: list[str] = []
            for line in self._lines:
                if self._bytes > self._kept_bytes // 2 and line.startswith(starts):
                    self._bytes -= len(line)
                    self._dropped[json.loads(line)["severity"]] += 1
                else:
                    kept.append(line)
            self._lines = kept

    def _dropped_line(self, dropped: Counter[str]) -> str:
        counts = ", ".join(f"{severity} {dropped[severity]}" for severity in SEVERITIES if dropped[severity])
        entry = {
            "severity": "WARNING",
            "time": format_time(self._clock()),
            "message": f"log lines dropped before they could be stored: {counts}",
            "event": "log_lines_dropped",
            **{key: value for key, value in self._context.items() if value is not None},
            "dropped": dict(dropped),
        }
        return self.redact(_ENCODER.encode(entry))

    def redact(self, text: str) -> str:
        """The text without the secrets."""
        return self._redaction.clean(text)


class LogObjects:
    """Stores a logbook's lines piece by piece under `runs/<run>/logs/<vm>/`. One thread at a time."""

    def __init__(self, store: Store, logbook: Logbook, *, run: str, vm: str, attempt: int) -> None:
        self._store, self._logbook = store, logbook
        self._run, self._vm, self._attempt = run, vm, attempt
        self._number = 0

    def flush(self) -> str:
        """Store what came since the last call; returns the object's name, or "" if there was nothing."""
        lines = self._logbook.take_lines()
        if not lines:
            return ""
        body = gzip.compress(("\n".join(lines) + "\n").encode(), 6, mtime=0)
        try:
            while True:
                name = log_object(self._run, self._vm, self._attempt, self._number)
                try:
                    self._store.put(name, body, if_generation=0, content_type="application/gzip")
                except AlreadyExists:
                    # A restarted process of the same attempt, or our own write whose reply was lost: never overwrite.
                    existing = self._store.get(name)
                    self._number += 1
                    if existing is not None and existing.data == body:
                        return name
                else:
                    self._number += 1
                    return name
        except BaseException:
            self._logbook.put_back(lines)
            raise
