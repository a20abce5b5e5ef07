"""The official clients that logs are read through, and the budgets of reads that they share."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
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


class ReadBudgets:
    """One budget for each project of each service: the quota is the project's, whoever reads and through however many clients."""

    def __init__(self, per_minute: int = READS_PER_MINUTE, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._budgets: dict[tuple[str, str], ReadBudget] = {}
        self._lock = threading.Lock()

    def of(self, service: str, project: str) -> ReadBudget:
        """The budget of a project at a service (its endpoint; empty for the real one)."""
        with self._lock:
            return self._budgets.setdefault((service, project), ReadBudget(self._per_minute, self._clock))


PROCESS_BUDGETS = ReadBudgets()
"""Of this process: all clients that are made here draw on it."""


@dataclass(frozen=True, slots=True)
class LogClients:
    """The official clients, and the budgets that all reads through them share."""

    sync: Any
    """`LoggingServiceV2Client`"""
    asynchronous: Any
    """`LoggingServiceV2AsyncClient`, or None where nothing is tailed."""
    service: str = ""
    """Which service they speak to: its endpoint; empty for the real one."""
    budgets: ReadBudgets = PROCESS_BUDGETS

    def reserve(self, project: str) -> float:
        """Take the project's next free read; returns the seconds to wait before it."""
        return self.budgets.of(self.service, project).reserve()


def make_clients(endpoint: str | None, *, local: bool = False, tailing: bool = True) -> LogClients:
    """Clients for a server on this machine (`host:port`) or, without an endpoint, for the real service.

    With `tailing` to be called on the event loop that will tail; without it there is no client to tail with, and no loop is needed.

    Raises:
        ConfigurationError: if the endpoint is not on this machine, or is missing in a local profile.
    """
    from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2AsyncClient

    if not endpoint:
        if local:
            raise ConfigurationError("the local profile has no logging endpoint", hint="start it: tickdeck local up")
        return LogClients(open_sync_client(None), LoggingServiceV2AsyncClient() if tailing else None)
    target = grpc_target(endpoint)
    if not tailing:
        return LogClients(open_sync_client(endpoint), None, target)
    import grpc
    from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcAsyncIOTransport

    channel = grpc.aio.insecure_channel(target, options=LOOPBACK_CHANNEL_OPTIONS)
    transport = LoggingServiceV2GrpcAsyncIOTransport(channel=channel)
    return LogClients(open_sync_client(endpoint), LoggingServiceV2AsyncClient(transport=transport), target)
