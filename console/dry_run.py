"""What a launch would create, as a record to look at: nobody is asked and nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.plan_slice import WHOLE, PlanSlice
from console.plan_view import prices_of
from engine.paths import launch_object, plan_object
from engine.run import new_run
from provision.launch import preview
from provision.resources import region_zones

if TYPE_CHECKING:
    from console.session import Session
    from engine.plan import Plan


def preview_launch(session: Session, plan: Plan, part: PlanSlice = WHOLE) -> dict[str, object]:
    """The launch record of a plan, or of a part of it, for people. The run's name is an example: each launch has its own. Blocks.

    Raises:
        EngineError: if the plan and the profile do not go together.
    """
    now = session.clock()
    most, shards = session.profile.most_vms, sorted(part.shards) if part.shards is not None else None
    vms = min(len(plan.shards if shards is None else shards), part.max_vms or most, most)
    # Only a profile that names no zones needs the service to say which there are.
    zones = () if session.profile.zones else region_zones(session.compute)
    intent = preview(
        session.profile,
        plan,
        vms,
        run=new_run(now),
        now=now,
        shards=shards,
        region_zones=zones,
        canary=part.canary,
        keep=part.keep,
        external_ip=part.external_ip,
    )
    order = intent.order
    record: dict[str, object] = {
        "plan": plan.id,
        "profile": f"{session.profile.name} ({session.profile.kind})",
        "vms": {name: f"shards {', '.join(map(str, vm.shards))}" for name, vm in intent.vms.items()},
        "machine types": ", ".join(order.machine_types),
        "provisioning": order.provisioning_model.lower(),
        "addresses": "each VM has one" if order.external_ip else "none",
        "expires": f"{order.expires:%Y-%m-%d %H:%M} UTC",
        "writes": [f"gs://{plan.state_bucket}/{name}" for name in (plan_object(plan.id), launch_object(order.run, order.number))],
    }
    if order.keep_until:
        record["kept until"] = f"{order.keep_until:%Y-%m-%d %H:%M} UTC, for tickdeck run"
    if order.follows:
        record["canaries"] = f"{', '.join(order.vms)} first; the rest once each of them has committed a file"
    if part.is_whole and (prices := prices_of(plan)):
        record["costs"] = prices
    if intent.warnings:
        record["warnings"] = list(intent.warnings)
    return record
