"""Recorded fleets and logs: real types with made-up figures at one fixed moment, for tests and pictures of the Fleet and Logs screens.

Rows are judged by `provision.fleet.assess`, as in the console, so that no test shows a fleet that could not be.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from engine.claims import Claim
from engine.heartbeat import Heartbeat
from engine.launch import LaunchedVm
from provision.fleet import FleetSnapshot, assess
from provision.labels import make_labels
from provision.lease import Held, Lease
from provision.logs import LogEntry
from provision.operations import VmEvent
from provision.orders import LaunchOrder
from provision.profile import Endpoints, Profile
from provision.resources import Vm
from provision.run_outcome import RunOutcome
from provision.runs import DrainOrder, RunView

NOW = datetime(2024, 5, 23, 5, 36, 12, tzinfo=UTC)
RUN = "r1tp8k5m2x"
STARTED = NOW - timedelta(hours=2, minutes=10)
ZONES = ("asia-northeast1-a", "asia-northeast1-b")
SERIAL = "".join(f"[  {second:9.6f}] systemd[1]: step {second} done\n" for second in range(40)) + (
    '{"severity": "INFO", "time": "2024-05-23T05:36:01.000000Z", "message": "reading the launch record", "event": "start"}\n'
)

LOCAL = Profile(name="local", kind="local", project="tickdeck-local", endpoints=Endpoints())


def clock() -> datetime:
    return NOW


def vm_name(shard: int, attempt: int = 1) -> str:
    return f"market-data-shard-{RUN}-{shard}" + (f"-a{attempt}" if attempt > 1 else "")


def labels() -> dict[str, str]:
    return make_labels(owner="ops", run=RUN, plan="p" * 12, expires=NOW + timedelta(hours=12))


def instance(name: str, *, ours: bool = True, status: str = "RUNNING", minutes: float = 130, zone: str = ZONES[0]) -> Vm:
    began = NOW - timedelta(minutes=minutes)
    return Vm(
        name=name,
        zone=zone,
        id=str(abs(hash(name)) % 10**12),
        status=status,
        machine_type="e2-highmem-8" if ours else "n1-standard-4",
        model="SPOT" if ours else "STANDARD",
        created=began,
        started=None if status in ("PROVISIONING", "STAGING") else began + timedelta(seconds=20),
        labels=labels() if ours else {},
    )


def heartbeat(name: str, shard: int, *, done: int, total: int = 400, state: str = "working", age: float = 4, **more: Any) -> Heartbeat:
    defaults: dict[str, Any] = {
        "run": RUN,
        "vm": name,
        "sequence": 780,
        "written": NOW - timedelta(seconds=age),
        "started": STARTED + timedelta(minutes=1),
        "state": state,
        "shard": shard,
        "attempt": 1,
        "shards_total": 1,
        "files_done": done,
        "files_total": total,
        "rows": done * 26_300,
        "source_bytes": done * 31_000_000,
        "bytes_total": total * 31_000_000,
        "bytes_done": done * 31_000_000,
        "bytes_per_second": 0.0 if state in ("idle", "done") else 31.4e6 + shard * 1e5,
        "limited_by": "cpu" if state == "working" else "",
        "cpu_percent": 612.0,
        "rss_bytes": 3_400_000_000,
        "current": f"binance-futures book_snapshot_5 2024-05-{shard % 20 + 1:02d} BTCUSDT",
        "engine_version": "0.1.0",
    }
    return Heartbeat(**{**defaults, **more})


def order(shards: int = 6) -> LaunchOrder:
    return LaunchOrder(
        run=RUN,
        number=1,
        plan="p" * 12,
        created=STARTED,
        owner="ops",
        request_id="9a7e0d6e-0000-4000-8000-000000000001",
        project=LOCAL.project,
        region="asia-northeast1",
        zones=ZONES,
        machine_types=("e2-highmem-8",),
        provisioning_model="SPOT",
        max_run_seconds=86_400,
        expires=NOW + timedelta(hours=12),
        data_bucket="market-data-tick",
        state_bucket="market-data-tick-state",
        labels=labels(),
        vms={vm_name(shard): LaunchedVm(shards=(shard,)) for shard in range(shards)},
    )


def replacement(shard: int, *, minutes_ago: float = 4) -> LaunchOrder:
    first = order()
    return LaunchOrder(
        **{
            **{field: getattr(first, field) for field in first.__struct_fields__},
            "number": 2,
            "created": NOW - timedelta(minutes=minutes_ago),
            "reason": "preempted",
            "vms": {vm_name(shard, 2): LaunchedVm(shards=(shard,), attempt=2, replaces=vm_name(shard))},
        }
    )


def claims(shards: int, *, done: frozenset[int] = frozenset(), minutes_ago: float = 0) -> dict[int, Claim]:
    when = NOW - timedelta(minutes=minutes_ago)
    return {
        shard: Claim(
            run=RUN,
            shard=shard,
            vm=vm_name(shard),
            attempt=1,
            state="done" if shard in done else "working",
            since=when if shard in done else STARTED,
        )
        for shard in range(shards)
    }


PREEMPTED = VmEvent(vm_name(2), ZONES[0], "compute.instances.preempted", NOW - timedelta(minutes=5))


def troubled() -> FleetSnapshot:
    """One stuck, one preempted and replaced, one booting, three at work, one that is not ours."""
    stuck = heartbeat(
        vm_name(0),
        0,
        done=41,
        bytes_per_second=0.0,
        limited_by="source 429",
        errors=3,
        last_error="read timeout after 60 s: okex trades 2024-05-02 BTC-USDT",
    )
    beats = {
        vm_name(0): stuck,
        vm_name(1): heartbeat(vm_name(1), 1, done=188),
        vm_name(2): heartbeat(vm_name(2), 2, done=120, age=310, state="stopping", exit_code=-1),
        vm_name(2, 2): heartbeat(
            vm_name(2, 2), 2, done=140, attempt=2, files_resumed=118, limited_by="network", started=NOW - timedelta(minutes=3)
        ),
        vm_name(3): heartbeat(vm_name(3), 3, done=301, age=11),
        vm_name(4): heartbeat(vm_name(4), 4, done=400, state="done", exit_code=0, age=900),
    }
    held = claims(6, done=frozenset({4}), minutes_ago=15)
    held[2] = msgspec.structs.replace(held[2], vm=vm_name(2, 2), attempt=2)
    view = RunView(RUN, (order(), replacement(2)), beats, held)
    vms = [instance(vm_name(shard)) for shard in (0, 1, 3)]
    vms.append(instance(vm_name(2, 2), minutes=4, zone=ZONES[1]))
    vms.append(instance(vm_name(5), status="STAGING", minutes=0.5))
    vms.append(instance("legacy-gcs-box", ours=False, minutes=90_000))
    then = NOW - timedelta(minutes=6)
    before = RunView(RUN, (order(),), {vm_name(0): msgspec.structs.replace(stuck, written=then)})
    earlier = assess(then, LOCAL, vms[:1], [before])
    return assess(NOW, LOCAL, vms, [view], events=[PREEMPTED], previous=earlier)


def preempted() -> FleetSnapshot:
    """One VM was preempted and nobody has replaced it yet."""
    beats = {vm_name(shard): heartbeat(vm_name(shard), shard, done=100 + shard) for shard in range(3)}
    beats[vm_name(2)] = heartbeat(vm_name(2), 2, done=80, age=300)
    view = RunView(RUN, (order(3),), beats, claims(3))
    return assess(NOW, LOCAL, [instance(vm_name(shard)) for shard in (0, 1)], [view], events=[PREEMPTED])


def taken_over() -> FleetSnapshot:
    """One VM was preempted, and the first of the others has its shard beside its own."""
    beats = {vm_name(shard): heartbeat(vm_name(shard), shard, done=100 + shard) for shard in range(3)}
    beats[vm_name(0)] = heartbeat(vm_name(0), 2, done=450, total=800, shards_total=2, files_resumed=80)
    beats[vm_name(2)] = heartbeat(vm_name(2), 2, done=80, age=300)
    held = claims(3, done=frozenset({0}))
    held[2] = msgspec.structs.replace(held[2], vm=vm_name(0), attempt=2)
    view = RunView(RUN, (order(3),), beats, held)
    return assess(NOW, LOCAL, [instance(vm_name(shard)) for shard in (0, 1)], [view], events=[PREEMPTED])


def all_dead() -> FleetSnapshot:
    """Two were preempted, one lost for an unknown reason, one's worker failed; nobody has replaced any."""
    beats = {vm_name(shard): heartbeat(vm_name(shard), shard, done=90 + shard, age=400 + shard) for shard in range(3)}
    beats[vm_name(3)] = heartbeat(vm_name(3), 3, done=12, age=700, state="failed", exit_code=78, last_error="no permission on the bucket")
    events = [VmEvent(vm_name(shard), ZONES[0], "compute.instances.preempted", NOW - timedelta(minutes=6)) for shard in (0, 1)]
    view = RunView(RUN, (order(4),), beats, claims(4))
    return assess(NOW, LOCAL, [instance(vm_name(3), status="TERMINATED")], [view], events=events)


