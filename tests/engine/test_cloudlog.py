"""The worker's writer to Cloud Logging, against the local server, over the wire."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import PermissionDenied

import engine
from engine.cloudlog import (
    SEVERITIES,
    CloudLogWriter,
    GceInstance,
    InsertIds,
    QueueLimits,
    grpc_target,
    open_client,
)
from engine.errors import ConfigurationError
from engine.logbook import Logbook
from provision.local.serving import FAULTS_PATH
from tests.local_servers import started

NOW = datetime.now(UTC).replace(microsecond=123456) - timedelta(minutes=5)
ROOT = Path(engine.__file__).parents[1]


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    root = tmp_path_factory.mktemp("cloudlog") / "data"
    with started("logs", root):
        yield json.loads((root.parent / "logs.ready").read_text())["ports"]


def arm(ports: dict[str, int], **order: Any) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{ports['control']}{FAULTS_PATH}", method="POST", data=json.dumps(order).encode())
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()


def start(ports: dict[str, int], project: str, **values: Any) -> CloudLogWriter:
    labels = {"run": "r1", "shard": "3", "vm": "market-data-shard-r1-3"}
    return CloudLogWriter(f"127.0.0.1:{ports['grpc']}", project, **({"labels": labels} | values))


def stored(ports: dict[str, int], project: str) -> list[Any]:
    client = open_client(f"127.0.0.1:{ports['grpc']}")
    return list(client.list_log_entries(request={"resource_names": [f"projects/{project}"], "page_size": 1000}))


class Gate:
    """A client whose writes wait until they are let through, then succeed or fail."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.called = threading.Event()
        self.requests: list[Any] = []
        self.error: Exception | None = None

    def write_log_entries(self, *, request: Any, retry: Any, timeout: float) -> None:
        self.called.set()
        self.open.wait(10)
        if self.error is not None:
            raise self.error
        self.requests.append(request)

    def messages(self) -> list[str]:
        return [entry.json_payload["message"] for request in self.requests for entry in request.entries]


def gated(gate: Gate, **values: Any) -> CloudLogWriter:
    """A writer whose background thread is inside a call already, with everything later still in the queue."""
    writer = CloudLogWriter(None, "p", labels={}, client_factory=lambda: gate, batch_seconds=0.01, **values)
    writer.write("ERROR", NOW, {"message": "first"})
    assert gate.called.wait(10)
    return writer


def test_an_entry_arrives_with_its_severity_time_fields_labels_and_resource(ports: dict[str, int]) -> None:
    writer = start(ports, "whole", resource=GceInstance("123", "asia-northeast1-a"))
    line = {"severity": "WARNING", "time": "t", "message": "slow", "event": "stall", "bytes": 1234, "cell": {"day": NOW.date()}}
    writer.write("WARNING", NOW, line)
    assert writer.close(10) == 0
    (entry,) = stored(ports, "whole")
    assert entry.log_name == "projects/whole/logs/tickdeck-engine"
    assert entry.severity == SEVERITIES["WARNING"]
    assert entry.timestamp == NOW
    assert entry.insert_id
    assert dict(entry.labels) == {"run": "r1", "shard": "3", "vm": "market-data-shard-r1-3"}
    assert entry.resource.type == "gce_instance"
    assert dict(entry.resource.labels) == {"instance_id": "123", "zone": "asia-northeast1-a", "project_id": "whole"}
    payload = {"message": "slow", "event": "stall", "bytes": 1234, "cell": {"day": NOW.date().isoformat()}}
    assert json.loads(json.dumps(dict(entry.json_payload) | {"cell": dict(entry.json_payload["cell"])})) == payload


def test_a_logbook_writes_through_it_and_equal_lines_stay_apart(ports: dict[str, int]) -> None:
    writer = start(ports, "logbook")
    logbook = Logbook(stream=open_null(), context={"run": "r1"}, clock=lambda: NOW)
    logbook.add_sink(writer)
    for _ in range(3):
        logbook.info("tick", "the same line")
    writer.close(10)
    assert [entry.json_payload["message"] for entry in stored(ports, "logbook")] == ["the same line"] * 3


def open_null() -> Any:
    class Null:
        def write(self, _text: str) -> None: ...
        def flush(self) -> None: ...

    return Null()


def test_thousands_of_entries_from_many_threads_all_arrive_once(ports: dict[str, int]) -> None:
    writer = start(ports, "many")

    def write(worker: int) -> None:
        for number in range(625):
            writer.write("INFO", NOW + timedelta(microseconds=number), {"message": f"{worker}-{number}"})

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.close(20) == 0
    messages = [entry.json_payload["message"] for entry in stored(ports, "many")]
    assert sorted(messages) == sorted(f"{worker}-{number}" for worker in range(4) for number in range(625))
    assert writer.state().dropped == {}


def test_unavailability_and_lost_replies_neither_lose_nor_double_an_entry(ports: dict[str, int]) -> None:
    arm(ports, fault="unavailable", method="WriteLogEntries", match="projects/retried", count=1)
    arm(ports, fault="lost-reply", match="projects/retried", count=1)
    writer = start(ports, "retried")
    writer.write("INFO", NOW, {"message": "once"})
    assert writer.close(15) == 0
    assert [entry.json_payload["message"] for entry in stored(ports, "retried")] == ["once"]


