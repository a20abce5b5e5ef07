"""Plans, orders, VMs, heartbeats and claims made up for tests, each with what a test wants to say and sound values for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from engine.claims import Claim
from engine.heartbeat import Heartbeat
from engine.launch import LaunchedVm
from engine.plan import Estimate, Plan, Request, Shard, Work, seal
from provision.labels import make_labels
from provision.orders import LaunchOperation, LaunchOrder
from provision.profile import Endpoints, Profile
from provision.resources import Vm
from provision.runs import DrainOrder, RunView

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RUN = "r1tp8k5m2x"
PLAN = "0123456789ab"
ZONES = ("asia-northeast1-a", "asia-northeast1-b")
DIGEST = "sha256:" + "ab" * 32


def local_profile(**changes: Any) -> Profile:
    """A local profile without endpoints."""
    values: dict[str, Any] = {
        "name": "local",
        "kind": "local",
        "project": "local",
        "zones": ZONES,
        "machine_types": ("local-1",),
        "image": "tickdeck-engine",
        "source": "stand-in",
        "owner": "alice@example.com",
        "disk_gb": 10,
        "data_bucket": "lake",
        "endpoints": Endpoints(),
    }
    return Profile(**{**values, **changes})


def gcp_profile(**changes: Any) -> Profile:
    """A profile of the real cloud."""
    values: dict[str, Any] = {
        "name": "prod",
        "kind": "gcp",
        "project": "market-data-prod",
        "zones": ZONES,
        "image": f"asia-northeast1-docker.pkg.dev/market-data-prod/tickdeck/engine@{DIGEST}",
        "worker_service_account": "worker@market-data-prod.iam.gserviceaccount.com",
        "owner": "alice@example.com",
    }
    return Profile(**{**values, **changes})


def make_plan(
    shards: int = 3, *, profile: Profile | None = None, seconds: Sequence[float] = (), settings: Mapping[str, str] | None = None
) -> Plan:
    """A sealed plan with this many shards of one file each."""
    profile = profile or local_profile()
    made = tuple(
        Shard(
            index=index,
            work=(
                Work(
                    day=date(2024, 5, 1),
                    data_type="trades",
                    venue="binance",
                    symbols=(f"SYM{index}USDT",),
                    bytes=(1000,),
                    seconds=float(seconds[index]) if seconds else 10.0,
                ),
            ),
            files=1,
            bytes=1000,
            seconds=float(seconds[index]) if seconds else 10.0,
        )
        for index in range(shards)
    )
    return seal(
        Plan(
            created=NOW,
            request=Request(
                venues=("binance",),
                data_types=("trades",),
                start=date(2024, 5, 1),
                end=date(2024, 5, 1),
                provisioning_model=profile.provisioning_model,
            ),
            data_bucket=profile.data_bucket,
            state_bucket=profile.state,
            catalogues={"binance": "catalogue/venue-binance/20260301T000000.000000Z.table.json.gz"},
            shards=made,
            estimate=Estimate(
                files=shards, bytes=1000 * shards, cells=1, makespan_seconds=20.0, lower_bound_seconds=10.0, vm_hours=1.0, costs=()
            ),
            settings=dict(settings or {}),
        )
    )


def make_order(
    vms: Mapping[str, LaunchedVm] | int = 3,
    *,
    run: str = RUN,
    number: int = 1,
    created: datetime = NOW - timedelta(hours=1),
    **changes: Any,
) -> LaunchOrder:
    """A launch order; a number of VMs makes that many, one shard each."""
    if isinstance(vms, int):
        vms = {vm_name(index, run): LaunchedVm(shards=(index,)) for index in range(vms)}
    expires = created + timedelta(hours=25)
    values: dict[str, Any] = {
        "run": run,
        "number": number,
        "plan": PLAN,
        "created": created,
        "owner": "alice@example.com",
        "request_id": f"00000000-0000-4000-8000-{number:012d}",
        "project": "local",
        "region": "asia-northeast1",
        "zones": ZONES,
        "machine_types": ("local-1",),
        "provisioning_model": "SPOT",
        "max_run_seconds": 86_400,
        "expires": expires,
        "data_bucket": "lake",
        "state_bucket": "lake-state",
        "labels": make_labels(owner="alice@example.com", run=run, plan=PLAN, expires=expires),
        "vms": dict(vms),
        "image": "tickdeck-engine",
        "boot_image": "projects/cos-cloud/global/images/family/cos-stable",
    }
    return LaunchOrder(**{**values, **changes})


def vm_name(shard: int, run: str = RUN) -> str:
    """The name of the first VM of a shard."""
    return f"market-data-shard-{run}-{shard}"


def make_vm(name: str, status: str = "RUNNING", *, run: str = RUN, labels: Mapping[str, str] | None = None, **changes: Any) -> Vm:
    """An instance of ours."""
    if labels is None:
        labels = make_labels(owner="alice@example.com", run=run, plan=PLAN, expires=NOW + timedelta(hours=24))
    values: dict[str, Any] = {
        "zone": ZONES[0],
        "id": str(1000 + sum(map(ord, name))),
        "machine_type": "local-1",
        "model": "SPOT",
        "created": NOW - timedelta(hours=1),
        "started": NOW - timedelta(hours=1),
        "disk_gb": 10,
    }
    return Vm(name=name, status=status, labels=labels, **{**values, **changes})


def beat(vm: str, state: str = "working", *, age: float = 5, run: str = RUN, **changes: Any) -> Heartbeat:
    """A heartbeat written `age` seconds before NOW."""
    values: dict[str, Any] = {
        "run": run,
        "vm": vm,
        "sequence": 10,
        "written": NOW - timedelta(seconds=age),
        "started": NOW - timedelta(minutes=50),
        "state": state,
        "attempt": 1,
        "files_done": 40,
        "files_total": 100,
        "bytes_done": 400,
        "bytes_total": 1000,
        "bytes_per_second": 1.0 if state == "working" else 0.0,
    }
    return Heartbeat(**{**values, **changes})


def claim(shard: int, vm: str, state: Any = "working", *, run: str = RUN, attempt: int = 1) -> Claim:
    """A claim on a shard."""
    return Claim(run=run, shard=shard, vm=vm, attempt=attempt, state=state, since=NOW - timedelta(minutes=40))


def make_view(
    orders: Sequence[LaunchOrder] | None = None,
    *,
    heartbeats: Sequence[Heartbeat] = (),
    claims: Sequence[Claim] = (),
    drained: bool = False,
    operations: Mapping[int, LaunchOperation] | None = None,
) -> RunView:
    """A run; unless said otherwise every order was accepted and all its VMs were made."""
    orders = orders if orders is not None else [make_order()]
    run = orders[0].run
    if operations is None:
        operations = {order.number: accepted(order) for order in orders}
    return RunView(
        run=run,
        orders=tuple(orders),
        heartbeats={heartbeat.vm: heartbeat for heartbeat in heartbeats},
        claims={one.shard: one for one in claims},
        drain=DrainOrder(run=run) if drained else None,
        operations=operations,
    )


def accepted(order: LaunchOrder, **changes: Any) -> LaunchOperation:
    """The service's answer: all VMs made."""
    values: dict[str, Any] = {
        "operation": f"operation-{order.number}",
        "accepted": order.created,
        "ended": order.created,
        "created": dict.fromkeys(order.vms, ZONES[0]),
    }
    return LaunchOperation(run=order.run, number=order.number, request_id=order.request_id, **{**values, **changes})