OTHER_RUN = "r1tp9a0b1c"


def two_runs() -> FleetSnapshot:
    """The healthy run, and a younger one of two VMs."""
    names = [f"market-data-shard-{OTHER_RUN}-{shard}" for shard in range(2)]
    vms = {name: LaunchedVm(shards=(shard,)) for shard, name in enumerate(names)}
    young = msgspec.structs.replace(order(2), run=OTHER_RUN, vms=vms, created=NOW - timedelta(minutes=20))
    beats = {name: heartbeat(name, shard, done=30, run=OTHER_RUN) for shard, name in enumerate(names)}
    tags = make_labels(owner="ops", run=OTHER_RUN, plan="p" * 12, expires=NOW + timedelta(hours=12))
    others = [replace(instance(name, minutes=20, zone=ZONES[1]), labels=tags) for name in names]
    mine = healthy()
    listed = [vm.vm for vm in mine.vms if vm.vm is not None]
    return assess(NOW, LOCAL, [*listed, *others], [*mine.runs, RunView(OTHER_RUN, (young,), beats)])


def costly() -> FleetSnapshot:
    """The healthy fleet where VMs cost money."""
    calm = healthy()
    profile = replace(LOCAL, kind="gcp")
    return assess(NOW, profile, [vm.vm for vm in calm.vms if vm.vm is not None], calm.runs)


