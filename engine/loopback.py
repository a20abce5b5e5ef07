"""A guard for the local profile: this process may talk to this machine only.

Endpoints are checked where clients are made; this catches what slips past them (a client library that falls back to the real
service). It hears of every connection that Python code opens, through `sys.addaudithook`. Native code (gRPC) opens its own:
refusing proxy variables cover it, because gRPC has no other way out when its target is loopback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, MutableMapping
from urllib.parse import urlsplit

from engine.errors import ConfigurationError

VARIABLE = "TICKDECK_LOOPBACK_ONLY"
"""Set to 1 (or to a comma-separated list of hosts that are let through as well) it guards an engine process."""

REFUSING_PROXY = "http://127.0.0.1:9"
"""Port 9 (discard) is closed everywhere: what honours a proxy gets nowhere."""

_LOOPBACK = ("127.", "::1", "localhost")
_allowed: set[str] | None = None


class OutsideConnectionError(OSError):
    """Something tried to leave this machine in the local profile."""


def guard(allowed_hosts: Iterable[str] = ()) -> None:
    """From now on refuse connections and name look-ups beyond this machine, except for `allowed_hosts`. Cannot be undone."""
    global _allowed
    if _allowed is None:
        sys.addaudithook(_audit)
    _allowed = set(allowed_hosts)


def guard_from_environment() -> None:
    """Apply `guard` if the environment asks for it."""
    value = os.environ.get(VARIABLE, "")
    if value:
        guard(host for host in value.split(",") if host != "1")


def require_loopback(endpoint: str) -> str:
    """Return `endpoint`, refusing any host that is not this machine: an emulator elsewhere is a mistake.

    Raises:
        ConfigurationError: naming the endpoint.
    """
    host = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").hostname
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise ConfigurationError(
            f"{endpoint!r} is not on this machine",
            hint="an emulator endpoint must be on 127.0.0.1; unset it for the real service",
        )
    return endpoint


def close_proxies(environment: MutableMapping[str, str]) -> None:
    """Point every proxy variable at a closed port, and let loopback past it."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
        environment[name] = environment[name.upper()] = REFUSING_PROXY
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        environment[name] = "127.0.0.1,localhost,::1"


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    allowed = _allowed or set()
    if event == "socket.getaddrinfo":
        host = _text(arguments[0])
        refused = bool(host) and not host.startswith(_LOOPBACK) and host not in allowed
    elif event == "socket.connect":
        address = arguments[1]
        host = _text(address[0]) if isinstance(address, tuple) else ""
        # Where some hosts are let through their addresses are not ours to judge: the look-up of the name was.
        refused = bool(host) and not host.startswith(_LOOPBACK) and not allowed
    else:
        return
    if refused:
        raise OutsideConnectionError(f"the local profile does not let {host!r} through")


def _text(host: object) -> str:
    if isinstance(host, bytes):
        return host.decode("ascii", "replace")
    return host if isinstance(host, str) else ""
