"""The figures about a whole fleet: progress, rate with its recent course, the end, and the money spent, an hour, and in the end. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from console.sentences import money
from console.widgets.figures import format_bytes, format_count, format_duration, format_percent, format_rate, plural, sparkline
from engine.heartbeat import Heartbeat
from provision.fleet import FleetSnapshot, without_work
from provision.vm_state import FleetVm, VmState

SPARK_WIDTH = 8
"""Cells of the rate's recent course."""


def totals_parts(snapshot: FleetSnapshot, rates: Sequence[float] = ()) -> list[str]:
    """Figures about the whole, the most important first: a line shows as many as fit. Behind an arrow stands what it will have cost in
    the end. When the slowest shard ends stands in the headline too.

    Args:
        rates: bytes a second at the last looks, oldest first.
    """
    totals = snapshot.totals
    ours = [vm for vm in snapshot.vms if vm.managed]
    if not ours:
        return []
    beats = beats_of(ours)
    current = current_vms(snapshot, ours)
    done, total = sum(vm.files_done for vm in current), sum(vm.files_total for vm in current)
    rows = sum(beat.rows for beat in beats)
    if snapshot.runs and not any(view.unfinished for view in snapshot.runs):
        told = [view.outcome for view in snapshot.runs if view.outcome is not None]
        if len(told) == len(snapshot.runs):
            done, rows = sum(one.files for one in told), sum(one.rows for one in told)
        total = done  # what a VM left was done by others, whatever it last said
    files = [f"{format_percent(done, total)} of {plural(total, 'file')}"] if total else []
    working = any(vm.state in (VmState.RUNNING, VmState.STUCK) and vm.heartbeat for vm in ours)
    spark = f" {sparkline(rates, SPARK_WIDTH)}" if len(rates) > 1 else ""
    rate = [f"{format_rate(totals.bytes_per_second)}{spark}"] if working else []
    last = end_of(ours)
    eta = [f"ETA {format_duration((last - snapshot.taken).total_seconds())}"] if last is not None else []
    left = [f"{format_count(total - done)} left"] if 0 < done < total else []
    return [
        *files,
        *rate,
        *_costs(snapshot),
        *eta,
        *left,
        *([f"{format_many(rows)} rows"] if beats else []),
        *([format_bytes(sum(beat.source_bytes for beat in beats))] if beats else []),
        plural(totals.vms, "VM"),
        *([] if totals.cost_per_hour or totals.cost else ["free"]),
    ]


def forecast(snapshot: FleetSnapshot) -> float | None:
    """US dollars that the shown runs will have cost when the last VM is done; None while no end is in sight.

    Each VM until its own end; one that does not say when it ends, until the last of the others.
    """
    ours = [vm for vm in snapshot.vms if vm.managed]
    last = end_of(ours)
    if last is None:
        return None
    left = sum(vm.cost_per_hour * max(0.0, ((vm.ends or last) - snapshot.taken).total_seconds()) / 3600 for vm in ours if vm.exit_code < 0)
    return snapshot.totals.cost + left


def end_of(vms: Iterable[FleetVm]) -> datetime | None:
    """When the slowest of those that work ends."""
    return max((vm.ends for vm in vms if vm.state is VmState.RUNNING and vm.ends is not None), default=None)


def _costs(snapshot: FleetSnapshot) -> list[str]:
    totals = snapshot.totals
    if not totals.cost_per_hour and not totals.cost:
        return []
    end = forecast(snapshot) if totals.cost_per_hour else None
    spent = f"spent {money(totals.cost)}" + (f" → {money(end)}" if end is not None else "")
    return [f"{money(totals.cost_per_hour)}/h" if totals.cost_per_hour else "nothing runs", spent]


def current_vms(snapshot: FleetSnapshot, vms: Iterable[FleetVm]) -> list[FleetVm]:
    """Without those whose work another VM counts as its own now: files are counted once."""
    bare = without_work(snapshot.vms, snapshot.runs)
    return [vm for vm in vms if vm.name not in bare]


def beats_of(vms: Iterable[FleetVm]) -> list[Heartbeat]:
    """The last words of these VMs, as far as they said any."""
    return [vm.heartbeat for vm in vms if vm.heartbeat is not None]


def format_many(count: float) -> str:
    """Three digits: `950`, `5.6 k`, `5.6 M`, `1.2 G`."""
    if count < 1000:
        return f"{count:.0f}"
    for unit in ("k", "M", "G"):
        count /= 1000
        if count < 999.5 or unit == "G":
            return f"{count:.1f} {unit}" if count < 100 else f"{count:,.0f} {unit}"
    raise AssertionError
