"""All there is to say about one VM, in groups of fields with values as people write them: for its detail view.

Apart from `console.fleet_view`, which has one line for a VM where this has forty.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from console.fleet_view import format_ranges, second_reason, state_and_word
from console.sentences import money
from console.widgets.figures import UNKNOWN, format_age, format_bytes, format_count, format_duration, format_moment, format_rate
from engine.errors import describe_exit
from engine.heartbeat import Heartbeat
from provision.runs import RunView
from provision.vm_state import FleetVm

if TYPE_CHECKING:
    from provision.logs import LogEntry


def vm_record(vm: FleetVm, view: RunView | None, now: datetime) -> dict[str, object]:
    """All that is known about one VM, for its detail view: groups of fields with values as people write them."""
    state, word = state_and_word(vm, now)
    top: dict[str, object] = {"state": word or state, "why": vm.note or UNKNOWN}
    if not vm.managed:
        top["why"] = "not ours: it carries no label of ours; it can be looked at, nothing else"
    groups: dict[str, object] = {**top, "last error": vm.last_error or UNKNOWN}
    if vm.heartbeat is not None:
        groups["work"] = _work(vm, vm.heartbeat, now)
    if vm.managed:
        groups["attempt"] = _attempt(vm, view)
        groups["boot"] = boot_stages(vm, view)
    groups["machine"] = _machine(vm)
    if vm.heartbeat is not None:
        groups["worker"] = _worker(vm.heartbeat, now)
    return groups


def _work(vm: FleetVm, beat: Heartbeat, now: datetime) -> dict[str, object]:
    done = f"{format_bytes(beat.bytes_done)} of ~{format_bytes(beat.bytes_total)} done"  # by the plan's estimates
    return {
        "current file": beat.current or UNKNOWN,
        "shard": f"{beat.shard}, attempt {beat.attempt}" if beat.shard >= 0 else UNKNOWN,
        "files": f"{format_count(beat.files_done)} of {format_count(beat.files_total)}, {beat.files_bad} bad, {beat.files_resumed} resumed",
        "rows": format_count(beat.rows),
        "bytes": f"{format_bytes(beat.source_bytes)} received, {done}",
        "rate": format_rate(beat.bytes_per_second),
        "limited by": beat.limited_by or UNKNOWN,
        "ends": f"{vm.ends.astimezone(UTC):%H:%M:%S} UTC, in {format_duration((vm.ends - now).total_seconds())}" if vm.ends else UNKNOWN,
        "progress seen": f"{format_age((now - vm.progressed).total_seconds())} ago" if vm.progressed else UNKNOWN,
    }


def _attempt(vm: FleetVm, view: RunView | None) -> dict[str, object]:
    order = view.find(vm.name) if view is not None else None
    launched = order.vms[vm.name] if order is not None else None
    return {
        "run": vm.run or UNKNOWN,
        "plan": vm.plan or UNKNOWN,
        "shards": ", ".join(format_ranges(vm.shards)) or UNKNOWN,
        "attempt": vm.attempt or UNKNOWN,
        "cause": vm.cause or second_reason(vm, view) or UNKNOWN,
        "replaces": (launched.replaces if launched else "") or UNKNOWN,
        "replaced by": vm.replaced_by or UNKNOWN,
        "owner": vm.owner or UNKNOWN,
    }


def boot_stages(vm: FleetVm, view: RunView | None) -> dict[str, object]:
    """How far it came on its way to the first heartbeat, each stage with the seconds since the one before."""
    order = view.find(vm.name) if view is not None else None
    operation = view.operations.get(order.number) if view is not None and order is not None else None
    stages = (
        ("asked for", order.created if order is not None else None),
        ("accepted", operation.accepted if operation is not None else None),
        ("made", vm.created),
        ("booted", vm.vm.started if vm.vm is not None else None),
        ("first heartbeat", vm.heartbeat.started if vm.heartbeat is not None else None),
    )
    told: dict[str, object] = {}
    before: datetime | None = None
    for name, moment in stages:
        if moment is None:
            told[name] = UNKNOWN
            continue
        later = f", {format_duration((moment - before).total_seconds())} later" if before is not None and moment >= before else ""
        told[name] = f"{moment.astimezone(UTC):%H:%M:%S}{later}"
        before = moment
    return told


def _machine(vm: FleetVm) -> dict[str, object]:
    started = vm.vm.started if vm.vm else None
    return {
        "status": vm.status or "not listed",
        "zone": vm.zone or UNKNOWN,
        "machine": vm.machine_type or UNKNOWN,
        "model": vm.model or UNKNOWN,
        "created": format_moment(vm.created),
        "booted": format_moment(started),
        "cost": money(vm.cost) if vm.managed else UNKNOWN,
    }


def _worker(beat: Heartbeat, now: datetime) -> dict[str, object]:
    return {
        "says": beat.state,
        "heartbeat": f"number {beat.sequence}, {format_age((now - beat.written).total_seconds())} ago",
        "started": format_moment(beat.started),
        "cpu": f"{beat.cpu_percent:.0f} %",
        "memory": format_bytes(beat.rss_bytes),
        "retries": f"{beat.retries}, {beat.throttled} refused by the source (429)",
        "errors": beat.errors,
        "exit code": describe_exit(beat.exit_code).removeprefix("exit code ") if beat.exit_code >= 0 else UNKNOWN,
        "engine": beat.engine_version or UNKNOWN,
    }


def vm_title(vm: FleetVm) -> str:
    """The head of its detail view."""
    shard = f" · shard {', '.join(format_ranges(vm.shards))}" if vm.shards else ""
    return f"{vm.name}{shard} · {'not ours' if not vm.managed else vm.state}"


def group_fields(record: Mapping[str, object]) -> list[tuple[str, Mapping[str, object]]]:
    """A record's groups, the loose fields first under an empty name."""
    loose = {name: value for name, value in record.items() if not isinstance(value, Mapping)}
    return [("", loose), *((name, value) for name, value in record.items() if isinstance(value, Mapping))]


def file_line(entry: LogEntry) -> str:
    """One file's outcome: `05:36:01 ✓ binance trades 2024-05-01 BTCUSDT ok: 4123877 rows, 31.0 MB in 2.1 s`."""
    outcome = str(entry.fields.get("outcome", entry.event.removeprefix("file_")))
    glyph = {"ok": "✓", "empty": "○", "not_ready": "…", "not_found": "!"}.get(outcome, "✓" if outcome == "committed" else "×")
    seconds = entry.fields.get("seconds")
    took = f" in {format_duration(float(seconds))}" if isinstance(seconds, int | float) else ""
    return f"{entry.timestamp.astimezone(UTC):%H:%M:%S} {glyph} {entry.message}{took}"
