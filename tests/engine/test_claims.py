"""Claims on shards: who may take one, and when, on a clock that the test moves."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from engine.claims import STALE_AFTER, list_claims, read_claim, release, take
from engine.heartbeat import Heartbeat, write_heartbeat
from tests.local_servers import Lake

NOW = datetime(2024, 5, 2, 3, 0, tzinfo=UTC)
RUN = "r1ng000000"


def beat(lake: Lake, vm: str, at: datetime) -> None:
    write_heartbeat(lake.state, Heartbeat(run=RUN, vm=vm, sequence=1, written=at, started=at, state="working"))


def test_a_free_shard_is_taken_once(lake: Lake) -> None:
    held = take(lake.state, RUN, 0, "vm-a", now=NOW)
    assert held is not None
    assert (held.claim.vm, held.claim.attempt, held.claim.state) == ("vm-a", 1, "working")
    assert take(lake.state, RUN, 0, "vm-b", now=NOW) is None


def test_of_many_that_ask_at_once_one_gets_it(lake: Lake) -> None:
    got: list[str] = []

    def ask(vm: str) -> None:
        if take(lake.state, RUN, 0, vm, now=NOW) is not None:
            got.append(vm)

    threads = [threading.Thread(target=ask, args=(f"vm-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_of_many_that_ask_at_once_for_the_shard_of_a_dead_worker_one_gets_it(lake: Lake) -> None:
    gone = frozenset({"vm-dead"})
    take(lake.state, RUN, 0, "vm-dead", now=NOW)
    together = threading.Barrier(8)
    got: list[str] = []

    def ask(vm: str) -> None:
        together.wait()
        if take(lake.state, RUN, 0, vm, now=NOW, gone=gone) is not None:
            got.append(vm)

    threads = [threading.Thread(target=ask, args=(f"vm-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = read_claim(lake.state, RUN, 0)
    assert held is not None
    assert (got, held.claim.attempt, held.claim.history) == ([held.claim.vm], 2, ("vm-dead#1",))


def test_a_finished_shard_is_taken_again_only_by_who_has_planned_it_anew(lake: Lake) -> None:
    held = take(lake.state, RUN, 0, "vm-a", now=NOW)
    assert held is not None
    release(lake.state, held, "done", now=NOW)
    assert take(lake.state, RUN, 0, "vm-a", now=NOW) is None
    again = take(lake.state, RUN, 0, "vm-a", now=NOW, again=True)
    assert again is not None
    assert (again.claim.attempt, again.claim.state) == (2, "working")
    # That nobody has it is still a condition.
    assert take(lake.state, RUN, 0, "vm-b", now=NOW, again=True) is None


def test_a_restarted_worker_takes_its_own_shard_as_the_next_attempt(lake: Lake) -> None:
    take(lake.state, RUN, 0, "vm-a", now=NOW)
    again = take(lake.state, RUN, 0, "vm-a", now=NOW)
    assert again is not None
    assert again.claim.attempt == 2
    assert again.claim.history == ("vm-a#1",)


def test_a_shard_that_was_given_back_may_be_taken_at_once_and_a_finished_one_never(lake: Lake) -> None:
    held = take(lake.state, RUN, 0, "vm-a", now=NOW)
    assert held is not None
    release(lake.state, held, "stopped", now=NOW)
    second = take(lake.state, RUN, 0, "vm-b", now=NOW)
    assert second is not None
    assert second.claim.attempt == 2
    release(lake.state, second, "done", now=NOW)
    assert take(lake.state, RUN, 0, "vm-c", now=NOW + timedelta(days=1)) is None


def test_a_silent_worker_loses_its_shard_and_a_speaking_one_keeps_it(lake: Lake) -> None:
    take(lake.state, RUN, 0, "vm-a", now=NOW)
    later = NOW + STALE_AFTER + timedelta(seconds=1)
    beat(lake, "vm-a", later - timedelta(seconds=10))
    assert take(lake.state, RUN, 0, "vm-b", now=later) is None
    much_later = later + STALE_AFTER + timedelta(seconds=1)
    taken = take(lake.state, RUN, 0, "vm-b", now=much_later)
    assert taken is not None
    assert taken.claim.vm == "vm-b"


def test_a_vm_that_is_known_to_be_gone_is_not_waited_for(lake: Lake) -> None:
    take(lake.state, RUN, 0, "vm-a", now=NOW)
    beat(lake, "vm-a", NOW)
    assert take(lake.state, RUN, 0, "vm-b", now=NOW) is None
    assert take(lake.state, RUN, 0, "vm-b", now=NOW, gone=frozenset({"vm-a"})) is not None


def test_who_lost_a_shard_cannot_say_it_is_done(lake: Lake) -> None:
    first = take(lake.state, RUN, 0, "vm-a", now=NOW)
    assert first is not None
    take(lake.state, RUN, 0, "vm-b", now=NOW, gone=frozenset({"vm-a"}))
    assert release(lake.state, first, "done", now=NOW) is None
    held = read_claim(lake.state, RUN, 0)
    assert held is not None
    assert (held.claim.vm, held.claim.state) == ("vm-b", "working")


def test_one_listing_shows_all_claims_of_a_run(lake: Lake) -> None:
    for shard in range(5):
        take(lake.state, RUN, shard, f"vm-{shard}", now=NOW)
    claims = list_claims(lake.state, RUN)
    assert {shard: held.claim.vm for shard, held in claims.items()} == {shard: f"vm-{shard}" for shard in range(5)}
    for shard, held in claims.items():
        assert held == read_claim(lake.state, RUN, shard)


def test_a_lost_reply_of_a_claim_is_recognized_as_ours(lake: Lake) -> None:
    lake.storage.post("/_tickdeck/faults", {"fault": "lost_reply", "count": 1, "match": "claims/7.json"})
    try:
        held = take(lake.state, RUN, 7, "vm-a", now=NOW)
    finally:
        lake.storage.disarm()
    assert held is not None
    assert held.claim.vm == "vm-a"
