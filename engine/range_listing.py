"""A range of names that is listed again and again, in as few calls as there are thousands of objects.

Where the thousands begin only a listing tells: the first look goes through its pages one after the other, later ones ask for all of them
at once. What came in between makes a piece longer than a page, costs a call, and is known the next time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from engine.store import PAGE_OBJECTS, ObjectInfo, Store

IN_PARALLEL = 8


class RangeListing:
    """Listings of one bucket by (first name, inclusive; last, exclusive). Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._borders: dict[tuple[str, str], list[str]] = {}
        """Range -> where its pages began at the last look, without the first."""

    def look(self, start: str, end: str) -> list[ObjectInfo]:
        """All objects whose names lie in the range, in the order of names.

        Raises:
            StoreError, NotPermitted, ConfigurationError: as `Store.list`.
        """
        borders = self._borders.get((start, end), [])
        starts, ends = [start, *borders], [*borders, end]
        if borders:
            with ThreadPoolExecutor(min(IN_PARALLEL, len(starts))) as pool:
                found = list(chain.from_iterable(pool.map(self._piece, starts, ends)))
        else:
            found = self._piece(start, end)
        self._borders[start, end] = [info.name for info in found[PAGE_OBJECTS::PAGE_OBJECTS]]
        return found

    def _piece(self, start: str, end: str) -> list[ObjectInfo]:
        return list(self._store.list("", start=start, end=end))
