"""What the state bucket says about a run: its launch orders, claims, heartbeats, and whether it was drained.

Read once per look and shared by the fleet, cleanup and reconcile. Orders never change, so each is fetched once; what changes comes
in one listing per kind, whatever the number of VMs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from engine.claims import Claim, list_claims
from engine.documents import JSON, Moment, decode, encode
from engine.errors import AlreadyExists, ConfigurationError, UsageError
from engine.heartbeat import Heartbeat, list_heartbeats
from engine.launch import list_runs
from engine.paths import (
    drain_object,
    launch_object,
    parse_launch_object,
    parse_vm_drain_object,
    run_prefix,
    vm_drain_object,
    vm_drain_prefix,
)
from engine.run import run_started
from engine.store import Store
from provision.lease import Held, read_lease
from provision.orders import CanaryStop, LaunchOperation, LaunchOrder, read_canary_stop, read_operation
from provision.run_outcome import RunOutcome, read_outcome

LOOK_BACK = timedelta(days=14)
"""Runs that began earlier are not looked at unless asked for by name, or a VM says it belongs to one."""

QUIET_AFTER = timedelta(minutes=10)
"""A drained run of whose workers none has said anything for this long is over."""


class Phase(StrEnum):
    """How far a run is."""

    RUNNING = "running"
    DRAINING = "draining"
    """Told to stop; what is in flight may still be finishing."""
    FINISHED = "finished"
    """Every shard of its launches is done."""
    EXPIRED = "expired"
    """Unfinished, and past the moment at which nobody should need its VMs any more."""


class DrainOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The word to a run's workers to take no new work. Its presence is what counts; the content is for people."""

    schema: int = 1
    run: str
    verb: str = "drain"
    """`drain` or `abort`."""
    who: str = ""
    when: Moment | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as the state bucket has it at one moment."""

    run: str
    orders: tuple[LaunchOrder, ...]
    """Oldest first."""
    heartbeats: Mapping[str, Heartbeat] = field(default_factory=dict)
    """By VM."""
    claims: Mapping[int, Claim] = field(default_factory=dict)
    """By shard."""
    drain: DrainOrder | None = None
    lease: Held | None = None
    """Which console looks after it, or did so last."""
    operations: Mapping[int, LaunchOperation] = field(default_factory=dict)
    """The service's answers by the number of the order. Without one the service never heard of it, or its answer was lost."""
    canary_stop: CanaryStop | None = None
    """Why the launch stopped at its canaries; None if it did not."""
    drained: frozenset[str] = frozenset()
    """VMs that were told one by one to take no new work: others have their shards, nobody takes their place."""
    outcome: RunOutcome | None = None
    """What became of its files, once it is finished, where that was asked for: `RunReader.with_outcome`."""

    @property
    def canary(self) -> LaunchOrder | None:
        """The order whose VMs have to prove themselves before the rest is asked for; None if nothing waits for any."""
        followed = {order.after_canary for order in self.orders}
        return next((order for order in self.orders if order.follows and order.number not in followed), None)

    @property
    def plan(self) -> str:
        """The plan's hash."""
        return self.orders[0].plan

    @property
    def shards(self) -> tuple[int, ...]:
        """Every shard of its launches, those of VMs that wait for a canary too."""
        launched = (vm for order in self.orders for vm in (*order.vms.values(), *order.follows.values()))
        return tuple(sorted({shard for vm in launched for shard in vm.shards}))

    @property
    def unfinished(self) -> tuple[int, ...]:
        """The shards that no claim says are done."""
        return tuple(shard for shard in self.shards if shard not in self.claims or self.claims[shard].state != "done")

    @property
    def expires(self) -> datetime:
        """The latest expiry of its launches."""
        return max(order.expires for order in self.orders)

    def phase(self, now: datetime) -> Phase:
        """How far it is."""
        if not self.unfinished:
            return Phase.FINISHED
        if now > self.expires:
            return Phase.EXPIRED
        return Phase.DRAINING if self.drain is not None else Phase.RUNNING

    def is_over(self, now: datetime) -> bool:
        """True if there is nothing more to see: finished, expired, or drained a while ago with no worker left that says anything."""
        phase = self.phase(now)
        if phase is not Phase.DRAINING or self.drain is None:
            return phase is not Phase.RUNNING
        told = self.drain.when or self.orders[-1].created
        last = max((beat.written for beat in self.heartbeats.values() if beat.exit_code < 0), default=told)
        return now - max(told, last) > QUIET_AFTER

    def find(self, vm: str) -> LaunchOrder | None:
        """The newest order that asked for a VM of this name."""
        return next((order for order in reversed(self.orders) if vm in order.vms), None)

    def replaced_by(self) -> dict[str, str]:
        """VM -> the VM that took over its shards, for all that were replaced."""
        return {
            earlier: name
            for order in self.orders
            for name, launched in order.vms.items()
            for earlier in filter(None, launched.replaces.split(","))
        }

    def given_away(self, vm: str) -> frozenset[int]:
        """Shards of a VM that a later order gave to others beside it: the run was resized."""
        own = self.find(vm)
        if own is None:
            return frozenset()
        shards = set(own.vms[vm].shards)
        return frozenset(
            shard
            for order in self.orders
            if order.number > own.number
            for launched in order.vms.values()
            if not launched.replaces
            for shard in launched.shards
            if shard in shards
        )


