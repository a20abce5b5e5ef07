"""What a pass of reconcile did, in words: one event a line, for the verb, the console and whoever reads the JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from console.sentences import plural
from provision.actions import Receipt
from provision.placing import LaunchResult
from provision.reconcile import Pass

REPEATED = frozenset({"given up", "waiting", "elsewhere", "canary"})
"""Kinds that say how things are: they come with every pass, and are told when they change."""


@dataclass(frozen=True, slots=True)
class ReconcileEvent:
    """One thing that happened, or that keeps something from happening."""

    kind: str
    """`asked for`, `not made`, `overtaken`, `deleted`, `drained`, `given up`, `waiting`, `canary` or `elsewhere`."""
    run: str
    vms: tuple[str, ...]
    text: str

    @property
    def is_state(self) -> bool:
        """Whether it says how things are, rather than what was done."""
        return self.kind in REPEATED


def events_of(done: Pass) -> tuple[ReconcileEvent, ...]:
    """The events of one pass, what was done first."""
    return (
        *(event for result in done.results for event in _of_result(result)),
        *(_of_receipt(receipt) for receipt in done.receipts),
        *(ReconcileEvent("canary", canary.run, tuple(vm.name for vm in canary.vms), canary.message) for canary in done.canaries),
        *(ReconcileEvent("given up", item.run, (item.vm,), str(item)) for item in done.given_up),
        *(ReconcileEvent("waiting", item.run, (item.vm,), str(item)) for item in done.waiting),
        *(ReconcileEvent("elsewhere", held.lease.run, (), f"{held.lease.who} looks after it") for held in done.elsewhere),
    )


def _of_result(result: LaunchResult) -> Iterator[ReconcileEvent]:
    order = result.order
    if result.status == "superseded":
        yield ReconcileEvent("overtaken", order.run, (), result.message)
        return
    created = tuple(result.created)
    if created:
        yield ReconcileEvent("asked for", order.run, created, f"{order.reason}: {names(created)} asked for")
    elif result.status == "pending":
        yield ReconcileEvent("asked for", order.run, tuple(order.vms), f"{order.reason}: {names(tuple(order.vms))} on the way")
    if result.missing and result.status != "pending":
        yield ReconcileEvent("not made", order.run, result.missing, result.message)


def _of_receipt(receipt: Receipt) -> ReconcileEvent:
    proposal = receipt.proposal
    done = tuple(result.item.name for result in receipt.results if result.ok)
    if proposal.verb == "drain":
        return ReconcileEvent("drained", proposal.run, (), f"drained: {proposal.items[0].why}")
    line = f"{names(done)} of no more use: deleted" if done else ""
    failed = "; ".join(f"{result.item.name}: {result.message}" for result in receipt.failed)
    return ReconcileEvent("deleted", proposal.run, done, "; ".join(filter(None, (line, failed))))


def names(vms: Sequence[str]) -> str:
    """The names of some VMs, of many only the first and how many more."""
    return ", ".join(vms) if len(vms) <= 3 else f"{vms[0]} and {plural(len(vms) - 1, 'more VM')}"
