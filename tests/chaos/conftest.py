"""The source of this folder, runs to disturb, and one that nobody disturbs to compare them with."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.shard_run import Picture, ShardRun, kills_source, prepare
from tests.local_servers import LocalServer

_numbers = itertools.count(1)

MakeRun = Callable[[], ShardRun]


@dataclass(frozen=True)
class Calm:
    """How a run ends that is left alone."""

    exit_code: int
    picture: Picture
    files: int


@pytest.fixture(scope="session")
def source(servers_root: Path) -> Iterator[LocalServer]:
    """The stand-in with one file for each way to end."""
    with kills_source(servers_root / "kills") as server:
        yield server


@pytest.fixture
def make_run(storage_server: LocalServer, source: LocalServer, tmp_path: Path) -> Iterator[MakeRun]:
    """A maker of runs with buckets and a temporary folder of their own; the servers are sound again afterwards."""

    made: list[ShardRun] = []

    def make() -> ShardRun:
        number = next(_numbers)
        made.append(prepare(storage_server, source, f"chaos-{os.getpid()}-{number}", tmp_path / f"tmp-{number}"))
        return made[-1]

    yield make
    for run in made:
        run.end()
    for server in (storage_server, source):
        server.disarm()


@pytest.fixture(scope="session")
def calm(storage_server: LocalServer, source: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """A run that nobody disturbs."""
    run = prepare(storage_server, source, f"chaos-calm-{os.getpid()}", tmp_path_factory.mktemp("calm"))
    run.launch("w-1")
    code, output = run.work("w-1")
    assert code == 65, output
    assert run.claim_state() == "done"
    return Calm(code, run.picture(), run.plan.estimate.files)
