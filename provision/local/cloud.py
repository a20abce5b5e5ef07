"""The local cloud as its users see it: start it or find the one that runs, ask how it is, stop it.

Its state is one folder. `up` is safe to call from several processes at once, and heals what an earlier one left behind: a process
is known by pid, start time and a nonce that the servers repeat, never by a pid alone.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import platformdirs
import psutil

from engine.documents import decode, encode
from engine.errors import ConfigurationError, StoreError
from engine.loopback import close_proxies
from provision.local.serving import HEALTH_PATH, LOOPBACK

START_SECONDS = 60.0
"""How long the servers may take until they answer, on a slow machine."""

STOP_SECONDS = 40.0

PROJECT = "local"
DEFAULT_SCENARIO = "demo"
SERVICES = ("storage", "logs", "platform", "bigquery", "compute", "tardis")

Report = Callable[[str, str], None]
"""Hears (step, state): state is `running`, `done`, or what went wrong."""


_detached: list[subprocess.Popen[bytes]] = []
"""Supervisors that this process started. They are meant to outlive it, so nobody waits for them."""


class Server(msgspec.Struct, frozen=True):
    """One local server."""

    name: str
    pid: int
    ports: dict[str, int]


class CloudState(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor writes down about itself once everything answers."""

    pid: int
    started: float
    """The supervisor's start time as the system knows it: with the pid it tells one process."""
    nonce: str
    scenario: str
    servers: tuple[Server, ...]


@dataclass(frozen=True, slots=True)
class Cloud:
    """A running local cloud."""

    root: Path
    state: CloudState

    def port(self, service: str, kind: str = "") -> int:
        """A server's port."""
        for server in self.state.servers:
            if server.name == service:
                return server.ports[kind or service]
        raise ConfigurationError(f"the local cloud has no {service} server")

    def url(self, service: str) -> str:
        """Base URL of a server's HTTP side."""
        return f"http://{LOOPBACK}:{self.port(service, 'control' if service == 'logs' else '')}"

    @property
    def logging_endpoint(self) -> str:
        """host:port of the Cloud Logging server."""
        return f"{LOOPBACK}:{self.port('logs', 'grpc')}"

    @property
    def has_stand_in(self) -> bool:
        """Whether it serves market data itself (False: the real source is used)."""
        return any(server.name == "tardis" for server in self.state.servers)

    @property
    def api_key(self) -> str:
        """The key that the stand-in asks for."""
        return (self.root / "stand-in.key").read_text().strip()

    def environment(self) -> dict[str, str]:
        """What points any tool at this cloud."""
        variables = {
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "STORAGE_EMULATOR_HOST": self.url("storage"),
            "TICKDECK_LOGGING_ENDPOINT": self.logging_endpoint,
            "TICKDECK_COMPUTE_ENDPOINT": self.url("compute"),
            "TICKDECK_PLATFORM_ENDPOINT": self.url("platform"),
            "TICKDECK_BIGQUERY_ENDPOINT": self.url("bigquery"),
        }
        if self.has_stand_in:
            variables |= {
                "TARDIS_API_URL": self.url("tardis") + "/v1",
                "TARDIS_DATASETS_URL": self.url("tardis") + "/v1",
                "TARDIS_API_KEY": self.api_key,
            }
        return variables


def default_root() -> Path:
    """The folder of the local cloud: `TICKDECK_LOCAL_DIR`, else the XDG state place."""
    return Path(os.environ.get("TICKDECK_LOCAL_DIR") or platformdirs.user_state_path("tickdeck") / "local")


def demo_root() -> Path:
    """The demo's own folder, beside the local cloud's: its lake is made new each time and is nobody else's."""
    root = default_root()
    return root.with_name(root.name + "-demo")


def active_root() -> Path:
    """The folder that verbs work on: the local cloud's, or the demo's while only that one runs."""
    root = default_root()
    return demo_root() if find(root) is None and find(demo_root()) is not None else root


def find(root: Path) -> Cloud | None:
    """The cloud that runs in `root`, or None. It runs if its supervisor does and every server answers with its nonce."""
    cloud = _read(root)
    if cloud is None or not is_process(cloud.state.pid, cloud.state.started):
        return None
    return cloud if all(_answers(cloud, server) for server in cloud.state.servers) else None


