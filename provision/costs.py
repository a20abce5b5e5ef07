"""What runs cost: from the start and stop times of their VMs, at the price of the plan, beside what the plan estimated.

Nothing is stored: launch orders, the service's answers, heartbeats and manifests outlive the VMs, and the same figures come out of
them again. What Compute Engine still knows (instances, operations) makes times exact; without it they are those of the records.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import msgspec

from engine.errors import ConfigurationError, EngineError, UsageError
from engine.estimate import MACHINE_LINES, class_a_operations, service_lines
from engine.inventory import Inventory
from engine.launch import LaunchedVm
from engine.manifest import Summary
from engine.model import DayRange
from engine.plan import Plan, Price
from engine.run import run_started
from provision.clients import ComputeClients
from provision.forecast import Forecast, forecast
from provision.operations import VmEvent, list_events
from provision.orders import LaunchOrder
from provision.prices import disk_cost_per_day, find_hourly, find_rates
from provision.profile import Profile
from provision.resources import Vm, list_vms, watched_zones
from provision.run_outcome import last_records
from provision.runs import LOOK_BACK, RunView

SILENT_AFTER = timedelta(minutes=3)
"""Where nobody listed VMs, a heartbeat that is older says that its VM is gone."""

_ENDS = frozenset({"compute.instances.preempted", "compute.instances.hostError", "compute.instances.guestTerminate", "delete", "stop"})
"""Operations after which a VM costs no more than its disk."""


@dataclass(frozen=True, slots=True)
class VmUse:
    """The time that one VM was paid for."""

    vm: str
    machine_type: str
    model: str
    began: datetime
    ended: datetime
    """The moment of the look while it runs."""
    running: bool
    known_by: str
    """What its end was taken from: `instance`, `operation`, `heartbeat`, or `limit` where nobody saw it end: the latest possible."""
    dollars: float | None
    """None: the table has no price for it."""

    @property
    def hours(self) -> float:
        """Hours between start and stop."""
        return max((self.ended - self.began).total_seconds(), 0.0) / 3600


@dataclass(frozen=True, slots=True)
class Actual:
    """What a run came to."""

    dollars: float | None
    """None: at least one of its VMs has no price."""
    vm_hours: float
    minutes: float
    """From the first order to the end of the last VM."""
    lines: tuple[Price, ...]
    """What it is made of; low and high are the expected."""
    bytes: int
    """Compressed source bytes of the files that have an outcome."""
    files: int
    received_bytes: int = 0
    """By all workers, as far as they told."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What its plan said, for the shards that were launched."""

    low: float
    dollars: float
    high: float
    vm_hours: float
    minutes: float
    bytes: int
    files: int
    is_priced: bool


@dataclass(frozen=True, slots=True)
class RunCost:
    """A run: estimate beside actual."""

    run: str
    plan: str
    began: datetime
    ended: datetime | None
    """None while it runs."""
    expected: Expected | None
    """None if its plan cannot be read."""
    actual: Actual
    vms: tuple[VmUse, ...] = ()
    retries: Mapping[str, int] = field(default_factory=dict)
    """How often by cause: VMs replaced (`preempted`, `unknown`, ...), `source retries`, `source 429`."""
    forecast: Forecast | None = None
    """What it will come to; None when it is over, or has no price."""
    redone_bytes: int | None = None
    """Received more than once, or lost with a worker. At least: a killed worker does not tell its last seconds. None while it runs."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What several runs cost, and what could not be found out."""

    runs: tuple[RunCost, ...]
    """Oldest first."""
    by_day: Mapping[str, float]
    """US dollars by UTC day (ISO)."""
    notes: tuple[str, ...] = ()
    """What makes the figures less exact, one line each."""


