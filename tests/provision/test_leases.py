"""The lease on a run: one console acts at a time, whatever its clock says, and a dead one is soon forgotten."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.errors import AlreadyExists, GenerationMismatch
from engine.paths import lease_object
from engine.store import Store
from provision import lease as leases
from provision.lease import Held, Holder, keep_lease, new_holder, read_lease, release_lease, take_lease
from provision.reconcile import reconcile
from tests.local_servers import Lake
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import RUN, make_view

ALICE, BOB = Holder("alice", "alice@laptop, process 1"), Holder("bob", "bob@desk, process 2")


def wrong_clock(hours: float) -> Any:
    return lambda: datetime.now(UTC) + timedelta(hours=hours)


def held_by(found: Held | None) -> str:
    assert found is not None
    return found.lease.holder


@contextmanager
def hours_later(monkeypatch: pytest.MonkeyPatch, hours: float) -> Iterator[None]:
    """As if the bucket's clock had gone on."""
    real = leases._bucket_time
    with monkeypatch.context() as patch:
        patch.setattr(leases, "_bucket_time", lambda state, clock: real(state, clock) + timedelta(hours=hours))
        yield


def test_a_second_console_is_told_who_looks_after_a_run(lake: Lake) -> None:
    assert held_by(take_lease(lake.state, RUN, ALICE)) == "alice"
    second = take_lease(lake.state, RUN, BOB)
    assert second is not None
    assert (second.lease.holder, second.lease.who) == ("alice", ALICE.who)
    assert [info.name for info in lake.state.list("")] == [lease_object(RUN)], "asking the bucket for the time leaves nothing behind"


def test_a_lease_is_renewed_by_its_holder_and_keeps_its_beginning(lake: Lake) -> None:
    first, again = take_lease(lake.state, RUN, ALICE), take_lease(lake.state, RUN, ALICE)
    assert first is not None
    assert again is not None
    assert (again.lease, again.generation > first.generation) == (first.lease, True)
    assert again.renewed >= first.renewed


