"""Launching VMs for a plan: preview, order, request, receipt. The order is in the bucket before any VM is asked for.

Of a large fleet two VMs start first (`provision.canary`); what finds no room goes elsewhere (`provision.shortage`). A launch that was
cut off at any point is taken up again by `resume_launch`: the same order makes the same request with the same request id, so that the
service makes one fleet of however many tries.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from engine.clock import Clock, format_seconds, utc_now
from engine.errors import ConfigurationError, UsageError
from engine.estimate import Rates
from engine.launch import LaunchedVm
from engine.model import require_aware
from engine.plan import Plan, save_plan
from engine.store import Store
from provision.canary import split
from provision.clients import ComputeClients
from provision.labels import make_labels
from provision.names import shard_name, single_name
from provision.orders import USER_DATA_ITEM, LaunchOrder, hash_of_user_data, require_boot, vm_metadata
from provision.placing import WAIT_SECONDS, LaunchResult, require_same, resume_launch
from provision.prices import find_rates
from provision.profile import Profile, require_writable
from provision.shortage import expected_cost, money_limit, place_widely

__all__ = ["LaunchIntent", "LaunchResult", "launch", "make_order", "preview", "resume_launch", "share_shards"]

GRACE = timedelta(hours=1)
"""From the end of the run limit to the expiry on the labels: time to look at what is left."""

SOURCE_MODES = frozenset({"download", "instruments"})
"""Jobs that talk to the source. The others reach Google's services without an address of their own (Private Google Access)."""

_SAME_MACHINE = ("image", "boot_image", "disk_gb", "disk_type", "network", "subnetwork", "external_ip", "service_account")
"""Fields of an order that all orders of a run share."""


@dataclass(frozen=True, slots=True)
class LaunchIntent:
    """What a launch would do."""

    order: LaunchOrder
    plan: Plan
    rates: Rates | None
    """Prices of its first machine type; None if the table does not know it."""
    warnings: tuple[str, ...] = ()

    @property
    def vms(self) -> dict[str, LaunchedVm]:
        """All VMs, those that wait for the canaries too."""
        return {**self.order.vms, **self.order.follows}

    @property
    def cost_per_hour(self) -> float | None:
        """US dollars of all its VMs; None if there is no price."""
        rates = self.rates
        if rates is None:
            return None
        return len(self.vms) * (rates.vm_hour.dollars + rates.disk_hour.dollars + rates.ip_hour.dollars)


def share_shards(plan: Plan, vms: int, *, shards: Sequence[int] | None = None) -> list[tuple[int, ...]]:
    """Give each VM shards of a plan, longest first to the VM with the least; each VM works its own in order of index.

    Args:
        vms: at least 1; more than shards are not used.
        shards: part of the plan; None: all.

    Raises:
        UsageError: if there is nothing to share, or a shard is named twice.
        ConfigurationError: if the plan has no such shard.
    """
    wanted = [plan.shard(index) for index in (range(len(plan.shards)) if shards is None else shards)]
    if vms < 1 or not wanted:
        raise UsageError(f"{len(wanted)} shards on {vms} VMs", hint="at least one of each")
    if len({shard.index for shard in wanted}) < len(wanted):
        raise UsageError("a shard is named twice")
    loads: list[tuple[float, int, list[int]]] = [(0.0, place, []) for place in range(min(vms, len(wanted)))]
    for shard in sorted(wanted, key=lambda shard: (-shard.seconds, shard.index)):
        seconds, place, own = min(loads, key=lambda load: (load[0], len(load[2]), load[1]))
        own.append(shard.index)
        loads[place] = (seconds + shard.seconds, place, own)
    return sorted(tuple(sorted(own)) for _, _, own in loads)


