"""A worker's events to Cloud Logging: from any thread, in the background, never in the way of the work.

Kept apart from what a log line says: this module only carries entries. Its queue is bounded by count and by bytes. When the
API is slow or away, DEBUG is dropped first, then INFO; what was dropped is counted and told in an entry of its own when the
flow recovers. The full log is in the log objects of the state bucket; this copy is for tailing and searching.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from engine.clock import Clock, utc_now
from engine.errors import ConfigurationError
from engine.loopback import require_loopback

LOG_ID = "tickdeck-engine"
INSERT_ID_FIELD = "logging.googleapis.com/insertId"
"""In a line of JSON: the entry's insert id, by the name under which Google's agents look for it."""

SEVERITIES: Mapping[str, int] = {
    "DEFAULT": 0,
    "DEBUG": 100,
    "INFO": 200,
    "NOTICE": 300,
    "WARNING": 400,
    "ERROR": 500,
    "CRITICAL": 600,
    "ALERT": 700,
    "EMERGENCY": 800,
}
"""Cloud Logging's severities by name, with the numbers of its API."""

BATCH_ENTRIES = 1_000
BATCH_BYTES = 4 << 20
BATCH_SECONDS = 1.0
CALL_SECONDS = 10.0
"""How long one attempt to write a batch may take."""
LARGEST_PAYLOAD = 200 << 10
"""Bytes of JSON; the API refuses an entry of more than 256 KiB."""
CUT_MESSAGE_CHARACTERS = 16_000
ENTRY_OVERHEAD = 256
"""Bytes an entry costs beside its payload."""

LOOPBACK_CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),  # gRPC does not exempt 127.0.0.1 from a proxy in the environment
    ("grpc.max_receive_message_length", -1),
)


@dataclass(frozen=True, slots=True)
class GceInstance:
    """The monitored resource of a VM."""

    instance_id: str
    zone: str


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may wait for the API."""

    entries: int = 20_000
    bytes: int = 16 << 20


@dataclass(frozen=True, slots=True)
class WriterState:
    """What became of the entries so far."""

    sent: int
    waiting: int
    dropped: Mapping[str, int]
    """By severity name, since the start."""
    last_error: str
    """Why the last call failed; empty when it did not."""


@dataclass(frozen=True, slots=True)
class _Entry:
    severity: str
    moment: datetime
    insert_id: str
    payload: bytes

    @property
    def cost(self) -> int:
        return len(self.payload) + ENTRY_OVERHEAD


class InsertIds:
    """Ids that are the same for the copies of one line, wherever it was stored, and differ between lines.

    A hash of the line; a line that says exactly the same as one before it in the same microsecond gets a number behind.
    """

    def __init__(self) -> None:
        self._moment: datetime | None = None
        self._made: Counter[str] = Counter()

    def make(self, moment: datetime, fields: Mapping[str, object]) -> str:
        """The id of the next line. A line that brings its own id (`INSERT_ID_FIELD`) keeps it."""
        if own := fields.get(INSERT_ID_FIELD):
            return str(own)
        if moment != self._moment:
            self._moment = moment
            self._made.clear()
        mark = hashlib.blake2b(_json(fields) or repr(fields).encode(errors="replace"), digest_size=10).hexdigest()
        self._made[mark] += 1
        return mark if self._made[mark] == 1 else f"{mark}-{self._made[mark]}"


class EntryQueue:
    """Entries that wait to be sent, oldest first, within limits. Not locked: the writer does that."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._tiers: tuple[deque[tuple[int, _Entry]], ...] = (deque(), deque(), deque())
        self._numbers = itertools.count()
        self._bytes = 0
        self.dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(len(tier) for tier in self._tiers)

    @property
    def half_empty(self) -> bool:
        """Whether at most half of both limits is in use."""
        return len(self) * 2 <= self._limits.entries and self._bytes * 2 <= self._limits.bytes

    def put(self, entry: _Entry) -> None:
        """Add an entry, dropping older ones of less weight to make room, or the entry itself if there are none."""
        own = _tier(entry.severity)
        while len(self) >= self._limits.entries or self._bytes + entry.cost > self._limits.bytes:
            lighter = next((tier for tier in self._tiers[:own] if tier), None)
            if lighter is None:
                self.dropped[entry.severity] += 1
                return
            _, victim = lighter.popleft()
            self._bytes -= victim.cost
            self.dropped[victim.severity] += 1
        self._tiers[own].append((next(self._numbers), entry))
        self._bytes += entry.cost

    def take(self, entries: int, size: int) -> list[_Entry]:
        """Remove the oldest entries, at most that many and that many bytes (but at least one)."""
        batch: list[_Entry] = []
        while len(batch) < entries:
            oldest = min((tier for tier in self._tiers if tier), key=lambda tier: tier[0][0], default=None)
            if oldest is None or (batch and oldest[0][1].cost > size):
                break
            _, entry = oldest.popleft()
            size -= entry.cost
            self._bytes -= entry.cost
            batch.append(entry)
        return batch


