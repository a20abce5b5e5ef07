"""One verb of the engine as a process of its own, for a worker: what it does to its memory or its signals ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence

from engine.jobs import KEEP_VARIABLE

STOP_SECONDS = 20.0
"""A verb that is told to stop has so long; a preempted VM has 30 s in all."""

CHUNK = 1 << 16
LONGEST_LINE = 1 << 13

OWN_VARIABLES = ("TICKDECK_RUN", "TICKDECK_VM", KEEP_VARIABLE)
"""What the environment says about the worker and not about its jobs."""


async def run_verb(arguments: Sequence[str], stopped: asyncio.Event, hear: Callable[[str], None]) -> int:
    """Run `engine ARGUMENTS` to its end; its exit code, as a shell says it: 128 and the number of the signal that ended it.

    Args:
        arguments: the verb first. A list, never a line: nothing is ever split or expanded.
        stopped: once it is set, the process is ended: politely, then for good.
        hear: takes each line of its output, both streams in one.
    """
    environment = {key: value for key, value in os.environ.items() if key not in OWN_VARIABLES}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "engine.cli",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
    )
    stopper = asyncio.create_task(_stop_with_us(process, stopped))
    try:
        assert process.stdout is not None
        async for line in _lines(process.stdout):
            hear(line)
        code = await process.wait()
        return code if code >= 0 else 128 - code
    finally:
        stopper.cancel()
        await asyncio.gather(stopper, return_exceptions=True)


async def _stop_with_us(process: asyncio.subprocess.Process, stopped: asyncio.Event) -> None:
    await stopped.wait()
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(STOP_SECONDS)
        process.kill()


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """The lines of a process, cut at `LONGEST_LINE`: it may say anything."""
    rest = b""
    while chunk := await stream.read(CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield _text(line)
        if len(rest) > LONGEST_LINE:
            yield _text(rest)
            rest = b""
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line[:LONGEST_LINE].decode(errors="replace").rstrip("\r")
