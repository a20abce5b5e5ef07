"""Killing what is left of a local Compute server that is gone. Apart, because `down` uses it without any server."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psutil

from provision.local.compute.guests import group_members
from provision.local.compute.ledger import FILE_NAME, Ledger

GRACE_SECONDS = 3.0
"""From SIGTERM to SIGKILL: the worker writes its last heartbeat."""
LEAVING_SECONDS = 15.0
"""How long a server may need to stop: it looks for its parent once a second and then gives its VMs two graces."""
POLL_SECONDS = 0.02


def reap(root: Path) -> list[int]:
    """End every VM process that a server with this `root` left behind, known by pid and creation time.

    Call it once the server itself was told to stop or has lost its parent: a server on its way out ends its VMs itself, and
    is waited for.

    Returns:
        The pids that were signalled.

    Raises:
        sqlite3.OperationalError: if a server keeps the folder, and so lives on.
    """
    if not (root / FILE_NAME).exists():
        return []
    with closing(_ledger_once_free(root)) as ledger:
        known = [(record["pid"], record["pid_created"]) for record in ledger.all("machine") if record["pid"] is not None]
    members = [member for pid, created in known for member in group_members(pid, created)]
    processes = []
    for pid in members:
        try:
            processes.append(psutil.Process(pid))
            os.kill(pid, signal.SIGTERM)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    for process in _outlive(processes, GRACE_SECONDS):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    _outlive(processes, GRACE_SECONDS)
    return members


def _ledger_once_free(root: Path) -> Ledger:
    ends = time.monotonic() + LEAVING_SECONDS
    while True:
        try:
            return Ledger(root)
        except sqlite3.OperationalError:
            if time.monotonic() >= ends:
                raise
            time.sleep(POLL_SECONDS)


def _outlive(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still live after `seconds`, or none as soon as none does. A zombie is dead: only its parent keeps it."""
    ends = time.monotonic() + seconds
    while True:
        alive = [process for process in processes if _lives(process)]
        if not alive or time.monotonic() >= ends:
            return alive
        time.sleep(POLL_SECONDS)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
