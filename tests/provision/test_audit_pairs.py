"""Intents and receipts as one thing: what nobody finished first, and an object of the trail is fetched once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from provision.audit import INTENT, RECEIPT, AuditItem, AuditReader, AuditRecord, Ending, pair_records, write_intent, write_receipt
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import NOW, gcp_profile


def intent(number: int, minutes: float, **changes: Any) -> AuditRecord:
    about = {"who": "ops", "host": "desk", "profile": "prod", "project": "p", "verb": "delete"} | changes
    items = (AuditItem(kind="vm", name="a"), AuditItem(kind="vm", name="b"))
    return AuditRecord(id=f"{number:04x}", phase=INTENT, when=NOW - timedelta(minutes=minutes), items=items, **about)


def receipt(of: AuditRecord, *ok: bool | None) -> AuditRecord:
    items = tuple(structs.replace(item, ok=each) for item, each in zip(of.items, ok, strict=True))
    return structs.replace(of, phase=RECEIPT, when=of.when + timedelta(seconds=3), items=items, message="so")


def test_how_a_change_ended_follows_from_its_receipt_and_its_age() -> None:
    done, partly, failed = intent(1, 50), intent(2, 40), intent(3, 30)
    lost, fresh, build = intent(4, 60), intent(5, 2), intent(6, 29, verb="build-image")
    records = (
        *(done, receipt(done, True, True)),
        *(partly, receipt(partly, True, False)),
        *(failed, receipt(failed, False, False)),
        *(lost, fresh, build),
    )
    deeds = pair_records(records, now=NOW)
    assert [(deed.intent.id, deed.ending) for deed in deeds] == [
        ("0004", Ending.UNFINISHED),
        ("0005", Ending.UNDER_WAY),
        ("0006", Ending.UNDER_WAY),
        ("0003", Ending.FAILED),
        ("0002", Ending.PARTLY),
        ("0001", Ending.DONE),
    ]
    assert [(deed.done, deed.failed) for deed in deeds] == [(0, 0), (0, 0), (0, 0), (0, 2), (1, 1), (2, 0)]


@given(st.permutations(range(6)))
def test_the_order_of_the_records_does_not_matter(order: list[int]) -> None:
    first, second, third = intent(1, 50), intent(2, 40), intent(3, 30)
    records = [first, receipt(first, True, True), second, receipt(second, False, True), third, receipt(third, None, None)]
    assert pair_records([records[number] for number in order], now=NOW) == pair_records(records, now=NOW)


def test_a_second_look_reads_only_what_is_new(wired: Wired) -> None:
    today = NOW.date()
    reader = AuditReader(wired.state)
    begun = write_intent(wired.state, gcp_profile(), "drain", (), clock=lambda: NOW)
    assert [record.phase for record in reader.read(today, today)] == [INTENT]
    write_receipt(wired.state, begun, (), "asked", clock=lambda: NOW)
    found = reader.read(today, today)
    assert [record.phase for record in found] == [INTENT, RECEIPT]
    assert reader.read(today, today)[0] is found[0]
