"""What this terminal can do for the console: size, colours, characters, tmux's delay of Escape, and the way of a copy to the desk.

Checks of the doctor beside those of the cloud and the machine; they look at the environment and ask tmux, nothing else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import partial
from typing import Final

from console.clipboard import OSC52_LIMIT
from engine.doctor.checkup import Check
from engine.doctor.finding import Finding, good, warn

SMALLEST: Final = (80, 24)
SLOW_ESCAPE: Final = 50
"""Milliseconds for which tmux may hold Escape back without anybody noticing."""
TMUX_SECONDS: Final = 3.0


def terminal_checks(
    size: tuple[int, int] | None = None, *, environment: Mapping[str, str] = os.environ, tmux: str = "tmux"
) -> tuple[Check, ...]:
    """All of them.

    Args:
        size: columns and rows; None: what the terminal says.
        environment: of this process.
        tmux: the program.
    """
    found = size or tuple(shutil.get_terminal_size())
    return (
        Check("terminal size", partial(check_size, (found[0], found[1]))),
        Check("colours", partial(check_colours, environment)),
        Check("characters", partial(check_characters, environment)),
        Check("escape key", partial(check_escape, environment, tmux)),
        Check("clipboard", partial(check_clipboard, environment, tmux)),
    )


def check_size(size: tuple[int, int]) -> list[Finding]:
    """Is there room for every screen?"""
    columns, rows = size
    if columns < SMALLEST[0] or rows < SMALLEST[1]:
        return [warn("terminal size", f"{columns}x{rows}: some columns do not fit", f"make it at least {SMALLEST[0]}x{SMALLEST[1]}")]
    return [good("terminal size", f"{columns}x{rows}")]


def check_colours(environment: Mapping[str, str]) -> list[Finding]:
    """How many colours does it have?"""
    if environment.get("NO_COLOR"):
        return [good("colours", "off, as NO_COLOR says: glyphs and words carry every state")]
    term = environment.get("TERM", "")
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return [good("colours", f"16 million ({term})")]
    if "256color" in term or "direct" in term:
        hint = "if the terminal has more: `export COLORTERM=truecolor`"
        return [good("colours", f"256 ({term}); {hint}")]
    return [
        warn(
            "colours",
            f"16 at most ({term or 'TERM is not set'})",
            "`:theme ansi` uses the terminal's own; else `export TERM=xterm-256color`",
        )
    ]


def check_characters(environment: Mapping[str, str]) -> list[Finding]:
    """Does it read UTF-8?"""
    locale = environment.get("LC_ALL") or environment.get("LC_CTYPE") or environment.get("LANG") or ""
    if "utf-8" in locale.lower() or "utf8" in locale.lower():
        return [good("characters", locale)]
    return [warn("characters", f"the locale is {locale or 'not set'}: bars and glyphs may be wrong", "`export LC_ALL=C.UTF-8`")]


def check_escape(environment: Mapping[str, str], tmux: str) -> list[Finding]:
    """How long is Escape held back?"""
    if not environment.get("TMUX"):
        return [good("escape key", "no tmux in between")]
    delay = _tmux(tmux, "show-options", "-sv", "escape-time")
    if delay is None or not delay.isdecimal():
        return [warn("escape key", "tmux does not say its escape-time", "`tmux set -s escape-time 10`")]
    if int(delay) > SLOW_ESCAPE:
        return [warn("escape key", f"tmux holds Escape for {delay} ms; q and backspace go back at once", "`tmux set -s escape-time 10`")]
    return [good("escape key", f"tmux holds it for {delay} ms")]


def check_clipboard(environment: Mapping[str, str], tmux: str) -> list[Finding]:
    """Which way does a copy go?"""
    far = " over ssh" if environment.get("SSH_CONNECTION") else ""
    if not environment.get("TMUX"):
        return [good("clipboard", f"OSC 52{far}, up to {OSC52_LIMIT // 1000} kB; longer copies become a file")]
    outer = _tmux(tmux, "show-options", "-sv", "set-clipboard")
    if outer is None:
        return [warn("clipboard", "tmux does not answer: copies go by OSC 52, which it may swallow", "`tmux set -s set-clipboard on`")]
    if outer == "off":
        hint = "`tmux set -s set-clipboard external`"
        return [warn("clipboard", f"tmux keeps copies in its buffer{far}: prefix ] pastes, the desk gets nothing", hint)]
    return [good("clipboard", f"tmux load-buffer -w{far}: its buffer, and by set-clipboard {outer} the terminal's")]


def _tmux(tmux: str, *arguments: str) -> str | None:
    try:
        done = subprocess.run([tmux, *arguments], capture_output=True, text=True, timeout=TMUX_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
