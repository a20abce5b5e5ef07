"""The named points of the work at which a process may die, so that a test can make it die there.

`kill -9` at any of them, or at any other instant, loses at most the files in flight. To prove it, `TICKDECK_KILL_AT=object_created:3`
ends the process with SIGKILL when it reaches that point for the third time; `object_created:3:TERM` sends it SIGTERM instead and goes
on. Honoured only against storage on this machine: a variable left behind can stop no real worker.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from enum import StrEnum

from engine.errors import ConfigurationError

VARIABLE = "TICKDECK_KILL_AT"


class FaultPoint(StrEnum):
    """Where a worker may be interrupted, in the order of its work."""

    CLAIM_TAKEN = "claim_taken"
    """The claim on a shard says that we work on it; nothing else has happened."""
    CELL_LISTED = "cell_listed"
    """What is done already of a cell is known."""
    FETCH_STARTED = "fetch_started"
    """A download is about to begin."""
    BODY_RECEIVED = "body_received"
    """A whole body is in the spool."""
    CONVERTED = "converted"
    """The Parquet file is finished, nothing of it is in the bucket."""
    OBJECT_CREATED = "object_created"
    """The data object is in the bucket; nobody has taken note of it."""
    OUTCOME_RECORDED = "outcome_recorded"
    """The file's outcome is known in memory."""
    QUARANTINE_WRITTEN = "quarantine_written"
    """The untrusted bytes are kept; no manifest says why."""
    MANIFEST_STARTED = "manifest_started"
    """All files of a cell have an outcome; its manifest is about to be written."""
    MANIFEST_WRITTEN = "manifest_written"
    """The manifest is in the bucket; the worker goes on to the next cell."""
    SHARD_FINISHED = "shard_finished"
    """Every manifest is written; the claim still says that we work on it."""
    CLAIM_RELEASED = "claim_released"
    """The claim says that the shard is done."""
    LOG_WRITTEN = "log_written"
    """The last log object is written; the last heartbeat is not."""


_lock = threading.Lock()
_reached: Counter[FaultPoint] = Counter()


def reach(point: FaultPoint) -> None:
    """Go on, unless this process was told to die here.

    Raises:
        ConfigurationError: if the variable names no such point.
    """
    wish = os.environ.get(VARIABLE)
    if not wish or not os.environ.get("STORAGE_EMULATOR_HOST"):
        return
    name, times, signum = _parse(wish)
    if name is not point:
        return
    with _lock:
        _reached[point] += 1
        if _reached[point] != times:
            return
    os.kill(os.getpid(), signum)


def _parse(wish: str) -> tuple[FaultPoint, int, signal.Signals]:
    name, _, rest = wish.partition(":")
    times, _, word = rest.partition(":")
    try:
        return FaultPoint(name), int(times or 1), signal.Signals[f"SIG{word or 'KILL'}"]
    except (ValueError, KeyError):
        known = ", ".join(FaultPoint)
        raise ConfigurationError(
            f"{VARIABLE}={wish!r} names no fault point", hint=f"POINT[:TIMES[:TERM]], POINT is one of {known}"
        ) from None
