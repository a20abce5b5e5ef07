"""The whole incident, key by key: launch, a preemption, a slow shard, a hole, its repair, the cost, an empty fleet.

Each step says which keys are typed, what is then on the screen, and whether a picture of it is kept. A newcomer has no other keys.
Escape is not among them where another key follows: in a slow terminal that would be taken for a part of it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.tour.pictures import save_picture
from tests.tour.terminal import Terminal

SIZES = ((80, 24), (200, 60))


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a person does, and what comes of it."""

    name: str
    """Of the picture."""
    keys: tuple[str, ...]
    """As tmux names them; `{count}` is the number that a question asks for."""
    shown: str
    """A regular expression that is then found on the screen."""
    picture: bool = True


STEPS = (
    Step("plan", (), r"Downloads.*Checks\s+✓ \d+ ok"),
    Step("saved", ("s",), "is saved", picture=False),
    Step("kept", ("O",), "1 kept plan", picture=False),
    Step("what-if", ("q", "w"), "by-date", picture=False),
    Step("checks", ("f",), "✓ f Checks|Checks ✓|data bucket", picture=False),
    Step("launched", ("l",), r"[1-9]\d* (% )?of 213 files", picture=False),
    Step("preempted", (), "preempt"),
    Step("slowest", ("g",), "limited by|shard \\d+:"),
    Step("timeline", ("t",), "Since the launch", picture=False),
    Step("vm", ("q", "Enter"), r"last files · \d+ file"),
    Step("logs", ("L",), r"Logs ›.*\d\d:\d\d:\d\d"),
    Step("coverage-running", ("4",), "expected"),
    Step("fleet-done", ("2",), "done in"),
    Step("hole", ("4", "n", "N"), r"81\.8 %.*partial  "),
    Step("cell", ("Enter",), r"Symbol +State"),
    Step("plan-of-cell", ("p",), "tickdeck deploy", picture=False),
    Step("logs-of-cell", ("q", "L"), r"Logs", picture=False),
    Step("repair", ("4", "m", "r"), r"Downloads 3 files.*repair of 3 cells"),
    Step("repair-launched", ("Enter",), "of [1-9]\\d* files|done in", picture=False),
    Step("repair-done", (), r"done in \d+ \w+:\s+3 files"),
    Step("costs", ("5",), r"\d runs? in \d+ days"),
    Step("bill", ("Enter",), "Came to", picture=False),
    Step("other-fleets", ("q", "w"), "m machine type", picture=False),
    Step("audit", ("q", "6"), "launch .*done"),
    Step("doctor", ("7",), r"^(?!.*still looking).*credentials"),
    Step("cleanup", ("2", "X"), r"Type \d+ and Enter"),
    Step("clean", ("={count}", "Enter"), r"no\s+VM is\s+left", picture=False),
    Step("help", ("?",), "search, in all screens"),
)


def walk(size: tuple[int, int], folder: Path, recording: Path) -> None:
    """Walk once at one size.

    Args:
        folder: Where pictures go.
        recording: Where the console records what it sees.
    """
    width, height = size
    command = [sys.executable, "-m", "console.cli", "demo", "--record", str(recording)]
    pages = []
    folder.mkdir(parents=True, exist_ok=True)
    with Terminal(command, size, {}) as terminal:
        for step in STEPS:
            asked = re.search(r"Type (\d+) and Enter", terminal.text)
            terminal.type(*(key.replace("{count}", asked[1] if asked else "") for key in step.keys))
            terminal.wait(step.shown)
            pages.append(f"--- {step.name}: {' '.join(step.keys) or 'wait'} ---\n{terminal.text}")
            (folder / f"walk-{width}x{height}.txt").write_text("\n".join(pages))
            if step.picture:
                path = folder / f"{step.name}-{width}x{height}.png"
                save_picture(terminal.colours, size, path)
                print(f"  {path}", flush=True)
        terminal.type("Escape", "C-q")
