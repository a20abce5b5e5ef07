"""A log server as a process of its own, and a project of its own for each test, spoken to by the official client."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcTransport
from google.cloud.logging_v2.types import LogEntry, WriteLogEntriesRequest

import provision
from provision.local.serving import FAULTS_PATH

PROJECTS = itertools.count(1)


class ServerProcess:
    """`python -m provision.local.logs` on a folder."""

    def __init__(self, root: Path) -> None:
        ready = root / "ready.json"
        ready.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "provision.local.logs", "--root", root / "data", "--ready-file", ready, "--nonce", "n1"],
            cwd=Path(provision.__file__).parents[1],
        )
        while not ready.exists():
            assert self._process.poll() is None, "the server ended before it was ready"
            time.sleep(0.01)
        self.ports: dict[str, int] = json.loads(ready.read_text())["ports"]
        options = [("grpc.enable_http_proxy", 0)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.ports['grpc']}", options=options)
        self.client = LoggingServiceV2Client(transport=LoggingServiceV2GrpcTransport(channel=self.channel))

    def control(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['control']}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
            return json.loads(response.read())

    def kill(self) -> None:
        self.channel.close()
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        self.channel.close()
        self._process.terminate()
        return self._process.wait()


@dataclass
class ProjectLogs:
    """One project's logs on the server."""

    server: ServerProcess
    project: str
    base_ns: int = field(default_factory=lambda: time.time_ns() // 1_000_000_000 * 1_000_000_000 - 3_600_000_000_000)
    """An hour ago, a whole second."""

    @property
    def client(self) -> LoggingServiceV2Client:
        return self.server.client

    @property
    def name(self) -> str:
        return f"projects/{self.project}"

    def entry(self, insert_id: str = "", offset_ns: int = 0, **values: Any) -> Any:
        """A raw entry `offset_ns` after the base time; `payload`, `labels` and any plain field."""
        payload, labels = values.pop("payload", None), values.pop("labels", {})
        raw = LogEntry.pb()(insert_id=insert_id, labels=labels, **values)
        raw.timestamp.FromNanoseconds(self.base_ns + offset_ns)
        if payload is not None:
            raw.json_payload.update(payload)
        return raw

    def request(self, entries: list[Any], log: str = "tickdeck-engine", **values: Any) -> WriteLogEntriesRequest:
        raw = WriteLogEntriesRequest.pb()(log_name=f"{self.name}/logs/{log}", entries=entries, **values)
        raw.resource.type = "gce_instance"
        raw.resource.labels["zone"] = "asia-northeast1-a"
        return WriteLogEntriesRequest.wrap(raw)

    def write(self, *entries: Any, log: str = "tickdeck-engine", **values: Any) -> None:
        self.client.write_log_entries(request=self.request(list(entries), log, **values), retry=None)

    def list(self, query: str = "", **values: Any) -> list[Any]:
        request = {"resource_names": [self.name], "filter": query, **values}
        return list(self.client.list_log_entries(request=request, retry=None))

    def ids(self, query: str = "", **values: Any) -> list[str]:
        return [entry.insert_id for entry in self.list(query, **values)]

    def time(self, offset_ns: int = 0) -> str:
        """A moment as the query language writes it."""
        seconds, nanos = divmod(self.base_ns + offset_ns, 1_000_000_000)
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanos:09d}Z"

    def arm(self, fault: str, **settings: Any) -> None:
        self.server.control("POST", FAULTS_PATH, {"fault": fault, "match": f"{self.name}", **settings})


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("logs"))
    yield process
    assert process.stop() == 0


@pytest.fixture
def logs(server: ServerProcess) -> Iterator[ProjectLogs]:
    yield ProjectLogs(server, f"project-{next(PROJECTS)}x")
    server.control("DELETE", FAULTS_PATH)


@pytest.fixture
def start_server() -> Iterator[Any]:
    started: list[ServerProcess] = []

    def start(root: Path) -> ServerProcess:
        started.append(ServerProcess(root))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def logs_of() -> Any:
    return ProjectLogs
