"""The audit trail: who changed what, when, why, and what came of it. Create-once objects; nothing edits history.

One mutation makes two objects that share an id: the intent, written before anything is sent, and the receipt, written after. An
intent without a receipt is what a console that died in the middle leaves behind: then the cloud, not the trail, knows the outcome.
A mutation whose intent cannot be written does not happen.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import partial

import msgspec

from engine.clock import Clock
from engine.documents import JSON, Moment, decode, encode
from engine.model import day_start
from engine.paths import AUDIT, audit_object, parse_audit_object
from engine.store import Store
from provision.profile import Profile

INTENT = "intent"
RECEIPT = "receipt"

LONGEST_DEED = timedelta(minutes=15)
"""A mutation that has no receipt after so long was not finished: a hundred VMs with their serial output take five."""
LONGEST_BUILD = timedelta(hours=1)
"""The same for an image."""

PARALLEL = 16
"""Objects of the trail that are fetched at a time."""


class AuditItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a mutation touches."""

    kind: str
    """`vm`, `disk`, `address`, `run` or `state`."""
    name: str
    place: str = ""
    """Zone or region."""
    id: str = ""
    why: str = ""
    request_id: str = ""
    ok: bool | None = None
    """None in an intent."""
    message: str = ""
    serial_tail: str = ""
    """The last 64 KiB that a deleted VM said."""


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An intent or a receipt."""

    schema: int = 1
    id: str
    """Shared by an intent and its receipt."""
    phase: str
    when: Moment
    verb: str
    """`launch`, `replace`, `drain`, `abort`, `delete`, `cleanup`, `stop`, `start`, `reset`, `adopt`."""
    who: str
    host: str
    profile: str
    project: str
    run: str = ""
    plan: str = ""
    reason: str = ""
    items: tuple[AuditItem, ...] = ()
    message: str = ""
    """Of a receipt: what came of it, in one line."""


def write_intent(
    state: Store,
    profile: Profile,
    verb: str,
    items: tuple[AuditItem, ...],
    *,
    clock: Clock,
    run: str = "",
    plan: str = "",
    reason: str = "",
) -> AuditRecord:
    """Write down what is about to be done.

    Raises:
        StoreError, NotPermitted: then it must not be done.
    """
    record = AuditRecord(
        id=secrets.token_hex(8),
        phase=INTENT,
        when=clock(),
        verb=verb,
        who=profile.owner,
        host=socket.gethostname(),
        profile=profile.name,
        project=profile.project,
        run=run,
        plan=plan,
        reason=reason,
        items=items,
    )
    _write(state, record)
    return record


def write_receipt(state: Store, intent: AuditRecord, items: tuple[AuditItem, ...], message: str, *, clock: Clock) -> AuditRecord:
    """Write down what came of an intent."""
    # Names are by time: a receipt of the same microsecond would meet its intent.
    when = max(clock(), intent.when + timedelta(microseconds=1))
    record = msgspec.structs.replace(intent, phase=RECEIPT, when=when, items=items, message=message)
    _write(state, record)
    return record


def list_records(state: Store, start: date, end: date) -> Iterator[AuditRecord]:
    """Intents and receipts of these UTC days, both inclusive, oldest first."""
    for name in _names(state, start, end):
        record = _read(state, name)
        if record is not None:
            yield record


def _write(state: Store, record: AuditRecord) -> None:
    done = sum(item.ok is True for item in record.items)
    metadata = {
        "id": record.id,
        "phase": record.phase,
        "verb": record.verb,
        "who": record.who[:100].encode("ascii", "replace").decode(),
        "run": record.run,
        "items": str(len(record.items)),
        "done": str(done),
    }
    state.put(audit_object(record.when, record.id), encode(record), if_generation=0, metadata=metadata, content_type=JSON)


class Ending(StrEnum):
    """How a mutation ended."""

    UNFINISHED = "unfinished"
    """No receipt, and too old for one to come: whoever did it died in the middle. The cloud knows the outcome, not the trail."""
    UNDER_WAY = "under way"
    FAILED = "failed"
    """Nothing of it was done."""
    PARTLY = "partly"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Deed:
    """One mutation: the intent, and what came of it."""

    intent: AuditRecord
    """Where only the receipt is left of it, the receipt."""
    receipt: AuditRecord | None
    ending: Ending

    @property
    def items(self) -> tuple[AuditItem, ...]:
        """What it touched, with the outcomes if there are any."""
        return self.receipt.items if self.receipt is not None else self.intent.items

    @property
    def done(self) -> int:
        """How many of them were done."""
        return sum(item.ok is True for item in self.items)

    @property
    def failed(self) -> int:
        """How many were not."""
        return sum(item.ok is False for item in self.items)

    @property
    def message(self) -> str:
        """What came of it, in one line; before that the reason."""
        return self.receipt.message if self.receipt is not None else self.intent.reason


def pair_records(records: Iterable[AuditRecord], *, now: datetime) -> list[Deed]:
    """Intents with their receipts, newest first, but what nobody finished before everything else.

    Args:
        now: UTC.
    """
    found: dict[str, dict[str, AuditRecord]] = {}
    for record in records:
        found.setdefault(record.id, {})[record.phase] = record
    deeds = [_deed(pair.get(INTENT), pair.get(RECEIPT), now) for pair in found.values()]
    return sorted(deeds, key=lambda deed: (deed.ending is not Ending.UNFINISHED, -deed.intent.when.timestamp(), deed.intent.id))


def _deed(intent: AuditRecord | None, receipt: AuditRecord | None, now: datetime) -> Deed:
    first = intent or receipt
    assert first is not None
    if receipt is None:
        longest = LONGEST_BUILD if first.verb == "build-image" else LONGEST_DEED
        return Deed(first, None, Ending.UNFINISHED if now - first.when > longest else Ending.UNDER_WAY)
    ok = [item.ok for item in receipt.items if item.ok is not None]
    if not ok or all(ok):
        return Deed(first, receipt, Ending.DONE)
    return Deed(first, receipt, Ending.PARTLY if any(ok) else Ending.FAILED)


class AuditReader:
    """Reads the trail again and again: an object never changes, so each is fetched once. Not for several threads at a time."""

    def __init__(self, state: Store) -> None:
        self._state = state
        self._known: dict[str, AuditRecord] = {}

    def read(self, start: date, end: date) -> list[AuditRecord]:
        """As `list_records`.

        Raises:
            StoreError: if the bucket does not answer.
        """
        names = _names(self._state, start, end)
        new = [name for name in names if name not in self._known]
        with ThreadPoolExecutor(PARALLEL, "audit") as pool:
            for name, record in zip(new, pool.map(partial(_read, self._state), new), strict=True):
                if record is not None:
                    self._known[name] = record
        return [self._known[name] for name in names if name in self._known]


def _names(state: Store, start: date, end: date) -> list[str]:
    last = day_start(end) + timedelta(days=1)
    return [info.name for info in state.list(AUDIT, start=f"{AUDIT}{start.isoformat()}", end=f"{AUDIT}{last.date().isoformat()}")]


def _read(state: Store, name: str) -> AuditRecord | None:
    parse_audit_object(name)
    found = state.get(name)
    return None if found is None else decode(found.data, AuditRecord, name=name)