def test_debug_goes_first_then_info_and_the_counts_are_told_on_recovery() -> None:
    gate = Gate()
    writer = gated(gate, limits=QueueLimits(entries=10))
    for number in range(8):
        writer.write("DEBUG", NOW, {"message": f"debug {number}"})
    for number in range(6):
        writer.write("INFO", NOW, {"message": f"info {number}"})
    for number in range(7):
        writer.write("ERROR", NOW, {"message": f"error {number}"})
    writer.write("DEBUG", NOW, {"message": "too late"})
    assert writer.state().dropped == {"DEBUG": 9, "INFO": 3}
    gate.open.set()
    assert writer.close(10) == 0
    kept = [f"info {number}" for number in (3, 4, 5)] + [f"error {number}" for number in range(7)]
    assert gate.messages() == ["first", *kept, "log entries dropped: DEBUG 9, INFO 3"]


def test_the_report_of_dropped_entries_is_an_entry_with_the_counts_as_fields() -> None:
    gate = Gate()
    writer = gated(gate, limits=QueueLimits(entries=2))
    for number in range(5):
        writer.write("DEBUG", NOW, {"message": f"debug {number}"})
    gate.open.set()
    writer.close(10)
    report = next(entry for request in gate.requests for entry in request.entries if "dropped" in entry.json_payload)
    assert report.severity == SEVERITIES["WARNING"]
    assert report.json_payload["event"] == "log_entries_dropped"
    assert dict(report.json_payload["dropped"]) == {"DEBUG": 3}


def test_the_queue_is_bounded_by_bytes_too() -> None:
    gate = Gate()
    writer = gated(gate, limits=QueueLimits(entries=10_000, bytes=2_000_000))
    for number in range(100):
        writer.write("INFO", NOW, {"message": f"{number}", "body": "x" * 100_000})
    assert 75 <= writer.state().dropped["INFO"] < 100
    gate.open.set()
    assert writer.close(10) == 0


def test_writing_never_raises_whatever_is_in_the_line(ports: dict[str, int]) -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    writer = start(ports, "hostile")
    for fields in (
        {"message": "object", "value": Hostile()},
        {"message": "surrogate \udcff", "x": "\udcff"},
        {"message": "nan", "value": float("nan")},
        {"message": "large", "value": "x" * (1 << 20)},
        {"message": "m" * (1 << 20)},
        {},
    ):
        writer.write("INFO", NOW, fields)
    writer.write("NO SUCH SEVERITY", NOW, {"message": "odd"})
    assert writer.close(10) == 0
    found = [entry.json_payload.get("message", "") for entry in stored(ports, "hostile")]
    assert writer.state().dropped == {"INFO": 1}
    assert sorted(message[:9] for message in found) == sorted(["", "large", "m" * 9, "nan", "odd", "surrogate", "log entri"])


def test_close_gives_up_at_its_deadline_and_tells_what_is_left(ports: dict[str, int]) -> None:
    arm(ports, fault="unavailable", method="WriteLogEntries", match="projects/away")
    writer = start(ports, "away")
    for number in range(5):
        writer.write("ERROR", NOW, {"message": f"{number}"})
    assert writer.close(0.5) == 5
    writer.write("ERROR", NOW, {"message": "after the end"})
    assert writer.state().dropped == {"ERROR": 1}


def test_a_refusal_is_not_retried_but_counted_and_the_next_batch_is_tried() -> None:
    gate = Gate()
    gate.error = PermissionDenied("no Logs Writer")
    writer = gated(gate)
    gate.open.set()
    gate.called.clear()
    writer.write("INFO", NOW, {"message": "next"})
    assert gate.called.wait(10)
    assert writer.close(5) == 0
    state = writer.state()
    assert (state.sent, state.dropped) == (0, {"ERROR": 1, "INFO": 1})
    assert "no Logs Writer" in state.last_error


def test_an_entry_that_the_api_refuses_does_not_take_its_batch_along(ports: dict[str, int]) -> None:
    writer = start(ports, "partly")
    writer.write("INFO", NOW, {"message": "good"})
    writer.write("ERROR", datetime.now(UTC) + timedelta(days=3), {"message": "from the future"})
    assert writer.close(10) == 0
    assert writer.state().sent >= 1
    assert writer.state().dropped == {"ERROR": 1}
    assert "good" in [entry.json_payload["message"] for entry in stored(ports, "partly")]


@pytest.mark.parametrize("endpoint", ["10.0.0.1:8080", "logging.googleapis.com:443", "127.0.0.1", "127.0.0.1.evil.example:1", "x:y"])
def test_an_endpoint_that_is_not_a_port_of_this_machine_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError):
        CloudLogWriter(endpoint, "p", labels={})


def test_the_target_is_what_grpc_wants() -> None:
    assert grpc_target("127.0.0.1:80") == grpc_target("http://127.0.0.1:80") == "127.0.0.1:80"
    assert grpc_target("localhost:1") == "localhost:1"
    assert grpc_target("[::1]:80") == "[::1]:80"


def test_entries_of_all_severities_are_sent_in_order_of_arrival() -> None:
    gate = Gate()
    writer = gated(gate)
    for number, severity in enumerate(("INFO", "DEBUG", "ERROR", "DEBUG", "INFO")):
        writer.write(severity, NOW, {"message": str(number)})
    gate.open.set()
    writer.close(10)
    assert gate.messages() == ["first", *"01234"]


def test_copies_of_a_line_have_the_same_id_and_different_lines_do_not() -> None:
    first, second = InsertIds(), InsertIds()
    line = {"message": "a", "n": 1}
    made = [first.make(NOW, line), first.make(NOW, dict(reversed(line.items()))), first.make(NOW, {"message": "b"})]
    assert len(set(made)) == 3
    assert [second.make(NOW, json.loads(json.dumps(line))) for _ in range(2)] == made[:2]
    assert first.make(NOW, {"logging.googleapis.com/insertId": "own"}) == "own"


def test_importing_the_writer_imports_no_cloud_library() -> None:
    code = "import sys, engine.cloudlog; print([m for m in sys.modules if m.split('.')[0] in ('google', 'grpc')])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
