"""Starting and stopping the local Cloud Logging: its gRPC port, its control port and its folder."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import grpc
from aiohttp import web

from provision.local.faults import add_fault_routes
from provision.local.logs.entry_store import MAX_ENTRIES, EntryStore
from provision.local.logs.fault_kinds import LogFaults
from provision.local.logs.service import LoggingService
from provision.local.logs.write_rules import MAX_REQUEST_BYTES
from provision.local.serving import LOOPBACK, add_health, listen

SERVICE_NAME = "logs"
LOCK_NAME = "lock"

_GRPC_OPTIONS = (
    ("grpc.so_reuseport", 0),  # two servers on one port would each get some of the calls
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES + (1 << 20)),
    ("grpc.max_send_message_length", -1),
)


class FolderInUse(RuntimeError):
    """Another server holds this folder."""


@dataclass(slots=True)
class RunningServer:
    """A started server."""

    grpc_port: int
    control_port: int
    faults: LogFaults
    service: LoggingService
    _store: EntryStore
    _grpc: Any
    _runner: web.AppRunner
    _lock: BinaryIO

    @property
    def ports(self) -> dict[str, int]:
        """What the ready file says."""
        return {"grpc": self.grpc_port, "control": self.control_port}

    async def close(self) -> None:
        """Stop listening, end open calls, close the journal, free the folder."""
        await self._grpc.stop(grace=0.2)
        await self._runner.cleanup()
        self._store.close()
        self._lock.close()


async def start(
    root: Path,
    *,
    port: int = 0,
    control_port: int = 0,
    nonce: str = "",
    max_entries: int = MAX_ENTRIES,
    now_ns: Callable[[], int] = time.time_ns,
    clock: Callable[[], float] = time.monotonic,
) -> RunningServer:
    """Serve the entries in `root` on 127.0.0.1. Port 0 picks a free one.

    Raises:
        FolderInUse: if another server has opened `root`.
        RuntimeError: if a port is taken.
    """
    root.mkdir(parents=True, exist_ok=True)
    lock = (root / LOCK_NAME).open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise FolderInUse(f"another log server holds {root}") from None
    store = EntryStore(root, max_entries=max_entries)
    faults = LogFaults()
    service = LoggingService(store, faults, now_ns=now_ns, clock=clock)
    server = grpc.aio.server(options=_GRPC_OPTIONS)
    server.add_generic_rpc_handlers((service,))
    bound = server.add_insecure_port(f"{LOOPBACK}:{port}")
    await server.start()
    app = web.Application()
    add_health(app, service=SERVICE_NAME, nonce=nonce)
    add_fault_routes(app, faults)
    runner, control = await listen(app, control_port)
    return RunningServer(bound, control, faults, service, store, server, runner, lock)
