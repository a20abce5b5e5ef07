"""The process that stands for a running VM: started in a session of its own, found again by pid and creation time, ended whole.

A VM is a process group. Its leader's end is the VM's end: what is left of the group then is killed, as power-off would.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from provision.local.compute.settings import SECRET_PREFIX

ENVIRONMENT_ITEM = "tickdeck-env"
"""Metadata item with KEY=VALUE lines: on a real VM cloud-init makes it docker's --env-file."""

ALLOWED_VARIABLES = frozenset({"PATH", "HOME", "LANG", "TZ", "VIRTUAL_ENV", "TMPDIR"})
ALLOWED_PREFIX = "PYTHON"

SAME_PROCESS_SECONDS = 2.0
"""Creation times of one process may differ this much between two readings, when the clock was set in between."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a guest ended."""

    code: int | None
    """Exit code, 128 + n after signal n; None if the server was away and nobody saw it."""

    def __str__(self) -> str:
        if self.code is None:
            return "guest process ended while the server was away, exit code not seen"
        if self.code > 128:
            try:
                return f"guest process ended by {signal.Signals(self.code - 128).name}, exit code {self.code}"
            except ValueError:
                pass
        return f"guest process ended, exit code {self.code}"


def guest_environment(host: Mapping[str, str], metadata: Mapping[str, str], metadata_port: int) -> dict[str, str]:
    """The environment of a guest: an allowlist of the host's, the VM's own item, its secrets, its metadata server.

    The item is read as docker reads an --env-file: one KEY=VALUE a line, `#` starts a comment line, quotes are kept.
    """
    environment = {key: value for key, value in host.items() if key in ALLOWED_VARIABLES or key.startswith(ALLOWED_PREFIX)}
    for line in metadata.get(ENVIRONMENT_ITEM, "").splitlines():
        key, separator, value = line.lstrip().partition("=")
        if separator and key and not key.startswith("#"):
            environment[key] = value
    for key, value in host.items():
        if key.startswith(SECRET_PREFIX) and key != SECRET_PREFIX:
            environment[key.removeprefix(SECRET_PREFIX)] = value
    own_server = f"127.0.0.1:{metadata_port}"
    return {**environment, "GCE_METADATA_HOST": own_server, "GCE_METADATA_IP": own_server}


def _leader(pid: int, created: float) -> psutil.Process | None:
    """The process with this pid if it is the one created then, dead but unreaped ones included."""
    try:
        process = psutil.Process(pid)
        return process if abs(process.create_time() - created) < SAME_PROCESS_SECONDS else None
    except psutil.Error:
        return None


def is_running(pid: int, created: float) -> bool:
    """True if that very process lives."""
    process = _leader(pid, created)
    try:
        return process is not None and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def group_members(pid: int, created: float) -> list[int]:
    """Living processes of the group that process led, the leader included, also after its death.

    A group keeps its number from being given to another process, so a group without its old leader is still ours;
    one whose leader was created at another time is a stranger's.
    """
    if psutil.pid_exists(pid) and _leader(pid, created) is None:
        return []
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue
    return members


class Guest:
    """One running guest, ours by birth or adopted after a restart of the server."""

    def __init__(self, pid: int, created: float, child: subprocess.Popen[bytes] | None) -> None:
        self.pid = pid
        self.created = created
        """Creation time of the process, in Unix seconds."""
        self._child = child

    @classmethod
    def boot(cls, argv: Sequence[str], directory: Path, environment: Mapping[str, str], serial_port: Path) -> Guest:
        """Start `argv` with its output on the serial port.

        Raises:
            OSError: if the program cannot be started.
        """
        with serial_port.open("ab") as log:
            child = subprocess.Popen(
                list(argv),
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(child.pid, psutil.Process(child.pid).create_time(), child)

    @classmethod
    def adopt(cls, pid: int, created: float) -> Guest | None:
        """The guest that an earlier server started, if it still lives."""
        return cls(pid, created, None) if is_running(pid, created) else None

    def ending(self) -> Ending | None:
        """None while it runs. At its end the rest of its group is killed."""
        if self._child is not None:
            code = self._child.poll()
            if code is None:
                return None
            ending = Ending(code if code >= 0 else 128 - code)
        elif is_running(self.pid, self.created):
            return None
        else:
            ending = Ending(None)
        self.signal_group(signal.SIGKILL)
        return ending

    def signal_group(self, signum: signal.Signals) -> None:
        """Send a signal to every process of the VM; nothing happens if none is left."""
        if self._child is None and psutil.pid_exists(self.pid) and _leader(self.pid, self.created) is None:
            return
        try:
            os.killpg(self.pid, signum)
        except ProcessLookupError:
            pass
        except PermissionError:  # macOS says this of a group of zombies
            pass
