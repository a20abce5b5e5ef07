"""What a check of `engine doctor` found: one line for a person, with the next step.

Apart from the checks and from what runs them, because both sides speak in findings.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.errors import EngineError, ExitCode, one_line


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """Work can begin; somebody should know."""
    BAD = "bad"
    """Work would fail, or harm."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    check: str
    """What was looked at, e.g. "data bucket"."""
    level: Level
    message: str
    hint: str = ""
    """The next step; empty where there is nothing to do."""
    code: ExitCode = ExitCode.DONE
    """What the doctor exits with because of it; 0 unless it is bad."""

    @property
    def line(self) -> str:
        """What happened and, after an arrow, what to do."""
        return one_line(EngineError(self.message, hint=self.hint))


def good(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, message)


def warn(check: str, message: str, hint: str) -> Finding:
    """Something that somebody should know."""
    return Finding(check, Level.WARN, message, hint)


def bad(check: str, message: str, hint: str, code: ExitCode) -> Finding:
    """Something that would make work fail, or do harm."""
    return Finding(check, Level.BAD, message, hint, code)


def from_error(check: str, error: EngineError) -> Finding:
    """An error of the engine as a finding; the code is the one that a verb would end with."""
    return Finding(check, Level.BAD, str(error), error.hint, error.exit_code)