def healthy(vms: int = 4) -> FleetSnapshot:
    """All at work."""
    beats = {vm_name(shard): heartbeat(vm_name(shard), shard, done=50 + 30 * shard) for shard in range(vms)}
    view = RunView(RUN, (order(vms),), beats, claims(vms))
    return assess(NOW, LOCAL, [instance(vm_name(shard)) for shard in range(vms)], [view])


def leased_by_another() -> FleetSnapshot:
    """All at work, and another console looks after the run."""
    beats = {vm_name(shard): heartbeat(vm_name(shard), shard, done=50 + 30 * shard) for shard in range(4)}
    lease = Lease(run=RUN, holder="a" * 16, who="ann@desk-4, process 4711", since=STARTED, host="desk-4", pid=4711)
    view = RunView(RUN, (order(4),), beats, claims(4), lease=Held(lease, 7, NOW - timedelta(seconds=10)))
    return assess(NOW, LOCAL, [instance(vm_name(shard)) for shard in range(4)], [view])


def booting() -> FleetSnapshot:
    """Before the first heartbeat: asked for, without a host, staging, booted, and silent for too long."""
    view = RunView(RUN, (order(5),))
    just = LaunchOrder(
        **{**{field: getattr(order(5), field) for field in order(5).__struct_fields__}, "created": NOW - timedelta(seconds=40)}
    )
    vms = [
        instance(vm_name(1), status="PROVISIONING", minutes=0.6),
        instance(vm_name(2), status="STAGING", minutes=0.6),
        instance(vm_name(3), minutes=0.6),
        instance(vm_name(4), minutes=6),
    ]
    return assess(NOW, LOCAL, vms, [RunView(RUN, (just,), view.heartbeats)])


