"""A pass of reconcile in words."""

from __future__ import annotations

from console.reconcile_events import events_of, names
from provision.actions import Item, ItemResult, Proposal, Receipt
from provision.lease import Held, Lease
from provision.placing import LaunchResult
from provision.reconcile import GivenUp, Pass, Waiting
from tests.provision.made_up_fleet import NOW, RUN, make_order, vm_name

ZERO, ONE = vm_name(0), vm_name(1)


def receipt(verb: str, *names: str, failed: str = "") -> Receipt:
    items = tuple(Item("vm", name, "why it is so", run=RUN) for name in names)
    results = tuple(ItemResult(item, item.name != failed, "refused" if item.name == failed else "deleted") for item in items)
    return Receipt(Proposal(verb, "local", items, run=RUN), results, NOW, NOW, "id")  # type: ignore[arg-type]


def test_each_thing_that_was_done_and_each_that_is_in_the_way_is_one_event() -> None:
    order = make_order(2, reason="preempted")
    done = Pass(
        results=(
            LaunchResult(order, "partial", created={ZERO: "a"}, missing=(ONE,)),
            LaunchResult(order, "superseded"),
            LaunchResult(order, "pending"),
        ),
        receipts=(receipt("cleanup", ZERO, ONE, failed=ONE), receipt("drain", RUN)),
        given_up=(GivenUp(RUN, ZERO, (0,), "no money"),),
        waiting=(Waiting(RUN, ONE, (1,), "no capacity", NOW),),
        elsewhere=(Held(Lease(run=RUN, holder="b", who="bob@desk", since=NOW), 1, NOW),),
    )
    events = events_of(done)
    assert [(event.kind, event.vms) for event in events] == [
        ("asked for", (ZERO,)),
        ("not made", (ONE,)),
        ("overtaken", ()),
        ("asked for", (ZERO, ONE)),
        ("deleted", (ZERO,)),
        ("drained", ()),
        ("given up", (ZERO,)),
        ("waiting", (ONE,)),
        ("elsewhere", ()),
    ]
    texts = [event.text for event in events]
    assert texts[0] == f"preempted: {ZERO} asked for"
    assert texts[4] == f"{ZERO} of no more use: deleted; {ONE}: refused"
    assert texts[5] == "drained: why it is so"
    assert texts[7].startswith(f"{ONE} is waited for until 12:00:00 UTC")
    assert texts[8] == "bob@desk looks after it"
    assert {event.run for event in events} == {RUN}
    assert [event.is_state for event in events] == [False] * 6 + [True] * 3


def test_many_names_are_one_and_a_number() -> None:
    assert names([f"vm-{number}" for number in range(3)]) == "vm-0, vm-1, vm-2"
    assert names([f"vm-{number}" for number in range(100)]) == "vm-0 and 99 more VMs"
