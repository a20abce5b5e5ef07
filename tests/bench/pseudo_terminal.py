"""A child under a pseudo-terminal of 160x50: drains what it paints, types keys at it, says when things were seen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

COLUMNS, LINES = 160, 50


@dataclass(slots=True)
class Seen:
    """What a run looked like from outside."""

    painted: float | None = None
    """Seconds until the marker was painted; None: never."""
    bytes: int = 0
    keys: list[float] = field(default_factory=list)
    """When each key was typed, by the monotonic clock, which all processes share."""


def run(arguments: Sequence[str], *, marker: bytes = b"", stop_at_marker: bool = False, key: bytes = b"", every: float = 0.0) -> Seen:
    """Run `python ARGUMENTS` until it ends.

    Args:
        marker: What is waited for in its output.
        stop_at_marker: Hang up once it was seen.
        key: Typed again and again, once the marker was seen.
        every: Seconds between two keys.
    """
    seen, start = Seen(), time.monotonic()
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", COLUMNS=str(COLUMNS), LINES=str(LINES))
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, by all children: none would see that its terminal is gone
        os.execv(sys.executable, [sys.executable, *arguments])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    tail, next_key = b"", 0.0
    while True:
        if seen.painted is not None and every and time.monotonic() >= next_key:
            seen.keys.append(time.monotonic())
            os.write(terminal, key)
            next_key = seen.keys[-1] + every
        if not select.select([terminal], [], [], 0.005)[0]:
            continue
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:
            break
        if not data:
            break
        seen.bytes += len(data)
        tail = (tail + data)[-(1 << 17) :]
        if marker and seen.painted is None and marker in tail:
            seen.painted = time.monotonic() - start
            if stop_at_marker:
                os.close(terminal)
                break
    os.waitpid(child, 0)
    return seen
