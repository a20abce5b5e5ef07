"""Copying out of a terminal, whatever is between it and the desk: tmux, ssh, or neither.

OSC 52 alone is not enough: tmux swallows it at its defaults, and terminals cut long ones without a word. So: tmux's own
buffer when inside tmux, else OSC 52 up to the size terminals take, else a file; and the person is told which.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from textual.app import App

from console.widgets.figures import format_bytes

OSC52_LIMIT: Final = 74_000
"""Bytes of UTF-8; base64 of it stays under the 100,000 bytes at which xterm and others drop the sequence."""
TMUX_SECONDS: Final = 3.0
"""tmux answers in milliseconds unless its server hangs."""


class Way(StrEnum):
    """How a text left the terminal."""

    TMUX = "tmux"
    TERMINAL = "terminal"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of a copy; `str()` of it is the sentence for the toast."""

    way: Way
    size: int
    """Bytes."""
    path: Path | None = None
    """Of a file."""

    def __str__(self) -> str:
        size = format_bytes(self.size)
        match self.way:
            case Way.TMUX:
                return f"copied {size} to the tmux buffer and the clipboard"
            case Way.TERMINAL:
                return f"copied {size} to the clipboard (OSC 52)"
            case _:
                return f"too long for the terminal's clipboard: {size} written to {self.path}"


async def copy_text(
    app: App[object],
    text: str,
    *,
    fallback: Path,
    environ: Mapping[str, str] = os.environ,
    tmux: str = "tmux",
) -> Copied:
    """Copy `text` the best way this terminal has.

    Args:
        app: Sends OSC 52, and keeps the text for pasting inside the console.
        fallback: File to write when nothing else takes it; made readable by the user only, replaced if it exists.
        environ: Where `TMUX` is looked up.
        tmux: The program.

    Raises:
        OSError: if the file cannot be written either.
    """
    data = text.encode("utf-8", "replace")
    if environ.get("TMUX") and await _load_tmux_buffer(tmux, data):
        return Copied(Way.TMUX, len(data))
    if len(data) <= OSC52_LIMIT:
        app.copy_to_clipboard(text)
        return Copied(Way.TERMINAL, len(data))
    await asyncio.to_thread(_write_private, fallback, data)
    return Copied(Way.FILE, len(data), fallback)


async def _load_tmux_buffer(tmux: str, data: bytes) -> bool:
    """Whether tmux took it. `-w` also passes it on to the outer terminal, at tmux's default settings."""
    try:
        process = await asyncio.create_subprocess_exec(
            tmux,
            "load-buffer",
            "-w",
            "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return False
    try:
        async with asyncio.timeout(TMUX_SECONDS):
            await process.communicate(data)
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    return process.returncode == 0


def _write_private(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
