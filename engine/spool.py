"""Where a body waits between its download and its conversion: in memory while it is small, in a temporary file beyond that."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import BinaryIO, cast

from engine.errors import StoreError


class Spool:
    """Bytes received so far. Used by one task at a time."""

    def __init__(self, *, memory_bytes: int, folder: Path | None = None) -> None:
        self._file = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=memory_bytes, dir=str(folder) if folder else None))  # noqa: SIM115
        self.length = 0

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            StoreError: if the disk is full.
        """
        try:
            self._file.write(data)
        except OSError as error:
            raise StoreError(f"cannot spool a download: {error}", hint="free space in TMPDIR, or lower MAX_CONCURRENT") from error
        self.length += len(data)

    def restart(self) -> None:
        """Forget what was received."""
        self._file.seek(0)
        self._file.truncate()
        self.length = 0

    def open(self) -> BinaryIO:
        """The bytes from the start, for one reader. The spool stays their owner."""
        self._file.seek(0)
        return self._file

    def read_all(self) -> bytes:
        """The bytes as a whole, for the quarantine."""
        return self.open().read()

    def close(self) -> None:
        """Free the memory or the file."""
        self._file.close()
