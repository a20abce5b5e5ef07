"""The labels that make a resource ours. One function writes them, one reads them, and both know what GCE allows in a label.

A resource is ours if it says who owns it and which run it belongs to; plan and expiry are for people and for cleanup.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.errors import ConfigurationError
from engine.model import require_aware

OWNER = "td-owner"
RUN = "td-run"
PLAN = "td-plan"
EXPIRES = "td-expires"
KEEP = "td-keep"
"""Only on VMs that stay after their work: until when."""

ADOPTED = "adopted"
"""In place of a run, on what was there before Tickdeck."""

MAX_LENGTH = 63
"""Of a label's key and of its value, in characters."""

_VALUE = re.compile(r"[a-z0-9_-]{1,63}")
_RUN = re.compile(r"[a-z][a-z0-9]{0,62}")
_MOMENT = "%Y%m%dt%H%M%Sz"


@dataclass(frozen=True, slots=True)
class Ownership:
    """What the labels of a resource of ours say."""

    owner: str
    """As `label_value` wrote it: `alice@example.com` reads `alice_example_com`."""
    run: str
    plan: str = ""
    expires: datetime | None = None
    """UTC; None if the label is missing or unreadable, which makes it no less ours."""
    kept_until: datetime | None = None
    """UTC; until when a VM stays after its work. None: it does not."""


def label_value(text: str) -> str:
    """Any text as a label value: lower case, other characters as `_`, and a hash in place of what does not fit.

    Applying it twice changes nothing. The service also takes letters of other scripts; ASCII keeps filters and shells simple.
    """
    value = re.sub(r"[^a-z0-9_-]", "_", text.strip().lower())
    if len(value) > MAX_LENGTH:
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        value = f"{value[: MAX_LENGTH - 11]}-{digest}"
    return value or "unknown"


def make_labels(*, owner: str, run: str, plan: str, expires: datetime, keep_until: datetime | None = None) -> dict[str, str]:
    """The labels of everything that is launched for a run.

    Args:
        owner: a person or a team, any text.
        run: the run's name.
        plan: the plan's hash.
        expires: aware; when nobody should need the resource any more. Kept to the second.
        keep_until: aware; until when a VM stays after its work.

    Raises:
        ConfigurationError: if `run` or `plan` cannot be a label: they are compared exactly, so they are never altered.
        UsageError: if a moment is naive.
    """
    if not _RUN.fullmatch(run):
        raise ConfigurationError(f"run {run!r} cannot be a label", hint="a run is lower-case letters and digits, a letter first")
    if not _VALUE.fullmatch(plan):
        raise ConfigurationError(f"plan {plan!r} cannot be a label", hint="a plan is named by its hash")
    labels = {
        OWNER: label_value(owner),
        RUN: run,
        PLAN: plan,
        EXPIRES: require_aware(expires).strftime(_MOMENT),
    }
    return labels if keep_until is None else {**labels, KEEP: require_aware(keep_until).strftime(_MOMENT)}


def parse_labels(labels: Mapping[str, str]) -> Ownership | None:
    """Whose a resource is, or None if it is not ours."""
    owner, run = labels.get(OWNER, ""), labels.get(RUN, "")
    if not owner or not _RUN.fullmatch(run):
        return None
    return Ownership(owner, run, labels.get(PLAN, ""), _parse_moment(labels.get(EXPIRES, "")), _parse_moment(labels.get(KEEP, "")))


def _parse_moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None
