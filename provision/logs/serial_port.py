"""What a VM said on its serial port, as entries: the last place to look, and the only one for a VM that never got as far as a log.

Most of it is plain text without a time. A line of JSON as workers write it is read as what it is; any other stays in its order, under
the time of the line before it, and says that this time is not its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from engine.cloudlog import InsertIds
from engine.errors import UsageError
from provision.logs.entries import LogEntry, entry_from_line, printable


def read_serial(text: str, vm: str, *, run: str = "", began: datetime) -> list[LogEntry]:
    """Serial output as entries, in its order.

    Args:
        text: as the service gives it; its first line may be cut.
        vm: whose.
        run: the VM's run; empty if it is not ours.
        began: aware; the time under which lines before the first one with a time of its own are put.
    """
    return list(_entries(text, vm, run, began))


def _entries(text: str, vm: str, run: str, moment: datetime) -> Iterator[LogEntry]:
    ids = InsertIds()
    for number, raw in enumerate(text.split("\n")):
        line = printable(raw).rstrip()
        if not line:
            continue
        entry = _structured(line, vm, run, ids)
        if entry is not None:
            moment = max(moment, entry.timestamp)
            yield entry
        else:
            yield LogEntry(moment, "DEFAULT", vm, run, "", line, "", {}, f"serial-{number:06d}", "serial", timed=False)


def _structured(line: str, vm: str, run: str, ids: InsertIds) -> LogEntry | None:
    if not line.startswith("{"):
        return None
    try:
        return entry_from_line(json.loads(line), run, vm, ids, "serial")
    except (ValueError, KeyError, TypeError, AttributeError, UsageError):
        return None
