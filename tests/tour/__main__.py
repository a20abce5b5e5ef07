"""Make the pictures of every screen again: `python -m tests.tour [FOLDER]`."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.tour.terminal import record
from tests.tour.walk import SIZES, Walk

DEFAULT_FOLDER = Path(__file__).parents[2] / "docs" / "tour"


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tickdeck-tour-") as place:
        os.environ["TICKDECK_LOCAL_DIR"] = str(Path(place, "local"))
        for number, size in enumerate(SIZES, 1):
            print(f"{number}/{len(SIZES) + 1} a demo run at {size[0]}x{size[1]}", flush=True)
            asyncio.run(Walk(size, folder).go())
        print(f"{len(SIZES) + 1}/{len(SIZES) + 1} the same in tmux", flush=True)
        if not record(folder / "terminal-160x50.txt", SIZES[-1]):
            print("  there is no tmux here: apt-get install tmux", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
