"""What one local Compute server is told at its start. Apart, because the server, its guests and the tests all read it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SECRET_PREFIX = "TICKDECK_VM_SECRET_"  # noqa: S105 - the name of a variable, not a secret
"""A variable of the server with this prefix is a secret of every VM: the local stand-in for Secret Manager."""

DEFAULT_BOOT_ARGV = (sys.executable, "-m", "engine.cli", "work")


@dataclass(frozen=True, slots=True)
class ComputeSettings:
    """Settings of one server."""

    root: Path
    """Folder of all state. Two servers never share one."""
    boot_argv: tuple[str, ...] = DEFAULT_BOOT_ARGV
    """What a VM runs when it boots, as the systemd unit of a real VM runs the engine's container."""
    memory_per_vm_mib: int = 192
    memory_budget_mib: int | None = None
    """Memory that running VMs may have together, in MiB. None is half of what is available when the server starts."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The server's own environment, of which a VM sees only an allowlist and its secrets."""
    stop_grace_seconds: float = 25.0
    """From SIGTERM to SIGKILL when a VM is stopped or deleted: `docker stop -t 25`, as the host unit of a real VM does."""
    shutdown_grace_seconds: float = 5.0
    """The same when the server itself is stopped."""

    @property
    def slots(self) -> int:
        """How many VMs may run at once; at least one, or nothing would ever start."""
        budget = self.memory_budget_mib
        if budget is None:
            budget = psutil.virtual_memory().available // 2 // (1024 * 1024)
        return max(1, budget // self.memory_per_vm_mib)
