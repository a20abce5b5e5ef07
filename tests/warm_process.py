"""A program of ours in a process of its own that need not import a second's worth of libraries first.

A server that has imported them is forked for each run (`multiprocessing`'s fork server): arguments, environment, output, signals, exit
code and death are those of a process. What a start itself costs or imports is tested with processes that really start.
"""

from __future__ import annotations

import atexit
import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.warm_imports"])


def run_program(module: str, *arguments: str, environment: Mapping[str, str], seconds: float = 180.0) -> subprocess.CompletedProcess[str]:
    """Run `main` of a module as a program to its end, with exactly this environment, nothing to read, and both outputs kept.

    Raises:
        subprocess.TimeoutExpired: if it does not end; it is killed.
    """
    with tempfile.NamedTemporaryFile("w+") as out, tempfile.NamedTemporaryFile("w+") as err:
        process = _SERVER.Process(target=_become, args=(module, arguments, dict(environment), str(Path.cwd()), out.name, err.name))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([module, *arguments], seconds, _text(out), _text(err))
        code = process.exitcode
        process.close()
        return subprocess.CompletedProcess([module, *arguments], code, _text(out), _text(err))


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _become(module: str, arguments: tuple[str, ...], environment: dict[str, str], folder: str, out: str, err: str) -> None:
    """In the forked process: be that program, down to how it ends."""
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    tempfile.tempdir = None  # where that is was another environment's
    os.chdir(folder)
    for descriptor, name in ((0, os.devnull), (1, out), (2, err)):
        opened = os.open(name, os.O_RDWR)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    sys.argv = [module, *arguments]
    code: object = 0
    try:
        importlib.import_module(module).main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - whatever ends a program with a traceback
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.exit(code if isinstance(code, int) else 1 if code else 0)
