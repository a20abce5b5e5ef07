"""A storage server in this process, on its own event loop, with the official client pointed at it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from requests.adapters import HTTPAdapter

from provision.local.serving import FAULTS_PATH, LOOPBACK, listen
from provision.local.storage import create_app
from provision.local.storage.app import REQUESTS_PATH


@dataclass
class Server:
    """Where the server is, and its control routes."""

    url: str
    root: Path
    wire: requests.Session

    def counts(self) -> dict[str, int]:
        return self.report()["counts"]

    def report(self) -> dict[str, Any]:
        return self.wire.get(self.url + REQUESTS_PATH).json()

    def arm(self, **order: Any) -> None:
        answer = self.wire.post(self.url + FAULTS_PATH, json=order)
        assert answer.status_code == 200, answer.text

    def struck(self) -> list[int]:
        return [fault["struck"] for fault in self.wire.get(self.url + FAULTS_PATH).json()["faults"]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    root = tmp_path / "storage"

    async def start() -> Any:
        return await listen(create_app(root, nonce="test"))

    runner, port = asyncio.run_coroutine_threadsafe(start(), loop).result()
    with requests.Session() as wire:
        yield Server(f"http://{LOOPBACK}:{port}", root, wire)
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., storage.Client]]:
    """Makes official clients for a server's URL."""
    clients: list[storage.Client] = []

    def make(url: str, project: str = "tick") -> storage.Client:
        client = storage.Client(project=project, credentials=AnonymousCredentials(), client_options={"api_endpoint": url})
        client._http.mount("http://", HTTPAdapter(pool_connections=64, pool_maxsize=64))
        # For its traces the client asks for buckets in threads of its own: they would outlive the server and the test.
        client._bucket_metadata_cache = None
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(server: Server, connect: Callable[..., storage.Client]) -> storage.Client:
    return connect(server.url)


@pytest.fixture
def bucket(client: storage.Client) -> storage.Bucket:
    return client.create_bucket("lake")
