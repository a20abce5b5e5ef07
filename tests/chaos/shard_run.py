"""A run of one shard, made to be disturbed: its buckets, its workers as real processes, and how it looks from outside.

What is compared with an undisturbed run is read from listings, from the JSON of manifests and from the request log of the source;
manifests are merged here a second time, by a loop of five lines, so that the product's merge is not its own judge.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.catalogue import Catalogue
from engine.claims import read_claim
from engine.clock import utc_now
from engine.documents import JSON, encode
from engine.heartbeat import Heartbeat, read_heartbeat
from engine.instruments.writing import fetch_catalogues
from engine.inventory import Inventory, Means, check_range, plan_request
from engine.launch import LaunchedVm, LaunchRecord
from engine.model import DayRange
from engine.paths import launch_object, log_prefix, parse_data_object
from engine.plan import Plan, Request, save_plan
from engine.run import new_run
from engine.source import Source, dataset_path
from engine.store import Store
from tests.local_servers import KEY, Lake, LocalServer, make_lake, started
from tests.warm_process import run_program

SCENARIO = Path(__file__).with_name("kills.toml")
DAY = date(2024, 5, 1)
DAYS = DayRange(DAY, DAY)
VENUES = ("binance", "deribit")
DATA_TYPES = ("trades", "derivative_ticker")
DOWNLOAD = ("download", "--venues", "binance,deribit", "--data-types", "trades,derivative_ticker", "--start", "2024-05-01")
LIMIT = 90.0

ATTEMPT_FIELDS = ("requests", "status", "seconds", "generation")
"""What an entry says of the attempt or the bucket, not of the file."""


@dataclass(frozen=True)
class Picture:
    """All of a finished run that must not depend on how often it was disturbed."""

    objects: dict[str, tuple[int, str, tuple[tuple[str, str], ...]]]
    """Name -> size, checksum, metadata."""
    outcomes: dict[tuple[str, str], dict[str, Any]]
    """(cell folder, symbol) -> what the manifests together say."""
    quarantine: dict[str, set[tuple[int, str, str]]]
    """Folder of a file -> size, checksum and reason of what is kept of it."""
    coverage: list[tuple[Any, ...]]
    """Of every cell: name, state and figures. Not the reasons: they name symbols only where several manifests made coverage look."""


@dataclass(frozen=True)
class ShardRun:
    """One run, one shard, the whole scenario."""

    lake: Lake
    run: str
    plan: Plan
    folder: Path
    """TMPDIR of its workers."""
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    """Every worker that was started."""

    def launch(self, vm: str, *, number: int = 1, replaces: str = "", attempt: int = 1) -> None:
        """Write the record by which a worker of this name finds its shard."""
        now = utc_now()
        record = LaunchRecord(
            run=self.run,
            number=number,
            plan=self.plan.id,
            created=now,
            owner="test",
            request_id=f"{self.run}-{number}",
            project="local",
            region="local",
            zones=("local-a",),
            machine_types=("local-1",),
            provisioning_model="SPOT",
            max_run_seconds=3600,
            expires=now + timedelta(hours=1),
            data_bucket=self.lake.data.bucket,
            state_bucket=self.lake.state.bucket,
            labels={},
            vms={vm: LaunchedVm((0,), attempt, replaces)},
        )
        self.lake.state.put(launch_object(self.run, number), encode(record), if_generation=0, content_type=JSON)

    def start(self, vm: str, kill_at: str = "", *, arguments: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
        """`engine work` (or the `arguments`) under that name, few files at a time."""
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", *(arguments or self._words(vm))],
            env=self._environment(kill_at, environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def end(self) -> None:
        """Leave no worker behind, whatever became of the test."""
        for process in self.processes:
            with process:
                process.kill()

    def work(self, vm: str, kill_at: str = "", *, arguments: tuple[str, ...] = (), **environment: str) -> tuple[int, str]:
        """Start a worker and wait for its end: exit code and output."""
        done = run_program(
            "engine.cli", *(arguments or self._words(vm)), environment=self._environment(kill_at, environment), seconds=LIMIT
        )
        return done.returncode, done.stdout + done.stderr

    def _words(self, vm: str) -> tuple[str, ...]:
        return ("work", "--run", self.run, "--vm", vm)

    def _environment(self, kill_at: str, more: Mapping[str, str]) -> dict[str, str]:
        few = {"MAX_CONCURRENT": "2", "MAX_UPLOADS": "2", "SPOOL_MEMORY_MIB": "1", "TMPDIR": str(self.folder), "TICKDECK_KILL_AT": kill_at}
        return {**os.environ, **self.lake.environment, **few, **more}

    def committed(self) -> dict[str, int]:
        """Data objects and their generations."""
        return generations(self.lake.data)

    def asked(self, since: datetime) -> list[dict[str, Any]]:
        """GETs that the source saw begin since then."""
        return [row for row in self.lake.requests() if datetime.fromisoformat(row["asked"]) >= since]

    def heartbeat(self, vm: str) -> Heartbeat:
        """The last of that worker."""
        found = read_heartbeat(self.lake.state, self.run, vm)
        assert found is not None
        return found

    def logs(self, vm: str) -> list[str]:
        """Names of its log objects."""
        return [info.name for info in self.lake.state.list(log_prefix(self.run, vm))]

    def claim_state(self) -> str:
        """What the claim on the shard says."""
        held = read_claim(self.lake.state, self.run, 0)
        return "none" if held is None else held.claim.state

    def manifests(self) -> list[tuple[int, str, dict[str, Any]]]:
        """Generation, name and content of every manifest, oldest first."""
        found = []
        for info in self.lake.state.list("manifests/"):
            held = self.lake.state.get(info.name)
            assert held is not None
            found.append((held.generation, info.name, json.loads(held.data)))
        return sorted(found, key=lambda item: item[0])

    def picture(self) -> Picture:
        """How it looks now."""
        outcomes: dict[tuple[str, str], dict[str, Any]] = {}
        for _, name, content in self.manifests():
            for entry in content["entries"]:
                file = (name.rpartition("/")[0], entry["symbol"])
                if entry["outcome"] == "ok" or file not in outcomes or outcomes[file]["outcome"] != "ok":
                    outcomes[file] = {key: value for key, value in entry.items() if key not in ATTEMPT_FIELDS}
        quarantine = defaultdict(set)
        for info in self.lake.state.list("quarantine/"):
            quarantine[info.name.rpartition("/")[0]].add((info.size, info.crc32c, info.metadata["reason"]))
        coverage = check_range(Inventory(self.lake.state), DAYS, VENUES, DATA_TYPES, now=utc_now())
        return Picture(
            objects={info.name: (info.size, info.crc32c, tuple(sorted(info.metadata.items()))) for info in self.lake.data.list("")},
            outcomes=outcomes,
            quarantine=dict(quarantine),
            coverage=[
                (
                    *(str(report.cell), str(report.state), report.expected, report.done, report.bad, report.absent, report.empty),
                    *(report.rows, report.source_bytes, report.covered_minutes),
                )
                for report in coverage.reports.values()
            ],
        )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a worker's end: exit code and output."""
    output, _ = process.communicate(timeout=LIMIT)
    return process.returncode, output


