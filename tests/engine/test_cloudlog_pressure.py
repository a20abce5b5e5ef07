"""A worker that logs faster than Cloud Logging takes it: nothing blocks, memory stays bounded, what is dropped is counted and told."""

from __future__ import annotations

import json
import socket
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cloudlog import ENTRY_OVERHEAD, SEVERITIES, CloudLogWriter, QueueLimits, open_client
from tests.local_servers import LocalServer, started

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
BURST = 100_000
NAMES = {number: name for name, number in SEVERITIES.items()}
LIMITS = QueueLimits(entries=2_000, bytes=1 << 20)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    with started("logs", tmp_path / "data") as running:
        yield running


def endpoint(server: LocalServer) -> str:
    return f"127.0.0.1:{server.ports['grpc']}"


def stored(address: str, project: str) -> list[Any]:
    client = open_client(address)
    return list(client.list_log_entries(request={"resource_names": [f"projects/{project}"], "page_size": 1000}))


def burst(writer: CloudLogWriter, lines: int = BURST) -> Counter[str]:
    """90 % DEBUG, some INFO, few errors, as a worker in trouble would say it."""
    said: Counter[str] = Counter()
    for number in range(lines):
        severity = "ERROR" if number % 1_000 == 0 else "INFO" if number % 10 == 0 else "DEBUG"
        said[severity] += 1
        writer.write(severity, NOW + timedelta(microseconds=number), {"message": f"line {number}", "event": "burst", "noise": "x" * 50})
    return said


def delivered(entries: list[Any]) -> Counter[str]:
    return Counter(NAMES[int(entry.severity)] for entry in entries if entry.json_payload.get("event") == "burst")


def told(entries: list[Any]) -> Counter[str]:
    """What the entries about dropped entries say in all."""
    found: Counter[str] = Counter()
    for entry in entries:
        if entry.json_payload.get("event") == "log_entries_dropped":
            found.update({severity: int(count) for severity, count in entry.json_payload["dropped"].items()})
    return found


def test_a_burst_at_a_slow_server_stays_in_bounds_and_loses_debug_only(server: LocalServer) -> None:
    server.post("/_tickdeck/faults", {"fault": "slow", "seconds": 0.5, "method": "WriteLogEntries", "count": 4})
    writer = CloudLogWriter(endpoint(server), "slow", labels={}, limits=QueueLimits(entries=15_000, bytes=8 << 20), batch_seconds=0.01)
    said = burst(writer)
    assert writer.close(60) == 0
    state = writer.state()
    entries = stored(endpoint(server), "slow")
    found = delivered(entries)
    assert (found["INFO"], found["ERROR"]) == (said["INFO"], said["ERROR"])
    assert found["DEBUG"] < said["DEBUG"]
    assert state.dropped == {"DEBUG": said["DEBUG"] - found["DEBUG"]}
    assert told(entries) == state.dropped
    assert len({entry.insert_id for entry in entries}) == len(entries)


def test_a_burst_while_the_server_is_away_keeps_what_weighs_most_and_is_told_when_it_comes_back(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    address = f"127.0.0.1:{port}"
    writer = CloudLogWriter(address, "away", labels={}, limits=LIMITS, batch_seconds=0.01)
    writer.write("INFO", NOW, {"message": "before the burst"})
    tracemalloc.start()
    try:
        said = burst(writer, BURST // 4)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The queue's own measure, the batch in the sender's hands beside it, and what Python adds to each entry.
    assert grown < 2 * LIMITS.bytes + LIMITS.entries * 2_000
    assert writer.state().waiting <= LIMITS.entries + 1_000
    assert writer.state().dropped["DEBUG"] >= said["DEBUG"] - LIMITS.entries
    assert writer.state().dropped.get("ERROR", 0) == 0
    with ExitStack() as stack:
        stack.enter_context(started("logs", tmp_path / "data", "--port", str(port)))
        assert writer.close(60) == 0
        entries = stored(address, "away")
    assert delivered(entries)["ERROR"] == said["ERROR"]
    assert told(entries) == writer.state().dropped
    assert delivered(entries) + Counter(writer.state().dropped) == said


def test_without_a_server_the_end_comes_at_its_deadline_and_says_what_is_left() -> None:
    writer = CloudLogWriter("127.0.0.1:9", "nowhere", labels={}, limits=LIMITS, batch_seconds=0.01)
    for number in range(100):
        writer.write("ERROR", NOW, {"message": f"{number}"})
    assert writer.close(0.5) == 100
    assert writer.state().sent == 0


@given(st.lists(st.tuples(st.sampled_from(["DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "odd"]), st.integers(0, 400)), max_size=120))
def test_the_queue_never_exceeds_its_limits_and_every_entry_is_counted(lines: list[tuple[str, int]]) -> None:
    from engine.cloudlog import EntryQueue, _Entry

    limits = QueueLimits(entries=20, bytes=20 * (ENTRY_OVERHEAD + 100))
    queue = EntryQueue(limits)
    for number, (severity, size) in enumerate(lines):
        name = severity if severity != "odd" else "DEFAULT"
        queue.put(_Entry(name, NOW, str(number), b"x" * size))
        assert len(queue) <= limits.entries
    kept = queue.take(1_000, 1 << 30)
    assert [int(entry.insert_id) for entry in kept] == sorted(int(entry.insert_id) for entry in kept)
    assert sum(entry.cost for entry in kept) <= limits.bytes
    assert len(kept) + queue.dropped.total() == len(lines)
    assert len(queue) == 0
    if any(entry.severity == "DEBUG" for entry in kept):
        assert set(queue.dropped) <= {"DEBUG"}, "something heavier was dropped while there was DEBUG to drop"


def test_what_waits_is_json_that_can_be_read_back() -> None:
    """The queue holds bytes: an entry that the caller changes afterwards is sent as it was."""
    fields: dict[str, object] = {"message": "as said"}
    writer = CloudLogWriter(None, "p", labels={}, client_factory=lambda: None, batch_seconds=3_600)
    writer.write("INFO", NOW, fields)
    fields["message"] = "changed"
    (entry,) = writer._queue.take(1, 1 << 20)
    assert json.loads(entry.payload)["message"] == "as said"
    writer.close(0)
