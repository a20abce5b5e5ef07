"""Log entries on disk: one append-only file, so that they survive a restart of the server.

A frame is a length, a CRC-32 and the serialised `LogEntry`. Each append is one unbuffered write: a killed server loses at
most the frame it was writing, and the torn end is cut off at the next start. Nothing is synced: a local cloud need not
survive a power cut. The file is rewritten when it holds about twice what is still kept, so it stays bounded.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

_HEADER = struct.Struct("<II")
_REWRITE_BYTES = 4 << 20
FILE_NAME = "entries.journal"


class Journal:
    """The file `entries.journal` in `root`. One process may hold it at a time; the caller sees to that."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._path = root / FILE_NAME
        self.frames = 0
        """Frames in the file, including those whose entries are kept no more."""
        self.bytes = 0
        """Length of the file."""
        self._file: BinaryIO | None = None

    def replay(self) -> Iterator[bytes]:
        """Every whole frame, oldest first; a torn or damaged end is cut off. To be exhausted before the first `append`."""
        data = self._path.read_bytes() if self._path.exists() else b""
        at = 0
        while at + _HEADER.size <= len(data):
            length, checksum = _HEADER.unpack_from(data, at)
            frame = data[at + _HEADER.size : at + _HEADER.size + length]
            if len(frame) < length or zlib.crc32(frame) != checksum:
                break
            at += _HEADER.size + length
            self.frames += 1
            yield frame
        self.bytes = at
        self._file = self._path.open("ab", buffering=0)
        self._file.truncate(at)

    def append(self, frames: Iterable[bytes]) -> None:
        """Add frames in one write."""
        assert self._file is not None
        parts: list[bytes] = []
        for frame in frames:
            parts += (_HEADER.pack(len(frame), zlib.crc32(frame)), frame)
        if parts:
            self._write(self._file, b"".join(parts))
            self.frames += len(parts) // 2

    def rewrite(self, kept: Iterable[bytes]) -> None:
        """Replace the file by one that holds `kept` only."""
        assert self._file is not None
        staged = self._path.with_suffix(".new")
        self.frames = self.bytes = 0
        with staged.open("wb", buffering=0) as file:
            parts: list[bytes] = []
            size = 0
            for frame in kept:
                parts += (_HEADER.pack(len(frame), zlib.crc32(frame)), frame)
                self.frames += 1
                size += len(frame)
                if size > _REWRITE_BYTES:
                    self._write(file, b"".join(parts))
                    parts, size = [], 0
            self._write(file, b"".join(parts))
        staged.replace(self._path)
        self._file.close()
        self._file = self._path.open("ab", buffering=0)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, file: BinaryIO, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(file.fileno(), view)  # may be short
            view = view[written:]
        self.bytes += len(data)
