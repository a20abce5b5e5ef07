"""What is done where the service has no room for all VMs: what was made stays, the rest goes elsewhere, step by step.

Next zone, next machine type, then VMs that cannot be preempted, if the profile allows them and the money does. Each step is an order
of its own with a number, a reason and an audit record, so a console that dies between two of them leaves nothing unexplained: what is
missing then is for reconcile, which begins again at the first step.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import msgspec

from engine.clock import Clock, utc_now
from engine.estimate import VM_SPEED
from engine.launch import LaunchedVm
from engine.plan import Plan
from engine.store import Store
from provision.clients import ComputeClients
from provision.operations import FailureKind
from provision.orders import LaunchOrder
from provision.placing import WAIT_SECONDS, LaunchResult, place_order, status_of
from provision.prices import cost_per_hour
from provision.profile import Profile

SPOT, STANDARD = "SPOT", "STANDARD"


def place_widely(
    profile: Profile,
    clients: ComputeClients,
    state: Store,
    plan: Plan,
    order: LaunchOrder,
    *,
    verb: str,
    committed: float = 0.0,
    wait_seconds: float = WAIT_SECONDS,
    clock: Clock = utc_now,
) -> LaunchResult:
    """Place an order, and what could not be made for want of capacity by further orders. The caller has checked who may.

    Args:
        committed: US dollars that the run has cost, and is expected to cost without this order.

    Raises:
        EngineError: as for `place_order`; what was made before stays.
    """
    first = last = place_order(profile, clients, state, order, verb=verb, wait_seconds=wait_seconds, clock=clock)
    later: list[LaunchResult] = []
    while last.status in ("partial", "failed"):
        made = {name: vm for name, vm in last.order.vms.items() if name in last.created}
        committed += expected_cost(profile, plan, made, last.order.machine_types[0], last.order.provisioning_model)
        following = widen(profile, plan, last, committed=committed, now=clock())
        if following is None:
            break
        last = place_order(profile, clients, state, following, verb=verb, wait_seconds=wait_seconds, clock=clock)
        later.append(last)
    return _with_later(first, later)


def widen(profile: Profile, plan: Plan, result: LaunchResult, *, committed: float, now: datetime) -> LaunchOrder | None:
    """The next order for the VMs that an order could not make for want of capacity, or None if there is nowhere left to ask."""
    order = result.order
    missing = short_of(result)
    if not missing:
        return None
    step = _next_zone(order, _full_zones(result)) or _next_machine_type(order) or _on_demand(profile, plan, order, missing, committed)
    if step is None:
        return None
    changes, reason = step
    return msgspec.structs.replace(
        order, **changes, number=order.number + 1, created=now, request_id=str(uuid.uuid4()), vms=missing, follows={}, reason=reason
    )


def short_of(result: LaunchResult) -> dict[str, LaunchedVm]:
    """The VMs that an order did not make because there was no capacity."""
    shortages = [failure for failure in result.failures if failure.kind is FailureKind.STOCK_OUT]
    named = {vm for failure in shortages for vm in failure.vms}
    if not shortages:
        return {}
    return {name: result.order.vms[name] for name in result.missing if not named or name in named}


def expected_cost(profile: Profile, plan: Plan, vms: Mapping[str, LaunchedVm], machine_type: str, model: str) -> float:
    """US dollars that these VMs are expected to cost until their shards are done; 0 where no price is known."""
    seconds = sum(VM_SPEED.boot_seconds + sum(plan.shard(shard).seconds for shard in vm.shards) for vm in vms.values())
    return seconds / 3600 * cost_per_hour(profile, machine_type, model)


def money_limit(profile: Profile, plan: Plan) -> float:
    """US dollars that a run of this plan may cost; 0: no limit."""
    return plan.request.max_cost or profile.max_cost


_Step = tuple[dict[str, object], str]


def _full_zones(result: LaunchResult) -> frozenset[str]:
    """The zones that had no room, by the service's word about VMs and about zones."""
    told = {failure.zone for failure in result.failures if failure.kind is FailureKind.STOCK_OUT and failure.zone}
    return frozenset(told | {zone for zone, count in result.zones.items() if count.failed})


def _next_zone(order: LaunchOrder, full: frozenset[str]) -> _Step | None:
    left = tuple(zone for zone in order.zones if zone not in full)
    gone = tuple(zone for zone in order.zones if zone in full)
    if not left or not gone:
        return None
    changes: dict[str, object] = {
        "zones": left,
        "denied_zones": (*order.denied_zones, *gone),
        "exhausted_zones": (*order.exhausted_zones, *gone),
    }
    return changes, f"no capacity in {', '.join(gone)}: next zone"


def _next_machine_type(order: LaunchOrder) -> _Step | None:
    first, *left = order.machine_types
    if not left:
        return None
    changes = {**_all_zones(order), "machine_types": tuple(left), "exhausted_types": (*order.exhausted_types, first)}
    return changes, f"no capacity for {first}: next machine type"


def _on_demand(profile: Profile, plan: Plan, order: LaunchOrder, missing: Mapping[str, LaunchedVm], committed: float) -> _Step | None:
    if order.provisioning_model != SPOT or not profile.on_demand_fallback:
        return None
    machine_types = (*order.exhausted_types, *order.machine_types)
    limit = money_limit(profile, plan)
    if limit and committed + expected_cost(profile, plan, missing, machine_types[0], STANDARD) > limit:
        return None
    changes = {**_all_zones(order), "machine_types": machine_types, "exhausted_types": (), "provisioning_model": STANDARD}
    return changes, "no spot capacity: on demand"


def _all_zones(order: LaunchOrder) -> dict[str, object]:
    return {
        "zones": (*order.exhausted_zones, *order.zones),
        "denied_zones": tuple(zone for zone in order.denied_zones if zone not in order.exhausted_zones),
        "exhausted_zones": (),
    }


def _with_later(first: LaunchResult, later: list[LaunchResult]) -> LaunchResult:
    """What all steps together came to; causes are those of the last."""
    if not later:
        return first
    created = dict(first.created)
    for step in later:
        created |= step.created
    missing = tuple(name for name in first.order.vms if name not in created)
    final = later[-1]
    status = final.status if final.status in ("pending", "superseded") else status_of(created, missing)
    return replace(first, status=status, created=created, missing=missing, failures=final.failures, later=tuple(later))
