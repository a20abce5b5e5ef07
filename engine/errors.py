"""The engine's errors and the exit codes they turn into.

Each error carries the input that caused it (in its text) and the next step for the person (`hint`). One place per program,
`report` at the top of the command line, turns them into one line and an exit code.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """Documented exit codes (the names are those of BSD sysexits where one exists)."""

    DONE = 0
    """All that was asked for is done."""
    USAGE = 64
    """The command line is wrong, or asks for what does not exist yet."""
    PARTIAL = 65
    """Done, but some files failed or are quarantined."""
    UNAVAILABLE = 69
    """The source or the sink cannot be reached."""
    TEMPORARY = 75
    """Stopped before the end, or the source is not ready: run again."""
    NOT_PERMITTED = 77
    """A credential or a permission is missing."""
    CONFIGURATION = 78
    """A setting, a name or an environment variable is wrong."""


_MEANINGS: Final = {
    ExitCode.DONE: "done",
    ExitCode.USAGE: "wrong usage",
    ExitCode.PARTIAL: "some files failed",
    ExitCode.UNAVAILABLE: "source or bucket out of reach",
    ExitCode.TEMPORARY: "stopped or not ready, run again",
    ExitCode.NOT_PERMITTED: "not permitted",
    ExitCode.CONFIGURATION: "wrong configuration",
}
_KILLED: Final = 128
"""A shell adds the number of the signal that ended a process."""


def describe_exit(code: int) -> str:
    """An exit code with what it means: `exit code 65 (some files failed)`, `exit code 137 (ended by SIGKILL)`."""
    meaning = _MEANINGS.get(ExitCode(code), "") if code in set(ExitCode) else ""
    if not meaning and code > _KILLED:
        with suppress(ValueError):
            meaning = f"ended by {signal.Signals(code - _KILLED).name}"
    return f"exit code {code} ({meaning})" if meaning else f"exit code {code}"


class EngineError(Exception):
    """Base of all errors of the engine. `str(error)` names the input, `hint` says what to do next."""

    exit_code: ExitCode = ExitCode.UNAVAILABLE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(EngineError):
    """The request cannot be meant: a reversed range, an unknown data type, a malformed day."""

    exit_code = ExitCode.USAGE


class ConfigurationError(EngineError):
    """A setting is missing or contradicts another, or this worker's name is in no launch record."""

    exit_code = ExitCode.CONFIGURATION


class NotPermitted(EngineError):
    """The source or the bucket refuses us, and will go on refusing until somebody changes something."""

    exit_code = ExitCode.NOT_PERMITTED


class SourceError(EngineError):
    """The source answered in a way that we cannot use, after all retries."""


class StoreError(EngineError):
    """The bucket could not be read or written, after all retries."""


class AlreadyExists(StoreError):
    """A create-once object is there already (HTTP 412 on `if_generation_match=0`)."""


class GenerationMismatch(StoreError):
    """A compare-and-swap lost: somebody else wrote the object first."""


class CommitConflict(StoreError):
    """The bucket holds another file under this name: other source bytes or another schema. Nothing was overwritten."""

    exit_code = ExitCode.PARTIAL


class Stopped(EngineError):
    """The worker was told to stop (SIGTERM, preemption, drain)."""

    exit_code = ExitCode.TEMPORARY


def one_line(error: BaseException) -> str:
    """What a person reads about `error`: what happened and, after an arrow, what to do."""
    text = " ".join(str(error).split()) or type(error).__name__
    hint = getattr(error, "hint", "")
    return f"{text} -> {hint}" if hint else text
