"""What a plan would take with other fleets: its work packed anew for each VM count, machine type and model. Pure, launches nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

import msgspec

from engine.errors import UsageError
from engine.estimate import Rates, Speed, allowance_days
from engine.packing import pack, share_cap
from engine.plan import STRATEGIES, Plan, Strategy, Work, slowest_shard
from engine.planner import estimate_fleet
from engine.spelling import nearest
from provision.profile import Profile

MODELS = {"yes": "SPOT", "no": "STANDARD"}
KEYS = ("vms", "machine-type", "spot", "strategy")
EXAMPLE = "vms=20/50,machine-type=e2-standard-8,spot=yes/no,strategy=balanced/by-date"
SPREAD = (0.25, 0.5, 1.0, 1.5, 2.0, 4.0)
"""Fleets to try beside a plan's own, as shares of its VMs."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What to try. Empty: the plan's own."""

    vms: tuple[int, ...] = ()
    machine_types: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    strategies: tuple[Strategy, ...] = ()


@dataclass(frozen=True, slots=True)
class Alternative:
    """One fleet for the plan's work."""

    vms: int
    """As many as have something to do: at most as were asked for."""
    machine_type: str
    model: str
    strategy: Strategy
    minutes: float = 0.0
    bound_minutes: float = 0.0
    """No packing of this work on so many VMs ends sooner."""
    slowest_shard: int = -1
    vm_hours: float = 0.0
    cost: tuple[float, float, float] | None = None
    """Low, expected and high in US dollars; None: no price is known."""
    allowance_days: int = 0
    """UTC days over which the source's allowance spreads it, whatever the fleet; 0: no allowance is set."""
    is_plan: bool = False
    note: str = ""
    """Why it cannot be done, or what is not known of it."""


def parse_choices(texts: Iterable[str]) -> Choices:
    """`vms=20/50,machine-type=e2-standard-8,spot=yes/no,strategy=by-date` as choices; several texts add up.

    Raises:
        UsageError: naming the part that cannot be meant.
    """
    found: dict[str, dict[str, None]] = {key: {} for key in KEYS}
    for part in (part.strip() for text in texts for part in text.split(",")):
        key, equals, values = part.partition("=")
        if not equals or key not in KEYS or not values:
            raise UsageError(f"--what-if {part!r}", hint=f"write {EXAMPLE}")
        found[key].update(dict.fromkeys(values.split("/")))
    return Choices(
        tuple(map(_count, found["vms"])),
        tuple(found["machine-type"]),
        tuple(map(_model, found["spot"])),
        tuple(map(_strategy, found["strategy"])),
    )


def try_fleets(
    plan: Plan,
    profile: Profile,
    choices: Choices,
    *,
    speed_of: Callable[[str], Speed],
    rates_of: Callable[[str, str], Rates],
    now: datetime,
) -> tuple[Alternative, ...]:
    """The plan's own fleet first, then every combination of the choices.

    Args:
        speed_of: speed of a machine type.
        rates_of: prices of a machine type and model.
        now: the launch.

    Raises:
        UsageError: if the plan has nothing to do.
    """
    if not plan.shards:
        raise UsageError(f"plan {plan.id} has nothing to do", hint="ask for days that are not there yet")
    works = [work for shard in plan.shards for work in shard.work]
    machine_type, model = plan.request.machine_type or profile.machine_types[0], plan.request.provisioning_model
    own = Alternative(
        vms=len(plan.shards),
        machine_type=machine_type,
        model=model,
        strategy=plan.request.strategy,
        minutes=plan.estimate.makespan_seconds / 60,
        bound_minutes=plan.estimate.lower_bound_seconds / 60,
        slowest_shard=slowest_shard(plan.shards).index,
        vm_hours=plan.estimate.vm_hours,
        allowance_days=allowance_days(plan.estimate.bytes, plan.estimate.allowance_bytes),
        is_plan=True,
        cost=plan.estimate.cost if plan.estimate.is_priced else None,
    )
    grid = product(
        choices.vms or (own.vms,),
        choices.machine_types or (machine_type,),
        choices.models or (model,),
        choices.strategies or (plan.request.strategy,),
    )
    return own, *(_try(plan, profile, works, *fleet, speed_of, rates_of, now) for fleet in grid)


def fleet_sizes(plan: Plan, most: int) -> tuple[int, ...]:
    """VM counts worth trying for a plan, its own among them, smallest first.

    Args:
        most: the most that the profile allows.
    """
    own = len(plan.shards)
    sizes = {min(max(1, round(own * share)), max(most, own)) for share in SPREAD}
    return tuple(sorted(size for size in sizes if size <= plan.estimate.files))


def _try(
    plan: Plan,
    profile: Profile,
    works: Sequence[Work],
    vms: int,
    machine_type: str,
    model: str,
    strategy: Strategy,
    speed_of: Callable[[str], Speed],
    rates_of: Callable[[str, str], Rates],
    now: datetime,
) -> Alternative:
    speed, rates, daily = speed_of(machine_type), rates_of(machine_type, model), plan.estimate.allowance_bytes
    works = [msgspec.structs.replace(work, seconds=sum(map(speed.file_seconds, work.bytes))) for work in works]
    shards = pack(works, vms, strategy, speed=speed)
    days = allowance_days(plan.estimate.bytes, daily)
    try:
        shards = share_cap(shards, daily) if daily else shards
    except UsageError as error:
        return Alternative(len(shards), machine_type, model, strategy, allowance_days=days, note=f"{error}: {error.hint}")
    estimate = estimate_fleet(works, shards, speed=speed, rates=rates, now=now, daily_bytes=daily)
    notes = [f"only {len(shards)} have something to do"] if len(shards) < vms else []
    notes += [f"profile {profile.name} allows {profile.max_vms}"] if len(shards) > profile.max_vms else []
    notes += ["no price is known"] if not estimate.is_priced else []
    return Alternative(
        vms=len(shards),
        machine_type=machine_type,
        model=model,
        strategy=strategy,
        minutes=estimate.makespan_seconds / 60,
        bound_minutes=estimate.lower_bound_seconds / 60,
        slowest_shard=slowest_shard(shards).index,
        vm_hours=estimate.vm_hours,
        allowance_days=days,
        note=", ".join(notes),
        cost=estimate.cost if estimate.is_priced else None,
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 5000:
        raise UsageError(f"--what-if vms={text}", hint="a number of VMs from 1 to 5000, the most that one request can ask for")
    return int(text)


def _strategy(text: str) -> Strategy:
    for known in STRATEGIES:
        if text == known:
            return known
    raise UsageError(f"--what-if strategy={text}", hint=nearest(text, STRATEGIES, what="strategies"))


def _model(text: str) -> str:
    try:
        return MODELS[text]
    except KeyError:
        raise UsageError(f"--what-if spot={text}", hint="yes or no") from None
