"""Errors, and files that went bad, grouped by their cause: how many, of how many VMs and cells, since when, and one to read.

Apart from the screen because it must keep up with a storm of errors, and because `tickdeck logs --errors` prints the same table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from console.fingerprint import cause_id, fingerprint
from console.widgets.logline import LogLine, Severity
from engine.model import BAD_OUTCOMES

MOST_CAUSES: Final = 200
"""Causes remembered; what comes after is counted as one more, so that a storm of different errors costs no memory."""

OTHER: Final = "other errors"
_MOST_NAMES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Cause:
    """Errors that say the same."""

    key: str
    """Six hexadecimal digits; the field `cause` of its lines. Empty for what is beyond `MOST_CAUSES`."""
    pattern: str
    """The fingerprint of their messages."""
    count: int
    vms: int
    """How many VMs said it; `_MOST_NAMES` means as many or more."""
    cells: int
    """How many cells it was said of, as far as the lines name one."""
    first: datetime
    """UTC."""
    last: datetime
    """UTC."""
    severity: Severity
    """The worst."""
    example: LogLine
    """The newest."""

    def record(self) -> dict[str, object]:
        """All of it by name, for `--json` and for files."""
        return {
            "cause": self.key,
            "severity": self.severity.name,
            "count": self.count,
            "vms": self.vms,
            "cells": self.cells,
            "first": self.first,
            "last": self.last,
            "pattern": self.pattern,
            "example": self.example.message,
            "example_vm": self.example.fields.get("instance") or self.example.vm,
        }


@dataclass(slots=True)
class _Group:
    pattern: str
    first: datetime
    severity: Severity
    example: LogLine
    count: int = 0
    vms: set[str] = field(default_factory=set)
    cells: set[tuple[object, ...]] = field(default_factory=set)


def is_trouble(severity: Severity, fields: Mapping[str, object]) -> bool:
    """Whether a line is an error, or warns that a file went bad."""
    return severity >= Severity.ERROR or (severity is Severity.WARNING and fields.get("outcome") in BAD_OUTCOMES)


def cause_of(message: str, fields: Mapping[str, object]) -> tuple[str, str]:
    """The id and the fingerprint of an error's message."""
    pattern = fingerprint(message, fields)
    return cause_id(pattern), pattern


@dataclass(slots=True)
class Causes:
    """Errors by cause, the most serious and most frequent first."""

    _groups: dict[str, _Group] = field(default_factory=dict)
    errors: int = 0
    """Lines taken in."""

    def add(self, lines: Iterable[LogLine]) -> bool:
        """Take in the trouble among `lines`; whether there was some."""
        before = self.errors
        for line in lines:
            if is_trouble(line.severity, line.fields):
                self._take(line)
        return self.errors != before

    def clear(self) -> None:
        """Forget all."""
        self._groups.clear()
        self.errors = 0

    def ranked(self) -> list[Cause]:
        """The causes, the most serious and most frequent first; what is beyond the limit comes last."""
        causes = [
            Cause(
                key,
                group.pattern,
                group.count,
                len(group.vms),
                len(group.cells),
                group.first,
                group.example.time,
                group.severity,
                group.example,
            )
            for key, group in self._groups.items()
        ]
        return sorted(causes, key=lambda cause: (not cause.key, -cause.severity, -cause.count, cause.pattern))

    def _take(self, line: LogLine) -> None:
        self.errors += 1
        key, pattern = cause_of(line.message, line.fields)
        if key not in self._groups and len(self._groups) - ("" in self._groups) >= MOST_CAUSES:
            key, pattern = "", OTHER
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(pattern, line.time, line.severity, line)
        group.count += 1
        group.severity = max(group.severity, line.severity)
        group.first = min(group.first, line.time)
        if line.time >= group.example.time:
            group.example = line
        if len(group.vms) < _MOST_NAMES:
            group.vms.add(line.vm)
        cell = tuple(line.fields.get(name) for name in ("day", "data_type", "venue"))
        if all(cell) and len(group.cells) < _MOST_NAMES:
            group.cells.add(cell)
