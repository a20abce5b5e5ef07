"""What is done about each end of a worker and each cause of a loss: the whole table."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.errors import ExitCode
from provision.operations import FailureKind
from provision.remedies import (
    BY_CAUSE,
    BY_HAND,
    FIRST_PAUSE,
    LEFT,
    LONGEST_PAUSE,
    UNAVAILABLE,
    Remedy,
    cause_of,
    count_causes,
    count_made,
    find_rule,
    pause_before,
)
from provision.vm_state import _CAUSES, DRAINED, NO_HEARTBEAT, NOT_ASKED, SILENT, UNKNOWN

REPLACE, WAIT, GIVE_UP = Remedy.REPLACE, Remedy.WAIT, Remedy.GIVE_UP
HOPELESS = (ExitCode.USAGE, ExitCode.PARTIAL, ExitCode.NOT_PERMITTED, ExitCode.CONFIGURATION)
CURABLE = (-1, ExitCode.DONE, ExitCode.UNAVAILABLE, ExitCode.TEMPORARY, 1, 137)

EXPECTED = {
    "": REPLACE,
    UNKNOWN: REPLACE,
    "preempted": REPLACE,
    "host error": REPLACE,
    "powered off": REPLACE,
    "stopped": WAIT,
    "deleted": REPLACE,
    "run limit": REPLACE,
    SILENT: REPLACE,
    NO_HEARTBEAT: REPLACE,
    NOT_ASKED: WAIT,
    FailureKind.STOCK_OUT: REPLACE,
    FailureKind.TOO_FEW: REPLACE,
    DRAINED: WAIT,
    BY_HAND: REPLACE,
    FailureKind.QUOTA: REPLACE,
    FailureKind.RATE_LIMIT: REPLACE,
    FailureKind.NAME_TAKEN: REPLACE,
    FailureKind.OTHER: REPLACE,
    FailureKind.PERMISSION: GIVE_UP,
    FailureKind.BAD_REQUEST: GIVE_UP,
}


@pytest.mark.parametrize("cause", EXPECTED)
@pytest.mark.parametrize("code", [*HOPELESS, *CURABLE])
def test_each_exit_code_with_each_cause(code: int, cause: str) -> None:
    assert find_rule(code, cause).remedy is (GIVE_UP if code in HOPELESS else EXPECTED[cause])


def test_every_cause_that_the_service_or_a_launch_can_have_is_in_the_table() -> None:
    causes = {*_CAUSES.values(), "run limit", *FailureKind, UNKNOWN, SILENT, NO_HEARTBEAT, NOT_ASKED, UNAVAILABLE, LEFT, DRAINED, BY_HAND}
    assert causes == set(BY_CAUSE)


@pytest.mark.parametrize(
    ("code", "said", "cause"),
    [
        (69, "", UNAVAILABLE),
        (69, UNKNOWN, UNAVAILABLE),
        (69, "preempted", "preempted"),
        (0, "", LEFT),
        (75, "", UNKNOWN),
        (-1, "", UNKNOWN),
        (-1, "host error", "host error"),
    ],
)
def test_the_service_is_believed_before_the_worker_and_nothing_is_guessed(code: int, said: str, cause: str) -> None:
    assert cause_of(code, said) == cause


def test_a_cause_that_nobody_knows_yet_counts_as_unknown() -> None:
    assert find_rule(-1, "struck by lightning") == BY_CAUSE[UNKNOWN]


def test_what_was_never_made_uses_up_no_attempt() -> None:
    causes = count_causes(["preempted", "no capacity", "quota", "no capacity", "", "unknown"])
    assert (causes["no capacity"], count_made(causes)) == (2, 2)


@pytest.mark.parametrize("kind", FIRST_PAUSE)
def test_pauses_double_up_to_a_quarter_of_an_hour(kind: str) -> None:
    pauses = [pause_before(kind, losses) for losses in range(1, 40)]
    assert pauses[:3] == [FIRST_PAUSE[kind], 2 * FIRST_PAUSE[kind], 4 * FIRST_PAUSE[kind]]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE == timedelta(minutes=15)
