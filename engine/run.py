"""Names of runs: short, legal in VM names and labels, and sorted by time."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from engine.errors import UsageError
from engine.model import require_aware

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no i, l, o, u."""

_TIME_DIGITS = 7
_CHANCE_DIGITS = 2


ADOPTION = "a"
"""First letter of what `engine adopt` writes its manifests as."""

WAIVER = "w"
"""First letter of what `tickdeck waive` writes its manifests as."""


def new_run(now: datetime, letter: str = "r") -> str:
    """A run's name: `r` (or the letter of something else that writes manifests), seven characters for its UTC second, two of chance.

    Raises:
        UsageError: if `now` has no zone.
    """
    seconds = int(require_aware(now).timestamp())
    digits = ""
    for _ in range(_TIME_DIGITS):
        seconds, digit = divmod(seconds, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return letter + digits + "".join(secrets.choice(ALPHABET) for _ in range(_CHANCE_DIGITS))


def run_started(run: str) -> datetime:
    """The UTC second out of a run's name.

    Raises:
        UsageError: if it is no name of a run.
    """
    if len(run) != 1 + _TIME_DIGITS + _CHANCE_DIGITS or run[0] != "r" or any(letter not in ALPHABET for letter in run[1:]):
        raise UsageError(f"{run!r} is no run", hint='runs look like "r1tp8k5m2x"; list them: tickdeck fleet --runs')
    seconds = 0
    for digit in run[1 : 1 + _TIME_DIGITS]:
        seconds = seconds * len(ALPHABET) + ALPHABET.index(digit)
    return datetime.fromtimestamp(seconds, UTC)
