"""A program in tmux: keys are typed at it, what its pane shows is read, with its colours if wanted."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

PATIENCE = 180.0
"""Seconds that a step may take: a whole demo run on a busy machine."""


class Terminal:
    """One tmux server of our own with one window, gone at the end of the block."""

    def __init__(self, command: Sequence[str], size: tuple[int, int], environment: Mapping[str, str]) -> None:
        """
        Args:
            command: What runs in it.
            size: Columns and lines.
            environment: Beside that of this process.
        """
        self._name = f"tickdeck-tour-{os.getpid()}"
        self.size = size
        width, height = size
        self._tmux("-f", "/dev/null", "new-session", "-d", "-s", "tour", "-x", str(width), "-y", str(height), "sleep 100000")
        for option in (("status", "off"), ("escape-time", "10"), ("remain-on-exit", "on"), ("default-terminal", "tmux-256color")):
            self._tmux("set-option", "-g", *option)
        self._tmux("set-option", "-ga", "terminal-overrides", ",*:Tc")
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in (environment | {"COLORTERM": "truecolor"}).items())
        self._tmux("respawn-pane", "-k", "-t", "tour", f"env {words} {shlex.join(command)}")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._tmux("kill-server")

    @property
    def text(self) -> str:
        """What can be read."""
        return self._tmux("capture-pane", "-t", "tour", "-p")

    @property
    def colours(self) -> str:
        """The same with its escape sequences."""
        return self._tmux("capture-pane", "-t", "tour", "-p", "-e", "-N")

    @property
    def is_over(self) -> bool:
        """Whether the program has ended."""
        return self._tmux("display-message", "-t", "tour", "-p", "#{pane_dead}").strip() == "1"

    def type(self, *keys: str) -> None:
        """Type keys as tmux names them; `=text` is typed as it is."""
        for key in keys:
            if key.startswith("="):
                self._tmux("send-keys", "-t", "tour", "-l", key[1:])
            else:
                self._tmux("send-keys", "-t", "tour", key)
            # A person's keys do not arrive in one piece either: an escape sequence would be seen in them.
            time.sleep(0.15)

    def wait(self, shown: str, *, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until a regular expression is found on the screen.

        Raises:
            SystemExit: with the screen, if it is not in time.
        """
        ends = time.monotonic() + PATIENCE
        while not re.search(shown, self.text, re.DOTALL):
            if time.monotonic() > ends or self.is_over:
                raise SystemExit(f"the tour waited for {shown!r} and saw:\n{self.text}")
            meanwhile()
            time.sleep(0.2)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-L", self._name, *arguments], capture_output=True, text=True, check=False)
        return done.stdout
