"""One log line as the console shows it, and its six levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Severity(IntEnum):
    """Six levels out of Cloud Logging's nine; the number is also the least severity a view shows."""

    DEFAULT = 0
    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4
    CRITICAL = 5


_WORDS: Final = {
    "DEBUG": Severity.DEBUG,
    "INFO": Severity.INFO,
    "NOTICE": Severity.INFO,
    "WARNING": Severity.WARNING,
    "WARN": Severity.WARNING,
    "ERROR": Severity.ERROR,
    "CRITICAL": Severity.CRITICAL,
    "ALERT": Severity.CRITICAL,
    "EMERGENCY": Severity.CRITICAL,
}


def severity_of(word: str) -> Severity:
    """The level of a Cloud Logging or Python level name; unknown words are DEFAULT."""
    return _WORDS.get(word) or _WORDS.get(word.upper(), Severity.DEFAULT)


def microseconds(moment: datetime) -> int:
    """A time as microseconds since 1970, UTC."""
    return round(moment.timestamp() * 1e6)


def moment_of(microseconds: int) -> datetime:
    """The time that so many microseconds since 1970 are, UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One log entry as the console shows it."""

    time: datetime
    """Aware, UTC."""
    severity: Severity
    message: str
    vm: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)
    """Payload, labels and resource, for the detail view and for `field:value`."""
    source: str = ""
    """Where it was read: `cloud-logging`, `log-objects`, `serial`."""

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise ValueError(f"log line with a naive time {self.time.isoformat()}")

    @property
    def insert_id(self) -> str:
        """With the time the same for all copies of one entry; empty if its source has none."""
        found = self.fields.get("insert_id", "")
        return found if isinstance(found, str) else ""

    def record(self) -> dict[str, object]:
        """All fields by name, for a filter and for the detail view."""
        record: dict[str, object] = {
            "severity": self.severity.name,
            "time": self.time,
            "vm": self.vm,
            "message": self.message,
            "source": self.source,
        }
        return record | {name: value for name, value in self.fields.items() if name not in record}

    @property
    def text(self) -> str:
        """What a filter's words are looked for in."""
        return f"{self.vm} {self.message}"
