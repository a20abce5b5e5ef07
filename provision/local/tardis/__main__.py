"""`python -m provision.local.tardis`: the stand-in as a process of its own, started by `tickdeck local up`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from provision.local.serving import listen, serve_until_stopped
from provision.local.tardis.loading import ScenarioError, load_scenario
from provision.local.tardis.scenario import Scenario
from provision.local.tardis.server import SERVICE, create_app

API_KEY_VARIABLE = "TICKDECK_STAND_IN_KEY"
"""Never an argument: arguments are visible to every process."""

EXIT_BAD_CONFIGURATION = 78


async def _serve(arguments: argparse.Namespace, scenario: Scenario) -> None:
    app = create_app(
        arguments.root,
        nonce=arguments.nonce,
        scenario=scenario,
        api_key=os.environ.get(API_KEY_VARIABLE) or None,
        folder=arguments.serve_folder,
        pregenerate=arguments.pregenerate,
    )
    runner, port = await listen(app, arguments.port)
    await serve_until_stopped(arguments.ready_file, {SERVICE: port}, runner.cleanup)


def main() -> int:
    """Serve until stopped.

    Returns:
        0 when stopped, 78 if the scenario cannot be played.
    """
    parser = argparse.ArgumentParser(prog="python -m provision.local.tardis", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the request log and the generated files")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--nonce", required=True, help="told by the health route")
    parser.add_argument("--ready-file", type=Path, required=True, help="written when the server listens")
    parser.add_argument("--scenario", default="demo", help="demo, drill, tiny, traps, or the path of a .toml file")
    parser.add_argument("--serve-folder", type=Path, help="genuine files to serve in place of generated ones")
    parser.add_argument("--pregenerate", action="store_true", help="make all files in the background, largest first")
    arguments = parser.parse_args()
    try:
        scenario = load_scenario(arguments.scenario)
    except ScenarioError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_BAD_CONFIGURATION
    asyncio.run(_serve(arguments, scenario))
    return 0


if __name__ == "__main__":
    sys.exit(main())
