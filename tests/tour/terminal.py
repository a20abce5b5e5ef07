"""The same in a real terminal: tmux runs `tickdeck demo`, keys are typed, the pane is captured."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from provision.local import cloud as local_cloud

SESSION = "tickdeck-tour"
STEPS = (
    ("start", "", "Downloads"),
    ("launch", "Enter", "of 213 files"),
    ("logs", "3", "lines"),
    ("coverage", "4", "expected cells"),
    ("fleet at the end", "2", "done in"),
    ("cleanup", "X", "Enter:"),
)
"""What the step is called, the key that leads to it, and the word that shows it is there."""


def tmux(*arguments: str) -> str:
    return subprocess.run(["tmux", "-L", SESSION, *arguments], capture_output=True, text=True, check=False).stdout


def record(path: Path, size: tuple[int, int]) -> bool:
    """Write what the terminal showed at each step to `path`; False if there is no tmux."""
    if shutil.which("tmux") is None:
        return False
    width, height = size
    tmux("kill-server")
    command = f"{sys.executable} -m console.cli demo"
    tmux("new-session", "-d", "-s", SESSION, "-x", str(width), "-y", str(height), command)
    pages = []
    try:
        for name, key, word in STEPS:
            if key:
                tmux("send-keys", "-t", SESSION, key)
            deadline = time.monotonic() + 120
            while word not in (page := tmux("capture-pane", "-t", SESSION, "-p")):
                if time.monotonic() > deadline:
                    raise SystemExit(f"the terminal got stuck at {name!r}:\n{page}")
                time.sleep(0.3)
            pages.append(f"--- {name} ({key or 'tickdeck demo'}) ---\n{page}")
    finally:
        tmux("send-keys", "-t", SESSION, "Escape")
        tmux("send-keys", "-t", SESSION, "C-q")
        deadline = time.monotonic() + 30
        while tmux("list-sessions") and time.monotonic() < deadline:
            time.sleep(0.3)
        tmux("kill-server")
        local_cloud.down(local_cloud.demo_root())
    path.write_text("\n".join(pages))
    return True