def read_spending(
    profile: Profile,
    inventory: Inventory,
    views: Sequence[RunView],
    *,
    now: datetime,
    compute: Callable[[], ComputeClients] | None = None,
) -> Spending:
    """What these runs cost, from all that is still known of them.

    Args:
        views: the runs, oldest first.
        now: UTC.
        compute: makes clients of Compute Engine, asked only if a run is so young that the service may still know its VMs.

    Raises:
        EngineError: if the state bucket cannot be read.
    """
    notes: list[str] = []
    plans = {view.plan: _read_plan(inventory, view.plan) for view in views}
    notes += [f"plan {plan} cannot be read: no estimate" for plan, found in plans.items() if found is None]
    vms: tuple[Vm, ...] | None = None
    events: tuple[VmEvent, ...] = ()
    young = [view for view in views if now - view.orders[0].created < LOOK_BACK]
    if compute is not None and young:
        try:
            clients = compute()
            zones = watched_zones(clients)
            vms = list_vms(clients, zones)
            events = list_events(clients, zones, since=min(view.orders[0].created for view in young))
        except EngineError as error:
            notes.append(f"times are those of the records: {error}")
    summaries = {plan: _summaries(inventory, found) for plan, found in plans.items() if found is not None}
    costs = tuple(
        run_cost(profile, view, plans[view.plan], now=now, summaries=summaries.get(view.plan, ()), vms=vms, events=events) for view in views
    )
    guessed = sum(use.known_by == "limit" for cost in costs for use in cost.vms)
    if guessed:
        notes.append(f"nobody saw {guessed} VM{'' if guessed == 1 else 's'} end: counted up to the latest moment that it can have been")
    return Spending(costs, spent_by_day(use for cost in costs for use in cost.vms), tuple(notes))


def began_between(run: str, since: date | None, until: date | None) -> bool:
    """Whether a run began on these UTC days, both inclusive; False for what is no run of a fleet."""
    try:
        day = run_started(run).date()
    except UsageError:
        return False
    return (since is None or since <= day) and (until is None or day <= until)


def cost_warnings(profile: Profile, spending: Spending) -> tuple[str, ...]:
    """Runs and days that passed the warning levels of the profile."""
    run, day = profile.warn_cost_run, profile.warn_cost_day
    warnings = [
        f"run {cost.run} cost ${cost.actual.dollars:,.2f}: the profile warns above ${run:,.2f} a run"
        for cost in spending.runs
        if run and cost.actual.dollars is not None and cost.actual.dollars > run
    ]
    warnings += [
        f"the VMs of {when} cost ${dollars:,.2f}: the profile warns above ${day:,.2f} a day"
        for when, dollars in spending.by_day.items()
        if day and dollars > day
    ]
    return tuple(warnings)


def _read_plan(inventory: Inventory, plan: str) -> Plan | None:
    try:
        return inventory.plan(plan)
    except ConfigurationError:
        return None


def _summaries(inventory: Inventory, plan: Plan) -> list[Summary]:
    return inventory.summaries(DayRange(plan.request.start, plan.request.end))


def vm_uses(
    profile: Profile,
    view: RunView,
    *,
    now: datetime,
    plan: Plan | None = None,
    vms: Iterable[Vm] | None = None,
    events: Iterable[VmEvent] = (),
) -> tuple[VmUse, ...]:
    """Every VM that a run had, with the time it was paid for. Pure.

    Args:
        now: UTC.
        plan: its prices are those of the day of planning; without it the table's of today are taken.
        vms: instances that exist, strangers' too; None: nobody looked, and a fresh heartbeat stands for a VM.
        events: what the service did to VMs, oldest first.
    """
    listed = {vm.name: vm for vm in vms or () if vm.ownership is not None and vm.ownership.run == view.run}
    looked = vms is not None
    history: dict[str, list[VmEvent]] = {}
    for event in events:
        history.setdefault(event.vm, []).append(event)
    return tuple(
        _use(profile, plan, _Life(view, order, name, now, looked, listed.get(name), history.get(name, [])))
        for order in view.orders
        for name in order.vms
        if view.find(name) is order and _was_made(view, order, name, listed, history)
    )


