"""Which calls of a session are recorded, and what their answers are made of: a row here is all that a new one needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

import msgspec

from engine.documents import packed_decoder


@dataclass(frozen=True, slots=True)
class Call:
    """One method of a session's subject."""

    answer: str
    """Type of the answer: `module:Class`, or a name of `_BUILT_IN`. It is imported when it is first read."""
    streams: bool = False
    """An asynchronous iterator; each of its items is a frame."""
    iterates: bool = False
    """An iterator; all its items are one frame, when the last has come."""
    any_key: bool = False
    """In a replay the newest answer counts, whatever the arguments were: the console looks at one thing at a time."""

    def key(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """What tells one question from another."""
        return "" if self.any_key else key_of(args, kwargs)


CALLS: Final[Mapping[str, Call]] = {
    "watching.fleet": Call("provision.fleet:FleetSnapshot", any_key=True),
    "watching.live_runs": Call("names"),
    "watching.launch_records": Call("launches"),
    "coverage.check": Call("engine.coverage:Coverage", any_key=True),
    "coverage.arrivals": Call("arrivals", any_key=True),
    "planning.plan": Call("engine.plan:Plan"),
    "planning.what_if": Call("alternatives"),
    "planning.kept": Call("saved plans", any_key=True),
    "planning.find_kept": Call("engine.plan:Plan"),
    "launching.preflight": Call("checks", iterates=True, any_key=True),
    "health.names": Call("names", any_key=True),
    "health.examine": Call("checks", iterates=True, any_key=True),
    "audit.deeds": Call("deeds", any_key=True),
    "money.spending": Call("provision.costs:Spending", any_key=True),
    "logs.follow_logs": Call("provision.logs:Batch", streams=True, any_key=True),
    "logs.find_logs": Call("provision.logs:Evidence"),
    "logs.recent_files": Call("provision.logs:Evidence"),
    "logs.serial": Call("text"),
    "inventory.open_cell": Call("records"),
    "inventory.findings": Call("findings"),
    "inventory.catalogues": Call("catalogues"),
    "inventory.plan": Call("engine.plan:Plan"),
}

STEP_CALL: Final = "watching.fleet"
"""Each look at the fleet is a moment of a recording, also one that shows nothing new."""


def _built_in(name: str) -> Any:
    match name:
        case "text":
            return str
        case "names":
            return list[str]
        case "launches":
            from engine.launch import LaunchRecord

            return list[LaunchRecord]
        case "arrivals":
            from engine.arrivals import Arrival

            return tuple[Arrival, ...]
        case "alternatives":
            from provision.what_if import Alternative

            return tuple[Alternative, ...]
        case "saved plans":
            from engine.saved_plans import SavedPlan

            return list[SavedPlan]
        case "checks":
            from engine.doctor.finding import Finding as Found

            return list[Found]
        case "deeds":
            from provision.audit import Deed

            return tuple[Deed, ...]
        case "records":
            from engine.manifest import Record

            return dict[str, Record]
        case "findings":
            from engine.validation.verification import Finding

            return tuple[Finding, ...]
        case "catalogues":
            from engine.catalogue import Catalogue

            return dict[str, Catalogue]
    raise KeyError(name)


@cache
def _decoder(call: str) -> msgspec.msgpack.Decoder[Any]:
    module, _, name = CALLS[call].answer.partition(":")
    return packed_decoder(getattr(import_module(module), name) if name else _built_in(module))


def encode_answer(answer: object) -> bytes:
    """An answer as a frame holds it.

    Raises:
        TypeError, NotImplementedError: if it has a part that cannot be recorded.
    """
    return msgspec.msgpack.encode(answer, enc_hook=_encode_other)


def decode_answer(call: str, answer: bytes) -> Any:
    """An answer of that call.

    Raises:
        msgspec.ValidationError: if it is not one.
    """
    return _decoder(call).decode(answer)


def key_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """The same for the same arguments; functions among them (who hears of progress) do not count."""
    plain = [each for each in args if not callable(each)], {name: each for name, each in sorted(kwargs.items()) if not callable(each)}
    return hashlib.sha256(msgspec.msgpack.encode(plain, enc_hook=_encode_other)).hexdigest()[:16]


def _encode_other(value: object) -> object:
    if isinstance(value, MappingProxyType):
        return dict(value)
    if isinstance(value, range):
        return [value.start, value.stop]
    raise NotImplementedError(f"cannot record {type(value).__name__}")
