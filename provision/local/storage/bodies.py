"""Object bodies as files: one file for each generation, written beside its place and renamed into it.

Bytes are checksummed on their way to the disk and never held whole.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import google_crc32c

QUANTUM = 256 * 1024
"""Bytes of an unfinished upload are kept in multiples of this, as Cloud Storage does."""

_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Digest:
    """Size and checksums of a body."""

    size: int
    crc32c: str
    """Base64 of the four big-endian bytes."""
    md5: str | None
    """Base64; None for a body composed of others."""


class Incoming:
    """A body on its way in. Whole quanta go to the file; the rest waits in memory for more or for the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept = 0
        """Bytes in the file: what survives a cut."""
        self._crc32c = google_crc32c.Checksum()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._file: BinaryIO | None = None

    @property
    def size(self) -> int:
        """Bytes received."""
        return self.kept + self._pending_size

    @classmethod
    async def reopen(cls, path: Path) -> Incoming:
        """Take up an unfinished body that an earlier process left, from its last whole quantum."""
        incoming = cls(path)
        if path.exists():
            await asyncio.to_thread(incoming._take_up)
        return incoming

    def _take_up(self) -> None:
        kept = self.path.stat().st_size // QUANTUM * QUANTUM
        os.truncate(self.path, kept)
        with self.path.open("rb") as file:
            while chunk := file.read(_COPY_BYTES):
                self._add(chunk)

    async def write(self, chunk: bytes) -> None:
        """Take more bytes."""
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        if self._pending_size >= QUANTUM:
            joined = b"".join(self._pending)
            whole = len(joined) // QUANTUM * QUANTUM
            rest = joined[whole:]
            self._pending = [rest] if rest else []
            self._pending_size = len(rest)
            await asyncio.to_thread(self._append, joined[:whole])

    def drop_pending(self) -> None:
        """Forget what is not in the file yet: the sender will send it again."""
        self._pending.clear()
        self._pending_size = 0

    def finish(self) -> Digest:
        """Write what is pending, close the file and say what is in it."""
        # Less than a quantum: cheaper to write here than to hand to a thread.
        self._append(b"".join(self._pending))
        self.drop_pending()
        self.close()
        return Digest(self.kept, _encode(self._crc32c.digest()), _encode(self._md5.digest()))

    def close(self) -> None:
        """Close the file, keeping it."""
        if self._file:
            self._file.close()
            self._file = None

    def discard(self) -> None:
        """Close and remove the file. Harmless after the body was taken over."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._file = self.path.open("ab")
        self._file.write(data)
        # What is counted as kept must be in the operating system's hands: kill -9 takes this process's buffers along.
        self._file.flush()
        self._add(data)

    def _add(self, data: bytes) -> None:
        self._crc32c.update(data)
        self._md5.update(data)
        self.kept += len(data)


class Bodies:
    """The bodies under one folder."""

    def __init__(self, root: Path) -> None:
        self._final = root / "bodies"
        self._folders: set[Path] = set()
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._final.mkdir(exist_ok=True)

    def path(self, generation: int) -> Path:
        """Where the body of a generation is. 256 folders keep each of them small."""
        return self._final / f"{generation % 256:02x}" / str(generation)

    def session_path(self, session_id: str) -> Path:
        """Where the unfinished body of a resumable upload is."""
        return self._incoming / f"session-{session_id}"

    def receive(self) -> Incoming:
        """Begin a new body."""
        return Incoming(self._incoming / f"part-{uuid.uuid4().hex}")

    def adopt(self, incoming: Path, generation: int) -> None:
        """Rename a received file into its place."""
        incoming.replace(self._new_path(generation))

    def link(self, source: int, generation: int) -> None:
        """Give another generation the same body, without copying where the file system allows it."""
        target = self._new_path(generation)
        try:
            os.link(self.path(source), target)
        except OSError:
            shutil.copyfile(self.path(source), target)

    def _new_path(self, generation: int) -> Path:
        path = self.path(generation)
        if path.parent not in self._folders:
            path.parent.mkdir(exist_ok=True)
            self._folders.add(path.parent)
        return path

    def open(self, generation: int) -> BinaryIO:
        """Open a body for reading."""
        return self.path(generation).open("rb", buffering=0)

    def discard(self, generation: int) -> None:
        """Remove a body that no object refers to any more. Readers that have it open keep it."""
        self.path(generation).unlink(missing_ok=True)

    async def concatenate(self, sources: Iterable[BinaryIO]) -> tuple[Incoming, Digest]:
        """Join open bodies into a new one. It has no MD5."""
        incoming = self.receive()

        def join() -> Digest:
            for source in sources:
                while chunk := source.read(_COPY_BYTES):
                    incoming._append(chunk)
            return incoming.finish()

        digest = await asyncio.to_thread(join)
        return incoming, Digest(digest.size, digest.crc32c, None)

    def sweep_incoming(self, open_sessions: set[str]) -> None:
        """Remove what uploads left that can never be finished."""
        kept = {self.session_path(session).name for session in open_sessions}
        for path in self._incoming.iterdir():
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def sweep(self, live: set[int], before: int) -> None:
        """Remove bodies older than generation `before` that no live object has: a kill may leave them behind."""
        for folder in self._final.iterdir():
            for path in folder.iterdir():
                with suppress(ValueError):
                    generation = int(path.name)
                    if generation < before and generation not in live:
                        path.unlink(missing_ok=True)


def _encode(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