def run_cost(
    profile: Profile,
    view: RunView,
    plan: Plan | None,
    *,
    now: datetime,
    summaries: Iterable[Summary] = (),
    vms: Iterable[Vm] | None = None,
    events: Iterable[VmEvent] = (),
) -> RunCost:
    """What a run cost so far beside what its plan estimated. Pure.

    Args:
        now: UTC.
        summaries: manifests of the plan's days, of other runs too.
        vms, events: as for `vm_uses`.
    """
    uses = vm_uses(profile, view, now=now, plan=plan, vms=vms, events=events)
    began = view.orders[0].created
    last = max((use.ended for use in uses), default=began)
    running = any(use.running for use in uses)
    recorded = last_records(view.run, summaries)
    received = sum(beat.source_bytes for beat in view.heartbeats.values())
    lines = _lines(profile, view, uses, recorded, received=received, hours=(last - began).total_seconds() / 3600)
    actual = Actual(
        dollars=None if lines is None else sum(line.expected for line in lines),
        vm_hours=sum(use.hours for use in uses),
        minutes=max((last - began).total_seconds(), 0.0) / 60,
        lines=lines or (),
        bytes=sum(one.source_bytes for one in recorded),
        files=sum(sum(one.counts.values()) for one in recorded),
        received_bytes=received,
    )
    expected = _expected(plan, view) if plan is not None else None
    return RunCost(
        run=view.run,
        plan=view.plan,
        began=began,
        ended=None if running else last,
        expected=expected,
        actual=actual,
        vms=uses,
        retries=_retries(view),
        forecast=forecast(profile, plan, actual, expected, uses, began=began, now=now) if running else None,
        redone_bytes=None if running else max(0, actual.received_bytes - actual.bytes),
    )


def spent_by_day(uses: Iterable[VmUse]) -> dict[str, float]:
    """US dollars by UTC day (ISO), each VM's spread evenly over its time; VMs without a price are left out."""
    days: dict[str, float] = defaultdict(float)
    for use in uses:
        if not use.dollars:
            continue
        whole, moment = max((use.ended - use.began).total_seconds(), 1e-9), use.began
        while moment < use.ended:
            midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            until = min(midnight, use.ended)
            days[moment.date().isoformat()] += use.dollars * (until - moment).total_seconds() / whole
            moment = until
    return dict(sorted(days.items()))


def _was_made(view: RunView, order: LaunchOrder, name: str, listed: Mapping[str, Vm], history: Mapping[str, Sequence[VmEvent]]) -> bool:
    if name in listed or name in view.heartbeats:
        return True
    if any(event.failure is None for event in history.get(name, ())):
        return True
    answer = view.operations.get(order.number)
    return answer is not None and name in answer.created


@dataclass(frozen=True, slots=True)
class _Life:
    """All that is known of one VM of a run."""

    view: RunView
    order: LaunchOrder
    name: str
    now: datetime
    looked: bool
    """Whether instances were listed."""
    vm: Vm | None
    history: Sequence[VmEvent]

    def began(self) -> datetime:
        """When it was made; the earliest that is said of it."""
        if self.vm is not None and self.vm.created is not None:
            return self.vm.created
        inserted = next((event.when for event in self.history if event.type == "insert" and event.failure is None), None)
        if inserted is not None:
            return inserted
        answer = self.view.operations.get(self.order.number)
        return self.order.created if answer is None else answer.accepted

    def ended(self, began: datetime) -> tuple[datetime, bool, str]:
        """When it stopped costing more than its disk, whether it still runs, and by what this is known."""
        beat = self.view.heartbeats.get(self.name)
        if self.vm is not None and self.vm.status not in ("TERMINATED", "SUSPENDED"):
            return self.now, True, "instance"
        # What ended an earlier boot did not end this one.
        since = max(began, beat.started) if beat is not None else began
        ends = [event.when for event in self.history if event.type in _ENDS and event.failure is None and event.when >= since]
        if ends:
            return min(ends), False, "operation"
        if beat is not None:
            alive = not self.looked and beat.exit_code < 0 and self.now - beat.written < SILENT_AFTER
            return (self.now if alive else beat.written), alive, "heartbeat"
        replacing = self.view.find(self.view.replaced_by().get(self.name, ""))
        limit = began + timedelta(seconds=self.order.max_run_seconds)
        return min(self.now, limit, replacing.created if replacing else limit), False, "limit"