class RunReader:
    """Reads runs from one state bucket; keeps the orders it has read. Safe to use from several threads."""

    def __init__(self, state: Store) -> None:
        self._state = state
        self._orders: dict[str, LaunchOrder] = {}
        self._ended: dict[tuple[str, int], LaunchOperation] = {}
        self._over: set[str] = set()
        self._outcomes: dict[str, RunOutcome | None] = {}

    def read(self, run: str) -> RunView:
        """A run as it is now.

        Raises:
            UsageError: if there is no such run.
        """
        with ThreadPoolExecutor(max_workers=6, thread_name_prefix="run") as pool:
            heartbeats = pool.submit(list_heartbeats, self._state, run)
            claims = pool.submit(list_claims, self._state, run)
            drain = pool.submit(read_drain, self._state, run)
            lease = pool.submit(read_lease, self._state, run)
            drained = pool.submit(list_drained, self._state, run)
            orders = self._read_orders(run)
            if not orders:
                raise UsageError(f"there is no run {run!r} in bucket {self._state.bucket}", hint="list them: tickdeck fleet --runs")
            return RunView(
                run=run,
                orders=orders,
                heartbeats={heartbeat.vm: heartbeat for heartbeat in heartbeats.result()},
                claims={shard: held.claim for shard, held in claims.result().items()},
                drain=drain.result(),
                lease=lease.result(),
                operations=self._read_operations(run, orders),
                drained=drained.result(),
                canary_stop=read_canary_stop(self._state, run) if any(order.follows for order in orders) else None,
            )

    def read_all(self, runs: Iterable[str]) -> tuple[RunView, ...]:
        """Several runs; names without a launch record are left out."""
        views = []
        for run in runs:
            try:
                views.append(self.read(run))
            except UsageError:
                continue
        return tuple(views)

    def live_runs(self, now: datetime, *, also: Iterable[str] = ()) -> tuple[RunView, ...]:
        """Runs that are not over, oldest first, and those in `also` (a VM says it belongs to them) whatever their phase.

        A run that was found to be over is not read again unless it is in `also`.
        """
        wanted = set(also)
        recent = [run for run in list_runs(self._state) if run not in self._over and _is_recent(run, now)]
        views = self.read_all(sorted({*recent, *wanted}))
        for view in views:
            if view.is_over(now):
                self._over.add(view.run)
        return tuple(view for view in views if view.run not in self._over or view.run in wanted)

    def with_outcome(self, view: RunView) -> RunView:
        """A finished run with what became of its files: a listing over the days of its plan, read once. Others are as they were."""
        if view.unfinished:
            return view
        if view.run not in self._outcomes:
            self._outcomes[view.run] = read_outcome(self._state, view.run, view.plan)
        return replace(view, outcome=self._outcomes[view.run])

    def _read_orders(self, run: str) -> tuple[LaunchOrder, ...]:
        numbers = sorted(
            parse_launch_object(info.name)[1] for info in self._state.list(f"{run_prefix(run)}launch-") if info.name.endswith(".json")
        )
        orders = []
        for number in numbers:
            name = launch_object(run, number)
            if name not in self._orders:
                found = self._state.get(name)
                if found is None:
                    continue
                self._orders[name] = decode(found.data, LaunchOrder, name=name)
            orders.append(self._orders[name])
        return tuple(orders)

    def _read_operations(self, run: str, orders: Iterable[LaunchOrder]) -> dict[int, LaunchOperation]:
        found = {}
        for order in orders:
            key = (run, order.number)
            operation = self._ended.get(key) or read_operation(self._state, run, order.number)
            if operation is not None:
                found[order.number] = operation
                if operation.ended is not None:
                    self._ended[key] = operation
        return found


def read_drain(state: Store, run: str) -> DrainOrder | None:
    """The order to drain a run, or None. One that we cannot read is an order all the same."""
    name = drain_object(run)
    found = state.get(name)
    if found is None:
        return None
    try:
        return decode(found.data, DrainOrder, name=name)
    except ConfigurationError:
        return DrainOrder(run=run)


def write_drain(state: Store, order: DrainOrder) -> bool:
    """Tell a run's workers to take no new work; False if they were told before."""
    try:
        state.put(drain_object(order.run), encode(order), if_generation=0, content_type=JSON)
    except AlreadyExists:
        return False
    return True


def list_drained(state: Store, run: str) -> frozenset[str]:
    """The VMs of a run that were drained one by one."""
    return frozenset(parse_vm_drain_object(info.name)[1] for info in state.list(vm_drain_prefix(run)))


def write_vm_drain(state: Store, vm: str, order: DrainOrder) -> bool:
    """Tell one worker of a run to take no new work; False if it was told before."""
    try:
        state.put(vm_drain_object(order.run, vm), encode(order), if_generation=0, content_type=JSON)
    except AlreadyExists:
        return False
    return True


def _is_recent(run: str, now: datetime) -> bool:
    try:
        return now - run_started(run) < LOOK_BACK
    except UsageError:
        return True
