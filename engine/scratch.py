"""The temporary files of one process, in a folder of its own that does not outlive it, however it ends.

A process that is killed removes nothing, and a worker that is killed again and again would fill the disk it needs. So each
process holds a lock on its folder, which the system takes back when the process dies, and who starts next removes the folders that
nobody holds. A process id would not do: in a container every worker is number 1.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from engine.errors import ConfigurationError

PREFIX = "tickdeck-scratch-"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Scratch:
    """A folder for temporary files. `close` removes it; so does, after a kill, the next one that is opened beside it."""

    def __init__(self, parent: Path | None = None) -> None:
        """Make the folder in `parent`, by default the system's temporary folder, and remove what was left behind there.

        Raises:
            ConfigurationError: if no folder can be made there.
        """
        parent = parent or Path(tempfile.gettempdir())
        for left in parent.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                _remove_abandoned(left)
        try:
            self.path, self._lock = _make(parent)
        except OSError as error:
            raise ConfigurationError(
                f"no temporary folder can be made in {parent}: {error.strerror}", hint="free space there, or set TMPDIR"
            ) from error

    def close(self) -> None:
        """Remove the folder with all that is in it. More than once is fine."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _make(parent: Path) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        # Until it is locked, whoever sweeps takes it for abandoned: then it is gone, and the next try makes another.
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path, _FOLDER)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.is_dir():
                return path, lock
            os.close(lock)


def _remove_abandoned(path: Path) -> None:
    """Remove the folder unless a process holds it.

    Raises:
        OSError: if a process holds it, or it is not ours.
    """
    lock = os.open(path, _FOLDER)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
