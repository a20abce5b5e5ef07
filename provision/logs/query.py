"""Which entries to read, and the same in the Logging query language.

Kept apart because this is the border where what a person typed becomes a query: every value is quoted and escaped here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase

from engine.clock import format_time
from engine.cloudlog import LOG_ID, SEVERITIES
from engine.errors import UsageError
from provision.logs.entries import RESOURCE_NAME_LABEL
from provision.names import has_wildcard

MAX_FILTER_CHARACTERS = 20_000

_GLOB_PART = re.compile(r"\*|\?|\[!?+\]?+[^\]]*+\]|.", re.DOTALL)
"""As `fnmatch` reads a pattern: a `]` right behind `[` or `[!` belongs to the class, and a `[` without an end is itself."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which entries. Every field is data: nothing in it can become part of the query language."""

    project: str
    since: datetime
    """Aware. There is always a lower bound: without one the service would search 30 days."""
    run: str = ""
    vms: tuple[str, ...] = ()
    """VM names or patterns of them (`*`, `?`, `[...]`). Empty: every VM."""
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
    instances: Mapping[str, str] = field(default_factory=dict)
    """Names by instance id: only entries of these VMs, however little they say of them."""
    unrated: bool = False
    """Also entries without a severity, whatever the least one asked for: what programs other than ours write often has none."""

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
            rated = f"severity>={self.min_severity}"
            parts.append(f"({rated} OR severity=DEFAULT)" if self.unrated else rated)
        if self.run:
            parts.append(f"labels.run={quote(self.run)}")
        if self.vms:
            labels = ("vm",) if self.log_id else ("vm", RESOURCE_NAME_LABEL)
            parts.append("(" + " OR ".join(_vm_part(label, glob) for glob in self.vms for label in labels) + ")")
        if self.instances:
            ids = " OR ".join(quote(identifier) for identifier in self.instances)
            parts.append(f"resource.labels.instance_id=({ids})")
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


def matches(globs: Collection[str], vm: str) -> bool:
    """Whether a VM's name is meant by one of the globs; all are, if there is none."""
    return not globs or any(fnmatchcase(vm, glob) for glob in globs)


def _vm_part(label: str, glob: str) -> str:
    """VMs whose label fits the glob; a class of characters (`[0-9]`) asks for any character, `matches` is the judge of it."""
    name = f"labels.{label if label.isidentifier() else quote(label)}"
    if not has_wildcard(glob):
        return f"{name}={quote(glob)}"
    parts = _GLOB_PART.findall(glob)
    pattern = "".join(".*" if part == "*" else "." if part == "?" or len(part) > 1 else re.escape(part) for part in parts)
    return f"{name}=~{quote(f'^{pattern}$')}"
