"""The process that keeps the local servers alive: starts them, says when all answer, starts one again that died, stops them.

It is the parent of every server; a server whose parent is gone stops by itself, so nothing outlives a supervisor that was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

from provision.local.cloud import SERVICES, CloudState, Server, write_state

READY_SECONDS = 50.0
CHECK_SECONDS = 0.5
STOP_SECONDS = 30.0
RESTARTS = 5
"""A server that dies more often than this is not started again."""


class Supervisor:
    """Starts and watches the servers of one root folder."""

    def __init__(self, root: Path, nonce: str, scenario: str) -> None:
        self._root, self._nonce, self._scenario = root, nonce, scenario
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, dict[str, int]] = self._remembered_ports()
        self._restarts: dict[str, int] = {}
        self._stopping = threading.Event()

    def run(self) -> int:
        """Work until SIGTERM; returns the exit code."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: self._stopping.set())
        services = [service for service in SERVICES if self._scenario or service != "tardis"]
        try:
            for service in services:
                self._start(service)
            for service in services:
                if not self._wait_ready(service):
                    print(f"{service} did not come up, see {service}.log", flush=True)  # noqa: T201 - goes to supervisor.log
                    return 1
            self._announce(services)
            while not self._stopping.wait(CHECK_SECONDS):
                self._heal(services)
        finally:
            self._stop()
        return 0

    def _start(self, service: str) -> None:
        ready = self._root / f"{service}.ready"
        ready.unlink(missing_ok=True)
        folder = self._root / service
        folder.mkdir(exist_ok=True)
        ports = self._ports.get(service, {})
        argv = [
            *(sys.executable, "-m", f"provision.local.{service}"),
            *("--root", str(folder), "--nonce", self._nonce, "--ready-file", str(ready)),
            *("--port", str(ports.get("grpc" if service == "logs" else service, 0))),
        ]
        environment = dict(os.environ)
        key = (self._root / "stand-in.key").read_text().strip()
        if service == "logs":
            argv += ["--control-port", str(ports.get("control", 0))]
        elif service == "bigquery":
            argv += ["--storage-ready", str(self._root / "storage.ready")]
        elif service == "tardis":
            argv += ["--scenario", self._scenario]
            environment["TICKDECK_STAND_IN_KEY"] = key
        elif service == "compute":
            secret = key if self._scenario else environment.get("TARDIS_API_KEY", "")
            environment["TICKDECK_VM_SECRET_TARDIS_API_KEY"] = secret
        with (self._root / f"{service}.log").open("ab") as stream:
            self._processes[service] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd=folder, env=environment
            )

    def _wait_ready(self, service: str) -> bool:
        ready = self._root / f"{service}.ready"
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and not self._stopping.is_set():
            if ready.exists():
                self._ports[service] = json.loads(ready.read_text())["ports"]
                return True
            if self._processes[service].poll() is not None:
                if not self._ports.get(service):
                    return False
                # The port of last time may be taken by now: any other will do.
                self._ports[service] = {}
                self._start(service)
            time.sleep(0.02)
        return False

    def _announce(self, services: list[str]) -> None:
        (self._root / "ports.json").write_text(json.dumps(self._ports))
        servers = tuple(Server(name, self._processes[name].pid, self._ports[name]) for name in services)
        started = psutil.Process().create_time()
        state = CloudState(pid=os.getpid(), started=started, nonce=self._nonce, scenario=self._scenario, servers=servers)
        write_state(self._root, state)

    def _heal(self, services: list[str]) -> None:
        for service in services:
            if self._processes[service].poll() is None or self._restarts.get(service, 0) >= RESTARTS:
                continue
            self._restarts[service] = self._restarts.get(service, 0) + 1
            code = self._processes[service].returncode
            print(f"{service} ended with {code}, starting it again", flush=True)  # noqa: T201 - goes to supervisor.log
            self._start(service)
            if self._wait_ready(service):
                self._announce(services)

    def _stop(self) -> None:
        """VMs first (the compute server stops them), so that their last words reach the bucket."""
        order = sorted(self._processes, key=lambda service: service != "compute")
        for service in order:
            process = self._processes[service]
            process.terminate()
            if service == "compute":
                self._wait(process)
        for process in self._processes.values():
            self._wait(process)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _remembered_ports(self) -> dict[str, dict[str, int]]:
        try:
            found = json.loads((self._root / "ports.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def main() -> int:
    """Entry of `python -m provision.local.supervisor`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--nonce", required=True)
    parser.add_argument("--scenario", default="")
    arguments = parser.parse_args()
    return Supervisor(arguments.root, arguments.nonce, arguments.scenario).run()


if __name__ == "__main__":
    sys.exit(main())
