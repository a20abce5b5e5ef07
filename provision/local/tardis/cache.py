"""Generated files on disk: each made once, off the event loop, and kept across restarts."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from provision.local.tardis.datafile import DataFile, GenerationStopped


class FileCache:
    """A folder of generated files, named by what shapes their bytes, so that a changed scenario never meets old bytes.

    Threads suffice: numpy and zlib release the interpreter lock for most of the work.
    """

    def __init__(self, folder: Path, generators: int = 2) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(generators, thread_name_prefix="tardis-generate")
        self._stopping = threading.Event()
        self._making: dict[Path, asyncio.Future[None]] = {}
        self.generated = 0
        """Files made by this process, not found on disk."""

    def path(self, file: DataFile) -> Path:
        """Where the file is or will be."""
        name = f"{quote(file.listed.id, safe='')}-{file.fingerprint()[:16]}.csv.gz"
        return self._folder / file.listed.venue / file.data_type / file.day.isoformat() / name

    async def get(self, file: DataFile) -> Path:
        """Path of the finished file; makes it if need be. Any number of callers wait for one making.

        Raises:
            GenerationStopped: if the cache was closed meanwhile.
        """
        path = self.path(file)
        if path.exists():
            return path
        if path not in self._making:
            future = asyncio.get_running_loop().run_in_executor(self._pool, self._make, file, path)
            self._making[path] = future
            future.add_done_callback(lambda done: self._made(path, done))
        # A caller that gives up must not take the file from the others.
        await asyncio.shield(self._making[path])
        return path

    def close(self) -> None:
        """Stop making files; unfinished ones leave nothing behind."""
        self._stopping.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _made(self, path: Path, done: asyncio.Future[None]) -> None:
        self._making.pop(path, None)
        if not done.cancelled() and done.exception() is None:
            self.generated += 1

    def _make(self, file: DataFile, path: Path) -> None:
        if self._stopping.is_set():
            raise GenerationStopped
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            file.write(staged, self._stopping.is_set)
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)
