"""`python -m provision.local.compute`: the server as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

from provision.local.compute.app import create_app
from provision.local.compute.settings import DEFAULT_BOOT_ARGV, ComputeSettings
from provision.local.serving import add_health, listen, serve_until_stopped

SERVICE = "compute"


def _boot_argv(text: str) -> tuple[str, ...]:
    argv = json.loads(text)
    if not isinstance(argv, list) or not argv or not all(isinstance(part, str) for part in argv):
        raise argparse.ArgumentTypeError("must be a JSON list of strings, program first")
    return tuple(argv)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m provision.local.compute", description="Local Compute Engine server")
    parser.add_argument("--root", type=Path, required=True, help="folder of all state")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--nonce", required=True, help="word by which the starter knows this server again")
    parser.add_argument("--ready-file", type=Path, required=True, help="written when the server listens")
    parser.add_argument("--boot-argv", type=_boot_argv, default=DEFAULT_BOOT_ARGV, help="JSON list: what a VM runs")
    parser.add_argument("--memory-per-vm-mib", type=int, default=192)
    parser.add_argument("--memory-budget-mib", type=int, default=None, help="default: half of the available memory")
    return parser.parse_args(argv)


async def serve(arguments: argparse.Namespace) -> None:
    """Run the server until it is told to stop or its parent is gone."""
    settings = ComputeSettings(
        root=arguments.root.resolve(),
        boot_argv=arguments.boot_argv,
        memory_per_vm_mib=arguments.memory_per_vm_mib,
        memory_budget_mib=arguments.memory_budget_mib,
        environment=dict(os.environ),
    )
    app = create_app(settings)
    add_health(app, service=SERVICE, nonce=arguments.nonce)
    runner, port = await listen(app, arguments.port)
    await serve_until_stopped(arguments.ready_file, {SERVICE: port}, runner.cleanup)


if __name__ == "__main__":
    asyncio.run(serve(_arguments(None)))