def _use(profile: Profile, plan: Plan | None, life: _Life) -> VmUse:
    began = life.began()
    ended, running, known_by = life.ended(began)
    vm, order = life.vm, life.order
    machine_type = vm.machine_type if vm and vm.machine_type else order.machine_types[0]
    model = vm.model if vm and vm.model else order.provisioning_model
    use = VmUse(life.name, machine_type, model, began, max(began, ended), running, known_by, None)
    hourly = _planned_hourly(plan, order, machine_type, model)
    if hourly is None:
        hourly = find_hourly(profile, machine_type, model)
    if hourly is None:
        return use
    dollars = use.hours * hourly
    if vm is not None and not running:
        # A VM that is switched off still has its disk.
        days = max((life.now - use.ended).total_seconds(), 0.0) / 86_400
        dollars += days * disk_cost_per_day(profile, order.disk_type, order.disk_gb)
    return replace(use, dollars=dollars)


def _planned_hourly(plan: Plan | None, order: LaunchOrder, machine_type: str, model: str) -> float | None:
    """Dollars an hour of a VM as the plan had them: the prices of the day on which it was approved."""
    if plan is None or not plan.estimate.is_priced or plan.estimate.vm_hours <= 0 or machine_type != order.machine_types[0]:
        return None
    if model != (plan.request.provisioning_model or order.provisioning_model):
        return None
    by_hour = sum(line.expected for line in plan.estimate.costs[:MACHINE_LINES])
    return by_hour / plan.estimate.vm_hours


def _expected(plan: Plan, view: RunView) -> Expected:
    """The plan's estimate, scaled to the shards that were launched."""
    estimate = plan.estimate
    launched = [plan.shards[index] for index in view.shards if index < len(plan.shards)]
    size, whole = sum(shard.bytes for shard in launched), sum(shard.bytes for shard in plan.shards)
    share = size / whole if whole else 1.0
    low, dollars, high = (amount * share for amount in estimate.cost)
    return Expected(
        low=low,
        dollars=dollars,
        high=high,
        vm_hours=estimate.vm_hours * share,
        minutes=estimate.makespan_seconds / 60,
        bytes=size,
        files=sum(shard.files for shard in launched),
        is_priced=estimate.is_priced,
    )


def _lines(
    profile: Profile, view: RunView, uses: Sequence[VmUse], recorded: Sequence[Summary], *, received: int, hours: float
) -> tuple[Price, ...] | None:
    """The bill: VMs by their times, the rest by what was done; None if something in it has no price."""
    order = view.orders[0]
    rates = find_rates(profile, machine_type=order.machine_types[0], model=order.provisioning_model)
    if rates is None or any(use.dollars is None for use in uses):
        return None
    spent = sum(use.dollars or 0.0 for use in uses)
    vm_hours = sum(use.hours for use in uses)
    files = sum(sum(one.counts.values()) for one in recorded)
    operations = class_a_operations(files=files, manifests=len(recorded), shards=len(view.shards), vm_hours=vm_hours)
    rest = service_lines(rates, class_a=operations, source_bytes=received, hours=hours)
    machines = rates.vm_hour
    vms = Price(
        item=f"{len(uses)} VM{'' if len(uses) == 1 else 's'} with disks and addresses, {vm_hours:,.{1 if vm_hours >= 1 else 4}f} hours",
        low=spent,
        expected=spent,
        high=spent,
        source=machines.source,
        dated=machines.dated,
    )
    return (vms, *(msgspec.structs.replace(line, low=line.expected, high=line.expected) for line in rest))


def _retries(view: RunView) -> dict[str, int]:
    causes: Counter[str] = Counter()
    for order in view.orders[1:]:
        causes[order.reason] += sum(1 for vm in order.vms.values() if _is_replacement(vm))
    for beat in view.heartbeats.values():
        causes["source retries"] += beat.retries
        causes["source 429"] += beat.throttled
    return {cause: count for cause, count in causes.items() if count}


def _is_replacement(vm: LaunchedVm) -> bool:
    return bool(vm.replaces) or vm.attempt > 1
