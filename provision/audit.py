"""The audit trail: who changed what, when, why, and what came of it. Create-once objects; nothing edits history.

One mutation makes two objects that share an id: the intent, written before anything is sent, and the receipt, written after. An
intent without a receipt is what a console that died in the middle leaves behind: then the cloud, not the trail, knows the outcome.
A mutation whose intent cannot be written does not happen.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from datetime import date, timedelta

import msgspec

from engine.clock import Clock
from engine.documents import JSON, Moment, decode, encode
from engine.model import day_start
from engine.paths import AUDIT, audit_object, parse_audit_object
from engine.store import Store
from provision.profile import Profile

INTENT = "intent"
RECEIPT = "receipt"


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
    last = day_start(end) + timedelta(days=1)
    names = [info.name for info in state.list(AUDIT, start=f"{AUDIT}{start.isoformat()}", end=f"{AUDIT}{last.date().isoformat()}")]
    for name in names:
        parse_audit_object(name)
        found = state.get(name)
        if found is not None:
            yield decode(found.data, AuditRecord, name=name)


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
