"""Waiting for a blocking call without blocking the screen, in a thread that nobody has to wait for at the end.

Textual's own thread workers run in the event loop's pool, and leaving the loop waits for that pool: a request into a dead link
would keep the console from quitting. These threads are daemons.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

ResultT = TypeVar("ResultT")


async def in_thread(function: Callable[[], ResultT], *, name: str = "console call") -> ResultT:
    """The result of `function()`, called in a thread of its own. Cancelling gives up waiting; the call itself runs on unheard."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[ResultT] = loop.create_future()

    def tell(callback: Callable[[], None]) -> None:
        # The loop may be closed: the console has quit meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(callback)

    def run() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            tell(partial(_fail, future, error))
        else:
            tell(partial(_finish, future, result))

    threading.Thread(target=run, name=name, daemon=True).start()
    return await future


def _finish(future: asyncio.Future[ResultT], result: ResultT) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[ResultT], error: BaseException) -> None:
    if not future.done():
        # A StopIteration cannot be set on a future; nothing of ours raises one on purpose.
        future.set_exception(error if not isinstance(error, StopIteration) else RuntimeError(repr(error)))