def preview(
    profile: Profile,
    plan: Plan,
    vms: int,
    *,
    run: str,
    now: datetime,
    shards: Sequence[int] | None = None,
    taken: Collection[str] = (),
    region_zones: Sequence[str] = (),
    canary: bool = True,
    keep: timedelta | None = None,
    external_ip: bool | None = None,
    boot_image: str = "",
) -> LaunchIntent:
    """What launching a plan would do. Asks nobody and writes nothing.

    Args:
        vms: how many; a VM owns several shards where there are fewer VMs than shards.
        run: the new run's name, from `engine.run.new_run`.
        now: UTC.
        shards: a part of the plan, e.g. of `--shards-only 40-59`.
        taken: names of VMs that exist.
        region_zones: all zones of the region (`provision.resources.region_zones`), so that those not in the profile are denied.
        canary: of a large fleet let two VMs prove themselves first.
        keep: how long after the launch the VMs stay, also after their work; None: they end with it.
        external_ip: whether VMs get an address; None: as the profile says, for jobs that talk to the source.
        boot_image: the very image that the profile's family means now (`provision.resources.find_boot_image`).

    Raises:
        UsageError, ConfigurationError: if the plan and the profile do not go together, or the VMs may cost more than the run.
    """
    if vms > profile.max_vms:
        raise UsageError(f"{vms} VMs, but profile {profile.name} allows {profile.max_vms}", hint="raise max_vms, or plan fewer shards")
    if plan.data_bucket != profile.data_bucket or plan.state_bucket != profile.state:
        raise ConfigurationError(
            f"plan {plan.id} is for buckets {plan.data_bucket} and {plan.state_bucket},"
            f" profile {profile.name} for {profile.data_bucket} and {profile.state}",
            hint="use the plan's profile, or plan again",
        )
    require_boot(profile, plan)
    owned = share_shards(plan, vms, shards=shards)
    warnings = []
    if len(owned) < vms:
        warnings.append(f"{vms} VMs for {len(owned)} shards: {vms - len(owned)} are not needed")
    single = len(owned) == 1
    names = [single_name(require_aware(now).date(), taken)] if single else [shard_name(run, own[0]) for own in owned]
    vms_named = {name: LaunchedVm(shards=own) for name, own in zip(names, owned, strict=True)}
    first, follows = split(vms_named) if canary else (vms_named, {})
    order = make_order(
        profile,
        plan,
        run=run,
        number=1,
        vms=first,
        follows=follows,
        now=now,
        region_zones=region_zones,
        keep_until=_keep_until(profile, keep, now),
        external_ip=external_ip,
        boot_image=boot_image,
    )
    rates = find_rates(profile, machine_type=order.machine_types[0], model=order.provisioning_model)
    if rates is None:
        warnings.append(f"no price is known for {order.machine_types[0]} in {profile.region}")
    _require_affordable(profile, plan, vms_named, order)
    if plan.request.mode in SOURCE_MODES and not order.external_ip:
        warnings.append("VMs get no external address: what they fetch goes through Cloud NAT, which is billed by the GiB")
    return LaunchIntent(order, plan, rates, tuple(warnings))


