"""Copying: tmux's buffer inside tmux, OSC 52 while it is short enough, else a file; and it says which."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.app import App

from console.clipboard import OSC52_LIMIT, Way, copy_text


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[str]:
    """A program that talks to a tmux server of our own."""
    real = shutil.which("tmux")
    if real is None:
        pytest.skip("no tmux on this machine")
    socket = tmp_path / "s"
    program = tmp_path / "tmux-here"
    program.write_text(f'#!/bin/sh\nexec {real} -S {socket} -f /dev/null "$@"\n')
    program.chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if name != "TMUX"}
    started = subprocess.run([program, "new-session", "-d", "cat"], env=environ, capture_output=True, check=False)
    if started.returncode:
        pytest.skip(f"tmux does not start here: {started.stderr!r}")
    yield str(program)
    subprocess.run([program, "kill-server"], env=environ, capture_output=True, check=False)


async def test_inside_tmux_the_text_lands_in_its_buffer(tmux: str, tmp_path: Path) -> None:
    app: App[None] = App()
    text = "engine plan --venue binance 'é'\n" * 5000
    copied = await copy_text(app, text, fallback=tmp_path / "copy.txt", environ={"TMUX": "yes"}, tmux=tmux)
    assert copied.way is Way.TMUX
    assert await asyncio.to_thread(subprocess.check_output, [tmux, "show-buffer"]) == text.encode()


async def test_outside_tmux_a_short_text_goes_through_the_terminal(tmp_path: Path) -> None:
    app: App[None] = App()
    async with app.run_test():
        copied = await copy_text(app, "short", fallback=tmp_path / "copy.txt", environ={})
        assert app.clipboard == "short"
    assert str(copied) == "copied 5 B to the clipboard (OSC 52)"
    assert not (tmp_path / "copy.txt").exists()


async def test_a_text_too_long_for_the_terminal_goes_to_a_private_file(tmp_path: Path) -> None:
    app: App[None] = App()
    text = "é" * (OSC52_LIMIT // 2 + 1)
    copied = await copy_text(app, text, fallback=tmp_path / "deep" / "copy.txt", environ={})
    assert copied.way is Way.FILE
    assert copied.path is not None
    assert copied.path.read_text("utf-8") == text
    assert stat.S_IMODE(copied.path.stat().st_mode) == 0o600
    assert str(copied.path) in str(copied)


@pytest.mark.parametrize("script", [None, "#!/bin/sh\ncat >/dev/null\nexit 1\n", "#!/bin/sh\nexit 1\n"])
async def test_a_tmux_that_fails_is_passed_over(tmp_path: Path, script: str | None) -> None:
    program = tmp_path / "tmux"
    if script is not None:
        program.write_text(script)
        program.chmod(0o755)
    app: App[None] = App()
    copied = await copy_text(app, "x" * 1000, fallback=tmp_path / "copy.txt", environ={"TMUX": "yes"}, tmux=str(program))
    assert copied.way is Way.TERMINAL
