"""The guard of the local profile: nothing leaves this machine. In processes of their own, because a guard cannot be undone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TRY = """
import asyncio, socket, sys
from engine.loopback import guard_from_environment
guard_from_environment()
def attempt(what):
    try:
        what()
    except Exception as error:
        return type(error).__name__
    return "through"
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
def http():
    import aiohttp
    async def go():
        async with aiohttp.ClientSession() as session:
            async with session.get("http://192.0.2.1:81/", timeout=aiohttp.ClientTimeout(total=2)):
                pass
    asyncio.run(go())
print(attempt(lambda: socket.create_connection(("127.0.0.1", port))))
print(attempt(lambda: socket.create_connection(("192.0.2.1", 81), timeout=0.2)))
print(attempt(lambda: socket.getaddrinfo("storage.googleapis.com", 443)))
print(attempt(http))
"""


@pytest.mark.parametrize(("setting", "expected"), [("1", ["through", "OutsideConnectionError", "OutsideConnectionError"])])
def test_a_guarded_process_reaches_this_machine_and_nothing_else(setting: str, expected: list[str]) -> None:
    environment = os.environ | {"TICKDECK_LOOPBACK_ONLY": setting}
    done = subprocess.run([sys.executable, "-c", TRY], env=environment, capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.split()
    assert lines[:3] == expected
    assert lines[3] != "through"


def test_a_host_that_is_let_through_does_not_open_the_door_for_others() -> None:
    code = (
        "import socket\nfrom engine.loopback import OutsideConnectionError, guard\nguard(['datasets.tardis.dev'])\n"
        "try:\n    socket.getaddrinfo('storage.googleapis.com', 443)\nexcept OutsideConnectionError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "refused"