def make_order(
    profile: Profile,
    plan: Plan,
    *,
    run: str,
    number: int,
    vms: Mapping[str, LaunchedVm],
    now: datetime,
    region_zones: Sequence[str] = (),
    model: str = "",
    reason: str = "launch",
    follows: Mapping[str, LaunchedVm] | None = None,
    keep_until: datetime | None = None,
    external_ip: bool | None = None,
    boot_image: str = "",
    like: LaunchOrder | None = None,
) -> LaunchOrder:
    """The order for these VMs, with everything that its request is made of.

    Args:
        boot_image: what they boot; "": as the profile names it.
        like: the run's first order. Its VMs were approved and tried out: these are the same machines, whatever the profile or this
            version would make today; only where they may run, and what money they cost, is the profile's word.
        follows: VMs that are asked for once these have proved themselves.
        keep_until: aware; until when the VMs stay, also after their work; None, or a moment that is past: they end with it.
        external_ip: whether they get an address; None: as the profile says, for jobs that talk to the source.

    Raises:
        ConfigurationError: if the image has no digest, no zone is left, or a setting of the plan may not be in metadata.
    """
    zones = profile.zones or tuple(region_zones)
    strays = sorted(set(zones) - set(region_zones)) if region_zones else []
    if not zones or strays:
        raise ConfigurationError(
            f"region {profile.region} has no zone {strays[0]}" if strays else f"profile {profile.name} has no zones",
            hint=f"zones are {', '.join(region_zones)}" if region_zones else "name some in the profile",
        )
    request = plan.request
    machine_types = (request.machine_type,) if request.machine_type else profile.machine_types
    expires = now + timedelta(seconds=profile.max_run_seconds) + GRACE
    keep_until = keep_until if keep_until is not None and keep_until > now else None
    if external_ip is None:
        external_ip = profile.external_ip and request.mode in SOURCE_MODES
    metadata = vm_metadata(profile, plan, run, keep_until=keep_until, user_data=like.metadata.get(USER_DATA_ITEM, "") if like else "")
    order = LaunchOrder(
        run=run,
        number=number,
        plan=plan.id,
        created=now,
        owner=profile.owner,
        request_id=str(uuid.uuid4()),
        project=profile.project,
        region=profile.region,
        zones=zones,
        denied_zones=tuple(zone for zone in region_zones if zone not in zones),
        machine_types=machine_types,
        provisioning_model=model or request.provisioning_model or profile.provisioning_model,
        max_run_seconds=profile.max_run_seconds,
        expires=expires,
        data_bucket=plan.data_bucket,
        state_bucket=plan.state_bucket,
        labels=make_labels(owner=profile.owner, run=run, plan=plan.id, expires=expires, keep_until=keep_until),
        vms=dict(vms),
        follows=dict(follows or {}),
        reason=reason,
        image=profile.image,
        boot_image=boot_image or profile.boot_image,
        disk_gb=profile.disk_gb,
        disk_type=profile.disk_type,
        network=profile.network,
        subnetwork=profile.subnetwork,
        external_ip=external_ip,
        service_account=profile.worker_service_account,
        metadata=metadata,
        cloud_init=hash_of_user_data(metadata),
        keep_until=keep_until,
    )
    if like is None:
        return order
    return msgspec.structs.replace(order, **{name: getattr(like, name) for name in _SAME_MACHINE})


def launch(
    profile: Profile,
    clients: ComputeClients,
    state: Store,
    intent: LaunchIntent,
    *,
    armed: bool = False,
    wait_seconds: float = WAIT_SECONDS,
    clock: Clock = utc_now,
) -> LaunchResult:
    """Launch what was previewed: plan and order into the bucket, then one request for all VMs, or for the canaries among them.

    What could not be made for want of capacity is asked for elsewhere, each step an order of its own.

    Raises:
        WriteRefused: if the profile may not write.
        StoreError, NotPermitted: if plan, audit or order could not be written; then nothing was asked for.
        CloudUnavailable: if the service cannot be reached; then `resume_launch` takes it up.
    """
    require_writable(profile, armed=armed)
    require_same(profile, clients, state, intent.order)
    save_plan(state, intent.plan)
    return place_widely(profile, clients, state, intent.plan, intent.order, verb="launch", wait_seconds=wait_seconds, clock=clock)


def _keep_until(profile: Profile, keep: timedelta | None, now: datetime) -> datetime | None:
    if keep is not None and not timedelta(0) < keep <= timedelta(seconds=profile.max_run_seconds):
        raise UsageError(
            f"VMs cannot be kept for {format_seconds(keep.total_seconds())}",
            hint=f"the service deletes them after {format_seconds(profile.max_run_seconds)} (max_run_seconds of profile {profile.name})",
        )
    return now + keep if keep is not None else None


def _require_affordable(profile: Profile, plan: Plan, vms: Mapping[str, LaunchedVm], order: LaunchOrder) -> None:
    limit = money_limit(profile, plan)
    cost = expected_cost(profile, plan, vms, order.machine_types[0], order.provisioning_model)
    if limit and cost > limit:
        raise UsageError(f"{len(vms)} VMs are expected to cost ${cost:,.2f}, the run may cost ${limit:,.2f}", hint="raise --max-cost")
