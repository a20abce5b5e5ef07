"""The demo as a user types it, then judged by a program that knows none of our code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from console.demo import DATA_TYPES, DAYS, VENUES

ROOT = Path(__file__).parents[2]
MEMORY_LIMIT = 2_000_000_000


@dataclass(frozen=True)
class Demo:
    """A finished demo whose local cloud still runs."""

    summary: dict[str, Any]
    environment: dict[str, str]
    peak_memory: int
    """Most that all its processes ever held together, bytes, memory they share counted once."""


def tickdeck(*arguments: str, environment: dict[str, str], timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "console.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


EARLIEST = datetime.min.replace(tzinfo=UTC)


def read_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


class MemoryWatch:
    """Sums the memory of all processes that belong to a local cloud, or to the console that drives it."""

    def __init__(self, mark: str) -> None:
        self.mark, self.peak = mark, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            self.peak = max(self.peak, sum(map(self._held, psutil.process_iter())))

    def _held(self, process: psutil.Process) -> int:
        try:
            if process.pid == os.getpid() or (process.environ().get("TICKDECK_TEST_MARK") != self.mark and self.mark not in process.cwd()):
                return 0
            return int(process.memory_full_info().pss)
        except psutil.Error:
            return 0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    place = tmp_path_factory.mktemp("demo") / "local"
    environment = os.environ | {"TICKDECK_LOCAL_DIR": str(place), "TICKDECK_TEST_MARK": str(place)}
    with MemoryWatch(str(place)) as memory:
        done = tickdeck("demo", "--headless", "--keep", "--json", environment=environment)
    try:
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        yield Demo(json.loads(done.stdout), environment | {"TICKDECK_LOCAL_DIR": f"{place}-demo"}, memory.peak)
    finally:
        tickdeck("local", "down", environment=environment | {"TICKDECK_LOCAL_DIR": f"{place}-demo"})
        left = [process.cmdline() for process in psutil.process_iter() if str(place) in " ".join(_command(process))]
    assert not left, "the local cloud left processes behind"


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_the_demo_has_the_size_and_the_mess_it_promises(demo: Demo) -> None:
    summary = demo.summary
    assert summary["problems"] == []
    assert summary["rows"] >= 5_000_000
    assert summary["files"] >= 150
    assert summary["vms"] in (4, 5), "four, and one more unless an idle worker took over"
    assert summary["vms_left"] == 0
    assert summary["candles"]["objects"] == 7 * summary["candles"]["symbol_days"] >= 7 * 60
    assert summary["loaded"]["rows"] == summary["candles"]["bars"] > 0
    assert summary["query"]["trades"] == summary["query"]["trades_in_candles"] >= 5_000_000
    mishaps = summary["mishaps"]
    for what in (
        "429 with Retry-After",
        "body cut in transit",
        "404 for a listed file",
        "empty day",
        "day not yet published",
        "preemption",
    ):
        assert mishaps[what] >= 1, what
    assert mishaps["symbol not listed on every day"] >= 1


def test_all_processes_together_stay_below_two_gigabytes(demo: Demo) -> None:
    assert 0 < demo.peak_memory < MEMORY_LIMIT


def test_the_lake_holds_what_the_source_has_seen_from_outside(demo: Demo) -> None:
    lines = tickdeck("local", "env", environment=demo.environment).stdout.splitlines()
    exported = dict(line.removeprefix("export ").replace("'", "").split("=", 1) for line in lines)
    judged = subprocess.run(
        [
            *(sys.executable, str(ROOT / "tests" / "truth_from_outside.py")),
            *("--storage", exported["STORAGE_EMULATOR_HOST"], "--source", exported["TARDIS_API_URL"].removesuffix("/v1")),
            *("--bucket", "market-data-tick", "--venues", ",".join(VENUES), "--data-types", ",".join(DATA_TYPES)),
            *("--start", str(DAYS.start), "--end", str(DAYS.end)),
        ],
        env=os.environ | {"TARDIS_API_KEY": exported["TARDIS_API_KEY"]},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout[-4000:] + judged.stderr[-4000:]
    found = json.loads(judged.stdout)
    assert found["problems"] == []
    assert found["rows"] == demo.summary["rows"]


def test_no_file_was_asked_for_after_it_was_committed(demo: Demo) -> None:
    """Preemption, 429 and cut bodies included. What was on its way when the VM was taken is fetched again, and only that."""
    servers = {
        server["service"]: server["url"]
        for server in json.loads(tickdeck("local", "status", "--json", environment=demo.environment).stdout)["servers"]
    }
    asked: dict[str, datetime] = {}
    for row in read_json(f"{servers['tardis']}/_tickdeck/requests")["requests"]:
        if "tickdeck" in (row["user_agent"] or ""):
            file = row["path"].removeprefix("/v1/").removesuffix(".csv.gz")
            asked[file] = max(asked.get(file, EARLIEST), datetime.fromisoformat(row["asked"]))
    objects = read_json(f"{servers['storage']}/storage/v1/b/market-data-tick/o?prefix=raw_tick_data/")["items"]
    assert len(objects) > 150
    for item in objects:
        _, _, day, kind, venue, symbol = item["name"].removesuffix(".parquet").split("/")
        file = f"{venue[6:]}/{kind[10:]}/{day[4:].replace('-', '/')}/{symbol}"
        assert asked[file] < datetime.fromisoformat(item["timeCreated"]), f"{file} was asked for when it was committed already"


def test_headless_verbs_agree_with_the_demo(demo: Demo) -> None:
    done = tickdeck(
        *("check", "--venues", ",".join(VENUES), "--data-types", ",".join(DATA_TYPES)),
        *("--start", str(DAYS.start), "--end", str(DAYS.end), "--json"),
        environment=demo.environment,
    )
    assert done.returncode == 65, done.stderr
    assert json.loads(done.stdout)["counts"] == demo.summary["cells"]
    audit = json.loads(tickdeck("audit", "--json", environment=demo.environment).stdout)
    assert {"launch", "cleanup"} <= {record["verb"] for record in audit}
    logs = tickdeck("logs", "--run", demo.summary["run"], "--lines", "50", environment=demo.environment)
    assert logs.returncode == 0
    assert logs.stdout.count("\n") == 50
