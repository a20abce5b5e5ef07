"""The storage server and the Tardis stand-in as real processes, for tests that work end to end over the wire."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.storage_service import open_storage
from engine.store import Store
from tests.warm_process import run_program

KEY = "TD.test-key-that-must-never-be-logged"


@dataclass(frozen=True)
class LocalServer:
    """One server process."""

    name: str
    url: str
    root: Path
    pid: int
    ports: dict[str, int]

    def get(self, path: str) -> Any:
        """JSON of a control route."""
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            return json.load(response)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Arm a fault."""
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def disarm(self) -> None:
        """Disarm all faults."""
        request = urllib.request.Request(self.url + "/_tickdeck/faults", method="DELETE")
        with urllib.request.urlopen(request, timeout=30):
            pass


@contextmanager
def started(name: str, root: Path, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[LocalServer]:
    """Run `python -m provision.local.NAME` until the block ends."""
    root.mkdir(parents=True, exist_ok=True)
    ready = root.parent / f"{name}.ready"
    ready.unlink(missing_ok=True)
    argv = [sys.executable, "-m", f"provision.local.{name}", "--root", str(root), "--nonce", "test", "--ready-file", str(ready)]
    log = root.parent / f"{name}.log"
    with log.open("ab") as stream:
        process = subprocess.Popen([*argv, *arguments], stdout=stream, stderr=stream, env=os.environ | (environment or {}))
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"{name} did not come up"
            time.sleep(0.02)
        ports = json.loads(ready.read_text())["ports"]
        port = ports.get("control", ports.get(name))
        yield LocalServer(name, f"http://127.0.0.1:{port}", root, process.pid, ports)
    finally:
        process.terminate()
        process.wait(30)


@dataclass(frozen=True)
class Lake:
    """Two fresh buckets, a source, and the environment that points the engine at them."""

    data: Store
    state: Store
    storage: LocalServer
    source: LocalServer

    @property
    def environment(self) -> dict[str, str]:
        """For `engine` processes."""
        return {
            "STORAGE_EMULATOR_HOST": self.storage.url,
            "TARDIS_API_URL": f"{self.source.url}/v1",
            "TARDIS_DATASETS_URL": f"{self.source.url}/v1",
            "TARDIS_API_KEY": KEY,
            "DATA_BUCKET": self.data.bucket,
            "STATE_BUCKET": self.state.bucket,
            "GOOGLE_CLOUD_PROJECT": "local",
            "TICKDECK_LOOPBACK_ONLY": "1",
            "HEARTBEAT_SECONDS": "1",
        }

    def engine(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `engine ...` to its end."""
        return run_program("engine.cli", *arguments, environment=os.environ | self.environment | environment)

    def requests(self, part: str = "") -> list[dict[str, Any]]:
        """GETs of dataset files that the source has seen so far."""
        answer = self.source.get("/_tickdeck/requests")
        rows = answer["requests"] if isinstance(answer, dict) else answer
        return [row for row in rows if part in row["path"]]


def make_lake(storage: LocalServer, source: LocalServer, name: str) -> Lake:
    """Create the two buckets called `name` and `name`-state."""
    service = open_storage(project="local", endpoint=storage.url)
    for bucket in (name, f"{name}-state"):
        service.client.create_bucket(bucket)
    return Lake(Store(service, name), Store(service, f"{name}-state"), storage, source)
