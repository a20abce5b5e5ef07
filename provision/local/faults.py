"""Fault switches of the local servers: which faults are armed, which request one strikes, how often each has struck.

Pure matching and counting, apart from any protocol: what a fault *does* is the business of the server that takes it.
The routes at the end give every server the same control surface at `FAULTS_PATH`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from provision.local.serving import FAULTS_PATH

Setting = type[bool] | type[int] | type[float] | type[str]
"""What a setting of a fault may hold. `float` accepts whole numbers too."""


class FaultError(ValueError):
    """A fault that cannot be armed as ordered. The text says what would be accepted."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One fault a server knows, with the settings it needs and the ones it may have."""

    name: str
    required: Mapping[str, Setting] = field(default_factory=dict)
    optional: Mapping[str, Setting] = field(default_factory=dict)
    does: str = ""
    """What it does to the request it strikes, a few words for `tickdeck local chaos list --kinds`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault as it strikes one request."""

    name: str
    settings: Mapping[str, Any]


@dataclass(slots=True)
class _Armed:
    fault: Fault
    method: str | None
    match: str
    count: int | None
    skip: int
    seen: int = 0
    struck: int = 0

    def strikes(self, method: str, target: str) -> bool:
        if self.count is not None and self.struck >= self.count:
            return False
        if self.method is not None and self.method != method.upper():
            return False
        if self.match not in target:
            return False
        self.seen += 1
        if self.seen <= self.skip:
            return False
        self.struck += 1
        return True

    def to_json(self) -> dict[str, Any]:
        return {
            "fault": self.fault.name,
            **self.fault.settings,
            "method": self.method,
            "match": self.match,
            "count": self.count,
            "skip": self.skip,
            "struck": self.struck,
        }


class FaultSwitches:
    """The faults armed on one server.

    An order is a JSON object: `fault` names the kind; `count` is how often it strikes (absent: until disarmed); `skip` lets
    that many matching requests pass first; `method` and `match` (a substring of the target) narrow it down; the rest are
    the kind's own settings. A fault whose strikes are used up stays listed, so that its count can be read.
    """

    def __init__(self, kinds: Iterable[FaultKind]) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self._armed: list[_Armed] = []

    def arm(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Arm one fault and return it as `to_json` would list it.

        Raises:
            FaultError: if the kind or a setting is unknown, missing or of the wrong type.
        """
        rest = dict(order)
        name = rest.pop("fault", None)
        kind = self._kinds.get(name) if isinstance(name, str) else None
        if kind is None:
            raise FaultError(f"unknown fault {name!r}; this server knows {', '.join(sorted(self._kinds))}")
        method = _take_setting(rest, "method", str)
        match = _take_setting(rest, "match", str) or ""
        count = _take_setting(rest, "count", int)
        skip = _take_setting(rest, "skip", int) or 0
        if (count is not None and count < 1) or skip < 0:
            raise FaultError("count must be at least 1 and skip at least 0")
        known = {**kind.required, **kind.optional}
        settings: dict[str, Any] = {}
        for key in list(rest):
            if key not in known:
                accepted = ", ".join([*known, "method", "match", "count", "skip"])
                raise FaultError(f"fault {name!r} has no setting {key!r}; it accepts {accepted}")
            settings[key] = _take_setting(rest, key, known[key])
        missing = [key for key in kind.required if settings.get(key) is None]
        if missing:
            raise FaultError(f"fault {name!r} needs {', '.join(missing)}")
        fault = Fault(kind.name, settings)
        armed = _Armed(fault, method.upper() if method else None, match, count, skip)
        self._armed.append(armed)
        return armed.to_json()

    def disarm(self, name: str | None = None) -> int:
        """Disarm every fault, or those of one kind. Returns how many were listed."""
        kept = [armed for armed in self._armed if name is not None and armed.fault.name != name]
        removed = len(self._armed) - len(kept)
        self._armed = kept
        return removed

    def take(self, *names: str, method: str, target: str, having: Mapping[str, Any] | None = None) -> Fault | None:
        """The oldest armed fault of one of these kinds, with these settings, that strikes this request, counted as one strike."""
        wanted = (having or {}).items()
        for armed in self._armed:
            if armed.fault.name in names and wanted <= armed.fault.settings.items() and armed.strikes(method, target):
                return armed.fault
        return None

    def to_json(self) -> list[dict[str, Any]]:
        """Every fault armed since the last disarm, with `struck`: how often it has struck."""
        return [armed.to_json() for armed in self._armed]


def _take_setting(order: dict[str, Any], key: str, wanted: Setting) -> Any:
    value = order.pop(key, None)
    if value is None:
        return None
    accepted = (int, float) if wanted is float else (wanted,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
        raise FaultError(f"{key} must be of type {wanted.__name__}, not {value!r}")
    if isinstance(value, (int, float)) and value < 0:
        raise FaultError(f"{key} must not be negative, not {value!r}")
    return value


def add_fault_routes(app: web.Application, switches: FaultSwitches) -> None:
    """Add GET (list), POST (arm) and DELETE (disarm all, or `?fault=name`) at `FAULTS_PATH` to `app`."""

    async def list_faults(_request: web.Request) -> web.Response:
        return web.json_response({"faults": switches.to_json()})

    async def arm_fault(request: web.Request) -> web.Response:
        try:
            order = await request.json()
        except json.JSONDecodeError as error:
            return web.json_response({"error": f"not JSON: {error}"}, status=400)
        if not isinstance(order, dict):
            return web.json_response({"error": "a fault is a JSON object"}, status=400)
        try:
            return web.json_response(switches.arm(order))
        except FaultError as error:
            return web.json_response({"error": str(error)}, status=400)

    async def disarm_faults(request: web.Request) -> web.Response:
        return web.json_response({"disarmed": switches.disarm(request.query.get("fault"))})

    app.router.add_get(FAULTS_PATH, list_faults)
    app.router.add_post(FAULTS_PATH, arm_fault)
    app.router.add_delete(FAULTS_PATH, disarm_faults)
