"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.local_servers import KEY, Lake, LocalServer, make_lake, started

_POINTERS = ("STORAGE_EMULATOR_HOST", "TICKDECK_BIGQUERY_ENDPOINT", "TARDIS_API_KEY", "TARDIS_API_URL", "TARDIS_DATASETS_URL")
for _name in (*_POINTERS, "TEXTUAL_THEME", "NO_COLOR"):
    os.environ.pop(_name, None)

# No test asserts a time, and machines stall: whatever takes long takes long.
settings.register_profile("tickdeck", deadline=None)
settings.load_profile("tickdeck")

STAND_IN = {"TICKDECK_STAND_IN_KEY": KEY}

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def servers_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers of this test session keep their state."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def storage_server(servers_root: Path) -> Iterator[LocalServer]:
    """One storage server for the session; tests take buckets of their own."""
    with started("storage", servers_root / "storage") as server:
        yield server


@pytest.fixture(scope="session")
def bigquery_server(servers_root: Path, storage_server: LocalServer) -> Iterator[LocalServer]:
    """One BigQuery server for the session, which reads the session's buckets; tests take datasets of their own."""
    with started("bigquery", servers_root / "bigquery", "--storage-ready", str(servers_root / "storage.ready")) as server:
        yield server


@pytest.fixture(scope="session")
def tiny_source(servers_root: Path) -> Iterator[LocalServer]:
    """A source with a few small sound files."""
    with started("tardis", servers_root / "tiny" / "tardis", "--scenario", "tiny", environment={"TICKDECK_STAND_IN_KEY": KEY}) as server:
        yield server


@pytest.fixture(scope="session")
def traps_source(servers_root: Path) -> Iterator[LocalServer]:
    """A source with one small file for each trap."""
    with started("tardis", servers_root / "traps" / "tardis", "--scenario", "traps", environment={"TICKDECK_STAND_IN_KEY": KEY}) as server:
        yield server


@pytest.fixture
def lake(storage_server: LocalServer, tiny_source: LocalServer) -> Lake:
    """Fresh buckets with the small source."""
    return make_lake(storage_server, tiny_source, f"lake-{os.getpid()}-{next(_numbers)}")


@pytest.fixture
def traps_lake(storage_server: LocalServer, traps_source: LocalServer) -> Lake:
    """Fresh buckets with the source full of traps."""
    return make_lake(storage_server, traps_source, f"traps-{os.getpid()}-{next(_numbers)}")
