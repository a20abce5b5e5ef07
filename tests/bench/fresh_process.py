"""A measurement in a fresh process: what it printed, and what it took. One way for every benchmark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any


def measure(arguments: Sequence[str], *, python: bool = True) -> dict[str, Any]:
    """Run a program and take its last line as JSON, together with `wall_s` and `cpu_s` of the whole process.

    Args:
        arguments: behind the interpreter, or the whole command if not `python`. Then its output is thrown away.

    Raises:
        SystemExit: if it failed, naming it.
    """
    command = [sys.executable, *arguments] if python else list(arguments)
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    said: dict[str, Any] = json.loads(text.splitlines()[-1]) if python and text.strip() else {}
    return said | {"wall_s": time.perf_counter() - started, "cpu_s": usage.ru_utime + usage.ru_stime}
