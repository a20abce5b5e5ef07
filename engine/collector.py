"""The garbage collector, held back while very many objects are made that all stay, or that go by themselves.

Of those that stay it walks all again at each quarter that they grow by, and frees nothing: a third of the time of packing a large plan, a
seventh of judging years of cells, a fifteenth of importing modules. Of those that go it finds hardly any: a fifteenth of the CPU of small
files on their way. Of the whole process, so a module of its own: who holds it back at the same time is counted.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

EVERY = (10_000, 20, 50)
"""Instead of 700, 10 and 10: objects more than before at which the young are looked through, and how often those before the old ones."""

_lock = threading.Lock()
_holders = 0
_seldom: list[tuple[int, int, int]] = []
"""What the thresholds were, once for each who has them raised."""


@contextmanager
def collector_held() -> Iterator[None]:
    """No collection as long as anybody is inside; afterwards as it was."""
    global _holders
    with _lock:
        is_ours = _holders > 0 or gc.isenabled()
        if is_ours:
            _holders += 1
            gc.disable()
    try:
        yield
    finally:
        if is_ours:
            with _lock:
                _holders -= 1
                if not _holders:
                    gc.enable()


@contextmanager
def collector_spared() -> Iterator[None]:
    """No collection as long as anybody is inside, and none afterwards of what is there by then: for imports."""
    with collector_held():
        yield
        gc.freeze()


@contextmanager
def collector_seldom() -> Iterator[None]:
    """Collections `EVERY` so often, and none of what is there already, as long as anybody is inside; afterwards as it was."""
    with _lock:
        if not _seldom:
            gc.freeze()
        _seldom.append(gc.get_threshold())
        gc.set_threshold(*EVERY)
    try:
        yield
    finally:
        with _lock:
            usual = _seldom.pop()
            if not _seldom:
                gc.set_threshold(*usual)
                gc.unfreeze()
