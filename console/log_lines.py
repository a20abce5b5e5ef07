"""Log entries as the log view shows them, and errors grouped by their cause.

Apart from the screen because both must keep up with ten thousand lines a second, and tests measure them by their words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from console.widgets.logring import LogLine, Severity, severity_of
from provision.logs.entries import LogEntry
from provision.names import SHARD

MOST_CAUSES: Final = 200
"""Causes remembered; what comes after is counted as one more, so that a storm of different errors costs no memory."""

OTHER: Final = "other errors"
_MOST_VMS: Final = 200

_QUOTED = re.compile(r"'[^']{0,200}'|\"[^\"]{0,200}\"|`[^`]{0,200}`")
_PLACE = re.compile(r"(?:https?|gs)://\S+|(?:[\w.-]+/){2,}[\w.-]+")
_DAY = re.compile(r"\b\d{4}[-/]\d{2}[-/]\d{2}(?:[T ][\d:.]+Z?)?\b")
_NAME = re.compile(r"\b(?=[A-Z0-9:_.-]*[A-Z])(?=[A-Z0-9:_.-]*\d|[A-Z:_.-]{6,})[A-Z0-9][A-Z0-9:_.-]{3,}\b")
_NUMBER = re.compile(r"\b0x[0-9a-f]+\b|\b\d[\d,.]*\b")
_NAMED_FIELDS: Final = ("venue", "data_type", "day", "symbol", "path", "object", "url")


def line_of(entry: LogEntry, *, short: bool = False) -> LogLine:
    """An entry as a line; what has no message shows its event's name.

    Args:
        short: Leave out of the VM's name what all VMs of a run share; the whole name is the field `instance`.
    """
    fields: dict[str, object] = {"event": entry.event, "run": entry.run, "shard": entry.shard, **entry.fields, "insert_id": entry.insert_id}
    vm = entry.vm
    if short and vm.startswith(prefix := f"{SHARD}{entry.run}-"):
        vm = f"shard-{vm.removeprefix(prefix)}"
        fields["instance"] = entry.vm
    return LogLine(
        entry.timestamp,
        severity_of(entry.severity),
        entry.message or entry.event or "(no message)",
        vm,
        {name: value for name, value in fields.items() if value not in ("", None)},
        entry.source,
    )


def lines_of(entries: Iterable[LogEntry], *, short: bool = False) -> list[LogLine]:
    """Entries as lines, in their order."""
    return [line_of(entry, short=short) for entry in entries]


def fingerprint(line: LogLine) -> str:
    """What is left of an error's message without what differs from file to file: names, days, numbers, addresses.

    `gave up on deribit trades 2024-05-02 BTC-PERPETUAL after 6 attempts` and the same about another file have one cause.
    """
    text = line.message.split("\n", 1)[0][:300]
    for name in _NAMED_FIELDS:
        value = line.fields.get(name)
        if isinstance(value, str) and len(value) > 1:
            text = text.replace(value, "…")
    for pattern in (_PLACE, _QUOTED, _DAY, _NAME):
        text = pattern.sub("…", text)
    text = _NUMBER.sub("#", text)
    return re.sub(r"…(?:[\s,/:]*…)+", "…", " ".join(text.split()))


@dataclass(frozen=True, slots=True)
class Cause:
    """Errors that say the same."""

    key: str
    """Their fingerprint."""
    count: int
    vms: int
    """How many VMs said it."""
    cells: int
    """How many cells it was said of, as far as the lines name one."""
    last: datetime
    """UTC."""
    severity: Severity
    example: LogLine
    """The newest."""


@dataclass(slots=True)
class _Group:
    count: int
    vms: set[str]
    cells: set[tuple[object, ...]]
    severity: Severity
    example: LogLine


@dataclass(slots=True)
class Causes:
    """Errors by cause, the most frequent first."""

    _groups: dict[str, _Group] = field(default_factory=dict)
    errors: int = 0
    """Lines taken in."""

    def add(self, lines: Iterable[LogLine]) -> bool:
        """Take in the errors among `lines`; whether there was one."""
        before = self.errors
        for line in lines:
            if line.severity >= Severity.ERROR:
                self._take(line)
        return self.errors != before

    def clear(self) -> None:
        """Forget all."""
        self._groups.clear()
        self.errors = 0

    def ranked(self) -> list[Cause]:
        """The causes, the most frequent first."""
        causes = [
            Cause(key, group.count, len(group.vms), len(group.cells), group.example.time, group.severity, group.example)
            for key, group in self._groups.items()
        ]
        return sorted(causes, key=lambda cause: (-cause.severity, -cause.count, cause.key))

    def _take(self, line: LogLine) -> None:
        self.errors += 1
        key = fingerprint(line)
        if key not in self._groups and len(self._groups) >= MOST_CAUSES:
            key = OTHER
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(0, set(), set(), line.severity, line)
        group.count += 1
        group.severity = max(group.severity, line.severity)
        if line.time >= group.example.time:
            group.example = line
        if len(group.vms) < _MOST_VMS:
            group.vms.add(line.vm)
        cell = tuple(line.fields.get(name) for name in ("day", "data_type", "venue"))
        if all(cell) and len(group.cells) < _MOST_VMS:
            group.cells.add(cell)
