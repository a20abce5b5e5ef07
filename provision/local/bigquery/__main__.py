"""`python -m provision.local.bigquery --root DIR --port P --nonce N --ready-file F --storage-ready F`: the server as a process."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from provision.local.bigquery.app import create_app
from provision.local.bigquery.warehouse import RootInUseError
from provision.local.serving import listen, serve_until_stopped


async def serve(root: Path, port: int, nonce: str, ready_file: Path, storage_ready: Path) -> None:
    """Serve `root` until told to stop. Port 0 picks a free one; `ready_file` says which."""
    runner, port = await listen(create_app(root, nonce=nonce, storage_ready=storage_ready), port)
    await serve_until_stopped(ready_file, {"bigquery": port}, runner.cleanup)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m provision.local.bigquery", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of all state")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--nonce", required=True, help="repeated by the health route")
    parser.add_argument("--ready-file", type=Path, required=True, help="written when the server listens")
    parser.add_argument("--storage-ready", type=Path, required=True, help="the ready file of the storage server")
    order = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    try:
        asyncio.run(serve(order.root, order.port, order.nonce, order.ready_file, order.storage_ready))
    except (RootInUseError, OSError) as error:
        sys.exit(f"BigQuery server: {error}")


if __name__ == "__main__":
    main()
