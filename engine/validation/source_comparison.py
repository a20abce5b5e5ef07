"""What the source serves of a file by now, for comparison with what was committed.

Separate from `engine.validation.comparing`, which works in threads and knows no event loop. A source lives in one: here is the bridge.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from engine.clock import Clock, utc_now
from engine.conversion.gzip_members import GzipError, GzipMembers
from engine.errors import SourceError
from engine.model import File, Outcome
from engine.source import Source
from engine.spool import Spool
from engine.store import Store
from engine.validation.comparing import CellResult, Question, Validation, validate

FILE_SECONDS = 1800.0
"""Deadline of one file, retries included."""

SPOOL_BYTES = 8 << 20
"""A body that is longer waits in a temporary file."""


async def fetch_fingerprint(source: Source, file: File) -> str:
    """Fetch a file and tell its fingerprint; "" if the source has no such file.

    Raises:
        SourceError: if no sound file came.
        NotPermitted: if the source refuses the key.
    """
    spool = Spool(memory_bytes=SPOOL_BYTES)
    try:
        fetched = await source.fetch(file, spool, deadline=FILE_SECONDS)
        if fetched.outcome is Outcome.NOT_FOUND:
            return ""
        if fetched.outcome is not None:
            raise SourceError(f"{file} cannot be compared with the source: {fetched.detail}", hint="run again later")
        return await asyncio.to_thread(_fingerprint, file, spool)
    finally:
        spool.close()


def _fingerprint(file: File, spool: Spool) -> str:
    members = GzipMembers(spool.open().read)
    try:
        for _ in members:
            pass
    except GzipError as error:
        raise SourceError(f"{file} cannot be compared with the source: {error}", hint="run again later") from error
    return str(members.fingerprint)


async def validate_with_source(
    opened: AbstractAsyncContextManager[Source],
    data: Store,
    state: Store,
    question: Question,
    *,
    on_cell: Callable[[CellResult], None] = lambda _result: None,
    clock: Clock = utc_now,
) -> Validation:
    """As `engine.validation.comparing.validate`, with a source to compare with."""
    stopped = threading.Event()
    async with opened as source:
        loop = asyncio.get_running_loop()

        def ask(file: File) -> str:
            return asyncio.run_coroutine_threadsafe(fetch_fingerprint(source, file), loop).result()

        try:
            return await asyncio.to_thread(validate, data, state, question, ask_source=ask, on_cell=on_cell, clock=clock, stopped=stopped)
        except asyncio.CancelledError:
            stopped.set()
            raise