def finished(*, bad: int = 4, cleaned: bool = False, late: bool = False, outcome: RunOutcome | None = None) -> FleetSnapshot:
    """All shards done 52 s after the launch; the VMs are powered off and wait to be cleaned up, or are gone.

    Args:
        late: A replacement came when the others had finished its shard.
        outcome: What its manifests hold; None: only its workers' last words are known.
    """
    ended = STARTED + timedelta(seconds=52)
    beats = {
        vm_name(shard): heartbeat(
            vm_name(shard),
            shard,
            done=files,
            total=files,
            state="done",
            exit_code=65 if shard == 0 else 0,
            files_bad=bad if shard == 0 else 0,
        )
        for shard, files in enumerate((53, 54, 53, 53))
    }
    done = {
        shard: Claim(run=RUN, shard=shard, vm=vm_name(shard), attempt=1, state="done", since=ended - timedelta(seconds=shard))
        for shard in range(4)
    }
    orders = (order(4),)
    if late:
        beats[vm_name(3, 2)] = heartbeat(vm_name(3, 2), -1, done=0, total=53, state="done", exit_code=0)
        done[3] = msgspec.structs.replace(done[3], vm=vm_name(1), attempt=2)
        beats[vm_name(1)] = heartbeat(vm_name(1), 3, done=107, total=107, state="done", exit_code=0, rows=107 * 26_300)
        orders += (replacement(3),)
    view = RunView(RUN, orders, beats, done, outcome=outcome)
    vms = [] if cleaned else [instance(vm_name(shard), status="TERMINATED") for shard in range(4)]
    return assess(NOW, LOCAL, vms, [view])


def drained() -> FleetSnapshot:
    """Told to stop, and no VM is left."""
    beats = {vm_name(shard): heartbeat(vm_name(shard), shard, done=90, state="stopped", exit_code=75) for shard in range(2)}
    view = RunView(RUN, (order(2),), beats, claims(2), drain=DrainOrder(run=RUN, verb="drain", who="ops", when=NOW))
    return assess(NOW, LOCAL, [], [view])


def nothing() -> FleetSnapshot:
    """No run and no VM of ours."""
    return assess(NOW, LOCAL, [instance("legacy-gcs-box", ours=False)], [])


def log_entry(number: int, severity: str = "INFO", message: str = "", *, shard: int | None = None, **fields: object) -> LogEntry:
    at = shard if shard is not None else number % 6
    return LogEntry(
        NOW - timedelta(seconds=300 - number * 0.7),
        severity,
        vm_name(at),
        RUN,
        str(at),
        message or f"committed binance-futures trades 2024-05-01 BTCUSDT rows={4_123_877 + number}",
        str(fields.pop("event", "file_committed")),
        {"venue": "binance-futures", "data_type": "trades", "day": "2024-05-01", "symbol": "BTCUSDT", **fields},
        f"id-{number}",
        "cloud-logging",
    )


def log_entries(count: int = 120) -> tuple[LogEntry, ...]:
    """A tail with two causes of errors in it."""
    made = []
    for number in range(count):
        if number % 17 == 3:
            day = f"2024-05-{number % 9 + 1:02d}"
            text = f"gave up on deribit options_chain {day} OPTIONS after 6 attempts: gzip member {number % 5} is cut short"
            named = {"venue": "deribit", "data_type": "options_chain", "day": day, "symbol": "OPTIONS"}
            made.append(log_entry(number, "ERROR", text, event="file_failed", **named))
        elif number % 41 == 5:
            text = f"quarantined okex-swap trades 2024-05-02 ETH-USDT-SWAP: column amount is missing in line {number * 31}"
            named = {"venue": "okex-swap", "symbol": "ETH-USDT-SWAP", "day": "2024-05-02"}
            made.append(log_entry(number, "ERROR", text, event="file_quarantined", **named))
        elif number % 13 == 1:
            made.append(log_entry(number, "WARNING", "429 from the source, all downloads slow down for 2 s", event="throttled"))
        elif number % 5 == 2:
            made.append(log_entry(number, "DEBUG", "admission: 3 in flight, 412 MB of 1.2 GB", event="admission"))
        else:
            made.append(log_entry(number))
    return tuple(made)
