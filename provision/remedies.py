"""What can be done about a VM that ended before its work was: a new one in its place, waiting, or nothing that a machine could do.

A table as data, by the worker's exit code and by the cause of the loss, so that each row can be read, argued about and tested. Kept
apart from `provision.reconcile`, which finds what was lost and acts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from engine.errors import ExitCode
from provision.operations import FailureKind
from provision.vm_state import DRAINED, NO_HEARTBEAT, NOT_ASKED, SILENT, UNKNOWN

UNAVAILABLE = "source or bucket away"
"""The cause where a worker gave up because it could not reach the source or the bucket (exit code 69)."""

BY_HAND = "by hand"
"""The cause where a person had a VM replaced: it uses up no attempt."""

LEFT = "left to another"
"""The cause where a worker ended well and the one that had taken over its shard was lost."""

FIRST_PAUSE = {"gcp": timedelta(seconds=60), "local": timedelta(seconds=3)}
"""By the profile's kind; a local run lasts minutes. Doubled with every further loss for the same cause."""

LONGEST_PAUSE = timedelta(minutes=15)


class Remedy(StrEnum):
    """What to do."""

    REPLACE = "replace"
    WAIT = "wait"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one cause calls for."""

    remedy: Remedy
    limit: int = 0
    """So many losses for this cause in a line of replacements, and it is given up; 0: only the profile's limits count."""
    pauses: bool = False
    """A new VM is asked for after a pause, because one asked for at once would meet the same."""
    made: bool = True
    """There was a VM; False: it was asked for in vain, which uses up no attempt."""


_REPLACE, _WAIT, _GIVE_UP = Remedy.REPLACE, Remedy.WAIT, Remedy.GIVE_UP

BY_EXIT_CODE: Mapping[int, Rule] = {
    ExitCode.USAGE: Rule(_GIVE_UP),
    ExitCode.PARTIAL: Rule(_GIVE_UP),
    ExitCode.NOT_PERMITTED: Rule(_GIVE_UP),
    ExitCode.CONFIGURATION: Rule(_GIVE_UP),
}
"""A new VM would end the same way, whatever became of this one."""

BY_CAUSE: Mapping[str, Rule] = {
    "preempted": Rule(_REPLACE),
    "host error": Rule(_REPLACE),
    "deleted": Rule(_REPLACE),
    "run limit": Rule(_REPLACE, limit=3),
    "powered off": Rule(_REPLACE, limit=3),
    "stopped": Rule(_WAIT),
    LEFT: Rule(_REPLACE, limit=3),
    SILENT: Rule(_REPLACE, limit=3),
    NO_HEARTBEAT: Rule(_REPLACE, limit=2),
    UNAVAILABLE: Rule(_REPLACE, limit=5, pauses=True),
    UNKNOWN: Rule(_REPLACE, limit=4),
    DRAINED: Rule(_WAIT),
    BY_HAND: Rule(_REPLACE, made=False),
    NOT_ASKED: Rule(_WAIT),
    FailureKind.STOCK_OUT: Rule(_REPLACE, pauses=True, made=False),
    FailureKind.TOO_FEW: Rule(_REPLACE, pauses=True, made=False),
    FailureKind.QUOTA: Rule(_REPLACE, pauses=True, made=False),
    FailureKind.RATE_LIMIT: Rule(_REPLACE, pauses=True, made=False),
    FailureKind.NAME_TAKEN: Rule(_REPLACE, limit=3, made=False),
    FailureKind.OTHER: Rule(_REPLACE, limit=3, pauses=True, made=False),
    FailureKind.PERMISSION: Rule(_GIVE_UP, made=False),
    FailureKind.BAD_REQUEST: Rule(_GIVE_UP, made=False),
}
"""`stopped` is a person's word: they start the VM again, or delete it, and then it is `deleted`."""


def cause_of(exit_code: int, cause: str) -> str:
    """The one cause of a loss, from a worker's exit code (-1: it could not say) and what the service said.

    The service's word comes first: a worker that is preempted while the source is away was preempted.
    """
    if cause and cause != UNKNOWN:
        return cause
    if exit_code == ExitCode.UNAVAILABLE:
        return UNAVAILABLE
    return LEFT if exit_code == ExitCode.DONE else UNKNOWN


def find_rule(exit_code: int, cause: str) -> Rule:
    """The row of the table for a loss; a cause that this version does not know counts as unknown."""
    return BY_EXIT_CODE.get(exit_code) or BY_CAUSE.get(cause_of(exit_code, cause)) or BY_CAUSE[UNKNOWN]


def count_causes(causes: Sequence[str]) -> Counter[str]:
    """How often each cause struck, along one line of replacements."""
    return Counter(cause for cause in causes if cause)


def count_made(causes: Counter[str]) -> int:
    """How many VMs of a line of replacements there really were."""
    return sum(count for cause, count in causes.items() if BY_CAUSE.get(cause, BY_CAUSE[UNKNOWN]).made)


def pause_before(kind: str, losses: int) -> timedelta:
    """How long to wait after the n-th loss for the same cause, n from 1. `kind` is the profile's."""
    return min(FIRST_PAUSE[kind] * (1 << min(losses - 1, 20)), LONGEST_PAUSE)
