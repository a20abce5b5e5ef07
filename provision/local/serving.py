"""How every local server listens: on 127.0.0.1 only, known by a nonce, gone when the process that started it is gone.

Kept apart from the servers so that each of them is only its protocol. A server module offers `create_app(...)`; this module
gives that app an address, a health route and a control route for its fault switches, and tells the parent when it is ready.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

LOOPBACK = "127.0.0.1"

HEALTH_PATH = "/_tickdeck/health"
"""GET answers {"service", "nonce", "pid"}: how a second `up` knows that this is the server it left here."""

FAULTS_PATH = "/_tickdeck/faults"
"""GET lists the armed faults, POST {"fault": name, ...} arms one, DELETE disarms all (`?fault=name` for one)."""

PARENT_CHECK_SECONDS = 1.0


def add_health(app: web.Application, *, service: str, nonce: str) -> None:
    """Add the health route to `app`."""

    async def health(_request: web.Request) -> web.Response:
        return web.json_response({"service": service, "nonce": nonce, "pid": os.getpid()})

    app.router.add_get(HEALTH_PATH, health)


async def listen(app: web.Application, port: int = 0) -> tuple[web.AppRunner, int]:
    """Start `app` on 127.0.0.1. Port 0 picks a free one.

    Returns:
        The runner (to be cleaned up by the caller) and the port in use.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, port, backlog=1024, reuse_address=True)
    await site.start()
    server = site._server
    assert isinstance(server, asyncio.Server)
    return runner, int(server.sockets[0].getsockname()[1])


async def serve_until_stopped(ready_file: Path, ports: dict[str, int], close: Callable[[], Awaitable[None]]) -> None:
    """Announce `ports` in `ready_file`, then wait for SIGTERM, SIGINT or the death of the parent process, then `close`."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopped.set)
    parent = os.getppid()
    staged = ready_file.with_suffix(".new")
    staged.write_text(json.dumps({"pid": os.getpid(), "ports": ports}))
    staged.replace(ready_file)
    try:
        while not stopped.is_set() and os.getppid() == parent:
            try:
                await asyncio.wait_for(stopped.wait(), PARENT_CHECK_SECONDS)
            except TimeoutError:
                continue
    finally:
        await close()