def test_a_lease_that_was_not_renewed_for_a_minute_is_taken(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    take_lease(lake.state, RUN, ALICE)
    with hours_later(monkeypatch, 59 / 3600):
        assert held_by(take_lease(lake.state, RUN, BOB)) == "alice"
    with hours_later(monkeypatch, 61 / 3600):
        assert held_by(take_lease(lake.state, RUN, BOB)) == "bob"
    assert held_by(take_lease(lake.state, RUN, ALICE)) == "bob", "who slept finds the lease with somebody else"


@pytest.mark.parametrize("hours", [-48, 48])
def test_a_console_with_a_wrong_clock_neither_takes_a_fresh_lease_nor_gives_one_away(lake: Lake, hours: float) -> None:
    take_lease(lake.state, RUN, ALICE, clock=wrong_clock(-hours))
    assert held_by(take_lease(lake.state, RUN, BOB, clock=wrong_clock(hours))) == "alice"


def test_of_many_that_want_it_at_once_one_gets_it(lake: Lake) -> None:
    found: list[str] = []
    start = threading.Barrier(8)

    def want(number: int) -> None:
        holder = Holder(f"h{number}", "")
        start.wait()
        held = take_lease(lake.state, RUN, holder)
        if held is not None and held.is_of(holder):
            found.append(holder.id)

    threads = [threading.Thread(target=want, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    assert held_by(read_lease(lake.state, RUN)) == found[0]


def test_a_lease_that_is_given_back_is_free_at_once_and_nobody_gives_back_anothers(lake: Lake) -> None:
    take_lease(lake.state, RUN, ALICE)
    release_lease(lake.state, RUN, BOB)
    assert held_by(read_lease(lake.state, RUN)) == "alice"
    release_lease(lake.state, RUN, ALICE)
    assert read_lease(lake.state, RUN) is None
    assert held_by(take_lease(lake.state, RUN, BOB)) == "bob"


def test_a_lease_is_renewed_while_work_is_done_and_its_loss_is_noticed(lake: Lake) -> None:
    held = take_lease(lake.state, RUN, ALICE)
    assert held is not None
    with keep_lease(lake.state, held, ALICE, every=0.02) as keeping:
        wait_until(lambda: keeping.held.generation > held.generation)
        assert not keeping.lost
        standing = read_lease(lake.state, RUN)
        assert standing is not None
        take_it_away(lake.state, standing)
        wait_until(lambda: keeping.lost)
    assert held_by(read_lease(lake.state, RUN)) == "bob"


def take_it_away(state: Store, standing: Held) -> None:
    """Write another holder over whatever stands, however often it is renewed meanwhile."""
    while True:
        try:
            leases._write(state, leases.Lease(run=RUN, holder="bob", who="bob", since=standing.renewed), generation=standing.generation)
        except (AlreadyExists, GenerationMismatch):
            found = read_lease(state, RUN)
            assert found is not None
            standing = found
        else:
            return


def wait_until(holds: Any) -> None:
    ended = threading.Event()
    for _ in range(1000):
        if holds():
            return
        ended.wait(0.02)
    raise AssertionError("not within 20 s")


def test_the_lease_of_a_process_of_this_machine_that_is_gone_is_nobodys(lake: Lake) -> None:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    me = new_holder("alice")
    crashed = replace(new_holder("alice"), pid=ended.pid)
    take_lease(lake.state, RUN, crashed)
    assert held_by(take_lease(lake.state, RUN, me)) == me.id
    elsewhere = replace(crashed, id="other", host="another-machine")
    lake.state.delete(lease_object(RUN), if_generation=generation(lake.state))
    take_lease(lake.state, RUN, elsewhere)
    assert held_by(take_lease(lake.state, RUN, me)) == "other", "of another machine nothing is known"
    recycled = replace(me, id="recycled", started=me.started - 3600)
    lake.state.delete(lease_object(RUN), if_generation=generation(lake.state))
    take_lease(lake.state, RUN, recycled)
    assert held_by(take_lease(lake.state, RUN, me)) == me.id, "the same number, another process"


def generation(state: Store) -> int:
    found = read_lease(state, RUN)
    assert found is not None
    return found.generation


def test_a_fleet_says_who_looks_after_its_run(wired: Wired) -> None:
    order = wired.launch(1).order
    take_lease(wired.state, order.run, ALICE)
    snapshot = wired.look()
    assert snapshot.verdict.endswith(f"; looked after by {ALICE.who}")
    assert "looked after" not in wired.look(at=datetime.now(UTC) + timedelta(minutes=2)).verdict


def test_reconcile_leaves_a_run_to_the_console_that_has_its_lease(wired: Wired) -> None:
    order = wired.launch(1).order
    (name,) = order.vms
    wired.work(order.run, name, 0)
    wired.preempt(name)
    take_lease(wired.state, order.run, ALICE)
    done = reconcile(wired.profile, wired.clients, wired.state, wired.look(), holder=BOB)
    assert ([held.lease.who for held in done.elsewhere], done.results, done.receipts) == ([ALICE.who], (), ())
    assert wired.names() == set()
    mine = reconcile(wired.profile, wired.clients, wired.state, wired.look(), holder=ALICE)
    assert [list(result.created) for result in mine.results] == [[f"{name}-a2"]]
    assert held_by(read_lease(wired.state, order.run)) == "alice", "it is kept for the next pass"


def test_a_pass_that_nobody_goes_on_with_gives_the_lease_back(wired: Wired) -> None:
    order = wired.launch(1).order
    reconcile(wired.profile, wired.clients, wired.state, wired.look())
    assert read_lease(wired.state, order.run) is None


def test_a_run_without_a_lease_has_none_in_its_view() -> None:
    assert make_view().lease is None