class CloudLogWriter:
    """Writes entries to one log. `write` may be called from any thread; it neither blocks nor raises.

    Args:
        endpoint: `host:port` of a logging server on this machine; None for the real service over TLS.
        project: Google Cloud project.
        log_id: the log's name within the project.
        labels: put on every entry: run, shard, vm, ...
        resource: the VM that writes; None for a program that runs elsewhere.
        limits: of the queue.
        clock: current UTC time.
        batch_seconds: how long an entry may wait for others to be sent with it.
        client_factory: makes the API client, in the background thread, when the first entry is due.

    Raises:
        ConfigurationError: if `endpoint` is not on this machine.
    """

    def __init__(
        self,
        endpoint: str | None,
        project: str,
        *,
        log_id: str = LOG_ID,
        labels: Mapping[str, str],
        resource: GceInstance | None = None,
        limits: QueueLimits | None = None,
        clock: Clock = utc_now,
        batch_seconds: float = BATCH_SECONDS,
        client_factory: Callable[[], Any] | None = None,
    ) -> None:
        if endpoint:
            grpc_target(endpoint)
        self._client_factory = client_factory or (lambda: open_client(endpoint))
        self._client: Any = None
        self._project = project
        self._log_name = f"projects/{project}/logs/{log_id}"
        self._labels = dict(labels)
        self._resource = resource
        self._clock = clock
        self._batch_seconds = batch_seconds
        self._queue = EntryQueue(limits or QueueLimits())
        self._changed = threading.Condition()
        self._insert_ids = InsertIds()
        self._in_flight = 0
        self._sent = 0
        self._told: Counter[str] = Counter()
        self._last_error = ""
        self._closing = False
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="cloud-log", daemon=True)
        self._thread.start()

    def write(self, severity: str, time: datetime, fields: Mapping[str, object]) -> None:
        """Queue one entry (this is a `Sink` of the logbook).

        Args:
            severity: a name from `SEVERITIES`; another one counts as DEFAULT.
            time: when it happened, aware.
            fields: the line as it is on stdout: `message`, `event`, and whatever else.
        """
        name = severity if severity in SEVERITIES else "DEFAULT"
        with self._changed:
            try:
                entry = _Entry(name, time, self._insert_ids.make(time, fields), _payload(fields))
            except Exception:  # noqa: BLE001  a log line must not stop the work, whatever is in it
                self._queue.dropped[name] += 1
                return
            if self._closing:
                self._queue.dropped[name] += 1
                return
            self._queue.put(entry)
            if len(self._queue) in (1, BATCH_ENTRIES):
                self._changed.notify()

    def state(self) -> WriterState:
        """What became of the entries so far."""
        with self._changed:
            waiting = len(self._queue) + self._in_flight
            return WriterState(self._sent, waiting, dict(self._queue.dropped), self._last_error)

    def close(self, deadline: float = 5.0) -> int:
        """Send what waits, for at most `deadline` seconds, then stop.

        Returns:
            How many entries were left unsent.
        """
        with self._changed:
            self._closing = True
            self._give_up_at = min(self._give_up_at, time.monotonic() + deadline)
            self._changed.notify()
        self._thread.join(deadline)
        return self.state().waiting

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._queue) or self._closing)
                self._changed.wait_for(lambda: len(self._queue) >= BATCH_ENTRIES or self._closing, self._batch_seconds)
                if time.monotonic() >= self._give_up_at:
                    return
                batch = self._queue.take(BATCH_ENTRIES, BATCH_BYTES)
                if not batch:
                    return
                self._in_flight = len(batch)
            refused, error = self._send(batch)
            with self._changed:
                if error and self._given_up():
                    return  # still counted as waiting: nobody refused them
                self._in_flight = 0
                self._sent += len(batch) - len(refused)
                self._last_error = error
                self._queue.dropped.update(entry.severity for entry in refused)
                if not error:
                    self._tell_dropped()

    def _tell_dropped(self) -> None:
        """Queue an entry about what was dropped since the last such entry."""
        untold = self._queue.dropped - self._told
        if not untold or not self._queue.half_empty:
            return  # the flow has not recovered: the report would push out another entry
        self._told = self._queue.dropped.copy()
        counts = ", ".join(f"{name} {untold[name]}" for name in SEVERITIES if untold[name])
        fields = {
            "message": f"log entries dropped: {counts}",
            "event": "log_entries_dropped",
            "dropped": dict(untold),
            "total": self._queue.dropped.total(),
        }
        now = self._clock()
        self._queue.put(_Entry("WARNING", now, uuid.uuid4().hex, _payload(fields)))

    def _send(self, batch: list[_Entry]) -> tuple[list[_Entry], str]:
        """Send a batch through the API's own retry. Returns the entries that were not written, and why."""
        from google.api_core import exceptions, retry
        from google.auth.exceptions import GoogleAuthError

        passing = (
            exceptions.ServiceUnavailable,
            exceptions.DeadlineExceeded,
            exceptions.InternalServerError,
            exceptions.ResourceExhausted,
            exceptions.Aborted,
        )

        def worth_retrying(error: Exception) -> bool:
            self._last_error = str(error)
            return isinstance(error, passing) and not self._given_up()

        policy = retry.Retry(predicate=worth_retrying, initial=0.25, multiplier=2.0, maximum=4.0, timeout=None)
        try:
            if self._client is None:
                self._client = self._client_factory()
            self._client.write_log_entries(request=self._request(batch), retry=policy, timeout=CALL_SECONDS)
        except exceptions.GoogleAPICallError as error:
            return _refused(batch, error), str(error)
        except GoogleAuthError as error:
            return batch, str(error)
        except Exception as error:  # noqa: BLE001  the thread must live: a bug here would silence all later entries
            return batch, f"{type(error).__name__}: {error}"
        return [], ""

    def _given_up(self) -> bool:
        return time.monotonic() >= self._give_up_at

    def _request(self, batch: list[_Entry]) -> Any:
        from google.cloud.logging_v2.types import WriteLogEntriesRequest

        request = WriteLogEntriesRequest.pb()(log_name=self._log_name, labels=self._labels, partial_success=True)
        request.resource.type = "gce_instance" if self._resource else "global"
        request.resource.labels["project_id"] = self._project
        if self._resource:
            request.resource.labels["instance_id"] = self._resource.instance_id
            request.resource.labels["zone"] = self._resource.zone
        for entry in batch:
            raw = request.entries.add(severity=SEVERITIES[entry.severity], insert_id=entry.insert_id)
            raw.timestamp.FromDatetime(entry.moment)
            raw.json_payload.update(msgspec.json.decode(entry.payload))
        return WriteLogEntriesRequest.wrap(request)


