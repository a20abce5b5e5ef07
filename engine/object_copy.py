"""A copy of one object on this machine's disk, read in ranges: memory does not depend on its size."""

from __future__ import annotations

import base64
from typing import IO

from engine.errors import StoreError
from engine.store import Store

PIECE_BYTES = 8 << 20
"""An object is read in ranges of so many bytes."""


def copy_object(store: Store, name: str, *, size: int, generation: int, copy: IO[bytes]) -> str | None:
    """Copy one generation of an object into an open file.

    Returns:
        The CRC-32C of what was read, as the bucket writes it; None if that generation is gone.

    Raises:
        StoreError, NotPermitted, ConfigurationError: of the bucket; StoreError also if the disk has no room.
    """
    import google_crc32c

    checksum = google_crc32c.Checksum()
    for start in range(0, size, PIECE_BYTES):
        piece = store.get_range(name, start, min(size, start + PIECE_BYTES), generation=generation)
        if piece is None:
            return None
        checksum.update(piece)
        try:
            copy.write(piece)
            copy.flush()
        except OSError as error:
            raise StoreError(f"cannot keep {name} while it is read: {error}", hint="free space in TMPDIR") from error
    return base64.b64encode(checksum.digest()).decode("ascii")
