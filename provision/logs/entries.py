"""One line of a log, wherever it came from: the type, and how it is made from the API's entries and from lines of JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from engine.clock import parse_time
from engine.cloudlog import SEVERITIES, InsertIds

Source = Literal["cloud-logging", "log-objects", "serial"]

_SEVERITY_NAMES = {number: name for name, number in SEVERITIES.items()}


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of a log, wherever it came from."""

    timestamp: datetime
    """Aware, UTC, microseconds."""
    severity: str
    vm: str
    run: str
    shard: str
    message: str
    event: str
    fields: Mapping[str, object] = field(hash=False)
    """Whatever else the line carries: venue, data_type, day, symbol, outcome, ..."""
    insert_id: str
    source: Source

    @property
    def identity(self) -> tuple[datetime, str]:
        """The same for all copies of one entry."""
        return self.timestamp, self.insert_id


def merge(*streams: Iterable[LogEntry]) -> list[LogEntry]:
    """Entries of several places in time order, each once; the copy of the earlier stream is kept."""
    found: dict[tuple[datetime, str], LogEntry] = {}
    for stream in streams:
        for entry in stream:
            found.setdefault(entry.identity, entry)
    return sorted(found.values(), key=lambda entry: entry.identity)


def entry_from_line(line: Mapping[str, object], run: str, vm: str, ids: InsertIds) -> LogEntry:
    """An entry from a line of a worker's log.

    Raises:
        KeyError, UsageError: if the line has no time, or one that cannot be read.
    """
    moment = parse_time(str(line["time"]))
    return _entry(moment, str(line.get("severity", "DEFAULT")), {"run": run, "vm": vm}, line, ids.make(moment, line), "log-objects")


def entry_from_api(raw: Any) -> LogEntry:
    """An entry from a raw `google.logging.v2.LogEntry`."""
    stamp = raw.timestamp
    moment = datetime.fromtimestamp(stamp.seconds, UTC).replace(microsecond=stamp.nanos // 1_000)
    fields = _struct(raw.json_payload) if raw.HasField("json_payload") else {"message": raw.text_payload}
    labels = dict(raw.labels)
    if "vm" not in labels:
        labels["vm"] = labels.get("compute.googleapis.com/resource_name", "")
    return _entry(moment, _SEVERITY_NAMES.get(raw.severity, "DEFAULT"), labels, fields, raw.insert_id, "cloud-logging")


def _entry(
    moment: datetime,
    severity: str,
    labels: Mapping[str, str],
    fields: Mapping[str, object],
    insert_id: str,
    source: Source,
) -> LogEntry:
    def told(name: str) -> str:
        value = labels.get(name) or fields.get(name)
        return "" if value is None else str(value)

    named = ("message", "event", "severity", "time", "vm", "run", "shard")
    rest = {key: value for key, value in fields.items() if key not in named}
    message, event = str(fields.get("message", "")), str(fields.get("event", ""))
    return LogEntry(moment, severity, told("vm"), told("run"), told("shard"), message, event, rest, insert_id, source)


def _struct(struct: Any) -> dict[str, object]:
    return {name: _value(value) for name, value in struct.fields.items()}


def _value(value: Any) -> object:
    match value.WhichOneof("kind"):
        case "number_value":
            number = float(value.number_value)
            return int(number) if number.is_integer() else number
        case "struct_value":
            return _struct(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case "null_value" | None:
            return None
        case kind:
            return getattr(value, kind)
