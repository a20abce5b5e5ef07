"""One line of a log, wherever it came from: the type, and how it is made from the API's entries and from lines of JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from engine.clock import parse_time
from engine.cloudlog import SEVERITIES, InsertIds

Source = Literal["cloud-logging", "log-objects", "serial"]

RESOURCE_NAME_LABEL = "compute.googleapis.com/resource_name"
"""The label by which Google's agents on a VM name it."""

_OBEYED = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0a-\x1f\x7f-\x9f]")

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
    timed: bool = True
    """Whether the line says its own time; else `timestamp` is that of the line before it, only to keep the order."""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)
    """Of the entry, as Cloud Logging has them."""
    resource: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)
    """What wrote it, as Cloud Logging has it: `type` and the resource's labels."""

    @property
    def identity(self) -> tuple[datetime, str]:
        """The same for all copies of one entry."""
        return self.timestamp, self.insert_id


def printable(text: str) -> str:
    """A text without what a terminal would obey: colours, cursor movements, bells. Tabs stay."""
    return _OBEYED.sub("", text)


def merge(*streams: Iterable[LogEntry]) -> list[LogEntry]:
    """Entries of several places in time order, each once; the copy of the earlier stream is kept."""
    found: dict[tuple[datetime, str], LogEntry] = {}
    for stream in streams:
        for entry in stream:
            found.setdefault(entry.identity, entry)
    return sorted(found.values(), key=lambda entry: entry.identity)


def entry_from_line(line: Mapping[str, object], run: str, vm: str, ids: InsertIds, source: Source = "log-objects") -> LogEntry:
    """An entry from a line of a worker's log.

    Raises:
        KeyError, UsageError: if the line has no time, or one that cannot be read.
    """
    moment = parse_time(str(line["time"]))
    return _entry(moment, str(line.get("severity", "DEFAULT")), {"run": run, "vm": vm}, line, ids.make(moment, line), source)


def entry_from_api(raw: Any, instances: Mapping[str, str] | None = None) -> LogEntry:
    """An entry from a raw `google.logging.v2.LogEntry`.

    `instances` names VMs by their ids, for entries that say no more of their VM than that.
    """
    stamp = raw.timestamp
    moment = datetime.fromtimestamp(stamp.seconds, UTC).replace(microsecond=stamp.nanos // 1_000)
    fields = _payload(raw)
    labels = dict(raw.labels)
    if "vm" not in labels:
        known = (instances or {}).get(raw.resource.labels["instance_id"], "") if "instance_id" in raw.resource.labels else ""
        labels["vm"] = labels.get(RESOURCE_NAME_LABEL, "") or known
    severity = _SEVERITY_NAMES.get(raw.severity, "DEFAULT")
    return _entry(
        moment, severity, labels, fields, raw.insert_id, "cloud-logging", resource={"type": raw.resource.type, **raw.resource.labels}
    )


def _entry(
    moment: datetime,
    severity: str,
    labels: Mapping[str, str],
    fields: Mapping[str, object],
    insert_id: str,
    source: Source,
    *,
    resource: Mapping[str, str] | None = None,
) -> LogEntry:
    def told(name: str) -> str:
        value = labels.get(name) or fields.get(name)
        return "" if value is None else str(value)

    named = ("message", "event", "severity", "time", "vm", "run", "shard")
    rest = {key: value for key, value in fields.items() if key not in named}
    message, event = str(fields.get("message", "")), str(fields.get("event", ""))
    vm, run, shard = told("vm"), told("run"), told("shard")
    if resource is None:
        return LogEntry(moment, severity, vm, run, shard, message, event, rest, insert_id, source)
    return LogEntry(moment, severity, vm, run, shard, message, event, rest, insert_id, source, labels=labels, resource=resource)


def _payload(raw: Any) -> dict[str, object]:
    """What an entry says. Those of other programs need not have a message: then it is all that they do say."""
    if raw.HasField("json_payload"):
        fields = _struct(raw.json_payload)
        return fields if fields.get("message") else {**fields, "message": json.dumps(fields, ensure_ascii=False, sort_keys=True)[:2_000]}
    if raw.HasField("proto_payload"):
        return {"message": f"({raw.proto_payload.type_url.rpartition('/')[2]})"}
    return {"message": raw.text_payload}


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
