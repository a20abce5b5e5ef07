"""Builds `engine/conversion/plain_cells.native` with the package, where there is a C compiler; without one all works, slower.

The library has no Python in it, so a wheel with it is for one platform and every Python.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "engine/conversion/plain_cells.c"
LIBRARY = "engine/conversion/plain_cells.native"
FLAGS = ("-std=c11", "-O3", "-fPIC", "-shared", "-fvisibility=hidden")


class CustomBuildHook(BuildHookInterface[Any]):
    """Compiles before files are gathered; an editable installation finds the library in place."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Add the library to the wheel, if it can be built."""
        root = Path(self.root)
        if self.target_name == "wheel" and build(root / SOURCE, root / LIBRARY):
            build_data["artifacts"].append(LIBRARY)
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def build(source: Path, library: Path) -> bool:
    """Compile, replacing what is there at once; where that does not work False, the reason on standard error, and no library: one that
    another machine left must not go in. `CC` and `CFLAGS` are honoured."""
    reason = _compile(source, library)
    if reason:
        library.unlink(missing_ok=True)
        sys.stderr.write(f"{reason}: conversions will take half as long again\n")
    return not reason


def _compile(source: Path, library: Path) -> str:
    named = shlex.split(os.environ.get("CC", ""))
    compiler = named or [name for name in ("cc", "gcc", "clang") if shutil.which(name)][:1]
    if not compiler:
        return "no C compiler"
    making = library.with_name(f".{library.name}.{os.getpid()}")
    command = [*compiler, *FLAGS, *shlex.split(os.environ.get("CFLAGS", "")), "-o", str(making), str(source)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            return f"{done.stderr.strip()[-1000:]}\n{shlex.join(command)} failed"
        making.replace(library)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{shlex.join(command)}: {error}"
    finally:
        making.unlink(missing_ok=True)
    return ""
