"""The official clients that logs are read through, and the budget of reads that they share."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.cloudlog import LOOPBACK_CHANNEL_OPTIONS, grpc_target
from engine.cloudlog import open_client as open_sync_client
from engine.errors import ConfigurationError

READS_PER_MINUTE = 20
"""A third of the project's quota: two more consoles, or a person in the web console, must fit beside this one."""


class ReadBudget:
    """Never more than `per_minute` reads in any 60 seconds. Each reservation says how long to wait before the read.

    Args:
        per_minute: the limit.
        clock: monotonic seconds.
    """

    def __init__(self, per_minute: int = READS_PER_MINUTE, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reads: deque[float] = deque(maxlen=per_minute)
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take the next free read; returns the seconds to wait before it (0 for now)."""
        with self._lock:
            now = self._clock()
            full = len(self._reads) == self._reads.maxlen
            moment = max(now, self._reads[0] + 60.0) if full else now
            self._reads.append(moment)
        return moment - now


@dataclass(frozen=True, slots=True)
class LogClients:
    """The official clients, and the budget that all reads through them share."""

    sync: Any
    """`LoggingServiceV2Client`"""
    asynchronous: Any
    """`LoggingServiceV2AsyncClient`, or None where nothing is tailed."""
    budget: ReadBudget = field(default_factory=ReadBudget)


def make_clients(endpoint: str | None, *, local: bool = False) -> LogClients:
    """Clients for a server on this machine (`host:port`) or, without an endpoint, for the real service.

    To be called on the event loop that will tail.

    Raises:
        ConfigurationError: if the endpoint is not on this machine, or is missing in a local profile.
    """
    from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2AsyncClient

    if not endpoint:
        if local:
            raise ConfigurationError("the local profile has no logging endpoint", hint="start it: tickdeck local up")
        return LogClients(open_sync_client(None), LoggingServiceV2AsyncClient())
    target = grpc_target(endpoint)
    import grpc
    from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcAsyncIOTransport

    channel = grpc.aio.insecure_channel(target, options=LOOPBACK_CHANNEL_OPTIONS)
    transport = LoggingServiceV2GrpcAsyncIOTransport(channel=channel)
    return LogClients(open_sync_client(endpoint), LoggingServiceV2AsyncClient(transport=transport))
