"""Servers for the tests of the local Compute server: in this process, or as the process that `tickdeck local up` starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compute_server import BOOT_ARGV, HOST_ENVIRONMENT, Compute, FakeClock, InProcess, ServerProcess

from provision.local.compute import ComputeSettings, reap


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def start(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Compute]]:
    """Start servers with settings of the test's own."""
    servers: list[InProcess] = []

    def start_one(**changes: Any) -> Compute:
        fields: dict[str, Any] = {
            "root": tmp_path / "compute",
            "boot_argv": BOOT_ARGV,
            "memory_per_vm_mib": 10,
            "memory_budget_mib": 200,
            "environment": HOST_ENVIRONMENT,
            **changes,
        }
        servers.append(InProcess(ComputeSettings(**fields), clock))
        return servers[-1].compute

    yield start_one
    for server in servers:
        server.stop()


@pytest.fixture
def compute(start: Callable[..., Compute]) -> Compute:
    return start()


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start servers as processes on one root; whatever they leave is reaped."""
    root = tmp_path / "compute"
    servers: list[ServerProcess] = []

    def start_one(*options: str) -> ServerProcess:
        servers.append(ServerProcess(root, f"n-{len(servers)}", *options))
        return servers[-1]

    yield start_one
    for server in servers:
        if server.process.poll() is None:
            server.terminate()
    reap(root)