def generations(store: Store) -> dict[str, int]:
    """Every data object and its generation."""
    return {info.name: info.generation for info in store.list("raw_tick_data/")}


@contextmanager
def kills_source(root: Path) -> Iterator[LocalServer]:
    """The stand-in with the scenario of this folder."""
    with started("tardis", root / "tardis", "--scenario", str(SCENARIO), environment={"TICKDECK_STAND_IN_KEY": KEY}) as server:
        yield server


def prepare(storage: LocalServer, source: LocalServer, name: str, folder: Path) -> ShardRun:
    """Fresh buckets, the catalogues, a plan of one shard, and nobody launched."""
    lake = make_lake(storage, source, name)

    async def fetch() -> dict[str, Catalogue]:
        async with Source(api_url=f"{source.url}/v1", datasets_url=f"{source.url}/v1", api_key=KEY) as opened:
            return await fetch_catalogues(opened, VENUES, lake.state)

    asyncio.run(fetch())
    request = Request(venues=VENUES, data_types=DATA_TYPES, start=DAY, end=DAY, shards=1)
    plan = plan_request(Inventory(lake.state), request, Means(lake.data.bucket, lake.state.bucket), now=utc_now())
    assert len(plan.shards) == 1
    save_plan(lake.state, plan)
    folder.mkdir(parents=True, exist_ok=True)
    return ShardRun(lake, new_run(utc_now()), plan, folder)


def assert_not_fetched_again(run: ShardRun, at_kill: dict[str, int], killed: datetime) -> None:
    """No file that was in the bucket at the kill has been asked for since, and none was replaced."""
    now = run.committed()
    assert {name: now.get(name) for name in at_kill} == at_kill, "a committed object was replaced or lost"
    asked = [row["path"] for row in run.asked(killed)]
    for name in at_kill:
        path = dataset_path(parse_data_object(name))
        assert not [found for found in asked if path in found], f"{name} was fetched again"


def assert_fetched_once(run: ShardRun, at_kill: dict[str, int], began: datetime) -> None:
    """Every file that was in the bucket at the only kill came whole exactly once, every other committed one at most twice."""
    whole = [row["path"] for row in run.asked(began) if row["status"] == 200]
    for name in run.committed():
        path = dataset_path(parse_data_object(name))
        times = sum(path in found for found in whole)
        assert times == 1 or (times == 2 and name not in at_kill), (name, times)


def assert_finished(run: ShardRun, calm: Picture) -> None:
    """The run looks like one that nobody disturbed, and nothing lies about."""
    found = run.picture()
    for part in fields(Picture):
        assert getattr(found, part.name) == getattr(calm, part.name)
    assert run.claim_state() == "done"
    assert list(run.folder.iterdir()) == []
    held = run.committed()
    for _, name, content in run.manifests():
        folder = name.rpartition("/")[0].replace("manifests/", "raw_tick_data/")
        for entry in content["entries"]:
            if entry["outcome"] == "ok":
                assert entry["generation"] == held[f"{folder}/{entry['symbol']}.parquet"], (name, entry["symbol"])


def now() -> datetime:
    """This moment, as the source's log writes it."""
    return datetime.now(UTC)
