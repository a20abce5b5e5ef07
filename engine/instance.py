"""Who this machine is, from the metadata server that every GCE instance (and every local VM) has."""

from __future__ import annotations

import asyncio
import os

import aiohttp

from engine.clock import monotonic
from engine.errors import ConfigurationError

HEADERS = {"Metadata-Flavor": "Google"}
DEFAULT_HOST = "metadata.google.internal"
CONNECT_SECONDS = 2.0
WAIT_SECONDS = 60
"""How long one hanging question about preemption lasts."""
PAUSE_SECONDS = 1.0
"""Between two questions about preemption where the server cannot say, or does not wait."""


def metadata_host() -> str:
    """Host (and port) of the metadata server; a local VM names its own in the environment, as Google's libraries read it."""
    return os.environ.get("GCE_METADATA_HOST", "")


class Instance:
    """The metadata server of this machine."""

    def __init__(self, session: aiohttp.ClientSession, host: str = "") -> None:
        self._session = session
        self._base = f"http://{host or metadata_host() or DEFAULT_HOST}/computeMetadata/v1/"

    async def get(self, path: str) -> str | None:
        """A value such as `instance/name`, or None if there is no such key.

        Raises:
            ConfigurationError: if this machine has no metadata server.
        """
        try:
            async with self._session.get(
                self._base + path, headers=HEADERS, timeout=aiohttp.ClientTimeout(total=10, sock_connect=CONNECT_SECONDS)
            ) as response:
                if response.status == 404:
                    return None
                response.raise_for_status()
                return await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ConfigurationError(
                f"this machine has no metadata server ({type(error).__name__})",
                hint="outside a VM give --run, --vm and --shard by hand",
            ) from error

    async def attribute(self, name: str) -> str:
        """A metadata item of the instance, or "" if it has none of that name."""
        return await self.get(f"instance/attributes/{name}") or ""

    async def wait_for_preemption(self) -> None:
        """Return once the instance is being preempted, or if it is already; asks again for ever while the server cannot say.

        The first question is answered at once. Each later one names the ETag of the answer before it, so that the server answers at
        once too if the value has changed since: without it the server waits for the *next* change, and one that fell between two
        questions would be missed (Compute Engine docs, "View and query VM metadata", "Wait for change with ETags").
        """
        seen = ""
        while True:
            asked = monotonic()
            value, etag = await self._ask_preempted(seen)
            if value == "TRUE":
                return
            if not etag or (seen and monotonic() - asked < PAUSE_SECONDS):
                await asyncio.sleep(PAUSE_SECONDS)
            seen = etag

    async def _ask_preempted(self, seen: str) -> tuple[str, str]:
        """The flag and its ETag; once it is another than `seen`, or after a while. Both empty if the server cannot say."""
        waiting = {"wait_for_change": "true", "last_etag": seen, "timeout_sec": str(WAIT_SECONDS)} if seen else {}
        try:
            async with self._session.get(
                self._base + "instance/preempted",
                params=waiting,
                headers=HEADERS,
                timeout=aiohttp.ClientTimeout(total=WAIT_SECONDS + 15, sock_connect=CONNECT_SECONDS),
            ) as response:
                if response.status == 200:
                    return (await response.text()).strip(), response.headers.get("ETag", "")
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        return "", ""
