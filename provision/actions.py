"""The one guarded path to change what exists. Data first: a proposal says what would be done, `apply` does exactly that.

The guard is here and not in any user interface. It holds twice: when a proposal is made, and again for every single resource right
before it is touched, from a fresh read: our labels, the same resource id, this project. A dry run is the proposal, not applied.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from engine.clock import Clock, utc_now
from engine.errors import EngineError
from engine.store import Store
from provision.audit import AuditItem, AuditRecord, write_intent, write_receipt
from provision.clients import ComputeClients
from provision.errors import CloudUnavailable, GuardRefusal, NotFound, cloud_errors
from provision.fleet import FleetSnapshot
from provision.labels import parse_labels
from provision.names import has_wildcard, is_wildcard_only, resolve_names
from provision.operations import failures_of, is_done, repeatable, wait_in_region, wait_in_zone
from provision.prices import cost_per_hour, disk_cost_per_day
from provision.profile import Profile, require_writable
from provision.resources import Address, Disk, Vm, get_address, get_disk, get_vm, list_vms, read_serial_tail, watched_zones
from provision.runs import DrainOrder, RunView, write_drain, write_vm_drain
from provision.stale_state import delete_state
from provision.successors import Successor
from provision.vm_state import FleetVm

PARALLEL = 16
"""Resources worked on at a time."""

WAIT_SECONDS = 240.0
"""For the operation of one resource."""

Verb = Literal["drain", "abort", "delete", "cleanup", "stop", "start", "reset", "adopt", "replace", "resize"]
Kind = Literal["vm", "disk", "address", "run", "state", "new"]
"""`new`: a VM that would be asked for (`provision.replacing`)."""

DELETING: frozenset[str] = frozenset({"abort", "delete", "cleanup", "replace"})
_POWER: dict[str, frozenset[str]] = {
    "stop": frozenset({"PROVISIONING", "STAGING", "RUNNING"}),
    "start": frozenset({"TERMINATED"}),
    "reset": frozenset({"RUNNING"}),
}
"""What a VM's status has to be for the verb to mean anything."""

