"""How much memory this process may use: the machine's, or less where a cgroup says so.

Apart from admission, which only compares: where a limit stands depends on how the process was started. In a container the group is the
root of what is mounted; under systemd, or in a group that somebody made, it lies below, and every group above limits as well.
"""

from __future__ import annotations

from pathlib import Path

import psutil

MOUNT = Path("/sys/fs/cgroup")
MEMBERSHIPS = Path("/proc/self/cgroup")
_LIMIT_FILES = {1: "memory.limit_in_bytes", 2: "memory.max"}


def memory_limit(mount: Path = MOUNT, memberships: Path = MEMBERSHIPS) -> int:
    """Bytes this process may use: the least limit of its cgroups, else the machine's memory."""
    total = psutil.virtual_memory().total
    for folder, version in own_groups(mount, memberships):
        try:
            text = (folder / _LIMIT_FILES[version]).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def own_groups(mount: Path = MOUNT, memberships: Path = MEMBERSHIPS) -> list[tuple[Path, int]]:
    """The folders of the groups that may limit this process's memory, innermost first, each with its cgroup version.

    What is mounted need not begin where the kernel's path does (a container sees its own group as the root): then the root of the mount is
    all there is.
    """
    try:
        lines = memberships.read_text().splitlines()
    except OSError:
        lines = []
    paths = {2: "", 1: ""}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            paths[2] = path
        elif "memory" in controllers.split(","):
            paths[1] = path
    found = []
    for version, base in ((1, mount / "memory"), (2, mount)):
        own = base / paths[version].lstrip("/")
        inside = (own, *own.parents) if ".." not in own.parts else (base,)
        found += [(folder, version) for folder in inside if folder.is_relative_to(base) and _is_memory_group(folder, version)]
    return found


def _is_memory_group(folder: Path, version: int) -> bool:
    # The root of version 2 has no limit of its own, and the folders of version 1 lie below the same mount.
    return (folder / _LIMIT_FILES[version]).exists()
