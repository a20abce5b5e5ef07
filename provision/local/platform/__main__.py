"""`python -m provision.local.platform --root DIR --port P --nonce N --ready-file F`: the platform server as a process."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from provision.local.platform.app import create_app
from provision.local.serving import listen, serve_until_stopped


async def serve(root: Path, port: int, nonce: str, ready_file: Path) -> None:
    """Serve `root` until told to stop. Port 0 picks a free one; `ready_file` says which."""
    runner, port = await listen(create_app(root, nonce=nonce), port)
    await serve_until_stopped(ready_file, {"platform": port}, runner.cleanup)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m provision.local.platform", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of all state")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--nonce", required=True, help="repeated by the health route")
    parser.add_argument("--ready-file", type=Path, required=True, help="written when the server listens")
    order = parser.parse_args()
    try:
        asyncio.run(serve(order.root, order.port, order.nonce, order.ready_file))
    except OSError as error:
        sys.exit(f"platform server: {error}")


if __name__ == "__main__":
    main()