_DONE = {"delete": "deleted", "stop": "stopped", "start": "started", "reset": "reset", "adopt": "ours now"}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that would be changed."""

    kind: Kind
    name: str
    why: str
    place: str = ""
    """Zone of a VM or disk, region of an address, bucket of state."""
    id: str = ""
    """The resource's number: another resource that has the same name by then is not meant."""
    run: str = ""
    status: str = ""
    """What it said when this was proposed. Cleanup does not touch what has changed since."""
    age_seconds: float | None = None
    cost_per_day: float = 0.0
    """US dollars that it costs a day as it is."""
    users: tuple[str, ...] = ()
    """Of a disk to adopt: the VMs that had it when this was proposed."""
    objects: tuple[tuple[str, int], ...] = ()
    """Of state: each object's name and generation. Another generation by then is not meant."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was selected and will not be touched."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be done."""

    verb: Verb
    project: str
    items: tuple[Item, ...]
    refused: tuple[Refusal, ...] = ()
    run: str = ""
    plan: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What an adoption puts on its items."""
    successors: tuple[Successor, ...] = ()
    """What the items of kind `new` are."""
    zones: tuple[str, ...] = ()
    """Where they may be; empty: where the profile says."""

    @property
    def cost_per_day(self) -> float:
        """US dollars a day that the items cost now."""
        return sum(item.cost_per_day for item in self.items)


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one item."""

    item: Item
    ok: bool
    message: str
    request_id: str = ""
    serial_tail: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was done. Failures stay in it."""

    proposal: Proposal
    results: tuple[ItemResult, ...]
    started: datetime
    ended: datetime
    audit_id: str
    warnings: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[ItemResult, ...]:
        """The items that could not be dealt with."""
        return tuple(result for result in self.results if not result.ok)

    @property
    def message(self) -> str:
        """One line: "delete: 99 done, 1 failed"."""
        done = len(self.results) - len(self.failed)
        return f"{self.proposal.verb}: {done} done" + (f", {len(self.failed)} failed" if self.failed else "")


Progress = Callable[[ItemResult, int, int], None]
"""Called for each finished item, with how many are finished and how many there are, from the thread that called `apply`."""


def propose_drain(profile: Profile, view: RunView, *, why: str = "") -> Proposal:
    """Tell the workers of a run to take no new work: spending ends, nothing is lost.

    Args:
        why: for the audit trail, where no person says so.

    Raises:
        GuardRefusal: if the run is another project's.
    """
    _require_project(profile, view)
    left = f"{len(view.unfinished)} of {len(view.shards)} shards unfinished"
    item = Item("run", view.run, f"{why}; {left}" if why else left, run=view.run)
    if view.drain is not None:
        return Proposal("drain", profile.project, (), (Refusal(view.run, "was told before"),), view.run, view.plan)
    return Proposal("drain", profile.project, (item,), run=view.run, plan=view.plan)


def propose_vm_drain(profile: Profile, snapshot: FleetSnapshot, patterns: Sequence[str]) -> Proposal:
    """Tell the workers of some VMs to take no new work and end. Nothing is lost, nobody takes their place: the other workers of the run
    take up their shards as they come to the end of their own.

    Raises:
        GuardRefusal, UsageError: as for `propose_delete`.
    """
    rows, refused = _select(snapshot, patterns)
    items, refusals = [], list(refused)
    for row in rows:
        if row.drained:
            refusals.append(Refusal(row.name, "was told before"))
        elif row.dead or row.exit_code >= 0:
            refusals.append(Refusal(row.name, "does not work any more"))
        else:
            items.append(vm_item(profile, row, snapshot.taken, f"named; {row.state}"))
    return Proposal("drain", profile.project, tuple(items), tuple(refusals))


def propose_abort(profile: Profile, snapshot: FleetSnapshot, view: RunView) -> Proposal:
    """Delete all VMs of a run, in any state. The run is drained first, so that nobody replaces them.

    Raises:
        GuardRefusal: if the run is another project's.
    """
    _require_project(profile, view)
    items = [
        vm_item(profile, row, snapshot.taken, f"run {view.run} is aborted; {row.state}") for row in snapshot.of_run(view.run) if row.exists
    ]
    drain = Item("run", view.run, "so that no VM is replaced", run=view.run)
    first = () if view.drain is not None else (drain,)
    return Proposal("abort", profile.project, (*first, *items), run=view.run, plan=view.plan)


def propose_delete(profile: Profile, snapshot: FleetSnapshot, patterns: Sequence[str]) -> Proposal:
    """Delete VMs by name or pattern, in any state.

    Raises:
        GuardRefusal: if a pattern selects by wildcards alone, or nothing was named.
        UsageError: from `provision.names`.
    """
    rows, refused = _select(snapshot, patterns)
    items = tuple(vm_item(profile, row, snapshot.taken, f"named; {row.state}") for row in rows)
    return Proposal("delete", profile.project, items, refused)


def propose_power(profile: Profile, snapshot: FleetSnapshot, verb: Literal["stop", "start", "reset"], patterns: Sequence[str]) -> Proposal:
    """Stop, start or reset VMs by name or pattern.

    Raises:
        GuardRefusal, UsageError: as for `propose_delete`.
    """
    rows, refused = _select(snapshot, patterns)
    fit = [row for row in rows if row.status in _POWER[verb]]
    misfits = tuple(Refusal(row.name, f"is {row.status}") for row in rows if row.status not in _POWER[verb])
    if verb == "start":
        misfits += tuple(Refusal(row.name, "was drained, and would end again: replace it") for row in fit if row.drained)
        fit = [row for row in fit if not row.drained]
    items = tuple(vm_item(profile, row, snapshot.taken, f"named; {row.state}") for row in fit)
    return Proposal(verb, profile.project, items, refused + misfits)


def apply(
    proposal: Proposal,
    *,
    profile: Profile,
    clients: ComputeClients,
    state: Store,
    confirm: int,
    armed: bool = False,
    progress: Progress | None = None,
    clock: Clock = utc_now,
) -> Receipt:
    """Do what a proposal says, item by item, several at a time.

    Args:
        confirm: how many items the person has agreed to.
        armed: whether a person has armed a protected profile.
        progress: called for each finished item.

    Raises:
        WriteRefused: if the profile may not write. GuardRefusal: if the count differs, or the proposal is another project's.
        StoreError: if the intent could not be written to the audit trail. In all of these nothing was done.
    """
    require_writable(profile, armed=armed)
    if proposal.project != profile.project or clients.project != profile.project:
        raise GuardRefusal(f"this proposal is for project {proposal.project}, the profile is for {profile.project}")
    if not proposal.items:
        raise GuardRefusal(f"{proposal.verb}: there is nothing to do", hint=_first_refusal(proposal))
    if confirm != len(proposal.items):
        raise GuardRefusal(f"{proposal.verb}: {confirm} confirmed, but there are {len(proposal.items)}", hint="look at the list again")
    started = clock()
    requests = [str(uuid.uuid4()) for _ in proposal.items]
    intent = write_intent(
        state,
        profile,
        proposal.verb,
        tuple(_audit(item, request) for item, request in zip(proposal.items, requests, strict=True)),
        clock=clock,
        run=proposal.run,
        plan=proposal.plan,
    )
    run = _Execution(proposal, profile, clients, state, clock)
    results: dict[int, ItemResult] = {}
    # A run is drained before its VMs go, or somebody might replace them.
    order = [index for index, item in enumerate(proposal.items) if item.kind == "run"]
    for index in order:
        results[index] = run.do(proposal.items[index], requests[index])
        _tell(progress, results[index], len(results), len(proposal.items))
    with ThreadPoolExecutor(max_workers=PARALLEL, thread_name_prefix=proposal.verb) as pool:
        futures = {pool.submit(run.do, item, requests[index]): index for index, item in enumerate(proposal.items) if index not in results}
        for future in as_completed(futures):
            results[futures[future]] = future.result()
            _tell(progress, results[futures[future]], len(results), len(proposal.items))
    warnings = run.late_arrivals() if proposal.verb == "abort" else ()
    ordered = tuple(results[index] for index in range(len(proposal.items)))
    receipt = Receipt(proposal, ordered, started, clock(), intent.id, warnings)
    return _with_receipt(state, intent, receipt, clock)


class _Execution:
    """One application of a proposal."""

    def __init__(self, proposal: Proposal, profile: Profile, clients: ComputeClients, state: Store, clock: Clock) -> None:
        self._proposal = proposal
        self._profile = profile
        self._clients = clients
        self._state = state
        self._clock = clock

    def do(self, item: Item, request_id: str) -> ItemResult:
        """Do one item. An error is a result: the other items are done all the same."""
        tail = ""
        try:
            if item.kind == "run":
                return ItemResult(item, True, self._drain(item), request_id)
            if item.kind == "state" and self._proposal.verb == "cleanup":
                return ItemResult(item, *delete_state(self._state, item.run, item.objects), request_id)
            found = self._read(item)
            refusal = self._refuse_adoption(item, found) if self._proposal.verb == "adopt" else self._refuse(item, found)
            if refusal:
                return ItemResult(item, False, refusal, request_id)
            if self._proposal.verb == "drain":
                return ItemResult(item, True, self._drain_vm(item), request_id)
            if item.kind == "vm" and self._proposal.verb in DELETING:
                tail = self._tail(item)
            send = self._label(item, found, request_id) if self._proposal.verb == "adopt" else self._change(item, request_id)
            return ItemResult(item, *self._send(item, send), request_id, tail)
        except NotFound:
            gone = self._proposal.verb in DELETING
            return ItemResult(item, gone, "was gone already" if gone else "is gone", request_id, tail)
        except EngineError as error:
            return ItemResult(item, False, str(error), request_id, tail)

    def late_arrivals(self) -> tuple[str, ...]:
        """VMs of an aborted run that appeared after the proposal was made."""
        known = {item.id for item in self._proposal.items}
        try:
            vms = list_vms(self._clients, watched_zones(self._clients))
        except EngineError as error:
            return (f"could not look for VMs that appeared meanwhile: {error}",)
        late = [vm.name for vm in vms if vm.id not in known and vm.ownership and vm.ownership.run == self._proposal.run]
        return (f"{', '.join(late)} appeared meanwhile: abort again",) if late else ()

    def _drain(self, item: Item) -> str:
        order = DrainOrder(run=item.run, verb=self._proposal.verb, who=self._profile.owner, when=self._clock())
        return "told to take no new work" if write_drain(self._state, order) else "was told before"

    def _drain_vm(self, item: Item) -> str:
        order = DrainOrder(run=item.run, who=self._profile.owner, when=self._clock())
        return "told to take no new work" if write_vm_drain(self._state, item.name, order) else "was told before"

    def _read(self, item: Item) -> Vm | Disk | Address:
        if item.kind != "vm" and self._proposal.verb not in (*DELETING, "adopt"):
            raise GuardRefusal(f"a {item.kind} is nothing to {self._proposal.verb}")
        if item.kind == "vm":
            return get_vm(self._clients, item.place, item.name)
        if item.kind == "disk":
            return get_disk(self._clients, item.place, item.name)
        if item.kind == "address":
            return get_address(self._clients, item.place, item.name)
        raise GuardRefusal(f"{item.kind} {item.name} is nothing to {self._proposal.verb}")

    def _refuse(self, item: Item, found: Vm | Disk | Address) -> str:
        """Why a resource must not be touched as it is now; "" if it may."""
        ownership = parse_labels(found.labels)
        if ownership is None:
            return "it does not carry our labels: not ours"
        if found.id != item.id:
            return f"another {item.kind} has this name now"
        if item.run and ownership.run != item.run:
            return f"it belongs to run {ownership.run} now"
        if self._proposal.verb == "cleanup" and found.status != item.status:
            return f"it was {item.status} and is {found.status} now"
        if not isinstance(found, Vm) and found.users:
            return f"{', '.join(found.users)} uses it"
        return ""

    def _refuse_adoption(self, item: Item, found: Vm | Disk | Address) -> str:
        """Why something must not be given our labels; "" if it may."""
        if parse_labels(self._proposal.labels) is None:
            return "these are not our labels"
        if found.id != item.id:
            return f"another {item.kind} has this name now"
        if found.labels:
            return f"it carries labels by now: {', '.join(sorted(found.labels))}"
        if isinstance(found, Address) and found.users:
            return f"{', '.join(found.users)} uses it"
        if isinstance(found, Disk) and set(found.users) - set(item.users):
            return f"{', '.join(found.users)} uses it"
        return ""

    def _tail(self, item: Item) -> str:
        try:
            return read_serial_tail(self._clients, item.place, item.name)
        except EngineError as error:
            return f"(no serial output: {error})"

    def _change(self, item: Item, request_id: str) -> Callable[[], Any]:
        """The call that deletes, stops, starts or resets an item."""
        clients, verb = self._clients, "delete" if self._proposal.verb in DELETING else self._proposal.verb
        request = {"project": clients.project, "request_id": request_id}
        if item.kind == "vm":
            call = getattr(clients.instances, f"{verb}_unary")
            return lambda: call({**request, "zone": item.place, "instance": item.name}, **repeatable())
        if item.kind == "disk":
            return lambda: clients.disks.delete_unary({**request, "zone": item.place, "disk": item.name}, **repeatable())
        return lambda: clients.addresses.delete_unary({**request, "region": item.place, "address": item.name}, **repeatable())

    def _label(self, item: Item, found: Vm | Disk | Address, request_id: str) -> Callable[[], Any]:
        """The call that gives an item our labels, and fails if it has others by then: they are named by their fingerprint."""
        clients = self._clients
        body = {"labels": dict(self._proposal.labels), "label_fingerprint": found.fingerprint}
        request = {"project": clients.project}
        if item.kind == "vm":
            request |= {"zone": item.place, "instance": item.name, "request_id": request_id}
            return lambda: clients.instances.set_labels_unary({**request, "instances_set_labels_request_resource": body}, **repeatable())
        request |= {"resource": item.name, "request_id": request_id}
        if item.kind == "disk":
            return lambda: clients.disks.set_labels_unary(
                {**request, "zone": item.place, "zone_set_labels_request_resource": body}, **repeatable()
            )
        return lambda: clients.addresses.set_labels_unary(
            {**request, "region": item.place, "region_set_labels_request_resource": body}, **repeatable()
        )

    def _send(self, item: Item, call: Callable[[], Any]) -> tuple[bool, str]:
        clients, verb = self._clients, "delete" if self._proposal.verb in DELETING else self._proposal.verb
        with cloud_errors(f"{verb} {item.kind} {item.name}"):
            operation: Any = call()
        if item.kind == "address":
            operation = wait_in_region(clients, operation.name, seconds=WAIT_SECONDS)
        else:
            operation = wait_in_zone(clients, item.place, operation.name, seconds=WAIT_SECONDS)
        failures = failures_of(operation)
        if failures:
            return False, "; ".join(failure.message for failure in failures)
        if not is_done(operation):
            raise CloudUnavailable(f"{verb} {item.name} is under way since {WAIT_SECONDS:.0f} s: operation {operation.name}")
        return True, _DONE[verb]


def _select(snapshot: FleetSnapshot, patterns: Sequence[str]) -> tuple[list[FleetVm], tuple[Refusal, ...]]:
    """The existing VMs of ours that the patterns mean, in the order given, and what they mean besides."""
    if not patterns:
        raise GuardRefusal("no VM is named", hint="give names or patterns such as market-data-shard-r1*")
    for pattern in patterns:
        if is_wildcard_only(pattern):
            raise GuardRefusal(f"{pattern!r} selects by wildcards alone", hint="name VMs, or abort a run")
    rows: dict[tuple[str, str], FleetVm] = {}
    refused: dict[str, Refusal] = {}
    for pattern in patterns:
        for name in resolve_names(pattern, snapshot.known_vms()):
            for row in (row for row in snapshot.vms if row.name == name):
                if row.vm is None:
                    if not has_wildcard(pattern):
                        refused[name] = Refusal(name, "does not exist any more")
                elif row.vm.ownership is None:
                    refused[name] = Refusal(name, "not ours")
                else:
                    rows[row.zone, name] = row
    return list(rows.values()), tuple(refused.values())


def vm_item(profile: Profile, row: FleetVm, now: datetime, why: str) -> Item:
    """An existing VM as a row of a proposal."""
    vm = row.vm
    assert vm is not None
    disk = disk_cost_per_day(profile, profile.disk_type, vm.disk_gb)
    return Item(
        kind="vm",
        name=vm.name,
        why=why,
        place=vm.zone,
        id=vm.id,
        run=row.run,
        status=vm.status,
        age_seconds=(now - vm.created).total_seconds() if vm.created else None,
        cost_per_day=disk if row.dead else cost_per_hour(profile, vm.machine_type, vm.model) * 24,
    )


def _require_project(profile: Profile, view: RunView) -> None:
    project = view.orders[0].project
    if project != profile.project:
        raise GuardRefusal(f"run {view.run} is of project {project}, the profile is for {profile.project}")


def _first_refusal(proposal: Proposal) -> str:
    return f"{proposal.refused[0].name}: {proposal.refused[0].why}" if proposal.refused else ""


def _tell(progress: Progress | None, result: ItemResult, finished: int, total: int) -> None:
    if progress is not None:
        progress(result, finished, total)


def _audit(item: Item, request_id: str, result: ItemResult | None = None) -> AuditItem:
    return AuditItem(
        kind=item.kind,
        name=item.name,
        place=item.place,
        id=item.id,
        why=item.why,
        request_id=request_id,
        ok=result.ok if result else None,
        message=result.message if result else "",
        serial_tail=result.serial_tail if result else "",
    )


def _with_receipt(state: Store, intent: AuditRecord, receipt: Receipt, clock: Clock) -> Receipt:
    items = tuple(_audit(result.item, result.request_id, result) for result in receipt.results)
    try:
        write_receipt(state, intent, items, "; ".join((receipt.message, *receipt.warnings)), clock=clock)
    except EngineError as error:
        warning = f"the audit trail has the intent {intent.id} but not its receipt: {error}"
        return Receipt(receipt.proposal, receipt.results, receipt.started, receipt.ended, receipt.audit_id, (*receipt.warnings, warning))
    return receipt
