"""Jobs for kept VMs, guarded: only a VM of ours, in this project, that was launched to be kept and whose time is not over.

What a job is and how a worker does it is `engine.jobs`; this is who may give one, and the audit record of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from engine.clock import Clock, utc_now
from engine.jobs import Job, require_arguments, submit
from engine.store import Store
from provision.audit import AuditItem, write_intent, write_receipt
from provision.errors import GuardRefusal
from provision.fleet import FleetSnapshot
from provision.names import has_wildcard, resolve_names
from provision.profile import Profile, require_writable

KEPT = "kept"
"""State of a heartbeat: the work is over, the worker waits for jobs."""


@dataclass(frozen=True, slots=True)
class JobProposal:
    """A job that would be given to a VM."""

    project: str
    run: str
    vm: str
    zone: str
    id: str
    arguments: tuple[str, ...]
    kept_until: datetime
    waits: bool
    """The VM is still at its own work; the job is done after it."""


def propose_job(profile: Profile, snapshot: FleetSnapshot, name: str, arguments: Sequence[str]) -> JobProposal:
    """What `tickdeck run --vm NAME -- ARGUMENTS` would do. Pure.

    Raises:
        UsageError: if the name or the job cannot be meant.
        GuardRefusal: if the VM is not one that takes jobs.
    """
    wanted = require_arguments(arguments)
    if has_wildcard(name):
        raise GuardRefusal(f"{name!r} may mean several VMs", hint="name one")
    (found,) = resolve_names(name, snapshot.known_vms())
    row = snapshot.find(found)
    if row is None or row.vm is None:
        raise GuardRefusal(f"{found} does not exist any more", hint="list the fleet: tickdeck fleet")
    ownership = row.vm.ownership
    if ownership is None:
        raise GuardRefusal(f"{found} is not ours")
    until = ownership.kept_until
    if until is None:
        raise GuardRefusal(f"{found} was not launched to be kept", hint="launch with --keep 2h, then give it jobs")
    if snapshot.taken >= until:
        raise GuardRefusal(f"{found} was kept until {until:%Y-%m-%d %H:%M} UTC", hint="launch another: tickdeck deploy ... --keep 2h")
    if row.dead:
        raise GuardRefusal(f"{found} is {row.status}", hint=f"start it: tickdeck fleet start {found}")
    return JobProposal(
        project=profile.project,
        run=ownership.run,
        vm=found,
        zone=row.zone,
        id=row.vm.id,
        arguments=wanted,
        kept_until=until,
        waits=row.heartbeat is None or row.heartbeat.state != KEPT,
    )


def give_job(proposal: JobProposal, *, profile: Profile, state: Store, armed: bool = False, clock: Clock = utc_now) -> Job:
    """Give the VM its job, between an intent and a receipt.

    Raises:
        WriteRefused: if the profile may not write. GuardRefusal: if the proposal is another project's.
        StoreError, NotPermitted: if the bucket could not be written.
    """
    require_writable(profile, armed=armed)
    if proposal.project != profile.project:
        raise GuardRefusal(f"this job is for project {proposal.project}, the profile is for {profile.project}")
    why = f"engine {' '.join(proposal.arguments)}"
    item = AuditItem(kind="vm", name=proposal.vm, place=proposal.zone, id=proposal.id, why=why)
    intent = write_intent(state, profile, "run", (item,), clock=clock, run=proposal.run, reason="a job for a kept VM")
    job = submit(state, proposal.run, proposal.vm, proposal.arguments, who=profile.owner, now=clock())
    done = msgspec.structs.replace(item, ok=True, message=f"job {job.number}")
    write_receipt(state, intent, (done,), f"job {job.number} given to {proposal.vm}", clock=clock)
    return job
