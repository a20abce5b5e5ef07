"""Every fault that the local cloud can be told to show, by server: what `tickdeck local chaos list --kinds` prints.

Kept apart from the servers because it names them all, and from `provision.local.faults` because they all import that.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from provision.local.faults import FaultKind

_PLACES: Mapping[str, str] = {
    "storage": "provision.local.storage.service:FAULT_KINDS",
    "logs": "provision.local.logs.fault_kinds:KINDS",
    "platform": "provision.local.platform.incidents:KINDS",
    "bigquery": "provision.local.bigquery.incidents:KINDS",
    "compute": "provision.local.compute.incidents:KINDS",
    "tardis": "provision.local.tardis.strikes:FAULT_KINDS",
}

DEEDS: Mapping[str, str] = {
    "preempt": "takes a VM away as a zone does: notice, SIGTERM, end",
    "kill": "cuts the power of a VM: no notice, no last word",
}
"""What is done to one VM at once, by verbs of their own: `tickdeck local preempt VM`, `tickdeck local kill VM`."""


def fault_kinds() -> dict[str, tuple[FaultKind, ...]]:
    """Server -> the kinds of faults that it knows. No server need run."""
    found = {}
    for service, place in _PLACES.items():
        module, _, name = place.partition(":")
        found[service] = tuple(getattr(import_module(module), name))
    return found


def describe_settings(kind: FaultKind) -> str:
    """The settings of a kind as they are typed: `status=INT [retry_after=FLOAT]`."""
    words = [f"{name}={wanted.__name__.upper()}" for name, wanted in kind.required.items()]
    words += [f"[{name}={wanted.__name__.upper()}]" for name, wanted in kind.optional.items()]
    return " ".join(words)
