"""The local cloud as a whole: up, found, healed, down, and nothing left of it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine.errors import ConfigurationError
from provision.local import cloud as local_cloud
from provision.local.serving import LOOPBACK


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "cloud"
    yield place
    local_cloud.down(place)


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes_of(root: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if str(root) in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_up_starts_every_server_on_loopback_and_a_second_up_finds_them(root: Path) -> None:
    steps: list[tuple[str, str]] = []
    cloud = local_cloud.up(root, scenario="tiny", report=lambda step, state: steps.append((step, state)))
    assert {step for step, state in steps if state == "done"} == set(local_cloud.SERVICES)
    again = local_cloud.up(root)
    assert again.state == cloud.state
    for server in cloud.state.servers:
        addresses = {c.laddr.ip for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN}
        assert {address.removeprefix("::ffff:") for address in addresses} == {LOOPBACK}, server.name


def test_down_leaves_no_process_and_up_takes_the_lake_up_again(root: Path) -> None:
    cloud = local_cloud.up(root, scenario="tiny")
    environment = cloud.environment()
    assert local_cloud.down(root)
    assert not processes_of(root)
    assert not local_cloud.down(root)
    again = local_cloud.up(root, scenario="tiny")
    assert again.environment() == environment, "the same ports and key: what was exported stays right"


def test_a_server_that_dies_is_started_again_on_its_port(root: Path) -> None:
    cloud = local_cloud.up(root, scenario="tiny")
    victim = next(server for server in cloud.state.servers if server.name == "storage")
    os.kill(victim.pid, signal.SIGKILL)

    def healed() -> bool:
        found = local_cloud.find(root)
        return found is not None and next(s for s in found.state.servers if s.name == "storage").pid != victim.pid

    wait_until(healed)
    found = local_cloud.find(root)
    assert found is not None
    assert found.url("storage") == cloud.url("storage")


def test_a_killed_supervisor_takes_its_servers_along_and_up_heals(root: Path) -> None:
    cloud = local_cloud.up(root, scenario="tiny")
    os.kill(cloud.state.pid, signal.SIGKILL)
    wait_until(lambda: local_cloud.find(root) is None)
    healed = local_cloud.up(root, scenario="tiny")
    assert healed.state.nonce != cloud.state.nonce
    wait_until(lambda: not any(psutil.pid_exists(server.pid) for server in cloud.state.servers))


def test_a_state_file_of_a_strange_process_is_not_believed(root: Path) -> None:
    root.mkdir()
    state = local_cloud.CloudState(pid=os.getpid(), started=1.0, nonce="x", scenario="tiny", servers=())
    local_cloud.write_state(root, state)
    assert local_cloud.find(root) is None
    assert not local_cloud.down(root), "this process was not the supervisor, and was left alone"


def test_other_market_data_than_what_runs_is_refused_with_the_next_step(root: Path) -> None:
    local_cloud.up(root, scenario="tiny")
    with pytest.raises(ConfigurationError, match="tiny") as refused:
        local_cloud.up(root, scenario="traps")
    assert "local down" in refused.value.hint


def test_a_scenario_that_does_not_exist_says_where_to_look(root: Path) -> None:
    with pytest.raises(ConfigurationError, match="tardis") as refused:
        local_cloud.up(root, scenario="no-such-thing")
    assert "log" in refused.value.hint
    assert not processes_of(root)


def test_the_key_is_not_visible_in_any_command_line(root: Path) -> None:
    cloud = local_cloud.up(root, scenario="tiny")
    for pid in processes_of(root):
        assert cloud.api_key not in " ".join(psutil.Process(pid).cmdline())
    assert (root / "stand-in.key").stat().st_mode & 0o077 == 0
    assert cloud.api_key not in json.dumps(json.loads((root / "cloud.json").read_text()))
