"""Log entries as the log view shows them: what a line's columns and fields are.

One function, because the screen, the files it saves and `tickdeck logs --filter` must agree on the names of the fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from console.log_causes import cause_of, is_trouble
from console.query import Vocabulary
from console.widgets.logline import LogLine, Severity, severity_of
from provision.logs.entries import LogEntry
from provision.names import SHARD

if TYPE_CHECKING:
    from provision.fleet import FleetSnapshot

PREEMPTION_WORDS: Final = "the machine is being preempted"
"""In the message of the event `stopping` that a worker logs when its VM is taken away."""

VOCABULARY: Final = Vocabulary(
    fields=(
        "severity",
        "vm",
        "message",
        "source",
        "event",
        "shard",
        "run",
        "venue",
        "data_type",
        "day",
        "symbol",
        "outcome",
        "cause",
        "time",
    ),
    conditions=(),
    values={
        "severity": tuple(severity.name for severity in Severity),
        "source": ("cloud-logging", "log-objects", "serial"),
    },
    is_open=True,
)
"""What is offered while a filter is typed; log lines may have any field."""


def line_of(entry: LogEntry, *, short: bool = False) -> LogLine:
    """An entry as a line; what has no message shows its event's name. An error, or a file that
    went bad, has the id of its cause as the field `cause`.

    Args:
        short: Leave out of the VM's name what all VMs of a run share; the whole name is the field `instance`.
    """
    severity = severity_of(entry.severity)
    message = entry.message or entry.event or "(no message)"
    fields: dict[str, object] = {"event": entry.event, "run": entry.run, "shard": entry.shard, **entry.fields}
    vm = entry.vm
    if short and vm.startswith(prefix := f"{SHARD}{entry.run}-"):
        vm = f"shard-{vm[len(prefix) :]}"
        fields["instance"] = entry.vm
    if is_trouble(severity, fields):
        fields["cause"] = cause_of(message, fields)[0]
    fields["insert_id"] = entry.insert_id
    if entry.labels:
        fields["labels"] = entry.labels
    if entry.resource:
        fields["resource"] = entry.resource
    return LogLine(
        entry.timestamp,
        severity,
        message,
        vm,
        {name: value for name, value in fields.items() if value is not None and value != ""},
        entry.source,
    )


def lines_of(entries: Iterable[LogEntry], *, short: bool = False) -> list[LogLine]:
    """Entries as lines, in their order."""
    return [line_of(entry, short=short) for entry in entries]


def tells_preemption(line: LogLine) -> bool:
    """Whether a worker says in this line that its VM is being taken away."""
    return line.severity is Severity.WARNING and line.fields.get("event") == "stopping" and PREEMPTION_WORDS in line.message


def preemptions(snapshot: FleetSnapshot, run: str) -> dict[str, datetime]:
    """VM -> when its replacement was ordered because it had been preempted; of one run, or of all."""
    return {
        launched.replaces.split(",")[0]: order.created
        for view in snapshot.runs
        if run in ("", view.run)
        for order in view.orders
        for launched in order.vms.values()
        if launched.replaces and launched.cause == "preempted"
    }