def up(root: Path, *, scenario: str = "", stand_in: bool = True, report: Report = lambda _step, _state: None) -> Cloud:
    """Find the cloud that runs in `root`, or start one.

    Args:
        root: folder of its state.
        scenario: of the stand-in's market data: a name or a TOML file; empty: the one that runs, else `DEFAULT_SCENARIO`.
        stand_in: False leaves the market data to the real source.
        report: hears of each step.

    Raises:
        ConfigurationError: if a server does not come up (names its log file), or one runs with other market data.
    """
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root):
        cloud = find(root)
        if cloud is not None:
            if cloud.has_stand_in != stand_in or (stand_in and scenario and cloud.state.scenario != scenario):
                raise ConfigurationError(
                    f"the local cloud runs with {cloud.state.scenario or 'the real source'}, not with {scenario or 'the real source'}",
                    hint="stop it first: tickdeck local down",
                )
            report("local cloud", "done")
            return cloud
        wanted = (scenario or DEFAULT_SCENARIO) if stand_in else ""
        _clear(root)
        _make_key(root)
        return _start(root, wanted, report)


def down(root: Path) -> bool:
    """Stop the cloud in `root` with all its VMs; False if nothing of it was running."""
    if not root.exists():
        return False
    with _locked(root):
        return _clear(root)


def is_process(pid: int, started: float) -> bool:
    """Whether the process `pid` is the one that started at `started`."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _start(root: Path, scenario: str, report: Report) -> Cloud:
    nonce = secrets.token_hex(8)
    log = root / "supervisor.log"
    environment = dict(os.environ)
    close_proxies(environment)
    argv = [sys.executable, "-m", "provision.local.supervisor", "--root", str(root), "--nonce", nonce, "--scenario", scenario]
    with log.open("ab") as stream:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True, cwd=root, env=environment
        )
    _detached.append(process)
    deadline = time.monotonic() + START_SECONDS
    told: set[str] = set()
    services = [service for service in SERVICES if scenario or service != "tardis"]
    for service in services:
        report(service, "running")
    while time.monotonic() < deadline:
        for service in services:
            if service not in told and (root / f"{service}.ready").exists():
                told.add(service)
                report(service, "done")
        cloud = _read(root)
        if cloud is not None and cloud.state.nonce == nonce:
            return cloud
        if process.poll() is not None:
            break
        time.sleep(0.05)
    missing = ", ".join(service for service in services if service not in told)
    _clear(root)
    raise ConfigurationError(f"the local cloud did not start ({missing or 'supervisor'})", hint=f"see {root}/*.log")


def _clear(root: Path) -> bool:
    """Stop whatever runs in `root`, in whatever state it is."""
    from provision.local.compute import reap

    cloud = _read(root)
    running = False
    if cloud is not None and is_process(cloud.state.pid, cloud.state.started):
        running = True
        with suppress(psutil.Error):
            supervisor = psutil.Process(cloud.state.pid)
            supervisor.terminate()
            try:
                supervisor.wait(STOP_SECONDS)
            except psutil.TimeoutExpired:
                for child in supervisor.children(recursive=True):
                    with suppress(psutil.Error):
                        child.kill()
                supervisor.kill()
    for process in _detached:
        process.poll()
    running = bool(reap(root / "compute")) or running
    for path in (root / "cloud.json", *(root / f"{service}.ready" for service in SERVICES)):
        path.unlink(missing_ok=True)
    return running


def _read(root: Path) -> Cloud | None:
    path = root / "cloud.json"
    try:
        return Cloud(root, decode(path.read_bytes(), CloudState, name=str(path)))
    except (FileNotFoundError, ConfigurationError):
        return None


def write_state(root: Path, state: CloudState) -> None:
    """Announce that everything answers."""
    staged = root / "cloud.json.new"
    staged.write_bytes(encode(state))
    staged.replace(root / "cloud.json")


def _answers(cloud: Cloud, server: Server) -> bool:
    port = server.ports.get("control", server.ports.get(server.name, 0))
    try:
        with _opener().open(f"http://{LOOPBACK}:{port}{HEALTH_PATH}", timeout=5) as response:
            return cloud.state.nonce.encode() in response.read()
    except OSError:
        return False


def call(cloud: Cloud, service: str, path: str, body: object | None = None, *, method: str = "") -> bytes:
    """Use a server's control routes (faults, preemption, counters).

    Raises:
        StoreError: if the server refuses or does not answer; says what it said.
    """
    data = None if body is None else msgspec.json.encode(body)
    request = urllib.request.Request(  # noqa: S310 - the address is built here, on loopback
        cloud.url(service) + path,
        data=data,
        method=method or ("POST" if data is not None else "GET"),
        headers={"Content-Type": "application/json"},
    )
    try:
        with _opener().open(request, timeout=60) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        said = error.read().decode("utf-8", "replace")[:300]
        raise ConfigurationError(f"the local {service} server refuses: {said}") from error
    except OSError as error:
        raise StoreError(f"the local {service} server does not answer: {error}", hint="run: tickdeck local status") from error


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _make_key(root: Path) -> None:
    path = root / "stand-in.key"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write("TD." + secrets.token_urlsafe(24) + "\n")


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One `up` or `down` at a time; the lock goes with its process."""
    with (root / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
