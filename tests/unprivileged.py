"""Runs a Python program that may not do what root may do to files, also where the tests run as root.

`python tests/unprivileged.py ARGUMENTS` becomes `python ARGUMENTS` without the capabilities that pass over file permissions (on
Linux; elsewhere as the user nobody). The user stays the same there: the interpreter may lie where only root can read.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

PR_CAPBSET_DROP = 24
CAPABILITIES = (1, 2, 3)
"""CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER (linux/capability.h)."""
NOBODY = 65_534


def unprivileged(*arguments: str) -> list[str]:
    """The argument list of a process that obeys file permissions."""
    return [sys.executable, str(Path(__file__)), *arguments]


def _drop() -> None:
    if os.geteuid() != 0:
        return
    if sys.platform != "linux":
        os.setuid(NOBODY)
        return
    library = ctypes.CDLL(None, use_errno=True)
    for capability in CAPABILITIES:
        if library.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "this root may not give up its capabilities")


if __name__ == "__main__":
    _drop()
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
