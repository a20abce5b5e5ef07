"""`python -m provision.local.logs`: the local Cloud Logging as a process."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from provision.local.logs.server import start
from provision.local.serving import serve_until_stopped


async def _serve(arguments: argparse.Namespace) -> None:
    server = await start(arguments.root, port=arguments.port, control_port=arguments.control_port, nonce=arguments.nonce)
    await serve_until_stopped(arguments.ready_file, server.ports, server.close)


def main() -> None:
    """Parse the command line and serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m provision.local.logs", description="Cloud Logging on 127.0.0.1.")
    parser.add_argument("--root", type=Path, required=True, help="folder of the journal")
    parser.add_argument("--port", type=int, default=0, help="gRPC port, 0 for a free one")
    parser.add_argument("--control-port", type=int, default=0, help="HTTP port of health and faults, 0 for a free one")
    parser.add_argument("--nonce", default="", help="told by the health route")
    parser.add_argument("--ready-file", type=Path, required=True, help="written when both ports are open")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
