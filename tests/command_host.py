"""Both command lines in one process that stays: a table of a hundred commands need not start Python a hundred times.

As a program it reads one command a line from stdin and answers with what a shell would have seen. `CommandHost` is the other end.
It goes through `run_command`, as both programs do; what ends a program in a traceback ends the command here in one.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a command came to."""

    code: int
    out: str
    err: str


class CommandHost:
    """A process that runs commands one after the other. Use as a context manager."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        argv = [sys.executable, "-m", "tests.command_host"]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | dict(environment))

    def __enter__(self) -> CommandHost:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)

    def run(self, program: str, *arguments: str, **environment: str) -> Answer:
        """Run `engine ...` or `tickdeck ...` with more environment variables."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([program, arguments, environment]), file=self._process.stdin, flush=True)
        return Answer(**json.loads(self._process.stdout.readline()))


def _run(program: str, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    from engine.cli import command as engine
    from engine.cli import run_command

    if program == "tickdeck":
        from console.cli import command as tickdeck
    before = dict(os.environ)
    os.environ.update(environment)
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = int(run_command(engine if program == "engine" else tickdeck, arguments, program=program))
    except BaseException:  # noqa: BLE001 - whatever ends a program with a traceback
        code = 1
        err.write(traceback.format_exc())
    finally:
        os.environ.clear()
        os.environ.update(before)
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(_run(*json.loads(line))), flush=True)
