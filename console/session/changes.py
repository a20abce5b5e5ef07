"""What a session can change: proposals for a person to read, and carrying them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from console.session.session import Session
    from provision.actions import Proposal, Receipt
    from provision.ssh import Shell

STALE_DAYS: Final = 30
"""By default claims, heartbeats and leases of a run are kept for so long after it was last heard of."""


class Changes:
    """Proposals and their receipts. Every method blocks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def propose_drain(self, run: str) -> Proposal:
        """Tell the run's workers to take no new work."""
        from provision.actions import propose_drain

        session = self._session
        return propose_drain(session.profile, session.runs.read(run))

    def propose_vm_drain(self, names: Sequence[str]) -> Proposal:
        """Tell these VMs to take no new work; globs and short names as people type them."""
        from provision.actions import propose_vm_drain

        session = self._session
        return propose_vm_drain(session.profile, session.watching.fleet(), tuple(names))

    def propose_replace(self, names: Sequence[str], *, zones: Sequence[str] = (), model: str = "") -> Proposal:
        """Delete these VMs and ask for others in their place."""
        from provision.replacing import propose_replace

        session = self._session
        snapshot = session.watching.fleet()
        return propose_replace(session.profile, snapshot, tuple(names), find_plan=session.inventory.plan, zones=tuple(zones), model=model)

    def propose_resize(self, run: str, vms: int, *, zones: Sequence[str] = (), model: str = "") -> Proposal:
        """Let so many VMs work on a run: ask for more, or drain some."""
        from provision.resizing import propose_resize

        session = self._session
        snapshot = session.watching.fleet(run)
        view = next(view for view in snapshot.runs if view.run == run)
        plan = session.inventory.plan(view.plan)
        return propose_resize(session.profile, snapshot, view, plan, vms, zones=tuple(zones), model=model)

    def shell(self, vm: str, command: Sequence[str] = ()) -> Shell:
        """How to log in to a VM."""
        from provision.ssh import find_shell

        session = self._session
        return find_shell(session.profile, session.watching.fleet(), vm, command)

    def propose_abort(self, run: str) -> Proposal:
        """Delete all VMs of a run, whatever they do."""
        from provision.actions import propose_abort

        session = self._session
        return propose_abort(session.profile, session.watching.fleet(run), session.runs.read(run))

    def propose_delete(self, names: Sequence[str]) -> Proposal:
        """Delete these VMs; globs and short names as people type them."""
        from provision.actions import propose_delete

        session = self._session
        return propose_delete(session.profile, session.watching.fleet(), tuple(names))

    def propose_power(self, verb: Literal["stop", "start", "reset"], names: Sequence[str]) -> Proposal:
        """Stop, start or reset these VMs; globs and short names as people type them."""
        from provision.actions import propose_power

        session = self._session
        return propose_power(session.profile, session.watching.fleet(), verb, tuple(names))

    def propose_cleanup(self, *, stale_days: int = STALE_DAYS) -> Proposal:
        """What is provably of no use any more; of the state of runs that are over what is older than so many days."""
        from provision.cleanup import propose_cleanup, take_inventory

        session = self._session
        snapshot = session.watching.fleet()
        stale = timedelta(days=stale_days)
        inventory = take_inventory(session.compute, snapshot, state=session.buckets.state, stale_after=stale, clock=session.clock)
        return propose_cleanup(session.profile, snapshot, inventory)

    def propose_adoption(self, patterns: Sequence[str] = ()) -> tuple[Proposal, int]:
        """What has no label and could become ours, and how many idle addresses beside it no name meant."""
        from provision.adopting import PATTERN, count_unmatched, propose_adoption
        from provision.cleanup import take_inventory

        session = self._session
        inventory = take_inventory(session.compute, session.watching.fleet(), clock=session.clock)
        proposal = propose_adoption(session.profile, inventory, tuple(patterns) or (PATTERN,))
        return proposal, count_unmatched(inventory, proposal)

    def apply(self, proposal: Proposal, *, report: Callable[[str], None] = lambda _line: None) -> Receipt:
        """Do what a proposal says. Whoever calls this has asked the person."""
        from functools import partial

        from provision.actions import ItemResult, apply
        from provision.replacing import carry_out

        session = self._session

        def progress(result: ItemResult, finished: int, total: int) -> None:
            report(f"{finished} of {total}: {result.item.name} {result.message}")

        look = partial(session.watching.fleet, proposal.run)
        carry = partial(carry_out, look=look) if proposal.successors else apply
        return carry(
            proposal,
            profile=session.profile,
            clients=session.compute,
            state=session.buckets.state,
            confirm=len(proposal.items),
            armed=session.armed,
            progress=progress,
            clock=session.clock,
        )
