"""A cgroup of a given size for a process and its children, with what it was seen to use; version 1 or 2, wherever one may be made.

Apart from the benchmark that needs it: `python -m tests.bench.memory_cgroup FOLDER COMMAND ...` enters the group and becomes the command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.memory_limit import own_groups


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """One cgroup that limits memory."""

    folder: Path
    version: int

    def enter(self, command: list[str]) -> list[str]:
        """The command that runs `command` inside."""
        return [sys.executable, "-m", "tests.bench.memory_cgroup", str(self.folder), *command]

    def anonymous_bytes(self) -> int:
        """What nothing can be reclaimed of: page cache is not in it."""
        facts = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        return int(facts["anon"] if self.version == 2 else facts["total_rss"])

    def peak_bytes(self) -> int:
        """The most that was ever charged, page cache included; 0 if the kernel does not say."""
        path = self.folder / ("memory.peak" if self.version == 2 else "memory.max_usage_in_bytes")
        return int(path.read_text()) if path.exists() else 0

    def kills(self) -> int:
        """How many processes the kernel killed because the group was full."""
        path = self.folder / ("memory.events" if self.version == 2 else "memory.oom_control")
        facts = dict(line.split() for line in path.read_text().splitlines())
        return int(facts["oom_kill"])


@contextmanager
def memory_group(limit: int) -> Iterator[MemoryGroup]:
    """A new group of at most `limit` bytes, without swap.

    Raises:
        OSError: if none may be made here.
    """
    found = own_groups()
    if not found:
        raise FileNotFoundError("no cgroup that limits memory is mounted")
    parent, version = found[0]
    folder = parent / f"bench-{os.getpid()}"
    folder.mkdir()
    try:
        if version == 2:
            (folder / "memory.max").write_text(str(limit))
            _write_if_there(folder / "memory.swap.max", "0")
        else:
            (folder / "memory.limit_in_bytes").write_text(str(limit))
            _write_if_there(folder / "memory.memsw.limit_in_bytes", str(limit))
        yield MemoryGroup(folder, version)
    finally:
        folder.rmdir()


def _write_if_there(path: Path, text: str) -> None:
    if path.exists():
        path.write_text(text)


def main() -> None:
    """Enter a group and become a command."""
    folder, *command = sys.argv[1:]
    (Path(folder) / "cgroup.procs").write_text(str(os.getpid()))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
