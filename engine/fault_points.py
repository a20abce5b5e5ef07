"""The named points of the work at which a process may die, so that a test can make it die there.

`kill -9` at any of them, or at any other instant, loses at most the files in flight. To prove it, `TICKDECK_KILL_AT=object_created:3`
ends the process with SIGKILL when it reaches that point for the third time; `object_created:3:TERM` sends it SIGTERM instead and goes
on. Several, separated by commas, strike independently: `fetch_started:2:TERM,open_manifest_written` kills a worker that was stopping.
Honoured only against storage on this machine: a variable left behind can stop no real worker.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

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
    STOP_HEARD = "stop_heard"
    """The worker was told to stop; what is being converted or committed has not landed."""
    OPEN_MANIFEST_WRITTEN = "open_manifest_written"
    """A stopped worker has written down what it knows of a cell; the claim still says that it works."""
    SHARD_FINISHED = "shard_finished"
    """Every manifest is written; the claim still says that we work on it."""
    CLAIM_RELEASED = "claim_released"
    """The claim says that the shard is done."""
    LOG_WRITTEN = "log_written"
    """The last log object is written; the last heartbeat is not."""
    GOODBYE_SAID = "goodbye_said"
    """The last heartbeat is written; the process has not ended."""


@dataclass(frozen=True, slots=True)
class _Wish:
    point: FaultPoint
    times: int
    signum: signal.Signals


_lock = threading.Lock()
_reached: Counter[FaultPoint] = Counter()


def reach(point: FaultPoint) -> None:
    """Go on, unless this process was told to die here.

    Raises:
        ConfigurationError: if the variable names no such point.
    """
    wishes = _wishes()
    if not wishes:
        return
    with _lock:
        _reached[point] += 1
        times = _reached[point]
    for wish in wishes:
        if (wish.point, wish.times) == (point, times):
            os.kill(os.getpid(), wish.signum)


@cache
def _wishes() -> tuple[_Wish, ...]:
    """What this process was told. Asked once: each file passes five points, and the environment is slow to answer."""
    told = os.environ.get(VARIABLE)
    return tuple(map(_parse, told.split(","))) if told and os.environ.get("STORAGE_EMULATOR_HOST") else ()


def _parse(wish: str) -> _Wish:
    name, _, rest = wish.partition(":")
    times, _, word = rest.partition(":")
    try:
        return _Wish(FaultPoint(name), int(times or 1), signal.Signals[f"SIG{word or 'KILL'}"])
    except (ValueError, KeyError):
        known = ", ".join(FaultPoint)
        raise ConfigurationError(
            f"{VARIABLE}={wish!r} names no fault point", hint=f"POINT[:TIMES[:TERM]], POINT is one of {known}"
        ) from None
