"""A stand-in on a free port for each test, and a plain client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from provision.local.serving import LOOPBACK, listen
from provision.local.tardis.loading import load_scenario
from provision.local.tardis.scenario import Scenario
from provision.local.tardis.server import create_app
from tests.sample_data import sample_data

KEY = "right-key"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: CIMultiDict[str]
    body: bytes


@dataclass(frozen=True)
class StandIn:
    url: str
    session: aiohttp.ClientSession
    root: Path
    stop: Callable[[], Awaitable[None]]

    async def get(self, path: str, *, key: str | None = KEY, method: str = "GET", **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        async with self.session.request(method, self.url + path, headers=sent) as response:
            return Reply(response.status, CIMultiDict(response.headers), await response.read())

    async def json(self, path: str) -> Any:
        async with self.session.get(self.url + path, headers={"Authorization": f"Bearer {KEY}"}) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def arm(self, **order: Any) -> None:
        async with self.session.post(self.url + "/_tickdeck/faults", json=order) as response:
            assert response.status == 200, await response.text()


Start = Callable[..., Awaitable[StandIn]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    stops: list[Callable[[], Awaitable[None]]] = []

    async def start_one(
        scenario: str | Scenario = "tiny", *, root: Path | None = None, api_key: str | None = KEY, **changes: Any
    ) -> StandIn:
        options = {name: changes.pop(name) for name in ("folder", "pregenerate") if name in changes}
        played = load_scenario(scenario) if isinstance(scenario, str) else scenario
        place = root or tmp_path / "source"
        app = create_app(place, nonce="n", scenario=replace(played, **changes), api_key=api_key, **options)
        runner, port = await listen(app)
        session = aiohttp.ClientSession(auto_decompress=False)

        async def stop() -> None:
            await session.close()
            await runner.cleanup()

        stops.append(stop)
        return StandIn(f"http://{LOOPBACK}:{port}", session, place, stop)

    yield start_one
    for stop in stops:
        await stop()


@pytest.fixture
def genuine_data() -> Path:
    """Heads of the vendor's own files."""
    return sample_data()
