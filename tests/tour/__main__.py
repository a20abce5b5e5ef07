"""Make the pictures of every screen again: `python -m tests.tour [FOLDER]`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from provision.local import cloud as local_cloud
from tests.tour.walk import SIZES, walk

DEFAULT_FOLDER = Path(__file__).parents[2] / "docs" / "tour"


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER
    if shutil.which("tmux") is None:
        print("the tour is walked in tmux, which is missing. Fix: apt-get install tmux (or: brew install tmux)", file=sys.stderr)
        return 69
    for number, size in enumerate(SIZES, 1):
        print(f"{number}/{len(SIZES)} a demo run at {size[0]}x{size[1]}", flush=True)
        with tempfile.TemporaryDirectory(prefix="tickdeck-tour-", ignore_cleanup_errors=True) as place:
            os.environ["TICKDECK_LOCAL_DIR"] = str(Path(place, "local"))
            try:
                walk(size, folder, Path(place, "recording"))
            finally:
                local_cloud.down(local_cloud.demo_root())
    return 0


if __name__ == "__main__":
    sys.exit(main())
