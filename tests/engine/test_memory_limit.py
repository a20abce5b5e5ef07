"""How much memory a process may use, out of cgroups as kernels show them."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from engine.memory_limit import memory_limit, own_groups

MACHINE = psutil.virtual_memory().total
GIB = 1 << 30


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """Where groups are mounted."""
    folder = tmp_path / "cgroup"
    folder.mkdir()
    return folder


def member_of(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "memberships"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def group(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"{text}\n")
    return folder


def test_without_groups_the_machine_is_the_limit(mount: Path, tmp_path: Path) -> None:
    assert memory_limit(mount, tmp_path / "nothing") == MACHINE
    assert own_groups(mount, tmp_path / "nothing") == []


def test_a_container_sees_its_limit_at_the_root_of_the_mount(mount: Path, tmp_path: Path) -> None:
    group(mount, "memory.max", str(GIB))
    assert memory_limit(mount, member_of(tmp_path, "0::/")) == GIB


def test_a_service_is_limited_where_its_group_lies(mount: Path, tmp_path: Path) -> None:
    inner = group(mount / "system.slice" / "worker.service", "memory.max", str(GIB))
    group(mount / "system.slice", "memory.max", "max")
    group(mount / "other.slice", "memory.max", "1000")
    memberships = member_of(tmp_path, "0::/system.slice/worker.service")
    assert memory_limit(mount, memberships) == GIB
    assert own_groups(mount, memberships)[0] == (inner, 2)


def test_a_group_above_limits_as_well(mount: Path, tmp_path: Path) -> None:
    group(mount / "a" / "b", "memory.max", str(3 * GIB))
    group(mount / "a", "memory.max", str(GIB))
    assert memory_limit(mount, member_of(tmp_path, "0::/a/b")) == min(GIB, MACHINE)


def test_version_1_is_read_in_its_own_hierarchy(mount: Path, tmp_path: Path) -> None:
    inner = group(mount / "memory" / "jobs" / "7", "memory.limit_in_bytes", str(GIB))
    group(mount / "memory" / "jobs", "memory.limit_in_bytes", str(1 << 62))
    group(mount / "cpu" / "elsewhere", "memory.limit_in_bytes", "5")
    memberships = member_of(tmp_path, "8:pids:/", "4:memory:/jobs/7", "1:cpu:/elsewhere", "0::/")
    assert memory_limit(mount, memberships) == GIB
    assert own_groups(mount, memberships)[0] == (inner, 1)


def test_a_path_that_is_not_mounted_leaves_the_root_of_the_mount(mount: Path, tmp_path: Path) -> None:
    group(mount / "memory", "memory.limit_in_bytes", str(GIB))
    assert memory_limit(mount, member_of(tmp_path, "4:memory:/docker/0123", "0::/docker/0123")) == GIB
    assert memory_limit(mount, member_of(tmp_path, "4:memory:/../0123", "0::/../0123")) == GIB


def test_no_limit_is_no_limit(mount: Path, tmp_path: Path) -> None:
    group(mount, "memory.max", "max")
    group(mount / "memory", "memory.limit_in_bytes", "9223372036854771712")
    assert memory_limit(mount, member_of(tmp_path, "0::/")) == MACHINE