def grpc_target(endpoint: str) -> str:
    """`host:port` of a server on this machine, as gRPC wants it.

    Raises:
        ConfigurationError: if it is elsewhere or has no port.
    """
    parts = urlsplit(f"//{require_loopback(endpoint).partition('://')[2] or endpoint}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if port is None:
        raise ConfigurationError(f"{endpoint!r} has no port", hint="give host:port, e.g. 127.0.0.1:8085")
    host = "[::1]" if parts.hostname == "::1" else parts.hostname
    return f"{host}:{port}"


def open_client(endpoint: str | None) -> Any:
    """A `LoggingServiceV2Client`: without TLS for a server on this machine, else the real service.

    Raises:
        ConfigurationError: if `endpoint` is not on this machine.
    """
    from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client

    if not endpoint:
        return LoggingServiceV2Client()
    import grpc
    from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcTransport

    channel = grpc.insecure_channel(grpc_target(endpoint), options=LOOPBACK_CHANNEL_OPTIONS)
    return LoggingServiceV2Client(transport=LoggingServiceV2GrpcTransport(channel=channel))


def _tier(severity: str) -> int:
    number = SEVERITIES[severity]
    return 0 if number == SEVERITIES["DEBUG"] else 1 if number <= SEVERITIES["NOTICE"] else 2


def _payload(fields: Mapping[str, object]) -> bytes:
    """The JSON of an entry's payload, cut down if the API would refuse it. What the entry itself tells is left out."""
    kept = {"message": ""} | {key: value for key, value in fields.items() if key not in ("severity", "time", INSERT_ID_FIELD)}
    data = _json(kept)
    if data and len(data) <= LARGEST_PAYLOAD:
        return data
    text = str(fields.get("message", ""))[:CUT_MESSAGE_CHARACTERS].encode(errors="replace").decode()
    left_out = sorted(repr(key)[:100] for key in kept if key not in ("message", "event"))[:50]
    return msgspec.json.encode({"message": text, "event": str(fields.get("event", ""))[:100], "left_out": left_out})


def _json(value: object) -> bytes:
    """JSON with sorted keys; empty if a text in it is not Unicode (a lone surrogate, as in a file name that is not UTF-8)."""
    try:
        return msgspec.json.encode(value, enc_hook=str, order="sorted")
    except UnicodeEncodeError:
        return b""


def _refused(batch: list[_Entry], error: Any) -> list[_Entry]:
    """The entries that an error speaks of: the API names them when the others were written."""
    from google.cloud.logging_v2.types import WriteLogEntriesPartialErrors

    partial = WriteLogEntriesPartialErrors.pb()
    for detail in error.details:
        if hasattr(detail, "Is") and detail.Is(partial.DESCRIPTOR):
            errors = partial()
            detail.Unpack(errors)
            return [batch[index] for index in errors.log_entry_errors if index < len(batch)]
    return batch
