"""The worker's log: one JSON object a line on stdout, the same lines as objects in the state bucket, events to Cloud Logging.

The shape on stdout is the one that Cloud Logging's agents parse (`severity`, `time`, `message`). The key never gets in: every
text is searched for it before it is written.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import IO, Protocol

from engine.clock import Clock, format_time, utc_now
from engine.errors import AlreadyExists
from engine.paths import log_object
from engine.store import Store

FLUSH_SECONDS = 60.0
"""How often the log becomes an object in the bucket."""

SEVERITIES = ("DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL")
REDACTED = "[redacted]"


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
    ) -> None:
        """`context` is in every entry; `secrets` are cut out of every text; `as_text` writes for people instead of JSON."""
        self._stream = stream if stream is not None else sys.stdout
        self._secrets = tuple(secret for secret in secrets if secret)
        self._context = dict(context or {})
        self._clock = clock
        self._minimum = SEVERITIES.index(minimum)
        self._as_text = as_text
        self._lines: list[str] = []
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
        line = self._redact(json.dumps(entry, default=str, ensure_ascii=False))
        if severity in ("ERROR", "CRITICAL"):
            self._on_error(self._redact(message))
        with self._lock:
            self._lines.append(line)
            if SEVERITIES.index(severity) >= self._minimum:
                shown = f"{moment:%H:%M:%S} {severity} {self._redact(message)}" if self._as_text else line
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
        """The lines since the last call."""
        with self._lock:
            lines, self._lines = self._lines, []
        return lines

    def put_back(self, lines: list[str]) -> None:
        """Return lines that could not be stored."""
        with self._lock:
            self._lines = lines + self._lines

    def _redact(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text


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
