"""Which entries to read, and the same in the Logging query language.

Kept apart because this is the border where what a person typed becomes a query: every value is quoted and escaped here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from engine.clock import format_time
from engine.cloudlog import LOG_ID, SEVERITIES
from engine.errors import UsageError

MAX_FILTER_CHARACTERS = 20_000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which entries. Every field is data: nothing in it can become part of the query language."""

    project: str
    since: datetime
    """Aware. There is always a lower bound: without one the service would search 30 days."""
    run: str = ""
    vms: tuple[str, ...] = ()
    """VM names; `*` and `?` stand for any characters and any one character. Empty: every VM."""
    until: datetime | None = None
    """Aware, exclusive."""
    min_severity: str = "DEFAULT"
    text: str = ""
    """In the message, whatever the case."""
    regex: str = ""
    """Found in the message; RE2, case counts unless it starts with (?i)."""
    limit: int = 1_000
    newest_first: bool = False
    log_id: str = LOG_ID
    """Empty: every log of the project, also of VMs that are not ours."""

    def __post_init__(self) -> None:
        for moment in (self.since, self.until):
            if moment is not None and moment.tzinfo is None:
                raise UsageError(f"{moment} has no time zone", hint="use an aware datetime")
        if self.min_severity not in SEVERITIES:
            raise UsageError(f"{self.min_severity!r} is not a severity", hint=f"use one of {', '.join(SEVERITIES)}")
        if self.limit < 1:
            raise UsageError(f"a limit of {self.limit} entries shows nothing", hint="use 1 or more")

    def to_filter(self) -> str:
        """The query in the Logging query language, indexed fields first, regular expressions last.

        Raises:
            UsageError: if it would be longer than the service accepts, or a value is not text.
        """
        parts: list[str] = []
        if self.log_id:
            name = self.log_id.replace("/", "%2F")
            parts.append(f"logName={quote(f'projects/{self.project}/logs/{name}')}")
        parts.append(f"timestamp>={quote(format_time(self.since))}")
        if self.until is not None:
            parts.append(f"timestamp<{quote(format_time(self.until))}")
        if self.min_severity != "DEFAULT":
            parts.append(f"severity>={self.min_severity}")
        if self.run:
            parts.append(f"labels.run={quote(self.run)}")
        if self.vms:
            parts.append("(" + " OR ".join(_vm_part(glob) for glob in self.vms) + ")")
        if self.text:
            # A lone * behind `:` asks whether the field exists: as a regular expression it is a star again.
            wanted = f":{quote(self.text)}" if self.text != "*" else f"=~{quote('[*]')}"
            parts.append(f"(jsonPayload.message{wanted} OR textPayload{wanted})")
        if self.regex:
            parts.append(f"(jsonPayload.message=~{quote(self.regex)} OR textPayload=~{quote(self.regex)})")
        whole = " AND ".join(parts)
        if len(whole) > MAX_FILTER_CHARACTERS:
            raise UsageError(f"the log query has {len(whole)} characters", hint="the service takes 20,000: name fewer VMs")
        return whole


def quote(text: str) -> str:
    """A value as a quoted string of the query language.

    Raises:
        UsageError: if it is not Unicode text.
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped)
    try:
        escaped.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} is not text", hint="retype it") from None
    return f'"{escaped}"'


def _vm_part(glob: str) -> str:
    if "*" not in glob and "?" not in glob:
        return f"labels.vm={quote(glob)}"
    pattern = "".join({"*": ".*", "?": "."}.get(character) or re.escape(character) for character in glob)
    return f"labels.vm=~{quote(f'^{pattern}$')}"
