"""Why a VM is slow, how replacements are drawn and told, and the figures about the whole."""

from __future__ import annotations

from datetime import timedelta

from console.fleet_totals import forecast, totals_parts
from console.slowness import explain, reasons, slowest
from console.timeline_view import advice_line, draw, summary, tell, timeline_rows
from console.widgets.figures import sparkline
from provision.fleet import FleetSnapshot, assess
from provision.preemptions import Life, MoveAdvice, find_lineages
from provision.runs import RunView
from provision.vm_state import FleetVm
from tests.console import recorded_fleet as recorded


def vm(snapshot: FleetSnapshot, name: str) -> FleetVm:
    found = snapshot.find(name)
    assert found is not None
    return found


def test_the_slowest_is_the_one_that_ends_last_and_says_what_limits_it_and_that_it_began_late() -> None:
    snapshot = recorded.troubled()
    row = slowest(snapshot)
    assert row is not None
    assert row.name == recorded.vm_name(2, 2)
    assert reasons(row, snapshot) == [
        "limited by network",
        "began late: preempted before, 2 m 10 s lost",
        "8.06 GB left where the others have 4.82 GB",
    ]
    assert explain(row, snapshot).endswith("at binance-futures book_snapshot_5 2024-05-03 BTCUSDT")


def test_a_stuck_vm_says_since_when_on_what_and_its_last_error() -> None:
    snapshot = recorded.troubled()
    line = explain(vm(snapshot, recorded.vm_name(0)), snapshot)
    assert line.startswith("no progress for 6 min · limited by source 429 · last error: read timeout after 60 s")
    assert line.count("binance-futures book_snapshot_5 2024-05-01 BTCUSDT") == 1


def test_a_vm_is_compared_with_the_others_of_its_run() -> None:
    beats = {recorded.vm_name(shard): recorded.heartbeat(recorded.vm_name(shard), shard, done=200) for shard in range(4)}
    beats[recorded.vm_name(3)] = recorded.heartbeat(recorded.vm_name(3), 3, done=40, total=800, bytes_per_second=4e6)
    view = RunView(recorded.RUN, (recorded.order(4),), beats, recorded.claims(4))
    vms = [recorded.instance(recorded.vm_name(shard)) for shard in range(4)]
    snapshot = assess(recorded.NOW, recorded.LOCAL, vms, [view])
    odd = reasons(vm(snapshot, recorded.vm_name(3)), snapshot)
    assert odd[1:] == ["4.00 MB/s where the others have 31.5 MB/s", "23.6 GB left where the others have 6.20 GB"]
    assert reasons(vm(snapshot, recorded.vm_name(1)), snapshot) == ["limited by cpu"]


def test_lives_are_drawn_over_the_time_of_the_run_and_told_in_clauses() -> None:
    start, now = recorded.NOW - timedelta(minutes=100), recorded.NOW

    def at(minute: float) -> timedelta:
        return timedelta(minutes=minute)

    first = Life("vm", 1, "zone-a", "SPOT", start, start + at(10), start + at(50), "preempted")
    second = Life("vm-a2", 2, "zone-b", "SPOT", start + at(60), start + at(70), None)
    assert draw((first, second), start, now, 10) == "░████↺░███"
    assert tell((first, second)) == "1 preempted 04:46 in zone-a after 40 m 00 s; 2 up 05:06"
    assert draw((), start, now, 4) == "    "


def test_the_timeline_puts_what_lost_most_first_and_sums_it_up() -> None:
    lineages = find_lineages(recorded.troubled())
    rows = timeline_rows(lineages, recorded.NOW, 40)
    assert (rows[0].shards, rows[0].preempted, rows[0].lives, rows[0].key) == ("2", 1, 2, recorded.vm_name(2, 2))
    assert all(len(row.bar) == 40 for row in rows)
    assert summary(lineages, recorded.NOW) == "1 VM preempted, 1 replacement; 2 m 10 s of VM time lost between"
    assert summary(find_lineages(recorded.healthy()), recorded.NOW).startswith("No VM was lost in 2 h 10 m")
    assert timeline_rows((), recorded.NOW, 40) == ()


def test_advice_to_move_names_the_key() -> None:
    assert advice_line(None) == ""
    line = advice_line(MoveAdvice("zone-a", ("zone-b", "zone-c", "zone-d"), "3 VMs preempted in 2.0 VM-hours in zone-a"))
    assert line == "Move: 3 VMs preempted in 2.0 VM-hours in zone-a. R replaces the VMs of zone-a in zone-b or zone-c"


def test_money_is_told_an_hour_so_far_and_in_the_end() -> None:
    snapshot = recorded.costly()
    hourly, spent = snapshot.totals.cost_per_hour, snapshot.totals.cost
    end = forecast(snapshot)
    assert end is not None
    assert hourly > 0
    assert spent < end < spent + hourly
    parts = totals_parts(snapshot, (1e6, 2e6, 4e6))
    assert parts[2] == f"${hourly:,.2f}/h"
    assert parts[3] == f"spent ${spent:,.2f} → ${end:,.2f}"
    assert parts[1].endswith(" ▃▅█")
    assert forecast(recorded.nothing()) is None


def test_a_sparkline_shows_zero_as_a_foot_and_the_largest_as_a_full_cell() -> None:
    assert sparkline([0, 1, 50, 100], 8) == "▁▂▅█"
    assert sparkline([5] * 20, 3) == "███"
    assert sparkline([], 3) == ""
    assert sparkline([0, 0], 3) == "▁▁"
