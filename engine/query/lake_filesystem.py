"""Objects of the data bucket as files that DuckDB can read by ranges, over the one storage client.

Their virtual paths are in the Hive form (`lake:///trades/day=2024-05-01/venue=binance/BTCUSDT.parquet`), so DuckDB itself leaves out
files by day and venue, also where the query says so in ways that `constraints` does not read. One generation of each object is read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem  # type: ignore[import-untyped]

from engine.errors import StoreError
from engine.query.lake_files import LakeFile
from engine.store import ObjectInfo, Store

PROTOCOL = "lake"
BLOCK_BYTES = 256 << 10
"""Objects are read in blocks of so many bytes, neighbours together: a column of a row group is a few of them."""

KEPT_BLOCKS = 512
"""Blocks that stay in memory, the last used ones: DuckDB opens a file several times."""


class LakeFilesystem(AbstractFileSystem):  # type: ignore[misc]
    """Just the files that it was told of. Counts what is read."""

    protocol = PROTOCOL
    cachable = False

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._files: dict[str, ObjectInfo] = {}
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self.requests = 0
        self.bytes_read = 0

    def add(self, view: str, files: Iterable[LakeFile]) -> list[str]:
        """Make files of a view known; returns their paths."""
        paths = []
        for file in files:
            name = quote(file.symbol or file.info.name.rsplit("/", 1)[-1].removesuffix(".parquet"), safe="")
            path = f"/{view}/day={file.day.isoformat()}/venue={file.venue}/{name}.parquet"
            self._files[path] = file.info
            paths.append(f"{PROTOCOL}://{path}")
        return paths

    def _find(self, path: str) -> tuple[str, ObjectInfo]:
        name = "/" + str(self._strip_protocol(path)).lstrip("/")
        if name not in self._files:
            raise FileNotFoundError(path)
        return name, self._files[name]

    def glob(self, path: str, **_: Any) -> list[str]:
        """The one file of that path: nothing is searched for here."""
        return [self._find(path)[0]]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size and kind."""
        name, found = self._find(path)
        return {"name": name, "size": found.size, "type": "file"}

    def modified(self, path: str) -> Any:
        """When the object was written, UTC."""
        return self._find(path)[1].updated

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode != "rb":
            raise PermissionError("the lake is read only")
        return _LakeObject(self, path, mode, block_size=BLOCK_BYTES, cache_type="none")

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Bytes of an object, `end` exclusive.

        Raises:
            StoreError: if that generation is gone.
        """
        name, found = self._find(path)
        first, last = start // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        with self._lock:
            held = {number: self._blocks[name, number] for number in range(first, last + 1) if (name, number) in self._blocks}
        for run in _runs(number for number in range(first, last + 1) if number not in held):
            held |= self._fetch(found, run)
        whole = b"".join(held[number] for number in range(first, last + 1))
        with self._lock:
            for number in range(first, last + 1):
                self._blocks[name, number] = held[number]
                self._blocks.move_to_end((name, number))
            while len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        return whole[start - first * BLOCK_BYTES : end - first * BLOCK_BYTES]

    def _fetch(self, found: ObjectInfo, run: range) -> dict[int, bytes]:
        """Neighbouring blocks in one request."""
        begin, end = run.start * BLOCK_BYTES, min(run.stop * BLOCK_BYTES, found.size)
        data = self._store.get_range(found.name, begin, end, generation=found.generation)
        if data is None:
            raise StoreError(f"{found.name} was replaced while it was read", hint="run the query again")
        with self._lock:
            self.requests += 1
            self.bytes_read += len(data)
        return {number: data[number * BLOCK_BYTES - begin : (number + 1) * BLOCK_BYTES - begin] for number in run}


def _runs(numbers: Iterable[int]) -> Iterator[range]:
    """Neighbouring numbers as ranges."""
    run: range | None = None
    for number in numbers:
        if run is not None and number == run.stop:
            run = range(run.start, number + 1)
            continue
        if run is not None:
            yield run
        run = range(number, number + 1)
    if run is not None:
        yield run


class _LakeObject(AbstractBufferedFile):  # type: ignore[misc]
    def _fetch_range(self, start: int, end: int) -> bytes:
        end = min(end, self.size)
        data: bytes = self.fs.read_range(self.path, start, end) if end > start else b""
        return data
