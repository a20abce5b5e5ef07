"""How VMs came and went: lines of replacements, the time lost between, and which zone to leave."""

from __future__ import annotations

from datetime import timedelta

from engine.launch import LaunchedVm
from provision.fleet import FleetSnapshot, assess
from provision.operations import VmEvent
from provision.preemptions import Life, Lineage, ZoneRate, advise_move, find_lineages, rate_zones
from tests.provision.made_up_fleet import NOW, RUN, ZONES, beat, claim, local_profile, make_order, make_view, make_vm, vm_name

A, B = ZONES
FIRST, SECOND = vm_name(0), f"{vm_name(0)}-a2"


def replaced_once() -> FleetSnapshot:
    """Shard 0's VM spoke last ten minutes ago, the next one first four minutes ago."""
    orders = [
        make_order(2),
        make_order(
            {SECOND: LaunchedVm(shards=(0,), attempt=2, replaces=FIRST, cause="preempted")},
            number=2,
            reason="preempted",
            created=NOW - timedelta(minutes=7),
        ),
    ]
    beats = [beat(FIRST, age=600), beat(SECOND, started=NOW - timedelta(minutes=4), attempt=2), beat(vm_name(1))]
    view = make_view(orders, heartbeats=beats, claims=[claim(0, SECOND, attempt=2), claim(1, vm_name(1))])
    gone = VmEvent(FIRST, A, "compute.instances.preempted", NOW - timedelta(minutes=10))
    vms = [make_vm(SECOND, zone=B, created=NOW - timedelta(minutes=5)), make_vm(vm_name(1), zone=A)]
    return assess(NOW, local_profile(), vms, [view], events=[gone])


def test_a_line_of_replacements_tells_its_lives_and_the_minutes_nobody_worked() -> None:
    line, calm = find_lineages(replaced_once())
    assert [(life.vm, life.zone, life.end, life.attempt) for life in line.lives] == [(FIRST, A, "preempted", 1), (SECOND, B, "", 2)]
    assert (line.run, line.shards, line.preempted, line.lost_seconds) == (RUN, (0,), 1, 360)
    assert (len(calm.lives), calm.lost_seconds) == (1, 0)


def test_work_that_nobody_has_taken_up_is_lost_until_now() -> None:
    view = make_view([make_order(1)], heartbeats=[beat(FIRST, age=300)], claims=[claim(0, FIRST)])
    (line,) = find_lineages(assess(NOW, local_profile(), [], [view]))
    assert line.lost_seconds == 300


def test_zones_are_rated_by_their_vm_hours_and_vms_that_cannot_be_preempted_do_not_count() -> None:
    def life(zone: str, hours: float, end: str = "", model: str = "SPOT") -> Life:
        began = NOW - timedelta(hours=hours)
        return Life(zone, 1, zone, model, began, began, NOW if end else None, end)

    lives = (life(A, 1, "preempted"), life(A, 1, "preempted"), life(B, 8), life(B, 2, "preempted"), life(A, 100, model="STANDARD"))
    worst, calm = rate_zones([Lineage(RUN, (0,), lives, 0.0)], NOW)
    assert (worst.zone, worst.vms, worst.vm_hours, worst.preempted, worst.per_hour) == (A, 2, 2.0, 2, 1.0)
    assert (calm.zone, calm.per_hour) == (B, 0.1)


def test_a_zone_is_left_only_for_one_that_is_much_calmer() -> None:
    advice = advise_move([ZoneRate(A, 4, 2.0, 4), ZoneRate(B, 4, 10.0, 1)], (A, B, "asia-northeast1-c"))
    assert advice is not None
    assert (advice.zone, advice.better) == (A, (B, "asia-northeast1-c"))
    assert advice.why == f"4 VMs preempted in 2.0 VM-hours in {A}, 1 in 10.0 in {B}"
    assert advise_move([ZoneRate(A, 4, 2.0, 4), ZoneRate(B, 4, 2.0, 3)], (A, B)) is None
    assert advise_move([ZoneRate(A, 1, 2.0, 1)], (A, B)) is None
    assert advise_move([ZoneRate(A, 1, 0.01, 2)], (A, B)) is None
    assert advise_move([], (A, B)) is None
